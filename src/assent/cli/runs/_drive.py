"""Driving a run from a terminal: progress, questions on the spot, waiting, and the answer at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from assent.cli._door import Door
from assent.cli._exit import exit_code
from assent.cli.runs._progress import Progress
from assent.cli.runs._result_text import is_cut, result_text, value_text
from assent.errors import AssentError, InputError, RefusedError
from assent.runtime import service
from assent.spec.ids import SHORT_DIGEST
from assent.spec.states import SETTLED_BY, RunState

if TYPE_CHECKING:
    from assent.cli.runs._prompt import Answer
    from assent.errors import Json

FOREVER: Final = "forever"

_ENDED: Final = ("succeeded", "failed", "rolled_back", "cancelled")
_SHOWN_MAX: Final = 5
"""Of so many steps that a person has to settle the command is printed."""


def read_wait(value: str | None) -> int | None:
    """`--wait[=30m]` in milliseconds: None for no waiting, -1 for as long as it takes."""
    from assent.spec.words.durations import parse_duration_ms

    if value is None:
        return None
    if value == FOREVER:
        return -1
    try:
        return parse_duration_ms(int(value) if value.isdecimal() else value)
    except ValueError as error:
        raise InputError("USAGE_INVALID", f"`--wait` {error}", hint="for example `--wait=30m`") from None


def drive(
    door: Door,
    request: service.requests.Driving[service.answers.Run],
    *,
    wait_ms: int | None = None,
    ident: str | None = None,
) -> int:
    """Execute a request, ask for approvals where a person sits, wait where that was asked for, and answer with the run."""
    progress = (
        None if door.is_quiet else Progress(door.out, of_a_call=isinstance(request, service.requests.Call))
    )
    return conclude(door, door.perform(request, progress, ident=ident), wait_ms=wait_ms)


def call(
    door: Door,
    capability: str,
    parameters: Mapping[str, Json],
    *,
    wait_ms: int | None = None,
    ident: str | None = None,
) -> int:
    """Make one call, as `assent call` does."""
    request = service.requests.Call(
        capability=capability, parameters={**parameters}, environment=door.settings.environment
    )
    return drive(door, request, wait_ms=wait_ms, ident=ident)


def _tell_place(door: Door) -> None:
    """Where it acts, and under what, to a person who may take it for another place."""
    settings = door.settings
    if door.out.is_json or door.is_quiet:
        return
    if settings.config_path is None and settings.policy_path is None:
        above = " or above it" if door.flags.workspace is None else ""
        door.out.note(
            f"no assent.toml in {settings.workspace}{above}: the built-in policy holds (to set one up: assent init)"
        )
    elif settings.workspace != door.cwd and door.flags.workspace is None:
        door.out.note(f"in the workspace {settings.workspace}")


def conclude(
    door: Door,
    result: service.answers.Run,
    *,
    wait_ms: int | None,
    step: str | None = None,
    object_of: Callable[[service.answers.Run], object] = lambda run: run,
) -> int:
    """What `drive` does once the run has come as far as it came by itself. `step`: the one to ask about first.

    `object_of`: what `--json` prints of the run.
    """
    _tell_place(door)
    progress = None if door.is_quiet else Progress(door.out)
    operation = door.operation or ""
    answered: set[str] = set()
    while result.status == "waiting" and door.can_ask:
        following, step = _ask_next(door, result, answered, step), None
        if following is None:
            break
        try:
            result = door.perform(following, progress)
        except (InputError, RefusedError) as error:
            # Somebody else decided meanwhile, or this person may not: how the run stands now says what is left to ask.
            _note_refusal(door, error)
            result = as_driven(door.perform(service.requests.Show(run=result.run_id)))
    door.operation = operation
    if (result.status == "waiting" or result.awaited_key is not None) and wait_ms is not None:
        result = _follow(door, result.run_id, wait_ms)
    if door.out.is_json:
        door.out.object(object_of(result))
        tell_next(door, result)
    else:
        answer(door, result)
    return exit_code(result, operation)


def answer(
    door: Door, run: service.answers.Run, asked: Iterable[service.answers.Approval] | None = None
) -> None:
    """The run as the command's answer, and how to go on when it waits or needs somebody; `asked` as for `tell_next`."""
    if door.out.is_json:
        door.out.object(run)
    elif door.is_quiet and run.status == "succeeded":
        door.out.data([value_text(run).encode("utf-8", "surrogatepass")])
        return
    elif door.is_quiet:
        door.out.note(result_text(run, paint=door.out.paint(stderr=True)))
    else:
        door.out.answer(result_text(run, paint=door.out.paint()))
        if is_cut(run):
            door.out.note(f"all of the outputs: {door.command('show', run.run_id, '--json')}")
    tell_next(door, run, asked)


def tell_next(
    door: Door, run: service.answers.Run, asked: Iterable[service.answers.Approval] | None = None
) -> None:
    """The exact commands that would go on, to stderr. `asked`: what the run waits for, where that is known already."""
    status, run_id = run.status, run.run_id
    if status == "waiting":
        from assent.cli.runs._plan_text import approvers_text
        from assent.cli.runs._prompt import granted_text

        asked = [*(pending(door, run_id) if asked is None else asked)]
        for approval in asked:
            step, digest = approval.step, approval.digest
            who = approvers_text(approval.approvers)
            # Who typed the command may be nobody who may type the next one.
            by = "" if who == "any user" else f" by {who}"
            if approval.granted_by:
                by += f", so far {granted_text(approval)}"
            door.out.note(f"waiting for approval of `{step}`{by}:")
            door.out.note(f"  {door.command('approve', run_id, step, '--digest', digest[:SHORT_DIGEST])}")
            door.out.note(f"  {door.command('reject', run_id, step, '--reason', '…')}")
        if asked and not asked[0].notified:
            door.out.note("warning: nobody is told of this: `[notify] approvals` names no endpoint")
        _tell_waits(door, run)
    elif run.awaited_key is not None:
        _tell_key(door, run, run.awaited_key)
    elif status == "needs_attention":
        door.out.note(f"to look: {door.command('show', run_id)}")
        door.out.note(f"to try again: {door.command('resume', run_id)}")
        _tell_unsettled(door, run)
    elif status in _ENDED and any(step.undo in ("automatic", "compensation") for step in _that_stand(run)):
        # What can't be taken back makes an undo of all the rest a wish of its own.
        partial = ["--partial"] if any(step.undo == "none" for step in _that_stand(run)) else []
        what = "what can be taken" if partial else "it"
        door.out.note(f"to take {what} back: {door.command('undo', run_id, *partial)}")
    elif status == "running" and run.workflow is None and run.error is None:
        # Nothing of an open session is left to resume: it waits for steps that its program may never ask for.
        _tell_unsettled(door, run)
        door.out.note(
            "an open session, of which nothing else is left to be done; it takes steps from a program:"
        )
        door.out.note(f"  to end it and keep what it did: {door.command('close', run_id)}")
        door.out.note(f"  to end it and take back what it did: {door.command('cancel', run_id)}")
        door.out.note(f'  to go on with it, in Python: `await rt.session("{run_id}")`')


def _that_stand(run: service.answers.Run) -> list[service.answers.Step]:
    """The steps that an undo would take back: of a run that did not succeed, what its `finally` has done."""
    return [step for step in run.steps if run.status == "succeeded" or step.status == "succeeded"]


def _tell_waits(door: Door, run: service.answers.Run) -> None:
    """What the steps of a run wait for that nobody has to decide about, and the command that ends it."""
    from assent.spec.words.durations import instant

    for step, waits in list(_waits_of(run))[:_SHOWN_MAX]:
        until = "" if waits.due_at_ms is None else f" until {instant(waits.due_at_ms)}"
        if waits.signal is None:
            door.out.note(f"`{step}` waits{until}; a process that owns the state goes on then, or:")
            door.out.note(f"  {door.command('resume', run.run_id)}")
        else:
            door.out.note(f"`{step}` waits for the signal `{waits.signal}`{until}:")
            door.out.note(f"  {door.command('signal', run.run_id, waits.signal)}")


def _tell_key(door: Door, run: service.answers.Run, key: service.answers.Concurrency) -> None:
    """Whom a run waits for that has not begun, and how it goes on."""
    named = "a concurrency key" if key.key is None else f"the concurrency key `{key.key}`"
    door.out.note(f"waiting for {named}{', which others have:' if key.held_by else ''}")
    for other in key.held_by[:_SHOWN_MAX]:
        door.out.note(f"  {door.command('show', other)}")
    door.out.note("it begins by itself where `assent serve` owns the state; elsewhere, once the key is free:")
    door.out.note(f"  {door.command('resume', run.run_id)}")


def _waits_of(
    run: service.answers.Run | service.answers.ShownRun,
) -> Iterator[tuple[str, service.answers.WaitsFor]]:
    for step in run.steps:
        if isinstance(step.waits_for, service.answers.WaitsFor):
            yield step.name, step.waits_for


def _tell_unsettled(door: Door, run: service.answers.Run) -> None:
    steps = [step for step in run.steps if step.status in SETTLED_BY]
    for step in steps[:_SHOWN_MAX]:
        words = "|".join(f"--{one.replace('_', '-')}" for one in SETTLED_BY[step.status])
        door.out.note(f"to settle it: {door.command('resolve', run.run_id, step.name)} {words}")
    if len(steps) > _SHOWN_MAX:
        door.out.note(f"and {len(steps) - _SHOWN_MAX} more steps like these")


def pending(door: Door, run_id: str | None = None) -> list[service.answers.Approval]:
    """What the run waits for, or all that waits. Never fails: it is advice beside an answer."""
    try:
        return door.perform(service.requests.Approvals(run=run_id)).approvals
    except AssentError:
        return []


def _ask_next(
    door: Door, result: service.answers.Run, answered: set[str], step: str | None
) -> service.requests.Driving[service.answers.Run] | None:
    """The request that follows from the person's answer to the next question, or None for later."""
    from assent.cli.runs._prompt import ask  # `assent show` asks nothing

    run_id = result.run_id
    for approval in pending(door, run_id):
        digest = approval.digest
        if digest in answered or step not in (None, approval.step):
            continue
        answered.add(digest)
        door.interrupted_run = run_id
        given = ask(door, approval)
        door.interrupted_run = None
        request = _request(run_id, approval, given)
        if request is not None:
            return request
    return None


def _request(
    run_id: str, approval: service.answers.Approval, given: Answer
) -> service.requests.Driving[service.answers.Run] | None:
    step, digest = approval.step, approval.digest
    if given.word == "approve":
        return service.requests.Approve(run=run_id, step=step, digest=digest)
    if given.word == "reject":
        return service.requests.Reject(run=run_id, step=step, digest=digest, reason=given.reason)
    return None


def _note_refusal(door: Door, error: AssentError) -> None:
    from assent.cli.terminal._error_text import error_text

    door.out.note(error_text(error, paint=door.out.paint(stderr=True)))


def _follow(door: Door, run_id: str, wait_ms: int) -> service.answers.Run:
    """The run once it neither waits nor runs, or when the time is up.

    The state is only read meanwhile. When a time has come that a step waits for, the run is driven on, should nobody else do it.
    """
    import msgspec  # `assent run --help` does without it

    from assent.system import SystemClock

    progress, clock = Progress(door.out), SystemClock()
    ends_ms = clock.monotonic_ms() + wait_ms if wait_ms >= 0 else None
    shown = door.perform(service.requests.Show(run=run_id))
    door.out.note(f"waiting; Ctrl-C leaves the run as it is ({door.command('show', run_id)})")
    while shown.status == "waiting" or shown.awaited_key is not None:
        left = [ends_ms - clock.monotonic_ms()] if ends_ms is not None else []
        if left and left[0] <= 0:
            break
        if shown.awaited_key is not None:
            if not _is_key_free(door, shown.awaited_key, min(left) if left else None):
                break
            door.perform(service.requests.Resume(run=run_id), progress)
            shown = door.perform(service.requests.Show(run=run_id))
            continue
        due = [waits.due_at_ms for _, waits in _waits_of(shown) if waits.due_at_ms is not None]
        left += [max(0, min(due) - clock.now_ms())] if due else []
        within_ms = min(left) if left else None
        request = service.requests.Events(run=run_id, since=len(shown.events), within_ms=within_ms)
        for event in door.stream(request):
            progress(msgspec.to_builtins(event))
        if due and min(due) <= clock.now_ms():
            door.perform(service.requests.Resume(run=run_id), progress)
        shown = door.perform(service.requests.Show(run=run_id))
    return as_driven(shown)


def _is_key_free(door: Door, key: service.answers.Concurrency, within_ms: int | None) -> bool:
    """Wait until a run that has the key has ended. False where the time was up, or it does not end by itself."""
    if not key.held_by:
        return True
    holder = door.perform(service.requests.Show(run=key.held_by[0]))
    request = service.requests.Events(run=holder.run_id, since=len(holder.events), within_ms=within_ms)
    for _ in door.stream(request):
        pass
    now = door.perform(service.requests.Show(run=holder.run_id))
    return RunState(now.status).is_finished


def as_driven(shown: service.answers.ShownRun) -> service.answers.Run:
    """The run as the command that drives it gives it."""
    run = {name: getattr(shown, name) for name in service.answers.Run.__struct_fields__}
    fields = service.answers.Step.__struct_fields__
    steps = [service.answers.Step(**{name: getattr(one, name) for name in fields}) for one in shown.steps]
    return service.answers.Run(**{**run, "steps": steps})
