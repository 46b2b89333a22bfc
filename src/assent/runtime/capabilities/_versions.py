"""`rt.versions`: the versions of capabilities over time, and what people do with them. Every change is on the record first.

Theory of operation. What the record says of capabilities is loaded when the runtime starts, from rows that are folds of the
events. A change is checked against that, appended with the row that follows from it, and taken in from this very row, so the live
state and the one after a restart are read by the same code. One change at a time; a kill between any two steps leaves either
nothing of it or all.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError, Lock, shield
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import msgspec

from assent.engine import Actor, CapabilityRows, Driver, Services
from assent.errors import InputError, Json
from assent.failpoints import FAILPOINTS
from assent.invocation.call.threads import outlast
from assent.journal import Batch, Payload, at_once, each_row
from assent.registry import CapabilityVersion, LabelChange, RegistryView, VersionIndex
from assent.runtime._find_run import UNFINISHED
from assent.runtime._ledger import reading
from assent.runtime.capabilities._capability_record import registrations
from assent.runtime.capabilities._registered import Capabilities
from assent.runtime.settings.effective import Settings
from assent.spec.capability import CapabilitySpec
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment, RunId
from assent.spec.principal import Principal
from assent.spec.values.canonical import canonical_json, commit
from assent.spec.words.durations import instant
from assent.spec.words.reference import CapabilityReference, How
from assent.system import SystemClock

if TYPE_CHECKING:
    from assent.versions.version_diff import VersionDiff

INSTALLED: Final = "installed"
RETIRED: Final = "retired"
MISSING: Final = "missing"
"""A version that was recorded once and is not installed here."""

WEIGHTS_REMOVED: Final = "WEIGHTS_REMOVED"
"""Why the sharing of calls ended that an earlier Assent recorded."""

LOGGER: Final = logging.getLogger("assent.versions")

By: TypeAlias = "Actor | Principal | str | None"
"""Who asks: a principal, asserted when it is not the configured one; None for the configured one."""


class Labelled(NamedTuple):
    """A label's version, the one that it named before, and by what the version was found."""

    capability: str
    version: str
    before: str | None
    how: How


class VersionStatus(msgspec.Struct, frozen=True):
    """One version as it stands: `state` is `installed`, `retired` or `missing`."""

    entry: CapabilityVersion
    state: str
    labels: tuple[str, ...]
    is_latest: bool

    def to_json(self) -> dict[str, Json]:
        """The version as `assent capability history --json` prints it."""
        entry = self.entry
        return {
            "capability": entry.id,
            "version": entry.version,
            "fingerprint": entry.fingerprint,
            "created_at": instant(entry.created_at_ms) if entry.created_at_ms is not None else None,
            "created_at_ms": entry.created_at_ms,
            "state": self.state,
            "labels": [*self.labels],
            "latest": self.is_latest,
            "retired_at_ms": entry.retired_at_ms,
        }


class Versions:
    """What a runtime knows of versions, and the changes that it makes when it owns the state."""

    def __init__(
        self, capabilities: Capabilities, actor_of: Callable[[Principal | str | None], Actor]
    ) -> None:
        """`actor_of` says who acts under a name."""
        self._principal_of = actor_of
        self._capabilities = capabilities
        self._registry = capabilities.registry
        self._services: Services | None = None
        self._driver: Driver | None = None
        self._lock = Lock()

    def consult(self, settings: Settings, references: Iterable[str] | None = None) -> None:
        """Learn what the ledger of a workspace says, by reading alone; nothing where there is no ledger yet.

        With `references` the ledger is read only if one of them depends on it.
        """
        if references is not None and not any(map(_needs_record, references)):
            return
        now_ms = SystemClock().now_ms()
        with reading(settings.state) as journal:
            if journal is None:
                self._registry.count_unrecorded_from(now_ms)
            else:
                at_once(self._capabilities.load(journal, now_ms=now_ms))

    def attach(self, services: Services | None, driver: Driver | None) -> None:
        """The journal and the engine of the runtime that is open now; None when it closes."""
        self._services, self._driver = services, driver
        self._capabilities.consult_steps(services.journal if services is not None else None)

    def history(self, capability: str) -> list[VersionStatus]:
        """Every version that is installed or was ever recorded, the newest first; `CAPABILITY_UNKNOWN`."""
        index = self._index(capability)
        return [_status(entry, index) for entry in self._registry.history(capability)]

    def label_history(self, capability: str) -> list[LabelChange]:
        """Every change of the capability's labels, the newest first."""
        return [*self._registry.label_history(capability)]

    def told(self, capability: str) -> dict[str, Json]:
        """The versions of a capability with all that changed about them: what `assent capability history --json` prints."""
        return {
            "capability": capability,
            "versions": [status.to_json() for status in self.history(capability)],
            "labels": [
                {
                    "label": change.label,
                    "version": change.version,
                    "at": instant(change.at_ms),
                    "at_ms": change.at_ms,
                    "by": change.by,
                }
                for change in self.label_history(capability)
            ],
        }

    def status(self, capability: str, version: str) -> VersionStatus:
        """One version as it stands."""
        index = self._index(capability)
        entry = index.version(version)
        assert entry is not None, "the caller resolved it"
        return _status(entry, index)

    def _index(self, capability: str) -> VersionIndex:
        snapshot: RegistryView = self._registry.snapshot()
        return snapshot.index(capability)

    def diff(self, capability: str, old: str, new: str) -> VersionDiff:
        """What changes from one version of a capability to another.

        Versions are what may stand behind the `@` of a reference; a retired one goes by its number. `CAPABILITY_UNKNOWN`,
        `VERSION_NOT_FOUND`, `INVALID_VERSION`.
        """
        from assent.versions.version_diff import diff_specs  # compares schemas: nothing that a run needs

        return diff_specs(self._spec(capability, old), self._spec(capability, new))

    def diff_told(self, capability: str, old: str, new: str) -> dict[str, Json]:
        """The same as `assent capability diff --json` prints it. `served`: the newer one can serve the older one's callers."""
        found = self.diff(capability, old, new)
        try:
            self._capabilities.chain(capability, found.old).route(found.old, found.new)
        except InputError as error:
            return {**found.to_json(), "served": False, "missing": error.message}
        return {**found.to_json(), "served": True, "missing": None}

    def _spec(self, capability: str, wanted: str) -> CapabilitySpec:
        entry = self._index(capability).version(wanted)
        spec = (entry.spec or entry.gone) if entry is not None else None
        if spec is not None:
            return spec
        return self._registry.resolve(f"{capability}@{wanted}")

    async def record(self) -> int:
        """Put on the record what is registered and not recorded yet; how many versions. Nothing is written where all is.

        Called before a run begins; costs nothing but after something new came. `VERSION_CHANGED` when something is not what was
        recorded under its version.
        """
        if not self._capabilities.unrecorded() and not self._capabilities.shared:
            return 0
        async with self._lock:
            # Somebody else may have done it while this one waited.
            specs = self._capabilities.unrecorded()
            payloads: list[Payload] = []
            events = registrations(specs, self._registry, partial(self._bind, payloads))
            events += self._ends_of_sharing()
            if events:
                await self._append(*events, payloads=payloads)
            return len(specs)

    def _ends_of_sharing(self) -> Iterator[ev.AnyEvent]:
        """An earlier Assent could share the calls of a bare id by weight. That it means the latest version again is recorded."""
        for capability, weights in self._capabilities.shared.items():
            LOGGER.warning(
                "the calls of `%s` were shared by weight (%s), which there is no more: without a version it means the latest",
                capability,
                weights,
            )
            yield ev.CapabilityActivated(capability=capability, code=WEIGHTS_REMOVED)

    def _bind(self, payloads: list[Payload], value: Json) -> Commitment:
        salt, body = self._open_services().entropy.salt(), canonical_json(value)
        commitment = commit(salt, body)
        payloads.append(Payload(commitment, salt, body))
        return commitment

    async def label(self, reference: str, label: str, *, by: By = None) -> Labelled:
        """Put a label on the version that a reference means, or move it there. Nothing is recorded where it names it already.

        Raises `CAPABILITY_UNKNOWN`, `VERSION_NOT_FOUND`, `LABEL_INVALID`.
        """
        await self.record()
        async with self._lock:
            found = self._registry.resolution(reference)
            spec = found.spec
            before = self._registry.check_label(spec.id, label)
            if before != spec.version:
                who = self._actor_of(by).who()
                await self._append(
                    ev.CapabilityLabelled(capability=spec.id, version=spec.version, label=label, **who)
                )
            return Labelled(spec.id, spec.version, before, found.how)

    async def unlabel(self, capability: str, label: str, *, by: By = None) -> bool:
        """Take a label away; whether it was there."""
        async with self._lock:
            if self._registry.check_label(capability, label) is None:
                return False
            await self._append(
                ev.CapabilityUnlabelled(capability=capability, label=label, **self._actor_of(by).who())
            )
            return True

    async def retire(self, reference: str, *, by: By = None, dry_run: bool = False) -> tuple[str, str]:
        """Let no new run use a version any more; its id and number. With `dry_run` it is only checked whether that could be.

        Raises `VERSION_NEWEST`, `VERSION_LABELLED`, `VERSION_IN_USE`.
        """
        await self.record()
        async with self._lock:
            capability, version = self._named(reference)
            self._registry.check_retirement(capability, version)
            await self._require_drained(capability, version)
            if dry_run:
                return capability, version
            event = ev.CapabilityRetired(capability=capability, version=version, **self._actor_of(by).who())
            # INVARIANT: from the check on nothing may begin that uses it, and waiting for the append lets others run.
            with self._registry.withholding(capability, version, self.now_ms()):
                await self._append(event)
            return capability, version

    def _actor_of(self, by: By) -> Actor:
        return by if isinstance(by, Actor) else self._principal_of(by)

    def _named(self, reference: str) -> tuple[str, str]:
        parsed = CapabilityReference.parse(reference)
        if parsed.how is How.EXACT:  # Also a version that is not installed any more.
            return parsed.id, parsed.wanted
        return parsed.id, self._registry.resolve(reference).version

    async def _require_drained(self, capability: str, version: str) -> None:
        driver, services = self._driver, self._services
        assert driver is not None  # INVARIANT: `_append` and this are for an owner
        assert services is not None
        going_on = each_row(services.journal, "runs", {"status": UNFINISHED})
        unfinished = {RunId(str(row["run_id"])) async for row in going_on}
        using = sorted(
            [
                run
                for run in unfinished.union(driver.under_way())
                if (capability, version) in await driver.versions_of(run)
            ]
        )
        if using:
            runs = (
                f"{len(using)} unfinished runs use"
                if len(using) > 1
                else f"the unfinished run `{using[0]}` uses"
            )
            raise InputError(
                "VERSION_IN_USE",
                f"{runs} `{capability}@{version}`, so it can't be retired yet",
                hint=f"end it first: `assent cancel {using[0]}`, or `assent resume {using[0]}`",
                details={"runs": [*using]},
            )

    async def _append(self, *events: ev.AnyEvent, payloads: Iterable[Payload] = ()) -> None:
        services = self._open_services()
        at_ms = services.clock.now_ms()
        known = [row async for row in each_row(services.journal, "capabilities")]
        fold = CapabilityRows(known, count=self._registry.revision)
        rows = tuple(row for event in events for row in fold.apply(event, at_ms))
        batch = Batch(run=None, expected_n=0, at_ms=at_ms, events=events, payloads=tuple(payloads), rows=rows)
        work = services.spawn(self._commit(services, batch), name="versions")
        try:
            await shield(work)
        except CancelledError:
            # INVARIANT: the changes are numbered by what is known to be recorded, so who gives up waits until that is known.
            await outlast(work)
            raise

    async def _commit(self, services: Services, batch: Batch) -> None:
        FAILPOINTS.hit("commit.before")
        await services.journal.append(batch)
        FAILPOINTS.hit("commit.after")
        self._capabilities.remember(batch.rows)

    def now_ms(self) -> int:
        """The time by the clock of the open runtime; RUNTIME_CLOSED."""
        return self._open_services().clock.now_ms()

    def _open_services(self) -> Services:
        if self._services is None:
            raise InputError(
                "RUNTIME_CLOSED", "the runtime is not open", hint="use it inside `async with Runtime.open(…)`"
            )
        return self._services


def _status(entry: CapabilityVersion, index: VersionIndex) -> VersionStatus:
    state = RETIRED if entry.is_retired else MISSING if entry.spec is None else INSTALLED
    latest = index.latest
    return VersionStatus(
        entry,
        state,
        tuple(index.labels_of(entry.version)),
        latest is not None and latest.version == entry.version,
    )


def _needs_record(reference: str) -> bool:
    try:
        return CapabilityReference.parse(reference).needs_record
    except InputError:
        return False  # Whoever uses it says what is wrong with it.
