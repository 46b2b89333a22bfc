"""What an agent's program says becomes an act that rules can speak of, in one spelling, however it was said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assent.cli.hook import _acts
from assent.errors import InputError

CASES: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "a shell": ("Bash", {"command": "make", "a": 5}, "shell", {"command": "make", "cwd": "{root}", "input": {"a": 5}}),
    "a new file": ("Write", {"file_path": "{root}/a", "content": "x"}, "edit", {"path": "{root}/a", "input": {"content": "x"}}),
    "a file through a link": ("Edit", {"file_path": "{root}/link/passwd"}, "edit", {"path": "/etc/passwd"}),
    "a file behind a dead link": ("Write", {"file_path": "{root}/dead"}, "edit", {"path": "{root}/made/by/it"}),
    "dots": ("Edit", {"file_path": "{root}/x/../../a"}, "edit", {"path": "{above}/a"}),
    "a relative path": ("Read", {"file_path": "src//./a.py"}, "read", {"path": "{root}/src/a.py"}),
    "home": ("Read", {"file_path": "~/.ssh/id"}, "read", {"path": "{home}/.ssh/id"}),
    "a notebook": ("NotebookEdit", {"notebook_path": "{root}/a.ipynb", "new_source": ""}, "edit", {"path": "{root}/a.ipynb"}),
    "a search here": ("Grep", {"pattern": "password"}, "read", {"path": "{root}", "input": {"pattern": "password"}}),
    "a search there": ("Grep", {"pattern": "x", "path": "/etc"}, "read", {"path": "/etc"}),
    "files here": ("Glob", {"pattern": "**/*.py"}, "read", {"path": "{root}"}),
    "files below": ("Glob", {"pattern": "src/*.py"}, "read", {"path": "{root}/src"}),
    "files there": ("Glob", {"pattern": "/etc/pass*"}, "read", {"path": "/etc"}),
    "files from the root": ("Glob", {"pattern": "/*/passwd"}, "read", {"path": "/"}),
    "files above": ("Glob", {"pattern": "*/../../*"}, "read", {"path": "/"}),
    "files in braces": ("Glob", {"pattern": "{{/etc,src}}/*"}, "read", {"path": "/"}),
    "files at home": ("Glob", {"pattern": "~/.ssh/*"}, "read", {"path": "/"}),
    "a page": ("WebFetch", {"url": "https://a.example", "b": 1}, "fetch", {"url": "https://a.example", "input": {"b": 1}}),
    "a search of the web": ("WebSearch", {"query": "q"}, "tool", {"input": {"query": "q"}}),
    "another server's tool": ("mcp__a__b", {"path": "p"}, "tool", {"tool": "mcp__a__b", "input": {"path": "p"}}),
    "a tool nobody knows": ("bash", {"command": "rm"}, "tool", {"input": {"command": "rm"}}),
    "a list of tasks": ("TodoWrite", {"todos": []}, "plan", {"input": {"todos": []}}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_tool_is_an_act(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "work"
    root.mkdir()
    (root / "link").symlink_to("/etc")
    (root / "dead").symlink_to("made/by/it")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    places = {"root": root, "above": tmp_path, "home": tmp_path / "home"}

    def filled(value: Any) -> Any:
        return {name: filled(one) for name, one in value.items()} if isinstance(value, dict) else (
            value.format(**places) if isinstance(value, str) else value
        )  # fmt: skip

    tool, given, act, said = CASES[case]
    told = {
        "session_id": "s",
        "hook_event_name": "PreToolUse",
        "cwd": str(root),
        "tool_name": tool,
        "tool_input": filled(given),
    }
    found = _acts.of_claude_code(told)
    assert isinstance(found, _acts.Act)
    assert found.capability == f"agent.{act}"
    assert {name: found.parameters[name] for name in said} == filled(said)
    assert found.parameters["tool"] == tool


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no session": (lambda told: told.pop("session_id"), "session_id"),
    "another event": (lambda told: told.update(hook_event_name="Stop"), "hook_event_name"),
    "an outcome of no call": (lambda told: told.update(hook_event_name="PostToolUse"), "tool_use_id"),
    "no tool": (lambda told: told.update(tool_name=""), "tool_name"),
    "a tool that is no text": (lambda told: told.update(tool_name=["Bash"]), "tool_name"),
    "no input": (lambda told: told.pop("tool_input"), "tool_input"),
    "an input that is a list": (lambda told: told.update(tool_input=[]), "tool_input"),
    "a call that is a number": (lambda told: told.update(tool_use_id=7), "tool_use_id"),
    "a folder that is relative": (lambda told: told.update(cwd="work"), "cwd"),
    "a path with a space before": (lambda told: told["tool_input"].update(file_path=" /etc/passwd"), "path"),
    "a path with a line end": (lambda told: told["tool_input"].update(file_path="/a\n"), "path"),
    "a path with NUL": (lambda told: told["tool_input"].update(file_path="/a\0b"), "path"),
    "a path that is a list": (
        lambda told: told["tool_input"].update(file_path=["/a"]),
        "tool_input.file_path",
    ),
    "no path": (lambda told: told["tool_input"].clear(), "tool_input.file_path"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_call_is_refused(case: str) -> None:
    told: dict[str, Any] = {
        "session_id": "s", "hook_event_name": "PreToolUse", "tool_name": "Write", "tool_input": {"file_path": "/a"}
    }  # fmt: skip
    spoil, path = REFUSED[case]
    spoil(told)
    with pytest.raises(InputError) as refused:
        _acts.of_claude_code(told)
    assert (refused.value.code, refused.value.path) == ("INVALID_INPUT", path)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "JSON_INVALID"),
        (b"[]", "JSON_INVALID"),
        (b'{"a": 1', "JSON_INVALID"),
        (b'{"a": NaN}', "JSON_INVALID"),
        (b'{"a": "\xff"}', "JSON_INVALID"),
        (b'{"a": "\\ud800"}', "JSON_INVALID"),
        (b'{"tool_name": "Read", "tool_name": "Bash"}', "JSON_INVALID"),
        (b'{"a": {"b": 1, "b": 2}}', "JSON_INVALID"),
        (b"[" * 100_000, "JSON_INVALID"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "JSON_INVALID"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "JSON_INVALID"),
        (b'{"a": "' + b"x" * (10 << 20) + b'"}', "FRAME_TOO_LARGE"),
    ],
    ids=[
        "empty",
        "list",
        "half",
        "nan",
        "bytes",
        "surrogate",
        "twice",
        "twice-below",
        "lists",
        "deep",
        "digits",
        "10MB",
    ],
)
def test_only_one_reading_of_the_input_is_taken(data: bytes, code: str) -> None:
    with pytest.raises(InputError) as refused:
        _acts.read(data)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("told", "capability"),
    [
        ({"act": "shell", "command": "ls"}, "agent.shell"),
        ({"act": "edit", "path": "a"}, "agent.edit"),
        ({"act": "fetch", "url": "https://example.org"}, "agent.fetch"),
        ({"act": "tool", "tool": "t", "input": {"a": 1}}, "agent.tool"),
        ({"end": True}, None),
    ],
)
def test_the_contract_says_the_act_itself(told: dict[str, Any], capability: str | None) -> None:
    found = _acts.of_contract({"session": "s", "cwd": "/srv", **told})
    assert getattr(found, "capability", None) == capability
    with pytest.raises(InputError):
        _acts.of_contract({"session": "s", "more": json.dumps(told), **told})
