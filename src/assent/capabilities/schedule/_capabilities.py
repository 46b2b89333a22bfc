"""The capabilities that decide about schedules, described."""

from __future__ import annotations

from functools import partial
from typing import Final

from assent.capabilities.describing import describe
from assent.capabilities.schedule._change import AddEffect, ChangeEffect
from assent.capabilities.schedule._standing import State

_decides: Final = partial(
    describe, operation="WRITE", risk="MEDIUM", reversible=True, scope="schedules", idempotent=True
)

CAPABILITIES: Final = (
    _decides(
        "assent.schedule.add",
        "Add a schedule: a workflow that is run whenever a time comes",
        AddEffect(),
        justification="runs will begin without anybody asking for them; each of their steps is decided about when it comes",
        effect="adds a schedule to the record",
    ),
    _decides(
        "assent.schedule.remove",
        "Remove a schedule: no more runs of it begin",
        ChangeEffect("removes", State.REMOVED),
        justification="what was to be done by itself is not done any more",
        effect="removes a schedule; the record keeps what it was",
    ),
    _decides(
        "assent.schedule.pause",
        "Pause a schedule: none of its runs begins until it is resumed",
        ChangeEffect("pauses", State.PAUSED),
        justification="what was to be done by itself is not done meanwhile",
        effect="pauses a schedule",
    ),
    _decides(
        "assent.schedule.resume",
        "Resume a paused schedule: ticks that come from now on begin runs",
        ChangeEffect("resumes", State.ACTIVE),
        justification="runs will begin without anybody asking for them",
        effect="resumes a schedule",
    ),
)
