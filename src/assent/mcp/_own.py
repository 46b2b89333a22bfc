"""Assent's own tools: what an agent asks about its calls, beside making them. None decides for a person, and none opens a door.

What a tool takes is a struct: the schema that a client is told is made of it, and what comes is read by it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, Literal, NamedTuple, TypeVar

import mcp_types as wire
from msgspec import Meta, Struct

from assent.errors import InputError
from assent.mcp._patience import StepOfSession
from assent.mcp._tools import DIALECT, Offer
from assent.mcp._visit import Visit
from assent.runtime.service import answers, requests
from assent.runtime.service.requests import OnProgress
from assent.spec.checked_schema import read_struct, struct_schema
from assent.spec.ids import RUN_CAPABILITY
from assent.spec.workflow.definition import WorkflowSpec

if TYPE_CHECKING:
    from assent.errors import Json
else:
    Json = Any  # msgspec has no recursive types


class Arguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tool of ours takes."""


T = TypeVar("T", bound=Arguments)


class Asked(NamedTuple, Generic[T]):
    """One call of a tool of ours."""

    visit: Visit
    offer: Offer
    arguments: T
    tell: OnProgress | None


class OwnTool(NamedTuple):
    """A tool of ours, as a client is told of it, and what carries it out. `Any`: its own arguments."""

    told: wire.Tool
    takes: type[Arguments]
    answer: Callable[[Asked[Any]], Awaitable[answers.Answer | StepOfSession]]

    def read(self, arguments: Mapping[str, Json]) -> Any:  # `Any`: its own arguments
        """The arguments of a call. `INVALID_INPUT`."""
        return read_struct(
            arguments, self.takes, code="INVALID_INPUT", what=f"the arguments of `{self.told.name}` are"
        )


class OneCall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of a tool."""

    tool: Annotated[str, Meta(description="the name of a tool")]
    arguments: dict[str, Json] = {}


class _Planned(Arguments, frozen=True):
    workflow: (
        Annotated[dict[str, Json] | str, Meta(description="a workflow: its document, or its YAML text")]
        | None
    ) = None
    inputs: Annotated[dict[str, Json], Meta(description="the inputs of the workflow")] = {}
    calls: (
        Annotated[
            list[OneCall], Meta(description="instead of a workflow: calls, one after the other", min_length=1)
        ]
        | None
    ) = None

    def document(self, offer: Offer) -> tuple[dict[str, Json], dict[str, Json]]:
        """The workflow's document, and its inputs. `INVALID_INPUT`: exactly one of `workflow` and `calls` is given."""
        if (self.workflow is None) == (self.calls is None):
            raise InputError("INVALID_INPUT", "exactly one of `workflow` and `calls` must be given")
        if self.calls is not None:
            if self.inputs:
                raise InputError(
                    "INVALID_INPUT", "`inputs` are a workflow's; each call has `arguments`", path="inputs"
                )
            return _of_calls(offer, self.calls)
        text = self.workflow if isinstance(self.workflow, str) else json.dumps(self.workflow)
        return WorkflowSpec.load(text, source="workflow").to_json(), self.inputs


class _Run(_Planned, frozen=True):
    plan: Annotated[str, Meta(description="the `plan_id` of a plan: then nothing else is given")] | None = (
        None
    )


class _Status(Arguments, frozen=True):
    run: Annotated[str, Meta(description="the id of a run; left out: this session")] | None = None
    step: Annotated[str, Meta(description="the name of one step of it")] | None = None


class _Undo(Arguments, frozen=True):
    scope: Annotated[
        Literal["last", "session"],
        Meta(
            description="`last`: the last step that can be taken back; `session`: all that this session did"
        ),
    ]


class _Explain(Arguments, frozen=True):
    tool: Annotated[str, Meta(description="the name of a tool")]
    arguments: dict[str, Json] = {}


async def _plan(asked: Asked[_Planned]) -> answers.Answer:
    document, inputs = asked.arguments.document(asked.offer)
    return await asked.visit.ask(
        requests.Plan(text=json.dumps(document), source="workflow", base="", inputs=inputs)
    )


async def _run(asked: Asked[_Run]) -> StepOfSession:
    said = asked.arguments
    parameters: dict[str, Json]
    if said.plan is None:
        document, inputs = said.document(asked.offer)
        parameters = {"workflow": document, "inputs": inputs}
    elif said != _Run(plan=said.plan):
        raise InputError(
            "INVALID_INPUT", "a plan is run as it was shown: nothing else is given with it", path="plan"
        )
    else:
        parameters = {"plan": said.plan}
    return StepOfSession(RUN_CAPABILITY, parameters)


async def _status(asked: Asked[_Status]) -> answers.Answer:
    run = asked.arguments.run or await _begun(asked.visit)
    return await asked.visit.ask(requests.Show(run=run, step=asked.arguments.step))


async def _undo(asked: Asked[_Undo]) -> answers.Answer:
    last = asked.arguments.scope == "last"
    return await asked.visit.act(requests.Cancel(run=await _begun(asked.visit), last=last), tell=asked.tell)


async def _explain(asked: Asked[_Explain]) -> answers.Answer:
    capability = _capability(asked.offer, asked.arguments.tool)
    return await asked.visit.ask(
        requests.ExplainPolicy(capability=capability, parameters=asked.arguments.arguments, mode="session")
    )


async def _begun(visit: Visit) -> str:
    run = await visit.begun()
    if run is None:
        raise InputError("RUN_UNKNOWN", "this session has not called anything yet", hint="call a tool first")
    return run


def _capability(offer: Offer, name: str) -> str:
    """The capability that a tool's name, or an id, stands for."""
    found = offer.capabilities.get(name)
    return name if found is None else found.capability.id


def _of_calls(offer: Offer, calls: list[OneCall]) -> tuple[dict[str, Json], dict[str, Json]]:
    """A workflow of calls one after the other. What they are given goes in as inputs, so that nothing in it is a reference."""
    named = {f"call_{number}": call for number, call in enumerate(calls, 1)}
    document: dict[str, Json] = {
        "name": "calls",
        "inputs": {name: {"type": "object"} for name in named},
        "steps": [
            {
                "name": name,
                "capability": _capability(offer, call.tool),
                "inputs": {key: f"${{{{ inputs.{name}[{json.dumps(key)}] }}}}" for key in call.arguments},
            }
            for name, call in named.items()
        ],
    }
    return document, {name: call.arguments for name, call in named.items()}


def _tool(
    name: str,
    takes: type[Arguments],
    answer: Callable[[Asked[Any]], Awaitable[answers.Answer | StepOfSession]],
    description: str,
    *,
    looks: bool = True,
) -> OwnTool:
    schema = {"$schema": DIALECT, **struct_schema(takes)}
    hints = wire.ToolAnnotations(
        read_only_hint=looks, destructive_hint=not looks, idempotent_hint=looks, open_world_hint=not looks
    )
    told = wire.Tool(name=name, description=description, input_schema=schema, annotations=hints)
    return OwnTool(told, takes, answer)


TOOLS: Final[Mapping[str, OwnTool]] = {
    one.told.name: one
    for one in (
        _tool(
            "assent_plan",
            _Planned,
            _plan,
            "Shows what a workflow or some calls would do, and changes nothing: what the policy says of each, what would change, "
            "who would have to agree, and how each can be undone. `assent_run` runs the plan by its id.",
        ),
        _tool(
            "assent_run",
            _Run,
            _run,
            "Runs a plan exactly as it was shown, or a workflow, or some calls, as one step of this session. If a step of it "
            "fails, what it did before is taken back.",
            looks=False,
        ),
        _tool(
            "assent_status",
            _Status,
            _status,
            "Tells how a run or one of its steps stands, for instance one that waits for a person.",
        ),
        _tool(
            "assent_undo",
            _Undo,
            _undo,
            "Takes back what this session did, the last first. With `last` the session goes on: the answer tells which step was "
            "taken back, and which later ones nothing takes back.",
            looks=False,
        ),
        _tool(
            "assent_explain",
            _Explain,
            _explain,
            "Tells what the policy says of a call without making it: which rule decides, and why no earlier one did.",
        ),
    )
}
