"""The risk rules of the law, the helpers that make the safe path the easy one, and what a fingerprint may depend on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.spec import (
    CapabilitySpec,
    Compensation,
    OperationType,
    PolicyDecision,
    Risk,
    RiskLevel,
    SideEffects,
    create_delete_capability,
    create_read_capability,
    create_write_capability,
)
from tests.support.properties import holds


def make(
    *,
    level: RiskLevel,
    reversible: bool,
    compensated: bool = False,
    operation: OperationType = OperationType.WRITE,
    **fields: Any,
) -> CapabilitySpec:
    compensation = Compensation(supported=True, strategy="offset") if compensated else Compensation()
    return CapabilitySpec(
        id="test.act",
        operation_type=operation,
        side_effects=SideEffects(reversible=reversible),
        compensation=fields.pop("compensation", compensation),
        risk=Risk(level=level),
        **fields,
    )


def refusal(**fields: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        make(**fields)
    return caught.value


@pytest.mark.parametrize("level", [RiskLevel.LOW, RiskLevel.MEDIUM])
def test_irreversible_effects_need_high_risk(level: RiskLevel) -> None:
    """An irreversible capability below HIGH can't be built, and the message names the rule."""
    error = refusal(level=level, reversible=False, compensated=True)
    assert error.code == "RISK_INCONSISTENT"
    assert "Risk Consistency Check Failed" in error.message
    assert "[risk.irreversible] irreversible side effects need risk HIGH or CRITICAL" in error.message


def test_the_level_that_was_given_is_told_beside_every_other_fault() -> None:
    """Of the compensation, and of fields that have nothing to do with it: nobody mends a spec one fault after the other."""
    error = refusal(level=RiskLevel.LOW, reversible=False, compensation=Compensation(supported=True))
    assert "with risk LOW" in error.message
    told = str(error.details["violations"])
    assert "risk.irreversible" in told
    assert "compensation.strategy" in told
    error = refusal(level=RiskLevel.LOW, reversible=False, colour="red", version="x")
    assert error.code == "SPEC_INVALID"
    told = str(error.details["faults"])
    for word in ("`version`", "`colour`", "[risk.irreversible]", "[risk.uncompensated]", "with risk LOW"):
        assert word in told, word


@pytest.mark.parametrize(
    "create", [create_read_capability, create_write_capability, create_delete_capability]
)
def test_a_capability_is_created_by_either_word_for_its_id(create: Callable[..., CapabilitySpec]) -> None:
    assert create("a.b") == create(id="a.b") == create(capability_id="a.b")
    for said in ({}, {"id": "a.b", "capability_id": "a.c"}):
        with pytest.raises(InputError, match="say `id` or `capability_id`"):
            create(**said)


def test_irreversible_effects_with_high_risk_and_compensation_are_accepted() -> None:
    """Irreversible, HIGH and compensated is consistent."""
    assert make(level=RiskLevel.HIGH, reversible=False, compensated=True).risk.level is RiskLevel.HIGH


def test_delete_operations_need_high_risk() -> None:
    """A DELETE below HIGH is refused by name; at HIGH it is accepted."""
    error = refusal(level=RiskLevel.LOW, reversible=True, operation=OperationType.DELETE)
    assert "[risk.delete] DELETE operations" in error.message
    spec = make(level=RiskLevel.HIGH, reversible=True, operation=OperationType.DELETE)
    assert spec.operation_type is OperationType.DELETE


def test_irreversible_effects_without_compensation_need_critical_risk() -> None:
    """What can be neither restored nor offset is CRITICAL or is not built."""
    error = refusal(level=RiskLevel.HIGH, reversible=False)
    assert "[risk.uncompensated]" in error.message
    assert "CRITICAL" in error.message
    assert make(level=RiskLevel.CRITICAL, reversible=False).needs_approval


def test_all_violations_are_reported_at_once() -> None:
    """An author sees every broken rule, each with its id, in the message and in the details."""
    error = refusal(level=RiskLevel.LOW, reversible=False, operation=OperationType.DELETE)
    violations = error.details["violations"]
    assert isinstance(violations, list)
    rules = [violation["rule"] for violation in violations if isinstance(violation, dict)]
    assert rules == ["risk.irreversible", "risk.delete", "risk.uncompensated"]
    assert all(f"[{rule}]" in error.message for rule in rules)


@holds("risk_consistency")
@given(
    level=st.sampled_from(RiskLevel),
    reversible=st.booleans(),
    compensated=st.booleans(),
    operation=st.sampled_from(OperationType),
)
def test_a_spec_exists_exactly_when_no_rule_is_broken(
    level: RiskLevel, reversible: bool, compensated: bool, operation: OperationType
) -> None:
    """The three rules, written once more as one table, decide whether a spec can be built."""
    least = 0
    if operation is OperationType.DELETE or not reversible:
        least = 2
    if not reversible and not compensated:
        least = 3
    ranks = {RiskLevel.LOW: 0, RiskLevel.MEDIUM: 1, RiskLevel.HIGH: 2, RiskLevel.CRITICAL: 3}
    fields: dict[str, Any] = {
        "level": level,
        "reversible": reversible,
        "compensated": compensated,
        "operation": operation,
    }
    if ranks[level] >= least:
        assert make(**fields).risk.level is level
    else:
        assert refusal(**fields).code == "RISK_INCONSISTENT"


def test_a_read_capability_is_low_reversible_and_asks_nobody() -> None:
    """The read helper: READ, LOW, reversible, no compensation, no approval, no effect."""
    spec = create_read_capability("io.fs.read_file", "reads a file")
    assert spec.operation_type is OperationType.READ
    assert spec.risk.level is RiskLevel.LOW
    assert spec.side_effects.reversible
    assert not spec.compensation.supported
    assert not spec.needs_approval
    assert not spec.has_effect


@pytest.mark.parametrize(("reversible", "level"), [(True, RiskLevel.MEDIUM), (False, RiskLevel.HIGH)])
def test_a_write_capability_is_compensated(reversible: bool, level: RiskLevel) -> None:
    """The write helper: MEDIUM when it restores exactly, HIGH otherwise; with a compensation either way."""
    spec = create_write_capability("io.fs.write_file", reversible=reversible)
    assert spec.risk.level is level
    assert spec.compensation.supported
    assert spec.side_effects.reversible is reversible


@pytest.mark.parametrize("reversible", [True, False])
def test_a_delete_capability_is_high_and_asks(reversible: bool) -> None:
    """The delete helper: HIGH with approval either way, irreversible unless a restoring undo is claimed."""
    spec = create_delete_capability("io.fs.delete", reversible=reversible)
    assert spec.risk.level is RiskLevel.HIGH
    assert spec.risk.requires_approval
    assert spec.needs_approval
    assert spec.side_effects.reversible is reversible
    assert not create_delete_capability("io.fs.delete").side_effects.reversible


def test_requires_approval_acts_like_high_risk() -> None:
    """A MEDIUM spec that requires approval needs one; its level stays readable."""
    spec = create_write_capability("a.b", risk=Risk(level=RiskLevel.MEDIUM, requires_approval=True))
    assert spec.needs_approval
    assert spec.risk.requires_approval
    assert not create_write_capability("a.b").needs_approval


def test_the_closed_sets_have_exactly_these_members() -> None:
    """Four risk levels, five operations and three answers, upper case, because people script against them."""
    assert [level.value for level in RiskLevel] == ["LOW", "MEDIUM", "HIGH", "CRITICAL"]
    assert [level.rank for level in RiskLevel] == [0, 1, 2, 3]
    assert {kind.value for kind in OperationType} == {"READ", "WRITE", "DELETE", "EXECUTE", "NETWORK"}
    assert {answer.value for answer in PolicyDecision} == {"ALLOW", "DENY", "REQUIRE_APPROVAL"}


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"compensation": {"supported": True}}, "COMPENSATION_INVALID", "compensation.strategy"),
        ({"compensation": {"strategy": "x"}}, "COMPENSATION_INVALID", "compensation.supported"),
        ({"colour": "red"}, "SPEC_INVALID", "colour"),
        ({"id": "write"}, "SPEC_INVALID", "id"),
        ({"id": "Io.fs"}, "SPEC_INVALID", "id"),
        ({"version": "1.0"}, "SPEC_INVALID", "version"),
        ({"risk": {"level": "SEVERE"}}, "SPEC_INVALID", "risk.level"),
        ({"timeout": 0}, "SPEC_INVALID", "timeout"),
        ({"timeout": float("nan")}, "SPEC_INVALID", "timeout"),
        ({"labels": {"a\nb"}}, "SPEC_INVALID", None),
        ({"parameters": [1]}, "SPEC_INVALID", "parameters"),
    ],
)
def test_a_malformed_spec_is_refused_with_its_field(
    fields: dict[str, Any], code: str, path: str | None
) -> None:
    """Every refused field is named, as an input error and never as a traceback of the library."""
    with pytest.raises(InputError) as caught:
        create_write_capability(fields.pop("id", "a.b"), **fields)
    assert caught.value.code == code
    if path is not None:
        assert caught.value.path == path


def test_a_spec_is_frozen_to_its_leaves() -> None:
    """Neither a field nor a nested schema can be changed, and the caller's own data is no way in."""
    schema: dict[str, Any] = {"type": "object", "properties": {"path": {"type": "string"}}}
    spec = create_read_capability("a.b", parameters=schema)
    before = spec.fingerprint
    schema["properties"]["path"]["type"] = "integer"
    with pytest.raises(Exception, match="frozen"):
        spec.id = "c.d"  # type: ignore[misc]  # the assertion is that this fails
    with pytest.raises(TypeError):
        spec.parameters["type"] = "array"  # type: ignore[index]  # the assertion is that this fails
    assert CapabilitySpec.from_json(spec.to_json()).fingerprint == before


def test_a_type_gives_its_schema() -> None:
    """`parameters` may be a type with annotations, also a union."""
    assert create_read_capability("a.b", returns=list[int]).to_json()["returns"] == {
        "type": "array",
        "items": {"type": "integer"},
    }
    union = create_read_capability("a.b", returns=int | None).to_json()["returns"]
    assert union == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    with pytest.raises(InputError) as caught:
        create_read_capability("a.b", returns=type(lambda: 0))
    assert caught.value.code == "SPEC_INVALID"


@holds("fingerprints")
@given(st.randoms(use_true_random=False))
def test_a_fingerprint_does_not_depend_on_key_order(random: Any) -> None:
    """The same spec, its keys shuffled at every level, has the same fingerprint; another field value has another."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            random.shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return value

    spec = create_write_capability(
        "io.fs.write_file",
        "writes",
        parameters={"type": "object", "properties": {"path": {"type": "string"}, "n": {"minimum": 1}}},
        labels={"reads_private", "sends_external"},
        timeout=2.5,
    )
    data = spec.to_json()
    labels = data["labels"]
    assert isinstance(labels, list)
    random.shuffle(labels)
    again = CapabilitySpec.from_json(shuffled(data))
    assert again.fingerprint == spec.fingerprint
    assert again == spec
    assert hash(again) == hash(spec)
    data["idempotent"] = True
    assert CapabilitySpec.from_json(data).fingerprint != spec.fingerprint


def test_golden_specs_keep_their_fingerprints(repository: Path) -> None:
    """Fingerprints stand in journals for ever: a change here is a format change and needs a version."""
    golden = json.loads((repository / "tests/golden/capabilities.json").read_text(encoding="utf-8"))
    assert len(golden) >= 3
    for case in golden:
        assert CapabilitySpec.from_json(case["spec"]).fingerprint == case["fingerprint"]
