"""Conditions asked together decide what they decide one by one, also when one of them fails or is no answer."""

from __future__ import annotations

from typing import Any

import pytest

from assent.errors import InputError
from assent.policy import PolicyEngine
from assent.spec.language.expression import AnyOf, Bindings, Expression
from tests.support.policy import context, engine


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two `if`s in one expression, from the first decision on."""
    monkeypatch.setattr("assent.policy._joint_conditions.ALONE", 0)
    monkeypatch.setattr("assent.policy._joint_conditions.TOGETHER", 2)


def numbered(*conditions: str) -> PolicyEngine:
    return engine(*({"if": condition, "decision": "ALLOW"} for condition in conditions))


def decided(policy: PolicyEngine, inputs: dict[str, Any]) -> tuple[str, str | None]:
    decision = policy.decide(context(inputs=inputs))
    return decision.rule, decision.code


def test_first_rule_that_holds_decides_wherever_it_stands() -> None:
    policy = numbered(*(f"inputs.n == {i} || inputs.n == 9" for i in range(5)))
    assert [decided(policy, {"n": n})[0] for n in (0, 1, 2, 3, 4, 9, 5)] == [
        "r0",
        "r1",
        "r2",
        "r3",
        "r4",
        "r0",
        "default",
    ]


def test_rule_that_fails_denies_although_one_below_it_holds() -> None:
    """`||` gives true when one side fails and the other is true; a gate may not."""
    policy = numbered("inputs.n == 1", "inputs.missing == 1", "inputs.n == 2", "true")
    assert decided(policy, {"n": 1}) == ("r0", None)
    assert decided(policy, {"n": 2}) == ("r1", "POLICY_ERROR")


def test_value_that_is_neither_true_nor_false_denies() -> None:
    policy = numbered("inputs.n", "false")
    assert decided(policy, {"n": False}) == ("default", "POLICY_DENIED")
    falsy: list[Any] = [0, "", None, [], {}]
    for neither in [*falsy, 1, "yes"]:
        assert decided(policy, {"n": neither}) == ("r0", "POLICY_ERROR")


def test_value_that_only_a_later_rule_reads_fails_no_earlier_one() -> None:
    policy = numbered("inputs.n == 1", "inputs.big == 1")
    assert decided(policy, {"n": 1, "big": 2**70}) == ("r0", None)
    assert decided(policy, {"n": 2, "big": 2**70}) == ("r1", "POLICY_ERROR")


def test_comment_at_the_end_of_a_condition_hides_nothing() -> None:
    policy = numbered("inputs.n == 1 // one", "inputs.n == 2 // two")
    assert [decided(policy, {"n": n})[0] for n in (1, 2, 3)] == ["r0", "r1", "default"]


def test_rule_without_a_condition_ends_the_questions() -> None:
    policy = engine({"if": "inputs.n == 1"}, {"id": "all"}, {"if": "inputs.missing == 1"})
    assert decided(policy, {"n": 1}) == ("r0", None)
    assert decided(policy, {"n": 2}) == ("all", None)


def test_rules_that_do_not_match_are_not_asked() -> None:
    policy = engine(
        {"if": "inputs.missing == 1", "when": {"environment": "prod"}},
        {"if": "inputs.n == 1"},
        {"if": "inputs.n == 2"},
    )
    assert decided(policy, {"n": 2}) == ("r2", None)
    assert policy.decide(context(environment="prod", inputs={"n": 2})).code == "POLICY_ERROR"


def test_foresight_asks_one_by_one() -> None:
    policy = numbered("inputs.n == 1", "inputs.later == 1")
    assert policy.foresee(context(inputs={"n": 1}), {"later"}) == policy.decide(context(inputs={"n": 1}))
    assert policy.foresee(context(inputs={"n": 2}), {"later"}) is None


def test_conditions_are_joined_when_a_kind_of_call_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Joining costs as much as asking a few dozen times."""
    joined: list[AnyOf] = []

    def join(conditions: Any) -> AnyOf:
        joined.append(AnyOf(conditions))
        return joined[-1]

    monkeypatch.setattr("assent.policy._joint_conditions.ALONE", 3)
    monkeypatch.setattr("assent.policy._joint_conditions.AnyOf", join)
    policy = numbered("inputs.n == 1", "inputs.n == 2", "inputs.n == 3")
    counted = []
    for _ in range(5):
        assert decided(policy, {"n": 3}) == ("r2", None)
        counted.append(len(joined))
    assert counted == [0, 0, 0, 1, 1]


def test_conditions_that_cannot_be_joined_are_asked_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(conditions: Any) -> AnyOf:
        raise InputError("EXPRESSION_INVALID", "too much at once")

    monkeypatch.setattr("assent.policy._joint_conditions.AnyOf", refuse)
    policy = numbered("inputs.n == 1", "inputs.n == 2")
    assert decided(policy, {"n": 2}) == ("r1", None)


def test_sets_of_conditions_may_overflow_without_changing_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.policy._engine.ASKED_MAX", 2)
    policy = engine(
        *({"if": f"inputs.n == {i}", "when": {"environment": [f"e{i}", "all"]}} for i in range(6))
    )
    for _ in range(2):
        for i in range(6):
            assert policy.decide(context(environment=f"e{i}", inputs={"n": i})).rule == f"r{i}"
            assert policy.decide(context(environment="all", inputs={"n": i})).rule == f"r{i}"


def test_joined_expressions_say_nothing_but_that_all_are_false() -> None:
    both = AnyOf([Expression("a == 1"), Expression("b == 1")])

    def is_false(values: dict[str, object]) -> bool:
        return both.is_false(Bindings(values, {"a": None, "b": None}))

    assert is_false({"a": 2, "b": 2})
    assert not is_false({"a": 1, "b": 2})
    assert not is_false({"a": 2, "b": 1})
    assert not is_false({"a": 2})
    assert not is_false({"a": 2, "b": object()})
