"""Which capability a reference means and who performs it: the registry's specs, each bound to its handler.

A run's catalogue is fixed when it begins. `find` is asked for every step, so what a reference means is looked up once for each
catalogue and is one look-up in a dictionary from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypedDict, Unpack

from assent.engine import CAPABILITY_TABLES
from assent.errors import AssentError, InputError, Json
from assent.invocation import (
    BoundCapability,
    Capability,
    DeferredHandler,
    Handler,
    Transformer,
    TranslatedCapability,
    VersionChain,
    described,
)
from assent.invocation.transformers import compatible_range
from assent.journal import PROJECTIONS, JournalReader
from assent.journal.ports import Cell, Row
from assent.registry import (
    CapabilityRegistry,
    CapabilityVersion,
    RegistrySnapshot,
    chosen,
    sharing,
    spoken,
)
from assent.runtime._recording import BUILT_IN, activation_of, gone_specs, label_of, number_of, version_of
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import Fingerprint, RunId
from assent.spec.reference import CapabilityReference, How
from assent.spec.secret_inputs import SecretStep, require_secret_references, secret_steps
from assent.spec.semver import is_release, precedence
from assent.spec.workflow import WorkflowSpec, check_capabilities

CHECKED_MAX: Final = 1_000
"""Workflows that are remembered to fit a catalogue."""

FOUND_MAX: Final = 4_096
"""References that a catalogue remembers; callers may write as many different ones as they like."""

EARLIER_MAX: Final = 64
"""Catalogues of earlier revisions that are kept for runs which go on."""


class FrozenCatalogue:
    """The capabilities of one run: what was registered when it began, whatever is registered later."""

    def __init__(
        self,
        snapshot: RegistrySnapshot,
        bound: Mapping[str, BoundCapability],
        chains: Mapping[str, VersionChain],
        *,
        revision: int,
        used: set[BoundCapability],
        recorded: RegistrySnapshot | None = None,
    ) -> None:
        """`used` is shared: whatever is found is put there, for who recycles what is idle. `recorded` is what follows from the
        record alone, where that may be something else.
        """
        self.snapshot = snapshot
        self.revision = revision
        self._bound = bound
        self._chains = chains
        self._used = used
        self._recorded = recorded
        self._found: dict[str, BoundCapability] = {}
        self._shared: dict[str, tuple[str, Mapping[str, int]]] = {}
        self._translated: dict[tuple[str, str, str], BoundCapability] = {}
        self._checked: dict[Fingerprint, tuple[SecretStep, ...]] = {}

    def check(self, spec: WorkflowSpec) -> None:
        """Raise whatever of a workflow these capabilities do not allow; one that passed is not looked at again."""
        self._check(spec)

    def check_inputs(self, spec: WorkflowSpec, inputs: Mapping[str, Json]) -> None:
        """The same, and INVALID_INPUT for complete inputs that hold a value where a step takes only references to secrets."""
        steps = self._check(spec)
        if steps:
            require_secret_references(steps, inputs)

    def _check(self, spec: WorkflowSpec) -> tuple[SecretStep, ...]:
        """The steps with fields for secrets that the run's inputs could reach."""
        known = self._checked.get(spec.fingerprint)
        if known is not None:
            return known
        check_capabilities(spec, _Spoken(self))
        if len(self._checked) >= CHECKED_MAX:
            self._checked.clear()
        found = self._checked[spec.fingerprint] = secret_steps(spec, _Spoken(self))
        return found

    def find(self, reference: str, run: RunId | None = None) -> BoundCapability:
        """The capability that a reference means for a run, as its callers see it.

        Without a run, of several versions that share the calls the one with the greatest share. Raises `CAPABILITY_UNKNOWN`,
        `VERSION_NOT_FOUND`, `HANDLER_MISSING`, `TRANSFORM_MISSING`.
        """
        known = self._found.get(reference)
        if known is None:
            known = self._find(reference, run)
        self._used.add(known.performer)
        return known

    def _find(self, reference: str, run: RunId | None) -> BoundCapability:
        shared = self._shared.get(reference)
        if shared is None:
            asked, weights = self._spoken(reference)
            if weights:
                if len(self._shared) >= FOUND_MAX:
                    self._shared.clear()
                shared = self._shared[reference] = (asked, weights)
            else:
                found = self.exact(reference.partition("@")[0], asked)
                if len(self._found) >= FOUND_MAX:
                    self._found.clear()
                self._found[reference] = found
                return found
        asked, weights = shared
        ident = reference.partition("@")[0]
        if run is None:
            return self.exact(ident, max(sharing(weights), key=weights.__getitem__), asked)
        served = chosen(weights, run, ident)
        assert served is not None, "somebody has a share"
        return self.exact(ident, served, asked)

    def _spoken(self, reference: str) -> tuple[str, Mapping[str, int]]:
        """The version that callers who write this speak, and the shares of those that may serve them; none: itself alone."""
        parsed = CapabilityReference.parse(reference)
        index = self.snapshot.index(parsed.id)
        weights = index.weights if sharing(index.weights) else {}
        if parsed.how is How.LATEST:
            asked = spoken(weights)
            return (asked, weights) if asked is not None else (self.snapshot.resolve(reference).version, {})
        # A version that others were pinned to may be retired, switched off, or be known by its spec alone.
        pinned = index.spoken(parsed)
        if pinned is None:
            return self.snapshot.resolve(reference).version, {}
        is_off = weights.get(pinned.version) == 0
        if not is_off and not pinned.is_retired and pinned.reference in self._bound:
            return pinned.version, {}
        latest = index.latest
        serving = weights or ({latest.version: 1} if latest is not None else {})
        try:
            for version in sharing(serving):
                self.exact(parsed.id, version, pinned.version)
        except InputError as error:
            if is_off:
                return pinned.version, {}  # Nobody else can speak to its callers, so it goes on doing so.
            return self._not_served(reference, pinned, error)
        return pinned.version, serving

    def _not_served(
        self, reference: str, pinned: CapabilityVersion, why: InputError
    ) -> tuple[str, Mapping[str, int]]:
        """What is wrong with a version that nobody can serve."""
        if pinned.gone is not None:
            raise InputError(
                "VERSION_NOT_FOUND",
                f"`{pinned.reference}` is not installed here any more, and no other version serves its callers",
                hint=f"install it again, or write the call for another one: assent capability history {pinned.id}",
                details={"reference": reference[:200], "version": pinned.version, "why": why.message},
            )
        spec = self.snapshot.resolve(reference)  # Raises, for a retired one.
        raise InputError(
            "HANDLER_MISSING",
            f"capability `{spec.reference}` is registered without a handler, and no other version serves its callers",
            hint="register it with its handler, or a newer version with `transformers=[…]`",
            details={"version": pinned.version, "why": why.message},
        )

    def pins(self, references: Iterable[str]) -> tuple[str, ...]:
        """Those of the references, as `reference=version`, whose meaning does not follow from what is recorded by `revision`.

        The record does not say what is installed. When the run goes on, these keep the meaning that they have now.
        """
        if self._recorded is None:
            return ()
        pins: list[str] = []
        for reference in references:
            known = self._meant_by(self.snapshot, reference)
            if known is None or self.snapshot.index(known.id).weights:
                continue  # Weights are on the record, and so is who gets which share.
            if self._meant_by(self._recorded, reference) is not known:
                pins.append(f"{reference}={known.version}")
        return tuple(pins)

    @staticmethod
    def _meant_by(snapshot: RegistrySnapshot, reference: str) -> CapabilitySpec | None:
        try:
            return snapshot.resolve(reference)
        except InputError:
            return None

    def exact(self, capability: str, version: str, asked: str | None = None) -> BoundCapability:
        """The version that the journal names, also one that was retired since; `VERSION_NOT_FOUND` when it is not installed.

        `asked`: as callers of that version see it.
        """
        if asked is not None and asked != version:
            return self._translate(capability, version, asked)
        known = self._bound.get(f"{capability}@{version}")
        if known is None:
            raise InputError(
                "VERSION_NOT_FOUND",
                f"`{capability}@{version}`, which the journal names, is not installed here",
                hint="install it again, or settle the step with `assent resolve`",
                details={"reference": f"{capability}@{version}"},
            )
        self._used.add(known)
        return known

    def _translate(self, capability: str, version: str, asked: str) -> BoundCapability:
        key = (capability, version, asked)
        known = self._translated.get(key)
        if known is None:
            served = self.exact(capability, version)
            chain = self._chains.get(capability) or VersionChain(capability)
            gone = self.snapshot.index(capability).version(asked)
            if gone is not None and gone.gone is not None:
                chain = chain.knowing(gone.gone)
            route = chain.route(asked, version)
            known = TranslatedCapability(served, route, self._bound.get(f"{capability}@{asked}"))
            self._translated[key] = known
        return known


class RunCatalogue:
    """The catalogue of one run, for which it is settled which of several versions serves it."""

    __slots__ = ("_frozen", "_pinned", "_run")

    def __init__(self, frozen: FrozenCatalogue, run: RunId, pins: Iterable[str] = ()) -> None:
        """`pins`: references that keep the meaning which they had when the run began."""
        self._frozen = frozen
        self._run = run
        self._pinned = {reference: version for reference, _, version in (pin.rpartition("=") for pin in pins)}

    @property
    def revision(self) -> int:
        """See `Catalogue.revision`."""
        return self._frozen.revision

    def find(self, reference: str) -> BoundCapability:
        """See `FrozenCatalogue.find`."""
        version = self._pinned.get(reference) if self._pinned else None
        if version is not None:
            return self._frozen.exact(reference.partition("@")[0], version)
        return self._frozen.find(reference, self._run)

    def pins(self, references: Iterable[str]) -> tuple[str, ...]:
        """See `FrozenCatalogue.pins`."""
        return self._frozen.pins(references)

    def exact(self, capability: str, version: str, asked: str | None = None) -> BoundCapability:
        """See `FrozenCatalogue.exact`."""
        return self._frozen.exact(capability, version, asked)


class _Spoken:
    """The specs that callers of a catalogue speak: a workflow is checked against these, whoever serves it."""

    def __init__(self, frozen: FrozenCatalogue) -> None:
        self._frozen = frozen

    def resolve(self, reference: str) -> CapabilitySpec:
        """The spec that a reference is written for."""
        bound = self._frozen.find(reference)
        return bound.asked or bound.spec


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
        self.used: set[BoundCapability] = set()
        """What was found since somebody looked; see `Temperatures`."""
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
        origin, replace = how.get("origin", "python"), how.get("replace", False)
        transformers = [*how.get("transformers", ())]
        if how.get("breaking", False):
            self._may_break.update(_references(source))
        if isinstance(source, CapabilitySpec):
            parts = handler if isinstance(handler, DeferredHandler | None) else Handler.of(handler)
            self._add(source, parts, origin, replace=replace, transformers=transformers)
            return
        if transformers and not isinstance(source, Capability):
            raise InputError(
                "TRANSFORMER_INVALID",
                "transformers belong to one capability, and a module may hold several",
                hint="register that capability by itself: `rt.register(module.name, transformers=[…])`",
            )
        # Everything is built before anything is added: a module is registered whole or not at all.
        for spec, parts in [(one.spec, one.handler) for one in described(source)]:
            self._add(spec, parts, origin, replace=replace, transformers=transformers)

    def _add(
        self,
        spec: CapabilitySpec,
        handler: Handler | DeferredHandler | None,
        origin: str,
        *,
        replace: bool,
        transformers: Iterable[Transformer],
    ) -> None:
        bound = BoundCapability(spec, handler) if handler is not None else None
        if replace or origin == BUILT_IN:
            self._replaced.add(spec.reference)
        self._require_unchanged(spec)
        # The version joins its chain only together with the registry, which refuses one that is there already.
        chain = self._chains.get(spec.id) or VersionChain(spec.id)
        joined = chain.joined(spec, transformers)
        self._require_served(spec, joined)
        self.registry.register_capability(spec, origin=origin)
        self._chains[spec.id] = joined
        if bound is not None:
            self._bound[spec.reference] = bound
        self._earlier.clear()

    def register_all(self, pairs: Sequence[tuple[CapabilitySpec, Handler]], *, origin: str) -> None:
        """Add several as one: when one is refused, none of them stays."""
        done: list[str] = []
        try:
            for spec, handler in pairs:
                self._add(spec, handler, origin, replace=False, transformers=())
                done.append(spec.reference)
            self.registry.snapshot()  # what refers to others finds them, now and not when a run begins
        except AssentError:
            self.unregister(done)
            raise

    def unregister(self, references: Iterable[str]) -> None:
        """Take capabilities out for runs that begin from now on; those under way keep what they hold."""
        for reference in references:
            self.registry.unregister_capability(reference)
            self._bound.pop(reference, None)
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

    def check_shares(self, capability: str, weights: Mapping[str, int]) -> None:
        """Raise TRANSFORM_MISSING when a version would get calls of callers who speak another one and nothing leads to it."""
        versions = sharing(weights)
        for version in versions[1:]:
            self._chains[capability].route(versions[0], version)

    def _require_served(self, spec: CapabilitySpec, chain: VersionChain) -> None:
        """Refuse a release that breaks the release before it while that one has callers: `VERSION_BREAKING`.

        Under the same major number the chain has refused it already. Another major number may break, but not whom it meets:
        as the latest version it would get every call of the bare id at once.
        """
        if spec.reference in self._may_break or not is_release(precedence(spec.version)):
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

    def bound(self, reference: str) -> BoundCapability | None:
        """What performs `id@version`."""
        return self._bound.get(reference)

    def current(self) -> FrozenCatalogue:
        """The catalogue for a run that begins now."""
        snapshot = self.registry.snapshot()
        if self._current is None or self._current.snapshot is not snapshot:
            revision = self.registry.revision
            recorded = self.registry.snapshot_at(revision) if any(self.registry.missing()) else None
            self._current = self._freeze(snapshot, revision, recorded)
        return self._current

    def of_run(self, run: RunId, revision: int | None, pins: tuple[str, ...] = ()) -> RunCatalogue:
        """The catalogue of a run: of now when it begins (`revision` None), of then when it goes on."""
        return RunCatalogue(self._of_revision(revision), run, pins)

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
        self, snapshot: RegistrySnapshot, revision: int, recorded: RegistrySnapshot | None = None
    ) -> FrozenCatalogue:
        return FrozenCatalogue(
            snapshot,
            dict(self._bound),
            dict(self._chains),
            revision=revision,
            used=self.used,
            recorded=recorded,
        )

    # -- the record -------------------------------------------------------------------------------------------------------

    def load(self, journal: JournalReader, *, now_ms: int) -> None:
        """Take in what a journal says of capabilities, and only that; what it does not know yet counts as registered now."""
        self.registry.forget_record()
        self.registry.count_unrecorded_from(now_ms)
        for table in CAPABILITY_TABLES:
            self._remember(table, journal.rows(table))
        for spec in gone_specs(journal, [*self.registry.missing()]):
            self.registry.remember_spec(spec)
        self._recorded_count = None
        self._earlier.clear()

    def consult_steps(self, journal: JournalReader | None) -> None:
        """The journal that says who was called, as long as it is open; without one nothing is known to be in use."""
        self._steps = journal

    def _was_called(self, capability: str, version: str) -> bool:
        where: dict[str, Cell] = {"capability": capability, "version": version}
        return self._steps is not None and bool(self._steps.rows("steps", where))

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
        self._require_unchanged(spec)
        self._require_served(spec, self._chains[spec.id])

    def _require_unchanged(self, spec: CapabilitySpec) -> None:
        fact = self.registry.recorded(spec.id, spec.version)
        if fact is None or fact.fingerprint == spec.fingerprint or spec.reference in self._replaced:
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
                for row in rows:
                    registry.remember_activation(activation_of(row))


def _references(source: object) -> set[str]:
    specs = [source] if isinstance(source, CapabilitySpec) else [one.spec for one in described(source)]
    return {spec.reference for spec in specs}
