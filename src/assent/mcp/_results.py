"""What came of a call, as an agent can use it: the value, or a refusal that says what would be allowed and how to ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import mcp_types as wire
import msgspec
from mcp.shared.exceptions import MCPError

from assent.errors import AssentError, Json
from assent.runtime.service import answers
from assent.spec.ids import MARKS, WHOLE

WAITS: Final = "awaiting_approval"
FAULTS_MAX: Final = 20
"""So many faults of the inputs a model is told; all of them are in the data."""


def of_step(
    run: answers.Run,
    *,
    only_objects: bool,
    inner: answers.ShownRun | None = None,
    gives_content: bool = False,
) -> wire.CallToolResult:
    """The outcome of a session's step. Its session and name go along, so that it can be looked at and asked for again.

    `inner`: the run that it has begun, and that waits. `gives_content`: what it gave is a result of the protocol. `MCPError`
    where an MCP server answered the call with one.
    """
    step = run.steps[0]
    place: dict[str, Any] = {"assent/run": run.run_id, "assent/step": step.name}
    if step.status == "succeeded":
        gave = step.gave
        whole: dict[str, Any] = {}
        # What a capability of another kind gives may hold whatever somebody wrote, under these names, too.
        if isinstance(gave, dict) and (step.capability or "").startswith("mcp."):
            if MARKS in gave:
                place[MARKS] = gave[MARKS]
            if WHOLE in gave:
                whole = gave[WHOLE]  # type: ignore[assignment]  # an object, by what the capability gives
                gave = {key: one for key, one in gave.items() if key != WHOLE}
        place = {**whole.get("_meta", {}), **place}
        if gives_content and isinstance(gave, dict):
            given = {"content": gave["content"], "structuredContent": gave.get("structured"), "_meta": place}
            return wire.CallToolResult.model_validate(given, by_name=False)
        if "content" in whole:
            given = {"content": whole["content"], "structuredContent": gave, "_meta": place}
            return wire.CallToolResult.model_validate(given, by_name=False)
        structured = gave if isinstance(gave, dict) or not only_objects else None
        return wire.CallToolResult(content=[_text(gave)], structured_content=structured, meta=place)
    told: dict[str, Json] = {
        "run_id": run.run_id,
        "step": step.name,
        "status": step.status,
        "rule": step.rule,
        "risk_level": step.risk_level,
    }
    if step.fault is not None and MARKS in step.fault.details and (step.capability or "").startswith("mcp."):
        place[MARKS] = step.fault.details[MARKS]
    fault = step.fault or (run.error if run.status not in ("running", "waiting") else None)
    if fault is not None and (error := of_server(fault, place)) is not None:
        raise error
    if inner is not None:
        told["inner_run"] = inner.run_id
    asked = [(run.run_id, step)] if inner is None else [(inner.run_id, one) for one in inner.steps]
    waits = [f"`{of}` `{one.name}`" for of, one in asked if one.status == WAITS]
    if waits:
        told["error"] = {
            "code": "APPROVAL_REQUIRED",
            "message": f"a person has to decide about this call; it waits as {', '.join(waits)}",
            "hint": "ask for it with `assent_status`; a person decides with `assent approvals`, not you",
        }
    elif inner is not None:
        told["error"] = {
            "code": "RUN_UNFINISHED",
            "message": f"the run has not ended: `{inner.run_id}` is {inner.status.replace('_', ' ')}",
            "hint": "ask for it with `assent_status`; nothing of it is lost",
        }
    elif fault is not None:
        told["error"] = _builtins(fault)
        return refused(told, place, fault.details.get("content"))
    return refused(told, place)


def of_server(fault: answers.Fault, place: Mapping[str, Json]) -> MCPError | None:
    """The protocol's error that an MCP server answered a call with, as it was given, and what is on record of it."""
    code, said, data = (fault.details.get(key) for key in ("code", "said", "data"))
    if fault.code not in ("MCP_TOOL_FAILED", "EFFECT_UNKNOWN") or not isinstance(code, int):
        return None
    theirs = data if isinstance(data, dict) else {}
    return MCPError(code, str(said), {**theirs, **place, "error": _builtins(fault)})


def of_error(error: AssentError) -> wire.CallToolResult:
    """A call that never became a step."""
    return refused({"error": error.to_dict()})


def refused(
    told: dict[str, Json], place: dict[str, Any] | None = None, content: Json = None
) -> wire.CallToolResult:
    """What did not happen, or not yet: a sentence for the model, and the same as data. `content`: what an MCP server gave."""
    fault = told.get("error")
    lines = [f"{told['status']}"] if "status" in told else []
    if isinstance(fault, dict):
        lines = [f"{fault.get('message')}   [{fault.get('code')}]"]
        details = fault.get("details")
        faults = details.get("faults") if isinstance(details, dict) else None
        for one in faults[:FAULTS_MAX] if isinstance(faults, list) and len(faults) > 1 else ():
            if isinstance(one, dict):
                lines.append("; ".join(f"{one[name]}" for name in ("message", "hint") if one.get(name)))
        if told.get("rule"):
            lines.append(f"rule: {told['rule']}")
        if fault.get("hint"):
            lines.append(f"help: {fault['hint']}")
    said: list[Any] = [*content] if isinstance(content, list) else []
    return wire.CallToolResult.model_validate(
        {
            "content": [*said, {"type": "text", "text": "\n".join(lines)}],
            "structuredContent": told,
            "isError": True,
            "_meta": place,
        },
        by_name=False,
    )


def of_answer(answer: answers.Answer) -> wire.CallToolResult:
    """What one of our own tools is answered with: the documented JSON."""
    told = _builtins(answer)
    return wire.CallToolResult(content=[_text(told)], structured_content=told)


def _builtins(value: answers.Answer) -> dict[str, Json]:
    found: dict[str, Json] = msgspec.to_builtins(value)
    return found


def _text(value: Json) -> wire.TextContent:
    return wire.TextContent(type="text", text=json.dumps(value, ensure_ascii=False))
