"""The read models that follow from what is recorded of capabilities: versions, labels and weights, each change with its number.

The changes are counted through the whole ledger. A run's first event names how many there were, so what its references mean can
be told from the rows alone, also after a crash and whatever changed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from assent.journal.ports import Cell, Row
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment, Fingerprint

CAPABILITY_TABLES: Final = ("capabilities", "capability_labels", "capability_weights")


class CapabilityRows:
    """The fold of the events of capabilities. `count` is the number of the next change."""

    def __init__(self, stored: Iterable[Mapping[str, Cell]] = (), *, count: int = 0) -> None:
        """Goes on from the rows of `capabilities` that are stored, and from `count` changes."""
        self.count = count
        self._versions: dict[tuple[str, str], list[Cell]] = {}
        for row in stored:
            self._versions[str(row["capability"]), str(row["version"])] = list(row.values())

    def apply(self, event: ev.Event, at_ms: int) -> tuple[Row, ...]:
        """The rows that an event adds or replaces; none for events about something else."""
        match event:
            case ev.ReleaseRegistered():
                return self._release(event, at_ms)
            case ev.CapabilityRegistered():
                row = self._registered(event.capability, event.version, event.fingerprint, at_ms)
                if event.spec is not None:
                    self.count += 1
                    return row, _spec_row(event.capability, event.version, event.spec)
            case ev.CapabilityLabelled():
                row = self._label(event.capability, event.label, event.version, at_ms, event.by)
            case ev.CapabilityUnlabelled():
                row = self._label(event.capability, event.label, None, at_ms, event.by)
            case ev.CapabilityActivated():
                row = self._activated(event, at_ms)
            case ev.CapabilityRetired():
                row = self._retired(event, at_ms)
            case _:
                return ()
        self.count += 1
        return (row,)

    def _release(self, event: ev.ReleaseRegistered, at_ms: int) -> tuple[Row, ...]:
        rows = []
        # A hand-written entry with lists of two lengths says nothing of what has no fellow.
        for reference, fingerprint in zip(event.versions, event.fingerprints, strict=False):
            capability, _, version = reference.partition("@")
            rows.append(self._registered(capability, version, fingerprint, at_ms))
            self.count += 1
        return tuple(rows)

    def _registered(self, capability: str, version: str, fingerprint: Fingerprint, at_ms: int) -> Row:
        key = (capability, version)
        cells = self._versions.get(key)
        if cells is None:
            cells = [*key, fingerprint, self.count, at_ms, self.count, None, None]
        else:
            cells = [*key, fingerprint, *cells[3:5], self.count, *cells[6:]]
        return self._version_row(key, cells)

    def _retired(self, event: ev.CapabilityRetired, at_ms: int) -> Row:
        key = (event.capability, event.version)
        cells = self._versions.get(key) or [*key, None, None, None, self.count, None, None]
        return self._version_row(key, [*cells[:6], self.count, at_ms])

    def _version_row(self, key: tuple[str, str], cells: list[Cell]) -> Row:
        self._versions[key] = cells
        return Row("capabilities", key, tuple(cells))

    def _label(self, capability: str, label: str, version: str | None, at_ms: int, by: str) -> Row:
        key = (capability, label, self.count)
        return Row("capability_labels", key, (*key, version, at_ms, by))

    def _activated(self, event: ev.CapabilityActivated, at_ms: int) -> Row:
        key = (event.capability, self.count)
        # A version holds neither `=` nor a blank.
        shares = zip(event.versions, event.weights, strict=False)
        weights = " ".join(f"{version}={weight}" for version, weight in shares)
        return Row("capability_weights", key, (*key, weights, at_ms, event.by, event.code))


def _spec_row(capability: str, version: str, spec: Commitment) -> Row:
    return Row("capability_specs", (capability, version), (capability, version, spec))
