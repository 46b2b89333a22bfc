"""Workflow documents as text, loaded or refused."""

from __future__ import annotations

import pytest

from assent.errors import InputError
from assent.spec import (
    WorkflowSpec,
)
from assent.spec.documents.document import Document, load_yaml

RELEASE = """\
name: release
inputs:
  version: string
  files: {type: array, items: {type: string}, default: [a, b]}
  dry: {type: boolean, default: false}
environment: prod
metadata: {owner: alice, tags: [x]}
steps:
  - name: read
    capability: io.fs.read_file
    inputs: {path: "v-${{ inputs.version }}.txt"}
  - parallel:
      - name: left
        capability: io.fs.write_file@1.0.0
        inputs: {path: a, content: "${{ steps.read.output.content }}"}
        retry: {max_attempts: 4, backoff: {initial: 100ms, max: 5s, factor: 3, jitter: 0}, on: [STEP_TIMEOUT]}
        timeout: 30s
      - name: right
        capability: io.fs.write_file
        foreach: ${{ inputs.files }}
        inputs: {path: "${{ item }}", content: "$${{ kept }} ${{ index }}"}
  - name: ask
    approval: {reason: sure?, approvers: {count: 2, roles: [boss], expires: 1h}}
    when: "!inputs.dry"
  - name: last
    capability: io.fs.delete
    inputs: {path: "${{ steps.read.output.path }}"}
    risk_level: CRITICAL
    undo: none
    compensation: {capability: io.fs.write_file, inputs: {content: "${{ steps.last.output.old }}"}}
outputs:
  path: ${{ steps.read.output.path }}
"""

STEP = "  - name: {}\n    capability: io.fs.read_file\n"

INNER = """\
name: inner
inputs: {target: string, more: {type: string, default: zz}}
steps:
  - name: one
    capability: io.fs.read_file
    inputs: {path: "${{ inputs.target + inputs.more }}"}
  - name: two
    capability: io.fs.read_file
    inputs: {path: "${{ steps.one.output.path }}"}
outputs: {made: {path: "${{ steps.two.output.p }}", from: "${{ inputs.target }}"}}
"""


def load(text: str, **files: str) -> WorkflowSpec:
    """The workflow of a document; `files` are those that it may inline."""

    def resolve(path: str) -> Document:
        name = path.removesuffix(".yaml").replace("/", "_")
        if name not in files:
            raise InputError("FILE_MISSING", f"there is no file `{path}`")
        return load_yaml(files[name], source=path)

    return WorkflowSpec.load(text, source="w.yaml", resolve=resolve)


def refusal(text: str, **files: str) -> InputError:
    """Why a document is refused."""
    with pytest.raises(InputError) as caught:
        load(text, **files)
    return caught.value


def steps_of(spec: WorkflowSpec) -> dict[str, tuple[str, ...]]:
    """What each step waits for."""
    return {step.name: step.depends_on for step in spec.steps}


def sequence(*steps: str) -> str:
    """A document with these steps, one after the other."""
    return "name: w\nsteps:\n" + "".join(steps)
