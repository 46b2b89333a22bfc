"""Tasks that a part begins: named in snapshots, heard of when they fail, and none outlives its part."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from assent.errors import AssentError, Json
from assent.invocation import CallTimeoutError, LocalContext, SpawnedTask
from tests.support.calls import bed


async def give(value: Any) -> Any:
    return value


async def fail(text: str) -> None:
    raise ValueError(text)


def tasks_of(context: LocalContext) -> list[Json]:
    found = context.snapshot().document["tasks"]
    assert isinstance(found, dict)
    told = found.get("spawned", [])
    assert isinstance(told, list)
    return told


async def test_a_part_ends_when_its_tasks_have_and_awaits_those_it_wants() -> None:
    """One that is not awaited is waited for all the same, and those that it begins in its turn."""
    seen: list[str] = []

    async def execute(context: LocalContext, _: Any) -> int:
        async def later(name: str) -> None:
            await asyncio.sleep(0)
            seen.append(name)
            if name == "first":
                context.spawn(later("second"), name="second")

        context.spawn(later("first"), name="first")
        given = context.spawn(give(41), name="given")
        total: int = await given + await given - 40
        return total

    with bed() as made:
        call, output = await made.call(made.bound(execute))
        assert (output, seen) == (42, ["first", "second"])
        assert [task.status for task in call.life.tasks or []] == ["succeeded"] * 3


async def test_snapshots_name_each_task_with_its_state_and_the_digest_of_what_it_gave() -> None:
    told: list[Json] = []

    async def execute(context: LocalContext, _: Any) -> None:
        endless = context.spawn(asyncio.Event().wait(), name="endless")
        tasks: list[SpawnedTask[Any]] = [
            context.spawn(give({"b": 1, "a": 2}), name="given"),
            context.spawn(give(object()), name="opaque"),
            context.spawn(fail("no"), name="failed"),
        ]
        for task in tasks:
            try:
                await task
            except ValueError:
                assert task.name == "failed"
        told.extend(tasks_of(context))
        endless.cancel()

    with bed() as made:
        call, _ = await made.call(made.bound(execute))
        digest = hashlib.sha256(b'{"a":2,"b":1}').hexdigest()
        expected: list[Json] = [
            ["endless", "running", None],
            ["given", "succeeded", digest],
            ["opaque", "succeeded", None],
            ["failed", "failed", None],
        ]
        assert told == expected
        assert tasks_of(call.context)[0] == ["endless", "cancelled", None]


@pytest.mark.parametrize("end", ["task fails", "part fails", "time is up", "cancelled"])
async def test_none_outlives_its_part_however_that_ends(end: str) -> None:
    """What goes wrong is told once, and what still ran was cancelled and has ended by then."""
    begun: list[SpawnedTask[Any]] = []
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("endless")

    async def execute(context: LocalContext, _: Any) -> None:
        if end == "task fails":
            begun.append(context.spawn(fail("of a task"), name="failing"))
            return
        begun.append(context.spawn(endless(), name="endless"))
        await asyncio.sleep(0)
        if end == "part fails":
            raise ValueError("of the part")

    with bed() as made:
        calling = asyncio.ensure_future(
            made.call(made.bound(execute), timeout_s=0.02 if end == "time is up" else None)
        )
        if end == "cancelled":
            for _ in range(20):
                await asyncio.sleep(0)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
        else:
            with pytest.raises(AssentError) as failed:
                await calling
            assert isinstance(failed.value, CallTimeoutError) is (end == "time is up")
            if end.endswith("fails"):
                assert f"of {'a task' if end == 'task fails' else 'the part'}" in failed.value.message
        assert begun[0].status == ("failed" if end == "task fails" else "cancelled")
        assert ended == ([] if end == "task fails" else ["endless"])


async def test_a_failure_that_was_told_is_not_told_again_by_the_hooks_of_the_call() -> None:
    caught: list[str] = []

    async def execute(context: LocalContext, _: Any) -> None:
        async def note() -> None:
            caught.append("cleanup")

        context.on_cleanup(note)
        context.spawn(fail("once"), name="failing")

    with bed() as made:
        with pytest.raises(AssentError, match="once") as failed:
            await made.call(made.bound(execute))
        assert (caught, "failed_hooks" in failed.value.details) == (["cleanup"], False)


async def test_a_thread_and_a_call_that_is_over_begin_none() -> None:
    def execute(context: LocalContext, _: Any) -> None:
        context.spawn(give(1), name="never")

    with bed() as made:
        with pytest.raises(AssentError) as refused:
            await made.call(made.bound(execute))
        assert refused.value.code == "TASKS_UNAVAILABLE"
        call, _ = await made.call()
        with pytest.raises(AssentError) as ended:
            call.context.spawn(give(1), name="never")
        assert ended.value.code == "CALL_ENDED"


async def test_a_call_knows_when_it_began_and_when_it_will_be_stopped() -> None:
    async def execute(context: LocalContext, _: Any) -> list[int | None]:
        return [context.started_ms, context.deadline_ms]

    with bed() as made:
        bound = made.bound(execute)
        call = made.receive(bound)
        assert call.context.started_ms is None
        _, output = await made.call(bound, timeout_s=5)
        assert isinstance(output, list)
        started, deadline = output
        assert isinstance(started, int)
        assert deadline == started + 5000
        _, output = await made.call(bound)
        assert isinstance(output, list)
        assert output[1] is None
