"""What `plan` and `run` are given: a workflow file with its inputs, or the id of a saved plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assent._lazy import compiled_when_asked
from assent.cli._arguments import read_arguments, read_text
from assent.cli._door import Door
from assent.errors import InputError, Json
from assent.runtime import service
from assent.spec.states import PRIORITY

_PLAN_ID: Final = compiled_when_asked(r"plan_[0-9a-z]+\Z")


def run_request(
    door: Door, target: str, words: tuple[str, ...], *, priority: int = PRIORITY
) -> service.requests.Run:
    """The request to run this file with these inputs, or this plan."""
    environment = door.settings.environment
    if _PLAN_ID.match(target) and not (door.cwd / target).exists():
        if words:
            hint = "leave the inputs out, or make another plan with them: `assent plan FILE name=value`"
            raise InputError("ARGUMENT_INVALID", "a plan has its inputs already", hint=hint)
        return service.requests.Run(plan=target, environment=environment, priority=priority)
    text, base, inputs = _read(door, target, words)
    return service.requests.Run(
        text=text, source=target, base=base, inputs=inputs, environment=environment, priority=priority
    )


def plan_request(
    door: Door, target: str, words: tuple[str, ...], *, execute_captured: bool, reads: bool
) -> service.requests.Plan:
    """The request to plan this file with these inputs."""
    text, base, inputs = _read(door, target, words)
    return service.requests.Plan(
        text=text,
        source=target,
        base=base,
        inputs=inputs,
        environment=door.settings.environment,
        execute_captured=execute_captured,
        reads=reads,
    )


def _read(door: Door, target: str, words: tuple[str, ...]) -> tuple[str, str, dict[str, Json]]:
    """A workflow's text, the folder of its file, and the inputs that are said."""
    path = door.cwd / target
    content = read_text(path, what="the workflow")
    inputs = read_arguments(words, _declared(content, target) if words else lambda _: None, door)
    return content, str(path.parent), inputs


def _declared(content: str, source: str) -> Inputs:
    from assent.spec.documents.document import load_yaml

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
        from assent.spec.documents.document import Document
        from assent.spec.documents.sections import Faults, Section
        from assent.spec.workflow.inputs import read_inputs

        if name not in self._declared:
            return None
        alone: dict[str, Json] = {name: self._declared[name]}
        section = Section(Document.of(alone), (), alone, Faults(), "inputs")
        spec = read_inputs(section).get(name)
        return None if spec is None else spec.schema
