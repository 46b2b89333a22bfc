"""Counts and durations of what calls do, exact: they are counted where it happens and not by somebody who listens.

The number of series is bounded whatever names arrive. Each table holds at most so many names; what comes later is counted under
`(other)`, so that the totals stay exact and only the split gets coarser.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from assent.errors import Json

Side: TypeAlias = Literal["input", "output"]

NAMES_MAX: Final = 1000
"""Names that one table tells apart; more are counted as `(other)`."""

OTHER: Final = "(other)"

_BUCKETS: Final = 40
"""Durations are sorted by their power of two in microseconds; the last bucket takes all from 2^38 µs, three days, on."""

UNDER: Final = tuple(range(8, 31, 2))
"""Of these powers of two in microseconds a snapshot tells how many durations lie below: from 256 µs to 18 minutes, in fours."""

_QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


class Metrics:
    """What one runtime has done since it began. Each method may be called from any thread and costs less than a microsecond.

    | method       | counts                                                                     |
    |--------------|----------------------------------------------------------------------------|
    | `call`       | an ended call: its capability, outcome, error code and duration            |
    | `hook`       | an ended run of a hook: its kind (`before` …), level, outcome and duration |
    | `validation` | a check of an input or output                                              |
    | `decision`   | an answer of the gate                                                      |
    | `secret`     | an access to a secret                                                      |
    | `stop`       | a run that a full disk or the like stopped: the error's code               |
    """

    __slots__ = ("_calls", "_decisions", "_errors", "_hooks", "_lock", "_secrets", "_stops", "_validations")

    def __init__(self) -> None:
        # Adding to a count is a read and a write. Without the lock two threads could both read before either writes.
        self._lock = threading.Lock()
        self._calls: dict[str, _Series] = {}
        self._hooks: dict[str, _Series] = {}
        self._errors: dict[str, int] = {}
        self._decisions: dict[str, int] = {}
        self._secrets: dict[str, int] = {}
        self._stops: dict[str, int] = {}
        self._validations: dict[str, int] = {}

    def call(self, capability: str, outcome: str, duration_us: int, code: str | None = None) -> None:
        """One call has ended, after `duration_us` microseconds. `code`: of its error, None when there is none."""
        with self._lock:
            series = self._calls.get(capability) or _series(self._calls, capability)
            series.add(outcome, duration_us)
            if code is not None:
                _count(self._errors, code)

    def hook(self, name: str, outcome: str, duration_us: int) -> None:
        """One run of a hook has ended; its retries are runs of their own. `name` is `LEVEL.KIND`."""
        self.hook_counter(name)(outcome, duration_us)

    def hook_counter(self, name: str) -> Callable[[str, int], None]:
        """The same for one name, looked up once: call it with each outcome and duration."""
        with self._lock:
            add = _series(self._hooks, name).add
        acquire, release = self._lock.acquire, self._lock.release

        def count(outcome: str, duration_us: int) -> None:
            # `with` looks for two methods and calls one of them with three arguments: twice the cost, six times in some calls.
            acquire()
            try:
                add(outcome, duration_us)
            finally:
                release()

        return count

    def validation(self, side: Side, *, passed: bool) -> None:
        """One value was checked against its type."""
        with self._lock:
            _count(self._validations, f"{side}.{'passed' if passed else 'refused'}")

    def decision(self, effect: str) -> None:
        """The gate has answered `ALLOW`, `DENY` or `REQUIRE_APPROVAL`."""
        with self._lock:
            _count(self._decisions, effect)

    def stop(self, code: str) -> None:
        """A run was stopped by what is no outcome of its steps."""
        with self._lock:
            _count(self._stops, code)

    def secret(self, outcome: str) -> None:
        """Somebody asked for a secret."""
        with self._lock:
            _count(self._secrets, outcome)

    def snapshot(self) -> dict[str, Json]:
        """Everything counted so far, as one moment's JSON: names sorted, durations in microseconds.

        `p50`, `p95` and `p99` are upper bounds: the true value lies between half of it and it. `under` says how many durations
        lie below a bound, each bound's count with all before it.
        """
        with self._lock:
            return {
                "calls": {name: self._calls[name].to_json() for name in sorted(self._calls)},
                "errors": _sorted(self._errors),
                "hooks": {
                    name: self._hooks[name].to_json()
                    for name in sorted(self._hooks)
                    if self._hooks[name].count
                },
                "validations": _sorted(self._validations),
                "decisions": _sorted(self._decisions),
                "secrets": _sorted(self._secrets),
                "stops": _sorted(self._stops),
            }


class _Series:
    """How often something ended, how, and how long it took."""

    __slots__ = ("buckets", "max_us", "outcomes", "sum_us")

    def __init__(self) -> None:
        self.sum_us = 0
        self.max_us = 0
        self.outcomes: dict[str, int] = {}
        self.buckets = [0] * _BUCKETS

    @property
    def count(self) -> int:
        return sum(self.outcomes.values())

    def add(self, outcome: str, duration_us: int) -> None:
        self.sum_us += duration_us
        if duration_us > self.max_us:  # noqa: PLR1730  # `max` is a call, and this runs for each call and hook
            self.max_us = duration_us
        try:
            self.outcomes[outcome] += 1
        except KeyError:
            _count(self.outcomes, outcome)
        try:
            self.buckets[duration_us.bit_length()] += 1
        except IndexError:
            self.buckets[-1] += 1

    def to_json(self) -> dict[str, Json]:
        duration: dict[str, Json] = {"sum": self.sum_us, "max": self.max_us}
        duration |= {name: self._quantile(part) for name, part in _QUANTILES}
        duration["under"] = {str(1 << power): sum(self.buckets[: power + 1]) for power in UNDER}
        return {"count": self.count, "outcomes": _sorted(self.outcomes), "duration_us": duration}

    def _quantile(self, part: float) -> int:
        """The least bound under which at least this part of the durations lies; never above the longest."""
        wanted, seen = part * self.count, 0
        for bucket, count in enumerate(self.buckets[:-1]):
            seen += count
            if seen >= wanted:
                return min(self.max_us, (1 << bucket) - 1)
        return self.max_us


def _series(table: dict[str, _Series], name: str) -> _Series:
    found = table.get(name)
    if found is None:
        name = name if len(table) < NAMES_MAX else OTHER
        found = table.get(name)
        if found is None:
            found = table[name] = _Series()
    return found


def _count(table: dict[str, int], name: str) -> None:
    count = table.get(name)
    if count is None and len(table) >= NAMES_MAX:
        name = OTHER
        count = table.get(name)
    table[name] = (count or 0) + 1


def _sorted(table: dict[str, int]) -> dict[str, Json]:
    return {name: table[name] for name in sorted(table)}
