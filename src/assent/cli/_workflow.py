"""What `plan` and `run` are given: a workflow file with its inputs, or the id of a saved plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from assent.cli._arguments import read_arguments, read_text
from assent.cli._door import Door
from assent.errors import InputError, Json

_PLAN_ID: Final = re.compile(r"plan_[0-9a-z]+\Z")


def workflow_fields(door: Door, target: str, words: tuple[str, ...], *, plans: bool) -> dict[str, Json]:
    """The fields of a `run` or `plan` request for this file (or, with `plans`, this plan) and these inputs."""
    path = Path(target)
    if plans and _PLAN_ID.match(target) and not (door.cwd / path).exists():
        if words:
            hint = "leave the inputs out, or make another plan with them: `assent plan FILE name=value`"
            raise InputError("ARGUMENT_INVALID", "a plan has its inputs already", hint=hint)
        return {"text": None, "source": target, "base": str(door.cwd), "inputs": {}, "plan": target}
    content = read_text(door.cwd / path, what="the workflow")
    return {
        "text": content,
        "source": target,
        "base": str((door.cwd / path).parent),
        "inputs": read_arguments(
            words, _declared(content, target) if words else lambda _: None, cwd=door.cwd
        ),
        "plan": None,
    }


def _declared(content: str, source: str) -> Inputs:
    from assent.spec.documents import load_yaml

    return Inputs(load_yaml(content, source=source).data)


class Inputs:
    """The schema that a workflow document declares for each input, as far as it can be read.

    The document is checked as a whole by the runtime, with the place of every fault; here a part that is no declaration simply
    declares nothing.
    """

    def __init__(self, document: Json) -> None:
        declared = document.get("inputs") if isinstance(document, dict) else None
        self._declared: Mapping[str, Json] = declared if isinstance(declared, dict) else {}

    def __call__(self, name: str) -> Mapping[str, Json] | None:
        from assent.spec.documents import Document
        from assent.spec.inputs import read_inputs
        from assent.spec.sections import Faults, Section

        if name not in self._declared:
            return None
        alone: dict[str, Json] = {name: self._declared[name]}
        section = Section(Document.of(alone), (), alone, Faults(), "inputs")
        spec = read_inputs(section).get(name)
        return None if spec is None else spec.schema
