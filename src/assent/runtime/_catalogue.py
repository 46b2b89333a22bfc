"""Which capability a reference means and who performs it: the registry's specs, each bound to its handler.

A run's catalogue is fixed when it begins. `find` is asked for every step, so what a reference means is looked up once for each
catalogue and is one look-up in a dictionary from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from assent.engine import CAPABILITY_TABLES
from assent.errors import AssentError, InputError
from assent.invocation import BoundCapability, Handler, described
from assent.journal import PROJECTIONS, JournalReader
from assent.journal.ports import Cell, Row
from assent.registry import (
    Activation,
    CapabilityRegistry,
    LabelChange,
    RecordedVersion,
    RegistrySnapshot,
)
from assent.spec import events as ev
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import Fingerprint, RunId
from assent.spec.workflow import WorkflowSpec, check_capabilities

CHECKED_MAX: Final = 1_000
"""Workflows that are remembered to fit a catalogue."""

FOUND_MAX: Final = 4_096
"""References that a catalogue remembers; callers may write as many different ones as they like."""

EARLIER_MAX: Final = 64
"""Catalogues of earlier revisions that are kept for runs which go on."""

BUILT_IN: Final = "built in"
"""The origin of the capabilities that come with Assent."""


class FrozenCatalogue:
    """The capabilities of one run: what was registered when it began, whatever is registered later."""

    def __init__(
        self,
        snapshot: RegistrySnapshot,
        bound: Mapping[str, BoundCapability],
        *,
        revision: int,
        used: set[BoundCapability],
    ) -> None:
        """`used` is shared: whatever is found is put there, for who recycles what is idle."""
        self.snapshot = snapshot
        self.revision = revision
        self._bound = bound
        self._used = used
        self._found: dict[str, BoundCapability] = {}
        self._checked: set[Fingerprint] = set()

    def check(self, spec: WorkflowSpec) -> None:
        """Raise whatever of a workflow these capabilities do not allow; one that passed is not looked at again."""
        if spec.fingerprint in self._checked:
            return
        check_capabilities(spec, self.snapshot)
        if len(self._checked) >= CHECKED_MAX:
            self._checked.clear()
        self._checked.add(spec.fingerprint)

    def find(self, reference: str) -> BoundCapability:
        """The capability that a reference means; `CAPABILITY_UNKNOWN`, `VERSION_NOT_FOUND`, `HANDLER_MISSING`."""
        known = self._found.get(reference)
        if known is None:
            known = self._find(reference)
        self._used.add(known)
        return known

    def _find(self, reference: str) -> BoundCapability:
        spec = self.snapshot.resolve(reference)
        known = self._bound.get(spec.reference)
        if known is None:
            raise InputError(
                "HANDLER_MISSING",
                f"capability `{spec.reference}` is registered without a handler",
                hint="register both together: `rt.register(spec, handler)`",
            )
        if len(self._found) >= FOUND_MAX:
            self._found.clear()
        self._found[reference] = known
        return known

    def exact(self, capability: str, version: str) -> BoundCapability:
        """The version that the journal names, also one that was retired since; `VERSION_NOT_FOUND` when it is not installed."""
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


class Capabilities:
    """What is registered now, and what the record says of it: the source of every run's catalogue."""

    def __init__(self) -> None:
        self.registry = CapabilityRegistry()
        self.used: set[BoundCapability] = set()
        """What was found since somebody looked; see `Temperatures`."""
        self._bound: dict[str, BoundCapability] = {}
        self._replaced: set[str] = set()
        self._recorded_count: int | None = None
        self._current: FrozenCatalogue | None = None
        self._earlier: dict[int, FrozenCatalogue] = {}

    def register(
        self, source: object, handler: object = None, *, origin: str = "python", replace: bool = False
    ) -> None:
        """Add what `@capability` described (one, or all of a module), or a spec with its handler.

        A handler is a `Handler`, an object with its parts, or a function (its `execute`). `replace`: the author means it that
        this is not what was recorded under the same version; else `VERSION_CHANGED`.
        """
        if isinstance(source, CapabilitySpec):
            self._add(source, Handler.of(handler), origin, replace=replace)
            return
        # Everything is built before anything is added: a module is registered whole or not at all.
        for spec, parts in [(one.spec, one.handler) for one in described(source)]:
            self._add(spec, parts, origin, replace=replace)

    def _add(self, spec: CapabilitySpec, handler: Handler, origin: str, *, replace: bool) -> None:
        bound = BoundCapability(spec, handler)
        if replace or origin == BUILT_IN:
            self._replaced.add(spec.reference)
        self._require_unchanged(spec)
        self.registry.register_capability(spec, origin=origin)
        self._bound[spec.reference] = bound
        self._earlier.clear()

    def register_all(self, pairs: Sequence[tuple[CapabilitySpec, Handler]], *, origin: str) -> None:
        """Add several as one: when one is refused, none of them stays."""
        done: list[str] = []
        try:
            for spec, handler in pairs:
                self._add(spec, handler, origin, replace=False)
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
        self._recorded_count = None
        self._earlier.clear()

    def bound(self, reference: str) -> BoundCapability | None:
        """What performs `id@version`."""
        return self._bound.get(reference)

    def current(self) -> FrozenCatalogue:
        """The catalogue for a run that begins now."""
        snapshot = self.registry.snapshot()
        if self._current is None or self._current.snapshot is not snapshot:
            self._current = self._freeze(snapshot, self.registry.revision)
        return self._current

    def of_run(self, run: RunId, revision: int | None) -> FrozenCatalogue:
        """The catalogue of a run: of now when it begins (`revision` None), of then when it goes on."""
        del run  # every run of a revision has the same one
        if revision is None or revision == self.registry.revision:
            return self.current()
        known = self._earlier.get(revision)
        if known is None:
            if len(self._earlier) >= EARLIER_MAX:
                self._earlier.clear()
            known = self._freeze(self.registry.snapshot_at(revision), revision)
            self._earlier[revision] = known
        return known

    def _freeze(self, snapshot: RegistrySnapshot, revision: int) -> FrozenCatalogue:
        return FrozenCatalogue(snapshot, dict(self._bound), revision=revision, used=self.used)

    # -- the record -------------------------------------------------------------------------------------------------------

    def load(self, journal: JournalReader, *, now_ms: int) -> None:
        """Take in what a journal says of capabilities, and only that; what it does not know yet counts as registered now."""
        self.registry.forget_record()
        self.registry.count_unrecorded_from(now_ms)
        for table in CAPABILITY_TABLES:
            self._remember(table, journal.rows(table))
        self._recorded_count = None
        self._earlier.clear()

    def remember(self, rows: Iterable[Row]) -> None:
        """Take in rows that became durable."""
        for row in rows:
            self._remember(row.table, [dict(zip(PROJECTIONS[row.table], row.values, strict=True))])

    def unrecorded(self) -> list[ev.CapabilityRegistered]:
        """The events that say what the record does not say yet; `VERSION_CHANGED`. Costs nothing when it says everything."""
        count = len(self.registry)
        if count == self._recorded_count:
            return []
        events: list[ev.CapabilityRegistered] = []
        for spec in self.registry.installed():
            self._require_unchanged(spec)
            fact = self.registry.recorded(spec.id, spec.version)
            if fact is None or fact.fingerprint != spec.fingerprint:
                replaces = fact.fingerprint if fact is not None else None
                events.append(
                    ev.CapabilityRegistered(
                        capability=spec.id,
                        version=spec.version,
                        fingerprint=spec.fingerprint,
                        replaces=replaces,
                    )
                )
        if not events:
            self._recorded_count = count
        return events

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
                    registry.remember_version(_version(row))
                    registry.count_change(_number(row, "changed"))
            case "capability_labels":
                # Stored by label; told in the order in which they happened.
                for row in sorted(rows, key=_change):
                    registry.remember_label(_label(row))
            case _:
                for row in rows:
                    registry.remember_activation(_activation(row))


def _change(row: Mapping[str, Cell]) -> int:
    return _number(row, "change")


def _version(row: Mapping[str, Cell]) -> RecordedVersion:
    return RecordedVersion(
        capability=str(row["capability"]),
        version=str(row["version"]),
        fingerprint=Fingerprint(str(row["fingerprint"])),
        registered=_number(row, "registered"),
        registered_at_ms=_number(row, "registered_at_ms"),
        retired=_number(row, "retired") if row["retired"] is not None else None,
        retired_at_ms=_number(row, "retired_at_ms") if row["retired_at_ms"] is not None else None,
    )


def _label(row: Mapping[str, Cell]) -> LabelChange:
    return LabelChange(
        capability=str(row["capability"]),
        label=str(row["label"]),
        change=_number(row, "change"),
        version=_text(row, "version"),
        at_ms=_number(row, "at_ms"),
        by=_text(row, "principal"),
    )


def _activation(row: Mapping[str, Cell]) -> Activation:
    shares = (share.partition("=") for share in (_text(row, "weights") or "").split())
    return Activation(
        capability=str(row["capability"]),
        change=_number(row, "change"),
        weights={version: int(weight) for version, _, weight in shares},
        at_ms=_number(row, "at_ms"),
        by=_text(row, "principal"),
        code=_text(row, "code"),
    )


def _number(row: Mapping[str, Cell], column: str) -> int:
    value = row[column]
    assert isinstance(value, int)  # INVARIANT: the fold writes a number there
    return value


def _text(row: Mapping[str, Cell], column: str) -> str | None:
    value = row[column]
    return None if value is None else str(value)
