"""A call that takes long, or has to wait for a person: for how long the client waits with it, and what it is told then."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from assent import system
from assent.errors import AssentError, Json
from assent.mcp._consent import consent
from assent.mcp._telling import Asks, Call
from assent.mcp._visit import Visit
from assent.runtime.service import answers, requests
from assent.spec.values.typed import convert

UNSETTLED: Final = frozenset({"pending", "awaiting_approval", "waiting", "running"})
"""As a step stands that goes on, by itself or once somebody has decided."""


_ASKED: Final = "awaiting_approval"


class StepOfSession(NamedTuple):
    """A call that is to be a step of the session. `gives_content`: what it gives is a result of the protocol. `is_others`: it is
    a tool of another MCP server, which may ask something, too.
    """

    capability: str
    parameters: dict[str, Json]
    gives_content: bool = False
    is_others: bool = False
    asks: Asks | None = None
    """Carries to the client what it is asked."""


class Outcome(NamedTuple):
    """The session with that step alone; `inner` is the run that it began, where that waits."""

    run: answers.Run
    inner: answers.ShownRun | None = None


async def outcome(visit: Visit, call: Call, step: StepOfSession, patience_s: float) -> Outcome:
    """What came of a step, or how it stands when it has waited for others for so long. It goes on, whoever waits for it."""
    adding = _adding(visit, call, step)
    resting = system.spawn(_rests(call, patience_s), name="an agent's patience")
    try:
        await asyncio.wait({adding, resting}, return_when=asyncio.FIRST_COMPLETED)
        if adding.done():
            run = adding.result()
            asks = step.asks if run.steps[0].status == _ASKED else None
            if asks is not None and await consent(visit, run, asks, partial(_decided, visit, run, None)):
                run = _plain(await visit.ask(requests.Show(run=run.run_id, step=run.steps[0].name)))
            return Outcome(await _decided(visit, run, patience_s))
        return await _as_it_stands(visit, str(call.inner)) or Outcome(await adding)
    finally:
        for task in (adding, resting):
            task.cancel()


async def soon(visit: Visit, call: Call, step: StepOfSession, patience_s: float) -> answers.Run | str:
    """What came of a step, or its name where it waits for a person, or has taken so long for whatever reason: then it goes on."""
    adding = _adding(visit, call, step)
    known: set[asyncio.Future[Any]] = {adding, call.step}
    try:
        while not adding.done():
            await asyncio.wait({adding}, timeout=patience_s)
            if adding.done() or not call.asking:
                break
            # The time that a person takes to answer is not the call's.
            await asyncio.wait({adding, *call.asking}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(known, return_when=asyncio.FIRST_COMPLETED)
        if not adding.done():
            call.last(adding)
            return call.step.result()
        (settled,) = adding.result().steps
        return settled.name if settled.status in UNSETTLED else adding.result()
    except asyncio.CancelledError:
        adding.cancel()
        raise


def _adding(visit: Visit, call: Call, step: StepOfSession) -> asyncio.Task[answers.Run]:
    client = call.accompany(step.asks) if step.is_others and step.asks is not None else None
    return system.spawn(
        visit.add(step.capability, step.parameters, tell=call.hear, client=client), name="a call's step"
    )


async def _rests(call: Call, patience_s: float) -> None:
    """Returns when the run that the call has begun has waited for so long."""
    while True:
        await call.rests.wait()
        await asyncio.sleep(patience_s)
        if call.rests.is_set():
            return


async def _decided(visit: Visit, run: answers.Run, patience_s: float | None) -> answers.Run:
    """The step once people have decided, if they do so soon; however long that takes, for None."""
    (step,) = run.steps
    if step.status != _ASKED or patience_s == 0:
        return run
    with suppress(TimeoutError, AssentError):  # who may not look waits for nobody
        async with asyncio.timeout(patience_s):
            async for told in visit.parts(requests.Events(run=run.run_id)):
                if told.event.get("step") == step.name:
                    run = _plain(await visit.ask(requests.Show(run=run.run_id, step=step.name)))
                    if run.steps[0].status not in UNSETTLED:
                        break
    return run


async def _as_it_stands(visit: Visit, inner: str) -> Outcome | None:
    """The step that began a run, and that run; None where it has ended by now."""
    shown = await visit.ask(requests.Show(run=inner))
    part = shown.part_of
    if not isinstance(part, answers.PartOf) or shown.status not in ("waiting", "needs_attention", "running"):
        return None
    return Outcome(_plain(await visit.ask(requests.Show(run=part.run_id, step=part.step))), shown)


def _plain(shown: answers.ShownRun) -> answers.Run:
    told: Any = msgspec.to_builtins(shown)
    return convert(told, answers.Run)
