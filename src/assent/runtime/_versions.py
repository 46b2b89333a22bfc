"""`rt.versions`: the versions of capabilities over time, and what people do with them. Every change is on the record first.

Theory of operation. What the record says of capabilities is loaded when the runtime starts, from rows that are folds of the
events. A change is checked against that, appended with the row that follows from it, and taken in from this very row, so the live
state and the one after a restart are read by the same code. One change at a time; a kill between any two steps leaves either
nothing of it or all.
"""

from __future__ import annotations

from asyncio import CancelledError, Lock, shield, wait
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, TypedDict

from msgspec import structs

from assent.engine import Actor, CapabilityRows, Engine, RunRecord, Services
from assent.errors import InputError, Json
from assent.failpoints import FAILPOINTS
from assent.journal import Batch, Payload, SqliteReader
from assent.registry import (
    Activation,
    CapabilityVersion,
    HealthLimits,
    LabelChange,
    RegistrySnapshot,
    Switch,
    VersionHealth,
    VersionIndex,
    instant,
)
from assent.runtime._catalogue import Capabilities
from assent.runtime._recording import registrations
from assent.runtime._runs import state_of
from assent.runtime._temperature import Cooling, Temperatures
from assent.runtime._traffic import ERROR_RATE, Traffic
from assent.runtime.settings import Limits, Settings
from assent.spec import events as ev
from assent.spec.canonical import canonical_json, commit
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import Commitment, RunId
from assent.spec.principal import Principal
from assent.spec.reference import CapabilityReference, How
from assent.system import SystemClock

if TYPE_CHECKING:
    from assent.spec.version_diff import VersionDiff

RETIRED: Final = "retired"
MISSING: Final = "missing"
"""A version that was recorded once and is not installed here."""

By: TypeAlias = "Actor | Principal | str | None"
"""Who asks: a principal, asserted when it is not the configured one; None for the configured one."""


class Labelled(NamedTuple):
    """A label's version, the one that it named before, and by what the version was found."""

    capability: str
    version: str
    before: str | None
    how: How


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version as it stands: `state` is `hot`, `warm`, `cold`, `retired` or `missing`."""

    entry: CapabilityVersion
    state: str
    labels: tuple[str, ...]
    weight: int | None
    is_latest: bool
    health: VersionHealth | None = None
    """How it does, while it shares the calls."""

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
            "weight": self.weight,
            "latest": self.is_latest,
            "health": self.health.value if self.health is not None else None,
            "retired_at_ms": entry.retired_at_ms,
        }


class Versions:
    """What a runtime knows of versions, and the changes that it makes when it owns the state."""

    def __init__(
        self,
        capabilities: Capabilities,
        actor_of: Callable[[Principal | str | None], Actor],
        *,
        idle_ms: int,
        health: HealthLimits,
    ) -> None:
        """`actor_of` says who acts under a name; `idle_ms` is the limit of `Temperatures`, `health` those of `Traffic`."""
        self._principal_of = actor_of
        self.temperatures = Temperatures(capabilities, idle_ms=idle_ms)
        self.traffic = Traffic(capabilities, health)
        self._capabilities = capabilities
        self._registry = capabilities.registry
        self._services: Services | None = None
        self._engine: Engine | None = None
        self._lock = Lock()

    @classmethod
    def of(
        cls, capabilities: Capabilities, actor_of: Callable[[Principal | str | None], Actor], limits: Limits
    ) -> Versions:
        """With the limits of the settings."""
        health = HealthLimits(
            failed_percent=limits.version_failed_percent,
            degraded_percent=limits.version_degraded_percent,
            calls_min=limits.version_calls_min,
            window_ms=limits.version_window_ms,
        )
        return cls(capabilities, actor_of, idle_ms=limits.version_idle_ms, health=health)

    def consult(self, settings: Settings, references: Iterable[str] | None = None) -> None:
        """Learn what the ledger of a workspace says, by reading alone; nothing where there is no ledger yet.

        With `references` the ledger is read only if one of them depends on it.
        """
        if references is not None and not any(map(_needs_record, references)):
            return
        now_ms = SystemClock().now_ms()
        try:
            journal = SqliteReader.open(settings.state)
        except InputError as error:
            if error.code != "STATE_MISSING":
                raise
            self._registry.count_unrecorded_from(now_ms)
            return
        with journal:
            self._capabilities.load(journal, now_ms=now_ms)
            self.traffic.load(journal)

    def attach(self, services: Services | None, engine: Engine | None) -> None:
        """The journal and the engine of the runtime that is open now; None when it closes."""
        self._services, self._engine = services, engine
        self._capabilities.consult_steps(services.journal if services is not None else None)
        if services is not None:
            self.traffic.load(services.journal)

    # -- what there is ----------------------------------------------------------------------------------------------------

    def history(self, capability: str, *, now_ms: int | None = None) -> list[VersionStatus]:
        """Every version that is installed or was ever recorded, the newest first; `CAPABILITY_UNKNOWN`."""
        index = self._index(capability)
        at_ms = self.now_ms() if now_ms is None else now_ms
        return [self._status(entry, index, at_ms) for entry in self._registry.history(capability)]

    def label_history(self, capability: str) -> list[LabelChange]:
        """Every change of the capability's labels, the newest first."""
        return [*self._registry.label_history(capability)]

    def activation_history(self, capability: str) -> list[Activation]:
        """Every change of the capability's weights, the newest first."""
        return [*self._registry.activation_history(capability)]

    def told(self, capability: str, *, now_ms: int) -> dict[str, Json]:
        """The versions of a capability with all that changed about them: what `assent capability history --json` prints."""
        return {
            "capability": capability,
            "versions": [status.to_json() for status in self.history(capability, now_ms=now_ms)],
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
            "weights": [
                {
                    "weights": {**change.weights},
                    "at": instant(change.at_ms),
                    "at_ms": change.at_ms,
                    "by": change.by,
                    "code": change.code,
                }
                for change in self.activation_history(capability)
            ],
        }

    def status(self, capability: str, version: str, *, now_ms: int) -> VersionStatus:
        """One version as it stands."""
        index = self._index(capability)
        entry = index.version(version)
        assert entry is not None, "the caller resolved it"
        return self._status(entry, index, now_ms)

    def _status(self, entry: CapabilityVersion, index: VersionIndex, now_ms: int) -> VersionStatus:
        if entry.is_retired:
            state = RETIRED
        elif entry.spec is None:
            state = MISSING
        else:
            state = self.temperatures.of(entry, index, now_ms).value
        latest = index.latest
        return VersionStatus(
            entry,
            state,
            tuple(index.labels_of(entry.version)),
            index.weights.get(entry.version),
            latest is not None and latest.version == entry.version,
            self.traffic.health(entry.id, now_ms).get(entry.version),
        )

    def _index(self, capability: str) -> VersionIndex:
        snapshot: RegistrySnapshot = self._registry.snapshot()
        return snapshot.index(capability)

    def diff(self, capability: str, old: str, new: str) -> VersionDiff:
        """What changes from one version of a capability to another.

        Versions are what may stand behind the `@` of a reference; a retired one goes by its number. `CAPABILITY_UNKNOWN`,
        `VERSION_NOT_FOUND`, `INVALID_VERSION`.
        """
        from assent.spec.version_diff import diff_specs  # compares schemas: nothing that a run needs

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

    # -- what is changed --------------------------------------------------------------------------------------------------

    async def record(self) -> int:
        """Put on the record what is registered and not recorded yet; how many versions. Nothing is written where all is.

        Called before a run begins. `VERSION_CHANGED` when something is not what was recorded under its version.
        """
        if not self._capabilities.unrecorded():
            return 0
        async with self._lock:
            # Somebody else may have done it while this one waited.
            specs = self._capabilities.unrecorded()
            if specs:
                payloads: list[Payload] = []
                events = registrations(specs, self._registry, partial(self._bind, payloads))
                await self._append(*events, payloads=payloads)
            return len(specs)

    def _bind(self, payloads: list[Payload], value: Json) -> Commitment:
        salt, body = self._open_services().entropy.salt(), canonical_json(value)
        commitment = commit(salt, body)
        payloads.append(Payload(commitment, salt, body))
        return commitment

    async def before_run(self) -> None:
        """See to it that what a run may use is on the record before the run is; costs nothing but after something new came."""
        await self.record()
        await self._switch_when_due()
        self.temperatures.recycle_when_due(self.now_ms)

    async def after_run(self, record: RunRecord) -> None:
        """Learn from a run that came to rest, and take calls away from a version that fails too often."""
        self.traffic.note(record)
        await self._switch_when_due()

    async def _switch_when_due(self) -> None:
        if not self.traffic.due(self.now_ms()):
            return
        async with self._lock:
            # One version at a time; another may have to go after the first one's share is given away.
            while due := self.traffic.due(self.now_ms()):
                await self._append(
                    *(event for ident, change in due for event in self._switched(ident, change))
                )

    def _switched(self, capability: str, change: Switch) -> tuple[ev.AnyEvent, ev.AnyEvent]:
        """The reason and the change, which no kill can part: they stand in one batch."""
        return (
            ev.CapabilitySwitched(
                capability=capability,
                version=change.version,
                calls=change.rate.calls,
                errors=change.rate.errors,
                window_ms=self.traffic.limits.window_ms,
            ),
            ev.CapabilityActivated(
                capability=capability,
                versions=tuple(change.weights),
                weights=tuple(change.weights.values()),
                code=ERROR_RATE,
            ),
        )

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
                who = _fields(self._actor_of(by))
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
                ev.CapabilityUnlabelled(capability=capability, label=label, **_fields(self._actor_of(by)))
            )
            return True

    async def activate(
        self, capability: str, weights: Mapping[str, int], *, by: By = None, code: str | None = None
    ) -> None:
        """Let versions share the calls of the bare id by weight; an empty mapping ends that.

        `code` says why where nobody asked for it. `VERSION_NOT_FOUND`, `WEIGHTS_INVALID`.
        """
        await self.record()
        async with self._lock:
            self._index(capability)
            self._registry.check_weights(capability, weights)
            self._capabilities.check_shares(capability, weights)
            event = ev.CapabilityActivated(
                capability=capability,
                versions=tuple(weights),
                weights=tuple(weights.values()),
                code=code,
            )
            if code is None:
                event = structs.replace(event, **_fields(self._actor_of(by)))
            await self._append(event)

    async def retire(self, reference: str, *, by: By = None, dry_run: bool = False) -> tuple[str, str]:
        """Let no new run use a version any more; its id and number. With `dry_run` it is only checked whether that could be.

        Raises `VERSION_NEWEST`, `VERSION_LABELLED`, `VERSION_ACTIVE`, `VERSION_IN_USE`.
        """
        await self.record()
        async with self._lock:
            capability, version = self._named(reference)
            self._registry.check_retirement(capability, version)
            self._require_drained(capability, version)
            if dry_run:
                return capability, version
            event = ev.CapabilityRetired(
                capability=capability, version=version, **_fields(self._actor_of(by))
            )
            # INVARIANT: from the check on nothing may begin that uses it, and waiting for the append lets others run.
            with self._registry.withholding(capability, version, self.now_ms()):
                await self._append(event)
            return capability, version

    def recycle(self, *, dry_run: bool = False) -> list[Cooling]:
        """Let versions cool that nobody called for long; what cooled, or with `dry_run` what would."""
        return self.temperatures.recycle(self.now_ms(), dry_run=dry_run)

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _actor_of(self, by: By) -> Actor:
        return by if isinstance(by, Actor) else self._principal_of(by)

    def _named(self, reference: str) -> tuple[str, str]:
        parsed = CapabilityReference.parse(reference)
        if parsed.how is How.EXACT:  # Also a version that is not installed any more.
            return parsed.id, parsed.wanted
        return parsed.id, self._registry.resolve(reference).version

    def _require_drained(self, capability: str, version: str) -> None:
        engine, services = self._engine, self._services
        assert engine is not None  # INVARIANT: `_append` and this are for an owner
        assert services is not None
        rows = services.journal.rows("runs")
        unfinished = {RunId(str(row["run_id"])) for row in rows if not state_of(row).is_finished}
        using = sorted(
            run
            for run in unfinished.union(engine.under_way())
            if (capability, version) in engine.versions_of(run)
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
        fold = CapabilityRows(services.journal.rows("capabilities"), count=self._registry.revision)
        rows = tuple(row for event in events for row in fold.apply(event, at_ms))
        batch = Batch(run=None, expected_n=0, at_ms=at_ms, events=events, payloads=tuple(payloads), rows=rows)
        work = services.spawn(self._commit(services, batch), name="versions")
        try:
            await shield(work)
        except CancelledError:
            # INVARIANT: the changes are numbered by what is known to be recorded, so who gives up waits until that is known,
            # however often they are told to give up.
            while not work.done():
                with suppress(CancelledError):
                    await wait({work})
            if not work.cancelled():
                work.exception()  # Nobody else will ask what became of it.
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


class _Who(TypedDict):
    """The fields of an event that say who asked for it."""

    by: str
    asserted: bool
    os_uid: int | None


def _fields(actor: Actor) -> _Who:
    return {"by": str(actor.principal), "asserted": actor.asserted, "os_uid": actor.os_uid}


def _needs_record(reference: str) -> bool:
    try:
        return CapabilityReference.parse(reference).needs_record
    except InputError:
        return False  # Whoever uses it says what is wrong with it.
