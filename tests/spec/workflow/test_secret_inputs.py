"""A run's inputs that lead to fields for secrets are refused before the run, wherever the workflow takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from assent.errors import InputError, Json
from assent.spec import CapabilitySpec, create_read_capability, create_write_capability
from assent.spec.secret_fields import STORE_IT
from assent.spec.workflow.definition import WorkflowSpec, bind_inputs
from assent.spec.workflow.secret_inputs import require_secret_references, secret_steps

HIDDEN: dict[str, Json] = {"type": "string", "writeOnly": True}
PARAMETERS: dict[str, Json] = {
    "type": "object",
    "properties": {
        "key": HIDDEN,
        "note": {"type": "string"},
        "login": {"type": "object", "properties": {"user": {"type": "string"}, "pass": HIDDEN}},
        "many": {"type": "array", "items": HIDDEN},
    },
}


class Registered:
    """A registry of a capability with fields for secrets, and one without."""

    def resolve(self, reference: str, /) -> CapabilitySpec:
        if reference == "mail.send":
            return create_write_capability(reference, parameters=PARAMETERS)
        return create_read_capability(reference)


def workflow(inputs: Mapping[str, Json], **step: Any) -> WorkflowSpec:
    steps = [
        {"name": "before", "capability": "mail.look"},
        {"name": "send", "capability": "mail.send", "inputs": inputs, "depends_on": ["before"], **step},
    ]
    declared = {name: {"type": "any", "default": None} for name in ("x", "y")}
    return WorkflowSpec.from_dict({"name": "w", "version": "1.0.0", "inputs": declared, "steps": steps})


def check(spec: WorkflowSpec, **given: Json) -> None:
    require_secret_references(secret_steps(spec, Registered()), bind_inputs(spec, given))


@pytest.mark.parametrize(
    ("inputs", "x"),
    [
        ({"key": "${{ inputs.x }}"}, "hunter2"),
        ({"key": "Bearer ${{ inputs.x }}"}, "hunter2"),
        ({"key": "${{ inputs.x + '!' }}"}, "hunter2"),
        ({"key": "${{ inputs.y == null ? inputs.x : 'secret://a' }}"}, "hunter2"),
        ({"key": "${{ inputs.x.deep[0] }}"}, {"deep": ["hunter2"]}),
        ({"key": "${{ inputs.x }}"}, 20261121),
        ({"login": "${{ inputs.x }}"}, {"user": "me", "pass": "hunter2"}),
        ({"login": {"user": "me", "pass": "${{ inputs.x }}"}}, "hunter2"),
        ({"many": ["secret://a", "${{ inputs.x }}"]}, "hunter2"),
        ({"many": "${{ inputs.x }}"}, ["secret://a", "hunter2"]),
        ({"key": "${{ inputs.x + string(steps.before.output) }}"}, "hunter2"),
    ],
)
def test_an_input_that_would_be_a_value_in_a_field_for_secrets_is_refused(
    inputs: dict[str, Json], x: Json
) -> None:
    """It is named, and not quoted."""
    with pytest.raises(InputError) as refused:
        check(workflow(inputs), x=x)
    assert (refused.value.code, refused.value.hint) == ("INVALID_INPUT", STORE_IT)
    assert (refused.value.path or "").startswith("x")
    told = str(refused.value.to_dict())
    assert "it goes into `steps.send." in told
    assert "hunter2" not in told
    assert "20261121" not in told


@pytest.mark.parametrize(
    ("inputs", "x"),
    [
        ({"key": "${{ inputs.x }}"}, "secret://mail/token"),
        ({"key": "Bearer ${{ inputs.x }}"}, "secret://mail/token"),
        ({"key": "secret://${{ inputs.x }}/token"}, "mail"),
        ({"key": "${{ inputs.x }}"}, None),
        ({"key": "${{ inputs.x ? 'secret://a' : 'secret://b' }}"}, True),
        ({"key": "${{ steps.before.output.key }}", "note": "${{ inputs.x }}"}, "anything"),
        ({"note": "${{ inputs.x + string(steps.before.output) }}"}, "anything"),
        ({"key": "${{ inputs.x + string(steps.before.output) }}"}, "secret://a"),
        ({"login": {"user": "${{ inputs.x }}", "pass": "secret://a"}}, "me"),
        ({"login": "${{ inputs.x }}"}, {"user": "me", "pass": "secret://a"}),
        # This fails when the step begins, and the field gets nothing.
        ({"key": "${{ inputs.x.missing }}"}, {"other": "hunter2"}),
    ],
)
def test_what_ends_as_a_reference_or_elsewhere_is_let_through(inputs: dict[str, Json], x: Json) -> None:
    check(workflow(inputs), x=x)


def test_each_iteration_is_looked_at() -> None:
    spec = workflow({"key": "${{ item.key }}", "note": "${{ string(index) }}"}, foreach="${{ inputs.x }}")
    check(spec, x=[{"key": "secret://a"}, {"key": "secret://b"}])
    check(spec, x="no list at all")
    with pytest.raises(InputError, match=r"`inputs\.x` must be a reference to a secret"):
        check(spec, x=[{"key": "secret://a"}, {"key": "hunter2"}])
    mixed = workflow({"key": "${{ item }}"}, foreach="${{ [inputs.x, steps.before.output] }}")
    check(mixed, x="secret://a")
    with pytest.raises(InputError, match=r"`inputs\.x` must be"):
        check(mixed, x="hunter2")


def test_the_call_that_takes_a_step_back_is_looked_at() -> None:
    undo = {"capability": "mail.send", "inputs": {"key": "${{ inputs.x }}"}}
    spec = workflow({"key": "secret://a"}, compensation=undo)
    check(spec, x="secret://b")
    with pytest.raises(InputError, match=r"`inputs\.x` must be"):
        check(spec, x="hunter2")


def test_what_is_told_of_the_run_makes_no_reference_of_a_value() -> None:
    """How a run will end is as unknown before it as an output is."""
    steps: list[Json] = [{"name": "before", "capability": "mail.look"}]
    last = {"name": "f", "capability": "mail.send", "inputs": {"key": "${{ inputs.x + string(run.code) }}"}}
    spec = WorkflowSpec.from_dict({"name": "w", "inputs": {"x": "any"}, "steps": steps, "finally": [last]})
    check(spec, x="secret://a")
    with pytest.raises(InputError, match="x"):
        check(spec, x="hunter2")


def test_a_workflow_may_call_an_input_a_secret_itself() -> None:
    """Then it takes references only, its default too, and a refusal quotes nothing of it."""
    declared: dict[str, Json] = {"x": {"type": "string", "minLength": 12, "writeOnly": True}}
    steps: list[Json] = [{"name": "a", "capability": "mail.look"}]
    document: dict[str, Any] = {"name": "w", "version": "1.0.0", "inputs": declared, "steps": steps}
    spec = WorkflowSpec.from_dict(document)
    assert bind_inputs(spec, {"x": "secret://mail/token"}) == {"x": "secret://mail/token"}
    with pytest.raises(InputError, match="input `x` must be a reference to a secret") as refused:
        bind_inputs(spec, {"x": "hunter2"})
    assert "hunter2" not in str(refused.value.to_dict())
    assert refused.value.hint == STORE_IT
    declared["x"] = {"type": "string", "writeOnly": True, "default": "hunter2"}
    with pytest.raises(InputError, match="input `x` must be a reference to a secret"):
        bind_inputs(WorkflowSpec.from_dict(document), {})
