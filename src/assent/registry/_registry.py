"""The registry: several versions of a capability side by side, what was recorded of them, and what may be changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from assent.errors import InputError
from assent.registry._resolution import CapabilityVersion, Resolution
from assent.registry._timeline import LabelChange, RecordedVersion, Timeline
from assent.registry._view import RegistryView, check_compensations, unknown_capability
from assent.spec.ids import CAPABILITY_ID
from assent.spec.words.reference import CapabilityReference, is_label
from assent.spec.words.semver import precedence

if TYPE_CHECKING:
    from assent.spec.capability import CapabilitySpec

CAPABILITIES_MAX: Final = 100_000
"""Specs in one registry."""


class CapabilityRegistry:
    """The capabilities that are registered now, and what was recorded of them. Written by one thread; runs read snapshots."""

    def __init__(self) -> None:
        self._timelines: dict[str, Timeline] = {}
        self._origins: dict[str, str] = {}
        self._unrecorded_at_ms: int | None = None
        self._revision = 0
        self._sealed = False
        # What is registered; `_checked` when the references between specs are known to hold.
        self._index: RegistryView | None = None
        self._checked = False

    def register_capability(self, spec: CapabilitySpec, *, origin: str = "python") -> None:
        """Add one spec. `origin` says where it comes from (`builtin`, a plugin's name, a file), for messages.

        Raises `InputError`: CAPABILITY_DUPLICATE when this version is there already, even as an equal spec,
        because two origins would then claim one name; REGISTRY_SEALED after `seal`; REGISTRY_FULL; and what
        `CapabilitySpec.require_consistent` raises.
        """
        if self._sealed:
            raise InputError(
                "REGISTRY_SEALED",
                f"`{spec.reference}` comes after the registry was sealed",
                hint="register everything before the first run",
            )
        # INVARIANT: no registered spec breaks a risk rule; asserted where it is built and again here.
        spec.require_consistent()
        if spec.reference in self._origins:
            first = self._origins[spec.reference]
            raise InputError(
                "CAPABILITY_DUPLICATE",
                f"`{spec.reference}` is registered twice: by `{first}` and by `{origin}`",
                hint="give one of them another id or version",
                details={"reference": spec.reference, "origins": [first, origin]},
            )
        if len(self._origins) >= CAPABILITIES_MAX:
            raise InputError("REGISTRY_FULL", f"more than {CAPABILITIES_MAX} capabilities are registered")
        timeline = self._timeline(spec.id)
        timeline.specs[spec.version] = spec
        timeline.gone.pop(spec.version, None)
        self._origins[spec.reference] = origin
        self._checked = False

    def unregister_capability(self, reference: str) -> None:
        """Take `id@version` out again, as when its plugin is unloaded; what is recorded of it stays.

        Harmless when it is not there. Raises `InputError` REGISTRY_SEALED.
        """
        if reference not in self._origins:
            return
        if self._sealed:
            raise InputError(
                "REGISTRY_SEALED",
                f"`{reference}` can't be taken out of a sealed registry",
                hint="unload before it is sealed",
            )
        ident, _, version = reference.partition("@")
        spec = self._timeline(ident).specs.pop(version)
        self.remember_spec(spec)
        del self._origins[reference]
        self._checked = False

    def origin(self, reference: str) -> str | None:
        """Where the spec of `id@version` was registered from."""
        return self._origins.get(reference)

    def snapshot(self) -> RegistryView:
        """What is registered now, checked as by `seal` and immutable; the same object until something changes."""
        index = self._current()
        if not self._checked:
            check_compensations(index)
            self._checked = True
        return index

    def _current(self) -> RegistryView:
        """What is registered now, whether or not all that it refers to is there yet."""
        if self._index is None:
            self._index = RegistryView(
                {
                    ident: timeline.now(self._unrecorded_at_ms)
                    for ident, timeline in self._timelines.items()
                    if timeline.specs
                }
            )
        return self._index

    def snapshot_at(self, revision: int) -> RegistryView:
        """What was registered and labelled before change number `revision`, whatever changed since.

        A reference that means a version which is not installed any more is refused.
        """
        return RegistryView(
            {
                ident: timeline.at(revision)
                for ident, timeline in self._timelines.items()
                if any(entry.registered < revision for entry in timeline.recorded.values())
            }
        )

    def seal(self) -> RegistryView:
        """Check what holds between specs and refuse everything later; calling it twice is safe.

        Raises COMPENSATION_INVALID when a spec is taken back by a capability that does not exist or is itself
        irreversible; the registry then stays open.
        """
        snapshot = self.snapshot()
        self._sealed = True
        return snapshot

    @property
    def is_sealed(self) -> bool:
        """Nothing more can be registered."""
        return self._sealed

    def get(self, id: str) -> CapabilitySpec | None:  # noqa: A002  # the spec's own field name
        return self._current().get(id)

    def resolve(self, reference: str) -> CapabilitySpec:
        return self._current().resolve(reference)

    def resolution(self, reference: str) -> Resolution:
        return self._current().resolution(reference)

    def list(self) -> list[CapabilitySpec]:
        return self._current().list()

    def __len__(self) -> int:
        return len(self._origins)

    @property
    def revision(self) -> int:
        """How many changes of capabilities were recorded: the number of the next one."""
        return self._revision

    def count_unrecorded_from(self, at_ms: int) -> None:
        """Let versions that are installed and not recorded yet count as registered at this moment."""
        self._unrecorded_at_ms = at_ms
        for timeline in self._timelines.values():
            timeline.changed()
        self._index = None

    def forget_record(self) -> None:
        """Forget every recorded fact, to be told all of them anew."""
        for timeline in self._timelines.values():
            timeline.recorded.clear()
            timeline.gone.clear()
            timeline.labels.clear()
            timeline.changed()
        self._index, self._revision = None, 0

    def remember_version(self, fact: RecordedVersion) -> None:
        """What the record says of a version; a later fact about the same one replaces it."""
        self._timeline(fact.capability).recorded[fact.version] = fact
        self._revise(fact.registered if fact.retired is None else fact.retired)

    def remember_spec(self, spec: CapabilitySpec) -> None:
        """The spec that the record keeps of a version; harmless when that is installed, or is recorded with another spec."""
        timeline = self._timeline(spec.id)
        fact = timeline.recorded.get(spec.version)
        if fact is not None and fact.fingerprint == spec.fingerprint and spec.version not in timeline.specs:
            timeline.gone[spec.version] = spec

    def remember_label(self, fact: LabelChange) -> None:
        """A change of a label; changes of one capability come in their order."""
        self._timeline(fact.capability).labels.append(fact)
        self._revise(fact.change)

    @contextmanager
    def withholding(self, id: str, version: str, at_ms: int) -> Iterator[None]:  # noqa: A002  # the spec's own field name
        """Inside, nothing new can use a version: its retirement is being recorded."""
        self._timeline(id).withheld[version] = at_ms
        try:
            yield
        finally:
            del self._timeline(id).withheld[version]

    def count_change(self, change: int) -> None:
        """A change has this number, whatever became of it."""
        self._revise(change)

    def recorded(self, id: str, version: str) -> RecordedVersion | None:  # noqa: A002  # the spec's own field name
        """What the record says of a version; None when it says nothing."""
        timeline = self._timelines.get(id)
        return timeline.recorded.get(version) if timeline is not None else None

    def missing(self) -> Iterator[RecordedVersion]:
        """The versions that were recorded, are not retired, and are not installed here."""
        return (
            fact
            for timeline in self._timelines.values()
            for fact in timeline.recorded.values()
            if fact.retired is None and fact.version not in timeline.specs
        )

    def gone(self, id: str) -> Mapping[str, CapabilitySpec]:  # noqa: A002  # the spec's own field name
        """The specs that the record keeps of one capability's missing versions, by version; see `missing`."""
        timeline = self._timelines.get(id)
        if timeline is None:
            return {}
        facts = timeline.recorded
        return {
            version: spec
            for version, spec in timeline.gone.items()
            if version in facts and facts[version].retired is None
        }

    def recorded_versions(self, id: str) -> Sequence[RecordedVersion]:  # noqa: A002  # the spec's own field name
        """What the record says of each version of a capability; empty when it says nothing."""
        timeline = self._timelines.get(id)
        return [*timeline.recorded.values()] if timeline is not None else []

    def installed(self) -> Sequence[CapabilitySpec]:
        """Every registered spec, retired ones included, in no order that means anything."""
        return [spec for timeline in self._timelines.values() for spec in timeline.specs.values()]

    def history(self, id: str) -> Sequence[CapabilityVersion]:  # noqa: A002  # the spec's own field name
        """Every version that is installed or was ever recorded, the newest first; `InputError` CAPABILITY_UNKNOWN."""
        timeline = self._known(id)
        index = timeline.now(self._unrecorded_at_ms)
        found = [index.version(version) for version in {**timeline.specs, **timeline.recorded}]
        entries = [entry for entry in found if entry is not None]
        never = float("inf")
        return sorted(
            entries,
            key=lambda entry: (
                never if entry.created_at_ms is None else entry.created_at_ms,
                precedence(entry.version),
            ),
            reverse=True,
        )

    def label_history(self, id: str) -> Sequence[LabelChange]:  # noqa: A002  # the spec's own field name
        """Every change of the capability's labels, the newest first."""
        return self._known(id).labels[::-1]

    def check_label(self, id: str, label: str) -> str | None:  # noqa: A002  # the spec's own field name
        """The version that the label names now, if any; raises CAPABILITY_UNKNOWN, and LABEL_INVALID for what can be no label."""
        index = self._current().index(id)
        if not is_label(label):
            raise InputError(
                "LABEL_INVALID",
                f"`{label[:80]}` can't be a label",
                hint="a label is a word in lower case, like `stable` or `canary-eu`, and neither `latest` nor `x`",
            )
        return index.labels.get(label)

    def check_retirement(self, id: str, version: str) -> None:  # noqa: A002  # the spec's own field name
        """Raise what forbids that a version is retired: CAPABILITY_UNKNOWN, VERSION_NOT_FOUND (also for one that is retired
        already), VERSION_NEWEST, VERSION_LABELLED.
        """
        # Also one that nothing is installed of any more.
        index = self._known(id).now(self._unrecorded_at_ms)
        reference = f"{id}@{version}"
        entry = index.version(version)
        if entry is None or entry.is_retired:
            index.find(CapabilityReference.parse(reference))  # Raises, and says what is nearest.
        newest = index.newest
        if newest is not None and newest.version == version:
            raise _kept("VERSION_NEWEST", reference, "is the newest version", "register its successor first")
        labels = index.labels_of(version)
        if labels:
            named = ", ".join(f"`{label}`" for label in labels)
            raise _kept(
                "VERSION_LABELLED",
                reference,
                f"is labelled {named}",
                f"move the label first: assent capability label {id}@VERSION {labels[0]}",
            )

    def _timeline(self, ident: str) -> Timeline:
        """The timeline of a capability, about to be changed."""
        found = self._timelines.get(ident)
        if found is None:
            found = self._timelines[ident] = Timeline(ident)
        found.changed()
        self._index = None
        return found

    def _known(self, ident: str) -> Timeline:
        found = self._timelines.get(ident)
        if found is None or not CAPABILITY_ID.match(ident):
            raise unknown_capability(ident, self._timelines, ident)
        return found

    def _revise(self, change: int) -> None:
        self._revision = max(self._revision, change + 1)


def _kept(code: str, reference: str, why: str, hint: str) -> InputError:
    return InputError(
        code, f"`{reference}` {why}, so it can't be retired", hint=hint, details={"reference": reference}
    )
