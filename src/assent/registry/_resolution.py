"""What a reference means among the versions of one capability: an index that is built once and never changes.

Versions stand in the order of their precedence and in the order of their time, so every kind of reference is found by a look-up
or by bisection, however many versions there are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from types import MappingProxyType
from typing import assert_never

import msgspec

from assent.errors import InputError
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import Fingerprint
from assent.spec.words.durations import instant
from assent.spec.words.reference import FINGERPRINT_PREFIX, CapabilityReference, How
from assent.spec.words.semver import Precedence, VersionRange, is_release, precedence
from assent.spec.words.suggestions import did_you_mean


class CapabilityVersion(msgspec.Struct, frozen=True):
    """One version of a capability, as far as it is known here.

    `spec` is None for a version that was recorded once and is not installed; `recorded` is the fingerprint in the record, None
    where it says nothing. `created_at_ms` is the time of the event that registered it, None as long as nothing says so. `gone` is
    the spec that the record keeps of a version which is not installed: no reference means it, but its callers may be served.
    """

    id: str
    version: str
    spec: CapabilitySpec | None = None
    recorded: Fingerprint | None = None
    created_at_ms: int | None = None
    retired_at_ms: int | None = None
    gone: CapabilitySpec | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        """The installed spec's fingerprint, else the recorded one."""
        if self.spec is not None:
            return self.spec.fingerprint
        assert self.recorded is not None, "a version is installed or recorded"
        return self.recorded

    @property
    def reference(self) -> str:
        """`id@version`."""
        return f"{self.id}@{self.version}"

    @property
    def is_retired(self) -> bool:
        """New runs can't use it any more."""
        return self.retired_at_ms is not None


class Resolution(msgspec.Struct, frozen=True):
    """What a reference means: the spec, and by what it was named."""

    spec: CapabilitySpec
    how: How


class VersionIndex:
    """The versions of one capability, with the labels in force."""

    def __init__(
        self,
        ident: str,
        versions: Iterable[CapabilityVersion],
        *,
        labels: Mapping[str, str],
        needs_installed: bool = True,
    ) -> None:
        """`labels` name versions. Without `needs_installed`, versions that are not installed are candidates too:
        a reference that means one of them is then refused instead of meaning another version.
        """
        self.id = ident
        self.labels: Mapping[str, str] = MappingProxyType(dict(labels))
        self._by_version = {entry.version: entry for entry in versions}
        ordered = _ordered(self._by_version.values(), needs_installed=needs_installed)
        self._keys: list[Precedence] = [key for key, _ in ordered]
        self._candidates: list[CapabilityVersion] = [entry for _, entry in ordered]
        self._release_keys: list[Precedence] = [key for key in self._keys if is_release(key)]
        self._releases = [entry for key, entry in ordered if is_release(key)]

    @property
    def candidates(self) -> Sequence[CapabilityVersion]:
        """Every version that a reference can mean, lowest first."""
        return self._candidates

    @property
    def latest(self) -> CapabilityVersion | None:
        """What the bare id means: the highest release."""
        return self._releases[-1] if self._releases else None

    @property
    def newest(self) -> CapabilityVersion | None:
        """The same, or the highest pre-release where there is no release."""
        return self.latest or (self._candidates[-1] if self._candidates else None)

    def version(self, version: str) -> CapabilityVersion | None:
        """The version of exactly this number, a retired one included."""
        return self._by_version.get(version)

    def labels_of(self, version: str) -> list[str]:
        """The labels that name a version, sorted."""
        return sorted(label for label, named in self.labels.items() if named == version)

    def find(self, reference: CapabilityReference) -> CapabilitySpec:
        """The spec that a reference to this capability means; `InputError` VERSION_NOT_FOUND, VERSION_AMBIGUOUS."""
        match reference.how:
            case How.LATEST:
                found = self.latest
            case How.EXACT:
                found = self._by_version.get(reference.wanted)
            case How.RANGE:
                assert reference.range is not None, "a parsed range has its bounds"
                found = self._highest_in(reference.range)
            case How.LABEL:
                found = self._by_version.get(self.labels.get(reference.wanted, ""))
            case How.MOMENT:
                assert reference.at_ms is not None, "a parsed moment has its time"
                found = self._latest_at(reference.at_ms)
            case How.FINGERPRINT:
                found = self._with_fingerprint(reference)
            case _:
                assert_never(reference.how)
        if found is None:
            raise self._missing(reference)
        if found.is_retired or found.spec is None:
            raise self._unusable(reference, found)
        return found.spec

    def spoken(self, reference: CapabilityReference) -> CapabilityVersion | None:
        """The version whose callers wrote this reference: its number, or the highest of its range; also one retired since."""
        if reference.how is How.EXACT:
            return self._by_version.get(reference.wanted)
        if reference.how is not How.RANGE or reference.range is None:
            return None
        found = self._highest_in(reference.range)
        if found is not None:
            return found
        low, high = reference.range.low, reference.range.high
        retired = [
            (key, entry)
            for version, entry in self._by_version.items()
            if is_release(key := precedence(version)) and low <= key < high
        ]
        return max(retired, key=itemgetter(0))[1] if retired else None

    def _highest_in(self, allowed: VersionRange) -> CapabilityVersion | None:
        at = bisect_left(self._release_keys, allowed.high) - 1
        best = -1
        if at >= 0 and self._release_keys[at] >= allowed.low:
            best = bisect_left(self._keys, self._release_keys[at])
        for core in allowed.pre_releases_of:
            # The pre-releases of one version stand side by side, right below it.
            at = bisect_left(self._keys, min(allowed.high, (core, True, (), ""))) - 1
            if at >= 0 and self._keys[at][0] == core and self._keys[at] >= allowed.low:
                best = max(best, at)
        return self._candidates[best] if best >= 0 else None

    def _latest_at(self, at_ms: int) -> CapabilityVersion | None:
        times, highest = self._by_time
        at = bisect_right(times, at_ms) - 1
        return highest[at] if at >= 0 else None

    @cached_property
    def _by_time(self) -> tuple[list[int], list[CapabilityVersion]]:
        """When each release came, and the highest of all that had come by then; retired and missing ones still count.

        A moment means what the bare id meant then, or nothing: never another version because that one is gone.
        """
        created = [
            (entry.created_at_ms, precedence(entry.version), entry)
            for entry in self._by_version.values()
            if entry.created_at_ms is not None
        ]
        created.sort(key=lambda item: item[:2])
        times: list[int] = []
        highest: list[CapabilityVersion] = []
        top: Precedence | None = None
        for at_ms, key, entry in created:
            if is_release(key) and (top is None or key > top):
                top = key
                times.append(at_ms)
                highest.append(entry)
        return times, highest

    def _with_fingerprint(self, reference: CapabilityReference) -> CapabilityVersion | None:
        start = reference.wanted.removeprefix(FINGERPRINT_PREFIX)
        prints = self._by_fingerprint
        at = bisect_left(prints, start, key=lambda entry: entry.fingerprint)
        found = [entry for entry in prints[at : at + 2] if entry.fingerprint.startswith(start)]
        if len(found) > 1:
            raise InputError(
                "VERSION_AMBIGUOUS",
                f"the fingerprint `{start}` begins several versions of `{self.id}`",
                hint="write more of its digits",
                details={"versions": [entry.version for entry in found]},
            )
        return found[0] if found else None

    @cached_property
    def _by_fingerprint(self) -> list[CapabilityVersion]:
        return sorted(self._candidates, key=lambda entry: entry.fingerprint)

    def _missing(self, reference: CapabilityReference) -> InputError:
        wanted = reference.wanted[:80]
        match reference.how:
            case How.LATEST:
                message = f"`{self.id}` has no release, only pre-releases that must be asked for"
                hint = self._nearest(len(self._keys))
            case How.LABEL:
                message = f"`{self.id}` has no label `{wanted}`"
                known = ", ".join(sorted(self.labels))
                otherwise = (
                    f"labels: {known}" if known else f"set it: assent capability label {self.id} {wanted}"
                )
                hint = did_you_mean(wanted, self.labels, otherwise=otherwise) or otherwise
            case How.MOMENT:
                message = f"`{self.id}` had no release yet at `{wanted}`"
                times, highest = self._by_time
                hint = (
                    f"the first is `{highest[0].version}`, of {instant(times[0])}"
                    if times
                    else self._nearest(0)
                )
            case How.FINGERPRINT:
                message = f"no version of `{self.id}` has a fingerprint that begins with `{wanted}`"
                hint = f"all versions: assent capability history {self.id}"
            case How.RANGE | How.EXACT:
                message = f"`{self.id}` has no version `{wanted}`"
                low = reference.range.low if reference.range is not None else precedence(wanted)
                hint = self._nearest(bisect_left(self._keys, low))
            case _:
                assert_never(reference.how)
        return self._not_found(reference, message, hint)

    def _unusable(self, reference: CapabilityReference, found: CapabilityVersion) -> InputError:
        why = "was retired" if found.is_retired else "is not installed here"
        said = "" if reference.how is How.EXACT else f", which `{reference.wanted or 'latest'}` means,"
        at = bisect_left(self._keys, precedence(found.version))
        return self._not_found(reference, f"`{found.reference}`{said} {why}", self._nearest(at))

    def _not_found(self, reference: CapabilityReference, message: str, hint: str) -> InputError:
        whole = f"{reference.id}@{reference.wanted}" if reference.wanted else reference.id
        return InputError("VERSION_NOT_FOUND", message, hint=hint, details={"reference": whole[:200]})

    def _nearest(self, at: int) -> str:
        """The candidate below a place in the order, or the one above where there is none below."""
        if not self._candidates:
            return f"no version of `{self.id}` can be used; all of them: assent capability history {self.id}"
        near = self._candidates[max(0, at - 1)]
        return f"the nearest is `{near.reference}`; all versions: assent capability history {self.id}"


def _ordered(
    versions: Iterable[CapabilityVersion], *, needs_installed: bool
) -> list[tuple[Precedence, CapabilityVersion]]:
    usable = [
        (precedence(entry.version), entry)
        for entry in versions
        if not entry.is_retired and (entry.spec is not None or not needs_installed)
    ]
    usable.sort(key=lambda item: item[0])
    return usable
