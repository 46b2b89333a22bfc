"""Callers keep to their version: what they send goes up, what they get comes down, and the ledger tells who served whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime
from assent.engine import RunResult
from assent.errors import AssentError, InputError
from assent.journal import SqliteReader, at_once
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from assent.spec.states import RunState
from tests.support.orders import ID, ONE, TWO, Shop, closed, one_to_two, order_spec

ALLOW: dict[str, Any] = {
    "version": 1,
    "rules": [
        {"id": "served", "when": {"capability": ID}, "if": "has(inputs.items)", "decision": "ALLOW"},
        {"id": "own", "when": {"capability": ID}, "if": "has(inputs.item)", "decision": "ALLOW"},
        {"id": "rest", "decision": "ALLOW"},
    ],
    "default": "DENY",
}


@pytest.fixture
def shop() -> Shop:
    return Shop()


def opened(folder: Path, policy: Any = None) -> Runtime:
    return Runtime.open(folder, policy=policy if policy is not None else ALLOW)


@pytest.fixture
async def rt(tmp_path: Path, shop: Shop) -> AsyncIterator[Runtime]:
    """Both versions, with what leads from one to the other."""
    runtime = opened(tmp_path)
    runtime.register(ONE, shop.handler("1.0.0"))
    runtime.register(TWO, shop.handler("2.0.0"), transformers=[one_to_two()])
    async with runtime:
        yield runtime


async def retire_one(rt: Runtime) -> None:
    await rt.call(f"{ID}@1.0.0", {"item": "tea"})
    await rt.versions.retire(f"{ID}@1.0.0")


def events(rt: Runtime, run: str) -> list[Any]:
    with SqliteReader.open(rt.settings.state) as journal:
        return [leaf.event for leaf in at_once(journal.events(RunId(run)))]


def only(result: RunResult) -> Any:
    return result.step("call")


async def test_a_pinned_caller_is_served_by_its_version_as_long_as_it_can(rt: Runtime, shop: Shop) -> None:
    """A newer version next to it changes nothing for it."""
    result = await rt.call(f"{ID}@1.0.0", {"item": "tea"})
    assert only(result).output == {"number": 1}
    assert (only(result).version, only(result).asked_version) == ("1.0.0", None)
    assert "asked_version" not in only(result).to_json()
    assert (await rt.call(ID, {"items": ["tea"]})).status is RunState.SUCCEEDED


@pytest.mark.parametrize("reference", ["1.0.0", "^1", "1.x"])
async def test_a_caller_of_a_retired_version_is_served_by_the_one_that_is_there(
    rt: Runtime, shop: Shop, reference: str
) -> None:
    """Inputs go up before the gate sees them, the output comes down, and the ledger names both versions."""
    await retire_one(rt)
    result = await rt.call(f"{ID}@{reference}", {"item": "tea"})
    assert shop.placed[-1] == ("2.0.0", {"items": ["tea"]})
    step = only(result)
    assert (step.output, step.version, step.asked_version) == ({"number": 2}, "2.0.0", "1.0.0")
    assert step.rule == "served", "the gate is asked about what the serving version gets"
    recorded = events(rt, result.run_id)
    started = next(event for event in recorded if isinstance(event, ev.StepStarted))
    done = next(event for event in recorded if isinstance(event, ev.StepSucceeded))
    assert (started.version, started.fingerprint) == ("2.0.0", TWO.fingerprint)
    assert (started.asked_version, started.asked_fingerprint) == ("1.0.0", ONE.fingerprint)
    assert done.served is not None
    assert (await rt.show(result.run_id)).step("call").to_json()["asked_version"] == "1.0.0"


async def test_undoing_gives_the_compensation_what_its_own_version_returned(rt: Runtime, shop: Shop) -> None:
    """The caller's form of the output is nothing that the serving version could read."""
    await retire_one(rt)
    result = await rt.call(f"{ID}@1.0.0", {"item": "tea"})
    assert (await rt.undo(result.run_id)).status is RunState.UNDONE
    assert shop.undone == [("2.0.0", {"reference": "##"})]


async def test_a_version_known_by_its_spec_alone_is_served(tmp_path: Path, shop: Shop) -> None:
    """Whoever gave up the old code keeps its description; its callers' inputs are checked by that."""
    runtime = opened(tmp_path)
    runtime.register(ONE, None)
    runtime.register(TWO, shop.handler("2.0.0"), transformers=[one_to_two()])
    async with runtime as rt:
        assert only(await rt.call(f"{ID}@1.0.0", {"item": "tea"})).output == {"number": 1}
        refused = only(await rt.call(f"{ID}@1.0.0", {"item": 5}))
        assert refused.error["code"] == "INVALID_INPUT"


async def test_nobody_serves_a_version_without_a_handler_and_without_a_way(
    tmp_path: Path, shop: Shop
) -> None:
    """The error says what is missing, and the reference is refused before anything runs."""
    runtime = opened(tmp_path)
    runtime.register(ONE, None)
    runtime.register(TWO, shop.handler("2.0.0"))
    async with runtime as rt:
        with pytest.raises(AssentError) as caught:
            await rt.call(f"{ID}@1.0.0", {"item": "tea"})
        assert caught.value.code == "HANDLER_MISSING"
        with pytest.raises(AssentError) as unknown:
            await rt.call(f"{ID}@1.7.0", {"item": "tea"})
        assert unknown.value.code == "VERSION_NOT_FOUND"


async def test_a_retired_version_without_a_way_is_refused_as_retired(tmp_path: Path, shop: Shop) -> None:
    """It never means another version instead."""
    runtime = opened(tmp_path)
    runtime.register(ONE, shop.handler("1.0.0"))
    runtime.register(TWO, shop.handler("2.0.0"))
    async with runtime as rt:
        await rt.versions.record()
        await rt.versions.retire(f"{ID}@1.0.0")
        with pytest.raises(AssentError, match="was retired"):
            await rt.call(f"{ID}@1.0.0", {"item": "tea"})


async def test_inputs_that_do_not_get_through_fail_the_step_before_anything_happens(
    tmp_path: Path, shop: Shop
) -> None:
    """The transformer was tried, but not on everything."""
    runtime = opened(tmp_path)
    runtime.register(ONE, None)
    up = one_to_two(inputs_forward=lambda old: {"items": [old["item"]]} if old["item"] != "boom" else 1 / 0)
    runtime.register(TWO, shop.handler("2.0.0"), transformers=[up])
    async with runtime as rt:
        result = await rt.call(f"{ID}@1.0.0", {"item": "boom"})
        assert only(result).error["code"] == "TRANSFORM_FAILED"
        assert only(result).error["details"]["reached"] == "1.0.0"
        assert shop.placed == []


async def test_inputs_that_become_what_the_next_version_refuses_fail_the_step(
    tmp_path: Path, shop: Shop
) -> None:
    """They are checked once more, by the version that serves."""
    runtime = opened(tmp_path)
    runtime.register(ONE, None)
    up = one_to_two(inputs_forward=lambda old: {"items": [] if old["item"] != "boom" else "boom"})
    runtime.register(TWO, shop.handler("2.0.0"), transformers=[up])
    async with runtime as rt:
        error = only(await rt.call(f"{ID}@1.0.0", {"item": "boom"})).error
        assert (error["code"], error["details"]["reached"]) == ("TRANSFORM_FAILED", "2.0.0")


async def test_an_output_that_does_not_come_down_takes_the_effect_back(tmp_path: Path, shop: Shop) -> None:
    """The effect is done and nobody can be told of it: it counts as failed."""
    runtime = opened(tmp_path)
    runtime.register(ONE, None)
    down = one_to_two(outputs_backward=lambda new: {"number": 1} if new["reference"] != "#" else {"no": 1})
    runtime.register(TWO, shop.handler("2.0.0"), transformers=[down])
    async with runtime as rt:
        result = await rt.call(f"{ID}@1.0.0", {"item": "tea"})
        assert result.error is not None
        assert (result.status, result.error["code"]) == (RunState.ROLLED_BACK, "TRANSFORM_FAILED")
        assert shop.undone == [("2.0.0", None)]


async def test_a_question_and_a_denial_name_the_version_that_was_asked_for(
    tmp_path: Path, shop: Shop
) -> None:
    """A person approves what will run, and after the answer the same version serves."""
    ask = {
        "version": 1,
        "rules": [{"id": "ask", "when": {"capability": ID}, "decision": "REQUIRE_APPROVAL"}],
        "default": "DENY",
    }
    runtime = opened(tmp_path, ask)
    runtime.register(ONE, None)
    runtime.register(TWO, shop.handler("2.0.0"), transformers=[one_to_two()])
    async with runtime as rt:
        result = await rt.call(f"{ID}@1.0.0", {"item": "tea"})
        assert result.status is RunState.WAITING
        assert only(result).asked_version == "1.0.0"
        done = await rt.approve(result.run_id)
        assert only(done).output == {"number": 1}
    (tmp_path / "denying").mkdir()
    denying = opened(tmp_path / "denying", {"version": 1, "rules": [], "default": "DENY"})
    denying.register(ONE, None)
    denying.register(TWO, shop.handler("2.0.0"), transformers=[one_to_two()])
    async with denying as rt:
        assert only(await rt.call(f"{ID}@1.0.0", {"item": "tea"})).asked_version == "1.0.0"


@pytest.mark.parametrize(
    ("asked", "later"), [(["tea"], ["tea", "milk"]), ([1], [True])], ids=["more", "equal-and-not-the-same"]
)
async def test_an_approval_is_of_the_inputs_that_it_was_asked_for(
    tmp_path: Path, shop: Shop, asked: list[Any], later: list[Any]
) -> None:
    """Between the question and its answer the transformer became another one, so that the answer would be to another call."""
    run, answers, intents = "", list[RunState](), list[Any]()
    for items in (asked, later):
        runtime = opened(tmp_path, {"version": 1, "rules": [], "default": "REQUIRE_APPROVAL"})
        runtime.register(ONE, None)
        up = one_to_two(inputs_forward=lambda _, items=items: {"items": items})
        runtime.register(TWO, shop.handler("2.0.0"), transformers=[up])
        async with runtime as rt:
            if not run:
                run = (await rt.call(f"{ID}@1.0.0", {"item": "tea"})).run_id
                continue
            answers += [(await rt.approve(run)).status for _ in range(2)]
            intents = [event for event in events(rt, run) if isinstance(event, ev.StepStarted)]
    assert (answers, len(intents)) == ([RunState.WAITING, RunState.SUCCEEDED], 1)
    assert shop.placed == [("2.0.0", {"items": later})]


async def test_the_same_run_replays_through_the_same_versions(rt: Runtime, shop: Shop) -> None:
    """Nothing differs, and nothing is called."""
    results = [await rt.call(f"{ID}@1.0.0", {"item": "tea"})]
    await rt.versions.retire(f"{ID}@1.0.0")
    results += [await rt.call(f"{ID}@1.0.0", {"item": "tea"}), await rt.call(ID, {"items": ["tea"]})]
    assert [only(result).version for result in results] == ["1.0.0", "2.0.0", "2.0.0"]
    count = len(shop.placed)
    for result in results:
        report = await rt.replay(result.run_id)
        assert report.differences == ()
    assert len(shop.placed) == count


def breaking(rt: Runtime, shop: Shop, **how: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        rt.register(TWO, shop.handler("2.0.0"), **how)
    return caught.value


async def test_a_new_major_version_must_not_break_those_in_use(tmp_path: Path, shop: Shop) -> None:
    """It would get every call of the bare id at once. With transformers it may come, or when its author says so."""
    runtime = opened(tmp_path)
    runtime.register(ONE, shop.handler("1.0.0"))
    async with runtime as rt:
        await rt.call(ID, {"item": "tea"})
        error = breaking(rt, shop)
        assert error.code == "VERSION_BREAKING"
        assert error.path == "parameters.item"
        assert "retire `1.0.0` first" in str(error.hint)
        assert rt.registry.resolve(ID).version == "1.0.0"
        rt.register(TWO, shop.handler("2.0.0"), transformers=[one_to_two()])
        assert rt.registry.resolve(ID).version == "2.0.0"
    again = opened(tmp_path)
    again.register(ONE, shop.handler("1.0.0"))
    again.register(order_spec("3.0.0", closed(things="array"), ONE.returns), shop.handler("3.0.0"))
    async with again as rt:
        with pytest.raises(InputError, match="breaks callers of"):
            await rt.call(ID, {"things": []})
    meant = opened(tmp_path)
    meant.register(ONE, shop.handler("1.0.0"))
    meant.register(TWO, shop.handler("2.0.0"), breaking=True)
    async with meant as rt:
        assert (await rt.call(ID, {"items": []})).status is RunState.SUCCEEDED


async def test_a_new_major_version_may_break_what_nobody_uses(tmp_path: Path, shop: Shop) -> None:
    """A version that nobody called, or that is retired, has no callers to break."""
    runtime = opened(tmp_path)
    runtime.register(ONE, shop.handler("1.0.0"))
    async with runtime as rt:
        await rt.versions.record()
        rt.register(TWO, shop.handler("2.0.0"))
        assert (await rt.call(ID, {"items": []})).status is RunState.SUCCEEDED


async def test_transformers_come_with_one_capability(rt: Runtime, shop: Shop) -> None:
    """A module may hold several, and nobody could tell whose they are."""
    import tests.support.orders as module  # as a value

    with pytest.raises(InputError, match="belong to one capability"):
        rt.register(module, transformers=[one_to_two()])


async def test_a_workflow_is_checked_against_what_its_author_wrote_it_for(rt: Runtime) -> None:
    """A pinned step keeps its parameters, whoever serves it."""
    await retire_one(rt)

    def workflow(inputs: dict[str, Any]) -> dict[str, Any]:
        steps = [{"name": "order", "capability": f"{ID}@1.0.0", "inputs": inputs}]
        return {"name": "shopping", "version": "1.0.0", "steps": steps}

    assert (await rt.run(workflow({"item": "tea"}))).step("order").output == {"number": 2}
    plan = await rt.plan(workflow({"item": "tea"}))
    assert plan.to_json()["steps"]
    with pytest.raises(InputError, match="has no parameter `items`"):
        await rt.run(workflow({"items": ["tea"]}))


async def test_the_difference_of_two_versions_says_whether_callers_are_served(rt: Runtime) -> None:
    """Also of one that was retired, by its number."""
    found = rt.versions.diff(ID, "1.0.0", "2.0.0")
    assert (found.is_breaking, found.old, found.new) == (True, "1.0.0", "2.0.0")
    await retire_one(rt)
    assert rt.versions.diff_told(ID, "1.0.0", "^2")["served"] is True
    back = rt.versions.diff_told(ID, "2.0.0", "1.0.0")
    assert back["served"] is False
    assert "nothing brings inputs" in str(back["missing"])
    with pytest.raises(InputError) as caught:
        rt.versions.diff(ID, "1.0.0", "9.0.0")
    assert caught.value.code == "VERSION_NOT_FOUND"
