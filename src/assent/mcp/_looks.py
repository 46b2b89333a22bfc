"""What an agent may look at (resources) and be shown the way by (prompts), with the completion of both's arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import mcp_types as wire
import msgspec

from assent.mcp._visit import Visit
from assent.runtime.service import answers, requests
from assent.runtime.service.requests import Request

LISTED: Final = 50
"""Runs of a list, and entries of the log: the newest. A longer look is the command line's, or the HTTP API's."""

_JSON: Final = "application/json"

Asks = Callable[[str], Request[Any]]  # `Any`: each has its own answer


class Place(NamedTuple):
    """A resource, or a family of them: where it is, what it is, and what is asked of the service for it."""

    uri: str
    name: str
    description: str
    asks: Asks

    @property
    def is_family(self) -> bool:
        """It has one resource for each id."""
        return self.uri.endswith("}")

    def id_in(self, uri: str) -> str | None:
        """The id that a resource's address names; empty for a place that has none; None for another place's."""
        if not self.is_family:
            return "" if uri == self.uri else None
        found = re.fullmatch(re.escape(self.uri.partition("{")[0]) + r"([\w-]{1,80})", uri)
        return None if found is None else found[1]


PLACES: Final = (
    Place("assent://runs", "runs", "The newest runs, newest last.", lambda _: requests.Runs(limit=LISTED)),
    Place(
        "assent://approvals",
        "approvals",
        "What waits for a person, with what would be approved.",
        lambda _: requests.Approvals(),
    ),
    Place("assent://policy", "policy", "The policy in force.", lambda _: requests.PolicyInForce()),
    Place(
        "assent://runs/{run}",
        "run",
        "How a run stands: its steps, decisions, approvals and outputs.",
        lambda run: requests.Show(run=run),
    ),
)
LOG: Final = "assent://audit/log"


def resources() -> list[wire.Resource]:
    """Those that are always there."""
    fixed = [
        wire.Resource(uri=one.uri, name=one.name, description=one.description, mime_type=_JSON)
        for one in PLACES
        if not one.is_family
    ]
    log = wire.Resource(
        uri=LOG,
        name="audit log",
        description="The newest entries of the ledger.",
        mime_type="application/x-ndjson",
    )
    return [*fixed, log]


def templates() -> list[wire.ResourceTemplate]:
    """Families of resources."""
    return [
        wire.ResourceTemplate(
            uri_template=one.uri, name=one.name, description=one.description, mime_type=_JSON
        )
        for one in PLACES
        if one.is_family
    ]


async def read(visit: Visit, uri: str) -> wire.ReadResourceResult | None:
    """What is there; None where there is no such place."""
    if uri == LOG:
        lines = [part async for part in visit.parts(requests.AuditLog(limit=LISTED))]
        text = "".join(json.dumps(msgspec.to_builtins(line)) + "\n" for line in lines)
        return _contents(uri, text, "application/x-ndjson")
    for place in PLACES:
        if (ident := place.id_in(uri)) is not None:
            answer: answers.Answer = await visit.ask(place.asks(ident))
            return _contents(uri, json.dumps(msgspec.to_builtins(answer), ensure_ascii=False), _JSON)
    return None


def _contents(uri: str, text: str, mime: str) -> wire.ReadResourceResult:
    return wire.ReadResourceResult(contents=[wire.TextResourceContents(uri=uri, text=text, mime_type=mime)])


class Way(NamedTuple):
    """A prompt: what it is for, and what the model is told."""

    description: str
    argument: wire.PromptArgument
    text: str


PROMPTS: Final[Mapping[str, Way]] = {
    "plan_first": Way(
        "Plan a task, show the plan, and only then act.",
        wire.PromptArgument(name="task", description="what is to be done", required=True),
        "Do this task: {task}\n\nFirst find out what you need with tools that only read. Then put everything that changes "
        "something into one `assent_plan` and show the person what it answers: what would change, what the policy says, who "
        "has to agree, and what can't be undone. Only when they agree run it with `assent_run` and the `plan_id`.",
    ),
    "ask_for_approval": Way(
        "Explain to a person what waits for their decision.",
        wire.PromptArgument(name="run", description="the run that waits", required=True),
        "The run {run} waits for a person. Look at it with `assent_status`. Tell the person in a few sentences what would "
        "happen, why you want it, what could go wrong and whether it can be undone. They decide with `assent approvals` in a "
        "terminal; you can't, and you don't ask them for a shortcut.",
    ),
    "undo_session": Way(
        "Look at what this session did, and take it back.",
        wire.PromptArgument(name="reason", description="why", required=False),
        "Look at this session with `assent_status`, and tell the person what it has done. Then take it back with "
        "`assent_undo` and tell them what could not be taken back. {reason}",
    ),
}


def prompts() -> list[wire.Prompt]:
    """Every prompt."""
    return [
        wire.Prompt(name=name, description=one.description, arguments=[one.argument])
        for name, one in PROMPTS.items()
    ]


def prompt(name: str, arguments: Mapping[str, str]) -> wire.GetPromptResult | None:
    """What the model is told; None where there is no such prompt, or without what it needs."""
    way = PROMPTS.get(name)
    if way is None or (way.argument.required and not arguments.get(way.argument.name)):
        return None
    # Not `format`: what stands in an argument is text and no pattern.
    said = way.text.replace(f"{{{way.argument.name}}}", arguments.get(way.argument.name, "")).rstrip()
    content = wire.TextContent(type="text", text=said)
    return wire.GetPromptResult(
        description=way.description, messages=[wire.PromptMessage(role="user", content=content)]
    )


async def complete(visit: Visit, name: str, begins: str) -> list[str]:
    """What an argument may be that begins so: ids of runs, newest first."""
    if name != "run":
        return []
    found = await visit.ask(requests.Runs(limit=LISTED))
    return [one.run_id for one in reversed(found.runs) if one.run_id.startswith(begins)]
