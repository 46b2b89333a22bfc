"""`assent hook`: the commands as click knows them; what an agent's program starts goes past it (`_entry.py`)."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from assent.cli._command import command, group
from assent.cli._door import Door
from assent.cli._exit import OK
from assent.cli.hook import _settings_file as file
from assent.cli.hook._entry import serve
from assent.cli.hook._place import PATIENCE, Place
from assent.errors import InputError, Json, WorldError

_BACKUP: Final = ".before-assent"

_patience = click.option(
    "--patience", default=PATIENCE, show_default=True, metavar="TIME", help="How long a person is waited for."
)
_host = click.argument("host", type=click.Choice(["claude-code"]))


def _scope(function: Any) -> Any:  # `Any`: click's own decorators take and give it
    for name, text in (
        ("user", "In your own settings, for every project."),
        ("local", "In this project's settings that are yours alone."),
        ("project", "In the project's settings, which its repository keeps (the default)."),
    ):
        function = click.option(f"--{name}", "scope", flag_value=name, default=None, help=text)(function)
    return function


def _answer(door: Door, name: str, patience: str) -> None:
    flags = door.flags
    said = {"workspace": flags.workspace, "state": flags.state, "policy": flags.policy, "as": flags.principal}
    serve(
        name,
        {**{name: str(value) for name, value in said.items() if value is not None}, "patience": patience},
    )


@command("claude-code", watches=False, short_help="Answer a hook of Claude Code.")
@_patience
def claude_code(door: Door, patience: str) -> None:
    """Read one call of a tool from standard input and say whether it may be used (docs/hooks.md); also that a session ends.

    The agent acts as `agent:claude-code`, or as `--as` says; never as a person. Ends with 2 where it can't answer, which denies.
    """
    _answer(door, "claude-code", patience)


@command("ask", watches=False, short_help="Answer any other agent's program.")
@_patience
def ask(door: Door, patience: str) -> None:
    """The same in the JSON that docs/hooks.md describes, for programs that have hooks of another kind; as `agent:hook`."""
    _answer(door, "ask", patience)


@command("install", watches=False, short_help="Put the hook into an agent's settings.")
@_host
@_scope
@_patience
def install(door: Door, host: str, scope: str | None, patience: str) -> int:
    """Have the program HOST ask before it uses a tool: the hook in its settings file, whatever else stands there left as it is.

    A file of the workspace is written by `io.fs.write_file`, so `assent undo` takes it back; of your own one a copy is kept.
    """
    del host
    patience_ms = Place({"patience": patience}, "").patience_ms
    scope = scope or "project"
    return _change(door, scope, file.wanted(_words(door, scope, patience), patience_ms))


@command("remove", watches=False, short_help="Take the hook out of an agent's settings.")
@_host
@_scope
def remove(door: Door, host: str, scope: str | None) -> int:
    """Have the program HOST ask no more: takes out what `install` put there, and nothing else."""
    del host
    return _change(door, scope or "project", {})


def _words(door: Door, scope: str, patience: str) -> str:
    settings, here = door.settings, '"$CLAUDE_PROJECT_DIR"'
    is_usual = settings.state == settings.workspace / ".assent"
    if scope == "project":  # others have it elsewhere
        words = [
            "assent hook claude-code",
            "--workspace",
            here,
            *(["--state", f"{here}/.assent"] if is_usual else []),
        ]
    else:
        found = shutil.which("assent")
        start = [found] if found else [sys.executable, "-m", "assent"]
        words = [shlex.join([*start, "hook", "claude-code"]), "--workspace"]
        words += [shlex.quote(str(settings.workspace)), "--state", shlex.quote(str(settings.state))]
        words = words if scope == "local" else [words[0], "--workspace", here]
    words += ["--as", shlex.quote(door.flags.principal)] if door.flags.principal else []
    return " ".join([*words, *(["--patience", shlex.quote(patience)] if patience != PATIENCE else [])])


def _change(door: Door, scope: str, groups: Mapping[str, dict[str, Any]]) -> int:
    from assent.cli.runs._drive import call
    from assent.cli.terminal._diff import diff_text

    path = _path(door, scope)
    before = _text(path)
    settings = file.read(before, str(path))
    after = file.changed(settings, groups)
    if after == settings:
        _tell(door, f"nothing to change in {path}", {"path": str(path), "changed": False})
        return OK
    text = file.written(after, before)
    lines = difflib.unified_diff(before.splitlines(), text.splitlines(), str(path), str(path), lineterm="")
    door.out.note(diff_text("\n".join(lines), paint=door.out.paint(stderr=True)))
    if scope != "user":
        door.flags.principal = None  # who installs acts; `--as` is whom the hook acts as
        inside = str(path.relative_to(door.settings.workspace))
        said: dict[str, Json] = {"path": inside, "content": text, "create_dirs": True}
        return call(door, "io.fs.write_file", said)
    backup = _replace(path, before, text)
    kept = f"; what was there is in {backup}" if backup else ""
    _tell(door, f"wrote {path}{kept}", {"path": str(path), "changed": True, "backup": backup})
    return OK


def _path(door: Door, scope: str) -> Path:
    if scope == "user":
        own = door.environ.get("CLAUDE_CONFIG_DIR")
        folder = Path(own) if own else Path(door.environ.get("HOME") or "/") / ".claude"
        return Path(os.path.realpath(folder / "settings.json"))
    name = "settings.json" if scope == "project" else "settings.local.json"
    return door.settings.workspace / ".claude" / name


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise InputError("CONFIG_INVALID", "these settings are not UTF-8", path=str(path)) from None
    except OSError as error:
        raise _unusable(path, error) from error


def _replace(path: Path, before: str, text: str) -> str | None:
    """Put a text in a file's place at once, with its mode; where what was there is kept, if anything was."""
    from assent.plugins._lock_file import replace_file

    backup = path.with_name(f"{path.name}{_BACKUP}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if before:
            shutil.copy2(path, backup)
    except OSError as error:
        raise _unusable(path, error) from error
    replace_file(path, text, "agent's settings", mode=0o600)
    return str(backup) if before else None


def _unusable(path: Path, error: OSError) -> WorldError:
    reason = os.strerror(error.errno or 0).lower()
    return WorldError("WORKSPACE_UNUSABLE", f"the settings can't be changed: {reason}", path=str(path))


def _tell(door: Door, line: str, told: dict[str, Any]) -> None:
    door.out.tell(told, lambda: line)


hook = group(
    "hook", claude_code, ask, install, remove, help="Ask the gate before an agent's own tools are used."
)
