"""The settings file of an agent's program, in which the hook stands: read strictly, changed in as little as possible."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from assent.errors import InputError

EVENTS: Final = ("PreToolUse", "PostToolUse", "PostToolUseFailure", "SessionEnd")

_OURS: Final = re.compile(r"\bassent['\"]? hook claude-code\b")
_TIMEOUT_S: Final = 60
"""How much longer than its patience the hook is given: what it takes at most, and then some."""
_ENDS_S: Final = 10
"""What the end of a session gets; the program would wait for a second and a half."""


def wanted(command: str, patience_ms: int) -> dict[str, dict[str, Any]]:
    """What has to stand under each event."""
    # A shell gives 127 for a command that is not there, which the program would go on after.
    hook = {"type": "command", "command": f"{command} || exit 2"}
    asks = {**hook, "timeout": patience_ms // 1000 + _TIMEOUT_S, "onFailure": "block"}
    # After the call nothing can be denied: a failure is told to the program's user, and not to the model as an order.
    tells = {"matcher": "*", "hooks": [{"type": "command", "command": command, "timeout": _TIMEOUT_S}]}
    return {
        "PreToolUse": {"matcher": "*", "hooks": [asks]},
        "PostToolUse": tells,
        "PostToolUseFailure": tells,
        "SessionEnd": {"hooks": [{**hook, "timeout": _ENDS_S}]},
    }


def read(text: str, path: str) -> dict[str, Any]:
    """The settings of a file, in their order; an empty file has none. `CONFIG_INVALID` with the place."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        # As people write it: with comments, with a comma too many, or saved with a mark of its encoding.
        fault = (
            "it begins with a byte order mark"
            if text[:1] == "\ufeff"
            else f"{error.msg[:1].lower()}{error.msg[1:]}"
        )
        _refuse(
            f"{path}:{error.lineno}:{error.colno}",
            fault,
            "JSON has no comments, and no comma behind the last entry",
        )
    except (ValueError, RecursionError) as error:
        _refuse(path, str(error))
    if not isinstance(found, dict):
        _refuse(path, "must be an object")
    hooks = found.get("hooks", {})
    if not isinstance(hooks, dict):
        _refuse(path, "`hooks` must be an object")
    for event in EVENTS:
        groups = hooks.get(event, [])
        if not isinstance(groups, list) or not all(
            isinstance(group, dict) and isinstance(group.get("hooks"), list) for group in groups
        ):
            _refuse(path, f"`hooks.{event}` must be a list of objects that have `hooks`")
    return found


def changed(settings: Mapping[str, Any], groups: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The settings with these groups and no other one of ours; with none of ours where there are no groups.

    Everything else stays, and stays where it is. What has ours already is not changed.
    """
    before: dict[str, Any] = settings.get("hooks", {})
    hooks = dict(before)
    for event in EVENTS:
        here = before.get(event, [])
        if event in groups and [*_ours(here)] == groups[event]["hooks"] and groups[event] in here:
            continue
        hooks[event] = [*_without(here), *([groups[event]] if event in groups else [])]
        if not hooks[event] and before.get(event) != []:
            del hooks[event]
    if hooks == before:
        return dict(settings)
    rest = {name: value for name, value in settings.items() if name != "hooks" or hooks}
    return {**rest, "hooks": hooks} if hooks else rest


def written(settings: Mapping[str, Any], before: str) -> str:
    """The text of settings, indented as it was."""
    first = re.search(r"\n([ \t]+)\S", before)
    indent: str | int = first[1] if first is not None else 2
    return json.dumps(settings, indent=indent, ensure_ascii=False) + "\n"


def _ours(groups: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for group in groups:
        yield from (hook for hook in group["hooks"] if _is_ours(hook))


def _without(groups: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for group in groups:
        left = [hook for hook in group["hooks"] if not _is_ours(hook)]
        if left or not group["hooks"]:
            yield {**group, "hooks": left}


def _is_ours(hook: object) -> bool:
    return isinstance(hook, dict) and _OURS.search(str(hook.get("command", ""))) is not None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _refuse(path: str, fault: str, also: str = "mend the file") -> NoReturn:
    raise InputError(
        "CONFIG_INVALID",
        f"these settings can't be changed: {fault}",
        path=path,
        hint=f"nothing was written; {also}",
    )
