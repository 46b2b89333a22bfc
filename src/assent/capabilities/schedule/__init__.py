"""Hands on schedules: what adds, removes, pauses and resumes one, and how one stands by the events that tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.schedule._change import Schedules as Schedules
    from assent.capabilities.schedule._change import exists as exists
    from assent.capabilities.schedule._change import unknown as unknown
    from assent.capabilities.schedule._standing import Planned as Planned
    from assent.capabilities.schedule._standing import Standing as Standing
    from assent.capabilities.schedule._standing import State as State
    from assent.capabilities.schedule._standing import request_of as request_of
    from assent.capabilities.schedule._standing import standing_of as standing_of
    from assent.capabilities.schedule._standing import tick_of as tick_of

__getattr__, __dir__ = resolved_when_asked(
    __name__,
    {
        "._change": "Schedules exists unknown",
        "._standing": "Planned Standing State request_of standing_of tick_of",
    },
)
