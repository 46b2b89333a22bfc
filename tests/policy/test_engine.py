"""The gate: ordered rules, three answers, closed when in doubt."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import Any

import pytest

from assent.errors import InputError
from assent.policy import PolicyEngine
from assent.spec.capability import RiskLevel
from assent.spec.decision import Approvers, PolicyDecision
from assent.spec.principal import Principal
from tests.support.policy import context, engine

ALLOW, DENY, ASK = PolicyDecision.ALLOW, PolicyDecision.DENY, PolicyDecision.REQUIRE_APPROVAL


def test_first_of_two_matching_rules_wins() -> None:
    both = engine({"id": "no", "decision": "DENY"}, {"id": "yes"})
    assert both.decide(context()).rule == "no"
    assert engine({"id": "yes"}, {"id": "no", "decision": "DENY"}).decide(context()).rule == "yes"


def test_no_match_is_denied() -> None:
    decision = engine({"when": {"capability": "other.thing"}}).decide(context())
    assert (decision.effect, decision.rule, decision.code) == (DENY, "default", "POLICY_DENIED")


def test_default_is_deny_when_absent_and_when_there_are_no_rules() -> None:
    assert PolicyEngine.load("version: 1").decide(context()).effect is DENY


def test_default_allow_still_asks_at_high_risk() -> None:
    permissive = engine(default="ALLOW")
    assert permissive.decide(context()).effect is ALLOW
    assert permissive.decide(context(risk_level="CRITICAL")).effect is ASK


def test_denial_by_rule_and_by_default_can_be_told_apart() -> None:
    policy = engine({"id": "stop", "decision": "DENY", "reason": "not here", "when": {"environment": "prod"}})
    by_rule, by_default = policy.decide(context(environment="prod")), policy.decide(context())
    assert (by_rule.rule, by_rule.reason) == ("stop", "not here")
    assert by_default.rule == "default"
    assert "default" in by_default.reason


@pytest.mark.parametrize(
    ("when", "matching", "other"),
    [
        ({"principal": "user:alice"}, {}, {"principal": "user:alicent"}),
        ({"principal": "user:*"}, {}, {"principal": "agent:alice"}),
        ({"principal": "*:alice"}, {"principal": "agent:alice"}, {"principal": "agent:bob"}),
        ({"principal": "*"}, {"principal": "service:x"}, None),
        ({"principal": ["agent:a", "agent:b*"]}, {"principal": "agent:bob"}, {"principal": "agent:ab"}),
        ({"capability": "io.fs.write_file"}, {}, {"capability": "io.fs.write_files"}),
        ({"capability": "io.fs.*"}, {}, {"capability": "io.fsx.write_file"}),
        ({"environment": "prod*"}, {"environment": "prod"}, {"environment": "pro"}),
        ({"capability": "io.*"}, {"capability": "io.fs.deep.er"}, {"capability": "i.o"}),
        ({"capability": "*.write_*"}, {}, {"capability": "io.fs.read_file"}),
        ({"capability": ["a.b", "io.fs.*"]}, {}, {"capability": "a.bc"}),
        ({"operation_type": "WRITE"}, {}, {"operation_type": "DELETE"}),
        ({"operation_type": ["READ", "WRITE"]}, {}, {"operation_type": "EXECUTE"}),
        ({"risk_level": "LOW"}, {}, {"risk_level": "MEDIUM"}),
        ({"risk_level": ["LOW", "MEDIUM"]}, {"risk_level": "MEDIUM"}, {"risk_level": "HIGH"}),
        ({"risk_level": {"at_least": "MEDIUM"}}, {"risk_level": "MEDIUM"}, {"risk_level": "LOW"}),
        ({"labels": "pii"}, {"labels": {"pii", "x"}}, {"labels": {"x"}}),
        ({"labels": {"any": ["a", "b"]}}, {"labels": {"b"}}, {"labels": set()}),
        ({"labels": {"all": ["a", "b"]}}, {"labels": {"a", "b", "c"}}, {"labels": {"a"}}),
        ({"labels": {"any": ["a", "b"], "all": ["c"]}}, {"labels": {"a", "c"}}, {"labels": {"c"}}),
        ({"workflow": "release"}, {"workflow": "release"}, {}),
        ({"workflow": "rel*"}, {"workflow": "release"}, {"workflow": "unrel"}),
        ({"environment": "prod*"}, {"environment": "production"}, {}),
        ({"risk_level": "LOW", "capability": "io.*"}, {}, {"capability": "x.y"}),
        ({"not": {"principal": "agent:*"}}, {}, {"principal": "agent:x"}),
        ({"not": {"principal": "agent:*", "environment": "prod"}}, {"principal": "agent:x"}, None),
        ({"capability": "io.*", "not": {"capability": "io.fs.delete"}}, {}, {"capability": "io.fs.delete"}),
        ({"not": {"labels": {"all": ["a", "b"]}}}, {"labels": {"a"}}, {"labels": {"a", "b"}}),
        ({}, {}, None),
    ],
)
def test_when_matches_what_it_names_and_nothing_else(
    when: dict[str, Any], matching: dict[str, Any], other: dict[str, Any] | None
) -> None:
    policy = engine({"when": when})
    assert policy.decide(context(**({"risk_level": "LOW"} | matching))).rule == "r0"
    if other is not None:
        assert policy.decide(context(**other)).rule == "default"


def test_roles_match_by_any_or_by_all() -> None:
    listed, any_of = engine({"when": {"roles": ["a", "b"]}}), engine({"when": {"roles": {"any": ["a", "b"]}}})
    all_of = engine({"when": {"roles": {"all": ["a", "b"]}}})
    one, both, none = context("user:x", "a"), context("user:x", "a", "b", "c"), context("user:x", "c")
    assert [policy.decide(one).effect for policy in (listed, any_of, all_of)] == [ALLOW, ALLOW, DENY]
    assert [policy.decide(both).effect for policy in (listed, any_of, all_of)] == [ALLOW, ALLOW, ALLOW]
    assert [policy.decide(none).effect for policy in (listed, any_of, all_of)] == [DENY, DENY, DENY]


def test_no_workflow_and_no_environment_are_empty_and_not_missing() -> None:
    policy = engine(
        {"when": {"not": {"environment": "production"}}, "if": 'run.workflow == "" && run.environment == ""'}
    )
    assert policy.decide(context()).effect is ALLOW
    assert policy.decide(context(workflow=None, environment=None)).effect is ALLOW


@pytest.mark.parametrize(
    "condition",
    [
        "inputs.amount > 100",
        'principal.id == "alice" && principal.type == "user" && "ops" in principal.roles',
        'capability.id == "io.fs.write_file" && capability.operation_type == "WRITE" && "pii" in capability.labels',
        'risk_level == "LOW" && risk_rank < 1',
        'run.id == "R1" && run.mode == "session" && run.requester == "user:carol" && run.workflow == "w"',
        'now > timestamp("2026-01-01T00:00:00Z") && now.getFullYear() == 2026',
        "has(inputs.amount) && !has(inputs.nothing)",
    ],
)
def test_if_reads_every_variable(condition: str) -> None:
    policy = engine({"if": condition})
    asked = context(
        "user:alice",
        "ops",
        labels={"pii"},
        inputs={"amount": 500},
        run_id="R1",
        mode="session",
        workflow="w",
        requester=Principal.parse("user:carol"),
        now_ms=1_790_000_000_000,
    )
    assert policy.decide(asked).effect is ALLOW


def test_false_goes_on_to_the_next_rule() -> None:
    policy = engine({"id": "large", "if": "inputs.n > 5"}, {"id": "rest", "decision": "DENY"})
    assert policy.decide(context(inputs={"n": 9})).rule == "large"
    assert policy.decide(context(inputs={"n": 1})).rule == "rest"


@pytest.mark.parametrize(
    "condition",
    [
        "inputs.missing > 1",
        "inputs.missing.deeper == 1",
        "inputs.text > 1",
        "inputs.n",
        "inputs.n / 0 == 1",
        "!inputs.n",
    ],
)
@pytest.mark.parametrize("decision", ["ALLOW", "DENY", "REQUIRE_APPROVAL"])
def test_error_or_no_boolean_denies(condition: str, decision: str) -> None:
    """Whatever the rule would have decided, and whatever stands below it."""
    policy = engine({"id": "broken", "if": condition, "decision": decision}, {"id": "open"}, default="ALLOW")
    answer = policy.decide(context(inputs={"n": 1, "text": "a"}))
    assert (answer.effect, answer.rule, answer.code) == (DENY, "broken", "POLICY_ERROR")


def test_candidates_are_evaluated_lazily_in_file_order() -> None:
    """A rule that would fail is never reached when an earlier one holds, or when its own `when` does not match."""
    broken = {"id": "broken", "if": "inputs.missing > 1"}
    assert engine({"id": "first"}, broken).decide(context()).rule == "first"
    assert (
        engine({"id": "first", "if": "inputs.n == 1"}, broken).decide(context(inputs={"n": 1})).rule
        == "first"
    )
    elsewhere = broken | {"when": {"environment": "prod"}}
    assert engine(elsewhere, {"id": "second"}).decide(context()).rule == "second"


def test_a_rule_does_not_fail_because_of_what_a_later_rule_reads() -> None:
    """All `if`s share one conversion; a value that only a later one reads may not take an earlier one down."""
    policy = engine({"id": "first", "if": "inputs.n == 1"}, {"id": "later", "if": "inputs.huge == 1"})
    assert policy.decide(context(inputs={"n": 1, "huge": 2**80})).rule == "first"
    assert policy.decide(context(inputs={"n": 2, "huge": 2**80})).code == "POLICY_ERROR"


def test_has_is_the_authors_own_choice() -> None:
    policy = engine({"if": "!has(inputs.amount) || inputs.amount < 10"})
    assert policy.decide(context()).effect is ALLOW
    assert policy.decide(context(inputs={"amount": 11})).effect is DENY


@pytest.mark.parametrize("risk", ["HIGH", "CRITICAL"])
def test_allow_on_high_risk_asks_a_person(risk: str) -> None:
    decision = engine({"id": "open"}).decide(context(risk_level=risk))
    assert (decision.effect, decision.rule) == (ASK, "open")
    assert decision.approvers == Approvers(not_requester=risk == "CRITICAL")


def test_a_spec_that_requires_approval_acts_like_high() -> None:
    decision = engine({}).decide(context(risk_level="LOW", requires_approval=True))
    assert (decision.effect, decision.approvers) == (ASK, Approvers())


def test_without_approval_lets_high_risk_through_for_a_reason() -> None:
    policy = engine({"without_approval": True, "reason": "a sandbox"})
    for asked in (context(risk_level="CRITICAL"), context(requires_approval=True)):
        decision = policy.decide(asked)
        assert (decision.effect, decision.reason, decision.approvers) == (ALLOW, "a sandbox", None)


def test_approvers_of_a_rule_replace_the_built_in_ones() -> None:
    approvers = {
        "roles": ["b", "a"],
        "count": 2,
        "not_requester": True,
        "expires": "90m",
        "kinds": ["user", "service"],
    }
    expected = Approvers(("a", "b"), 2, not_requester=True, expires_ms=5_400_000, kinds=("service", "user"))
    asking = engine({"decision": "REQUIRE_APPROVAL", "approvers": approvers})
    assert asking.decide(context()).approvers == expected
    assert engine({"approvers": approvers}).decide(context(risk_level="HIGH")).approvers == expected
    assert engine({"approvers": approvers}).decide(context()).approvers is None


def test_asking_rule_without_approvers_gets_the_built_in_ones() -> None:
    policy = engine({"decision": "REQUIRE_APPROVAL"})
    assert policy.decide(context()).approvers == Approvers()
    assert policy.decide(context(risk_level="CRITICAL")).approvers == Approvers(not_requester=True)


def test_decision_names_policy_rule_and_reason() -> None:
    policy = engine({"id": "named", "reason": "because"})
    decision = policy.decide(context())
    assert (decision.rule, decision.reason, decision.policy_digest) == ("named", "because", policy.digest)


def test_trace_lists_the_rules_up_to_the_deciding_one() -> None:
    policy = engine(
        {"id": "a", "when": {"risk_level": "HIGH", "capability": "x.y"}},
        {"id": "b", "when": {"not": {"principal": "user:*"}}},
        {"id": "c", "if": "inputs.n > 5"},
        {"id": "d", "decision": "DENY"},
        {"id": "e"},
    )
    trace = policy.decide(context(inputs={"n": 1})).trace
    assert trace[0] is trace[0], "worked out once"
    assert [(tried.rule, tried.matched) for tried in trace] == [
        ("a", False),
        ("b", False),
        ("c", False),
        ("d", True),
    ]
    assert (
        trace[0].because
        == "capability is `io.fs.write_file`, wanted `x.y`; risk_level is `LOW`, wanted `HIGH`"
    )
    assert "not" in trace[1].because
    assert trace[2].because == "`inputs.n > 5` is false"


def test_trace_of_a_default_lists_every_rule() -> None:
    policy = engine({"id": "a", "when": {"risk_level": "HIGH"}}, {"id": "b", "if": "false"})
    assert [tried.rule for tried in policy.decide(context()).trace] == ["a", "b"]


def test_trace_of_an_error_ends_with_the_rule_that_failed() -> None:
    trace = engine({"id": "a", "if": "inputs.x == 1"}, {"id": "b"}).decide(context()).trace
    assert [(tried.rule, tried.matched) for tried in trace] == [("a", False)]
    assert "inputs.x" in trace[0].because


def test_decision_can_be_copied_and_sent() -> None:
    decision = engine({"id": "a", "if": "inputs.n > 5"}, {"id": "b"}).decide(context(inputs={"n": 1}))
    assert pickle.loads(pickle.dumps(decision)) == decision == copy.deepcopy(decision)
    assert hash(decision) == hash(copy.deepcopy(decision))


def test_evaluation_twice_gives_the_same_and_changes_nothing() -> None:
    inputs = {"n": 1, "list": [1, {"a": "b"}]}
    before = repr(inputs)
    asked = context(inputs=inputs)
    policy = engine({"if": "inputs.list.size() == 2 && inputs.n == 1"})
    assert policy.decide(asked) == policy.decide(asked)
    assert policy.explain(asked).to_json() == policy.explain(asked).to_json()
    assert repr(inputs) == before


@pytest.mark.parametrize(
    ("risk", "effect", "approvers"),
    [
        ("LOW", ALLOW, None),
        ("MEDIUM", ALLOW, None),
        ("HIGH", ASK, Approvers()),
        ("CRITICAL", ASK, Approvers(not_requester=True)),
    ],
)
def test_builtin_policy_decides_by_risk(
    risk: str, effect: PolicyDecision, approvers: Approvers | None
) -> None:
    decision = PolicyEngine.builtin().decide(context(risk_level=risk))
    assert (decision.effect, decision.rule, decision.approvers) == (
        effect,
        f"builtin.{risk.lower()}",
        approvers,
    )


def test_digest_is_of_what_the_policy_says() -> None:
    plain = PolicyEngine.load(
        "version: 1\nrules:\n  - id: a\n    decision: ALLOW\n    when: {risk_level: {at_least: HIGH}, roles: [x, y]}\n"
    )
    same = PolicyEngine.load(
        '# a comment\nversion: 1\ndefault: "DENY"\nrules:\n'
        "- when:\n    roles: {any: [y, x]}\n    risk_level: [CRITICAL, HIGH]\n  decision: ALLOW\n  id: a\n"
    )
    other = PolicyEngine.load("version: 1\nrules:\n  - {id: a, decision: DENY}\n")
    assert plain.digest == same.digest != other.digest
    assert plain.digest == PolicyEngine(plain.policy).digest


def test_a_policy_keeps_its_digest_when_rules_learn_new_words() -> None:
    """The record names policies by it, and approvals are bound to it."""
    when = {
        "principal": "agent:*", "roles": "r", "capability": "io.*", "operation_type": "READ", "risk_level": "LOW",
        "labels": "l", "workflow": "w", "environment": "e", "not": {"workflow": "x"},
    }  # fmt: skip
    known = engine({"id": "a", "when": when, "if": "true"}).digest
    assert known == "0cf44c403994e8b0907ff5b13d211bda866fd5e9625b0815b01ac52cd4db3b8c"


def test_a_thousand_rules_are_found_by_table() -> None:
    """The last of many rules is found as surely as the first, also when its bit is far beyond a machine word."""
    policy = engine(*({"id": f"rule-{i}", "when": {"capability": f"cap.n{i}.*"}} for i in range(1000)))
    for i in (0, 1, 63, 64, 500, 999):
        assert policy.decide(context(capability=f"cap.n{i}.go")).rule == f"rule-{i}"


def test_tables_may_overflow_without_changing_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["assent.policy._index"], "REMEMBERED_MAX", 2)
    policy = engine({"id": "even", "when": {"principal": [f"user:u{i}" for i in range(0, 20, 2)]}})
    for _ in range(2):
        for i in range(20):
            assert policy.decide(context(f"user:u{i}")).rule == ("even" if i % 2 == 0 else "default")


def test_foresight_is_open_only_where_the_deciding_rule_reads_an_unknown_input() -> None:
    policy = engine(
        {"id": "early", "when": {"environment": "prod"}, "decision": "DENY"},
        {"id": "large", "if": "inputs.size > 10", "decision": "REQUIRE_APPROVAL"},
        {"id": "rest"},
    )
    known, asked = context(inputs={"size": 5}), context()
    assert policy.foresee(asked) is None
    assert policy.foresee(asked, {"size"}) is None
    assert policy.foresee(known, {"other"}) == policy.decide(known)
    blocked = policy.foresee(context(environment="prod"))
    assert blocked is not None
    assert blocked.rule == "early"


def test_foresight_of_a_rule_that_reads_all_inputs_is_open() -> None:
    assert engine({"if": "size(inputs) > 3"}).foresee(context(), {"one"}) is None


def test_deny_of_file_deletion_for_one_principal() -> None:
    policy = PolicyEngine.load(
        "version: 1\ndefault: ALLOW\nrules:\n  - id: no-delete\n    when: {principal: 'agent:*', capability: io.fs.delete}\n"
        "    decision: DENY\n    reason: agents do not delete\n"
    )
    agent = policy.decide(
        context("agent:bot", capability="io.fs.delete", operation_type="DELETE", risk_level=RiskLevel.HIGH)
    )
    assert (agent.effect, agent.reason) == (DENY, "agents do not delete")
    person = policy.decide(
        context("user:alice", capability="io.fs.delete", operation_type="DELETE", risk_level="HIGH")
    )
    assert person.effect is ASK


def test_a_broken_policy_builds_no_engine() -> None:
    with pytest.raises(InputError):
        PolicyEngine.from_dict({"version": 1, "rules": [{"id": "a", "decision": "ALLOW"}, {"id": "b"}]})


def test_a_policy_that_was_read_before_decides_the_same() -> None:
    """An engine of a parsed policy compiles its `if`s itself."""
    read = engine({"id": "big", "if": "inputs.n > 1"}, {"id": "rest", "decision": "DENY"})
    again = PolicyEngine(read.policy)
    for n in (1, 2):
        asked = context(inputs={"n": n})
        assert again.decide(asked) == read.decide(asked)


def test_what_is_foreseen_does_not_depend_on_how_often_was_asked() -> None:
    """Conditions that are asked often are joined; one that reads what is not known yet leaves the answer open all the same."""
    both = engine(*({"id": f"r{n}", "if": f"risk_rank > 2 && inputs.n == {n}"} for n in range(2)))
    assert {both.foresee(context()) for _ in range(40)} == {None}
    assert {both.decide(context(inputs={"n": 1})).rule for _ in range(40)} == {"default"}
    assert {both.foresee(context()) for _ in range(40)} == {None}


def test_what_is_remembered_of_calls_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that sees ever new callers keeps no more of them than it may."""
    monkeypatch.setattr("assent.policy._index.REMEMBERED_MAX", 3)
    monkeypatch.setattr("assent.policy._engine.ASKED_MAX", 3)
    many = engine(*({"when": {"environment": f"e{n}"}, "if": f"inputs.n == {n}"} for n in range(8)))
    for n in range(8):
        assert many.decide(context(environment=f"e{n}", inputs={"n": n})).rule == f"r{n}"
        assert len(many._index._wheres) <= 3
        assert len(many._asked_of) <= 3
