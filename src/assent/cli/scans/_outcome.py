"""Driving what scans, and telling what every scanner of it found: its records, what is new about their form, what is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from assent.cli._exit import FAILED, OK
from assent.cli.findings._import import brought, dataset_lines, tell_lists, told_by_run
from assent.cli.findings._options import brought_by, gated
from assent.cli.runs._drive import conclude
from assent.cli.runs._progress import Progress
from assent.runtime.service import requests
from assent.spec.words.legible import safe_line

if TYPE_CHECKING:
    from assent.cli._door import Door

project_option: Final = click.option(
    "--project",
    "-p",
    required=True,
    metavar="P",
    help="The project that its findings belong to: a name or uuid.",
)


def driven(
    door: Door,
    request: requests.Call | requests.Run,
    *,
    project: str,
    wait_ms: int | None,
    ident: str | None = None,
    fail_on: str | None = None,
) -> int:
    """Scan, and say what was found. Exit code 1 also for an output that is broken or can't be read, and for `fail_on`."""
    progress = None if door.is_quiet else Progress(door.out, of_a_call=isinstance(request, requests.Call))
    run = door.perform(request, progress, ident=ident)
    code = conclude(door, run, wait_ms=wait_ms)
    datasets = brought(door, run.run_id)
    found = datasets or []
    if not door.out.is_json and not door.is_quiet:
        paint = door.out.paint(stderr=True)
        for one in found:
            first, *more = dataset_lines(one, paint)
            door.out.note(f"{safe_line(one.name)}: {first}")
            for line in more:
                door.out.note(f"  {line}")
        tell_lists(door, found, project)
    if code != OK:
        return code
    what = " in this run"
    if not found:
        return told_by_run(door, run.run_id, fail_on, what=what, is_gone=datasets is not None)
    gate = gated(door, fail_on, brought_by(run.run_id, found[0].project_id), what=what)
    return FAILED if any(one.fault is not None for one in found) else gate
