"""Driving a run from a terminal: progress, questions on the spot, waiting, and the answer at the end."""

from __future__ import annotations

import threading
from typing import Final

from assent.cli._door import Door
from assent.cli._exit import exit_code
from assent.cli._facade import Result
from assent.cli._json import Object, mapping, text
from assent.cli._progress import Progress
from assent.cli._prompt import Answer, ask
from assent.cli._result_text import is_cut, result_text
from assent.errors import AssentError, InputError, Json, RefusedError

POLL_S: Final = 0.2
"""How often the journal is looked at while waiting."""

FOREVER: Final = "forever"


def read_wait(value: str | None) -> int | None:
    """`--wait[=30m]` in milliseconds: None for no waiting, -1 for as long as it takes."""
    from assent.spec.sections import parse_duration_ms

    if value is None:
        return None
    if value == FOREVER:
        return -1
    try:
        return parse_duration_ms(int(value) if value.isdecimal() else value)
    except ValueError as error:
        raise InputError("USAGE_INVALID", f"`--wait` {error}", hint="for example `--wait=30m`") from None


def drive(door: Door, request: dict[str, Json], *, wait_ms: int | None = None) -> int:
    """Execute a request, ask for approvals where a person sits, wait where that was asked for, and answer with the run."""
    operation = str(request["op"])
    progress = Progress(door.out)
    result = door.execute(request, progress)
    answered: set[str] = set()
    while text(result, "status") == "waiting" and door.can_ask:
        following = _ask_next(door, result, answered)
        if following is None:
            break
        try:
            result = door.execute(following, progress)
        except (InputError, RefusedError) as error:
            # Somebody else decided meanwhile, or this person may not: how the run stands now says what is left to ask.
            _note_refusal(door, error)
            with door.reader() as reader:
                result = _without_events(reader.show(text(result, "run_id")))
    door.operation = operation
    if text(result, "status") == "waiting" and wait_ms is not None:
        result = _follow(door, text(result, "run_id"), wait_ms)
    answer(door, result)
    return exit_code(result, operation)


def answer(door: Door, result: Result) -> None:
    """The run as the command's answer, and how to go on when it waits or needs somebody."""
    if door.out.is_json:
        door.out.object(result)
    else:
        door.out.answer(result_text(result, paint=door.out.paint()))
        if is_cut(result):
            door.out.note(f"all of the outputs: {door.command('show', text(result, 'run_id'), '--json')}")
    tell_next(door, result)


def tell_next(door: Door, run: Object) -> None:
    """The exact commands that would go on, to stderr."""
    status, run_id = text(run, "status"), text(run, "run_id")
    if status == "waiting":
        from assent.cli._plan_text import approvers_text

        for approval in pending(door, run_id):
            step, digest = text(approval, "step"), text(approval, "digest")
            who = approvers_text(mapping(approval, "approvers"))
            # Who typed the command may be nobody who may type the next one.
            by = "" if who == "any user" else f" by {who}"
            door.out.note(f"waiting for approval of `{step}`{by}:")
            door.out.note(f"  {door.command('approve', run_id, step, '--digest', digest)}")
            door.out.note(f"  {door.command('reject', run_id, step, '--reason', '…')}")
    elif status == "needs_attention":
        door.out.note(f"to look: {door.command('show', run_id)}")
        door.out.note(f"to try again: {door.command('resume', run_id)}")
        step = text(_error(run), "path")
        if step:
            door.out.note(
                f"to settle it: {door.command('resolve', run_id, step)} --happened|--not-happened|--compensated|--abandon"
            )


def _error(run: Object) -> Object:
    error = run.get("error")
    return error if isinstance(error, dict) else {}


def pending(door: Door, run_id: str) -> list[Object]:
    """What the run waits for. Never fails: it is advice beside an answer."""
    try:
        with door.reader() as reader:
            return [item for item in reader.approvals() if text(item, "run_id") == run_id]
    except AssentError:
        return []


# -- asking ------------------------------------------------------------------------------------------------------------


def _ask_next(door: Door, result: Object, answered: set[str]) -> dict[str, Json] | None:
    """The request that follows from the person's answer to the next question, or None for later."""
    run_id = text(result, "run_id")
    for approval in pending(door, run_id):
        digest = text(approval, "digest")
        if digest in answered:
            continue
        answered.add(digest)
        door.interrupted_run = run_id
        given = ask(door, approval)
        door.interrupted_run = None
        request = _request(door, run_id, approval, given)
        if request is not None:
            return request
    return None


def _request(door: Door, run_id: str, approval: Object, given: Answer) -> dict[str, Json] | None:
    common: dict[str, Json] = {
        "run": run_id,
        "step": text(approval, "step"),
        "digest": text(approval, "digest"),
    }
    if given.word == "approve":
        return door.request("approve", **common)
    if given.word == "reject":
        return door.request("reject", **common, reason=given.reason)
    return None


def _note_refusal(door: Door, error: AssentError) -> None:
    from assent.cli._error_text import error_text

    door.out.note(error_text(error, paint=door.out.paint(stderr=True)))


# -- waiting -----------------------------------------------------------------------------------------------------------


def _follow(door: Door, run_id: str, wait_ms: int) -> Result:
    """The run once it neither waits nor runs, or when the time is up. The state is only read meanwhile."""
    from assent.system import SystemClock

    clock = SystemClock()
    started = clock.monotonic_ms()
    pause = threading.Event()
    progress = Progress(door.out)
    seen: int | None = None
    door.out.note(f"waiting; Ctrl-C leaves the run as it is ({door.command('show', run_id)})")
    while True:
        with door.reader() as reader:
            shown = reader.show(run_id)
        events = shown.get("events")
        leaves = [leaf for leaf in events if isinstance(leaf, dict)] if isinstance(events, list) else []
        for leaf in leaves[seen:] if seen is not None else []:
            progress(leaf)
        seen = len(leaves)
        if text(shown, "status") not in ("waiting", "running", "rolling_back", "undoing", "pending"):
            return _without_events(shown)
        if 0 <= wait_ms <= clock.monotonic_ms() - started:
            return _without_events(shown)
        pause.wait(POLL_S)


def _without_events(shown: Result) -> Result:
    """The run object as the command that drives a run gives it."""
    fields = ("run_id", "workflow", "status", "steps", "outputs", "error", "ledger")
    return {name: shown[name] for name in fields if name in shown}
