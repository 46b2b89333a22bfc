"""The published schemas of written files take what their readers take, know the same keys, and stand in the pages."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema_rs
import pytest

from assent.capabilities import builtin_catalog
from assent.errors import InputError, Json
from assent.policy import DEFAULT_POLICY_YAML, PolicyEngine, policy_schema
from assent.policy._read import MATCH_KEYS, RULE_KEYS, TOP_KEYS
from assent.spec import WorkflowSpec
from assent.spec.capability import CapabilitySpec, Compensation, Risk, SideEffects
from assent.spec.capability_schema import capability_schema
from assent.spec.decision import Approvers
from assent.spec.documents.document import load_yaml
from assent.spec.schemas.written import reference
from assent.spec.workflow._workflow_parse import DOCUMENT_KEYS, STEP_KEYS
from assent.spec.workflow.schema import workflow_schema
from tests.docs.pages import ROOT, examples
from tests.support.workflows import INNER, RELEASE
from tools import write_reference

POLICY = (
    DEFAULT_POLICY_YAML
    + """
  - id: odd
    when:
      principal: "agent:*"
      roles: {any: [ops], all: dev}
      capability: [io.*]
      operation_type: READ
      risk_level: {at_least: HIGH}
      labels: reads_private
      workflow: release
      environment: [prod]
      not: {principal: user:alice}
    if: true
    decision: REQUIRE_APPROVAL
    reason: because
    approvers: {roles: boss, count: 2, not_requester: true, expires: 1h, kinds: [user, agent]}
    without_approval: false
"""
)


def read_workflow(data: Json) -> None:
    assert isinstance(data, dict)
    WorkflowSpec.from_dict(data)


def read_policy(data: Json) -> None:
    import json

    PolicyEngine.load(json.dumps(data))


def read_capability(data: Json) -> None:
    assert isinstance(data, dict)
    CapabilitySpec.from_json(data)


def of_pages(name: str) -> list[Json]:
    blocks = examples(ROOT / "docs" / name)
    return [
        load_yaml(one.text, source="x").data
        for one in blocks
        if one.kind == "yaml" and one.name not in ("cases", "refused") and ".policy." not in one.name
    ]


ANY_CAPABILITY = next(spec for spec, _ in builtin_catalog() if spec.id == "io.fs.write_file").to_json()
KINDS: dict[str, tuple[Callable[[], dict[str, Json]], Callable[[Json], None], list[Json]]] = {
    "workflow": (
        workflow_schema,
        read_workflow,
        [load_yaml(text, source="x").data for text in (RELEASE, INNER)]
        + [one for one in of_pages("workflows.md") if "inner.yaml" not in str(one)],
    ),
    "policy": (policy_schema, read_policy, [load_yaml(POLICY, source="x").data, *of_pages("policy.md")]),
    "capability": (capability_schema, read_capability, [spec.to_json() for spec, _ in builtin_catalog()]),
}


def places(data: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in some data, the outermost first."""
    yield path
    for key, item in (
        data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    ):
        yield from places(item, (*path, key))


def with_(data: Json, path: tuple[str | int, ...], value: Json) -> Json:
    """A copy in which something else stands at a place."""
    if not path:
        return value
    found = copy.deepcopy(data)
    below = found
    for key in path[:-1]:
        below = below[key]  # type: ignore[index]  # the path was found in this data
    below[path[-1]] = value  # type: ignore[index]  # as above
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_reader_takes_fits_the_schema(kind: str) -> None:
    schema, read, samples = KINDS[kind]
    validator = jsonschema_rs.Draft202012Validator(schema())
    for sample in samples:
        read(sample)
        assert [one.message for one in validator.iter_errors(sample)] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [7, True, "?", [], ["?"], {}, {"odd": 1}], ids=str)
def test_the_schema_refuses_nothing_that_the_reader_takes(kind: str, wrong: Json) -> None:
    """An editor that marks what would run is worse than none. Null, which a workflow takes for left out, is the one exception."""
    schema, read, samples = KINDS[kind]
    validator = jsonschema_rs.Draft202012Validator(schema())
    refused, taken = 0, []
    for sample in samples[:6]:
        for path in places(sample):
            changed = with_(sample, path, wrong)
            if not path or validator.is_valid(changed):
                continue
            refused += 1
            try:
                read(changed)
            except InputError:
                continue
            taken.append(path)
    assert (taken, refused > 0) == ([], True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_nobody_knows_is_refused_by_both(kind: str) -> None:
    schema, read, samples = KINDS[kind]
    validator = jsonschema_rs.Draft202012Validator(schema())
    known = {key.name for _, _, keys in reference(schema()) for key in keys}
    for path in places(samples[0]):
        below = samples[0]
        for key in path:
            below = below[key]  # type: ignore[index]  # the path was found in this data
        if (
            not isinstance(below, dict)
            or not below.keys() <= known
            or (path and path[-1] in ("inputs", "outputs", "sandbox"))
        ):
            continue
        if {"parameters", "returns", "items"} & {*path}:
            continue
        changed = with_(samples[0], path, {**below, "nobody_knows_this": 1})
        assert not validator.is_valid(changed), path
        with pytest.raises(InputError):
            read(changed)


def test_each_knows_the_keys_of_its_reader() -> None:
    keys = {
        (kind, name): {one.name for one in found}
        for kind, (schema, _, _) in KINDS.items()
        for name, _, found in reference(schema())
    }
    assert keys["workflow", "workflow"] == {*DOCUMENT_KEYS}
    assert keys["workflow", "step"] == {*STEP_KEYS}
    assert keys["policy", "policy"] == {*TOP_KEYS}
    assert keys["policy", "rule"] == {*RULE_KEYS}
    assert keys["policy", "when"] == {*MATCH_KEYS, "cancels_others", "not"}
    assert keys["policy", "approvers"] == keys["workflow", "approvers"] == {*Approvers.KEYS}
    assert keys["capability", "capability"] == {*CapabilitySpec.model_fields, "spec_version"}
    for name, model in (("side_effects", SideEffects), ("compensation", Compensation), ("risk", Risk)):
        assert keys["capability", name] == {*model.model_fields}


def test_every_key_has_a_meaning_and_a_form() -> None:
    for schema, _, _ in KINDS.values():
        for name, meaning, keys in reference(schema()):
            assert meaning.endswith("."), name
            assert [one for one in keys if not one.form or not one.meaning] == []


@pytest.mark.parametrize("name", write_reference.SCHEMAS)
def test_the_pages_have_the_keys(name: str, repository: Path) -> None:
    assert (repository / "docs" / name).read_text(encoding="utf-8") == write_reference.written(name)
