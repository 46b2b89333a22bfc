"""Runs with one concurrency key: never more than its limit at once, in order, across crashes; it is held until all is settled."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from unittest.mock import AsyncMock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assent.engine import Actor, Claim, Engine, RunResult
from assent.engine.waiting._keys import Keys
from assent.engine.waiting._lines import Rank
from assent.errors import AssentError, RefusedError, WorldError
from assent.invocation import LocalContext, Reconciliation, Share
from assent.journal import Batch, Head, rows_at_once
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from assent.spec.principal import Principal
from assent.spec.states import OnBusy, RunState, Verdict
from assent.system import SystemClock
from tests.engine.test_starts import begun, bound, queued
from tests.engine.test_starts import ended as all_ended
from tests.engine.test_timers import ended, pass_time
from tests.support.bodies import (
    Bench,
    FakeClock,
    Pause,
    Place,
    code,
    interrupted,
    policy,
    put,
    rule,
    workflow,
)
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

ASK = {"name": "ask", "approval": "?"}


def keyed(name: str, *steps: dict[str, Any], key: str = "k", **said: Any) -> dict[str, Any]:
    """A workflow of one put, or of these steps, whose runs share the key."""
    return workflow(*(steps or (put(name),)), concurrency={"key": key, **said})


def status_of(rt: Bench, run: str) -> object:
    """What the journal says of a run's key."""
    return [row["status"] for row in rows_at_once(rt._core.ready.journal, "waits", {"run_id": run})]


class Line:
    """`Keys` with one key, and what it has to be equal to."""

    def __init__(self) -> None:
        self.keys = Keys()
        self.keys.learn("k", {})
        self.limits: dict[RunId, int] = {}
        self.waiting: list[tuple[int, RunId]] = []

    def ask(self, limit: int, priority: int) -> None:
        run = RunId(f"run_{len(self.limits):03}")
        self.limits[run] = limit
        claim = Claim("k", limit, OnBusy.QUEUE)
        if not self.keys.knows("k"):
            self.keys.learn("k", {})
        if not self.keys.take(run, claim) and not self.keys.wait(
            run, claim, Rank(priority, Share("user:ann", run))
        ):
            self.waiting.append((-priority, run))

    def leave(self, number: int) -> None:
        run = sorted(self.limits)[number % len(self.limits)]
        given = self.keys.leave(run)
        self.waiting = [one for one in self.waiting if one[1] != run]
        line = [one for _, one in sorted(self.waiting)]
        assert [*given] == line[: len(given)]
        self.waiting = [one for one in self.waiting if one[1] not in given]

    def look(self) -> None:
        holders = self.keys.holders("k") if self.keys.knows("k") else ()
        assert not holders or len(holders) <= min(self.limits[run] for run in holders)
        if self.waiting:
            first = self.limits[min(self.waiting)[1]]
            assert len(holders) >= min(first, *(self.limits[run] for run in holders), first), (
                "nobody waits for what is free"
            )
        assert [run for run in self.limits if self.keys.is_wanted_by(run)] == sorted(
            run for _, run in self.waiting
        )


@example([("ask", 2, 1), ("ask", 1, 1), ("ask", 2, 2)])
@given(
    st.lists(
        st.tuples(st.just("ask"), st.integers(1, 3), st.integers(0, 2))
        | st.tuples(st.just("leave"), st.integers(0, 30), st.just(0))
    )
)
def test_a_key_is_had_by_so_many_and_goes_to_the_next_in_line(acts: list[tuple[str, int, int]]) -> None:
    line = Line()
    for act, number, priority in acts:
        if act == "ask":
            line.ask(number, priority)
        elif line.limits:
            line.leave(number)
        line.look()


async def test_runs_of_one_key_wait_for_their_turn_and_others_do_not(place: Place) -> None:
    """Who waits for a key keeps no place among the runs at work."""
    bound(place, 2)
    first = place.box.before["first"] = Pause()
    async with place.open() as rt:
        running = [asyncio.ensure_future(rt.run(keyed("first")))]
        await first.reached.wait()
        for number in range(3):
            running.append(asyncio.ensure_future(rt.run(keyed(f"n{number}"))))
            await queued(rt, number + 1)
        urgent = asyncio.ensure_future(rt.run(keyed("urgent"), priority=9))
        await queued(rt, 4)
        assert (await rt.run(keyed("other", key="l"))).status is RunState.SUCCEEDED
        assert rt._core.running.admission().running == 1
        first.go_on.set()
        assert {one.status for one in await asyncio.gather(*running, urgent)} == {RunState.SUCCEEDED}
        assert not rt.engine._starts.keys.knows((await keys_of(rt)).pop())
    assert begun(place) == ["first", "other", "urgent", "n0", "n1", "n2"]


async def keys_of(rt: Bench) -> set[str]:
    rows = rows_at_once(rt._core.ready.journal, "waits", {"kind": "turn"})
    return {str(row["name"]) for row in rows}


async def test_a_run_has_its_key_while_it_waits_for_a_person(place: Place) -> None:
    """Who comes then is told so at once, waits on record, and goes on by itself."""
    async with place.open() as rt:
        waiting = await rt.run(keyed("a", ASK, put("a")))
        behind = await rt.run(keyed("b"))
        assert (waiting.status, behind.status) == (RunState.WAITING, RunState.PENDING)
        told = {"key": "k", "limit": 1, "in_force": 1, "on_busy": "queue", "replaced_by": None}
        assert behind.concurrency == {**told, "state": "waiting", "held_by": [waiting.run_id], "waiting": []}
        shown = (await rt.show(waiting.run_id)).concurrency
        assert shown == {**told, "state": "held", "held_by": [], "waiting": [behind.run_id]}
        assert (await rt.approve(waiting.run_id)).status is RunState.SUCCEEDED
        await all_ended(rt)
        assert [status_of(rt, run) for run in (waiting.run_id, behind.run_id)] == [["over"], ["over"]]
    assert begun(place) == ["a", "b"]


async def test_the_key_is_made_of_what_the_run_is_given(place: Place) -> None:
    """And stands in the ledger as nobody can guess it: the text is a payload."""
    said = {"key": "${{ inputs.env }}/${{ principal }}/${{ workflow }}/${{ environment }}"}
    steps = workflow(ASK, inputs={"env": "string"}, concurrency=said)
    async with place.open() as rt:
        keys = [
            (await rt.run(steps, {"env": env}, principal=who, environment="e")).concurrency
            for env, who in (("a", "user:ann"), ("b", "user:ann"), ("a", "user:bob"))
        ]
        assert [one and (one["key"], one["state"]) for one in keys] == [
            (f"{text}/w/e", "held") for text in ("a/user:ann", "b/user:ann", "a/user:bob")
        ]
        for given in ("", "x" * 201):
            with pytest.raises(AssentError, match="1 to 200 characters"):
                await rt.run(
                    workflow(put("a"), inputs={"env": "string"}, concurrency="${{ inputs.env }}"),
                    {"env": given},
                )
        created = rt.recorded((await rt.unfinished())[0])[0]
        assert isinstance(created, ev.RunCreated)
        assert created.concurrency_key is not None
        assert len(created.concurrency_key) == 64
        assert len(await rt.unfinished()) == 3


async def test_a_run_is_refused_with_the_one_that_has_the_key(place: Place) -> None:
    async with place.open() as rt:
        holder = await rt.run(keyed("a", ASK))
        with pytest.raises(RefusedError, match="others have") as taken:
            await rt.run(keyed("b", on_busy="refuse"))
        assert holder.run_id in str(taken.value.hint)
        assert (taken.value.code, taken.value.details) == ("CONCURRENCY_TAKEN", {"runs": [holder.run_id]})
        assert await rt.unfinished() == [holder.run_id], "nothing was recorded"
        await rt.cancel(holder.run_id)
        assert (await rt.run(keyed("b", on_busy="refuse"))).status is RunState.SUCCEEDED


async def test_a_run_that_a_handler_begins_never_waits_for_a_key(place: Place) -> None:
    """It may be the handler's own."""
    async with place.open() as rt:

        async def begins(context: LocalContext) -> None:
            assert (await rt.run(keyed("inner", key="l"))).status is RunState.SUCCEEDED
            await rt.run(keyed("inner"))

        place.box.before["outer"] = begins
        result = await rt.run(keyed("outer"))
        assert (result.status, await rt.unfinished()) == (RunState.FAILED, [])
        assert result.error is not None
        assert "others have the concurrency key" in str(result.error["message"])


@pytest.mark.parametrize(
    ("on_busy", "ended_as"),
    [
        ("cancel_waiting", {"holder": "waiting", "strange": "pending", "older": "cancelled"}),
        ("cancel_running", {"holder": "cancelled", "strange": "succeeded", "older": "cancelled"}),
    ],
)
async def test_a_newer_run_takes_the_place_of_older_ones_of_its_principal(
    place: Place, on_busy: str, ended_as: dict[str, str]
) -> None:
    """What others asked for is waited for; who cancelled, and for which run, is on record; who began it hears of it alone."""
    heard: set[str] = set()
    async with place.open() as rt:
        runs = {"holder": await rt.run(keyed("a", put("a"), ASK))}
        runs["strange"] = await rt.run(keyed("b"), principal="user:eve")
        runs["older"] = await rt.run(keyed("c"))
        with rt.telling(lambda run, *_: heard.add(run)):
            newest = await rt.run(keyed("d", on_busy=on_busy))
        assert heard == {newest.run_id}
        if on_busy == "cancel_running":
            await all_ended(rt)
            assert (await rt.show(newest.run_id)).status is RunState.SUCCEEDED
            assert place.box.values == {"b": "b", "d": "d"}
        found = {name: (await rt.show(run.run_id)).status.value for name, run in runs.items()}
        assert found == ended_as
        (cancelled,) = [
            one for one in rt.recorded(runs["older"].run_id) if isinstance(one, ev.CancelRequested)
        ]
        assert (cancelled.by, cancelled.replaced_by) == (str(rt.settings.principal), newest.run_id)
        told = (await rt.show(runs["older"].run_id)).concurrency
        assert told is not None
        assert told["replaced_by"] == newest.run_id


@pytest.mark.parametrize(
    ("limits", "limit", "cancelled"),
    [
        ([1], 2, 1),  # the holder counts on being alone: its limit is the one that has to be made room by
        ([3, 2], 3, 1),
        ([2, 2], 3, 1),
        ([2, 2], 1, 2),
        ([3, 3], 3, 0),
    ],
)
async def test_a_run_that_cancels_makes_room_by_the_smallest_limit(
    place: Place, limits: list[int], limit: int, cancelled: int
) -> None:
    """The oldest first, and no more than that takes."""
    async with place.open() as rt:
        held = [await rt.run(keyed("a", ASK, limit=one)) for one in limits]
        newest = await rt.run(keyed("b", limit=limit, on_busy="cancel_running"))
        await ended(rt, newest.run_id)
        assert (await rt.show(newest.run_id)).status is RunState.SUCCEEDED
        found = [(await rt.show(run.run_id)).status.value for run in held]
        assert found == ["cancelled"] * cancelled + ["waiting"] * (len(limits) - cancelled)


async def test_who_came_in_by_a_key_stops_only_what_came_in_by_it(place: Place) -> None:
    """It may have been let in to begin runs, and not to stop others'."""
    ann = Principal.parse("user:ann")
    newest = keyed("x", on_busy="cancel_waiting")
    async with place.open() as rt:
        await rt.run(keyed("a", ASK), principal=ann)
        begun_by = {}
        for came_by in (None, "api_key:1", "api_key:2"):
            who = Actor(ann, identified_by=came_by)
            begun_by[came_by] = (await rt._core.run(keyed("b"), principal=who)).run_id
        await rt._core.run(newest, principal=Actor(ann, identified_by="api_key:1"))
        states = {came_by: (await rt.show(run)).status for came_by, run in begun_by.items()}
        assert states == {
            None: RunState.PENDING,
            "api_key:1": RunState.CANCELLED,
            "api_key:2": RunState.PENDING,
        }


async def test_a_run_in_line_is_cancelled_ends_in_time_and_hears_signals_without_beginning(
    place: Place,
) -> None:
    place.clock = FakeClock()
    async with place.open() as rt:
        holder = await rt.run(keyed("a", ASK))
        left = await rt.run(keyed("left"))
        late = await rt.run({**keyed("late"), "max_duration": "1h"})
        hears = await rt.run(keyed("c", put("c"), {"name": "w", "wait": {"signal": "go"}}))
        heard = await rt.signal(hears.run_id, "go")
        assert heard.concurrency is not None
        assert heard.concurrency["state"] == "waiting"
        rt.reload_policy()
        assert (await rt.cancel(left.run_id)).status is RunState.CANCELLED
        pass_time(rt, place.clock, 3_600_000)
        await ended(rt, late.run_id)
        assert (code(await rt.show(late.run_id)), begun(place)) == ("RUN_TIMEOUT", [])
        await rt.approve(holder.run_id)
        await all_ended(rt)
        assert begun(place) == ["c"]


async def test_the_smallest_limit_of_those_that_have_a_key_counts(place: Place) -> None:
    async with place.open() as rt:
        two = [await rt.run(keyed("a", ASK, limit=2)) for _ in range(3)]
        one = await rt.run(keyed("b", ASK, limit=1))
        more = await rt.run(keyed("c", ASK, limit=3))
        assert [run.status.value for run in two] == ["waiting", "waiting", "pending"]
        for run in two[:2]:
            await rt.approve(run.run_id)
        while (await rt.show(two[2].run_id)).status is not RunState.WAITING:
            pass
        states = [await rt.show(run.run_id) for run in (*two, one, more)]
        assert [run.status.value for run in states] == ["succeeded"] * 2 + ["waiting", "pending", "pending"]
        assert [run.concurrency and run.concurrency["in_force"] for run in states] == [2, 2, 2, 1, 2]
        planned = await rt.plan(keyed("d", limit=9))
        assert planned.concurrency is not None
        assert [planned.concurrency[name] for name in ("limit", "in_force")] == [9, 2]


async def test_a_run_that_nobody_here_can_drive_leaves_its_turn_to_others(place: Place) -> None:
    """An owner that goes on with everything has those that were in line begin before what comes, where it has what they call."""
    async with place.open() as rt:
        holder = await rt.run(keyed("", ASK))
        left = await rt.run(keyed("left"))
    async with place.open(box=False) as rt:
        rt.engine.take_over()
        later = await rt.run(keyed("", {"name": "noop", "capability": "sys.noop"}))
        assert rt.engine.admission().queued == 2
        await rt.approve(holder.run_id)
        await ended(rt, later.run_id)
        assert (await rt.show(left.run_id)).status is RunState.INTERRUPTED
    async with place.open() as rt:
        assert [run.status.value for run in await rt.resume()] == ["succeeded"]
    assert place.box.values == {"left": "left"}


async def test_an_undo_needs_the_key_and_has_it_until_it_is_over(place: Place) -> None:
    """Another run would see half of what is taken back."""
    when = {"capability": "assent.undo"}
    place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when=when))
    async with place.open() as rt:
        done = await rt.run(keyed("a"))
        holder = await rt.run(keyed("b", ASK))
        with pytest.raises(RefusedError) as taken:
            await rt.undo(done.run_id)
        assert (taken.value.code, taken.value.details) == ("CONCURRENCY_TAKEN", {"runs": [holder.run_id]})
        await rt.cancel(holder.run_id)
        assert (await rt.undo(done.run_id)).status is RunState.WAITING
        later = await rt.run(keyed("c"))
        assert later.status is RunState.PENDING
        assert (await rt.approve(done.run_id, principal="user:boss")).status is RunState.UNDONE
        await all_ended(rt)
        assert place.box.values == {"c": "c"}


async def test_a_run_in_doubt_has_its_key_until_a_person_has_settled_it(place: Place) -> None:
    """Also for the next owner, which knows of it by the record alone."""
    place.box.on_reconcile["a"] = Reconciliation(Verdict.UNKNOWN)
    run = await interrupted(place, keyed("a"), "a", happened=True)
    async with place.open() as rt:
        held = await rt.run(keyed("b"))
        assert held.concurrency is not None
        assert (held.status, held.concurrency["held_by"]) == (RunState.PENDING, [run])
        assert (await rt.resume(run))[0].status is RunState.NEEDS_ATTENTION
        assert (await rt.show(held.run_id)).status is RunState.PENDING
        await rt.resolve(run, "a", "happened")
        await all_ended(rt)
    assert place.box.values == {"a": "a", "b": "b"}


async def test_those_in_line_keep_their_order_for_the_next_owner(place: Place) -> None:
    """Once they are driven on; one that is begun meanwhile stands behind what has begun."""
    async with place.open() as rt:
        holder = await rt.run(keyed("a", ASK, put("a")))
        behind = [await rt.run(keyed(f"n{number}")) for number in range(12)]
    async with place.open() as rt:
        assert {run.status.value for run in await rt.resume()} == {"waiting", "pending"}
        last = await rt.run(keyed("last"))
        assert last.status is RunState.PENDING
        await rt.approve(holder.run_id)
        await all_ended(rt)
    assert begun(place) == ["a", *(f"n{number}" for number in range(12)), "last"]
    assert len(behind) == 12


@pytest.mark.parametrize("key", ["k", None])
@pytest.mark.parametrize("takes_over", [False, True])
async def test_the_most_urgent_in_line_goes_first_for_the_next_owner_too(
    place: Place, key: str | None, *, takes_over: bool
) -> None:
    """Also where the key, or the place, was given back and nobody had it yet."""
    bound(place, 1)
    pause = place.box.before["first"] = Pause()

    def document(name: str) -> dict[str, Any]:
        return workflow(put(name)) if key is None else keyed(name, key=key)

    async with place.open() as rt:
        running = [asyncio.ensure_future(rt.run(document("first")))]
        await pause.reached.wait()
        for number, (name, priority) in enumerate([("low", 1), ("high", 9), ("late", 9), ("usual", 5)]):
            running.append(asyncio.ensure_future(rt.run(document(name), priority=priority)))
            await queued(rt, number + 1)
        rt.engine.drain()
        pause.go_on.set()
        await running[0]
    await asyncio.gather(*running, return_exceptions=True)
    async with place.open() as rt:
        if takes_over:
            rt.engine.take_over()
            await rt._core.line_up()
            await all_ended(rt)
        else:
            await rt.resume()
    assert begun(place) == ["first", "high", "late", "usual", "low"]


@pytest.mark.parametrize(("on_busy", "priority"), [("cancel_waiting", 5), ("cancel_running", 9)])
async def test_a_run_that_is_to_be_cancelled_for_a_later_one_never_begins(
    place: Place, monkeypatch: pytest.MonkeyPatch, on_busy: str, priority: int
) -> None:
    """Where the owner ended before it came to that, and the key is free for the next one."""
    async with place.open() as rt:
        holder = (await rt.run(keyed("a", ASK, put("a")))).run_id
        former = (await rt.run(keyed("b"))).run_id
        with monkeypatch.context() as patched:
            patched.setattr(Engine, "_make_way", AsyncMock())
            newest = await rt.run(keyed("c", on_busy=on_busy), priority=priority)
        rt.engine.drain()
        await rt.approve(holder)
        assert newest.status is RunState.PENDING
    look = Engine._with_key

    async def look_slowly(engine: Engine, key: str, status: str) -> dict[RunId, ev.RunCreated]:
        await asyncio.sleep(0.05)
        return await look(engine, key, status)

    monkeypatch.setattr(Engine, "_with_key", look_slowly)
    async with place.open() as rt:
        await rt.resume()
        await all_ended(rt)
        assert (await rt.show(former)).status is RunState.CANCELLED
    assert begun(place) == ["a", "c"]


async def test_a_clock_that_is_set_back_changes_no_order(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which run came before which is told by their ids: the next owner's are above those of the one before."""
    async with place.open() as rt:
        runs = [(await rt.run(keyed("a", ASK, put("a")))).run_id, (await rt.run(keyed("b"))).run_id]
    now = SystemClock().now_ms
    monkeypatch.setattr(SystemClock, "now_ms", lambda _: now() - 86_400_000)
    async with place.open() as rt:
        await rt.resume()
        for name in ("c", "d"):
            runs.append((await rt.run(keyed(name))).run_id)
        assert runs == sorted(runs)
        await rt.approve(runs[0])
        await all_ended(rt)
        held = (await rt.run(keyed("e", ASK))).run_id
    async with place.open() as rt:
        newest = await rt.run(keyed("f", on_busy="cancel_running"))
        await ended(rt, newest.run_id)
        assert (await rt.show(held)).status is RunState.CANCELLED
    assert begun(place) == ["a", "b", "c", "d", "f"]


@pytest.mark.parametrize("first", ["line_up", "cancel"])
async def test_a_run_that_is_cancelled_while_it_is_looked_at_has_no_key_after(
    place: Place, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Whoever had read of it before would take the key for it, which nobody would ever give back."""
    with monkeypatch.context() as patched:
        patched.setattr(Engine, "_make_way", AsyncMock())  # the process ends before that
        async with place.open() as rt:
            holder = (await rt.run(keyed("a", ASK))).run_id
            former = (await rt.run(keyed("b"))).run_id
            newest = (await rt.run(keyed("c", on_busy="cancel_waiting"))).run_id
    async with place.open() as rt, asyncio.timeout(PATIENCE_S):
        rt.engine.take_over()
        if first == "line_up":
            assert not await rt.engine.line_up(former)
        else:
            with suppress(AssentError):
                await rt.cancel(former)
        assert (await rt.show(former)).status is RunState.CANCELLED
        await rt.cancel(holder)
        await ended(rt, newest)
        assert (await rt.run(keyed("d"))).status is RunState.SUCCEEDED


class Slow:
    """The next append to a journal is durable, or has failed, before the one who asked for it hears of that."""

    def __init__(self, rt: Bench, fault: AssentError | None = None) -> None:
        self._journal = rt._core.ready.journal
        self._append = self._journal.append
        self._fault = fault
        self.is_done, self.is_told = asyncio.Event(), asyncio.Event()
        self._journal.append = self._once  # type: ignore[method-assign]

    async def _once(self, batch: Batch) -> Head:
        self._journal.append = self._append  # type: ignore[method-assign]
        head = await self._append(batch) if self._fault is None else None
        self.is_done.set()
        await self.is_told.wait()
        if head is None:
            raise self._fault or AssertionError
        return head


@pytest.mark.parametrize("fault", [None, WorldError("STORAGE_FAILED", "the disk is full")])
async def test_a_run_that_is_cancelled_while_it_comes_on_record_is_cancelled_then(
    place: Place, caplog: pytest.LogCaptureFixture, fault: AssentError | None
) -> None:
    """It can be read before its own process has heard that it is durable: two appends at once would be of two writers.

    Where its beginning is not kept, nothing of it is: not the cancel alone either.
    """
    async with place.open() as rt, asyncio.timeout(PATIENCE_S):
        await rt.run(keyed("a", ASK))
        slow = Slow(rt, fault)
        asked = asyncio.ensure_future(rt.run(keyed("b")))
        await slow.is_done.wait()
        run = max(rt.engine.under_way())
        cancelled = asyncio.ensure_future(rt.cancel(run))
        await asyncio.sleep(0.02)
        slow.is_told.set()
        came = await asyncio.gather(cancelled, asked, return_exceptions=True)
        if fault is None:
            assert [one.status for one in came if isinstance(one, RunResult)] == [RunState.CANCELLED] * 2
        else:
            assert [one.code for one in came if isinstance(one, AssentError)] == ["STORAGE_FAILED"] * 2
            with pytest.raises(AssentError) as raised:
                await rt.show(run)
            assert raised.value.code == "RUN_UNKNOWN"
        assert not caplog.records


async def test_a_run_comes_into_line_also_where_whoever_asked_for_it_has_left(place: Place) -> None:
    async with place.open() as rt, asyncio.timeout(PATIENCE_S):
        holder = (await rt.run(keyed("a", ASK))).run_id
        slow = Slow(rt)
        asked = asyncio.ensure_future(rt.run(keyed("b")))
        await slow.is_done.wait()
        run = max(rt.engine.under_way())
        asked.cancel()
        await asyncio.wait({asked})
        slow.is_told.set()
        await rt.approve(holder)
        await ended(rt, run)
    assert begun(place) == ["b"]
