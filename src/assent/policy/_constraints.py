"""What the inputs of calls must fit, whatever rule lets the calls go: every constraint that is about a call has to hold.

Constraints only ever deny, so that one more of them never lets more happen, and their order only says which is told first. One
is compiled when it is first asked; a policy without any pays nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

import msgspec

from assent.errors import Json
from assent.policy._context import PolicyContext, UnknownInputs
from assent.policy._index import Index
from assent.spec.decision import Decision, PolicyDecision
from assent.spec.policy import Constraint
from assent.spec.values.frozen import thaw

if TYPE_CHECKING:
    from assent.spec.checked_schema import CheckedSchema
    from assent.spec.documents.faults import Fault, Telling

OUTSIDE: Final = "INPUTS_NOT_ALLOWED"
"""The code of a denial because the inputs do not fit a constraint."""

FAULTS_SHOWN_MAX: Final = 10
"""What does not fit, as a denial lists it."""

_PLAIN: Final = frozenset({"type", "properties", "required", "title", "description", "$comment"})
"""Keywords that read no other inputs than those they name."""


class _Compiled:
    """One constraint, and how inputs are held against it."""

    def __init__(self, constraint: Constraint) -> None:
        self.constraint: Final = constraint

    @cached_property
    def _checked(self) -> CheckedSchema:
        from assent.spec.checked_schema import CheckedSchema
        from assent.spec.schemas._foreign import validator_of

        return CheckedSchema(self.constraint.inputs, validator_of(self.constraint.inputs))

    @cached_property
    def _telling(self) -> Telling:
        from assent.spec.documents.faults import Telling

        return Telling(self.constraint.inputs, shows_values=True)

    @cached_property
    def named(self) -> frozenset[str] | None:
        """The inputs that it reads; None when it may read any."""
        schema = self.constraint.inputs
        if not schema.keys() <= _PLAIN:
            return None
        return frozenset({*schema.get("properties", ()), *schema.get("required", ())})

    def unknown_of(self, unknown: UnknownInputs) -> set[str]:
        """Those of the unknown inputs that it reads, by name; `inputs` where it may read any."""
        if not unknown:
            return set()
        if self.named is None:
            return {"inputs"}
        return {*self.named} if unknown == "all" else {*self.named}.intersection(unknown)

    def faults(self, inputs: Mapping[str, object]) -> list[Fault]:
        return self._checked.faults(thaw(inputs), lambda: self._telling)

    def denial(self, decision: Decision, faults: Sequence[Fault]) -> Decision:
        """What the rules let go, denied; without `faults` it is not known yet whether it would be."""
        one = self.constraint
        told = [str(fault["message"]) for fault in faults[:FAULTS_SHOWN_MAX]]
        more = f" (and {len(faults) - len(told)} more)" if len(faults) > len(told) else ""
        what = f"{'; '.join(told)}{more}" if told else "an input that it reads is not known yet"
        return msgspec.structs.replace(
            decision,
            effect=PolicyDecision.DENY,
            rule=one.id,
            reason=f"{one.reason or f'constraint `{one.id}` allows other inputs only'}: {what}",
            approvers=None,
            code=OUTSIDE,
            allowed=one.inputs,
            faults=faults[:FAULTS_SHOWN_MAX],
        )


class Constraints:
    """The constraints of a policy, ready to be asked."""

    def __init__(self, constraints: Sequence[Constraint]) -> None:
        self._compiled = tuple(map(_Compiled, constraints))
        self._index = Index([(one.when, one.unless) for one in constraints])

    def _on(self, context: PolicyContext) -> Iterator[_Compiled]:
        """Those that are about a question, in file order."""
        bits = self._index.candidates(context)
        while bits:
            lowest = bits & -bits
            yield self._compiled[lowest.bit_length() - 1]
            bits ^= lowest

    def deny(self, decision: Decision, context: PolicyContext) -> Decision:
        """What the rules let go, denied by the first constraint that its inputs do not fit; else as it is."""
        if decision.effect is not PolicyDecision.DENY:
            for one in self._on(context):
                if faults := one.faults(context.inputs):
                    return one.denial(decision, faults)
        return decision

    def possible(
        self, decision: Decision, context: PolicyContext, unknown: UnknownInputs
    ) -> tuple[list[Decision], set[str]]:
        """What may come of a decision, in the order of the file, and the names of the unknown inputs that it depends on."""
        found: list[Decision] = []
        read: set[str] = set()
        if decision.effect is not PolicyDecision.DENY:
            for one in self._on(context):
                if names := one.unknown_of(unknown):
                    read |= names
                    found.append(one.denial(decision, ()))
                elif faults := one.faults(context.inputs):
                    return [*found, one.denial(decision, faults)], read
        return [*found, decision], read

    def looked_at(self, context: PolicyContext) -> Iterator[tuple[str, Sequence[str]]]:
        """Each that is about a question, with what does not fit it."""
        for one in self._on(context):
            yield one.constraint.id, [str(fault["message"]) for fault in one.faults(context.inputs)]


def unknown_keywords(schema: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a schema says something that checks nothing: a keyword that there is not, or `format`, which is a remark.

    The validator passes them over, and what bounds a call must not be passed over.
    """
    if not isinstance(schema, Mapping):
        return
    for key, value in schema.items():
        below = (*path, key)
        if key in _ONE:
            yield from unknown_keywords(value, below)
        elif key in _LISTED and isinstance(value, list):
            for i, item in enumerate(value):
                yield from unknown_keywords(item, (*below, i))
        elif key in _NAMED and isinstance(value, Mapping):
            for name, item in value.items():
                yield from unknown_keywords(item, (*below, name))
        elif key not in KEYWORDS:
            yield below


_ONE: Final = frozenset(
    "items contains not if then else additionalProperties unevaluatedProperties unevaluatedItems propertyNames".split()
)
_LISTED: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
_OTHERS: Final = (
    "type enum const minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern minItems maxItems "
    "uniqueItems minContains maxContains minProperties maxProperties required dependentRequired $ref $comment title description"
)
KEYWORDS: Final = frozenset({*_ONE, *_LISTED, *_NAMED, *_OTHERS.split()})
"""What a constraint may say of JSON Schema 2020-12."""
