"""The registry: several versions of a capability side by side, and immutable snapshots of it for runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from assent.errors import InputError, Json
from assent.registry._semver import precedence
from assent.spec.canonical import fingerprint
from assent.spec.documents import did_you_mean
from assent.spec.ids import Fingerprint

if TYPE_CHECKING:
    from assent.spec.capability import CapabilitySpec

CAPABILITIES_MAX: Final = 100_000
"""Specs in one registry."""


class RegistrySnapshot:
    """The capabilities that a run can use, fixed when it starts: later registrations do not show in it.

    Safe to share between threads.
    """

    def __init__(self, specs: Iterable[CapabilitySpec]) -> None:
        ordered = sorted(specs, key=lambda spec: (spec.id, precedence(spec.version)))
        self._by_reference: Mapping[str, CapabilitySpec] = MappingProxyType(
            {spec.reference: spec for spec in ordered}
        )
        # The last of an id in this order is its latest version.
        self._latest: Mapping[str, CapabilitySpec] = MappingProxyType({spec.id: spec for spec in ordered})

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """SHA-256 over every reference and the fingerprint of its spec: equal for equal contents, however they came in."""
        contents: dict[str, Json] = {
            reference: spec.fingerprint for reference, spec in self._by_reference.items()
        }
        return fingerprint(contents)

    def get(self, id: str) -> CapabilitySpec | None:  # noqa: A002  # the spec's own field name
        """The latest version of a capability by semantic-version precedence, or None. A release beats its pre-releases."""
        return self._latest.get(id)

    def resolve(self, reference: str) -> CapabilitySpec:
        """The spec that `id` (its latest version) or `id@version` names; `InputError` CAPABILITY_UNKNOWN with a suggestion."""
        found = self._by_reference.get(reference) if "@" in reference else self._latest.get(reference)
        if found is not None:
            return found
        ident, _, version = reference.partition("@")
        latest = self._latest.get(ident)
        if latest is not None:
            versions = ", ".join(spec.version for spec in self.versions(ident))
            raise InputError(
                "CAPABILITY_UNKNOWN",
                f"capability `{ident}` has no version `{version[:80]}`",
                hint=f"registered: {versions}",
                details={"reference": reference[:200]},
            )
        raise InputError(
            "CAPABILITY_UNKNOWN",
            f"there is no capability `{ident[:120]}`",
            hint=did_you_mean(ident, self._latest, otherwise="list what exists: assent capability list"),
            details={"reference": reference[:200]},
        )

    def versions(self, id: str) -> list[CapabilitySpec]:  # noqa: A002  # the spec's own field name
        """All versions of one capability, lowest first; empty when there is none."""
        return [spec for spec in self._by_reference.values() if spec.id == id]

    def list(self) -> list[CapabilitySpec]:
        """Every spec, sorted by id and then by version, lowest first."""
        return [*self._by_reference.values()]

    def __len__(self) -> int:
        return len(self._by_reference)


class CapabilityRegistry:
    """The capabilities that are registered now. Written at start-up by one thread; runs read snapshots."""

    def __init__(self) -> None:
        self._specs: dict[str, CapabilitySpec] = {}
        self._origins: dict[str, str] = {}
        self._sealed = False
        # An index of what is registered; `_checked` when the references between specs are known to hold.
        self._index: RegistrySnapshot | None = None
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
        if spec.reference in self._specs:
            first = self._origins[spec.reference]
            raise InputError(
                "CAPABILITY_DUPLICATE",
                f"`{spec.reference}` is registered twice: by `{first}` and by `{origin}`",
                hint="give one of them another id or version",
                details={"reference": spec.reference, "origins": [first, origin]},
            )
        if len(self._specs) >= CAPABILITIES_MAX:
            raise InputError("REGISTRY_FULL", f"more than {CAPABILITIES_MAX} capabilities are registered")
        self._specs[spec.reference] = spec
        self._origins[spec.reference] = origin
        self._index, self._checked = None, False

    def origin(self, reference: str) -> str | None:
        """Where the spec of `id@version` was registered from."""
        return self._origins.get(reference)

    def snapshot(self) -> RegistrySnapshot:
        """What is registered now, checked as by `seal` and immutable; the same object until something is added."""
        index = self._current()
        if not self._checked:
            _check_compensations(index)
            self._checked = True
        return index

    def _current(self) -> RegistrySnapshot:
        """What is registered now, whether or not all that it refers to is there yet."""
        if self._index is None:
            self._index = RegistrySnapshot(self._specs.values())
        return self._index

    def seal(self) -> RegistrySnapshot:
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
        """See `RegistrySnapshot.get`."""
        return self._current().get(id)

    def resolve(self, reference: str) -> CapabilitySpec:
        """See `RegistrySnapshot.resolve`."""
        return self._current().resolve(reference)

    def list(self) -> list[CapabilitySpec]:
        """See `RegistrySnapshot.list`."""
        return self._current().list()

    def __len__(self) -> int:
        return len(self._specs)


def _check_compensations(snapshot: RegistrySnapshot) -> None:
    faults: list[Json] = []
    for spec in snapshot.list():
        target = spec.compensation.capability_id
        if target is None:
            continue
        named = snapshot.get(target)
        if named is None:
            fault = f"`{spec.reference}` is taken back by `{target}`, which is not registered"
        elif not named.side_effects.reversible:
            fault = f"`{spec.reference}` is taken back by `{target}`, whose own effect is irreversible"
        else:
            continue
        faults.append(fault)
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(
            "COMPENSATION_INVALID",
            f"{faults[0]}{more}",
            path="compensation.capability_id",
            hint="name a registered capability whose effect is reversible",
            details={"faults": faults},
        )
