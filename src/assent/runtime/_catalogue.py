"""Which capability a reference means and who performs it: the registry's specs, each bound to its handler."""

from __future__ import annotations

from typing import Final

from assent.errors import InputError
from assent.invocation import BoundCapability, Handler, described
from assent.registry import CapabilityRegistry, RegistrySnapshot
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import Fingerprint
from assent.spec.workflow import WorkflowSpec, check_capabilities

CHECKED_MAX: Final = 1_000
"""Workflows that are remembered to fit a catalogue."""


class FrozenCatalogue:
    """The capabilities of one run: what was registered when it began, whatever is registered later."""

    def __init__(self, snapshot: RegistrySnapshot, bound: dict[str, BoundCapability]) -> None:
        self.snapshot = snapshot
        self._bound = bound
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
        """The capability for `id` or `id@version`; `CAPABILITY_UNKNOWN`, `HANDLER_MISSING`."""
        known = self._found.get(reference)
        if known is None:
            spec = self.snapshot.resolve(reference)
            if spec.reference not in self._bound:
                raise InputError(
                    "HANDLER_MISSING",
                    f"capability `{spec.reference}` is registered without a handler",
                    hint="register both together: `rt.register(spec, handler)`",
                )
            known = self._found[reference] = self._bound[spec.reference]
        return known


class Capabilities:
    """What is registered now. Registering makes the next run's catalogue a new one; runs under way keep theirs."""

    def __init__(self) -> None:
        self.registry = CapabilityRegistry()
        self._bound: dict[str, BoundCapability] = {}
        self._current: tuple[int, FrozenCatalogue] | None = None

    def register(self, source: object, handler: object = None, *, origin: str = "python") -> None:
        """Add what `@capability` described (one, or all of a module), or a spec with its handler.

        A handler is a `Handler`, an object with its parts, or a function (its `execute`).
        """
        if isinstance(source, CapabilitySpec):
            self._add(source, Handler.of(handler), origin)
            return
        # Everything is built before anything is added: a module is registered whole or not at all.
        for spec, parts in [(one.spec, one.handler) for one in described(source)]:
            self._add(spec, parts, origin)

    def _add(self, spec: CapabilitySpec, handler: Handler, origin: str) -> None:
        bound = BoundCapability(spec, handler)
        self.registry.register_capability(spec, origin=origin)
        self._bound[spec.reference] = bound

    def current(self) -> FrozenCatalogue:
        """The catalogue for a run that begins now."""
        size = len(self.registry)
        if self._current is None or self._current[0] != size:
            self._current = (size, FrozenCatalogue(self.registry.snapshot(), dict(self._bound)))
        return self._current[1]
