"""What an agent's program says before it uses a tool, as an act that the gate decides about, and after it, as what came of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple, NoReturn

from assent.errors import InputError

INPUT_BYTES_MAX: Final = 4 << 20
"""What one call may be told with; the owner's frames take twice as much, and what is not ASCII grows on the way."""

_TEXT_MAX: Final = 200
_ERROR_MAX: Final = 2000
_OUTCOMES: Final = ("ok", "failed")
_CAPABILITIES: Final = ("shell", "edit", "read", "fetch", "tool", "plan")

_READS: Final = {
    "Read": "file_path",
    "NotebookRead": "notebook_path",
    "LS": "path",
    "Glob": "path",
    "Grep": "path",
}
_EDITS: Final = {
    "Write": "file_path",
    "Edit": "file_path",
    "MultiEdit": "file_path",
    "NotebookEdit": "notebook_path",
}
_PLANS: Final = frozenset(
    {
        "Agent", "AskUserQuestion", "BashOutput", "EnterPlanMode", "ExitPlanMode", "KillShell", "Task", "TaskCreate", "TaskGet",
        "TaskList", "TaskOutput", "TaskStop", "TaskUpdate", "TodoRead", "TodoWrite", "ToolSearch",
    }
)  # fmt: skip
"""Tools that arrange the agent's own work. What a helper (`Agent`) does is asked about in its turn; `Skill` may run commands."""

_FOR_ITS_USER: Final = frozenset({"AskUserQuestion", "EnterPlanMode", "ExitPlanMode"})
"""Tools that are a question to the program's user: nobody answers it for them."""

_WILD: Final = frozenset("*?[]{}()!@+\\")


class Act(NamedTuple):
    """A call of an agent's tool: the capability that stands for it, and whose session it belongs to."""

    session: str
    call: str | None
    """The same call asked twice is one step; None for one without a name."""
    capability: str
    parameters: dict[str, Any]  # `Any`: JSON, as the agent's program has it
    is_for_its_user: bool = False

    def ident(self, principal: str) -> str | None:
        """The id of the request to put it on record; None where the call has no name."""
        return None if self.call is None else name_of(principal, self.session, "call", self.call)


class Came(NamedTuple):
    """What came of a call that was asked about."""

    session: str
    call: str
    parameters: dict[str, Any]  # `Any`: as above

    @classmethod
    def of(cls, session: str, call: str, tool: str, outcome: str, error: str | None) -> Came:
        """As the step that tells of it has it."""
        told = {"outcome": outcome} if error is None else {"outcome": outcome, "error": error[:_ERROR_MAX]}
        return cls(session, call, {"tool": tool[:_TEXT_MAX], **told})


class End(NamedTuple):
    """The agent's session is over."""

    session: str


def name_of(*parts: str) -> str:
    """The id of a request that only these parts lead to."""
    said = json.dumps(parts).encode()
    return f"hook:{sha256(said).hexdigest()[:32]}"


def of_claude_code(told: Mapping[str, Any]) -> Act | Came | End:
    """What Claude Code says to a hook. `INVALID_INPUT`."""
    session, event = _text(told, "session_id"), _text(told, "hook_event_name")
    if event == "SessionEnd":
        return End(session)
    if event not in ("PreToolUse", *_CAME):
        known = ", ".join(("PreToolUse", *_CAME, "SessionEnd"))
        _refuse("hook_event_name", f"must be one of {known}: install the hook for these events alone")
    tool, given = _text(told, "tool_name"), told.get("tool_input")
    if event in _CAME:
        error = str(told.get("error", "")) if event == "PostToolUseFailure" else None
        return Came.of(session, _text(told, "tool_use_id"), tool, _CAME[event], error)
    if not isinstance(given, dict):
        _refuse("tool_input", "must be an object")
    call = _text(told, "tool_use_id") if told.get("tool_use_id") is not None else None
    capability, said = _claude_act(tool, given, _cwd(told))
    named = _NAMED.get(capability, ())
    rest = {name: value for name, value in given.items() if name not in named}
    return Act(
        session, call, f"agent.{capability}", {"tool": tool, **said, "input": rest}, tool in _FOR_ITS_USER
    )


_CAME: Final = {"PostToolUse": "ok", "PostToolUseFailure": "failed"}

_NAMED: Final = {
    "shell": ("command",),
    "edit": ("file_path", "notebook_path"),
    "read": ("file_path", "notebook_path", "path"),
    "fetch": ("url",),
}
"""What stands in a parameter of its own, and so not in `input`."""


def _claude_act(tool: str, given: Mapping[str, Any], cwd: str) -> tuple[str, dict[str, Any]]:
    if tool in ("Bash", "PowerShell"):
        return "shell", {"command": given.get("command"), "cwd": real_path(".", cwd)}
    if (name := _EDITS.get(tool)) is not None:
        return "edit", {"path": real_path(_text(given, name, "tool_input."), cwd)}
    if (name := _READS.get(tool)) is not None:
        path = "." if name == "path" and given.get(name) is None else _text(given, name, "tool_input.")
        path = real_path(path, cwd)
        return "read", {
            "path": _base_of(_text(given, "pattern", "tool_input."), path) if tool == "Glob" else path
        }
    if tool == "WebFetch":
        return "fetch", {"url": given.get("url")}
    return ("plan" if tool in _PLANS else "tool"), {}


def _base_of(pattern: str, folder: str) -> str:
    """The folder below which a pattern of files finds all that it finds."""
    parts = pattern.split("/")
    if ".." in parts or any(sign in pattern for sign in "{~\\("):
        return "/"  # It may lead anywhere, and nobody here expands it.
    fixed = next((number for number, part in enumerate(parts) if _WILD.intersection(part)), len(parts))
    start = "/".join(parts[:fixed])
    return real_path(start or "/", folder) if pattern.startswith("/") or start else folder


def of_contract(told: Mapping[str, Any]) -> Act | Came | End:
    """What any other program says, as docs/hooks.md has it. `INVALID_INPUT`."""
    unknown = told.keys() - {
        "session",
        "call",
        "act",
        "tool",
        "input",
        "cwd",
        "command",
        "path",
        "url",
        "end",
        "outcome",
        "error",
    }
    if unknown:
        _refuse(min(unknown), "is no field of this contract")
    session = _text(told, "session")
    if told.get("end") is True:
        return End(session)
    if "outcome" in told:
        if told["outcome"] not in _OUTCOMES:
            _refuse("outcome", f"must be one of {', '.join(_OUTCOMES)}")
        error = _text(told, "error") if told.get("error") is not None else None
        return Came.of(session, _text(told, "call"), str(told.get("tool", "")), told["outcome"], error)
    act, cwd = _text(told, "act"), _cwd(told)
    if act not in _CAPABILITIES:
        _refuse("act", f"must be one of {', '.join(_CAPABILITIES)}")
    said = {"tool": told.get("tool", act), "input": told.get("input", {})}
    said |= {name: told[name] for name in ("command", "url") if name in told}
    if act == "shell":
        said["cwd"] = real_path(".", cwd)
    elif "path" in told:
        said["path"] = real_path(_text(told, "path"), cwd)
    call = _text(told, "call") if told.get("call") is not None else None
    return Act(session, call, f"agent.{act}", said)


def real_path(path: str, cwd: str) -> str:
    """A path in full, as the tool will take it: its home, links and `..` are followed now, so that rules see what is meant."""
    if "\0" in path or path != path.strip():
        _refuse("path", "must not begin or end with a space, or hold NUL: programs take that differently")
    if path == "~" or path.startswith("~/"):
        path = os.path.expanduser(path)  # noqa: PTH111 - a `Path` would take other things away
    try:
        return os.path.realpath(f"{cwd}/{path}" if not path.startswith("/") else path)
    except (OSError, ValueError):
        _refuse("path", "can't be followed")


def _cwd(told: Mapping[str, Any]) -> str:
    if told.get("cwd") is None:
        return os.path.realpath(".")
    cwd = _text(told, "cwd")
    if not cwd.startswith("/"):
        _refuse("cwd", "must be a full path")
    return cwd


def _text(told: Mapping[str, Any], name: str, where: str = "") -> str:
    value = told.get(name)
    if not isinstance(value, str) or not value:
        _refuse(where + name, "must be text that says something")
    return value


def read(data: bytes) -> dict[str, Any]:
    """One JSON object. `FRAME_TOO_LARGE`, `JSON_INVALID`: also for what two programs could read differently."""
    if len(data) > INPUT_BYTES_MAX:
        raise InputError("FRAME_TOO_LARGE", f"a call may be told with {INPUT_BYTES_MAX >> 20} MiB at most")
    try:
        found = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_number)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair has no bytes
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:_TEXT_MAX]
        raise InputError(
            "JSON_INVALID", f"what came on standard input is not strict JSON: {reason}"
        ) from None
    if not isinstance(found, dict):
        raise InputError("JSON_INVALID", "what came on standard input is no JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _number(text: str) -> NoReturn:
    raise ValueError(f"`{text}` is no number of JSON")


def _refuse(path: str, expected: str) -> NoReturn:
    raise InputError("INVALID_INPUT", f"`{path}` {expected}", path=path)
