"""`policy explain`: which rule decides, why each earlier one did not, and what would have changed it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.policy import context, engine

POLICY = engine(
    {"id": "prod-only", "when": {"environment": "prod", "roles": "ops"}},
    {"id": "small", "if": "inputs.size < 10"},
    {"id": "agents", "when": {"principal": "agent:*"}, "decision": "DENY", "reason": "agents wait"},
    {"id": "rest", "when": {"risk_level": "LOW"}},
)


def test_explanation_gives_each_rule_its_reason() -> None:
    found = POLICY.explain(context("agent:bot", inputs={"size": 50}))
    assert found.decision == POLICY.decide(context("agent:bot", inputs={"size": 50}))
    assert [(report.rule, report.holds, report.reached) for report in found.rules] == [
        ("prod-only", False, True),
        ("small", False, True),
        ("agents", True, True),
        ("rest", True, False),
    ]
    assert (
        found.rules[0].because == "roles are none, wanted any of `ops`; environment is empty, wanted `prod`"
    )
    assert found.rules[3].because == "an earlier rule decides"


def test_nearest_rule_is_the_earlier_one_with_another_answer_and_the_least_missing() -> None:
    found = POLICY.explain(context("agent:bot", inputs={"size": 50}))
    assert found.nearest is not None
    assert (found.nearest.rule, found.nearest.missing) == ("small", ("`inputs.size < 10` is false",))
    assert engine({}).explain(context()).nearest is None


@pytest.mark.parametrize(
    ("rules", "nearest"),
    [
        ([{"when": {"capability": "x.y", "risk_level": "HIGH"}}, {"when": {"workflow": "w"}}], "r1"),
        ([{"when": {"workflow": "w"}}, {"when": {"environment": "e"}}], "r0"),
        ([{"when": {"workflow": "w"}}, {"when": {"environment": "e", "workflow": "w"}}], "r0"),
        (
            [
                {"when": {"workflow": "w"}, "decision": "DENY"},
                {"when": {"workflow": "w", "environment": "e"}},
            ],
            "r1",
        ),
    ],
)
def test_nearest_of_a_default_denial_is_the_first_other_answer_that_lacks_least(
    rules: list[dict[str, Any]], nearest: str
) -> None:
    found = engine(*rules).explain(context()).nearest
    assert found is not None
    assert found.rule == nearest


def test_error_is_explained_as_neither_true_nor_false() -> None:
    found = POLICY.explain(context())
    assert found.decision.code == "POLICY_ERROR"
    assert found.rules[1].holds is None
    assert "inputs.size" in found.rules[1].because
    number = engine({"id": "n", "if": "inputs.n"}).explain(context(inputs={"n": 3}))
    assert number.rules[0].because == "`inputs.n` gives neither true nor false"


def test_json_says_what_decided_and_what_was_nearest() -> None:
    data = POLICY.explain(context("agent:bot", inputs={"size": 50})).to_json()
    assert json.loads(json.dumps(data)) == data
    assert (data["decision"], data["rule"], data["code"]) == ("DENY", "agents", "POLICY_DENIED")
    assert all(told in json.dumps(data) for told in ("agents wait", "prod-only", '"small"'))
    assert data["nearest"] == {"rule": "small", "effect": "ALLOW", "missing": ["`inputs.size < 10` is false"]}
    assert data["approvers"] is None
    asks = engine({"decision": "REQUIRE_APPROVAL", "approvers": {"roles": ["b"]}}).explain(context())
    assert asks.decision.approvers is not None
    assert asks.to_json()["approvers"] == asks.decision.approvers.to_json()
    assert asks.to_json()["nearest"] is None


def test_a_trace_is_equal_to_the_same_list_and_to_nothing_else() -> None:
    trace = POLICY.decide(context("agent:bot", inputs={"size": 50})).trace
    assert trace == tuple(trace)
    other: object = 5
    assert trace != other
