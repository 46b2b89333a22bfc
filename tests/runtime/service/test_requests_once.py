"""What is asked under an id of the caller's begins one run, however often and by whichever door, and means one thing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from assent.errors import AssentError
from assent.runtime.service import requests
from assent.runtime.service.service import Service
from tests.support.bodies import Place, put, workflow

FLOW = workflow(put("a"), put("b", value="${{ inputs.v }}"), inputs={"v": {"type": "integer", "default": 1}})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_the_same_request_is_the_same_run_also_for_the_next_owner(place: Place) -> None:
    async with place.open() as rt:
        first = await rt.run(FLOW, {"v": 2}, id="deploy/1")
        assert first.status == "succeeded"
        assert (await rt.run(FLOW, {"v": 2}, id="deploy/1")).run_id == first.run_id
        other = await rt.call("box.put", {"key": "c"}, id="call 1")
    async with place.open() as rt:
        again = await rt.run(FLOW, {"v": 2}, id="deploy/1")
        assert (again.run_id, again.outputs) == (first.run_id, first.outputs)
        assert (await rt.call("box.put", {"key": "c"}, id="call 1")).run_id == other.run_id
        (created, *_) = rt.recorded(first.run_id)
        assert len(created.request_digest) == 64  # type: ignore[union-attr,arg-type]  # it is a `run.created`
    assert place.box.log.count("execute a") == place.box.log.count("execute c") == 1


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ({"inputs": {"v": 3}}, "REQUEST_REUSED"),
        ({"workflow": workflow(put("z"))}, "REQUEST_REUSED"),
        ({"environment": "prod"}, "REQUEST_REUSED"),
        ({"principal": "user:eve"}, "REQUEST_INVALID"),
        ({"id": "req_00000001"}, "REQUEST_INVALID"),
        ({"id": "a\nb"}, "REQUEST_INVALID"),
    ],
    ids=str,
)
async def test_an_id_means_one_request_of_one_principal(
    place: Place, what: dict[str, object], code: str
) -> None:
    asked: dict[str, object] = {"workflow": FLOW, "inputs": {"v": 2}, "id": "one"}
    async with place.open() as rt:
        await rt.run(**asked)  # type: ignore[arg-type]  # a table's
        with pytest.raises(AssentError) as refused:
            await rt.run(**asked | what)  # type: ignore[arg-type]  # as above
        assert (refused.value.code, len((await rt.runs()).runs)) == (code, 1)


async def test_requests_at_the_same_time_begin_one_run(place: Place) -> None:
    """Nothing of the first is durable when the others come; one that asks for something else learns it then, too."""
    async with place.open() as rt:
        asked = [rt.run(FLOW, {"v": 2}, id="one") for _ in range(5)]
        results = await asyncio.gather(*asked, rt.run(FLOW, id="one"), return_exceptions=True)
        runs = {one.run_id for one in results if not isinstance(one, BaseException)}
        assert (len(runs), place.box.log.count("execute a")) == (1, 1)
        (refused,) = [one for one in results if isinstance(one, BaseException)]
        assert isinstance(refused, AssentError)
        assert refused.code == "REQUEST_REUSED"


async def test_a_decision_is_given_once(place: Place) -> None:
    """The same answer to the same question under its id; a signal that was sent twice so came once."""
    flow = workflow(
        {"name": "w", "wait": {"signal": "go"}}, {"name": "again", "wait": {"signal": "go"}}, put("a")
    )
    async with place.open() as rt:
        run = (await rt.run(flow)).run_id
        service = Service(rt.settings, rt._core)
        for _ in range(2):
            sent = await service.perform(requests.Signal(run=run, name="go", payload=1), ident="sig-1")
            assert sent.status == "waiting"
        assert rt.kinds(run).count("signal.received") == 1
        with pytest.raises(AssentError) as refused:
            await service.perform(requests.Signal(run=run, name="go", payload=2), ident="sig-1")
        assert refused.value.code == "REQUEST_REUSED"


async def test_what_is_asked_at_the_same_time_is_done_once(place: Place) -> None:
    """Each finds what the first has put on record, whatever it asks for: by any door the service has one turn for an id."""
    flow = workflow({"name": "w", "wait": {"signal": "go"}}, {"name": "again", "wait": {"signal": "go"}})
    async with place.open() as rt:
        run = (await rt.run(flow)).run_id
        doors = [Service(rt.settings, rt._core) for _ in range(5)]
        signal = requests.Signal(run=run, name="go", payload=1)
        sent = await asyncio.gather(*[one.perform(signal, ident="sig-1") for one in doors])
        assert ({one.status for one in sent}, rt.kinds(run).count("signal.received")) == ({"waiting"}, 1)
        opened = await asyncio.gather(*[one.perform(requests.OpenSession(), ident="s-1") for one in doors])
        assert len({one.run_id for one in opened}) == 1


async def test_whoever_looked_just_before_the_first_was_done_does_it_not_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at the record may take longer than all that it did not see."""
    put_b = requests.Call(capability="box.put", parameters={"key": "b"})
    async with place.open() as rt:
        read, waits, seen = rt._core.ready.journal.rows, asyncio.Event(), asyncio.Event()

        async def late(table: str, *args: Any, **how: Any) -> Any:
            found = await read(table, *args, **how)
            if table == "run_requests" and not seen.is_set():
                seen.set()
                await waits.wait()
            return found

        monkeypatch.setattr(rt._core.ready.journal, "rows", late)
        doors = [Service(rt.settings, rt._core) for _ in range(2)]
        slow = asyncio.create_task(doors[0].perform(put_b, ident="c-1"))
        await seen.wait()
        quick = asyncio.create_task(doors[1].perform(put_b, ident="c-1"))
        await asyncio.wait({quick}, timeout=0.2)
        waits.set()
        assert (await slow).run_id == (await quick).run_id
    assert place.box.log.count("execute b") == 1
