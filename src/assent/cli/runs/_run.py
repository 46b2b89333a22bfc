"""`assent run`, `call` and `resume`: the commands that drive runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import click

from assent.cli._arguments import split_arguments
from assent.cli._command import command, noted
from assent.cli._completion import complete_capability, complete_input, complete_run, complete_workflow
from assent.cli._door import Door
from assent.cli._exit import exit_code, worst
from assent.cli.runs._drive import answer, conclude, drive, pending, read_wait, tell_next
from assent.cli.runs._progress import Progress
from assent.cli.runs._workflow import run_request
from assent.errors import InputError
from assent.runtime import service
from assent.spec.states import PRIORITY, PRIORITY_MAX
from assent.spec.words.sizes import count_text

_TOLD_MAX: Final = 20
"""Of so many runs at once it is told what became of each."""

wait_option = click.option(
    "--wait",
    is_flag=False,
    flag_value="forever",
    metavar="[=DURATION]",
    help="Where it waits, follow it until it has ended (`--wait=30m`: at most so long).",
)


priority_option = click.option(
    "--priority",
    type=click.IntRange(0, PRIORITY_MAX),
    default=PRIORITY,
    metavar="0-10",
    help="Where not all runs can begin at once, the higher one does first.",
)


def _put_quiet(door: Door, _value: object) -> None:
    door.is_quiet = True


quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=noted(_put_quiet),
    help="Print what came out and nothing else: text as it is, all else as JSON. What goes wrong is told on stderr.",
)


id_option = click.option(
    "--id",
    "ident",
    metavar="ID",
    help="Begin it once: asked again under this ID, by whoever begins it, the first run is told of, or goes on.",
)


@command("run", short_help="Run a workflow file or a saved plan.")
@click.argument("target", metavar="FILE|PLAN", shell_complete=complete_workflow)
@click.argument("inputs", nargs=-1, metavar="[NAME=VALUE]...")
@wait_option
@id_option
@priority_option
@quiet_option
def run(
    door: Door, target: str, inputs: tuple[str, ...], *, wait: str | None, ident: str | None, priority: int
) -> int:
    """Run the workflow in FILE, or exactly what PLAN showed.

    Inputs are `name=value` (read by the input's declared type), `name:=JSON` or `name=@FILE`. In a terminal, pending approvals
    are asked for on the spot; elsewhere the command stops with exit code 4 and prints the commands that go on.
    """
    wait_ms = read_wait(wait)
    request = run_request(door, target, inputs, priority=priority)
    return drive(door, request, wait_ms=wait_ms, ident=ident)


@command("call", short_help="Call one capability.")
@click.argument("capability", shell_complete=complete_capability)
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=complete_input)
@wait_option
@id_option
@priority_option
@quiet_option
def call(
    door: Door,
    capability: str,
    parameters: tuple[str, ...],
    *,
    wait: str | None,
    ident: str | None,
    priority: int,
) -> int:
    """Call one CAPABILITY (`id` or `id@version`) as a run of one step: gated, recorded, and undone by `assent undo`."""
    wait_ms = read_wait(wait)
    given, texts = split_arguments(parameters, door)
    environment = door.settings.environment
    request = service.requests.Call(
        capability=capability, parameters=given, words=texts, environment=environment, priority=priority
    )
    return drive(door, request, wait_ms=wait_ms, ident=ident)


@command("resume", watches=False, short_help="Go on with unfinished runs.")
@click.argument("run_id", metavar="[RUN]", required=False, shell_complete=complete_run)
@wait_option
def resume(door: Door, run_id: str | None, wait: str | None) -> int:
    """Go on with RUN, or with every run that was interrupted; what needed attention is tried again.

    Pending approvals are asked for in a terminal; those of a RUN are waited for with `--wait`.
    """
    wait_ms = read_wait(wait)
    if wait_ms is not None and run_id is None:
        raise InputError(
            "USAGE_INVALID", "`--wait` needs a RUN", hint="for example `assent resume RUN --wait`"
        )
    runs = door.perform(service.requests.Resume(run=run_id), Progress(door.out)).results
    if run_id is not None and len(runs) == 1:
        return conclude(door, runs[0], wait_ms=wait_ms)
    if door.out.is_json:
        door.out.object(runs)
    elif not runs:
        door.out.note("nothing to resume")
    _tell(door, [run for run in runs if not (door.can_ask and run.status == "waiting")])
    codes = [
        conclude(door, run, wait_ms=None)
        if door.can_ask and run.status == "waiting"
        else exit_code(run, "resume")
        for run in runs
    ]
    return worst(codes)


def _tell(door: Door, runs: Sequence[service.answers.Run]) -> None:
    """What became of the runs, each with the commands that go on: first those that a person does not know of yet."""
    told = sorted(runs, key=lambda run: run.status == "waiting")[:_TOLD_MAX]
    # Read once for all of them: each run's own reading made a thousand waiting runs a matter of hours.
    asked: dict[str, list[service.answers.Approval]] = {run.run_id: [] for run in told}
    if any(run.status == "waiting" for run in told):
        for item in pending(door):
            asked.setdefault(item.run_id, []).append(item)
    for run in told:
        if door.out.is_json:
            tell_next(door, run, asked[run.run_id])
        else:
            answer(door, run, asked[run.run_id])
    left = Counter(run.status for run in runs) - Counter(run.status for run in told)
    if left:
        counts = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in left.items())
        door.out.note(
            f"and {count_text(left.total(), 'more run')} ({counts}): {door.command('runs')}, {door.command('approvals')}"
        )
