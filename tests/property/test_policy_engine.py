"""Properties of the gate: closed on every error, the same as a naive scan, never wider for one more DENY.

The oracle below is written apart from the engine: it reads the *file's* data, not the parsed policy, and matches with `fnmatch`.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from assent.errors import InputError
from assent.policy import PolicyContext, PolicyEngine, check
from assent.spec.capability import OperationType, RiskLevel
from assent.spec.decision import Decision, PolicyDecision
from assent.spec.language.expression import Expression, ExpressionError
from assent.spec.policy import Policy
from assent.spec.principal import Principal
from assent.spec.states import Mode
from assent.spec.values.canonical import canonical_json, parse_json
from tests.support.properties import holds

KEY_RULE, OTHERS_RULE = "builtin.concurrency", "builtin.cancels_others"
DEFAULTS = {"default", KEY_RULE, OTHERS_RULE}
RANKS = ["LOW", "MEDIUM", "HIGH", "CRITICAL"]
ROLES = ["ops", "dev", "audit"]
LABELS = ["pii", "fs", "net"]
CAPABILITIES = ["io.fs.read", "io.fs.write", "io.net.get", "sys.noop"]
CONDITIONS = [
    "inputs.n > 2",
    "inputs.n > 2 || inputs.flag",
    "inputs.flag",
    "has(inputs.n) && inputs.n == 1",
    "risk_rank > 1",
    '"ops" in principal.roles',
    "!(inputs.missing == 1)",
    "inputs.n / inputs.n == 1",
    "true",
    "false",
]


def one_or_list(values: list[str]) -> st.SearchStrategy[object]:
    return st.sampled_from(values) | st.lists(st.sampled_from(values), min_size=1, max_size=3)


def any_or_all(values: list[str]) -> st.SearchStrategy[object]:
    some = st.lists(st.sampled_from(values), min_size=1, max_size=2)
    return some | st.fixed_dictionaries({"all": some}) | st.fixed_dictionaries({"any": some, "all": some})


MATCH: dict[str, st.SearchStrategy[object]] = {
    "principal": one_or_list(["user:alice", "user:*", "agent:*", "*:bob", "*"]),
    "roles": any_or_all(ROLES),
    "capability": one_or_list([*CAPABILITIES, "io.*", "io.fs.*", "*.write", "i*.*t"]),
    "operation_type": one_or_list([kind.value for kind in OperationType]),
    "risk_level": one_or_list(RANKS) | st.fixed_dictionaries({"at_least": st.sampled_from(RANKS)}),
    "labels": any_or_all(LABELS),
    "workflow": one_or_list(["release", "rel*"]),
    "step": one_or_list(["it", "i*", "step_*"]),
    "environment": one_or_list(["prod", "staging"]),
    "concurrency": one_or_list(["deploy-*", "deploy-prod", "*"]),
}
KEYS = ["deploy-prod", "deploy-test", "build"]
OF_KEYS = ["principal", "roles", "workflow", "environment"]
OF_CALLS = sorted(MATCH.keys() - {"concurrency"})


def matches(minimum: int = 0, of: list[str] = OF_CALLS) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.lists(st.sampled_from(of), min_size=minimum, max_size=3, unique=True)
    return keys.flatmap(lambda chosen: st.fixed_dictionaries({key: MATCH[key] for key in chosen}))


@st.composite
def rules(draw: st.DrawFn, name: str = "r") -> dict[str, Any]:
    is_of_keys = draw(st.integers(0, 3)) == 0
    when = draw(matches(of=OF_KEYS if is_of_keys else OF_CALLS))
    if is_of_keys:
        when |= {"concurrency": draw(MATCH["concurrency"]), "cancels_others": draw(st.booleans())}
    if draw(st.booleans()) and draw(st.booleans()):
        when = when | {"not": draw(matches(1, [*OF_KEYS, "concurrency"] if is_of_keys else OF_CALLS))}
    decisions = ["ALLOW", "DENY"] if is_of_keys else [decision.value for decision in PolicyDecision]
    rule: dict[str, Any] = {"id": name, "when": when, "decision": draw(st.sampled_from(decisions))}
    if draw(st.booleans()):
        rule["if"] = draw(st.sampled_from(CONDITIONS))
    if rule["decision"] == "ALLOW" and not is_of_keys and draw(st.booleans()):
        rule |= {"without_approval": True, "reason": "stated"}
    return rule


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    drawn = draw(st.lists(rules(), max_size=8))
    default = draw(st.sampled_from(["DENY", "DENY", "ALLOW", "REQUIRE_APPROVAL"]))
    return {
        "version": 1,
        "default": default,
        "rules": [rule | {"id": f"r{i}"} for i, rule in enumerate(drawn)],
    }


INPUTS = st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers(-3, 3) | st.text(max_size=2) | st.none(),
        "flag": st.booleans() | st.integers(0, 1),
    },
)

calls = st.builds(
    PolicyContext,
    principal=st.builds(
        Principal,
        st.sampled_from(["user", "agent", "service"]),
        st.sampled_from(["alice", "bob"]),
        st.frozensets(st.sampled_from(ROLES)),
    ),
    capability=st.sampled_from(CAPABILITIES),
    risk_level=st.sampled_from(RiskLevel),
    operation_type=st.sampled_from(OperationType),
    labels=st.frozensets(st.sampled_from(LABELS)),
    requires_approval=st.booleans(),
    inputs=INPUTS,
    workflow=st.sampled_from(["", "release", "other"]),
    step=st.sampled_from(["", "it", "step_1"]),
    environment=st.sampled_from(["", "prod", "staging"]),
    mode=st.sampled_from(Mode),
)


def about_key(asked: PolicyContext, key: str, cancels_others: bool) -> PolicyContext:
    return structs.replace(
        asked,
        concurrency=key,
        cancels_others=cancels_others,
        risk_level=RiskLevel.LOW,
        requires_approval=False,
    )


contexts = calls | st.builds(about_key, calls, st.sampled_from(KEYS), st.booleans())


def oracle(policy: dict[str, Any], asked: PolicyContext) -> tuple[str, str, str | None]:
    """(effect, rule, code) as the documentation defines them, rule by rule."""
    for rule in policy["rules"]:
        when = {key: value for key, value in rule["when"].items() if key not in ("not", "cancels_others")}
        excluded = rule["when"].get("not")
        if not is_about(rule, asked):
            continue
        if not applies(when, asked) or (excluded is not None and applies(excluded, asked)):
            continue
        if "if" in rule:
            try:
                value = Expression(rule["if"]).evaluate({**asked.facts(), "now": 0})
            except ExpressionError:
                return "DENY", rule["id"], "POLICY_ERROR"
            if not isinstance(value, bool):
                return "DENY", rule["id"], "POLICY_ERROR"
            if not value:
                continue
        return answered(rule["decision"], rule["id"], asked, excused=rule.get("without_approval", False))
    subject = bool(asked.concurrency), asked.cancels_others
    default = {(True, False): ("ALLOW", KEY_RULE), (True, True): ("DENY", OTHERS_RULE)}
    decision, rule = default.get(subject, (policy["default"], "default"))
    return answered(decision, rule, asked, excused=False)


def is_about(rule: dict[str, Any], asked: PolicyContext) -> bool:
    """Calls, having a key, or cancelling others' runs for one: a rule is about one of them."""
    subject = "concurrency" in rule["when"], rule["when"].get("cancels_others", False)
    return subject == (bool(asked.concurrency), asked.cancels_others)


def answered(decision: str, rule: str, asked: PolicyContext, *, excused: bool) -> tuple[str, str, str | None]:
    careful = asked.risk_level.value in ("HIGH", "CRITICAL") or asked.requires_approval
    if decision == "ALLOW" and careful and not excused:
        decision = "REQUIRE_APPROVAL"
    return decision, rule, "POLICY_DENIED" if decision == "DENY" else None


def applies(match: dict[str, Any], asked: PolicyContext) -> bool:
    texts = {
        "principal": f"{asked.principal.type.value}:{asked.principal.id}",
        "capability": asked.capability,
        "workflow": asked.workflow,
        "step": asked.step,
        "environment": asked.environment,
        "concurrency": asked.concurrency,
        "operation_type": asked.operation_type.value,
    }
    for key, wanted in match.items():
        if key == "risk_level" and isinstance(wanted, dict):
            ok = RANKS.index(asked.risk_level.value) >= RANKS.index(wanted["at_least"])
        elif key == "risk_level":
            ok = asked.risk_level.value in listed(wanted)
        elif key in ("roles", "labels"):
            held = asked.principal.roles if key == "roles" else asked.labels
            sides = wanted if isinstance(wanted, dict) else {"any": wanted}
            ok = ("any" not in sides or any(one in held for one in listed(sides["any"]))) and all(
                one in held for one in listed(sides.get("all", []))
            )
        else:
            ok = any(fnmatchcase(texts[key], pattern) for pattern in listed(wanted))
        if not ok:
            return False
    return True


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def essence(decision: Decision) -> tuple[str, str, str | None]:
    return decision.effect.value, decision.rule, decision.code


@given(policies(), st.lists(contexts, min_size=1, max_size=6))
def test_a_policy_out_of_the_ledger_decides_as_the_one_that_was_put_there(
    policy: dict[str, Any], asked: list[PolicyContext]
) -> None:
    """What its digest is the hash of says everything that decides, approvers included."""
    engine = PolicyEngine.from_dict(policy)
    kept = canonical_json(engine.policy.to_json())
    assert sha256(kept).hexdigest() == engine.digest
    again = PolicyEngine(Policy.from_json(parse_json(kept)))
    assert again.policy == engine.policy
    for one in asked:
        assert again.decide(one) == engine.decide(one)


@holds("first_match")
@given(policies(), st.lists(contexts, min_size=1, max_size=6), st.sampled_from([0, 1, 32]))
def test_index_decides_as_a_naive_scan_does(
    policy: dict[str, Any], asked: list[PolicyContext], alone: int
) -> None:
    """Several contexts per engine, and each twice: the tables must not carry one answer into another.

    Nor may it matter whether the `if`s are asked one by one or together.
    """
    with patch("assent.policy._joint_conditions.ALONE", alone):
        engine = PolicyEngine.from_dict(policy)
        for one in asked + asked:
            assert essence(engine.decide(one)) == oracle(policy, one)


@holds("explanations")
@given(policies(), contexts)
def test_trace_and_explanation_agree_with_the_decision(policy: dict[str, Any], asked: PolicyContext) -> None:
    engine = PolicyEngine.from_dict(policy)
    decision = engine.decide(asked)
    explanation = engine.explain(asked)
    assert explanation.decision == decision
    everything = [rule["id"] for rule in policy["rules"]]
    ids = [rule["id"] for rule in policy["rules"] if is_about(rule, asked)]
    tried = [entry.rule for entry in decision.trace]
    assert tried == (ids if decision.rule in DEFAULTS else ids[: ids.index(decision.rule) + 1])
    decided_by_rule = decision.rule not in DEFAULTS and decision.code != "POLICY_ERROR"
    assert [entry.rule for entry in decision.trace if entry.matched] == (
        [decision.rule] if decided_by_rule else []
    )
    assert [report.rule for report in explanation.rules] == everything
    assert explanation.nearest is None or explanation.nearest.rule in ids


RANK_OF_EFFECT = {"DENY": 0, "REQUIRE_APPROVAL": 1, "ALLOW": 2}


@holds("narrowing")
@given(policies(), rules("extra"), contexts)
def test_adding_a_deny_first_never_widens_access(
    policy: dict[str, Any], extra: dict[str, Any], asked: PolicyContext
) -> None:
    denying = {key: value for key, value in extra.items() if key != "without_approval"} | {"decision": "DENY"}
    stricter = policy | {"rules": [denying, *policy["rules"]]}
    before, after = (
        PolicyEngine.from_dict(policy).decide(asked),
        PolicyEngine.from_dict(stricter).decide(asked),
    )
    assert RANK_OF_EFFECT[after.effect] <= RANK_OF_EFFECT[before.effect]


@holds("pure_decisions")
@given(policies(), contexts)
def test_evaluating_twice_gives_the_same_and_changes_nothing(
    policy: dict[str, Any], asked: PolicyContext
) -> None:
    before = repr(asked)
    first, second = PolicyEngine.from_dict(policy).decide(asked), PolicyEngine.from_dict(policy).decide(asked)
    assert (first, repr(asked)) == (second, before)


@holds("foresight")
@given(policies(), contexts, INPUTS)
def test_foresight_is_the_decision_whatever_the_inputs_turn_out_to_be(
    policy: dict[str, Any], asked: PolicyContext, inputs: dict[str, object]
) -> None:
    engine = PolicyEngine.from_dict(policy)
    foreseen = engine.foresee(asked)
    later = structs.replace(asked, inputs=inputs)
    decided = essence(engine.decide(later))
    if foreseen is not None:
        assert essence(foreseen) == decided
    possible = engine.possible(asked, "all")
    assert decided in [essence(answer) for answer in possible.answers]
    assert bool(possible.unknown) == (len(possible.answers) > 1)
    assert [essence(answer) for answer in engine.possible(later, ()).answers] == [decided]


_leaves = st.sampled_from(
    "inputs.a inputs.b inputs.missing inputs risk_rank 0 1 2.5 'x' true false null principal.id capability.labels now".split()
)
_expressions = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(
            "({} {} {})".format, inner, st.sampled_from("+ - * / % == != < <= > >= in && ||".split()), inner
        ),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({}).exists(x, x == {})".format, inner, inner),
        st.builds("({}).all(x, {})".format, inner, inner),
        st.builds("size({})".format, inner),
        st.builds("int({})".format, inner),
        st.builds("has(({}).f)".format, inner),
    ),
    max_leaves=8,
)
_values: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(2**70) | st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "f", "\ud800"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@holds("fail_closed")
@given(
    _expressions, st.dictionaries(st.sampled_from(["a", "b"]), _values), st.sampled_from([*PolicyDecision])
)
def test_whatever_fails_denies_with_policy_error(
    source: str, inputs: dict[str, object], decision: PolicyDecision
) -> None:
    """Refused at load, or decided, or denied with POLICY_ERROR: no fourth way, and no exception."""
    policy: dict[str, Any] = {
        "version": 1,
        "default": "ALLOW",
        "rules": [{"id": "r", "if": source, "decision": decision.value}],
    }
    try:
        engine = PolicyEngine.from_dict(policy)
    except InputError as error:
        assert error.code == "POLICY_INVALID"  # noqa: PT017  # every way out has its own claim
        return
    asked = PolicyContext(
        principal=Principal.parse("user:a"), capability="a.b", risk_level=RiskLevel.LOW, operation_type=OperationType.READ,
        inputs=inputs,
    )  # fmt: skip
    answer = engine.decide(asked)
    try:
        value: object = Expression(source).run_on(asked.facts())
    except ExpressionError:
        value = None
    if value is True:
        assert (answer.effect, answer.rule, answer.code == "POLICY_DENIED") == (
            decision,
            "r",
            decision.value == "DENY",
        )
    elif value is False:
        assert (answer.effect, answer.rule) == (PolicyDecision.ALLOW, "default")
    else:
        assert (answer.effect, answer.rule, answer.code) == (PolicyDecision.DENY, "r", "POLICY_ERROR")


_guards = st.recursive(
    st.sampled_from(
        [
            "inputs.a > 1",
            "inputs.a == 1",
            "inputs.a != 1",
            "!inputs.a",
            "inputs.a.b < 2",
            "inputs.a in [1, 2]",
        ]
    ),
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "||"]), inner)
        | st.builds("!({})".format, inner)
        | st.builds("({} ? {} : {})".format, inner, inner, inner)
    ),
    max_leaves=6,
)


@holds("fail_closed")
@given(_guards)
def test_absent_inputs_open_nothing(source: str) -> None:
    """However tests of an absent input are combined, without `has()` none of them lets anything through."""
    engine = PolicyEngine.from_dict({"version": 1, "rules": [{"id": "r", "if": source, "decision": "ALLOW"}]})
    asked = PolicyContext(
        principal=Principal.parse("user:a"),
        capability="a.b",
        risk_level=RiskLevel.LOW,
        operation_type=OperationType.READ,
    )
    assert essence(engine.decide(asked)) == ("DENY", "r", "POLICY_ERROR")


@given(policies(), contexts)
def test_a_rule_reported_as_never_deciding_never_decides(
    policy: dict[str, Any], asked: PolicyContext
) -> None:
    dead = {
        finding.rule for finding in check(json.dumps(policy)) if finding.kind in ("shadowed", "unreachable")
    }
    assert PolicyEngine.from_dict(policy).decide(asked).rule not in dead


@given(st.text() | st.builds("version: 1\nrules:\n  - {}".format, st.text()))
def test_check_never_raises_whatever_the_text(text: str) -> None:
    loads = True
    try:
        PolicyEngine.load(text)
    except InputError:
        loads = False
    assert loads is not any(finding.severity == "error" for finding in check(text))
