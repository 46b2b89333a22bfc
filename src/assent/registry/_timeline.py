"""What is known of one capability over time: its installed specs, and what was recorded of its versions and labels.

Every recorded fact has the number of its change: the first that any ledger recorded of capabilities is 0. What held at some
change can therefore be told exactly, which moments in milliseconds could not.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from assent.registry._resolution import CapabilityVersion, VersionIndex
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import Fingerprint


class RecordedVersion(msgspec.Struct, frozen=True):
    """What the record says of one version: the changes that registered and retired it, and when."""

    capability: str
    version: str
    fingerprint: Fingerprint
    registered: int
    registered_at_ms: int
    retired: int | None = None
    retired_at_ms: int | None = None


class LabelChange(msgspec.Struct, frozen=True):
    """A label was put on a version, moved to it, or (`version` None) taken away."""

    capability: str
    label: str
    change: int
    version: str | None
    at_ms: int
    by: str | None = None


class Timeline(msgspec.Struct):
    """One capability. The index of what holds now is made when it is asked for, and again after a change."""

    id: str
    specs: dict[str, CapabilitySpec] = msgspec.field(default_factory=dict)
    recorded: dict[str, RecordedVersion] = msgspec.field(default_factory=dict)
    gone: dict[str, CapabilitySpec] = msgspec.field(default_factory=dict)
    """The specs of recorded versions that are not installed, where they are known."""
    labels: list[LabelChange] = msgspec.field(default_factory=list)
    withheld: dict[str, int] = msgspec.field(default_factory=dict)
    """Versions that are being retired, with the time: for everybody else they are retired already."""
    _now: VersionIndex | None = None

    def changed(self) -> None:
        """Something was added."""
        self._now = None

    def now(self, unrecorded_at_ms: int | None) -> VersionIndex:
        """What holds now. `unrecorded_at_ms`: since when versions count that are installed and not recorded yet."""
        if self._now is None:
            versions = [self._entry(version, unrecorded_at_ms) for version in {**self.specs, **self.recorded}]
            self._now = VersionIndex(self.id, versions, labels=_standing(self.labels))
        return self._now

    def at(self, revision: int) -> VersionIndex:
        """What held before change number `revision`: of versions that are gone since, a reference means that they are gone."""
        versions = [
            self._entry(entry.version, None, revision)
            for entry in self.recorded.values()
            if entry.registered < revision
        ]
        return VersionIndex(
            self.id,
            versions,
            labels=_standing(entry for entry in self.labels if entry.change < revision),
            needs_installed=False,
        )

    def _entry(
        self, version: str, unrecorded_at_ms: int | None, revision: int | None = None
    ) -> CapabilityVersion:
        spec, recorded = self.specs.get(version), self.recorded.get(version)
        if recorded is None:
            return CapabilityVersion(self.id, version, spec, created_at_ms=unrecorded_at_ms)
        is_retired = recorded.retired is not None and (revision is None or recorded.retired < revision)
        retired_at_ms = recorded.retired_at_ms if is_retired else None
        if revision is None and retired_at_ms is None:
            retired_at_ms = self.withheld.get(version)
        return CapabilityVersion(
            self.id,
            version,
            spec,
            recorded.fingerprint,
            recorded.registered_at_ms,
            retired_at_ms,
            self.gone.get(version) if spec is None and recorded.retired is None else None,
        )


def _standing(changes: Iterable[LabelChange]) -> dict[str, str]:
    """The labels that stand after these changes, oldest first."""
    labels: dict[str, str] = {}
    for entry in changes:
        if entry.version is None:
            labels.pop(entry.label, None)
        else:
            labels[entry.label] = entry.version
    return labels
