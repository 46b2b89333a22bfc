"""What a handler tells and nobody can journal: the run says that something failed, and ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from assent.invocation import LocalContext, NoEffectError, Preview, Reconciliation
from assent.invocation import Prepared as Captured
from assent.spec.states import RunState
from tests.support.bodies import Place, boom, code, fail, policy, put, put_spec, rule, states, workflow

HALF = "half \udcff of a character"  # as the name of a file that is no UTF-8 comes into Python

ERRORS: dict[str, Callable[[], Exception]] = {
    "text": lambda: RuntimeError(HALF),
    "message": lambda: NoEffectError("TRY_AGAIN", HALF, path=HALF, hint=HALF),
    "details": lambda: NoEffectError("TRY_AGAIN", "not now", details={"name": HALF}),
    "object": lambda: NoEffectError("TRY_AGAIN", "not now", details={"what": object()}),  # type: ignore[dict-item]
    "size": lambda: NoEffectError("TRY_AGAIN", "x" * 3000),
    "code": lambda: NoEffectError(HALF, "not now"),
    "code of two lines": lambda: NoEffectError("TRY\nAGAIN", "not now"),
}


@pytest.fixture
def place(place: Place) -> Place:
    place.workspace.mkdir()
    (place.workspace / "assent.toml").write_text("[limits]\npayload_bytes = 2048\n")
    return place


@pytest.mark.parametrize("make", ERRORS.values(), ids=ERRORS)
async def test_an_error_that_can_not_be_kept_whole_is_kept_in_part(
    place: Place, caplog: pytest.LogCaptureFixture, make: Callable[[], Exception]
) -> None:
    """Out of an effect and out of a compensation: the run ends, or waits for a person, who can try again."""
    # What the handler's author reads in a log has half a character in it, which pytest's workers can't hand on.
    caplog.set_level(logging.CRITICAL + 1)
    error = make()

    def raising(context: LocalContext) -> None:
        raise error

    place.box.before["b"] = raising
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), put("b")))
        assert (result.status, states(result)["a"]) == (RunState.ROLLED_BACK, "compensated")
        assert code(result) == (
            "TRY_AGAIN" if getattr(error, "code", "") == "TRY_AGAIN" else "HANDLER_FAILED"
        )
        place.box.on_compensate["a"] = raising
        parked = await rt.run(workflow(put("a"), fail()))
        assert parked.status is RunState.NEEDS_ATTENTION
        assert parked.error is not None
        assert parked.error["message"]
        place.box.on_compensate.clear()
        [again] = await rt.resume(parked.run_id)
        assert (again.status, place.box.values) == (RunState.ROLLED_BACK, {})
        rt.require_sound_rows()


@pytest.mark.parametrize("state", [{"name": HALF}, {1: 2}, {"what": object()}], ids=["text", "key", "object"])
async def test_a_captured_state_that_can_not_be_kept_fails_the_step(
    place: Place, state: dict[str, Any]
) -> None:
    async def prepare(context: LocalContext, parameters: dict[str, Any]) -> Captured:
        return Captured(state)

    async with place.open() as rt:
        rt.register(put_spec("box.odd"), place.box.handler(prepare=prepare))
        result = await rt.run(workflow(put("a"), put("b", "box.odd")))
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "JSON_INVALID")
        assert (place.box.count("execute", "b"), place.box.values) == (0, {})


async def test_a_preview_that_can_not_be_kept_is_nothing_to_approve(place: Place) -> None:
    async def preview(context: LocalContext, parameters: dict[str, Any]) -> Preview:
        return Preview("text", HALF)

    place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.odd"}))
    async with place.open() as rt:
        rt.register(put_spec("box.odd"), place.box.handler(preview=preview))
        result = await rt.run(workflow(put("b", "box.odd")))
        assert (result.status, code(result)) == (RunState.FAILED, "JSON_INVALID")


async def test_a_verdict_that_is_none_tells_nothing(place: Place) -> None:
    """The step is in doubt, and a person says what became of it."""
    place.box.before["a"] = boom
    place.box.on_reconcile["a"] = Reconciliation("perhaps")  # type: ignore[arg-type]
    async with place.open() as rt:
        result = await rt.run(workflow(put("a")))
        assert (result.status, states(result)) == (RunState.NEEDS_ATTENTION, {"a": "in_doubt"})


async def test_parameters_that_can_not_be_kept_are_refused_before_there_is_a_step(place: Place) -> None:
    async with place.open() as rt:
        session = await rt.session()
        told = await session.call("box.put", {"key": HALF})
        assert (told.name, (told.error or {})["code"]) == ("", "JSON_INVALID")
        await session.call("box.put", {"key": "a"})
        result = await session.close()
        assert (result.status, len(result.steps)) == (RunState.SUCCEEDED, 1)
