"""`assent prune`: what old runs were given, gave and kept is erased, and what old plans read, after one question."""

from __future__ import annotations

from typing import Final

import click
import msgspec

from assent.cli._command import command
from assent.cli._door import Door
from assent.cli._exit import OK, exit_code
from assent.cli.record._audit import confirmed
from assent.cli.runs._drive import drive, tell_next
from assent.errors import InputError
from assent.runtime import service
from assent.spec.words.durations import DAY_MS, parse_duration_ms

_AGO_MS_MAX: Final = 1_000_000 * DAY_MS


@command("prune", short_help="Erase what old runs and plans hold.")
@click.option(
    "--older-than",
    metavar="DURATION",
    required=True,
    help="Of which nothing was recorded for so long: `30d`.",
)
def prune(door: Door, older_than: str) -> int:
    """Erase payloads, pre-images and plans of runs that have ended, and of plans never run, for good, and give the room back.

    It is a call of `assent.erase`, which is CRITICAL, with one question. No entry, checkpoint or policy is removed: the ledger
    still verifies. Runs that have not ended are left and named. Without a terminal `--yes` says that it is meant.
    """
    from assent.system import SystemClock

    try:
        before_ms = SystemClock().now_ms() - parse_duration_ms(older_than, most_ms=_AGO_MS_MAX)
    except ValueError as error:
        raise InputError("USAGE_INVALID", f"`--older-than` {error}", hint="for example `30d`") from None
    found = door.perform(service.requests.Prunable(before_ms=before_ms))
    for one in found.left:
        door.out.note(f"left: {one.run_id} is {one.status.replace('_', ' ')}")
    if found.more:
        door.out.note(f"{found.more} more: prune again once these are erased")
    request = service.requests.Erase(runs=(*found.runs, *found.plans), compact=True)
    if not request.runs:
        door.out.note("nothing to erase")
    elif not confirmed(door, request):
        return OK
    elif not door.out.is_json:
        return drive(door, request)
    run = door.perform(request) if request.runs else None
    if door.out.is_json:
        door.out.object(
            {**msgspec.to_builtins(found), "run": None if run is None else msgspec.to_builtins(run)}
        )
    if run is None:
        return OK
    tell_next(door, run)
    return exit_code(run, "erase")
