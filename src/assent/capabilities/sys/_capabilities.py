"""`sys.noop`, `sys.sleep` and `sys.fail`: every path through the runtime, without an effect on anything."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Final

from pydantic import Field

from assent.capabilities.describing import describe, no_change
from assent.invocation import LocalContext, NoEffectError, Reconciliation
from assent.spec.capability import SpecModel
from assent.spec.states import Verdict

SLEEP_S_MAX: Final = 3600


class Nothing(SpecModel):
    """Neither parameters nor a result."""


class Sleep(SpecModel):
    """For how long."""

    seconds: Annotated[float, Field(ge=0, le=SLEEP_S_MAX)]


class Fail(SpecModel):
    """What the failure says."""

    message: Annotated[str, Field(max_length=1000)] = "asked to fail"


async def noop(parameters: Nothing) -> Nothing:
    """Nothing at all."""
    return parameters


async def sleep(context: LocalContext, parameters: Sleep) -> Sleep:
    """CALL_CANCELLED as soon as the run is cancelled, which would otherwise wait for the last second."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    context.cancel.watch(lambda: loop.call_soon_threadsafe(stopped.set))
    try:
        async with asyncio.timeout(parameters.seconds):
            await stopped.wait()
    except TimeoutError:
        return parameters
    raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it waited")


async def fail(parameters: Fail) -> Nothing:
    """What a failure of one's own looks like."""
    raise NoEffectError("STEP_FAILED_ON_PURPOSE", parameters.message or "asked to fail")


async def nothing_to_undo() -> None:
    """Nothing was done, so the state before stands."""


async def never_happened() -> Reconciliation:
    """Without an effect there is nothing that a crash could have left: running again is always right."""
    return Reconciliation(Verdict.NO)


# They are EXECUTE, not READ, so that a step goes the whole way of one with an effect: intent, outcome, reconcile, undo.
_tries = partial(
    describe,
    operation="EXECUTE",
    risk="LOW",
    justification="touches nothing",
    reversible=True,
    scope="none",
    effect="touches nothing",
    compensate=nothing_to_undo,
    compensation="nothing_to_undo",
    reconcile=never_happened,
    preview=no_change,
    idempotent=True,
    rehearsable=True,
)

CAPABILITIES: Final = (
    _tries("sys.noop", "Do nothing", noop),
    _tries("sys.sleep", "Wait for some seconds", sleep),
    _tries("sys.fail", "Fail on purpose", fail),
)
