"""The difference of two versions covers the whole spec; only what callers send and get can break them."""

from __future__ import annotations

from typing import Any

from assent.spec.capability import (
    CapabilitySpec,
    create_delete_capability,
    create_read_capability,
    create_write_capability,
)
from assent.versions.schema_diff import ChangeKind
from assent.versions.version_diff import diff_specs


def kinds(old: CapabilitySpec, new: CapabilitySpec) -> set[ChangeKind]:
    return {change.kind for change in diff_specs(old, new).changes}


def write(**fields: Any) -> CapabilitySpec:
    return create_write_capability("shop.order.place", **fields)


def test_parameters_are_compared_as_inputs_and_results_as_outputs() -> None:
    """The same change breaks on one side and is harmless on the other."""
    narrow, wide = {"type": "integer"}, {"type": "number"}
    old = write(parameters=narrow, returns=wide)
    new = write(version="1.1.0", parameters=wide, returns=narrow)
    assert not diff_specs(old, new).is_breaking
    back = diff_specs(new, old)
    assert [(change.path, change.is_breaking) for change in back.changes] == [
        ("parameters", True),
        ("returns", True),
    ]
    assert back.to_json()["counts"] == {"breaking": 2, "compatible": 0}
    assert (back.to_json()["from"], back.to_json()["to"]) == ("1.1.0", "1.0.0")


def test_equal_versions_have_no_difference() -> None:
    """A version's number is no change."""
    assert diff_specs(write(), write(version="2.0.0")).changes == ()


def test_the_rest_of_a_spec_is_told_and_breaks_nobody() -> None:
    """Risk, reversibility, secrets and the like are named, because policies are written about them."""
    old = write(labels=["a"], secrets=("one",), timeout=5, idempotent=True)
    new = write(
        version="1.1.0",
        labels=["b"],
        secrets=("two",),
        reversible=False,
        sandbox={"x": 1},
        name="n",
        description="d",
    )
    diff = diff_specs(old, new)
    assert not diff.is_breaking
    assert {change.kind for change in diff.changes} == {
        ChangeKind.RISK_RAISED,
        ChangeKind.APPROVAL_CHANGED,
        ChangeKind.REVERSIBILITY_LOST,
        ChangeKind.LABELS_CHANGED,
        ChangeKind.SECRETS_ADDED,
        ChangeKind.SECRETS_REMOVED,
        ChangeKind.TIMEOUT_CHANGED,
        ChangeKind.IDEMPOTENCE_CHANGED,
        ChangeKind.SANDBOX_CHANGED,
        ChangeKind.DESCRIPTION_CHANGED,
    }
    reasons = {change.path: change.reason for change in diff.changes}
    assert reasons["risk.level"] == "the risk was `MEDIUM` and is `HIGH`"
    assert reasons["labels"] == "it gained `b` and lost `a`"
    assert kinds(new, old) >= {ChangeKind.RISK_LOWERED, ChangeKind.REVERSIBILITY_GAINED}


def test_another_operation_and_another_compensation_are_told() -> None:
    """So is a compensation that went."""
    read = create_read_capability("shop.order.place")
    delete = create_delete_capability("shop.order.place", version="2.0.0")
    assert kinds(read, delete) >= {ChangeKind.OPERATION_CHANGED, ChangeKind.COMPENSATION_CHANGED}
