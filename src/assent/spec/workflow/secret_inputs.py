"""A run's inputs that lead to fields for secrets: a value of its own there is refused before the run begins.

A run's inputs are journaled with its first event, so a step that refuses a value comes too late. Which inputs a field is made of
follows from the workflow alone. What is made of inputs and nothing else is made here, as the step would; where something of the
run goes in too, every text of these inputs must be a reference itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from assent.errors import AssentError, Json
from assent.spec.documents.document import Path, dotted
from assent.spec.documents.faults import FAULTS_MAX, Fault, invalid
from assent.spec.language.template import Context, Name, Template
from assent.spec.masking import hides
from assent.spec.secret_fields import STORE_IT, SecretFields
from assent.spec.workflow.definition import Capabilities, WorkflowSpec

_EACH: Final = ("item", "index")


class SecretStep(msgspec.Struct, frozen=True):
    """A step, or what takes it back, with fields that take nothing but references to secrets.

    `parts` are what references decide of its inputs, each with its place in them.
    """

    name: str
    parts: tuple[tuple[Path, Template], ...]
    foreach: Template | None
    fields: SecretFields

    @classmethod
    def of(
        cls, name: str, inputs: Template, foreach: Template | None, schema: Mapping[str, Json]
    ) -> SecretStep | None:
        """The step, if its capability's parameters have such fields and references decide what stands in them."""
        parts = tuple(inputs.parts()) if hides(schema) else ()
        return cls(name, parts, foreach, SecretFields(schema)) if parts else None

    def faults(self, given: Mapping[str, Json]) -> Iterator[Fault]:
        """A fault for each part that would be a value of its own with these inputs of a run. None of them quotes it."""
        for place, part in self.parts:
            names = part.names
            if self.foreach is not None and _reads(names, _EACH):
                names |= self.foreach.names
            inputs = sorted(name for name in names if name[0] == "inputs")
            if inputs and self._takes_value(place, part, names, given):
                yield _fault(f"steps.{self.name}.{dotted(place)}", inputs)

    def _takes_value(
        self, place: Path, part: Template, names: frozenset[Name], given: Mapping[str, Json]
    ) -> bool:
        if _reads(names, ("steps", "run")):
            inputs = [_at(given, name) for name in names if name[0] == "inputs"]
            return self._are_values(place, "text") and any(self._are_values(place, one) for one in inputs)
        try:
            return any(
                self._are_values(place, part.render(context)) for context in self._contexts(given, names)
            )
        except AssentError:
            return False  # the step will fail of that, and its field gets nothing

    def _are_values(self, place: Path, value: Json) -> bool:
        for step in reversed(place):
            value = {step: value} if isinstance(step, str) else [*[None] * step, value]
        return bool(self.fields.literals(value))

    def _contexts(self, given: Mapping[str, Json], names: frozenset[Name]) -> Iterator[Context]:
        """What the names stand for, once for each iteration."""
        context: dict[str, object] = {"inputs": given, "steps": {}}
        if self.foreach is None or not _reads(names, _EACH):
            yield context
            return
        items = self.foreach.render(context)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            yield {**context, "item": item, "index": index}


def secret_steps(spec: WorkflowSpec, capabilities: Capabilities) -> tuple[SecretStep, ...]:
    """The steps of a workflow that has been checked, and what takes them back, with fields that its inputs could reach."""
    found: list[SecretStep | None] = []
    for step in spec.steps:
        if step.capability is not None:
            schema = capabilities.resolve(step.capability).parameters
            found.append(SecretStep.of(step.name, step.inputs, step.foreach, schema))
        if step.compensation is not None:
            schema = capabilities.resolve(step.compensation.capability).parameters
            found.append(SecretStep.of(step.name, step.compensation.inputs, None, schema))
    return tuple(one for one in found if one is not None)


def require_secret_references(steps: tuple[SecretStep, ...], given: Mapping[str, Json]) -> None:
    """Raise `InputError` INVALID_INPUT with every fault of these steps."""
    faults = [fault for step in steps for fault in step.faults(given)]
    if faults:
        raise invalid("INVALID_INPUT", "the inputs of the run are", faults[:FAULTS_MAX])


def _reads(names: frozenset[Name], roots: tuple[str, ...]) -> bool:
    return any(name[0] in roots for name in names)


def _at(given: Mapping[str, Json], name: Name) -> Json:
    """What a path reads, or what it would read a part of."""
    value: Json = dict(given)
    for part in name[1:]:
        if not isinstance(value, Mapping) or part not in value:
            break
        value = value[part]
    return value


def _fault(where: str, inputs: list[Name]) -> Fault:
    expected = "a reference to a secret, like `secret://mail/token`"
    told = " and ".join(f"`{dotted(name)}`" for name in inputs)
    return {
        "path": [*inputs[0][1:]],
        "expected": expected,
        "actual": "a value of its own",
        "message": f"{told} must be {expected}, and not the value itself: it goes into `{where}`",
        "hint": STORE_IT,
    }
