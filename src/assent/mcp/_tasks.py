"""Calls that take long or wait for a person, as tasks (the extension `io.modelcontextprotocol/tasks` of revision 2026-07-28).

A task is nothing that is kept: it is a step of a session, by its address in the record. So it is there after every restart and
for as long as the record is, nobody has to remember it, and it is told of to nobody but the principal whose session it is.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import mcp_types as wire
import msgspec
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types.version import is_version_at_least
from pydantic import TypeAdapter

from assent.errors import InputError
from assent.mcp import _results as results
from assent.mcp._patience import UNSETTLED
from assent.mcp._telling import Context
from assent.mcp._tools import gives_content
from assent.plugins.upstream import TASKS
from assent.runtime.service import answers, requests
from assent.spec.values.typed import convert
from assent.spec.words.durations import instant

if TYPE_CHECKING:
    from assent.mcp._rounds import Held
    from assent.mcp._visit import Visit

EXTENSION: Final = TASKS

SLOW_S: Final = 0.5
"""A call that has not ended by then is a task: most calls have, and nobody minds having waited for so long."""

POLL_MS: Final = 1_000
"""How often a client should ask: twice as long as what is no task may take. The record is quick to read."""

_SINCE: Final = "2026-07-28"
_ADDRESS: Final = re.compile(r"(run_[0-9a-z]{26})/([\w.\[\]-]{1,200})")
_WORDS: Final = {"awaiting_approval": "waits until a person has decided"}
_ENDS: Final = ("result", "error")
_RESPONSE: Final[TypeAdapter[wire.InputResponse]] = TypeAdapter(wire.InputResponse)


class TaskParams(wire.RequestParams):
    """What each request about a task names; an update has answers to what was asked, by name."""

    task_id: str
    input_responses: dict[str, Any] | None = None


def is_wanted(context: Context) -> bool:
    """Whether the client says, with this request, that it knows tasks; older revisions have others of that name."""
    if not is_version_at_least(context.protocol_version, _SINCE):
        return False
    capabilities = context.session.client_capabilities
    return EXTENSION in ((capabilities.extensions if capabilities is not None else None) or {})


class Asked(NamedTuple):
    """A request about a task; `held` is its call, while that may ask its client something."""

    visit: Visit
    params: TaskParams
    held: Held | None


async def begun(visit: Visit, task: str) -> dict[str, Any]:
    """What is answered in place of a call that has become this task."""
    told = await _told(visit, task)
    return {key: part for key, part in told.items() if key not in _ENDS} | {"resultType": "task"}


async def get(asked: Asked) -> dict[str, Any]:
    """How a task stands, and what it needs of its client."""
    told = await _told(asked.visit, asked.params.task_id)
    wanted = None if asked.held is None or told["status"] != "working" else asked.held.wanted()
    if not wanted:
        return told
    needs = {
        name: one.model_dump(by_alias=True, mode="json", exclude_none=True) for name, one in wanted.items()
    }
    return {**told, "status": "input_required", "inputRequests": needs}


async def _told(visit: Visit, ident: str) -> dict[str, Any]:
    shown = await _find(visit, ident)
    times = [instant(cast("int", event["at_ms"])) for event in shown.events] or [shown.started_at]
    task: dict[str, Any] = {
        "taskId": ident,
        "createdAt": times[0],
        "lastUpdatedAt": times[-1],
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }
    (step,) = shown.steps
    if shown.status == "cancelled":
        return {**task, "status": "cancelled"}
    if step.status in UNSETTLED and shown.status != "failed":
        said = _WORDS.get(step.status, step.status.replace("_", " "))
        return {**task, "status": "working", "statusMessage": said}
    run = convert(msgspec.to_builtins(shown), answers.Run)
    tools = (await visit.ask(requests.Tools(pattern=step.capability))).tools
    try:
        result = results.of_step(run, only_objects=False, gives_content=any(map(gives_content, tools)))
    except MCPError as error:
        fault = error.error.model_dump(by_alias=True, mode="json", exclude_none=True)
        return {**task, "status": "failed", "error": fault}
    told = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return {**task, "status": "completed", "result": told}


async def update(asked: Asked) -> wire.EmptyResult:
    """What the client says to what an MCP server asked it. Nobody agrees by that: who has to is no part of its host."""
    await _find(asked.visit, asked.params.task_id)
    if asked.held is not None:
        given: dict[str, Any] = {}
        for name, said in (asked.params.input_responses or {}).items():
            with suppress(ValueError):  # what is none is not taken for one
                given[name] = _RESPONSE.validate_python(said)
        asked.held.take(given)
    return wire.EmptyResult()


async def cancel(asked: Asked) -> wire.EmptyResult:
    """The run of a workflow is stopped and taken back, and an MCP server is told that nobody wants its answer. Any other step
    stays what it is: only a person withdraws a question, or `assent_undo`.
    """
    shown = await _find(asked.visit, asked.params.task_id)
    if asked.held is not None:
        await asked.held.call.stop()
        return wire.EmptyResult()
    inner = shown.steps[0].inner_run
    if isinstance(inner, str) and shown.steps[0].status == "running":
        await asked.visit.act(requests.Cancel(run=inner))
    return wire.EmptyResult()


def require_known(context: Context, params: TaskParams) -> None:
    """The client knows tasks, and its header names the task that the request does: what stands before us may go by that."""
    headers = getattr(context.request, "headers", None)
    if headers is not None and decode_header_value(headers.get(MCP_NAME_HEADER)) != params.task_id:
        raise MCPError(wire.HEADER_MISMATCH, f"the header {MCP_NAME_HEADER} does not name the task")
    if not is_wanted(context):
        raise MCPError(
            wire.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "tasks are for clients that declare the extension",
            {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
        )


async def _find(visit: Visit, ident: str) -> answers.ShownRun:
    """The session, looked at from this step. Another's task is not there for whoever asks."""
    found = _ADDRESS.fullmatch(ident)
    try:
        if found is not None:
            shown = await visit.ask(requests.Show(run=found[1], step=found[2]))
            if shown.principal == visit.by.principal:
                return shown
    except InputError:
        pass  # no such run, or no such step
    raise MCPError(wire.INVALID_PARAMS, "there is no such task")
