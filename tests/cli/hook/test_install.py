"""The hook in the settings of an agent's program: put there and taken out, and nothing else changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.hook.conftest import Agent

THEIRS: dict[str, Any] = {
    "model": "opus",
    "hooks": {
        "PostToolUse": [{"matcher": "Edit", "hooks": [{"type": "command", "command": "make lint"}]}],
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "./check"}]}],
    },
    "permissions": {"allow": ["Bash(ls:*)"], "note": "größer"},
}


@pytest.mark.parametrize("scope", ["project", "local", "user"])
@pytest.mark.parametrize("before", [None, "", "{}", json.dumps(THEIRS, indent=4, ensure_ascii=False) + "\n"])
def test_what_is_installed_can_be_removed(agent: Agent, scope: str, before: str | None) -> None:
    """Installed twice it stands there once, and others' settings and hooks stay in their places."""
    folder = (agent.root.parent if scope == "user" else agent.root) / ".claude"
    path = folder / ("settings.local.json" if scope == "local" else "settings.json")
    if before is not None:
        folder.mkdir()
        path.write_text(before)
        path.chmod(0o640)
    told = agent.assent("hook", "install", "claude-code", f"--{scope}")
    written = path.read_text()
    found = json.loads(written)
    (asks,) = found["hooks"]["PreToolUse"][-1]["hooks"]
    assert (asks["onFailure"], asks["timeout"], asks["command"].endswith("|| exit 2")) == ("block", 360, True)
    assert agent.assent("hook", "install", "claude-code", f"--{scope}") == {
        "path": str(path),
        "changed": False,
    }
    assert path.read_text() == written
    agent.assent("hook", "install", "claude-code", f"--{scope}", "--patience=1m", "--as", "agent:other")
    (changed,) = json.loads(path.read_text())["hooks"]["PreToolUse"][-1]["hooks"]
    assert (changed["timeout"], "--as agent:other --patience 1m" in changed["command"]) == (120, True)
    agent.assent("hook", "remove", "claude-code", f"--{scope}")
    assert path.read_text() == (before if before and before != "{}" else "{}\n")
    if before is not None:
        assert path.stat().st_mode & 0o777 == 0o640
    if scope == "user":
        assert told["backup"] == (f"{path}.before-assent" if before else None)


def test_what_was_installed_in_a_project_is_undone(agent: Agent) -> None:
    run = agent.assent("hook", "install", "claude-code")
    assert (run["status"], agent.assent("undo", run["run_id"])["status"]) == ("succeeded", "undone")
    assert not (agent.root / ".claude").exists()


def test_the_installed_command_asks(agent: Agent) -> None:
    """In the folder that the program names, as a shell starts it; and denies where there is no such command."""
    agent.assent("hook", "install", "claude-code", "--project")
    found = json.loads((agent.root / ".claude" / "settings.json").read_text())
    command = found["hooks"]["PreToolUse"][0]["hooks"][0]["command"]
    for path, code in ((str(Path(sys.executable).parent), 0), ("/nowhere", 2)):
        env = {**agent.env, "PATH": path, "CLAUDE_PROJECT_DIR": str(agent.root)}
        data = agent.say("Read", {"file_path": "a"})
        done = subprocess.run(
            ["/bin/sh", "-c", command], input=data, env=env, capture_output=True, check=False, timeout=60
        )
        assert (done.returncode, b'"allow"' in done.stdout) == (code, code == 0), done.stderr


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{\n  "hooks": {,}\n}', "settings.json:2:13"),
        ('{\n  // mine\n  "model": "x"\n}', "settings.json:2:3"),
        ("\ufeff{}", "settings.json:1:1"),
        ("[]", "settings.json"),
        ('{"a": 1, "a": 2}', "settings.json"),
        ('{"hooks": []}', "settings.json"),
        ('{"hooks": {"PreToolUse": {}}}', "settings.json"),
        ('{"hooks": {"PreToolUse": [{"matcher": "*"}]}}', "settings.json"),
    ],
)
def test_broken_settings_are_refused_with_their_place(agent: Agent, text: str, place: str) -> None:
    path = agent.root / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text(text)
    for words in (("install",), ("remove",)):
        error = agent.assent("hook", *words, "claude-code")["error"]
        assert (error["code"], error["path"].endswith(place)) == ("CONFIG_INVALID", True), error
        assert error["hint"].startswith("nothing was written; ")
        assert "utf-8-sig" not in error["message"]  # words of Python, and of nobody else
    assert path.read_text() == text
