"""Capabilities that touch nothing still go the whole way of one with an effect."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from assent import Runtime, capability
from assent.capabilities import builtin_capabilities
from assent.errors import Json
from assent.invocation import NoEffectError, Preview, Reconciliation
from assent.spec.capability import OperationType, RiskLevel
from assent.spec.states import Verdict
from tests.support.hands import HANDLERS, Hands


def test_they_are_effects_of_low_risk() -> None:
    own = [one for one in builtin_capabilities() if one.id in {"sys.noop", "sys.sleep", "sys.fail"}]
    assert len(own) == 3
    for one in own:
        spec, handler = one.spec, one.handler
        assert spec.operation_type is OperationType.EXECUTE
        assert spec.risk.level is RiskLevel.LOW
        assert spec.has_effect
        assert spec.side_effects.reversible
        assert handler.rehearsable


async def test_noop_does_nothing_and_says_so(tmp_path: Path) -> None:
    step = Hands.on(tmp_path).step("sys.noop")
    assert await step.handler.execute(step.context, step.parameters) == step.parameters
    for part, answer in (
        (step.handler.compensate, None),
        (step.handler.reconcile, Reconciliation(Verdict.NO)),
        (step.handler.preview, Preview("none", changes=False)),
    ):
        assert part is not None
        assert await part(step.context, step.parameters) == answer


async def test_sleep_waits_and_ends_at_once_when_cancelled(tmp_path: Path) -> None:
    hands = Hands.on(tmp_path)
    short = hands.step("sys.sleep", seconds=0)
    assert await short.handler.execute(short.context, short.parameters) == short.parameters
    long = hands.step("sys.sleep", seconds=3600)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(long.handler.execute(long.context, long.parameters), timeout=0.01)


async def test_fail_fails_with_its_message_and_no_effect(tmp_path: Path) -> None:
    step = Hands.on(tmp_path).step("sys.fail", message="on purpose")
    with pytest.raises(NoEffectError) as caught:
        await step.handler.execute(step.context, step.parameters)
    assert (caught.value.code, caught.value.message) == ("STEP_FAILED_ON_PURPOSE", "on purpose")
    assert HANDLERS["sys.fail"].parameters is not None


async def test_what_touches_nothing_is_not_taken_back_and_what_only_claims_it_is(tmp_path: Path) -> None:
    """A capability of somebody else may say that it touches nothing: what it gave to take it back is called all the same."""
    taken_back = []

    @capability("own.claims", operation="WRITE", risk="LOW", reversible=True, scope="none", idempotent=True)
    def claims() -> None:
        """Do nothing, it says."""

    @claims.compensate
    def restore() -> None:
        taken_back.append("own.claims")

    steps: list[Json] = [
        {"name": "waits", "capability": "sys.sleep", "inputs": {"seconds": 0}},
        {"name": "says", "capability": "own.claims"},
        {"name": "fails", "capability": "sys.fail"},
    ]
    async with Runtime.open(tmp_path, state=tmp_path / "state") as rt:
        rt.register(claims)
        run = await rt.run({"name": "w", "steps": steps})
        assert [(step.status, step.undo) for step in run.steps] == [
            ("succeeded", "not_needed"),
            ("compensated", "automatic"),
            ("failed", "not_needed"),
        ]
    assert taken_back == ["own.claims"]
