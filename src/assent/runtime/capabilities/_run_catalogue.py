"""Which capability a reference means in a run, and who performs it: a catalogue that is fixed when the run begins.

`find` is asked for every step, so what a reference means is looked up once for each catalogue and is one look-up in a dictionary
from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from assent.errors import InputError, Json
from assent.invocation import BoundCapability, TranslatedCapability, VersionChain
from assent.registry import CapabilityVersion, RegistryView
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import Fingerprint
from assent.spec.words.reference import CapabilityReference
from assent.spec.workflow.definition import WorkflowSpec, check_capabilities
from assent.spec.workflow.secret_inputs import SecretStep, require_secret_references, secret_steps

CHECKED_MAX: Final = 1_000
"""Workflows that are remembered to fit a catalogue."""

FOUND_MAX: Final = 4_096
"""References that a catalogue remembers; callers may write as many different ones as they like."""


class FrozenCatalogue:
    """The capabilities of one run: what was registered when it began, whatever is registered later."""

    def __init__(
        self,
        snapshot: RegistryView,
        bound: Mapping[str, BoundCapability],
        chains: Mapping[str, VersionChain],
        *,
        revision: int,
        recorded: RegistryView | None = None,
    ) -> None:
        """`recorded` is what follows from the record alone, where that may be something else."""
        self.snapshot = snapshot
        self.revision = revision
        self._bound = bound
        self._chains = chains
        self._recorded = recorded
        self._found: dict[str, BoundCapability] = {}
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
        if any(name[0] == "steps" for step in spec.steps for name in step.inputs.names):
            from assent.versions.output_types import check_output_types  # a call needs none of it

            check_output_types(spec, _Spoken(self))
        if len(self._checked) >= CHECKED_MAX:
            self._checked.clear()
        found = self._checked[spec.fingerprint] = secret_steps(spec, _Spoken(self))
        return found

    def find(self, reference: str) -> BoundCapability:
        """The capability that a reference means, as its callers see it.

        Raises `CAPABILITY_UNKNOWN`, `VERSION_NOT_FOUND`, `HANDLER_MISSING`, `TRANSFORM_MISSING`.
        """
        known = self._found.get(reference)
        if known is None:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            known = self._found[reference] = self._find(reference)
        return known

    def _find(self, reference: str) -> BoundCapability:
        parsed = CapabilityReference.parse(reference)
        index = self.snapshot.index(parsed.id)
        pinned, latest = index.spoken(parsed), index.latest
        # A version that others were pinned to may be retired, or be known by its spec alone.
        if pinned is None or latest is None:
            return self.exact(parsed.id, self.snapshot.resolve(reference).version)
        if not pinned.is_retired and pinned.reference in self._bound:
            return self.exact(parsed.id, pinned.version)
        try:
            return self.exact(parsed.id, latest.version, pinned.version)
        except InputError as error:
            raise self._not_served(reference, pinned, error) from None

    def _not_served(self, reference: str, pinned: CapabilityVersion, why: InputError) -> InputError:
        """What is wrong with a version that nobody can serve."""
        if pinned.gone is not None:
            return InputError(
                "VERSION_NOT_FOUND",
                f"`{pinned.reference}` is not installed here any more, and no other version serves its callers",
                hint=f"install it again, or write the call for another one: assent capability history {pinned.id}",
                details={"reference": reference[:200], "version": pinned.version, "why": why.message},
            )
        spec = self.snapshot.resolve(reference)  # Raises, for a retired one.
        return InputError(
            "HANDLER_MISSING",
            f"capability `{spec.reference}` is registered without a handler, and no other version serves its callers",
            hint="register it with its handler, or a newer version with `transformers=[…]`",
            details={"version": pinned.version, "why": why.message},
        )

    def has(self, capability: str) -> bool:
        """Whether any version of it is registered here with its handler."""
        return any(reference.startswith(f"{capability}@") for reference in self._bound)

    def pins(self, references: Iterable[str]) -> tuple[str, ...]:
        """Those of the references, as `reference=version`, whose meaning does not follow from what is recorded by `revision`.

        The record does not say what is installed. When the run goes on, these keep the meaning that they have now.
        """
        if self._recorded is None:
            return ()
        pins: list[str] = []
        for reference in references:
            known = self._meant_by(self.snapshot, reference)
            if known is not None and self._meant_by(self._recorded, reference) is not known:
                pins.append(f"{reference}={known.version}")
        return tuple(pins)

    @staticmethod
    def _meant_by(snapshot: RegistryView, reference: str) -> CapabilitySpec | None:
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
    """The catalogue of one run."""

    __slots__ = ("_frozen", "_pinned")

    def __init__(self, frozen: FrozenCatalogue, pins: Iterable[str] = ()) -> None:
        """`pins`: references that keep the meaning which they had when the run began."""
        self._frozen = frozen
        self._pinned = {reference: version for reference, _, version in (pin.rpartition("=") for pin in pins)}

    @property
    def revision(self) -> int:
        return self._frozen.revision

    def find(self, reference: str) -> BoundCapability:
        version = self._pinned.get(reference) if self._pinned else None
        if version is not None:
            return self._frozen.exact(reference.partition("@")[0], version)
        return self._frozen.find(reference)

    def has(self, capability: str) -> bool:
        return self._frozen.has(capability)

    def pins(self, references: Iterable[str]) -> tuple[str, ...]:
        return self._frozen.pins(references)

    def exact(self, capability: str, version: str, asked: str | None = None) -> BoundCapability:
        return self._frozen.exact(capability, version, asked)


class SessionCatalogue:
    """The catalogue of a session, whose steps arrive one at a time: a reference keeps the meaning that it had when the session
    began, as long as that is here; what came since can be called too, and what was taken out can't.
    """

    __slots__ = ("_begun", "_current")

    def __init__(self, begun: FrozenCatalogue, current: Callable[[], FrozenCatalogue]) -> None:
        self._begun = begun
        self._current = current

    @property
    def revision(self) -> int:
        return self._begun.revision

    def find(self, reference: str) -> BoundCapability:
        now = self._current()
        if now is self._begun:
            return now.find(reference)
        try:
            meant = self._begun.find(reference)
            asked = None if meant.asked is None else meant.asked.version
            return now.exact(meant.spec.id, meant.spec.version, asked)
        except InputError:
            return now.find(reference)

    def has(self, capability: str) -> bool:
        return self._current().has(capability) or self._begun.has(capability)

    def pins(self, references: Iterable[str]) -> tuple[str, ...]:
        return self._begun.pins(references)

    def exact(self, capability: str, version: str, asked: str | None = None) -> BoundCapability:
        try:
            return self._current().exact(capability, version, asked)
        except InputError:
            return self._begun.exact(capability, version, asked)


class _Spoken:
    """The specs that callers of a catalogue speak: a workflow is checked against these, whoever serves it."""

    def __init__(self, frozen: FrozenCatalogue) -> None:
        self._frozen = frozen

    def resolve(self, reference: str) -> CapabilitySpec:
        """The spec that a reference is written for."""
        bound = self._frozen.find(reference)
        return bound.asked or bound.spec
