"""The entry: parse, call, and turn whatever happened into an exit code and, at most, one error."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from assent.cli._door import Door
from assent.cli._exit import INTERNAL, INTERRUPTED, USAGE, error_exit_code
from assent.cli._root import build
from assent.errors import AssentError, InputError, InternalError, exhausted

if TYPE_CHECKING:
    from assent.cli._door import Service

_PERHAPS_OF_A_PLUGIN: Final = frozenset({"CAPABILITY_UNKNOWN", "VERSION_NOT_FOUND", "HANDLER_MISSING"})


def run_process() -> NoReturn:
    """The whole process: `main`, then its end."""
    _open_streams()
    code = main()
    if code == INTERRUPTED:
        # Python would wait for the thread of a call that does not end. Nothing is left to do for it: what the call comes to is
        # settled by whoever resumes the run, as after a crash.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    # When it ends, Python sweeps everything that was loaded, to free what the system takes back anyway: a fifth of a short
    # command. What has to be done at the end is registered for it; no object waits to be swept.
    gc.freeze()
    sys.exit(code)


def _open_streams() -> None:
    """Give a process that was started without one of the three streams (`>&-`) one that nobody reads.

    Python would have none then, and the next file that is opened, such as the ledger's, would get its number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # The lowest free number is this one.
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8"))


def main(argv: Sequence[str] | None = None, *, service: Service | None = None) -> int:
    """Run one command line; the exit code. Nothing but `SystemExit` of shell completion escapes."""
    from assent.system import environment

    arguments = list(sys.argv[1:] if argv is None else argv)
    door = Door(environment(), _current_folder(), service)
    # A usage error may come before `--json` was parsed, and a program must be able to read that too.
    door.out.is_json = "--json" in arguments[: arguments.index("--") if "--" in arguments else None]
    try:
        code = build().main(arguments, prog_name="assent", standalone_mode=False, obj=door)
    except click.exceptions.NoArgsIsHelpError as error:
        if door.out.is_json:
            return _fail(door, _usage_error(click.UsageError("missing command", error.ctx)), USAGE)
        door.out.note(error.format_message())
        return USAGE
    except click.ClickException as error:
        return _fail(door, _usage_error(error), USAGE)
    except (click.Abort, KeyboardInterrupt) as error:
        return _interrupted(door, error)
    except AssentError as error:
        return _fail(door, error, error_exit_code(error, door.operation))
    except Exception as error:  # noqa: BLE001 - the last door: no traceback may reach a user
        odd = next((word for word in arguments if not _is_text(word)), None)
        if odd is not None and isinstance(error, UnicodeEncodeError):
            # Only the name of a file may have such bytes. Where another word is looked up or kept, this is how it is noticed.
            return _fail(door, InputError("USAGE_INVALID", f"`{odd}` is not text in UTF-8"), USAGE)
        lacking = exhausted(error)
        if lacking is not None:
            return _fail(door, lacking, error_exit_code(lacking, door.operation))
        return _fail(door, internal_fault(door, error), INTERNAL)
    return code if isinstance(code, int) else 0


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # It was removed under us; `--workspace` may still name a real one.
        return Path("/")


def _fail(door: Door, error: AssentError, code: int) -> int:
    missed: list[AssentError] = []
    if error.code in _PERHAPS_OF_A_PLUGIN:
        from assent.cli.plugins._trust import left_out

        missed = left_out(door, error)
    if door.out.is_json and not door.out.is_closed:
        if missed:
            error.details["left_out"] = [one.to_dict() for one in missed]
        try:
            door.out.object({"error": error.to_dict()})
        except AssentError as lost:
            return _fail(door, lost, code)
    else:
        from assent.cli.terminal._error_text import error_text, left_out_text

        paint = door.out.paint(stderr=True)
        door.out.note(error_text(error, paint=paint))
        for one in missed:
            door.out.note(left_out_text(one, paint=paint))
    return code


def _usage_error(error: click.ClickException) -> AssentError:
    message = _must_be(error) or error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    hint = getattr(error, "hint", None)
    if hint is None and context is not None:
        hint = _of_too_much(message, context) or f"{context.command_path} --help"
    return InputError("USAGE_INVALID", message[:1].lower() + message[1:], hint=hint)


def _must_be(error: click.ClickException) -> str | None:
    """What an option or argument has to be, where its type says so in a few words; click's own are not for everybody."""
    if not isinstance(error, click.BadParameter) or error.param is None:
        return None
    param, kind = error.param, error.param.type
    name = max(param.opts, key=len) if isinstance(param, click.Option) else param.human_readable_name
    if isinstance(kind, click.IntRange):
        room = f"{kind.min} or more" if kind.max is None else f"{kind.min} to {kind.max}"
        return f"`{name}` must be a whole number, {room}"
    if isinstance(kind, click.Choice):
        return f"`{name}` must be one of: {', '.join(kind.choices)}"
    return None


def _of_too_much(message: str, context: click.Context) -> str | None:
    """What to do about words behind the last argument: they are a name for `-r`, or belong to the one that is taken."""
    found = re.fullmatch(r"Got unexpected extra arguments? \((\S+).*\)", message, re.DOTALL)
    if found is None:
        return None
    taken = [one for one in context.command.params if isinstance(one, click.Argument)]
    if not taken and any("-r" in one.opts for one in context.command.params):
        return f"{context.command_path} -r {found[1]}"
    name = taken[0].make_metavar(context) if len(taken) == 1 else None
    return f"one {name} is taken: put it in quotes if it has blanks" if name else None


def _interrupted(door: Door, error: BaseException) -> int:
    cause = error if isinstance(error, KeyboardInterrupt) else error.__context__
    run = getattr(cause, "run_id", None) or door.interrupted_run
    if isinstance(run, str) and getattr(cause, "goes_on", False):
        door.out.note(f"interrupted here; the run goes on in another process: {door.command('show', run)}")
    elif isinstance(run, str):
        door.out.note(f"interrupted; to go on: {door.command('resume', run)}")
    else:
        door.out.note("interrupted")
    return INTERRUPTED


def internal_fault(door: Door, error: Exception) -> AssentError:
    """An error with an id in place of a traceback, which goes to a log file; the same fault has the same id."""
    import hashlib
    import traceback

    trace = "".join(traceback.format_exception(error))
    ident = hashlib.sha256(trace.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    details: dict[str, str] = {"id": ident}
    log = _write_log(_log_folder(door), ident, trace)
    if log is not None:
        details["log"] = str(log)
    hint = f"please report it with {log}" if log else "please report it with what you did"
    return InternalError(
        "INTERNAL_ERROR", f"something went wrong inside Assent (`{ident}`)", hint=hint, details={**details}
    )


def _log_folder(door: Door) -> Path:
    if door.has_resolved and door.settings.state.is_dir():
        return door.settings.state / "logs"
    return _state_home(door.environ) / "assent" / "logs"


def _state_home(environ: Mapping[str, str]) -> Path:
    named = environ.get("XDG_STATE_HOME", "")
    return Path(named) if named.startswith("/") else Path(environ.get("HOME") or "/") / ".local" / "state"


def _write_log(folder: Path, ident: str, trace: str) -> Path | None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"internal-{ident}.log"
        path.write_text(trace, encoding="utf-8", errors="backslashreplace")
        path.chmod(0o600)
    except OSError:
        return None  # The error itself is worth more than its log.
    return path
