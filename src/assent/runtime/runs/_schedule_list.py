"""What is told of schedules, read from the record beside whoever owns the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from assent.journal import at_once, rows_at_once
from assent.runtime.runs._schedules import STANDING, TABLE, began, planned_of
from assent.spec.ids import RunId
from assent.spec.words.durations import instant, write_duration

if TYPE_CHECKING:
    from assent.capabilities.schedule import Planned, Standing
    from assent.errors import Json
    from assent.journal import JournalReader

TICKS_TOLD: Final = 5
"""So many ticks to come are told of one schedule."""


def schedules_in(
    journal: JournalReader, shown: Callable[[Mapping[str, str]], Mapping[str, str]], now_ms: int
) -> list[dict[str, Json]]:
    """Those that stand, by name. `shown` says how runs are shown that stand so."""
    return [_told(journal, one, planned, shown, now_ms) for one, planned in _standing(journal, {})]


def schedule_in(
    journal: JournalReader,
    name: str,
    shown: Callable[[Mapping[str, str]], Mapping[str, str]],
    now_ms: int,
) -> dict[str, Json] | None:
    """The one of a name, with all that it does; None where there is none."""
    for standing, planned in _standing(journal, {"name": name}):
        ticks = islice(planned.timing.ticks(now_ms), TICKS_TOLD) if standing.state.value == "active" else ()
        return {
            **_told(journal, standing, planned, shown, now_ms),
            "document": planned.workflow,
            "inputs": planned.inputs,
            "ticks": [instant(tick_ms) for tick_ms in ticks],
        }
    return None


def _standing(journal: JournalReader, where: Mapping[str, Any]) -> Iterator[tuple[Standing, Planned]]:
    from assent.capabilities.schedule import standing_of

    rows = sorted(
        rows_at_once(journal, TABLE, {"state": STANDING, **where}), key=lambda row: str(row["name"])
    )
    for row in rows:
        standing = standing_of(at_once(journal.events(RunId(str(row["schedule"])))))
        if standing is not None:
            yield standing, at_once(planned_of(journal, standing))


def _told(
    journal: JournalReader,
    standing: Standing,
    planned: Planned,
    shown: Callable[[Mapping[str, str]], Mapping[str, str]],
    now_ms: int,
) -> dict[str, Json]:
    timing = planned.timing
    next_ms = timing.next(now_ms) if standing.state.value == "active" else None
    last = at_once(journal.rows("schedule_runs", {"name": standing.name}, limit=1))
    run = str(last[0]["run_id"]) if last else None
    status = None
    if run is not None:
        (row,) = at_once(journal.rows("runs", {"run_id": run}, limit=1))
        status = shown({run: str(row["status"])})[run]
    every = timing.every_ms
    return {
        "name": standing.name,
        "schedule_id": standing.schedule,
        "state": standing.state.value,
        "workflow": str(planned.workflow.get("name")),
        "principal": at_once(began(journal, standing.act)).principal,
        "cron": timing.cron,
        "zone": timing.zone if timing.cron is not None else None,
        "every": None if every is None else write_duration(every),
        "missed": timing.missed.value,
        "overlap": timing.overlap.value,
        "environment": planned.environment,
        "added_in": standing.act,
        **_moment("added_at", standing.added_at_ms),
        **_moment("next_at", next_ms),
        **_moment("last_at", _int(last[0]["tick_ms"]) if last else None),
        "last_run_id": run,
        "last_status": status,
        **_moment("refused_at", standing.refused_ms),
        "refused_code": standing.refused_code,
    }


def _int(cell: object) -> int:
    return msgspec.convert(cell, int)


def _moment(name: str, at_ms: int | None) -> dict[str, Json]:
    return {name: None if at_ms is None else instant(at_ms), f"{name}_ms": at_ms}
