"""The process that an agent's program starts before each call of a tool, and after it: it reads the call, asks, and answers.

Fail closed. An answer is printed and the process ends with 0; whatever else happens, it ends with 2 and the reason on stderr,
which programs take for a denial. A thread ends it should it hang.
"""

from __future__ import annotations

import json
import os
import sys
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from assent.cli.hook import _acts
from assent.cli.hook._deciding import Answer, Ask, add, close, note, refused, told_of
from assent.cli.hook._place import Place
from assent.errors import AssentError, InputError

T = TypeVar("T")

GRACE_S: Final = 30
"""So long everything else may take: a state that others write to, an owner that is busy."""

DENIED: Final = 2

_FLAGS: Final = ("workspace", "state", "policy", "as", "patience")


class NotNotedError(Exception):
    """What came of a call is not on record. The call is over, so nothing is denied by it."""

    def __init__(self, why: AssentError) -> None:
        """`why`: what kept it from that."""
        self.why = why


class _Host(NamedTuple):
    """One kind of program that asks: how it says a call, and how it is answered."""

    name: str
    read: Callable[[Mapping[str, Any]], _acts.Act | _acts.Came | _acts.End]
    answered: Callable[[Answer], dict[str, Any]]
    noted: Callable[[str, str], dict[str, Any]]
    ended: Callable[[str | None], dict[str, Any]]


def _to_claude_code(answer: Answer) -> dict[str, Any]:
    if answer.decision == "none":
        return {}
    told = {
        "hookEventName": "PreToolUse",
        "permissionDecision": answer.decision,
        "permissionDecisionReason": answer.reason,
    }
    return {"hookSpecificOutput": told}


def _to_contract(answer: Answer) -> dict[str, Any]:
    return answer._asdict()


HOSTS: Final = {
    "claude-code": _Host(
        "agent:claude-code", _acts.of_claude_code, _to_claude_code, lambda *_: {}, lambda _: {}
    ),
    "ask": _Host(
        "agent:hook",
        _acts.of_contract,
        _to_contract,
        lambda run, step: {"run": run, "step": step},
        lambda run: {"closed": run},
    ),
}


def run(words: Sequence[str]) -> NoReturn:
    """The whole process: `words` are what follows `assent hook`."""
    try:
        said = _flags(words[1:])
    except InputError as error:
        _deny(f"{error.message} [{error.code}]")
    serve(words[0], said)


def serve(name: str, said: Mapping[str, str]) -> NoReturn:
    """Answer the one call that stands on standard input, as the host `name` understands it, and end."""
    try:
        host = HOSTS[name]
        place = Place(said, host.name)
        start_new_thread(_end_late, (place.patience_ms / 1000 + GRACE_S,))
        told = json.dumps(answer(host, place, sys.stdin.buffer.read(_acts.INPUT_BYTES_MAX + 1)))
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()
    except NotNotedError as error:
        _end_with(1, f"not recorded: {error.why.message} [{error.why.code}]")
    except AssentError as error:
        _deny(f"{error.message} [{error.code}]")
    except KeyboardInterrupt:
        _deny("interrupted before there was an answer")
    except BaseException as error:  # noqa: BLE001 - the last door: what is not an answer is a denial
        _deny(f"something went wrong inside Assent: {type(error).__name__}")
    os._exit(0)  # What was loaded need not be swept.


def answer(host: _Host, place: Place, data: bytes) -> dict[str, Any]:
    """What the program is told about what it said; `NotNotedError` where that was an outcome which is not on record."""
    try:
        said = host.read(_acts.read(data))
        if isinstance(said, _acts.End):
            return host.ended(_asked(place, partial(close, said, place.principal)))
        if isinstance(said, _acts.Came):
            return _noted(host, place, said)
        found = _decided(said, place)
        if said.is_for_its_user and found.decision == "allow":
            found = found._replace(decision="none")
        return host.answered(found)
    except AssentError as error:
        return host.answered(refused(error))


def _decided(act: _acts.Act, place: Place) -> Answer:
    run = _by_owner(place, lambda ask: add(act, place.principal, ask))
    if run is not None and run["steps"][0]["status"] != "awaiting_approval":
        return told_of(run)
    from assent.cli.hook._runtime import WholeRuntime

    runtime = WholeRuntime(place)
    run = run or add(act, place.principal, runtime.ask)
    if run["steps"][0]["status"] == "awaiting_approval":
        return runtime.decided(run, place.patience_ms)
    return told_of(run)


def _noted(host: _Host, place: Place, came: _acts.Came) -> dict[str, Any]:
    try:
        return host.noted(*_asked(place, partial(note, came, place.principal)))
    except AssentError as error:
        raise NotNotedError(error) from error


def _asked(place: Place, of: Callable[[Ask], T]) -> T:
    """What comes of asking whoever owns the state, or as its owner."""
    told = _by_owner(place, lambda ask: (of(ask),))
    if told is not None:
        return told[0]
    from assent.cli.hook._runtime import WholeRuntime

    return of(WholeRuntime(place).ask)


def _by_owner(place: Place, of: Callable[[Ask], T]) -> T | None:
    """What comes of asking the process that owns the state; None where there is none, or more has to be known than where it is.

    What has been done by then under an id is not done again.
    """
    state = place.path("state")
    if state is None or place.path("policy") is not None or not place.principal.startswith("agent:"):
        return None
    from assent.cli.hook._owner import NotTakenError, Owner

    with suppress(NotTakenError), Owner(state, place.principal) as owner:
        return of(owner.ask)
    return None


def _flags(words: Sequence[str]) -> dict[str, str]:
    said: dict[str, str] = {}
    rest = list(words)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        name = flag.removeprefix("--")
        if not flag.startswith("--") or name not in _FLAGS or (not equals and not rest):
            raise InputError(
                "USAGE_INVALID", f"`{flag}` is no flag here: {', '.join(f'--{one}' for one in _FLAGS)}"
            )
        said[name] = value if equals else rest.pop(0)
    return said


def _end_late(seconds: float) -> None:
    never = allocate_lock()
    never.acquire()
    never.acquire(timeout=seconds)
    _deny("Assent did not answer in time")


def _deny(reason: str) -> NoReturn:
    _end_with(DENIED, f"denied: {reason}")


def _end_with(code: int, line: str) -> NoReturn:
    with suppress(OSError, ValueError):
        os.write(2, f"{line}\n".encode("ascii", "backslashreplace"))
    os._exit(code)
