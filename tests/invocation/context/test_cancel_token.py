"""The cancel token: a sync part looks at it or waits on it, an async one is woken by it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from assent.invocation import CancelToken, LocalContext, NoEffectError
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal
from tests.support.hands import HANDLERS, Hands


def test_a_watcher_is_called_when_the_part_is_asked_to_stop() -> None:
    token, told = CancelToken(), list[str]()
    token.watch(lambda: told.append("asked"))
    assert told == []
    token.cancel()
    assert told == ["asked"]


def test_a_watcher_that_comes_late_is_called_at_once() -> None:
    token, told = CancelToken(), list[str]()
    token.cancel()
    token.watch(lambda: told.append("asked"))
    assert told == ["asked"]


async def test_a_sleeper_wakes_when_its_run_is_cancelled(tmp_path: Path) -> None:
    """Otherwise `assent cancel` would wait for the last second of the sleep."""
    hands = Hands.on(tmp_path)
    context = LocalContext(
        run=RunId("run"),
        step=StepKey("nap"),
        attempt=1,
        principal=Principal.parse("user:tester"),
        key="run/nap",
        world=hands.workspace,
        blobs=hands.blobs,
        cancel=CancelToken(),
    )
    handler = HANDLERS["sys.sleep"]
    assert handler.parameters is not None
    sleeping = asyncio.ensure_future(handler.execute(context, handler.parameters(seconds=600)))
    await asyncio.sleep(0)
    context.cancel.cancel()
    with pytest.raises(NoEffectError) as caught:
        await sleeping
    assert caught.value.code == "CALL_CANCELLED"
    hands.workspace.close()
