"""How ready each version is to be called: hot, warm or cold. This is a matter of memory, so it is not on the record.

A version whose validators are built costs memory, and a runtime that serves for months meets many versions. What was not called
for a while becomes warm, and after the same while once more cold: its validators are dropped, and the next call builds them
again. The newest version and those that a label or a weight names are always hot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from assent.errors import Json
from assent.registry import CapabilityVersion, VersionIndex
from assent.runtime._catalogue import Capabilities


class Temperature(StrEnum):
    """How ready a version is."""

    HOT = "hot"
    WARM = "warm"
    COLD = "cold"


@dataclass(frozen=True, slots=True)
class Cooling:
    """A version that becomes less ready."""

    reference: str
    before: Temperature
    after: Temperature

    def to_json(self) -> dict[str, Json]:
        """The same as JSON data."""
        return {"reference": self.reference, "before": self.before.value, "after": self.after.value}


class Temperatures:
    """Watches what is called, and lets go of what is not."""

    def __init__(self, capabilities: Capabilities, *, idle_ms: int) -> None:
        """`idle_ms`: after this long without a call a version cools by one step."""
        self._capabilities = capabilities
        self._idle_ms = idle_ms
        self._called_at_ms: dict[str, int] = {}
        self._told: dict[str, Temperature] = {}
        self._next_ms = 0

    def of(self, entry: CapabilityVersion, index: VersionIndex, now_ms: int) -> Temperature:
        """How ready a version is now."""
        self._note_calls(now_ms)
        newest = index.newest
        if (newest is not None and newest.version == entry.version) or index.is_pinned(entry.version):
            return Temperature.HOT
        called_at_ms = self._called_at_ms.get(entry.reference)
        if called_at_ms is None:
            return Temperature.COLD
        idle_ms = now_ms - called_at_ms
        if idle_ms < self._idle_ms:
            return Temperature.HOT
        return Temperature.WARM if idle_ms < 2 * self._idle_ms else Temperature.COLD

    def recycle(self, now_ms: int, *, dry_run: bool = False) -> list[Cooling]:
        """Cool what was idle for too long; what cooled since the last time, or with `dry_run` what would. Twice is harmless."""
        self._note_calls(now_ms)
        snapshot = self._capabilities.registry.snapshot()
        cooled: list[Cooling] = []
        for reference, before in list(self._told.items()):
            bound = self._capabilities.bound(reference)
            if bound is None:  # Its plugin was unloaded.
                del self._told[reference], self._called_at_ms[reference]
                continue
            index = snapshot.index(bound.spec.id)
            entry = index.version(bound.spec.version)
            assert entry is not None, "what is bound is installed"
            after = self.of(entry, index, now_ms)
            if after is before:
                continue
            cooled.append(Cooling(reference, before, after))
            if dry_run:
                continue
            self._told[reference] = after
            if after is Temperature.COLD:
                bound.cool()
                del self._told[reference], self._called_at_ms[reference]
        return cooled

    def recycle_when_due(self, clock_ms: Callable[[], int]) -> None:
        """The same, when a run begins and the last time is long enough ago."""
        now_ms = clock_ms()
        if now_ms >= self._next_ms:
            self._next_ms = now_ms + self._idle_ms
            self.recycle(now_ms)

    def _note_calls(self, now_ms: int) -> None:
        # When exactly each call was is not worth a clock reading for every step: a call counts from when it is noticed.
        used = self._capabilities.used
        while used:
            reference = used.pop().spec.reference
            self._called_at_ms[reference] = now_ms
            self._told[reference] = Temperature.HOT
