"""How a project's findings stand: counts, the time that mending takes, and the last 30 days. Folded from a stream.

Suppressed findings count among `by_status` and as `suppressed`, and in nothing else. What is held in memory is a number for each
severity, status, day, tag and owner; of tags and owners no more than 1000 names, and one number for all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from assent.findings.finding import Severity
from assent.findings.triage import ACTIVE, Reported, Status, is_suppressed, moment

DAYS: Final = 30
NAMES_MAX: Final = 1_000
OTHERS: Final = "(others)"
"""What the names beyond the first 1000 are counted as."""
NOBODY: Final = "(nobody)"
"""What findings without an owner are counted as."""
_DAY_S: Final = 86_400


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One day in UTC: what was seen first on it, what was resolved on it, and what was active when it ended."""

    day: str
    new: int
    resolved: int
    active: int


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """How findings stand. `by_severity`, `by_tag` and `by_owner` count what is active; the trend has 30 days, oldest first."""

    total: int
    active: int
    resolved: int
    false_positive: int
    risk_accepted: int
    suppressed: int
    by_status: dict[str, int]
    by_severity: dict[str, int]
    by_tag: dict[str, int]
    by_owner: dict[str, int]
    fix_time_days: float | None
    """The mean from first seen to resolved, of those whose moment is known; None where there is none."""
    trend: tuple[Day, ...]


class MetricsFold:
    """Counts findings as they come by; `metrics` says how they stand so far."""

    def __init__(self, now: datetime) -> None:
        """`now` decides which suppressions have expired, and ends the trend."""
        self._now = now
        self._first_day = now.date() - timedelta(days=DAYS - 1)
        self._by_status: Counter[Status] = Counter()
        self._told: Counter[Status] = Counter()
        self._suppressed = 0
        self._by_severity: Counter[Severity] = Counter()
        self._by_tag: Counter[str] = Counter()
        self._by_owner: Counter[str] = Counter()
        self._fixed = 0
        self._fix_s = 0.0
        self._new = [0] * DAYS
        self._resolved = [0] * DAYS
        self._left = [0] * DAYS
        self._active_before = 0

    def add(self, one: Reported) -> None:
        """Count one more."""
        triage = one.triage
        self._by_status[triage.status] += 1
        if is_suppressed(triage, self._now):
            self._suppressed += 1
            return
        self._told[triage.status] += 1
        began = moment(one.first_seen or one.finding.created_at)
        ended = None
        if triage.status in ACTIVE:
            self._by_severity[one.finding.severity] += 1
            _count(self._by_owner, triage.owner or NOBODY)
            for tag in triage.tags:
                _count(self._by_tag, tag)
        else:
            # Without the moment at which it was decided, it was at the latest when it was seen last.
            ended = moment(triage.status_at or one.last_seen or one.finding.created_at)
        if triage.status is Status.RESOLVED and triage.status_at is not None and ended is not None:
            self._fixed += 1
            self._fix_s += max(0.0, (ended - began).total_seconds())
        self._add_to_trend(began, ended, is_resolved=triage.status is Status.RESOLVED)

    def _add_to_trend(self, began: datetime, ended: datetime | None, *, is_resolved: bool) -> None:
        born = (began.date() - self._first_day).days
        gone = None if ended is None else max(born, (ended.date() - self._first_day).days)
        if born < 0:
            self._active_before += 1
        elif born < DAYS:
            self._new[born] += 1
        if gone is None or gone >= DAYS or born >= DAYS:
            return
        if gone < 0:
            self._active_before -= 1
            return
        self._left[gone] += 1
        if is_resolved:
            self._resolved[gone] += 1

    def metrics(self) -> Metrics:
        """How what was counted stands."""
        trend = []
        active = self._active_before
        for number in range(DAYS):
            active += self._new[number] - self._left[number]
            day = self._first_day + timedelta(days=number)
            trend.append(
                Day(
                    day=day.isoformat(),
                    new=self._new[number],
                    resolved=self._resolved[number],
                    active=active,
                )
            )
        return Metrics(
            total=self._by_status.total(),
            active=sum(self._told[one] for one in ACTIVE),
            resolved=self._told[Status.RESOLVED],
            false_positive=self._told[Status.FALSE_POSITIVE],
            risk_accepted=self._told[Status.RISK_ACCEPTED],
            suppressed=self._suppressed,
            by_status={one.value: self._by_status[one] for one in Status},
            by_severity={one.value: self._by_severity[one] for one in Severity},
            by_tag=_most_first(self._by_tag),
            by_owner=_most_first(self._by_owner),
            fix_time_days=round(self._fix_s / self._fixed / _DAY_S, 2) if self._fixed else None,
            trend=tuple(trend),
        )


def metrics_of(findings: Iterable[Reported], now: datetime) -> Metrics:
    """How findings stand. They are looked at once, and none is kept."""
    fold = MetricsFold(now)
    for one in findings:
        fold.add(one)
    return fold.metrics()


def _count(counter: Counter[str], name: str) -> None:
    counter[name if name in counter or len(counter) < NAMES_MAX else OTHERS] += 1


def _most_first(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items(), key=lambda one: (-one[1], one[0])))
