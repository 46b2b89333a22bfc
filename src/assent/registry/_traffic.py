"""How versions share the calls of a capability, and when one that fails too often loses its share. Pure.

Several versions may share the calls of the bare id by weight. Which one serves a run follows from the run's id alone, so that
recovery and replay come to the same one. While they share, callers speak the *oldest* of them: nobody has to know which version
serves, and callers need not change before the newer one serves alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Final

import msgspec

from assent.spec.ids import RunId
from assent.spec.semver import precedence

OUTCOMES_MAX: Final = 10_000
"""Outcomes of one version that are kept; beyond, the oldest are forgotten before their time."""


def sharing(weights: Mapping[str, int]) -> list[str]:
    """The versions that get any calls, lowest first."""
    return sorted((version for version, weight in weights.items() if weight > 0), key=precedence)


def chosen(weights: Mapping[str, int], run: RunId, capability: str) -> str | None:
    """The version that serves a run, by its id; None where no version has a share."""
    versions = sharing(weights)
    if not versions:
        return None
    total = sum(weights[version] for version in versions)
    digest = sha256(f"{run}\0{capability}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") % total
    for version in versions:
        point -= weights[version]
        if point < 0:
            return version
    raise AssertionError("a point below the total lies in some share")


def spoken(weights: Mapping[str, int]) -> str | None:
    """The version whose inputs and outputs callers of the bare id use while versions share it: the oldest that gets any calls."""
    versions = sharing(weights)
    return versions[0] if versions else None


class VersionHealth(StrEnum):
    """How a version does. A degraded one still serves; a failed one gets no calls."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"


class HealthLimits(msgspec.Struct, frozen=True):
    """When a version counts as degraded or failed: by its share of failed calls among those of the last `window_ms`.

    Below `calls_min` calls nothing is said: one failure of one call is no rate.
    """

    failed_percent: int = 20
    degraded_percent: int = 5
    calls_min: int = 10
    window_ms: int = 10 * 60_000


class Rate(msgspec.Struct, frozen=True):
    """The calls of a version in the window, and how many of them failed."""

    calls: int
    errors: int

    def health(self, limits: HealthLimits) -> VersionHealth:
        """What the rate says of the version."""
        if self.calls < limits.calls_min:
            return VersionHealth.HEALTHY
        # In whole numbers, so that the same record gives the same answer on every machine.
        if self.errors * 100 > limits.failed_percent * self.calls:
            return VersionHealth.FAILED
        if self.errors * 100 > limits.degraded_percent * self.calls:
            return VersionHealth.DEGRADED
        return VersionHealth.HEALTHY


class Tally:
    """The outcomes of one version's calls, in the order in which they became known."""

    def __init__(self) -> None:
        self._outcomes: deque[tuple[int, bool]] = deque(maxlen=OUTCOMES_MAX)

    def add(self, at_ms: int, *, is_error: bool) -> None:
        """Count one call."""
        self._outcomes.append((at_ms, is_error))

    def rate(self, since_ms: int) -> Rate:
        """The calls from a moment on."""
        found = [is_error for at_ms, is_error in self._outcomes if at_ms >= since_ms]
        return Rate(len(found), sum(found))


class Switch(msgspec.Struct, frozen=True):
    """A change of shares that nobody asked for: `version` failed too often, and `weights` hold from now on."""

    version: str
    rate: Rate
    weights: Mapping[str, int]


def switch(weights: Mapping[str, int], rates: Mapping[str, Rate], limits: HealthLimits) -> Switch | None:
    """The shares without the version that failed worst, when another one can take over; None when all may stay as it is.

    Its share goes to the healthy ones in proportion to what they had; to degraded ones only where nobody is healthy. The last
    version that serves keeps serving: something that fails often is more than nothing.
    """
    states = {version: rates.get(version, Rate(0, 0)).health(limits) for version in sharing(weights)}
    failed = [version for version, state in states.items() if state is VersionHealth.FAILED]
    takers = _of(states, VersionHealth.HEALTHY) or _of(states, VersionHealth.DEGRADED)
    if not failed or not takers:
        return None
    worst = max(
        failed, key=lambda version: (rates[version].errors / rates[version].calls, precedence(version))
    )
    kept = {version: weight for version, weight in weights.items() if version != worst}
    given = sum(weights[version] for version in takers)
    left = weights[worst]
    for version in takers:
        part = weights[worst] * weights[version] // given
        kept[version] += part
        left -= part
    # What whole numbers leave over goes to the newest of them.
    kept[takers[-1]] += left
    return Switch(worst, rates[worst], {**kept, worst: 0})


def _of(states: Mapping[str, VersionHealth], wanted: VersionHealth) -> list[str]:
    return [version for version, state in states.items() if state is wanted]


def tallies(outcomes: Iterable[tuple[str, int, bool]]) -> dict[str, Tally]:
    """The tally of each version, from (version, time in ms, whether it failed)."""
    found: dict[str, Tally] = {}
    for version, at_ms, is_error in outcomes:
        found.setdefault(version, Tally()).add(at_ms, is_error=is_error)
    return found
