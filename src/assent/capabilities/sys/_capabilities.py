"""`sys.noop`, `sys.sleep` and `sys.fail`: every path through the runtime, without an effect on anything."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from pydantic import Field

from assent.invocation import LocalContext, NoEffectError, Preview, Reconciliation, capability
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


# They are EXECUTE, not READ, so that a step goes the whole way of one with an effect: intent, outcome, reconcile, undo.


@capability(
    "sys.noop",
    operation="EXECUTE",
    risk="LOW",
    justification="touches nothing",
    reversible=True,
    scope="none",
    effect="touches nothing",
    compensation="nothing_to_undo",
    idempotent=True,
    revision="sys.noop/1",
    rehearsable=True,
)
async def noop(parameters: Nothing) -> Nothing:
    """Do nothing"""
    return parameters


@capability(
    "sys.sleep",
    operation="EXECUTE",
    risk="LOW",
    justification="touches nothing",
    reversible=True,
    scope="none",
    effect="touches nothing",
    compensation="nothing_to_undo",
    idempotent=True,
    revision="sys.sleep/1",
    rehearsable=True,
)
async def sleep(context: LocalContext, parameters: Sleep) -> Sleep:
    """Wait for some seconds"""
    # CALL_CANCELLED as soon as the run is cancelled, which would otherwise wait for the last second.
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    context.cancel.watch(lambda: loop.call_soon_threadsafe(stopped.set))
    try:
        async with asyncio.timeout(parameters.seconds):
            await stopped.wait()
    except TimeoutError:
        return parameters
    raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it waited")


@capability(
    "sys.fail",
    operation="EXECUTE",
    risk="LOW",
    justification="touches nothing",
    reversible=True,
    scope="none",
    effect="touches nothing",
    compensation="nothing_to_undo",
    idempotent=True,
    revision="sys.fail/1",
    rehearsable=True,
)
async def fail(parameters: Fail) -> Nothing:
    """Fail on purpose"""
    raise NoEffectError("STEP_FAILED_ON_PURPOSE", parameters.message or "asked to fail")


async def nothing_to_undo() -> None:
    """Nothing was done, so the state before stands."""


async def never_happened() -> Reconciliation:
    """Without an effect there is nothing that a crash could have left: running again is always right."""
    return Reconciliation(Verdict.NO)


async def no_change() -> Preview:
    """Nothing would change."""
    return Preview("none", changes=False)


noop.compensate(nothing_to_undo)
noop.reconcile(never_happened)
noop.preview(no_change)
sleep.compensate(nothing_to_undo)
sleep.reconcile(never_happened)
sleep.preview(no_change)
fail.compensate(nothing_to_undo)
fail.reconcile(never_happened)
fail.preview(no_change)
