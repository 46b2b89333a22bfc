"""What is told of schedules, read from the record beside whoever owns the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from assent.errors import AssentError, InputError
from assent.journal import JournalReader, at_once, rows_at_once
from assent.runtime.runs._schedules import STANDING, TABLE, acting_for, began, planned_of
from assent.runtime.settings.effective import Settings
from assent.spec.ids import RunId
from assent.spec.schedule import Overlap
from assent.spec.values.typed import convert
from assent.spec.words.durations import instant, write_duration

if TYPE_CHECKING:
    from assent.capabilities.schedule import Planned, Standing
    from assent.errors import Json
    from assent.spec.events.kinds import RunCreated

TICKS_TOLD: Final = 5
"""So many ticks to come are told of one schedule."""


_HOLDING: Final = frozenset({"waiting", "needs_attention"})
"""As what a former run may stand for as long as nobody settles it."""


class Scene(msgspec.Struct, frozen=True):
    """Where schedules are looked at, and when. `shown` says how runs are shown that stand so."""

    journal: JournalReader
    settings: Settings
    shown: Callable[[Mapping[str, str]], Mapping[str, str]]
    now_ms: int

    def all(self) -> list[dict[str, Json]]:
        """Those that stand, by name."""
        return [self._told(one, planned) for one, planned in self._standing({})]

    def named(self, name: str) -> dict[str, Json] | None:
        """The one of a name, with all that it does; None where there is none."""
        for standing, planned in self._standing({"name": name}):
            is_active = standing.state.value == "active"
            ticks = islice(planned.timing.ticks(self.now_ms), TICKS_TOLD) if is_active else ()
            return {
                **self._told(standing, planned),
                "document": planned.workflow,
                "inputs": planned.inputs,
                "ticks": [instant(tick_ms) for tick_ms in ticks],
            }
        return None

    def _standing(self, where: Mapping[str, Any]) -> Iterator[tuple[Standing, Planned]]:
        from assent.capabilities.schedule import standing_of

        journal = self.journal
        found = rows_at_once(journal, TABLE, {"state": STANDING, **where})
        for row in sorted(found, key=lambda row: str(row["name"])):
            standing = standing_of(at_once(journal.events(RunId(str(row["schedule"])))))
            if standing is not None:
                yield standing, at_once(planned_of(journal, standing))

    def _told(self, standing: Standing, planned: Planned) -> dict[str, Json]:
        timing, added = planned.timing, at_once(began(self.journal, standing.act))
        is_active = standing.state.value == "active"
        last = at_once(self.journal.rows("schedule_runs", {"name": standing.name}, limit=1))
        run = str(last[0]["run_id"]) if last else None
        status = None
        if run is not None:
            (row,) = at_once(self.journal.rows("runs", {"run_id": run}, limit=1))
            status = self.shown({run: str(row["status"])})[run]
        held = self._held(added, planned, run, status) if is_active else None
        every = timing.every_ms
        return {
            "name": standing.name,
            "schedule_id": standing.schedule,
            "state": standing.state.value,
            "workflow": str(planned.workflow.get("name")),
            "principal": added.principal,
            "identified_by": added.identified_by,
            "cron": timing.cron,
            "zone": timing.zone if timing.cron is not None else None,
            "every": None if every is None else write_duration(every),
            "missed": timing.missed.value,
            "overlap": timing.overlap.value,
            "environment": planned.environment,
            "added_in": standing.act,
            **_moment("added_at", standing.added_at_ms),
            **_moment("next_at", timing.next(self.now_ms) if is_active else None),
            "held": None if held is None else held.to_dict(),
            **_moment("last_at", _int(last[0]["tick_ms"]) if last else None),
            "last_run_id": run,
            "last_status": status,
            **_moment("refused_at", standing.refused_ms),
            "refused_code": standing.refused_code,
        }

    def _held(
        self, added: RunCreated, planned: Planned, run: str | None, status: str | None
    ) -> AssentError | None:
        """Why a tick that came now would begin no run: what a person has to do first."""
        try:
            acting_for(self.settings, added, self.now_ms)
        except AssentError as error:
            return error
        if status not in _HOLDING or planned.timing.overlap is Overlap.CANCEL:
            return None
        becomes = "left out" if planned.timing.overlap is Overlap.SKIP else "waiting"
        return InputError(
            "RUN_UNFINISHED",
            f"its last run `{run}` is {str(status).replace('_', ' ')}, and ticks are {becomes} until that has ended",
            hint=f"look what it needs: `assent show {run}`",
        )


def _int(cell: object) -> int:
    return convert(cell, int)


def _moment(name: str, at_ms: int | None) -> dict[str, Json]:
    return {name: None if at_ms is None else instant(at_ms), f"{name}_ms": at_ms}
