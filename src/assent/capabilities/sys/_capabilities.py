"""`sys.noop`, `sys.sleep` and `sys.fail`: every path through the runtime, without an effect on anything."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from pydantic import Field

from assent.errors import Json
from assent.invocation import Handler, LocalContext, NoEffectError, Preview, Reconciliation
from assent.invocation.handler import Part
from assent.spec.capability import (
    CapabilitySpec,
    Compensation,
    OperationType,
    Risk,
    RiskLevel,
    SideEffects,
    SpecModel,
)
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


async def noop(context: LocalContext, parameters: Nothing) -> Json:
    """Do nothing."""
    del context, parameters
    return {}


async def sleep(context: LocalContext, parameters: Sleep) -> Json:
    """Wait; CALL_CANCELLED as soon as the run is cancelled, which would otherwise wait for the last second."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    context.cancel.watch(lambda: loop.call_soon_threadsafe(stopped.set))
    try:
        async with asyncio.timeout(parameters.seconds):
            await stopped.wait()
    except TimeoutError:
        return {"seconds": parameters.seconds}
    raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it waited")


async def fail(context: LocalContext, parameters: Fail) -> Json:
    """Always raises `NoEffectError` STEP_FAILED_ON_PURPOSE."""
    del context
    raise NoEffectError("STEP_FAILED_ON_PURPOSE", parameters.message or "asked to fail")


async def nothing_to_undo(context: LocalContext, parameters: object) -> Json:
    """Nothing was done, so the state before stands."""
    del context, parameters
    return {}


async def never_happened(context: LocalContext, parameters: object) -> Reconciliation:
    """Without an effect there is nothing that a crash could have left: running again is always right."""
    del context, parameters
    return Reconciliation(Verdict.NO)


async def no_change(context: LocalContext, parameters: object) -> Preview:
    """Nothing would change."""
    del context, parameters
    return Preview("none", changes=False)


def system_capabilities() -> list[tuple[CapabilitySpec, Handler]]:
    """Every `sys.*` capability with its handler.

    They are EXECUTE, not READ, so that a step goes the whole way of one with an effect: intent, outcome, reconcile, undo.
    """
    return [
        _capability("sys.noop", "Do nothing", noop, Nothing, Nothing),
        _capability("sys.sleep", "Wait for some seconds", sleep, Sleep, Sleep),
        _capability("sys.fail", "Fail on purpose", fail, Fail, Nothing),
    ]


def _capability(
    name: str, description: str, execute: Part, parameters: type[SpecModel], returns: type[SpecModel]
) -> tuple[CapabilitySpec, Handler]:
    spec = CapabilitySpec(
        id=name,
        description=description,
        operation_type=OperationType.EXECUTE,
        parameters=parameters,
        returns=returns,
        side_effects=SideEffects(reversible=True, scope="none", description="touches nothing"),
        compensation=Compensation(supported=True, strategy="nothing_to_undo"),
        risk=Risk(level=RiskLevel.LOW, justification="touches nothing"),
        idempotent=True,
    )
    handler = Handler(
        execute,
        compensate=nothing_to_undo,
        reconcile=never_happened,
        preview=no_change,
        parameters=parameters,
        returns=returns,
        revision=f"{name}/1",
        rehearsable=True,
    )
    return spec, handler
