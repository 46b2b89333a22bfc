"""What is registered now and what the record says of it: the registry's specs, each bound to its handler.

Of this every run's catalogue is made (`_run_catalogue.py`), and kept as long as runs go on with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final, TypedDict, Unpack

from assent.capabilities.findings import area as findings
from assent.capabilities.knowledge import area as knowledge
from assent.engine import CAPABILITY_TABLES
from assent.errors import AssentError, InputError
from assent.invocation import (
    BoundCapability,
    Capability,
    DeferredHandler,
    Handler,
    Transformer,
    VersionChain,
    described,
)
from assent.journal import PROJECTIONS, JournalReader, Where, at_once, each_row
from assent.journal.ports import Cell, Row
from assent.registry import CapabilityRegistry, RegistryView
from assent.runtime.capabilities._capability_record import (
    BUILT_IN,
    gone_specs,
    label_of,
    number_of,
    version_of,
)
from assent.runtime.capabilities._run_catalogue import FrozenCatalogue, RunCatalogue, SessionCatalogue
from assent.spec.capability import CapabilitySpec
from assent.spec.words.semver import is_release, precedence
from assent.versions.transformers import compatible_range

EARLIER_MAX: Final = 64
"""Catalogues of earlier revisions that are kept for runs which go on."""


class Registration(TypedDict, total=False):
    """What may be said when a capability is registered."""

    origin: str
    """Where it comes from, for messages."""

    replace: bool
    """It is meant that this is not what was recorded under the same version; without it that is `VERSION_CHANGED`."""

    transformers: Iterable[Transformer]
    """They serve callers of neighbouring versions, so that this one may break them."""

    breaking: bool
    """Callers know that this new major version breaks those in use; without it that is `VERSION_BREAKING`."""


class Capabilities:
    """What is registered now, and what the record says of it: the source of every run's catalogue."""

    def __init__(self) -> None:
        self.registry = CapabilityRegistry()
        self.shared: dict[str, str] = {}
        """The weights by which an earlier Assent shared the calls of a capability, as the record has them."""
        self._bound: dict[str, BoundCapability] = {}
        self._chains: dict[str, VersionChain] = {}
        self._steps: JournalReader | None = None
        self._replaced: set[str] = set()
        self._may_break: set[str] = set()
        self._recorded_count: int | None = None
        self._current: FrozenCatalogue | None = None
        self._earlier: dict[int, FrozenCatalogue] = {}

    def register(self, source: object, handler: object = None, **how: Unpack[Registration]) -> None:
        """Add what `@capability` described (one, or all of a module), or a spec with its handler.

        A handler is a `Handler`, an object with its parts, or a function (its `execute`); a spec without one is a version whose
        callers others serve.
        """
        transformers = [*how.get("transformers", ())]
        pairs: list[tuple[CapabilitySpec, Handler | DeferredHandler | None]]
        if isinstance(source, CapabilitySpec):
            pairs = [
                (source, handler if isinstance(handler, DeferredHandler | None) else Handler.of(handler))
            ]
        elif transformers and not isinstance(source, Capability):
            raise InputError(
                "TRANSFORMER_INVALID",
                "transformers belong to one capability, and a module may hold several",
                hint="register that capability by itself: `rt.register(module.name, transformers=[…])`",
            )
        else:
            pairs = [(one.spec, one.handler) for one in described(source)]
        with self._as_one() as done:
            for spec, parts in pairs:
                self._add(
                    spec,
                    parts,
                    how.get("origin", "python"),
                    replace=how.get("replace", False),
                    breaking=how.get("breaking", False),
                    transformers=transformers,
                )
                done.append(spec.reference)

    def register_all(self, pairs: Sequence[tuple[CapabilitySpec, Handler]], *, origin: str) -> None:
        """Add several as one, and refuse them when one of them refers to what is not there: now, and not when a run begins."""
        with self._as_one() as done:
            for spec, handler in pairs:
                self._add(spec, handler, origin)
                done.append(spec.reference)
            self.registry.snapshot()

    @contextmanager
    def _as_one(self) -> Iterator[list[str]]:
        """What is added inside, to be listed as it comes: when anything is refused, none of it stays."""
        done: list[str] = []
        try:
            yield done
        except AssentError:
            self.unregister(done)
            raise

    def _add(
        self,
        spec: CapabilitySpec,
        handler: Handler | DeferredHandler | None,
        origin: str,
        *,
        replace: bool = False,
        breaking: bool = False,
        transformers: Iterable[Transformer] = (),
    ) -> None:
        if spec.id in findings.ACTS | knowledge.ACTS and origin != BUILT_IN:
            raise InputError(
                "CAPABILITY_DUPLICATE",
                f"`{spec.id}` comes with Assent, which believes its outcomes and proves things by them",
                hint="give yours another id",
                details={"reference": spec.reference, "origins": [BUILT_IN, origin]},
            )
        bound = BoundCapability(spec, handler, is_own=origin == BUILT_IN) if handler is not None else None
        replace = replace or origin == BUILT_IN
        self._require_unchanged(spec, is_meant=replace or spec.reference in self._replaced)
        # The version joins its chain only together with the registry, which refuses one that is there already.
        chain = self._chains.get(spec.id) or VersionChain(spec.id)
        joined = chain.joined(spec, transformers)
        self._require_served(spec, joined, is_meant=breaking or spec.reference in self._may_break)
        self.registry.register_capability(spec, origin=origin)
        self._chains[spec.id] = joined
        if bound is not None:
            self._bound[spec.reference] = bound
        # What was said holds until it is recorded, and only for what was taken in.
        if replace:
            self._replaced.add(spec.reference)
        if breaking:
            self._may_break.add(spec.reference)
        self._earlier.clear()

    def unregister(self, references: Iterable[str]) -> None:
        """Take capabilities out for runs that begin from now on; those under way keep what they hold."""
        for reference in references:
            self.registry.unregister_capability(reference)
            self._bound.pop(reference, None)
            self._replaced.discard(reference)
            self._may_break.discard(reference)
            ident, _, version = reference.partition("@")
            if ident in self._chains:
                self._chains[ident] = self._chains[ident].without(version)
        self._recorded_count = None
        self._earlier.clear()

    def chain(self, capability: str, asked: str) -> VersionChain:
        """The versions of a capability with the transformers between them, as callers of `asked` see it; `CAPABILITY_UNKNOWN`."""
        gone = self.registry.snapshot().index(capability).version(asked)
        chain = self._chains[capability]
        return chain.knowing(gone.gone) if gone is not None and gone.gone is not None else chain

    def _require_served(self, spec: CapabilitySpec, chain: VersionChain, *, is_meant: bool) -> None:
        """Refuse a release that breaks the release before it while that one has callers: `VERSION_BREAKING`.

        Under the same major number the chain has refused it already. Another major number may break, but not whom it meets:
        as the latest version it would get every call of the bare id at once.
        """
        if is_meant or not is_release(precedence(spec.version)):
            return
        if self.registry.recorded(spec.id, spec.version) is not None:
            return  # It was accepted once.
        self._require_gone_served(spec, chain)
        older = [
            fact.version
            for fact in self.registry.recorded_versions(spec.id)
            if fact.retired is None
            and chain.has(fact.version)
            and is_release(precedence(fact.version))
            and precedence(fact.version) < precedence(spec.version)
        ]
        for version in sorted(older, key=precedence, reverse=True):
            if self._was_called(spec.id, version):
                chain.require_served(version, spec.version)

    def _require_gone_served(self, spec: CapabilitySpec, chain: VersionChain) -> None:
        """Refuse a release that breaks the one which it replaces, as if that were still installed beside it: `VERSION_BREAKING`.

        Another major number says that it breaks, and whoever took the old version away meant it.
        """
        gone = [
            one
            for version, one in self.registry.gone(spec.id).items()
            if is_release(precedence(version))
            and precedence(version) < precedence(spec.version)
            and compatible_range(version) == compatible_range(spec.version)
        ]
        if not gone:
            return
        nearest = max(gone, key=lambda one: precedence(one.version))
        try:
            chain.knowing(nearest).require_served(nearest.version, spec.version)
        except InputError as error:
            error.hint = f"{error.hint}; if nobody calls the old one any more: assent capability retire {nearest.reference}"
            raise

    def current(self) -> FrozenCatalogue:
        """The catalogue for a run that begins now."""
        snapshot = self.registry.snapshot()
        if self._current is None or self._current.snapshot is not snapshot:
            revision = self.registry.revision
            recorded = self.registry.snapshot_at(revision) if any(self.registry.missing()) else None
            self._current = self._freeze(snapshot, revision, recorded)
        return self._current

    def of_run(self, revision: int | None, pins: tuple[str, ...] = ()) -> RunCatalogue:
        """The catalogue of a run: of now when it begins (`revision` None), of then when it goes on."""
        return RunCatalogue(self._of_revision(revision), pins)

    def of_session(self, revision: int | None) -> SessionCatalogue:
        """The catalogue of a session."""
        return SessionCatalogue(self._of_revision(revision), self.current)

    def _of_revision(self, revision: int | None) -> FrozenCatalogue:
        # Not the current one when nothing was recorded since: what is registered now may not be recorded yet.
        if revision is None:
            return self.current()
        known = self._earlier.get(revision)
        if known is None:
            if len(self._earlier) >= EARLIER_MAX:
                self._earlier.clear()
            known = self._freeze(self.registry.snapshot_at(revision), revision)
            self._earlier[revision] = known
        return known

    def _freeze(
        self, snapshot: RegistryView, revision: int, recorded: RegistryView | None = None
    ) -> FrozenCatalogue:
        return FrozenCatalogue(
            snapshot,
            dict(self._bound),
            dict(self._chains),
            revision=revision,
            recorded=recorded,
        )

    async def load(self, journal: JournalReader, *, now_ms: int) -> None:
        """Take in what a journal says of capabilities, and only that; what it does not know yet counts as registered now."""
        self.registry.forget_record()
        self.shared.clear()
        self.registry.count_unrecorded_from(now_ms)
        for table in CAPABILITY_TABLES:
            self._remember(table, [row async for row in each_row(journal, table)])
        async for spec in gone_specs(journal, [*self.registry.missing()]):
            self.registry.remember_spec(spec)
        self._recorded_count = None
        self._earlier.clear()

    def consult_steps(self, journal: JournalReader | None) -> None:
        """The journal that says who was called, as long as it is open; without one nothing is known to be in use."""
        self._steps = journal

    def _was_called(self, capability: str, version: str) -> bool:
        where: Where = {"capability": capability, "version": version}
        if self._steps is None:
            return False
        # Registering is no coroutine, so that programs may do it anywhere; this journal is on the machine that registers.
        return bool(at_once(self._steps.rows("steps", where, limit=1)))

    def remember(self, rows: Iterable[Row]) -> None:
        """Take in rows that became durable."""
        for row in rows:
            self._remember(row.table, [dict(zip(PROJECTIONS[row.table], row.values, strict=True))])

    def unrecorded(self) -> list[CapabilitySpec]:
        """What the record does not say yet; `VERSION_CHANGED`, `VERSION_BREAKING`. Costs nothing when it says everything."""
        count = len(self.registry)
        if count == self._recorded_count:
            return []
        specs: list[CapabilitySpec] = []
        for spec in self.registry.installed():
            self.require_recordable(spec)
            fact = self.registry.recorded(spec.id, spec.version)
            if fact is None or fact.fingerprint != spec.fingerprint:
                specs.append(spec)
        if not specs:
            self._recorded_count = count
        return specs

    def require_recordable(self, spec: CapabilitySpec) -> None:
        """Refuse an installed spec that the record can't take in: VERSION_CHANGED, VERSION_BREAKING."""
        self._require_unchanged(spec, is_meant=spec.reference in self._replaced)
        self._require_served(spec, self._chains[spec.id], is_meant=spec.reference in self._may_break)

    def _require_unchanged(self, spec: CapabilitySpec, *, is_meant: bool) -> None:
        fact = self.registry.recorded(spec.id, spec.version)
        if fact is None or fact.fingerprint == spec.fingerprint or is_meant:
            return
        raise InputError(
            "VERSION_CHANGED",
            f"`{spec.reference}` is not what was recorded under this version",
            hint="give it a new version, or say that it is meant: `rt.register(…, replace=True)`",
            details={
                "reference": spec.reference,
                "recorded": fact.fingerprint,
                "registered": spec.fingerprint,
            },
        )

    def _remember(self, table: str, rows: Iterable[Mapping[str, Cell]]) -> None:
        registry = self.registry
        match table:
            case "capabilities":
                for row in rows:
                    registry.remember_version(version_of(row))
                    registry.count_change(number_of(row, "changed"))
            case "capability_labels":
                # Stored by label; told in the order in which they happened.
                for row in sorted(rows, key=partial(number_of, column="change")):
                    registry.remember_label(label_of(row))
            case "capability_specs":
                pass  # What was recorded just now is installed, and its spec with it.
            case _:
                # Versions could share calls by weight once; the newest change of a capability says whether that ended.
                for row in rows:
                    registry.count_change(number_of(row, "change"))
                    self.shared.pop(str(row["capability"]), None)
                    if row["weights"]:
                        self.shared[str(row["capability"])] = str(row["weights"])
