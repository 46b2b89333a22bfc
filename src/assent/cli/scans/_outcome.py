"""Driving what scans, and telling what every scanner of it found: its records, what is new about their form, what is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

from assent.cli._exit import FAILED, OK
from assent.cli.findings._import import brought, dataset_lines, tell_lists, told_by_run
from assent.cli.findings._options import brought_by, counted, gated
from assent.cli.runs._drive import conclude
from assent.cli.runs._progress import Progress
from assent.errors import Json
from assent.runtime.service import requests
from assent.spec.values.json_fields import mapping, text
from assent.spec.words.legible import safe_line
from assent.spec.words.severities import counts_in

if TYPE_CHECKING:
    from assent.cli._door import Door
    from assent.cli.terminal._output import Output

project_option: Final = click.option(
    "--project",
    "-p",
    required=True,
    metavar="P",
    help="The project that its findings belong to: a name or uuid.",
)


class Adding(Progress):
    """Tells also what the scanners that have ended found together."""

    def __init__(self, out: Output, *, of_a_call: bool) -> None:
        super().__init__(out, of_a_call=of_a_call)
        self._said: dict[str, str | None] = {}
        self._ended = 0
        self._sum: Counter[str] | None = Counter()
        """None once a line was left out, so that nobody knows."""

    def __call__(self, leaf: Mapping[str, Json]) -> None:
        super().__call__(leaf)
        event = mapping(leaf, "event")
        kind, step = text(event, "kind"), text(event, "step")
        if kind == "step.started" and text(event, "capability").startswith("scan."):
            self._said[step] = ""
        elif kind == "step.said" and step in self._said:
            line = event.get("line")
            self._said[step] = line if isinstance(line, str) else None
        elif kind == "step.succeeded" and step in self._said:
            # The last that it said is what was read (`ingest`): its program had ended by then, and could say nothing like it.
            self._add(self._said.pop(step))

    def _add(self, line: str | None) -> None:
        self._ended += 1
        if line is None or self._sum is None:
            self._sum = None
            return
        self._sum.update(counts_in(line))
        if self._ended > 1 and not self._out.is_json:
            self._line("", "found so far", "", counted(self._sum, self._paint))


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
    progress = None if door.is_quiet else Adding(door.out, of_a_call=isinstance(request, requests.Call))
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
        if len(found) > 1:
            together: Counter[str] = Counter()
            for one in found:
                together.update(one.by_severity)
            door.out.note(f"together: {counted(together, paint)}")
        tell_lists(door, found, project)
    if code != OK:
        return code
    what = " in this run"
    if not found:
        return told_by_run(door, run.run_id, fail_on, what=what, is_gone=datasets is not None)
    gate = gated(door, fail_on, brought_by(run.run_id, found[0].project_id), what=what)
    return FAILED if any(one.fault is not None for one in found) else gate
