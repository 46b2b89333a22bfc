"""From a policy document to a policy: every key known, every value of its kind, every fault with its place in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

import msgspec

from assent._lazy import compiled_when_asked
from assent.errors import InputError, Json
from assent.policy._conditions import compile_condition
from assent.policy._constraints import KEYWORDS, unknown_keywords
from assent.spec.capability import OperationType, RiskLevel
from assent.spec.decision import Approvers, PolicyDecision
from assent.spec.documents.document import Document, Path
from assent.spec.documents.sections import Faults, Section
from assent.spec.ids import LABEL
from assent.spec.language.expression import Expression
from assent.spec.policy import (
    BUILTIN_PREFIX,
    CONSTRAINTS_MAX,
    DEFAULT_RULE,
    LIMITS_MAX,
    POLICY_VERSION,
    RULES_MAX,
    Constraint,
    Limit,
    Match,
    Measure,
    Per,
    Policy,
    Rule,
)
from assent.spec.principal import PrincipalKind
from assent.spec.schemas._foreign import compile_schema
from assent.spec.values.canonical import INTEGER_MAX, canonical_json
from assent.spec.words.articles import with_article
from assent.spec.words.durations import parse_duration_ms
from assent.spec.words.sizes import read_size
from assent.spec.words.suggestions import did_you_mean

TOP_KEYS: Final = ("version", "default", "rules", "constrain", "limits")
RULE_KEYS: Final = ("id", "when", "if", "decision", "reason", "approvers", "without_approval")
CONSTRAINT_KEYS: Final = ("id", "when", "inputs", "reason")
LIMIT_KEYS: Final = ("id", "when", "per", "window", *Measure, "prices", "reason")
MATCH_KEYS: Final = (
    "principal", "roles", "capability", "operation_type", "risk_level", "labels", "workflow", "step",
    "environment", "concurrency",
)  # fmt: skip
OF_KEYS: Final = ("principal", "roles", "workflow", "environment", "concurrency", "cancels_others", "not")
"""What a rule about concurrency keys may ask for: there is no call yet."""

PRINCIPAL_PATTERN: Final = compiled_when_asked(
    rf"(?:\*|(?:{'|'.join(PrincipalKind)}|\*):[A-Za-z0-9._@+\-/*]{{1,129}})\Z"
)
CAPABILITY_PATTERN: Final = compiled_when_asked(r"[a-z0-9_.*]{1,256}\Z")
PATTERN: Final = compiled_when_asked(r"[A-Za-z0-9 ._/:@+*-]{1,128}\Z")

_CALLED: Final[dict[type, str]] = {
    PolicyDecision: "decision",
    OperationType: "operation type",
    RiskLevel: "risk level",
    PrincipalKind: "kind of principal",
    Per: "way of counting",
}

_PARTS: Final = {"rules": "rule", "constrain": "constraint", "limits": "limit"}
_NOTHING: Final[tuple[Match, Match | None]] = (Match(), None)

_T = TypeVar("_T")
_Choice = TypeVar("_Choice", PolicyDecision, OperationType, RiskLevel, PrincipalKind, Per)
_Part = TypeVar("_Part", Rule, Constraint, Limit)


def read_policy(document: Document) -> tuple[Policy, dict[str, Expression]]:
    """The policy and its compiled `if`s by source. Raises the first fault, with all of them in `details.faults`."""
    reader = _Reader(document)
    policy = reader.policy()
    faults = reader.faults
    if not faults:
        return policy, reader.conditions
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    listed: list[Json] = [dict(fault.to_dict()) for fault in faults]
    raise InputError(
        "POLICY_INVALID",
        first.message + more,
        path=first.path,
        hint=first.hint,
        details={**first.details, "faults": listed},
    )


def read_faults(document: Document) -> tuple[Policy, dict[str, Expression], list[InputError]]:
    """What could be read and every fault, for tools that show all at once. With faults the policy must not be used."""
    reader = _Reader(document)
    return reader.policy(), reader.conditions, reader.faults


class _Fault(Exception):
    """Unwinds to where reading can go on; the fault itself is already noted."""


class _Reader:
    """Reads on after a fault, at the next rule, so that a file is mended in one go."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.faults: list[InputError] = []
        self.conditions: dict[str, Expression] = {}

    def fail(
        self, message: str, path: Path, *, key: bool = False, text: str = "", hint: str | None = None
    ) -> _Fault:
        self.faults.append(
            self.document.fault("POLICY_INVALID", message, path, key=key, text=text, hint=hint)
        )
        return _Fault()

    def attempt(self, read: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return read()
        except _Fault:
            return otherwise

    def policy(self) -> Policy:
        return self.attempt(self._policy, Policy())

    def _policy(self) -> Policy:
        data = self.document.data
        if data is None:
            raise self.fail("the policy is empty", (), hint="begin with `version: 1`")
        top = self.mapping(data, (), TOP_KEYS)
        version = top.get("version")
        if version is None:
            raise self.fail("the policy does not say its version", (), hint="begin with `version: 1`")
        if version != POLICY_VERSION or isinstance(version, bool | float):
            raise self.fail(
                f"version `{version}` is not known",
                ("version",),
                hint=f"this release reads version {POLICY_VERSION}{', a number: write no quotes' * isinstance(version, str)}",
            )
        default = PolicyDecision.DENY
        if "default" in top:
            default = self.attempt(lambda: self.choice(top["default"], ("default",), PolicyDecision), default)
        # All of them name decisions, so that no two may have one id.
        seen: dict[str, Path] = {}
        rules = self.listed(top, "rules", RULES_MAX, seen, self.rule)
        constraints = self.listed(top, "constrain", CONSTRAINTS_MAX, seen, self.constraint)
        limits = self.listed(top, "limits", LIMITS_MAX, seen, self.limit)
        return Policy(tuple(rules), default, tuple(limits), tuple(constraints))

    def listed(
        self,
        top: Mapping[str, Json],
        key: str,
        most: int,
        seen: dict[str, Path],
        read: Callable[[Json, Path], _Part],
    ) -> list[_Part]:
        items = top.get(key, [])
        if not isinstance(items, list):
            raise self.fail(f"`{key}` must be a list", (key,))
        if len(items) > most:
            raise self.fail(f"{len(items)} {_PARTS[key]}s are more than {most}", (key,))
        found: list[_Part] = []
        for i, item in enumerate(items):
            path: Path = (key, i)
            try:
                one: _Part = read(item, path)
                if one.id in seen:
                    first, what = self.document.position((*seen[one.id], "id")), seen[one.id][0]
                    raise self.fail(
                        f"{_PARTS[str(what)]} `{one.id}` stands twice; the first is at {first}", (*path, "id")
                    )
            except _Fault:
                continue
            seen[one.id] = path
            found.append(one)
        return found

    def rule(self, item: Json, path: Path) -> Rule:
        # Each part is read even if another is at fault, so that one look at the file shows all of them.
        before = len(self.faults)
        data = item if isinstance(item, dict) else self.mapping(item, path, RULE_KEYS)
        self.attempt(lambda: self.mapping(data, path, RULE_KEYS), data)
        # A key that is missing may be the one that nobody knows, written wrongly: that is told already.
        for key in ("id", "decision"):
            if key not in data and len(self.faults) == before:
                raise self.fail(f"a rule needs `{key}`", path, hint=self._rule_hint(data, key))
        ident = self.ident(data, "a rule", path)
        decision = PolicyDecision.DENY
        if "decision" in data:
            decision = self.attempt(
                lambda: self.choice(data["decision"], (*path, "decision"), PolicyDecision), decision
            )
        when, unless = self.attempt(
            lambda: self.when(self.given(data, "when", path), (*path, "when")), _NOTHING
        )
        condition = self.attempt(lambda: self.condition(self.given(data, "if", path), (*path, "if")), None)
        reason = self.attempt(lambda: self.reason(data, path), "")
        approvers = self.attempt(
            lambda: self.approvers(self.given(data, "approvers", path), (*path, "approvers")), None
        )
        without = self.attempt(lambda: self.flag(data, "without_approval", path), otherwise=False)
        if len(self.faults) == before:
            self._require_consistent(decision, reason, approvers, path, without=without)
            if when.concurrencies:
                self._require_of_keys(data, path)
        if len(self.faults) > before:
            raise _Fault
        return Rule(ident, decision, when, unless, condition, reason, approvers, without)

    def ident(self, data: Mapping[str, Json], what: str, path: Path) -> str:
        ident = self.text(data.get("id", "unnamed"), (*path, "id"))
        if not LABEL.match(ident) or ident == DEFAULT_RULE or ident.startswith(BUILTIN_PREFIX):
            raise self.fail(
                f"`{ident}` cannot be the id of {what}",
                (*path, "id"),
                hint=f"letters, digits and `. _ / : @ + -`; not `{DEFAULT_RULE}`, and not beginning with `{BUILTIN_PREFIX}`",
            )
        return ident

    def constraint(self, item: Json, path: Path) -> Constraint:
        # As of a rule.
        before = len(self.faults)
        data = item if isinstance(item, dict) else self.mapping(item, path, CONSTRAINT_KEYS, "a constraint")
        self.attempt(lambda: self.mapping(data, path, CONSTRAINT_KEYS), data)
        for key, hint in (
            ("id", "decisions are recorded with the id of their constraint"),
            ("inputs", "`inputs: { properties: { owner: { const: acme } }, required: [owner] }`"),
        ):
            if key not in data and len(self.faults) == before:
                raise self.fail(f"a constraint needs `{key}`", path, hint=hint)
        ident = self.ident(data, "a constraint", path)
        when, unless = self.attempt(
            lambda: self.when(self.given(data, "when", path), (*path, "when")), _NOTHING
        )
        inputs: dict[str, Json] = {}
        if "inputs" in data:
            inputs = self.attempt(lambda: self.schema(data["inputs"], (*path, "inputs")), inputs)
        reason = self.attempt(lambda: self.reason(data, path), "")
        if when.concurrencies:
            self.fail("a constraint is about calls, and no keys", (*path, "when", "concurrency"), key=True)
        if len(self.faults) > before:
            raise _Fault
        return Constraint(ident, inputs, when, unless, reason)

    def schema(self, value: Json, path: Path) -> dict[str, Json]:
        """A JSON Schema, in which nothing may stand that would be passed over."""
        if not isinstance(value, dict) or not value:
            hint = "`inputs: { properties: { owner: { const: acme } } }`"
            raise self.fail(f"`{path[-1]}` must be a JSON Schema that asks for something", path, hint=hint)
        strange = [
            self.fail(
                f"`{key}` checks nothing" if key == "format" else f"unknown keyword `{key}`",
                (*path, *place),
                key=True,
                hint="write a `pattern`"
                if key == "format"
                else did_you_mean(str(key), KEYWORDS, otherwise="the keywords of JSON Schema 2020-12"),
            )
            for place in unknown_keywords(value)
            for key in place[-1:]
        ]
        if strange:
            raise strange[0]
        try:
            canonical_json(value)
            compile_schema(value, f"`{path[-1]}`")
        except InputError as error:
            raise self.fail(error.message, path, hint=error.hint) from None
        return value

    def limit(self, item: Json, path: Path) -> Limit:
        # As of a rule.
        before = len(self.faults)
        data = item if isinstance(item, dict) else self.mapping(item, path, LIMIT_KEYS, "a limit")
        self.attempt(lambda: self.mapping(data, path, LIMIT_KEYS), data)
        for key in ("id", "window"):
            if key not in data and len(self.faults) == before:
                hint = "decisions are recorded with the id of their limit" if key == "id" else "`window: 1h`"
                raise self.fail(f"a limit needs `{key}`", path, hint=hint)
        ident = self.ident(data, "a limit", path)
        when, unless = self.attempt(
            lambda: self.when(self.given(data, "when", path), (*path, "when")), _NOTHING
        )
        per = Per.PRINCIPAL
        if "per" in data:
            per = self.attempt(lambda: self.choice(data["per"], (*path, "per"), Per), per)
        window_ms = self.attempt(lambda: self.window_ms(data.get("window"), (*path, "window")), 0)
        of, most = self.attempt(lambda: self.bound(data, path), (Measure.CALLS, 0))
        unpriced: tuple[tuple[str, int], ...] = ()
        prices = self.attempt(lambda: self.prices(data, of, path), unpriced)
        reason = self.attempt(lambda: self.reason(data, path), "")
        if when.concurrencies:
            self.fail("a limit counts calls, and no keys", (*path, "when", "concurrency"), key=True)
        if len(self.faults) > before:
            raise _Fault
        return Limit(ident, of, most, window_ms, per, when, unless, prices, reason)

    def window_ms(self, value: Json, path: Path) -> int:
        try:
            return parse_duration_ms(value)
        except ValueError as error:
            hint = "write seconds (`30`) or `500ms`, `30s`, `5m`, `2h`, `7d`"
            raise self.fail(f"`window` {error}", path, hint=hint) from None

    def bound(self, data: Mapping[str, Json], path: Path) -> tuple[Measure, int]:
        """What a limit counts, and the most of it."""
        named = [one for one in Measure if one in data]
        if len(named) != 1:
            words = ", ".join(f"`{one}`" for one in Measure)
            said = " and ".join(f"`{one}`" for one in named)
            message = f"a limit bounds one thing, not {said}" if named else "the limit bounds nothing"
            raise self.fail(message, path, hint=f"one of {words}")
        of = named[0]
        value, at = data[of], (*path, of)
        if of is Measure.BYTES_OUT:
            try:
                size = 0 if isinstance(value, bool) else read_size(value)
            except ValueError:
                size = 0
            if not size:
                raise self.fail(
                    f"`{of}` must be a size", at, hint="a number of bytes, like `4096`, `10MB` or `64KiB`"
                )
            return of, size
        return of, self.whole(value, 1, at)

    def prices(self, data: Mapping[str, Json], of: Measure, path: Path) -> tuple[tuple[str, int], ...]:
        given, at = self.given(data, "prices", path), (*path, "prices")
        if given is None:
            return ()
        if of is not Measure.COST:
            raise self.fail("`prices` go with `cost` only", at, key=True)
        if not isinstance(given, dict) or not given:
            raise self.fail("`prices` must be an object", at, hint="`prices: { net.http.*: 5 }`")
        for pattern in given:
            if not CAPABILITY_PATTERN.match(pattern):
                hint = "`io.fs.delete`, or `io.fs.*`: `*` stands for any characters"
                raise self.fail(f"`{pattern}` cannot stand in `prices`", (*at, pattern), key=True, hint=hint)
        return tuple(
            sorted((pattern, self.whole(value, 0, (*at, pattern))) for pattern, value in given.items())
        )

    def whole(self, value: Json, least: int, path: Path) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= INTEGER_MAX:
            raise self.fail(f"`{path[-1]}` must be a whole number, {least} or more", path)
        return value

    def _rule_hint(self, data: Mapping[str, Json], key: str) -> str | None:
        if key == "decision":
            return "`decision: ALLOW`, `DENY` or `REQUIRE_APPROVAL`"
        return None if "decision" not in data else "decisions are recorded with the id of their rule"

    def _require_consistent(
        self, decision: PolicyDecision, reason: str, approvers: Approvers | None, path: Path, *, without: bool
    ) -> None:
        if without and decision is not PolicyDecision.ALLOW:
            raise self.fail(
                "`without_approval` goes with `decision: ALLOW` only", (*path, "without_approval"), key=True
            )
        if without and not reason:
            raise self.fail(
                "a rule that allows without approval must say why",
                (*path, "without_approval"),
                key=True,
                hint="add a `reason`; it is recorded with every decision",
            )
        if without and approvers is not None:
            raise self.fail("nobody approves what goes without approval", (*path, "approvers"), key=True)
        if approvers is not None and decision is PolicyDecision.DENY:
            raise self.fail("nobody can approve what is denied", (*path, "approvers"), key=True)

    def _require_of_keys(self, data: Mapping[str, Json], path: Path) -> None:
        """A rule about keys asks for what is known before the first call, and answers at once."""
        when = data["when"]
        assert isinstance(when, dict)  # INVARIANT: it was read
        excluded = when.get("not")
        for name, part in (("when", when), ("not", excluded if isinstance(excluded, dict) else {})):
            for key in part.keys() - set(OF_KEYS):
                at = (*path, "when", *(["not"] if name == "not" else []), key)
                self.fail(
                    f"a rule about `concurrency` can't ask for `{key}`",
                    at,
                    key=True,
                    hint="it is asked before the run calls anything",
                )
        if data["decision"] == PolicyDecision.REQUIRE_APPROVAL:
            self.fail(
                "nobody is asked about a concurrency key",
                (*path, "decision"),
                hint="`ALLOW` or `DENY`; a workflow asks people by a step with `approval`",
            )
        for key in data.keys() & {"approvers", "without_approval"}:
            self.fail(f"`{key}` says nothing of a concurrency key", (*path, key), key=True)

    def when(self, value: Json, path: Path) -> tuple[Match, Match | None]:
        if value is None:
            return Match(), None
        data = self.mapping(value, path, (*MATCH_KEYS, "cancels_others", "not"))
        cancels_others = self.flag(data, "cancels_others", path)
        excluded = data.get("not")
        for key, at in (
            ("cancels_others", data),
            ("concurrency", excluded if isinstance(excluded, dict) else {}),
        ):
            if key in at and "concurrency" not in data:
                where = path if at is data else (*path, "not")
                message = f"`{key}` needs a `concurrency` in `when`, which makes the rule one about keys"
                raise self.fail(
                    message, (*where, key), key=True, hint='`concurrency: "*"` is about every key'
                )
        unless: Match | None = None
        if "not" in data:
            excluded = self.mapping(data["not"], (*path, "not"), MATCH_KEYS)
            if not excluded:
                raise self.fail("an empty `not` would exclude everything", (*path, "not"), key=True)
            unless = self.match(excluded, (*path, "not"))
        return replace(self.match(data, path), cancels_others=cancels_others), unless

    def match(self, data: Mapping[str, Json], path: Path) -> Match:
        def patterns(key: str, shape: re.Pattern[str], hint: str) -> tuple[str, ...]:
            return tuple(sorted(self.texts(data[key], (*path, key), shape, hint))) if key in data else ()

        roles_any, roles_all = self.any_all(data, "roles", path)
        labels_any, labels_all = self.any_all(data, "labels", path)
        plain = "letters, digits, spaces and `. _ / : @ + -`, with `*` for any characters"
        return Match(
            principals=patterns(
                "principal", PRINCIPAL_PATTERN, "`user:alice`, `agent:*`, `*:build-*` or `*`"
            ),
            roles_any=roles_any,
            roles_all=roles_all,
            capabilities=patterns(
                "capability",
                CAPABILITY_PATTERN,
                "`io.fs.delete`, or `io.fs.*`: `*` stands for any characters",
            ),
            operation_types=self.choices(data, "operation_type", path, OperationType),
            risk_levels=self.risk_levels(data, path),
            labels_any=labels_any,
            labels_all=labels_all,
            workflows=patterns("workflow", PATTERN, plain),
            steps=patterns("step", PATTERN, plain),
            environments=patterns("environment", PATTERN, plain),
            concurrencies=patterns("concurrency", PATTERN, plain),
        )

    def any_all(
        self, data: Mapping[str, Json], key: str, path: Path
    ) -> tuple[frozenset[str], frozenset[str]]:
        if key not in data:
            return frozenset(), frozenset()
        value, at = data[key], (*path, key)
        hint = "letters, digits, spaces and `. _ / : @ + -`"
        if not isinstance(value, dict):
            return self.texts(value, at, LABEL, hint), frozenset()
        sides = self.mapping(value, at, ("any", "all"))
        if not sides:
            raise self.fail(
                f"`{key}` asks for nothing", at, hint=f"`{key}: {{any: [a, b]}}`, `{{all: [a, b]}}`, or both"
            )
        found = {side: self.texts(items, (*at, side), LABEL, hint) for side, items in sides.items()}
        return found.get("any", frozenset()), found.get("all", frozenset())

    def risk_levels(self, data: Mapping[str, Json], path: Path) -> frozenset[RiskLevel]:
        value, at = data.get("risk_level"), (*path, "risk_level")
        if not isinstance(value, dict):
            return self.choices(data, "risk_level", path, RiskLevel)
        lowest = self.mapping(value, at, ("at_least",))
        if not lowest:
            raise self.fail("`risk_level` asks for nothing", at, hint="`risk_level: {at_least: HIGH}`")
        rank = self.choice(lowest["at_least"], (*at, "at_least"), RiskLevel).rank
        return frozenset(level for level in RiskLevel if level.rank >= rank)

    def condition(self, value: Json, path: Path) -> str | None:
        if value is None:
            return None
        if isinstance(value, bool):
            value = "true" if value else "false"  # YAML reads a bare `true` before we can.
        source = self.text(value, path).strip()
        if source in self.conditions:
            return source
        try:
            self.conditions[source] = compile_condition(source)
        except InputError as error:
            offset = error.details.get("offset")
            rest = source[offset:] if isinstance(offset, int) else ""
            word = re.match(r"\w+|\W", rest)
            fault = self.document.fault(
                "POLICY_INVALID",
                error.message,
                path,
                # The place is exact when the word stands in the text as it stands in the expression.
                text=word[0] if word is not None and source.count(word[0]) == 1 else "",
                hint=error.hint,
                details={**error.details, "cause": error.code},
            )
            self.faults.append(fault)
            raise _Fault from None
        return source

    def reason(self, data: Mapping[str, Json], path: Path) -> str:
        return self.text(data["reason"], (*path, "reason")).strip() if data.get("reason") is not None else ""

    def approvers(self, value: Json, path: Path) -> Approvers | None:
        if value is None:
            return None
        data = self.mapping(value, path, Approvers.KEYS)
        for key in data:
            if self.given(data, key, path) == []:
                hint = "leave the key out where any will do"
                raise self.fail(f"`{key}` is an empty list, which nothing matches", (*path, key), hint=hint)
        faults = Faults()
        found = Approvers.read(Section(self.document, path, data, faults, "`approvers`"))
        if faults:
            self.faults += [
                InputError("POLICY_INVALID", one.message, path=one.path, hint=one.hint, details=one.details)
                for one in faults
            ]
            raise _Fault
        return msgspec.structs.replace(
            found, roles=tuple(sorted({*found.roles})), kinds=tuple(sorted({*found.kinds}))
        )

    def mapping(
        self, value: Json, path: Path, keys: tuple[str, ...], item: str = "a rule"
    ) -> dict[str, Json]:
        if not isinstance(value, dict):
            name = f"`{path[-1]}`" if path and isinstance(path[-1], str) else item if path else "the policy"
            raise self.fail(
                f"{name} must be an object with keys", path, hint=f"known here: {', '.join(keys)}"
            )
        unknown = [
            self.fail(
                f"unknown key `{key}`",
                (*path, key),
                key=True,
                hint=did_you_mean(key, keys, otherwise="known here: " + ", ".join(keys)),
            )
            for key in value
            if key not in keys
        ]
        if unknown:
            raise unknown[0]
        return value

    def given(self, data: Mapping[str, Json], key: str, path: Path) -> Json:
        """What stands behind a key; None when the key was left out.

        A key with nothing behind it was not left out: taken so, an `if` whose lines were all commented out would hold for
        every call.
        """
        if key in data and data[key] is None:
            hint = "write what it shall be, or leave the key out"
            raise self.fail(f"nothing stands behind `{key}`", (*path, key), key=True, hint=hint)
        return data.get(key)

    def text(self, value: Json, path: Path) -> str:
        if not isinstance(value, str):
            raise self.fail(
                f"`{path[-1]}` must be text", path, hint="put it in quotes" if value is not None else None
            )
        return value

    def texts(self, value: Json, path: Path, shape: re.Pattern[str], hint: str) -> frozenset[str]:
        items = value if isinstance(value, list) else [value]
        if not items:
            raise self.fail(
                f"`{path[-1]}` is an empty list, which nothing matches",
                path,
                hint="leave the key out to match all",
            )
        for i, item in enumerate(items):
            if not isinstance(item, str) or not shape.match(item):
                at = (*path, i) if isinstance(value, list) else path
                raise self.fail(f"`{item}` cannot stand in `{path[-1]}`", at, hint=hint)
        return frozenset(item for item in items if isinstance(item, str))

    def choice(self, value: Json, path: Path, kind: type[_Choice]) -> _Choice:
        for member in kind:
            if value == member.value:
                return member
        names = [member.value for member in kind]
        close = did_you_mean(str(value).upper(), names) or did_you_mean(str(value).lower(), names)
        raise self.fail(
            f"`{value}` is not {with_article(_CALLED[kind])}",
            path,
            hint=close or "one of: " + ", ".join(names),
        )

    def choices(
        self, data: Mapping[str, Json], key: str, path: Path, kind: type[_Choice]
    ) -> frozenset[_Choice]:
        if key not in data:
            return frozenset()
        value = data[key]
        at: Path = (*path, key)
        if not isinstance(value, list):
            return frozenset({self.choice(value, at, kind)})
        if not value:
            raise self.fail(
                f"`{key}` is an empty list, which nothing matches", at, hint="leave the key out to match all"
            )
        return frozenset(self.choice(item, (*at, i), kind) for i, item in enumerate(value))

    def flag(self, data: Mapping[str, Json], key: str, path: Path) -> bool:
        value = data.get(key, False)
        if not isinstance(value, bool):
            raise self.fail(f"`{key}` must be true or false", (*path, key))
        return value
