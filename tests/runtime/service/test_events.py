"""What happens to a run is told as it becomes durable, in the process that drives it and in every other; nobody looks again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from assent.errors import InputError
from assent.journal.watch import StateWatch
from assent.runtime.service import answers, process, requests
from assent.runtime.service._reading import Reader
from assent.runtime.service.service import Service
from assent.spec.ids import RunId
from tests.support.bodies import Bench, Place, policy, workflow
from tests.support.patience import PATIENCE_S


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=policy())


def write(name: str) -> dict[str, Any]:
    return {"name": name, "capability": "io.fs.write_file", "inputs": {"path": name, "content": name}}


ASKS = workflow(write("a"), {"name": "ok", "approval": {"reason": "go on?"}}, write("b"))


async def waiting(rt: Bench) -> str:
    result = await rt.run(ASKS)
    assert result.status == "waiting"
    return str(result.run_id)


async def told(events: AsyncIterator[answers.RunEvent], seen: list[answers.RunEvent]) -> None:
    async for event in events:
        seen.append(event)


async def test_each_event_is_told_once_and_in_order_until_the_run_has_ended(place: Place) -> None:
    """Those that are there, then those to come; whoever listens later is told the same."""
    async with place.open() as rt:
        run = await waiting(rt)
        service = Service(rt.settings, rt._core)
        seen: list[answers.RunEvent] = []
        listening = asyncio.create_task(told(service.events(run), seen))
        await rt.approve(run)
        async with asyncio.timeout(PATIENCE_S):
            await listening
        wanted = [event.kind for event in rt.recorded(RunId(run))]
        assert [one.event["kind"] for one in seen] == wanted
        assert [one.n for one in seen] == [*range(len(wanted))]
        assert {one.run for one in seen} == {run}
        later = [one async for one in service.events(run, since=len(wanted) - 2)]
        assert later == seen[-2:]


async def test_who_listens_beside_the_owner_is_told_the_same(place: Place) -> None:
    """Nobody owns the state at first; then a process comes, decides and goes."""
    settings = place.settings()
    async with place.open(box=False) as rt:
        run = await waiting(rt)
    seen: list[answers.RunEvent] = []
    listening = asyncio.create_task(told(Service(settings).events(run), seen))
    approved = await asyncio.to_thread(process.perform, requests.Approve(run=run), settings)
    assert approved.status == "succeeded"
    async with asyncio.timeout(PATIENCE_S):
        await listening
    shown = process.perform(requests.Show(run=run), settings)
    assert [one.event for one in seen] == [leaf["event"] for leaf in shown.events]
    assert [one.n for one in seen] == [*range(len(shown.events))]


async def test_who_waits_is_woken_and_does_not_look_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a time in which nothing happens the record is read at its beginning and at its end."""
    looks = 0
    read = Reader.events

    async def counted(self: Reader, run: RunId, since: int) -> object:
        nonlocal looks
        looks += 1
        return await read(self, run, since)

    async with place.open() as rt:
        run = await waiting(rt)
        count = len(rt.recorded(RunId(run)))
    monkeypatch.setattr(Reader, "events", counted)
    asked = requests.Events(run=run, since=count, within_ms=1_500)
    assert [one async for one in Service(place.settings()).stream(asked)] == []
    assert looks <= 3


def test_a_command_hears_without_a_loop_of_its_own(place: Place) -> None:
    async def prepared() -> str:
        async with place.open() as rt:
            run = await waiting(rt)
            await rt.cancel(run)
            return run

    run = asyncio.run(prepared())
    events = [*process.stream(requests.Events(run=run), place.settings())]
    assert events[0].event["kind"] == "run.created"
    assert events[-1].event["kind"] == "run.cancelled"
    with pytest.raises(InputError) as refused:
        [*process.stream(requests.Events(run="run_9"), place.settings())]
    assert refused.value.code == "RUN_UNKNOWN"


async def test_the_end_of_an_owner_wakes_also_when_it_writes_nothing(place: Place, tmp_path: Path) -> None:
    """A killed process closes its connections and nothing else."""
    settings = place.settings()
    settings.create_state()
    runtime_dir = settings.runtime_dir()
    from assent.journal.owner._owner import socket_path

    address = socket_path(settings.state, runtime_dir)
    address.unlink(missing_ok=True)
    met = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        met.set()

    server = await asyncio.start_unix_server(serve, address)
    with StateWatch(settings.state, runtime_dir=runtime_dir) as watch:
        await asyncio.to_thread(watch.meet_owner)
        async with asyncio.timeout(PATIENCE_S):
            await met.wait()
            change = asyncio.create_task(watch.changed())
            await asyncio.sleep(0)
            assert not change.done()
            server.close()
            writers[0].transport.abort()
            await change
    address.unlink(missing_ok=True)
