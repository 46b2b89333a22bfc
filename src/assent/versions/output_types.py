"""References between the steps of a workflow, held against what the earlier step gives and the later one takes.

Only what can never be right is told: a plain path whose every possible value has a type that the parameter refuses, or that leads
to what no output has. Whatever a schema leaves open stays open, and so does a step that may not run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from assent.errors import InputError
from assent.spec.documents.document import Path, dotted
from assent.spec.documents.sections import Faults
from assent.spec.values.frozen import thaw
from assent.spec.words.suggestions import did_you_mean
from assent.spec.workflow.definition import Capabilities, StepSpec, WorkflowSpec
from assent.versions._schema_shape import Shape

_WORDS: Final = {
    "null": "null",
    "boolean": "true or false",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "an object",
}
_OUTPUT: Final = 3
"""The parts of `steps.NAME.output`, behind which the path leads into the output."""


def check_output_types(spec: WorkflowSpec, capabilities: Capabilities) -> None:
    """Raise INVALID_INPUT or REFERENCE_MISSING, with its place, for every reference that can't be right in any run."""
    faults, steps = Faults(), {step.name: step for step in spec.steps}
    for step in spec.steps:
        if step.capability is None or step.when is not None or step.foreach is not None:
            continue
        for place, part in step.inputs.parts():
            source = steps.get(str(part.path[1])) if len(part.path) >= _OUTPUT else None
            if source is not None and source.capability is not None:
                fault = _Use(step, place, part.path, source).fault(capabilities)
                if fault is not None:
                    faults.add(fault)
    faults.raise_if_any()


class _Use(msgspec.Struct, frozen=True):
    """A place in a step's inputs that is nothing but a path to an output of a step."""

    step: StepSpec
    place: Path
    path: Path
    source: StepSpec

    def fault(self, capabilities: Capabilities) -> InputError | None:
        """Why it can't be right; None where it may be."""
        assert self.step.capability is not None  # INVARIANT: both are calls
        assert self.source.capability is not None
        takes, gives = (
            capabilities.resolve(self.step.capability),
            capabilities.resolve(self.source.capability),
        )
        accepted = _kinds(*_below(thaw(takes.parameters), None, self.place))
        shape, found = _below(thaw(gives.returns), self.source, self.path[_OUTPUT:])
        possible = _kinds(shape, found)
        if (self.source.when is not None or self.step.in_finally) and len(self.path) == _OUTPUT:
            possible |= {"null"}  # what a skipped step gives, and to `finally` one that has not passed
        shown = f"`{dotted(self.path)}`"
        if not possible:
            _, around = _below(thaw(gives.returns), self.source, self.path[_OUTPUT:-1])
            known = [name for one in around for name in _names(shape, one)]
            message = f"{shown} is not there: `{gives.id}` never gives that"
            otherwise = f"there is {', '.join(known) or 'nothing'}"
            hint = did_you_mean(str(self.path[-1]), known, otherwise=otherwise)
            return self.step.place.fault("REFERENCE_MISSING", message, "inputs", *self.place, hint=hint)
        if not accepted or not accepted.isdisjoint(possible):
            return None
        message = f"`{dotted(self.place)}` must be {_listed(accepted)}, and {shown} is {_listed(possible)}"
        hint = f"`assent capability show {gives.id}` tells what it gives"
        return self.step.place.fault("INVALID_INPUT", message, "inputs", *self.place, hint=hint)


def _below(schema: Any, source: StepSpec | None, path: Path) -> tuple[Shape, list[Any]]:
    """The schemas of which what stands at this path has to fit one, at least; none where nothing can stand there.

    `Any`: a JSON Schema. The output of a `foreach` is a list of outputs.
    """
    shape = Shape(schema)
    found: list[Any] = [
        {"type": "array", "items": schema} if source and source.foreach is not None else schema
    ]
    for part in path:
        found = [below for one in found for below in _inside(shape, one, part)]
    return shape, found


def _inside(shape: Shape, schema: Any, part: str | int) -> Iterator[Any]:
    kind = "object" if isinstance(part, str) else "array"
    for alternative in shape.alternatives(schema).get(kind, ()):
        keywords = alternative.keywords
        if isinstance(part, int):
            first = keywords.get("prefixItems", ())
            inner = first[part] if part < len(first) else keywords.get("items", True)
        elif part in keywords.get("properties", {}):
            inner = keywords["properties"][part]
        else:
            inner = True if "patternProperties" in keywords else keywords.get("additionalProperties", True)
        if inner is not False:
            yield inner


def _kinds(shape: Shape, found: list[Any]) -> set[str]:
    return {kind for schema in found for kind in shape.alternatives(schema)}


def _names(shape: Shape, schema: Any) -> Iterator[str]:
    for alternative in shape.alternatives(schema).get("object", ()):
        yield from alternative.keywords.get("properties", {})


def _listed(kinds: set[str]) -> str:
    return " or ".join(_WORDS[kind] for kind in sorted(kinds))
