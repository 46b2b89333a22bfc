"""A journaled document tells the steps of its run without being compiled: by the names and in the order of the compiled ones."""

from __future__ import annotations

from typing import Any

import pytest

from assent.engine import Blueprint, outline
from assent.errors import InternalError
from assent.spec.values.canonical import parse_json
from tests.support.workflows import INNER, RELEASE, load

NESTED = """\
name: nested
steps:
  - name: both
    depends_on: []
    parallel:
      - parallel:
          - {name: a, capability: io.fs.read_file}
      - name: sub
        workflow: sub.yaml
        inputs: {target: x}
  - {name: sure, approval: {reason: sure?}}
finally:
  - parallel:
      - {name: tidy, capability: io.fs.delete}
  - {name: last, workflow: middle.yaml, inputs: {target: y}}
"""
MIDDLE = """\
name: middle
inputs: {target: string}
steps:
  - {name: deep, workflow: inner.yaml, inputs: {target: x}}
  - {name: end, capability: io.fs.delete@1.0.0}
"""


@pytest.mark.parametrize(
    "blueprint",
    [
        Blueprint.of_workflow(load(RELEASE)),
        Blueprint.of_workflow(load(NESTED, sub=MIDDLE, middle=MIDDLE, inner=INNER)),
        Blueprint.of_call("io.fs.read_file", {"path": "a"}),
        Blueprint.of_session(),
    ],
    ids=["workflow", "nested", "call", "session"],
)
def test_an_outline_is_what_the_compiled_document_has(blueprint: Blueprint) -> None:
    document: Any = parse_json(blueprint.document)
    told = [(key, step.capability) for key, step in outline(document).items()]
    assert told == [(key, step.capability) for key, step in blueprint.steps.items()]


@pytest.mark.parametrize("document", [{}, {"workflow": {"steps": [{"capability": "a.b"}]}}, {"call": {}}])
def test_a_document_of_no_known_shape_is_damage(document: dict[str, Any]) -> None:
    with pytest.raises(InternalError) as caught:
        outline(document)
    assert caught.value.code == "RECORD_CORRUPT"
