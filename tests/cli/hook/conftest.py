"""A workspace whose agent asks before it uses a tool of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from assent.cli import main
from assent.cli.hook._entry import HOSTS, answer
from assent.cli.hook._place import Place
from tests.support.own_places import own_places
from tests.support.patience import PATIENCE_S

_POLICY = """\
version: 1
rules:
  - id: no-deletes
    when: {capability: agent.shell}
    if: 'inputs.command.startsWith("rm")'
    decision: DENY
    reason: it deletes
  - id: carries-out
    when: {capability: agent.tool}
    if: '"reads_untrusted" in run.labels'
    decision: DENY
    reason: the session has read what strangers wrote
  - id: trusted-tools
    when: {capability: agent.tool}
    if: 'inputs.tool.startsWith("mcp__notes__")'
    decision: ALLOW
    without_approval: true
    reason: notes are ours
  - id: here
    when: {capability: agent.edit}
    if: '!inputs.path.startsWith("/")'
    decision: ALLOW
    without_approval: true
    reason: the project is under version control
  - id: not-there
    when: {capability: agent.read}
    if: 'inputs.path == "/" || inputs.path.startsWith("/etc")'
    decision: DENY
    reason: it is not the project's
  - id: fetches
    when: {capability: agent.fetch}
    if: 'inputs.url.startsWith("https://ask.example/")'
    decision: REQUIRE_APPROVAL
    reason: somebody looks at addresses
  - id: asks
    when: {risk_level: CRITICAL}
    decision: REQUIRE_APPROVAL
    reason: somebody has to look
  - id: rest
    decision: ALLOW
    reason: harmless
"""


@dataclass
class Agent:
    """What starts hooks, as an agent's program does, and commands beside it."""

    root: Path
    env: dict[str, str]

    def say(
        self,
        tool: str,
        given: Mapping[str, Any],
        *,
        call: str | None = None,
        session: str = "s1",
        **more: Any,
    ) -> bytes:
        """What Claude Code says before it uses a tool."""
        told = {
            "session_id": session,
            "transcript_path": "/nowhere/t.jsonl",
            "cwd": str(self.root),
            "permission_mode": "default",
            "hook_event_name": "PreToolUse",
            "tool_name": tool,
            "tool_input": given,
            "tool_use_id": call,
        }
        return json.dumps(
            {name: value for name, value in (told | more).items() if value is not None}
        ).encode()

    def came(self, call: str, error: str | None = None, *, session: str = "s1") -> bytes:
        """What Claude Code says after it has used a tool (2.1.330)."""
        told = {
            "session_id": session,
            "cwd": str(self.root),
            "hook_event_name": "PostToolUse" if error is None else "PostToolUseFailure",
            "tool_name": "Bash",
            "tool_input": {"command": "changed since"},
            "tool_use_id": call,
            "duration_ms": 13,
        }
        more: dict[str, Any] = {"tool_response": {"stdout": "a-secret", "interrupted": False}}
        return json.dumps(
            told | (more if error is None else {"error": error, "is_interrupt": False})
        ).encode()

    def start(self, data: bytes, *flags: str, host: str = "claude-code") -> subprocess.Popen[bytes]:
        """A hook that has been told this."""
        command = [sys.executable, "-m", "assent", "hook", host, "--workspace", str(self.root), *flags]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, env=self.env, cwd=self.root.parent, **pipes)
        assert process.stdin is not None
        try:
            process.stdin.write(data)
            process.stdin.close()
        except BrokenPipeError:
            pass  # It had heard enough.
        process.stdin = None
        return process

    def ask(self, data: bytes, host: str = "claude-code", **said: str) -> dict[str, Any]:
        """What the hook answers, without a process of its own."""
        chosen = HOSTS[host]
        flags = {"workspace": str(self.root), "patience": "10ms", **said}
        return answer(chosen, Place(flags, chosen.name), data)

    def use(
        self, tool: str, given: Mapping[str, Any], *, call: str | None = None, **said: str
    ) -> tuple[str, str]:
        """The same about a tool: decision and reason."""
        told = self.ask(self.say(tool, given, call=call), **said)["hookSpecificOutput"]
        return told["permissionDecision"], told["permissionDecisionReason"]

    def assent(self, *words: str) -> Any:
        """What a command in a terminal prints, as JSON."""
        out = StringIO()
        with redirect_stdout(out), redirect_stderr(StringIO()):
            main(["--workspace", str(self.root), "--json", *words])
        return json.loads(out.getvalue())

    def sessions(self) -> list[dict[str, Any]]:
        """The sessions of agents, as `assent show` tells them."""
        runs = [run for run in self.assent("runs") if run["principal"].startswith("agent:")]
        return [self.assent("show", run["run_id"]) for run in runs]


def decision(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """What a hook of Claude Code said; nothing but that one object is on its output."""
    out, err = process.communicate(timeout=PATIENCE_S)
    if process.returncode == 2:
        assert not out
        return "blocked", err.decode()
    assert (process.returncode, err) == (0, b"")
    told = json.loads(out)
    if "hookSpecificOutput" not in told:
        return told.get("decision", "nothing"), told.get("reason", "")
    assert set(told) == {"hookSpecificOutput"}
    said = told["hookSpecificOutput"]
    assert set(said) == {"hookEventName", "permissionDecision", "permissionDecisionReason"}
    assert said["hookEventName"] == "PreToolUse"
    return said["permissionDecision"], said["permissionDecisionReason"]


@pytest.fixture
def agent(tmp_path: Path, clean_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    root = tmp_path / "work"
    root.mkdir()
    (root / "assent.toml").write_text('policy = "policy.yaml"\n')
    (root / "policy.yaml").write_text(_POLICY)
    (root / "policy.yaml").chmod(0o600)
    with own_places(tmp_path, clean_env) as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        yield Agent(root, env)
