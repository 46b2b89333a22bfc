"""Everything that looks wrong in a policy file, before it decides anything: faults, and rules that can never decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from assent.errors import AssentError, InputError
from assent.policy._context import KEY_INPUTS
from assent.policy._cover import Earlier, cells, covers, is_contradictory, may_match
from assent.policy._limits import SENDS
from assent.policy._read import read_faults
from assent.spec.capability import CapabilitySpec, OperationType, RiskLevel
from assent.spec.decision import PolicyDecision
from assent.spec.documents.document import Document, load_yaml
from assent.spec.ids import UNDO_CAPABILITY
from assent.spec.language import syntax
from assent.spec.language.expression import Expression
from assent.spec.policy import Constraint, Limit, Match, Measure, Policy, Rule
from assent.spec.spelled_fields import SpelledFields, Spellings
from assent.spec.words.globs import glob_matches
from assent.spec.words.suggestions import did_you_mean

_NAMED_MAX: Final = 3
"""Capabilities that a note names."""


Severity: TypeAlias = Literal["error", "warning", "note"]
Kind: TypeAlias = Literal[
    "fault", "shadowed", "unreachable", "unmatched", "unknown_input", "unspelled", "still_asks"
]


class Finding(msgspec.Struct, frozen=True):
    """One thing to mend (`error`: the policy cannot be used), to look at (`warning`) or to know (`note`), with its place.

    `kind` is `fault`, `shadowed` (one earlier rule takes everything), `unreachable` (several do, or the rule contradicts
    itself), `unmatched` (no known capability), `unknown_input`, `unspelled` (a literal in a form that no input has), or
    `still_asks` (an ALLOW that asks a person all the same).
    """

    severity: Severity
    kind: Kind
    message: str
    path: str | None
    rule: str | None = None
    hint: str | None = None
    length: int = 1
    """Characters of the line at `path` that it is about."""


def check(
    text: str | bytes,
    source: str = "policy.yaml",
    known_capabilities: Iterable[CapabilitySpec] | None = None,
    spellings: Spellings | None = None,
) -> list[Finding]:
    """Every fault and every suspicious rule, in file order; an empty list says that nothing was found. Never raises for the text.

    Without `known_capabilities` nothing is said about capabilities and their inputs, and without `spellings` nothing about
    literals that a path or a URL is compared with.
    """
    try:
        document = load_yaml(text, source=source)
    except InputError as error:
        return [_fault(error)]
    policy, conditions, faults = read_faults(document)
    found = [_fault(error) for error in faults]
    # Faulty rules are left out of the policy, so places come from the ids that are left, not from the order.
    places = _places(document, "rules")
    found += _unreachable(policy, document, places)
    if known_capabilities is not None:
        specs = tuple(known_capabilities)
        for rule in policy.rules:
            checked = _Checked(rule, document, places[rule.id])
            found += _against_specs(checked, rule, specs, conditions)
            found += _unspelled(checked, rule, specs, spellings or {})
        places = _places(document, "constrain")
        for constraint in policy.constraints:
            checked = _Checked(constraint, document, places[constraint.id])
            found += _constraint_against_specs(checked, constraint, specs)
        places = _places(document, "limits")
        for limit in policy.limits:
            found += _limit_against_specs(_Checked(limit, document, places[limit.id]), limit, specs)
    return sorted(found, key=lambda finding: _line(finding.path))


def _fault(error: InputError) -> Finding:
    length = error.details.get("length")
    return Finding(
        "error",
        "fault",
        error.message,
        error.path,
        None,
        error.hint,
        length if isinstance(length, int) else 1,
    )


_LISTED: Final = {Rule: "rules", Constraint: "constrain", Limit: "limits"}


class _Checked(NamedTuple):
    """A rule, a constraint or a limit, and where it stands."""

    rule: Rule | Constraint | Limit
    document: Document
    place: int

    @property
    def named(self) -> str:
        """What a message calls it."""
        return f"{type(self.rule).__name__.lower()} `{self.rule.id}`"

    def find(
        self,
        kind: Kind,
        message: str,
        key: str,
        *more: str,
        text: str = "",
        hint: str | None = None,
        severity: Severity = "warning",
    ) -> Finding:
        """Something about what stands at a key of it, and of that about a `text` in it."""
        path: tuple[str | int, ...] = (_LISTED[type(self.rule)], self.place, key, *more)
        span = self.document.span(path, text=text)
        at = self.document.position(path, text=text)
        return Finding(severity, kind, message, at, self.rule.id, hint, span.length if span else 1)


def _places(document: Document, key: str) -> dict[str, int]:
    data = document.data
    listed = data.get(key) if isinstance(data, dict) else None
    places: dict[str, int] = {}
    for i, item in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(item, dict) and isinstance(item.get("id"), str):
            places.setdefault(str(item["id"]), i)
    return places


def _line(path: str | None) -> tuple[int, int]:
    parts = (path or "").rsplit(":", 2)
    if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
        return int(parts[1]), int(parts[2])
    return 0, 0


def _unreachable(policy: Policy, document: Document, places: dict[str, int]) -> list[Finding]:
    found: list[Finding] = []
    earlier = Earlier(policy.rules)
    for i, rule in enumerate(policy.rules):
        checked = _Checked(rule, document, places[rule.id])
        if is_contradictory(rule):
            message = f"rule `{rule.id}` can never hold: its `not` takes away all that its `when` matches"
            found.append(checked.find("unreachable", message, "id"))
            continue
        blockers = _blockers(rule, earlier.of(i))
        if len(blockers) == 1:
            first = blockers[0]
            same = (
                "decides the same" if first.decision is rule.decision else f"decides {first.decision.value}"
            )
            message = (
                f"rule `{rule.id}` is shadowed: `{first.id}` above it matches all that it matches, and {same}"
            )
            hint = f"move it above `{first.id}`, or take it out"
            found.append(checked.find("shadowed", message, "id", hint=hint))
        elif blockers:
            names = ", ".join(f"`{blocker.id}`" for blocker in blockers)
            message = f"rule `{rule.id}` is unreachable: {names} above it together match all that it matches"
            found.append(checked.find("unreachable", message, "id", hint="move it up, or take it out"))
    return found


def _blockers(rule: Rule, earlier: Iterable[Rule]) -> list[Rule]:
    """The earlier rules that together leave nothing to this one, or none when something is left."""
    left: set[tuple[OperationType, RiskLevel]] = set(cells(rule.when))
    blockers: list[Rule] = []
    for other in earlier:
        if covers(other, rule):
            taken = left & set(cells(other.when))
            if taken:
                blockers.append(other)
                left -= taken
                if not left:
                    return blockers
    return []


def _constraint_against_specs(
    checked: _Checked, constraint: Constraint, specs: tuple[CapabilitySpec, ...]
) -> Iterator[Finding]:
    found, matched = _matched(checked, constraint.when, specs)
    yield from found
    names = _inputs_of(matched) if matched else None
    for key in ("properties", "required") if names is not None else ():
        for name in constraint.inputs.get(key, ()):
            if name not in (names or ()):
                message = f"{checked.named}: nothing that it matches has an input `{name}`"
                hint = did_you_mean(name, names or (), otherwise="what is not there fits everything")
                yield checked.find("unknown_input", message, "inputs", key, text=name, hint=hint)


def _limit_against_specs(
    checked: _Checked, limit: Limit, specs: tuple[CapabilitySpec, ...]
) -> Iterator[Finding]:
    # Taking back is no call that a limit stops, so that `assent.undo` is no capability of one.
    known = [spec.id for spec in specs]
    strange = [
        *_unknown(checked, limit.when.capabilities, known, "when", "capability"),
        *_unknown(checked, tuple(pattern for pattern, _ in limit.prices), known, "prices"),
    ]
    yield from strange
    matched = [spec for spec in specs if may_match(limit.when, spec)]
    if not strange and not matched:
        yield checked.find("unmatched", f"{checked.named} matches no known capability", "when")
    elif matched and limit.of is Measure.BYTES_OUT and not any(SENDS in spec.labels for spec in matched):
        message = f"{checked.named} matches no capability with the label `{SENDS}`, and counts nothing"
        yield checked.find("unmatched", message, limit.of)


def _unknown(checked: _Checked, patterns: Iterable[str], known: list[str], *key: str) -> Iterator[Finding]:
    """The patterns under a key that no known capability is called by."""
    for pattern in patterns:
        if not any(glob_matches(pattern, name) for name in known):
            message = f"{checked.named}: no known capability is called `{pattern}`"
            hint = did_you_mean(pattern, known, otherwise="`assent capability list` shows what there is")
            yield checked.find("unmatched", message, *key, text=pattern, hint=hint)


def _matched(
    checked: _Checked, when: Match, specs: tuple[CapabilitySpec, ...]
) -> tuple[list[Finding], list[CapabilitySpec]]:
    """What is told where something is about no known capability and no undo, and the capabilities that it is about."""
    known = [UNDO_CAPABILITY, *(spec.id for spec in specs)]
    found = [*_unknown(checked, when.capabilities, known, "when", "capability")]
    matched = [spec for spec in specs if may_match(when, spec)]
    asks_for_undo = any(glob_matches(pattern, UNDO_CAPABILITY) for pattern in when.capabilities)
    if not matched and not found and not asks_for_undo:
        found.append(checked.find("unmatched", f"{checked.named} matches no known capability", "when"))
    return found, matched


def _against_specs(
    checked: _Checked, rule: Rule, specs: tuple[CapabilitySpec, ...], conditions: dict[str, Expression]
) -> list[Finding]:
    if rule.when.concurrencies:
        return (
            [] if rule.condition is None else _unknown_inputs(checked, KEY_INPUTS, conditions[rule.condition])
        )
    found, matched = _matched(checked, rule.when, specs)
    found += _still_asks(checked, rule, matched)
    if matched and rule.condition is not None:
        found += _unknown_inputs(checked, _inputs_of(matched), conditions[rule.condition])
    return found


def _still_asks(checked: _Checked, rule: Rule, matched: list[CapabilitySpec]) -> Iterator[Finding]:
    """What an ALLOW does not allow by itself; a step that raises its own risk is asked about all the same."""
    if rule.decision is not PolicyDecision.ALLOW or rule.without_approval:
        return
    wanted = rule.when.risk_levels
    asking = sorted(
        {
            f"`{spec.id}` ({spec.risk.level.value})"
            for spec in matched
            if spec.needs_approval and (not wanted or spec.risk.level in wanted)
        }
    )
    if asking:
        more = f" and {len(asking) - _NAMED_MAX} more" if len(asking) > _NAMED_MAX else ""
        named = ", ".join(asking[:_NAMED_MAX])
        message = f"rule `{rule.id}` says ALLOW, and still asks a person for {named}{more}"
        hint = "where nobody shall be asked, say `without_approval: true` and give the reason"
        yield checked.find("still_asks", message, "decision", hint=hint, severity="note")


def _inputs_of(matched: list[CapabilitySpec]) -> frozenset[str] | None:
    """The inputs that some of these have; None where one may have any, because it does not list them."""
    names: set[str] = set()
    for spec in matched:
        properties = spec.parameters.get("properties")
        if properties is None:
            return None
        names |= set(properties) if isinstance(properties, Mapping) else set()
    return frozenset(names)


def _unknown_inputs(checked: _Checked, names: frozenset[str] | None, condition: Expression) -> list[Finding]:
    return (
        []
        if names is None
        else [
            checked.find(
                "unknown_input",
                f"rule `{checked.rule.id}`: nothing that it matches has an input `{path[1]}`",
                "if",
                text=path[1],
                hint=did_you_mean(path[1], names, otherwise="a rule that reads what is not there denies"),
            )
            for path in sorted(condition.names)
            if path[0] == "inputs" and len(path) > 1 and path[1] not in names
        ]
    )


def _unspelled(
    checked: _Checked, rule: Rule, specs: tuple[CapabilitySpec, ...], spellings: Spellings
) -> list[Finding]:
    """A warning for each literal that a path, a URL or a project is compared with and, in its one spelling, can never be."""
    if rule.condition is None or not spellings:
        return []
    kinds: dict[str, set[str]] = {}
    for spec in specs:
        if may_match(rule.when, spec):
            for name, kind in SpelledFields(spec.parameters).flat.items():
                kinds.setdefault(name, set()).add(kind)
    found = []
    for name, literal, ending in _compared(syntax.parse(rule.condition)):
        for kind in sorted(kinds.get(name, ())):
            try:
                normal = spellings[kind](literal + ending)
            except AssentError:
                if ending:
                    continue  # what follows may make it whole
                normal = ""
            if not normal.startswith(literal) if ending else normal != literal:
                told = "" if ending or not normal else f", which is written `{normal}` there"
                message = f"rule `{rule.id}`: `inputs.{name}` is never `{literal}`{told}"
                hint = "paths, URLs and projects are in their normal form before a rule sees them"
                found.append(checked.find("unspelled", message, "if", text=literal, hint=hint))
                break  # the other kinds of path say the same
    return found


def _compared(tree: syntax.Node) -> Iterator[tuple[str, str, str]]:
    """The inputs that are compared with a text, each with the text, and with what might follow where that is a beginning."""
    for node, _, _ in syntax.walk(tree):
        match node:
            case syntax.Operation(operator="==" | "!=", operands=(left, right)):
                pairs = [(left, right, ""), (right, left, "")]
            case syntax.Call(function="startsWith", receiver=receiver, arguments=(argument,)) if receiver:
                pairs = [(receiver, argument, "x")]
            case _:
                continue
        for one, other, ending in pairs:
            path = syntax.path_of(one)
            text = other.value if isinstance(other, syntax.Constant) else None
            if path is not None and path[0] == "inputs" and len(path) == 2 and isinstance(text, str) and text:
                yield path[1], text, ending
