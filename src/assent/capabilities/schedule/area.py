"""`[schedule]` of assent.toml: the time zone of schedules that do not say one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from assent.errors import InputError, Json
from assent.journal import Migration, Projection
from assent.spec.documents.settings import Setting, Table
from assent.spec.ids import OF_SCHEDULES
from assent.spec.values.json_fields import text

if TYPE_CHECKING:
    from assent.capabilities.area import Check, Ground, Words
    from assent.invocation import GlobalContext
    from assent.journal import Row
    from assent.journal.store._projections import Stored
    from assent.spec.events.kinds import Leaf


def _zone(value: object) -> Json:
    from assent.spec.schedule import require_zone

    if isinstance(value, str):
        try:
            require_zone(value)
        except InputError:
            pass
        else:
            return value
    raise ValueError("must be a time zone: `Europe/Berlin`")


SECTION: Final[Table] = {
    "zone": Setting(_zone, "the time zone of `cron` schedules that do not say one", "UTC", unless="`UTC`")
}

WORDS: Final[Words] = {
    frozenset({"schedule", "state", "next_at"}): lambda found: (
        f"{text(found, 'schedule')} {text(found, 'state')}"
        + (f", next at {text(found, 'next_at')}" if found["next_at"] else "")
    )
}


def _rows(leaf: Leaf, stored: Stored) -> Iterable[Row]:
    # Nearly every run is begun by somebody, and needs none of what schedules are made of.
    request = getattr(leaf.event, "request", None) or ""
    if leaf.event.kind == "run.created" and not request.startswith(OF_SCHEDULES):
        return ()
    from assent.capabilities.schedule._standing import rows

    return rows(leaf, stored)


PROJECTION: Final = Projection(
    area="schedule",
    tables={
        "schedule_entries": (
            "schedule",
            "name",
            "state",
            "act",
            "document",
            "events",
            "added_at_ms",
            "since_ms",
            "refused_ms",
            "refused_code",
        ),
        "schedule_runs": ("name", "tick_ms", "run_id"),
    },
    keys={"schedule_entries": 1, "schedule_runs": 1},
    migrations=(
        Migration(
            1,
            "schedules",
            """
CREATE TABLE schedule_entries(
  schedule TEXT NOT NULL, name TEXT, state TEXT, act TEXT, document TEXT, events INTEGER, added_at_ms INTEGER,
  since_ms INTEGER, refused_ms INTEGER, refused_code TEXT, PRIMARY KEY(schedule)
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_entries_by_state ON schedule_entries(state);
CREATE TABLE schedule_runs(name TEXT NOT NULL, tick_ms INTEGER, run_id TEXT, PRIMARY KEY(name)) STRICT, WITHOUT ROWID;
""",
        ),
    ),
    kinds=frozenset(
        {
            "run.created",
            "schedule.added",
            "schedule.removed",
            "schedule.restored",
            "schedule.paused",
            "schedule.resumed",
            "schedule.tick_refused",
        }
    ),
    fold=_rows,
)
"""Which schedules there are, in the fields of `Standing`, and the run that each name began last."""


def offer(_app: GlobalContext, _ground: Ground) -> None:
    """Nothing: schedules stand in the ledger, which is the roof's (`Core.schedules`)."""


def checks(ground: Ground) -> Iterator[Check]:
    """The zone that holds."""
    from assent.capabilities.area import Check

    yield Check("zone of schedules", "ok", str(ground.said["zone"]))
