"""A context is complete and deeply frozen."""

from __future__ import annotations

from typing import Any

import pytest

from assent.errors import InputError
from assent.policy import PolicyContext
from assent.spec.capability import OperationType, RiskLevel, create_delete_capability, create_write_capability
from assent.spec.principal import Principal
from assent.spec.states import Mode
from tests.support.policy import context


def test_context_cannot_be_changed() -> None:
    asked = context()
    with pytest.raises(AttributeError):
        asked.capability = "other"  # type: ignore[misc]  # the rule under test


def test_inputs_are_frozen_at_every_depth_and_apart_from_the_callers() -> None:
    inputs: dict[str, Any] = {"a": {"b": [1, {"c": 2}]}}
    asked = context(inputs=inputs)
    inputs["a"]["b"].append(3)
    frozen: Any = asked.inputs
    assert frozen["a"]["b"] == (1, {"c": 2})
    for held in (frozen, frozen["a"], frozen["a"]["b"][1]):
        with pytest.raises(TypeError):
            held["x"] = 1


def test_every_field_has_a_value() -> None:
    asked = context(workflow=None, step=None, environment=None)
    assert (asked.workflow, asked.step, asked.environment, asked.run_id, asked.mode) == (
        "",
        "",
        "",
        "",
        Mode.WORKFLOW,
    )
    assert asked.requester == asked.principal


@pytest.mark.parametrize(
    "wrong",
    [{"risk_level": "SEVERE"}, {"operation_type": "read"}, {"mode": "x"}, {"now_ms": -1}, {"now_ms": 10**15}],
)
def test_values_that_do_not_exist_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        context(**wrong)
    assert caught.value.code == "SPEC_INVALID"


def test_context_of_a_capability_takes_its_facts_from_the_spec() -> None:
    spec = create_delete_capability("io.fs.delete", labels={"fs"}, version="2.1.0")
    asked = PolicyContext.of(spec, Principal.parse("agent:a"), {"path": "x"}, workflow="w", now_ms=5)
    assert (asked.capability, asked.version, asked.operation_type) == (
        "io.fs.delete",
        "2.1.0",
        OperationType.DELETE,
    )
    assert (asked.risk_level, asked.requires_approval, asked.labels) == (
        RiskLevel.HIGH,
        True,
        frozenset({"fs"}),
    )
    assert (asked.workflow, asked.environment, asked.now_ms) == ("w", "", 5)


def test_sets_may_be_given_as_any_collection_and_facts_are_only_those_asked_for() -> None:
    asked = context(labels=["a"], run_labels=["b"])
    assert (asked.labels, asked.run_labels) == (frozenset("a"), frozenset("b"))
    assert asked.facts(["run", "unknown"]).keys() == {"run"}
    spec = create_delete_capability("io.fs.delete")
    asked = PolicyContext.of(spec, Principal.parse("agent:a"), {}, environment="prod")
    assert (asked.workflow, asked.environment) == ("", "prod")


def test_risk_may_be_raised_and_never_lowered() -> None:
    spec = create_write_capability("io.fs.write_file")
    alice = Principal.parse("user:alice")
    assert PolicyContext.of(spec, alice, {}, risk_level=RiskLevel.CRITICAL).risk_level is RiskLevel.CRITICAL
    assert PolicyContext.of(spec, alice, {}, risk_level=RiskLevel.LOW).risk_level is RiskLevel.MEDIUM
