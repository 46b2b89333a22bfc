"""Calls that wait for a person, as tasks (the extension `io.modelcontextprotocol/tasks` of revision 2026-07-28).

A task is nothing that is kept: it is a step of a session, by its address in the record. So it is there after every restart and
for as long as the record is, and nobody has to remember it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import mcp_types as wire
import msgspec
from mcp.shared.exceptions import MCPError
from mcp_types.version import is_version_at_least

from assent.errors import InputError
from assent.mcp import _results as results
from assent.mcp._telling import Context
from assent.runtime.service import answers, requests
from assent.spec.words.durations import instant

if TYPE_CHECKING:
    from assent.mcp._visit import Visit

EXTENSION: Final = "io.modelcontextprotocol/tasks"

POLL_MS: Final = 2_000
"""How often a client should ask. A person is not fast, and the record is quick to read."""

_SINCE: Final = "2026-07-28"
_MISSING_CAPABILITY: Final = -32021
_UNDER_WAY: Final = frozenset({"pending", "awaiting_approval", "waiting", "running", "in_doubt"})
_ADDRESS: Final = re.compile(r"(run_[0-9a-z]{26})/([\w.\[\]-]{1,200})")
_WORDS: Final = {
    "awaiting_approval": "waits until a person has decided",
    "in_doubt": "waits until a person has said what happened",
}


class TaskParams(wire.RequestParams):
    """What each request about a task names."""

    task_id: str


def is_wanted(context: Context) -> bool:
    """Whether the client says, with this request, that it knows tasks; older revisions have others of that name."""
    if not is_version_at_least(context.protocol_version, _SINCE):
        return False
    capabilities = context.session.client_capabilities
    return EXTENSION in ((capabilities.extensions if capabilities is not None else None) or {})


async def begun(context: Context, visit: Visit, run: answers.Run) -> dict[str, Any]:
    """The task that a call has become: the session's step, which waits."""
    task = f"{run.run_id}/{run.steps[0].name}"
    return {**await get(context, visit, TaskParams(task_id=task)), "resultType": "task"}


def _seed(status: str) -> dict[str, Any]:
    return {
        "status": "working",
        "statusMessage": _WORDS.get(status, status.replace("_", " ")),
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }


async def get(context: Context, visit: Visit, params: TaskParams) -> dict[str, Any]:
    """How a task stands."""
    shown = await _find(context, visit, params)
    times = [instant(cast("int", event["at_ms"])) for event in shown.events] or [shown.started_at]
    task: dict[str, Any] = {"taskId": params.task_id, "createdAt": times[0], "lastUpdatedAt": times[-1]}
    status = shown.steps[0].status
    has_ended = shown.status in ("cancelled", "failed")
    if status in _UNDER_WAY and not has_ended:
        return {**task, **_seed(status)}
    if shown.status == "cancelled":
        return {**task, "status": "cancelled", "ttlMs": None}
    run = msgspec.convert(msgspec.to_builtins(shown), answers.Run)
    result = results.of_step(run, only_objects=False)
    told = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return {**task, "status": "completed", "ttlMs": None, "result": told}


async def update(context: Context, visit: Visit, params: TaskParams) -> wire.EmptyResult:
    """Nothing is ever asked of the client: who has to agree is no part of its host, and what it says is left aside."""
    await _find(context, visit, params)
    return wire.EmptyResult()


async def cancel(context: Context, visit: Visit, params: TaskParams) -> wire.EmptyResult:
    """The run of a workflow is stopped and taken back. Any other step stays a question: only a person withdraws that, or
    `assent_undo`.
    """
    shown = await _find(context, visit, params)
    inner = shown.steps[0].inner_run
    if isinstance(inner, str) and shown.steps[0].status == "running":
        await visit.act(requests.Cancel(run=inner))
    return wire.EmptyResult()


async def _find(context: Context, visit: Visit, params: TaskParams) -> answers.ShownRun:
    """The session, looked at from this step. Another's task is not there for whoever asks."""
    if not is_wanted(context):
        raise MCPError(
            _MISSING_CAPABILITY,
            "tasks are for clients that declare the extension",
            {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
        )
    found = _ADDRESS.fullmatch(params.task_id)
    try:
        if found is not None:
            shown = await visit.ask(requests.Show(run=found[1], step=found[2]))
            if shown.principal == visit.by.principal:
                return shown
    except InputError:
        pass  # no such run, or no such step
    raise MCPError(wire.INVALID_PARAMS, "there is no such task")
