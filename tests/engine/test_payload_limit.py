"""A payload of the journal has a size that is configured: what is larger fails its step and leaves nothing behind."""

from __future__ import annotations

import pytest

from assent.errors import InputError
from assent.spec.states import RunState
from tests.support.bodies import Place, code, put, states, workflow

LIMIT = "[limits]\npayload_bytes = 2048\n"


@pytest.fixture
def limited(place: Place) -> Place:
    place.workspace.mkdir()
    (place.workspace / "assent.toml").write_text(LIMIT)
    return place


async def test_inputs_of_a_step_past_the_limit_fail_it_before_anything_happens(limited: Place) -> None:
    """The step fails without an effect; what came before it is taken back."""
    twice = put("b", value="${{ inputs.text }}${{ inputs.text }}")
    async with limited.open() as rt:
        result = await rt.run(workflow(put("a"), twice, inputs={"text": "string"}), {"text": "x" * 1500})
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "PAYLOAD_TOO_LARGE")
        assert states(result) == {"a": "compensated", "b": "failed"}
        assert limited.box.values == {}
        assert limited.box.count("execute", "b") == 0


async def test_an_output_past_the_limit_counts_as_an_effect_and_is_taken_back(limited: Place) -> None:
    """The effect happened although its output can't be kept: it is compensated like any other."""
    limited.box.outputs["a"] = {"key": "a", "value": "x" * 3000}
    async with limited.open() as rt:
        result = await rt.run(workflow(put("a")))
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "PAYLOAD_TOO_LARGE")
        assert limited.box.values == {}


async def test_outputs_of_a_run_past_the_limit_take_it_back(limited: Place) -> None:
    """A run whose outputs can't be kept has not succeeded, and says why."""
    outputs = dict.fromkeys(("one", "two"), "${{ steps.a.output.value }}")
    async with limited.open() as rt:
        result = await rt.run(workflow(put("a", value="x" * 1500), outputs=outputs))
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "PAYLOAD_TOO_LARGE")
        assert result.error is not None
        assert "bytes" in str(result.error["message"])
        assert limited.box.values == {}


async def test_inputs_of_a_run_past_the_limit_are_refused_before_it_exists(limited: Place) -> None:
    """Nothing is journaled of a run that could not be journaled whole."""
    document = workflow(put("a"), inputs={"text": "string"})
    async with limited.open() as rt:
        with pytest.raises(InputError) as refused:
            await rt.run(document, {"text": "x" * 3000})
        assert refused.value.code == "PAYLOAD_TOO_LARGE"
        assert await rt.unfinished() == []


async def test_the_outputs_of_a_foreach_past_the_limit_fail_it_and_are_taken_back(limited: Place) -> None:
    """Each of them was small enough; together they can't be kept, and the run ends instead of stopping there."""
    each = put("each", foreach="${{ [1, 2, 3] }}", value="x" * 1000)
    async with limited.open() as rt:
        result = await rt.run(workflow(put("a"), each, put("b")))
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "PAYLOAD_TOO_LARGE")
        assert states(result)["each"] == "failed"
        assert limited.box.values == {}
        rt.require_sound_rows()
