"""`assent schedule`: have workflows run at their times, and look at when they will."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from assent.cli._arguments import OneOf
from assent.cli._command import command, group
from assent.cli._completion import complete_workflow
from assent.cli._door import Door
from assent.cli.runs._drive import drive, read_wait
from assent.cli.runs._run import wait_option
from assent.cli.runs._workflow import run_request
from assent.errors import InputError
from assent.runtime import service
from assent.spec.words.legible import safe_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assent.cli.terminal._style import Paint
    from assent.errors import Json
    from assent.runtime.service import answers

_STYLES: Final = {"active": "green", "paused": "yellow"}


@command("add", short_help="Have a workflow run whenever a time comes.")
@click.argument("file", shell_complete=complete_workflow)
@click.argument("inputs", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--name", required=True, help="What the schedule is called.")
@click.option("--cron", metavar='"M H D M W"', help="Minute, hour, day of month, month, day of week.")
@click.option("--every", metavar="DURATION", help="An interval, from now on: `1h`.")
@click.option("--zone", metavar="ZONE", help="The time zone of `--cron`: `Europe/Berlin`.")
@click.option(
    "--missed",
    type=OneOf(("skip", "one", "all")),
    default="skip",
    show_default=True,
    help="Ticks that nobody was there for: leave them out, make up for the newest, or for all.",
)
@click.option(
    "--overlap",
    type=OneOf(("skip", "queue", "cancel")),
    help="A tick while the former run has not ended: leave it out (the default), let it wait, or cancel that run.",
)
@click.option(
    "--input",
    "more",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input of the workflow, as behind FILE.",
)
@wait_option
def add(
    door: Door,
    file: str,
    inputs: tuple[str, ...],
    *,
    name: str,
    cron: str | None,
    every: str | None,
    zone: str | None,
    missed: str,
    overlap: str | None,
    more: tuple[str, ...],
    wait: str | None,
) -> int:
    """Have the workflow in FILE run whenever a time comes: `--cron` or `--every`.

    It is a call of `assent.schedule.add`, which the policy decides about. The workflow and its inputs are kept as they are now,
    and each of its runs acts for you: its steps are decided about when it comes. Runs begin while `assent serve` lives.
    """
    run = run_request(door, file, (*inputs, *more))
    if run.plan is not None:
        raise InputError(
            "USAGE_INVALID", "a schedule needs a workflow's file, not a plan", hint="name the file"
        )
    request = service.requests.AddSchedule(
        name=name,
        text=run.text,
        source=run.source,
        base=run.base,
        inputs=run.inputs,
        environment=run.environment,
        cron=cron,
        every=every,
        zone=zone,
        missed=missed,  # type: ignore[arg-type]  # one of the choices
        overlap=overlap,  # type: ignore[arg-type]  # as above
    )
    return drive(door, request, wait_ms=read_wait(wait))


@command("remove", short_help="Let no more runs of a schedule begin.")
@click.argument("name")
@wait_option
def remove(door: Door, name: str, wait: str | None) -> int:
    """Let no more runs of the schedule NAME begin; the one under way goes on. `assent undo RUN` brings it back."""
    return drive(door, service.requests.RemoveSchedule(name=name), wait_ms=read_wait(wait))


@command("pause", short_help="Let no run begin until it is resumed.")
@click.argument("name")
@wait_option
def pause(door: Door, name: str, wait: str | None) -> int:
    """Let no run of the schedule NAME begin until it is resumed. Ticks meanwhile are not made up for."""
    return drive(door, service.requests.PauseSchedule(name=name), wait_ms=read_wait(wait))


@command("resume", short_help="Let runs of a paused schedule begin again.")
@click.argument("name")
@wait_option
def resume(door: Door, name: str, wait: str | None) -> int:
    """Let runs of the paused schedule NAME begin again: those whose time comes from now on."""
    return drive(door, service.requests.ResumeSchedule(name=name), wait_ms=read_wait(wait))


@command("list", watches=False, short_help="List the schedules and when each comes due.")
def list_(door: Door) -> None:
    """List the schedules: when each comes due, and what became of its last run."""
    found = door.perform(service.requests.Schedules()).schedules
    door.out.listing(
        found,
        lambda one, paint: [
            one.name,
            paint(one.state, _STYLES.get(one.state)),
            safe_line(_when(one)),
            "held" if one.held else (one.next_at or "-"),
            _last(one),
            safe_line(one.workflow),
            safe_line(one.principal),
        ],
        head=["schedule", "state", "when", "next", "last", "workflow", "as"],
        none="no schedules",
    )
    for one in found:
        if one.held is not None and not door.out.is_json:
            door.out.answer(safe_line(f"{one.name} is held: {_why(one.held)}"))


@command("show", watches=False, short_help="Show a schedule with what it does.")
@click.argument("name")
def show(door: Door, name: str) -> None:
    """Show the schedule NAME: its times, its workflow as it was decided about, and its last run."""
    one = door.perform(service.requests.Schedule(name=name))
    door.out.tell(one, lambda: "\n".join(_page(one, door.out.paint())))


def _page(one: answers.ShownSchedule, paint: Paint) -> Iterator[str]:
    """How it stands and what holds it first, what it does last, as a workflow's file says it."""
    import yaml

    from assent.cli.runs._result_text import input_lines, is_empty
    from assent.spec.principal import identified_words

    known = f" ({identified_words(one.identified_by)})" if one.identified_by else ""
    yield f"{one.name}  {paint(one.state, _STYLES.get(one.state))}  {safe_line(_when(one))}"
    if one.held is not None:
        yield f"  {paint('held', 'yellow')}         {safe_line(_why(one.held))}"
    told = {
        "runs as": f"{one.principal}{known}",
        "environment": one.environment or "",
        "added": f"{one.added_at} in {one.added_in}",
        "missed ticks": one.missed,
        "overlap": one.overlap,
        "last": _last(one),
        "next": one.ticks[0] if one.ticks else "-",
    }
    yield from (f"  {name:<12} {safe_line(value)}" for name, value in told.items() if value)
    yield from (f"  {'':<12} {tick}" for tick in one.ticks[1:])
    yield from ["", "inputs", *(input_lines(one.inputs, is_cut=False) or ["  none"]), "", "workflow"]
    document = {name: _names_first(said) for name, said in one.document.items() if not is_empty(said)}
    text = yaml.safe_dump(_names_first(document), sort_keys=False, allow_unicode=True, width=10_000)
    yield from (f"  {safe_line(line)}" for line in text.splitlines())


def _names_first(value: Json) -> Json:
    """The same with the name of each thing before what is said of it."""
    if isinstance(value, list):
        return [_names_first(one) for one in value]
    if not isinstance(value, dict):
        return value
    said = {name: _names_first(one) for name, one in value.items()}
    return {name: said[name] for name in sorted(said, key=lambda name: name != "name")}


def _why(held: answers.Fault) -> str:
    return f"{held.message}; {held.hint}" if held.hint else held.message


def _when(one: answers.Schedule) -> str:
    return f"every {one.every}" if one.every is not None else f"{one.cron} {one.zone}"


def _last(one: answers.Schedule) -> str:
    parts = [f"{one.last_at} {one.last_status} {one.last_run_id}"] if one.last_run_id else []
    if one.refused_at is not None and (one.last_at_ms or 0) < (one.refused_at_ms or 0):
        parts.append(f"{one.refused_at} refused {one.refused_code}")
    return ", ".join(parts) or "-"


schedule = group(
    "schedule",
    add,
    list_,
    show,
    remove,
    pause,
    resume,
    help="Have workflows run at their times; `assent serve` begins their runs.",
)
