"""The events of capabilities: which versions there are, what they are called, and who gets the calls."""

from assent.spec.events._event import Act, Event
from assent.spec.ids import Commitment, Fingerprint


class ReleaseRegistered(Event, frozen=True, kw_only=True, tag="release.registered"):
    """What comes with a release of Assent can be called from now on: `versions[i]` (`id@version`) has the spec `fingerprints[i]`.

    One entry for all that is new, so that a ledger does not begin with more about what could be done than about what was. Each
    version counts as one change.
    """

    release: str
    versions: tuple[str, ...]
    fingerprints: tuple[Fingerprint, ...]


class CapabilityRegistered(Event, frozen=True, kw_only=True, tag="capability.registered"):
    """A version of a capability can be called from now on. `replaces`: its spec was another one under the same number before.

    `spec` binds the canonical spec of what others wrote, which may be gone from the machine one day.
    """

    capability: str
    version: str
    fingerprint: Fingerprint
    replaces: Fingerprint | None = None
    spec: Commitment | None = None


class CapabilityLabelled(Act, frozen=True, kw_only=True, tag="capability.labelled"):
    """Somebody put a label on a version; it names no other one of this capability any more."""

    capability: str
    version: str
    label: str
    by: str


class CapabilityUnlabelled(Act, frozen=True, kw_only=True, tag="capability.unlabelled"):
    """Somebody took a label away."""

    capability: str
    label: str
    by: str


class CapabilityActivated(Act, frozen=True, kw_only=True, tag="capability.activated"):
    """Versions share the calls of the bare id from now on: `weights[i]` parts for `versions[i]`; none ends the sharing.

    `by` is None and `code` says why where nobody asked for it.
    """

    capability: str
    versions: tuple[str, ...] = ()
    weights: tuple[int, ...] = ()
    code: str | None = None
    by: str | None = None


class CapabilitySwitched(Event, frozen=True, kw_only=True, tag="capability.switched"):
    """A version lost its share: `errors` of its `calls` in the last `window_ms` failed. The shares that hold then follow."""

    capability: str
    version: str
    calls: int
    errors: int
    window_ms: int


class CapabilityRetired(Act, frozen=True, kw_only=True, tag="capability.retired"):
    """No new run can use a version any more; no unfinished one did."""

    capability: str
    version: str
    by: str
