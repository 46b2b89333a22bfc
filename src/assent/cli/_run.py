"""`assent run`, `call` and `resume`: the commands that drive runs."""

from __future__ import annotations

import click

from assent.cli._arguments import parameter_schemas, read_arguments
from assent.cli._command import command
from assent.cli._completion import complete_capability, complete_input, complete_run, complete_workflow
from assent.cli._door import Door
from assent.cli._drive import answer, drive, read_wait, tell_next
from assent.cli._exit import exit_code, worst
from assent.cli._json import objects
from assent.cli._progress import Progress
from assent.cli._workflow import workflow_fields
from assent.errors import Json

wait_option = click.option(
    "--wait",
    is_flag=False,
    flag_value="forever",
    metavar="[=DURATION]",
    help="Where it waits for an approval, follow it until it is decided (`--wait=30m`: at most so long).",
)


@command("run", short_help="Run a workflow file or a saved plan.")
@click.argument("target", metavar="FILE|PLAN", shell_complete=complete_workflow)
@click.argument("inputs", nargs=-1, metavar="[NAME=VALUE]...")
@wait_option
def run(door: Door, target: str, inputs: tuple[str, ...], wait: str | None) -> int:
    """Run the workflow in FILE, or exactly what PLAN showed.

    Inputs are `name=value` (read by the input's declared type), `name:=JSON` or `name=@FILE`. In a terminal, pending approvals
    are asked for on the spot; elsewhere the command stops with exit code 4 and prints the commands that go on.
    """
    wait_ms = read_wait(wait)
    return drive(
        door, door.request("run", **workflow_fields(door, target, inputs, plans=True)), wait_ms=wait_ms
    )


@command("call", short_help="Call one capability.")
@click.argument("capability", shell_complete=complete_capability)
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=complete_input)
@wait_option
def call(door: Door, capability: str, parameters: tuple[str, ...], wait: str | None) -> int:
    """Call one CAPABILITY (`id` or `id@version`) as a run of one step: gated, recorded, and undone by `assent undo`."""
    wait_ms = read_wait(wait)
    given: dict[str, Json] = {}
    if parameters:
        spec = door.facade.capabilities(door.settings).spoken(capability)
        schemas = parameter_schemas(spec)
        given = read_arguments(parameters, schemas, cwd=door.cwd)
    return drive(door, door.request("call", capability=capability, parameters=given), wait_ms=wait_ms)


@command("resume", watches=False, short_help="Go on with unfinished runs.")
@click.argument("run_id", metavar="[RUN]", required=False, shell_complete=complete_run)
def resume(door: Door, run_id: str | None) -> int:
    """Go on with RUN, or with every run that was interrupted; what needed attention is tried again."""
    answered = door.execute(door.request("resume", run=run_id), Progress(door.out))
    results = objects(answered, "results")
    if door.out.is_json:
        if run_id is not None and len(results) == 1:
            door.out.object(results[0])
        else:
            door.out.object([dict(result) for result in results])
        for result in results:
            tell_next(door, result)
    else:
        for result in results:
            answer(door, dict(result))
        if not results:
            door.out.note("nothing to resume")
    return worst(exit_code(result, "resume") for result in results)
