"""The capabilities of a replay: the recorded ones, whose parts answer from the record, and those that really run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final

from assent.engine.ports import Catalogue
from assent.engine.replay._recording import RecordedCapability, Recording, is_alike
from assent.engine.replay._script import Reply, Script
from assent.errors import AssentError, InputError, Json
from assent.invocation import (
    BoundCapability,
    Handler,
    LocalContext,
    Prepared,
    Preview,
    TranslatedCapability,
)
from assent.invocation.describe.handler import PART_NAMES
from assent.spec.events import kinds as ev
from assent.spec.ids import Fingerprint
from assent.spec.masking import masked
from assent.spec.states import Undo
from assent.spec.values.frozen import thaw

UNDO_SUFFIX: Final = "-undo"
"""Ends the key of a call that takes another step back."""


class ReplayedCapability(BoundCapability):
    """A recorded capability: inputs and outputs are validated as ever, and the parts answer from the script."""

    def __init__(self, known: RecordedCapability, script: Script, installed: BoundCapability | None) -> None:
        """`installed` is the capability that is here, where its spec is the recorded one."""
        parameters = installed.handler.parameters if installed is not None else None
        self._script = script
        self._is_typed = known.is_typed
        self._fills_defaults = parameters is None
        every = {
            "execute": self._execute,
            "prepare": self._prepare,
            "compensate": self._compensate,
            "reconcile": self._reconcile,
            "preview": self._preview,
        }
        chosen: dict[str, Any] = {name: every[name] for name in PART_NAMES if name in known.parts}
        # An earlier result is JSON, which the handler's own type would refuse: the spec's schema is held against it.
        leads_to = installed.handler.leads_to if installed is not None else None
        handler = Handler(
            **chosen, leads_to=leads_to, parameters=parameters, revision="replay", rehearsable=True
        )
        super().__init__(known.spec, handler, is_proved=installed is not None and installed.is_proved)

    def parse(self, inputs: Mapping[str, Json]) -> tuple[Any, dict[str, Json]]:
        """As ever; but what a snapshot hides can't be validated, and a type that is not here left its defaults in the record."""
        given = self._with_defaults(inputs) if self._fills_defaults or self._hides_inputs else inputs
        if not self._hides_inputs:
            return super().parse(given)
        plain = masked(dict(given), thaw(self.spec.parameters))
        assert isinstance(plain, dict)  # INVARIANT: of an object, at most members are hidden
        return plain, plain

    def require_references(self, inputs: Mapping[str, Json]) -> None:
        """As it was: values that an earlier version took are taken, and what was refused is refused."""
        del inputs
        self._script.require_valid()

    def result(self, output: object) -> Json:
        """As ever; an output that was refused is refused again."""
        if isinstance(output, Reply):
            assert output.refused is not None  # INVARIANT: only refused outputs come as replies
            raise output.refused
        return super().result(output)

    @cached_property
    def undo(self) -> Undo:
        """As it was on record: of what touches nothing, an earlier release took the nothing back."""
        of_this = (
            event.undo
            for event in self._script.recording.events
            if isinstance(event, ev.StepStarted)
            and (event.capability, event.version) == (self.spec.id, self.spec.version)
        )
        return Undo.NOT_NEEDED if Undo.NOT_NEEDED in of_this else super().undo

    @cached_property
    def _hides_inputs(self) -> bool:
        return any(place.startswith(f"{self.spec.id} ") for place in self._script.recording.masked)

    def _with_defaults(self, inputs: Mapping[str, Json]) -> dict[str, Json]:
        """The inputs with the defaults that a type filled in then, which is not here now: as they were recorded."""
        if not self._is_typed:
            return dict(inputs)
        for filled in self._script.recording.inputs_of(self.spec.id):
            if all(name in filled and is_alike(filled[name], value) for name, value in inputs.items()):
                return {**filled, **inputs}
        return dict(inputs)

    async def _execute(self, context: LocalContext, parameters: object) -> object:
        del parameters
        if context.key.endswith(UNDO_SUFFIX):
            return self._script.compensate(context.step)
        return self._script.execute(context.step)

    async def _prepare(self, context: LocalContext, parameters: object) -> Prepared:
        del parameters
        return self._script.prepare(context.step, context.attempt)

    async def _compensate(self, context: LocalContext, parameters: object) -> object:
        del parameters
        return self._script.compensate(context.step)

    async def _reconcile(self, context: LocalContext, parameters: object) -> object:
        del parameters
        if context.key.endswith(UNDO_SUFFIX):
            return self._script.reconcile_undo(context.step)
        return self._script.reconcile(context.step)

    async def _preview(self, context: LocalContext, parameters: object) -> Preview:
        del parameters
        return self._script.preview(context.step)


class ReplayCatalogue:
    """The capabilities that a replay may call. `live` are the versions that really run, by id, on the simulated world.

    `base` is the catalogue that the run had, `now` the one that a run would get today. A capability that is not installed any
    more comes from the snapshot, when that holds it.
    """

    def __init__(
        self,
        base: Catalogue,
        now: Catalogue,
        script: Script,
        live: Mapping[str, BoundCapability] | None = None,
    ) -> None:
        self._base = base
        self._now = now
        self._script = script
        self._live = dict(live or {})
        self._found: dict[str, BoundCapability] = {}
        self._versions = script.recording.versions()

    @property
    def revision(self) -> int:
        """The one that the run had."""
        return self._script.recording.created.catalogue or 0

    def of_run(self, revision: int | None, pins: tuple[str, ...] = ()) -> ReplayCatalogue:
        """The catalogue of the only run that there is."""
        del revision, pins
        return self

    def of_session(self, revision: int | None) -> ReplayCatalogue:
        """The same."""
        return self.of_run(revision)

    def has(self, capability: str) -> bool:
        """Whether the process that the record is of had it then."""
        del capability
        return not self._script.is_doubted("CAPABILITY_ABSENT")

    def pins(self, references: Iterable[str]) -> tuple[str, ...]:
        """Those that the run had: they are part of what is replayed."""
        del references
        return self._script.recording.created.pins

    def find(self, reference: str) -> BoundCapability:
        """The capability as it was recorded; `CAPABILITY_UNKNOWN`, `VERSION_NOT_FOUND`."""
        ident = reference.partition("@")[0]
        if ident in self._live:
            return self._live[ident]
        recorded = self._versions.get(ident, [])
        # One that was called as several versions is resolved as it was then; the catalogue is the same.
        if len(recorded) != 1:
            found = self._base.find(reference)
            return self.exact(
                ident, found.spec.version, found.asked.version if found.asked is not None else None
            )
        return self.exact(ident, recorded[0], self._asked(reference, recorded[0]))

    def _asked(self, reference: str, version: str) -> str | None:
        """The version that a caller who wrote this reference speaks, where the recorded one served in its place."""
        try:
            found = self._base.find(reference)
        except AssentError:
            return None  # What was called is not installed any more, and the report says so.
        return found.asked.version if found.asked is not None and found.spec.version == version else None

    def exact(self, capability: str, version: str, asked: str | None = None) -> BoundCapability:
        """The version that the record names."""
        if asked is not None and capability not in self._live:
            translated = self._base.exact(capability, version, asked)
            if isinstance(translated, TranslatedCapability):
                return translated.around(self.exact(capability, version))
        if self._script.is_doubted("CAPABILITY_CHANGED", "CAPABILITY_ABSENT"):
            raise InputError("VERSION_NOT_FOUND", f"`{capability}@{version}` was not as it had been by then")
        if capability in self._live:
            return self._live[capability]
        reference = f"{capability}@{version}"
        known = self._found.get(reference)
        if known is None:
            known = self._found[reference] = self._replayed(capability, version)
        return known

    def _replayed(self, capability: str, version: str) -> BoundCapability:
        kept = self._script.recording.capabilities.get(f"{capability}@{version}")
        try:
            installed = self._base.exact(capability, version)
        except AssentError:
            if kept is not None:
                return ReplayedCapability(kept, self._script, None)
            # The report says that it is missing; another version's types are the nearest there is.
            installed = self._now.find(capability)
        known = kept or RecordedCapability.of(installed)
        is_same = known.spec.fingerprint == installed.spec.fingerprint
        return ReplayedCapability(known, self._script, installed if is_same else None)


def require_simulable(bound: BoundCapability) -> None:
    """Refuse a capability that can't run on a simulated world: `REPLAY_NOT_SIMULABLE`."""
    if bound.spec.has_effect and not bound.rehearsable:
        raise InputError(
            "REPLAY_NOT_SIMULABLE",
            f"`{bound.spec.reference}` may act on more than its world, so it can't be run again without an effect",
            hint="replay against what was recorded: leave `--capability-version` out",
        )


def fingerprints(recording: Recording) -> dict[str, tuple[Fingerprint, str]]:
    """The spec's and the handler's fingerprint of each capability that performed a step, by `id@version`."""
    return {
        f"{event.capability}@{event.version}": (event.fingerprint, event.handler)
        for event in recording.events
        if isinstance(event, ev.StepStarted)
    }
