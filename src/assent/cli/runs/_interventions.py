"""What people decide about runs: `approvals`, `approve`, `reject`, `resolve`, `cancel`, `signal`, `close`, `undo`."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import click

from assent._lazy import compiled_when_asked
from assent.cli._command import command
from assent.cli._completion import complete_run
from assent.cli._door import Door
from assent.cli._exit import OK, exit_code, worst
from assent.cli.runs._drive import answer, as_driven, conclude, drive, read_wait
from assent.cli.runs._progress import Progress
from assent.cli.runs._run import wait_option
from assent.cli.terminal._style import RISK_STYLE, Paint
from assent.errors import InputError, Json
from assent.runtime import service
from assent.spec.ids import NEWEST_RUN, SHORT_DIGEST, names_digest
from assent.spec.values.json_fields import written
from assent.spec.words.legible import safe_line

_WHOLE_ID: Final = compiled_when_asked(r"(run_[0-9a-z]{26}|apr_[0-9a-f]{32})\Z")

run_argument = click.argument("run_id", metavar="RUN", shell_complete=complete_run)


@command("approvals", short_help="List what waits for an approval.")
@click.option(
    "--diff", "--full", "diff", is_flag=True, help="Show each whole: every input, and what it would change."
)
def approvals(door: Door, *, diff: bool) -> None:
    """List what waits for a person, with the digest that binds what would run."""
    found = door.perform(service.requests.Approvals()).approvals
    if door.out.is_json:
        door.out.object(found)
        return
    if not found:
        door.out.note("nothing waits for an approval")
        return
    paint = door.out.paint()
    if diff:
        from assent.cli.runs._prompt import approval_text
        from assent.system import SystemClock

        now_ms = SystemClock().now_ms()

        for item in found:
            door.out.answer(f"{item.run_id}\n{approval_text(item, paint=paint, now_ms=now_ms)}\n")
        return
    from assent.cli.runs._prompt import granted_text, not_undone
    from assent.cli.terminal._table import table

    rows = [
        [
            item.run_id,
            safe_line(item.step),
            safe_line(item.capability),
            paint(item.risk_level, RISK_STYLE.get(item.risk_level)),
            paint("NO UNDO", "red") if not_undone(item) else "",
            safe_line(item.rule),
            safe_line(item.requester),
            granted_text(item),
            _expiry(item),
            item.digest[:SHORT_DIGEST],
        ]
        for item in found
    ]
    head = ["run", "step", "capability", "risk", "undo", "rule", "requester", "approved", "expires", "digest"]
    door.out.answer(table(rows, head=head, paint=paint))
    door.out.note(f"to see what each would change: {door.command('approvals', '--diff')}")
    door.out.note(f"to decide: {door.command('approve', 'RUN', 'STEP', '--digest', 'DIGEST')}")


def _expiry(item: service.answers.Approval) -> str:
    from assent.cli.runs._timeline import time_text

    return "" if item.expires_at_ms is None else time_text(item.expires_at_ms)


@command("approve", short_help="Approve a waiting step; the run goes on.")
@click.argument(
    "words", metavar="RUN [STEP] [RUN [STEP]]...", nargs=-1, required=True, shell_complete=complete_run
)
@click.option(
    "--digest",
    "digests",
    metavar="DIGEST",
    multiple=True,
    help="What was shown, or 12 digits of it: refused when something else would run now; one for each of several runs.",
)
@click.option("--unseen", is_flag=True, help="Approve what waits now without having been shown it.")
@wait_option
def approve(
    door: Door, *, words: tuple[str, ...], digests: tuple[str, ...], unseen: bool, wait: str | None
) -> int:
    """Approve the waiting STEP of RUN (it may be left out when only one waits) and let the run go on, as its requester.

    In a terminal, what waits is shown whole and asked about, as `run` does. Elsewhere `--digest` says what was shown, or
    `--unseen` that nothing was: the journal keeps which. Several runs are asked about in turn, those after the first by whole id.
    """
    wait_ms = read_wait(wait)
    if digests and unseen:
        raise InputError("USAGE_INVALID", "`--digest` and `--unseen` exclude each other")
    targets = [_Target(door, *_asked(door, run, step)) for run, step in _named(words)]
    if len(targets) == len(digests) == 1:
        return targets[0].approve(digests[0], unseen=False, wait_ms=wait_ms)
    if not digests and not unseen and not door.can_ask:
        _refuse_unseen(door, targets)
    # Nothing is approved before it is known that all of it was shown.
    shown = [target.digest_among(digests) if digests else None for target in targets]
    return worst(
        [
            target.approve(digest, unseen=unseen, wait_ms=wait_ms)
            for target, digest in zip(targets, shown, strict=True)
        ]
    )


class _Target:
    """One run, or one step of it, that is to be approved."""

    def __init__(self, door: Door, run: str, step: str | None) -> None:
        self._door, self._run, self._step = door, run, step

    @cached_property
    def waiting(self) -> list[service.answers.Approval]:
        """What waits of it when that is first asked for."""
        found = self._door.perform(service.requests.Approvals(run=self._run)).approvals
        return [item for item in found if self._step in (None, item.step)]

    def digest_among(self, digests: tuple[str, ...]) -> str:
        """The digest of what waits here that was shown; `USAGE_INVALID` where none of them is."""
        for item in self.waiting:
            if any(names_digest(given, item.digest) for given in digests):
                self._run, self._step = item.run_id, item.step
                return item.digest
        what = f"step `{self._step}` of `{self._run}`" if self._step is not None else f"`{self._run}`"
        raise InputError(
            "USAGE_INVALID",
            f"no `--digest` is of what waits in {what}",
            hint=f"`{self._door.command('approvals', '--diff')}` shows what waits, and its digest",
        )

    def approve(self, digest: str | None, *, unseen: bool, wait_ms: int | None) -> int:
        """Agree to what was shown; what was not, and need not go unseen, is shown now and asked about."""
        door = self._door
        if digest is None and not unseen:
            if self.waiting:
                shown = door.perform(service.requests.Show(run=self.waiting[0].run_id))
                return conclude(door, as_driven(shown), wait_ms=wait_ms, step=self._step)
            digest = ""  # whatever waits by now was not shown
        return drive(
            door, service.requests.Approve(run=self._run, step=self._step, digest=digest), wait_ms=wait_ms
        )


def _asked(door: Door, run: str, step: str | None) -> tuple[str, str | None]:
    """The run and the step that are meant, also where they are named by the id of what waits, as `approvals --json` tells it."""
    if run.startswith("apr_"):
        for item in door.perform(service.requests.Approvals()).approvals:
            if item.approval_id == run and step in (None, item.step):
                return item.run_id, item.step
    return run, step


def _named(words: tuple[str, ...]) -> list[tuple[str, str | None]]:
    """The runs, each with the step that was named behind it: what looks like a whole id is another run."""
    named: list[tuple[str, str | None]] = []
    for word in words:
        if not named or word == NEWEST_RUN or _WHOLE_ID.match(word):
            named.append((word, None))
        elif named[-1][1] is None:
            named[-1] = (named[-1][0], word)
        else:
            hint = "each RUN after the first is named by its whole id, as `assent approvals` prints it"
            raise InputError(
                "USAGE_INVALID", f"`{word}` is not a run, and a step was named already", hint=hint
            )
    return named


def _refuse_unseen(door: Door, targets: list[_Target]) -> None:
    """Nothing is approved where nobody was shown it; but what does not wait is told as that, by who is asked for it."""
    digests = [target.waiting[0].digest[:SHORT_DIGEST] for target in targets if target.waiting]
    if digests:
        then = " ".join(f"--digest {digest}" for digest in digests)
        raise InputError(
            "USAGE_INVALID",
            "nobody is here who could be shown what is approved",
            hint=f"`{door.command('approvals', '--diff')}` shows it; then `{then}`, or `--unseen`",
        )


@command("reject", short_help="Reject a waiting step; the run rolls back.")
@run_argument
@click.argument("step", required=False)
@click.option("--reason", metavar="TEXT", default="", help="Why; it goes back to who asked.")
@click.option(
    "--digest", metavar="DIGEST", help="What was shown: refused when something else is asked by now."
)
def reject(door: Door, run_id: str, step: str | None, reason: str, digest: str | None) -> int:
    """Reject the waiting STEP of RUN; what the run did so far is taken back."""
    run_id, step = _asked(door, run_id, step)
    return _settle(door, service.requests.Reject(run=run_id, step=step, digest=digest, reason=reason))


@command("cancel", short_help="Stop a run between effects and roll it back.")
@run_argument
@click.option(
    "--last-step", is_flag=True, help="Only the last step of a session that can be taken back; it goes on."
)
def cancel(door: Door, run_id: str, *, last_step: bool) -> int:
    """Stop RUN between two effects and take back what it did."""
    return _settle(door, service.requests.Cancel(run=run_id, last=last_step))


@command("signal", short_help="Send a run a signal that it waits for.")
@run_argument
@click.argument("name")
@click.argument("payload", metavar="[JSON]", required=False)
def signal(door: Door, run_id: str, name: str, payload: str | None) -> int:
    """Send RUN the signal NAME, with JSON for the step that waits for it, or will: its output. The run then goes on."""
    value = None if payload is None else _json(payload, "JSON")
    return _settle(door, service.requests.Signal(run=run_id, name=name, payload=value))


def _json(text: str, name: str) -> Json:
    from assent.spec.values.canonical import parse_json

    try:
        return parse_json(text)
    except InputError as error:
        raise InputError("ARGUMENT_INVALID", f"`{name}`: {error.message}", hint="write JSON") from None


@command("close", short_help="End a session: no more steps, and what it did stays.")
@run_argument
def close(door: Door, run_id: str) -> int:
    """End the session RUN: it takes no more steps, and succeeds once those it has are settled. `assent undo` takes it back."""
    return _settle(door, service.requests.CloseSession(run=run_id))


@command("undo", short_help="Take back everything a finished run did.")
@run_argument
@click.option("--partial", is_flag=True, help="Also when a step can't be undone: take back the others.")
@click.option(
    "--plan", "is_plan", is_flag=True, help="Only show what it would do; nothing is asked or recorded."
)
def undo(door: Door, *, run_id: str, partial: bool, is_plan: bool) -> int:
    """Take back everything the finished RUN did. Conflicts with later changes are found before anybody is asked."""
    if is_plan:
        found = door.perform(service.requests.PlanUndo(run=run_id, partial=partial))
        door.out.tell(found, lambda: _undo_text(found, paint=door.out.paint()))
        return OK
    return _settle(door, service.requests.Undo(run=run_id, partial=partial))


_UNDO_WORDS: Final = {
    "not_needed": "nothing to undo",
    "automatic": "restored",
    "compensation": "offset",
    "none": "can't be undone",
}


def _undo_text(plan: service.answers.UndoPlan, *, paint: Paint) -> str:
    """Each step with what would become of it, what stands in the way, the change of files, and the gate's answer."""
    from assent.cli.terminal._diff import diff_text

    head = "undo of" if plan.possible else paint("no undo of", "red")
    lines = [f"{head} {plan.run_id}  {paint(plan.risk_level, RISK_STYLE.get(plan.risk_level))}"]
    for step in plan.steps:
        words = _UNDO_WORDS.get(step.undo, step.undo)
        if step.by is not None:
            words += f" by {safe_line(step.by.capability)} {safe_line(written(step.by.inputs))}"
        lines.append(f"  {safe_line(step.name)}  {safe_line(step.capability)}  {words}")
        if step.error is not None:
            lines.append(
                f"    {paint(safe_line(step.error.message), 'red')}   [{safe_line(step.error.code)}]"
            )
    if plan.preview.diff:
        lines.append(diff_text(plan.preview.diff, paint=paint, indent="  "))
    lines.append(f"{plan.decision}  rule {safe_line(plan.rule)}")
    return "\n".join(lines)


@command("resolve", short_help="Say what happened to a step that is in doubt.")
@run_argument
@click.argument("step")
@click.option("--happened", is_flag=True, help="The effect happened.")
@click.option("--not-happened", is_flag=True, help="The effect did not happen.")
@click.option("--compensated", is_flag=True, help="Somebody has taken the effect back.")
@click.option("--abandon", is_flag=True, help="Leave the world as it is and end the run.")
@click.option("--output", metavar="JSON", help="With `--happened`: what the step gave.")
def resolve(door: Door, /, *, run_id: str, step: str, output: str | None, **said: bool) -> int:
    """Settle STEP of RUN, which the runtime can't: whether its effect happened, or was taken back by somebody."""
    resolutions = [name for name, is_said in said.items() if is_said]
    if len(resolutions) != 1:
        hint = "one of: --happened, --not-happened, --compensated, --abandon"
        what = (
            "say one thing that happened to the step, not several"
            if resolutions
            else "say what happened to the step"
        )
        raise InputError("USAGE_INVALID", what, hint=hint)
    resolution = resolutions[0]
    value: Json = None
    if output is not None:
        if resolution != "happened":
            raise InputError(
                "USAGE_INVALID", "there is an output only if it happened", hint="`--happened --output JSON`"
            )
        value = _json(output, "--output")
    return _settle(
        door,
        service.requests.Resolve(run=run_id, step=step, resolution=resolution, output=value),  # type: ignore[arg-type]  # one of its words
    )


def _settle(door: Door, request: service.requests.Driving[service.answers.Run]) -> int:
    result = door.perform(request, Progress(door.out))
    answer(door, result)
    return exit_code(result, door.operation or "")
