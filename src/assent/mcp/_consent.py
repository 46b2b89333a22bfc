"""Whoever sits at the agent's client, asked whether a call that waits may go on.

A convenience, and no gate: what answers may be the model's own host. So it is asked only where a rule lets agents decide (`kinds:
[agent]`) about a call that is of MEDIUM risk at most, and what it says is on record as the agent's own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, Final

from assent import system
from assent.errors import AssentError, Json
from assent.mcp._telling import Asks, Context
from assent.mcp._visit import Visit
from assent.runtime.service import answers, requests
from assent.spec.capability import RiskLevel
from assent.spec.principal import PrincipalKind
from assent.spec.words.legible import safe_line

_RISKS: Final = frozenset({RiskLevel.LOW, RiskLevel.MEDIUM})
_INPUTS_MAX: Final = 1_000
_METHOD: Final = "elicitation/create"
NAME: Final = "agree"
"""What the question is called."""

_AGENT: Final = f"{PrincipalKind.AGENT}:"


def can_be_asked(context: Context) -> bool:
    """Whether the client shows a person what we ask."""
    can = context.session.client_capabilities
    asked = None if can is None else can.elicitation
    return asked is not None and (asked.form is not None or asked.url is None)


async def consent(
    visit: Visit, run: answers.Run, asks: Asks, meanwhile: Callable[[], Coroutine[Any, Any, object]]
) -> bool:
    """Have the one step of `run`, which waits, decided at the client if the agent may decide it; whether anybody has decided.

    `meanwhile` ends when others have.
    """
    tasks: list[asyncio.Task[Any]] = []
    try:
        if (one := await _question(visit, run)) is None:
            return False
        asking = system.spawn(_answer(one, asks), name="what a person at a client says")
        tasks += (asking, system.spawn(meanwhile(), name="what others decide"))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            return True
        action = asking.result()
        if action == "accept":
            await visit.act(requests.Approve(run=one.run_id, step=one.step, digest=one.digest))
        elif action == "decline":
            said = "declined at the agent's client"
            await visit.act(requests.Reject(run=one.run_id, step=one.step, digest=one.digest, reason=said))
        return action in ("accept", "decline")
    except AssentError:
        return False  # who may not look, or not decide, waits for others as ever
    finally:
        for task in tasks:
            task.cancel()


async def _question(visit: Visit, run: answers.Run) -> answers.Approval | None:
    (step,) = run.steps
    waiting = (await visit.ask(requests.Approvals(run=run.run_id))).approvals
    one = next((one for one in waiting if one.step == step.name), None)
    if one is None or one.refused is not None or one.risk_level not in _RISKS:
        return None
    if len(_told(one.inputs)) > _INPUTS_MAX:  # what stands behind the rest, nobody there would agree to
        return None
    lets_agents = PrincipalKind.AGENT in one.approvers.kinds and visit.by.principal.startswith(_AGENT)
    return one if lets_agents else None


def _told(inputs: Json) -> str:
    return safe_line(json.dumps(inputs, ensure_ascii=False))


async def _answer(one: answers.Approval, asks: Asks) -> str | None:
    message = (
        f"May `{one.capability}` be called? Its risk is {one.risk_level}, and rule `{safe_line(one.rule, 80)}` wants somebody's"
        f" agreement. It is called with {_told(one.inputs)}"
    )
    schema: dict[str, Json] = {"type": "object", "properties": {}}
    given = await asks({NAME: (_METHOD, {"message": message, "requestedSchema": schema})})
    result = None if given is None else given[NAME].get("result")
    return str(result.get("action")) if isinstance(result, dict) else None
