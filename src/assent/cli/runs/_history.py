"""`assent runs` and `show`: reading what happened."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import click

from assent.cli._arguments import OneOf
from assent.cli._command import command
from assent.cli._completion import complete_run
from assent.cli._door import Door
from assent.cli.terminal._style import STATUS_STYLE
from assent.errors import InputError, WorldError
from assent.runtime import service
from assent.spec.words.legible import safe_line

RUNS_SHOWN: Final = 50
"""Runs that are listed when nobody says how many."""


def _unnamed(run: service.answers.RunLine) -> str:
    """What stands for a run that no workflow names: a session, or a call that ended before its step began."""
    return "session" if run.mode == "session" else "call"


@command("runs", short_help="List the runs.")
@click.option(
    "--status",
    type=OneOf(service.requests.RUN_STATUSES),
    metavar="STATUS",
    multiple=True,
    help="Only runs with this status; may be given again.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=RUNS_SHOWN,
    show_default=True,
    metavar="N",
    help="Only the newest N.",
)
@click.option("--before", metavar="RUN", shell_complete=complete_run, help="Only runs older than RUN.")
def runs(door: Door, status: tuple[str, ...], limit: int, before: str | None) -> None:
    """List the runs, newest last."""
    answer = door.perform(service.requests.Runs(status=status, limit=limit, before=before))
    found = answer.runs
    if answer.before is not None:
        asked = [word for one in status for word in ("--status", one)]
        if limit != RUNS_SHOWN:
            asked += ["--limit", str(limit)]
        more = "there are older ones" if answer.older is None else f"{answer.older} older"
        door.out.note(f"{more}: {door.command('runs', *asked, '--before', answer.before)}")
    from assent.cli.runs._timeline import time_text

    has_keys = any(run.concurrency_key for run in found)
    door.out.listing(
        found,
        lambda run, paint: [
            run.run_id,
            paint(run.status.replace("_", " "), STATUS_STYLE.get(run.status)),
            safe_line((run.workflow or "") or (run.capability or "") or _unnamed(run)),
            time_text(run.started_at_ms),
            safe_line(run.principal),
            (run.code or ""),
            *([safe_line(run.concurrency_key or "")] if has_keys else []),
        ],
        head=["run", "status", "workflow or call", "started", "principal", "code", *["key"] * has_keys],
        none="no runs",
    )


@command("show", short_help="Show a run: failure first, then its timeline.")
@click.argument("run_id", metavar="RUN", shell_complete=complete_run)
@click.argument("step", required=False)
@click.option(
    "--snapshot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the run to FILE (`-`: standard output, instead of the rest), without its secrets, for `assent replay`.",
)
@click.option(
    "--output",
    "output_of",
    metavar="STEP",
    help="Write the whole output of STEP as JSON to standard output, and nothing else.",
)
@click.option(
    "--attachment",
    metavar="DIGEST",
    help="Write the bytes that an output or error names as `blob` to standard output, and nothing else.",
)
def show(
    door: Door,
    *,
    run_id: str,
    step: str | None,
    snapshot: Path | None,
    attachment: str | None,
    output_of: str | None,
) -> None:
    """Show RUN (an unambiguous beginning of its id is enough): how it stands, what failed, its steps and its timeline.

    With STEP (`NAME[0]` is an iteration, `@undo` the undo): its inputs, what was asked and answered, each attempt, its output.
    """
    from assent.cli.runs._drive import tell_next  # a list of runs does without it

    if sum(wanted is not None for wanted in (step, snapshot, output_of, attachment)) > 1:
        raise InputError(
            "USAGE_INVALID",
            "say one of STEP, `--snapshot`, `--output` and `--attachment`",
            hint="call `assent show` once for each",
        )
    if attachment is not None:
        parts = door.stream(service.requests.Attachment(run=run_id, digest=attachment))
        door.out.data(part.data for part in parts)
        return
    found = door.perform(service.requests.Show(run=run_id, step=output_of if step is None else step))
    if output_of is not None:
        _show_output(door, found)
        return
    if step is not None:
        _show_step(door, found)
        return
    if snapshot is not None:
        data = door.perform(service.requests.Snapshot(run=found.run_id)).data
        if str(snapshot) == "-":
            door.out.answer(data.decode())
            return
        _write(door, snapshot, data)
    if door.out.is_json:
        door.out.object(found)
    else:
        from assent.cli.runs._timeline import show_text

        door.out.answer(show_text(found, paint=door.out.paint()))
    tell_next(door, found)


def _show_step(door: Door, run: service.answers.ShownRun) -> None:
    (step,) = [*run.steps, *([] if run.undo is None else [run.undo])]
    from assent.cli.runs._step_text import step_text

    door.out.tell(step, lambda: step_text(run.run_id, step, paint=door.out.paint()))


def _show_output(door: Door, run: service.answers.ShownRun) -> None:
    """One step's output and nothing else: indented for a person, in one line for a program."""
    output = run.steps[0].gave if run.steps else None
    door.out.tell(output, lambda: json.dumps(output, indent=2))


def _write(door: Door, path: Path, data: bytes) -> None:
    """A run's data is for its owner's eyes, wherever the file is put."""
    try:
        descriptor = os.open(door.cwd / path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise WorldError("FILE_UNWRITABLE", f"`{path}` can't be written: {reason}", path=str(path)) from None
    door.out.note(f"wrote {path}; replay it anywhere: {door.command('replay', str(path))}")
