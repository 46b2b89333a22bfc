"""`assent plan`: what a workflow would do."""

from __future__ import annotations

import click

from assent.cli._command import command
from assent.cli._completion import complete_workflow
from assent.cli._door import Door
from assent.cli._exit import OK, plan_exit_code
from assent.cli.runs._progress import Progress
from assent.cli.runs._workflow import plan_request
from assent.errors import InputError


@command("plan", short_help="Show what a workflow would do; changes nothing.")
@click.argument("file", shell_complete=complete_workflow)
@click.argument("inputs", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--exit-code",
    is_flag=True,
    help="3 denied, 1 would fail, 11 needs approval or unknown, 10 changes, 0 none.",
)
@click.option(
    "--execute-captured",
    is_flag=True,
    help="Run programs whose writes are captured in the sandbox, and show what they would write; nothing is applied.",
)
@click.option(
    "--no-reads", is_flag=True, help="Read nothing that a later step needs, so that nothing is recorded."
)
@click.option("--detail", metavar="STEP", help="Show the whole diff of this step.")
def plan(
    door: Door,
    *,
    file: str,
    inputs: tuple[str, ...],
    exit_code: bool,
    execute_captured: bool,
    no_reads: bool,
    detail: str | None,
) -> int:
    """Show what the workflow in FILE would do, step by step; executes nothing but reads.

    Files and data that a later step needs are read, where the policy allows that at once, so that what depends on them is shown
    too. Each such read is on record, as a call would be.

    For each step: its capability and risk, the decision and its rule, who must approve, whether and how it can be undone, and
    the change as a diff. The plan is kept: `assent run PLAN` runs exactly this, once.
    """
    request = plan_request(door, file, inputs, execute_captured=execute_captured, reads=not no_reads)
    made = door.perform(request, Progress(door.out))
    if detail is not None and detail not in [step.name for step in made.steps]:
        names = ", ".join(step.name for step in made.steps)
        raise InputError("USAGE_INVALID", f"the plan has no step `{detail}`", hint=f"steps: {names}")
    if door.out.is_json:
        door.out.object(made)
    else:
        from assent.cli.runs._plan_text import plan_text

        said = {"--execute-captured": execute_captured, "--no-reads": no_reads}
        flags = [name for name, is_said in said.items() if is_said]
        again = door.command("plan", file, *inputs, *flags)
        go_on = door.command("run", made.plan_id)
        door.out.answer(plan_text(made, paint=door.out.paint(), detail=detail, run=go_on, show=again))
    return plan_exit_code(made) if exit_code else OK
