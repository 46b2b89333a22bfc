"""The capabilities that a run can use: immutable, and the same however they came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from assent.errors import InputError, Json
from assent.registry._resolution import Resolution, VersionIndex
from assent.spec.ids import Fingerprint
from assent.spec.values.canonical import fingerprint
from assent.spec.words.globs import glob_matches
from assent.spec.words.reference import CapabilityReference
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from assent.spec.capability import CapabilitySpec

RESOLUTIONS_MAX: Final = 4_096
"""References whose meaning a snapshot remembers; callers may write as many different ones as they like."""

PATTERNS_MAX: Final = 1_024
"""The same of patterns of ids."""


class RegistryView:
    """The capabilities that a run can use, fixed when it starts: later registrations and labels do not show in it.

    Safe to share between threads.
    """

    def __init__(self, indexes: Mapping[str, VersionIndex]) -> None:
        self._indexes: Mapping[str, VersionIndex] = MappingProxyType(dict(sorted(indexes.items())))
        self._known: dict[str, Resolution] = {}
        self._fitting: dict[tuple[str, ...], Sequence[str]] = {}

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """SHA-256 over every reference and the fingerprint of its spec: equal for equal contents, however they came in."""
        contents: dict[str, Json] = {spec.reference: spec.fingerprint for spec in self.list()}
        return fingerprint(contents)

    def get(self, id: str) -> CapabilitySpec | None:  # noqa: A002  # the spec's own field name
        """What the bare id means: the highest release by semantic-version precedence, or None where there is none."""
        index = self._indexes.get(id)
        found = index.latest if index is not None else None
        return found.spec if found is not None else None

    def resolve(self, reference: str) -> CapabilitySpec:
        """The spec that a reference means; see `resolution`."""
        return self.resolution(reference).spec

    def resolution(self, reference: str) -> Resolution:
        """The spec that a reference means, and how it was found (see `assent.spec.words.reference` for what can be written).

        Raises `InputError`: CAPABILITY_UNKNOWN, VERSION_NOT_FOUND, each with what is nearest; VERSION_AMBIGUOUS; INVALID_VERSION.
        """
        known = self._known.get(reference)
        return known if known is not None else self._resolve(reference)

    def _resolve(self, text: str) -> Resolution:
        reference = CapabilityReference.parse(text)
        index = self._indexes.get(reference.id)
        if index is None:
            raise unknown_capability(reference.id, self._indexes, text)
        spec = index.find(reference)
        if len(self._known) >= RESOLUTIONS_MAX:
            self._known.clear()
        return self._known.setdefault(text, Resolution(spec, reference.how))

    def spoken(self, reference: str) -> CapabilitySpec:
        """The spec whose inputs callers who write this send: also a retired one, whose callers others may serve.

        See `VersionIndex.spoken`; raises as `resolve` does where the reference means nothing.
        """
        parsed = CapabilityReference.parse(reference)
        index = self._indexes.get(parsed.id)
        if index is None:
            return self.resolve(reference)
        found = index.spoken(parsed)
        spec = (found.spec or found.gone) if found is not None else None
        return spec if spec is not None else self.resolve(reference)

    def index(self, id: str) -> VersionIndex:  # noqa: A002  # the spec's own field name
        """All that is known of one capability's versions; `InputError` CAPABILITY_UNKNOWN."""
        found = self._indexes.get(id)
        if found is None:
            raise unknown_capability(id, self._indexes, id)
        return found

    def versions(self, id: str) -> list[CapabilitySpec]:  # noqa: A002  # the spec's own field name
        """The versions of one capability that can be used, lowest first; empty when there is none."""
        index = self._indexes.get(id)
        return _specs_of(index) if index is not None else []

    def list(self) -> list[CapabilitySpec]:
        """Every spec that can be used, sorted by id and then by version, lowest first."""
        return [spec for index in self._indexes.values() for spec in _specs_of(index)]

    def ids(self, patterns: tuple[str, ...]) -> Sequence[str]:
        """The ids of these that fit one of some patterns. To find a tool by its name is not to look at thousands each time."""
        found = self._fitting.get(patterns)
        if found is None:
            if len(self._fitting) >= PATTERNS_MAX:
                self._fitting.clear()
            ids = dict.fromkeys(spec.id for spec in self.list())
            fitting = [ident for ident in ids if any(glob_matches(one, ident) for one in patterns)]
            found = self._fitting[patterns] = fitting
        return found

    def __len__(self) -> int:
        return sum(len(index.candidates) for index in self._indexes.values())


def _specs_of(index: VersionIndex) -> list[CapabilitySpec]:
    return [entry.spec for entry in index.candidates if entry.spec is not None]


def unknown_capability(ident: str, known: Mapping[str, object], reference: str) -> InputError:
    """The refusal of an id that nothing is registered under."""
    return InputError(
        "CAPABILITY_UNKNOWN",
        f"there is no capability `{ident[:120]}`",
        hint=did_you_mean(ident, known, otherwise="list what exists: assent capability list"),
        details={"reference": reference[:200]},
    )


def check_compensations(snapshot: RegistryView) -> None:
    """Do nothing, or raise `InputError` COMPENSATION_INVALID with every spec whose effect nobody registered can take back."""
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
