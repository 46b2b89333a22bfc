"""A built-in capability that only looks begins before its intent is durable; nothing else does, and nobody is told before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from assent.errors import WorldError
from assent.invocation import HookedCall
from assent.spec import CapabilitySpec, create_read_capability
from assent.spec.states import RunState
from tests.support.bodies import KEYED, Bench, Pause, Place, policy, put, rule, workflow

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")


@pytest.fixture
def never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is ahead stays so until something else is made durable."""
    monkeypatch.setattr("assent.engine.drive._actor.AHEAD_S", 3600.0)


def glance(place: Place, rt: Bench, *, origin: str = "built in", **fields: Any) -> None:
    """Register `box.glance`, which only looks."""
    spec: CapabilitySpec = create_read_capability("box.glance", parameters=KEYED, **fields)
    rt.register(spec, place.box.read(), origin=origin)


def look(key: str, **fields: Any) -> dict[str, Any]:
    """A step that glances at a key."""
    return put(key, "box.glance", inputs={"key": key}, **fields)


def counted(rt: Bench, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each append had, from now on."""
    journal, sizes = rt._core.ready.journal, list[int]()
    real = journal.append

    async def append(batch: Any) -> Any:
        sizes.append(len(batch.events))
        return await real(batch)

    monkeypatch.setattr(journal, "append", append)
    return sizes


@pytest.mark.usefixtures("never_looked_at")
async def test_reads_in_a_row_share_one_commit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of five reads is on record while they are made; all of it is, and in order, before anybody is answered."""
    pause = Pause()
    place.box.before["e"] = pause
    async with place.open() as rt:
        glance(place, rt)
        assert (await rt.run(workflow(put("first")))).status is RunState.SUCCEEDED
        sizes = counted(rt, monkeypatch)
        running = asyncio.ensure_future(rt.run(workflow(*map(look, "abcde"))))
        await pause.reached.wait()
        assert sizes == []
        pause.go_on.set()
        result = await running
        assert (result.status, sizes) == (RunState.SUCCEEDED, [12])
        steps = ["step.started", "step.succeeded"] * 5
        assert rt.kinds(result.run_id) == ["run.created", *steps, "run.succeeded"]


async def test_a_read_that_takes_its_time_is_on_record_while_it_does(place: Place) -> None:
    """Whoever looks at the run sees that it reads."""
    pause = Pause()
    place.box.before["a"] = pause
    async with place.open() as rt:
        glance(place, rt)
        running = asyncio.ensure_future(rt.run(workflow(look("a"))))
        await pause.reached.wait()
        while not (runs := await rt.unfinished()):  # noqa: ASYNC110 - the writing thread, not the loop, ends this
            await asyncio.sleep(0.001)
        while rt.kinds(runs[0]) != ["run.created", "step.started"]:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        pause.go_on.set()
        assert (await running).status is RunState.SUCCEEDED


async def test_a_read_that_waits_long_for_its_turn_is_on_record_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although it is not at work: nothing stays ahead for as long as others please."""
    monkeypatch.setattr("assent.engine.steps._effects.Effects.is_performing", property(lambda effects: False))
    pause = Pause()
    place.box.before["b"] = pause
    async with place.open() as rt:
        glance(place, rt)
        running = asyncio.ensure_future(rt.run(workflow(look("a"), look("b"))))
        await pause.reached.wait()
        while not (runs := await rt.unfinished()):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        assert rt.kinds(runs[0])[-2:] == ["step.succeeded", "step.started"]
        pause.go_on.set()
        assert (await running).status is RunState.SUCCEEDED


@pytest.mark.usefixtures("never_looked_at")
async def test_no_effect_begins_before_what_was_read_is_durable(place: Place) -> None:
    """What an effect follows from is on record before it: reads, their outcomes, and its own intent."""
    seen: list[list[str]] = []
    async with place.open() as rt:
        place.box.before["b"] = lambda context: seen.append(rt.kinds(context.run))
        glance(place, rt)
        result = await rt.run(workflow(look("a"), put("b")))
        assert result.status is RunState.SUCCEEDED
    assert seen == [["run.created", "step.started", "step.succeeded", "step.started"]]


@pytest.mark.usefixtures("never_looked_at")
@pytest.mark.parametrize("kind", ["of a user", "sends", "hooked", "approved"])
async def test_every_other_read_waits_for_its_intent(place: Place, kind: str) -> None:
    """One that others wrote, that tells somebody outside, that a hook had a say in, or a person."""
    seen: list[list[str]] = []
    if kind == "approved":
        place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.glance"}))
    async with place.open() as rt:
        glance(
            place,
            rt,
            origin="python" if kind == "of a user" else "built in",
            labels=frozenset({"sends_external"} if kind == "sends" else ()),
        )
        if kind == "hooked":

            @rt.hooks.before(id="look")
            async def agree(call: HookedCall) -> None:
                pass

        place.box.before["a"] = lambda context: seen.append(rt.kinds(context.run))
        result = await rt.run(workflow(look("a")))
        if kind == "approved":
            result = await rt.approve(result.run_id, principal="user:boss")
        assert result.status is RunState.SUCCEEDED
    assert [kinds[-1] for kinds in seen] == ["step.started"]


async def test_what_was_read_is_dropped_where_it_can_not_be_kept(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is what the caller hears of, and not what was found."""

    async def full(batch: Any) -> Any:
        raise WorldError("DISK_FULL", "no space is left")

    async with place.open() as rt:
        glance(place, rt)
        assert (await rt.run(workflow(put("first")))).status is RunState.SUCCEEDED
        with monkeypatch.context() as patch:
            patch.setattr(rt._core.ready.journal, "append", full)
            with pytest.raises(WorldError, match="no space is left"):
                await rt.run(workflow(look("a")))
        assert place.box.count("execute", "a") == 1
        assert await rt.unfinished() == []


@pytest.mark.usefixtures("never_looked_at")
async def test_what_is_ahead_when_its_runtime_closes_is_on_record_and_read_again(place: Place) -> None:
    """Recovery tries a read anew, and no outcome that was there is lost."""
    pause = Pause()
    place.box.before["b"] = pause
    async with place.open() as rt:
        glance(place, rt)
        running = asyncio.ensure_future(rt.run(workflow(look("a"), look("b"))))
        await pause.reached.wait()
    await asyncio.wait({running})
    running.exception()
    del place.box.before["b"]
    async with place.open() as rt:
        glance(place, rt)
        [result] = await rt.resume()
        assert result.status is RunState.SUCCEEDED
        assert (place.box.count("execute", "a"), place.box.count("execute", "b")) == (1, 2)


@pytest.mark.usefixtures("never_looked_at")
async def test_a_sessions_read_is_answered_when_it_is_durable(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it was asked for, its intent and its outcome are one commit, and the answer comes after it."""
    async with place.open() as rt:
        glance(place, rt)
        session = await rt.session()
        await session.call("box.glance", {"key": "a"})
        sizes = counted(rt, monkeypatch)
        await session.call("box.glance", {"key": "b"})
        assert sizes == [3]
