"""A connection to the owner that stays: several requests at once, answers in parts, and what is said when somebody leaves.

That a request on it is answered as a command's is stands in `test_owner.py` and `test_owner_promises.py`.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from assent import system
from assent.errors import AssentError, WorldError
from assent.journal import Asked, Link, OwnerGoneError, Ownership, own_or_link
from assent.journal.owner import _frames as frames
from assent.journal.owner import _link
from assent.journal.owner._owner import connect, socket_path
from tests.journal.test_owner import Client, _echo, owner, request, serve, sockets, state
from tests.support.patience import PATIENCE_S

__all__ = ["owner", "sockets", "state"]  # fixtures


@asynccontextmanager
async def linked(state: Path, sockets: Path) -> AsyncIterator[Link]:
    """A link to whoever listens there."""
    link = await Link.open(state, runtime_dir=sockets, spawn=system.spawn, silence_s=30.0)
    assert link is not None
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def played(
    state: Path, sockets: Path, play: Callable[[Client], Awaitable[None]]
) -> AsyncIterator[Link]:
    """A link to an owner that a test plays, from the greeting on; what it plays has ended when this has."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        owner = Client(reader, writer)
        try:
            assert (await owner.hear_object())["kind"] == "hello"
            await play(owner)
        except BaseException as error:  # noqa: BLE001 - the test's own failure, told by it
            ended.set_exception(error)
        else:
            ended.set_result(None)
        finally:
            owner.close()

    async with await asyncio.start_unix_server(begin, socket_path(state, sockets)):
        async with linked(state, sockets) as link:
            yield link
        await ended


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what a thread does."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - no event comes of another's thread
            await asyncio.sleep(0.01)


def greet(owner: Client) -> None:
    owner.say(frames.Welcome(protocol=frames.PROTOCOL, pid=1, digests={}))


async def heard(owner: Client) -> frames.FromClient:
    """What the link says next."""
    return frames.from_client(await owner.hear_object())


async def test_whoever_meets_an_owner_becomes_its_client(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    serve(owner, _echo, sockets)
    link = await own_or_link(state, runtime_dir=sockets, spawn=system.spawn, silence_s=30.0)
    assert isinstance(link, Link)
    assert (await link.ask(request({"a": 1})))["echo"] == {"a": 1}
    await link.close()


async def test_requests_on_one_link_are_answered_as_they_end(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """Each hears what is said about itself, and no other's failure ends it."""
    may_end = asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        asked.mention({"of": asked.body["do"]})
        if asked.body["do"] == "fail":
            raise WorldError("RUN_BUSY", "no")
        if asked.body["do"] == "wait":
            await may_end.wait()
        return asked.body

    serve(owner, handler, sockets)
    told: list[dict[str, Any]] = []
    async with linked(state, sockets) as link:
        waiting = asyncio.create_task(link.ask(request({"do": "wait"}, on_progress=told.append)))
        with pytest.raises(WorldError) as failed:
            await link.ask(request({"do": "fail"}))
        assert failed.value.code == "RUN_BUSY"
        assert await link.ask(request({"do": "end"})) == {"do": "end"}
        assert not waiting.done()
        may_end.set()
        assert await waiting == {"do": "wait"}
    assert told == [{"of": "wait"}]


async def test_parts_of_an_answer_come_in_order(owner: Ownership, state: Path, sockets: Path) -> None:
    """News and signs of life are none, and the end of the parts is the end of the answer."""

    async def handler(asked: Asked) -> dict[str, Any]:
        for number in range(20):
            asked.mention({"news": number})
            await asked.tell({"part": number})
        return {}

    serve(owner, handler, sockets)
    async with linked(state, sockets) as link:
        assert [part["part"] async for part in link.parts(request({}))] == [*range(20)]


@pytest.mark.parametrize("listens", [True, False])
async def test_a_connection_that_comes_after_whoever_wanted_it_left_is_closed(
    owner: Ownership, state: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    """Nobody else could: what connects is a thread, and goes on."""
    connects, may_connect = threading.Event(), threading.Event()
    made: list[socket.socket | None] = []

    def late(*args: Any, **how: Any) -> socket.socket | None:
        connects.set()
        may_connect.wait()
        made.append(connect(*args, **how))
        return made[0]

    monkeypatch.setattr(_link, "connect", late)
    if listens:
        serve(owner, _echo, sockets)
    opening = asyncio.create_task(Link.open(state, runtime_dir=sockets, spawn=system.spawn, silence_s=30.0))
    try:
        await asyncio.to_thread(connects.wait)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    finally:
        may_connect.set()
    await until(lambda: bool(made) and (made[0] is None) != listens)
    await until(lambda: made[0] is None or made[0].fileno() == -1)


async def test_a_link_whose_closing_is_cancelled_is_closed(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    serve(owner, _echo, sockets)
    link = await Link.open(state, runtime_dir=sockets, spawn=system.spawn, silence_s=30.0)
    assert link is not None
    closing = asyncio.create_task(link.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert link._connection.fileno() == -1


@pytest.mark.parametrize("how", ["cancelled", "reads no further"])
async def test_whoever_stops_waiting_says_so(owner: Ownership, state: Path, sockets: Path, how: str) -> None:
    """Whoever performs the request learns of it, and the link serves the next one."""
    left = asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        if "stay" in asked.body:
            await asked.tell({"part": 1})
            await asked.left.wait()
            left.set()
        return {}

    serve(owner, handler, sockets)
    async with linked(state, sockets) as link:
        parts = link.parts(request({"stay": True}))
        assert await anext(parts) == {"part": 1}
        if how == "cancelled":
            waiting = asyncio.ensure_future(anext(parts))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
        else:
            await parts.aclose()  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE_S):
            await left.wait()
        assert await link.ask(request({})) == {}


async def test_what_was_answered_is_not_left_as_well(state: Path, sockets: Path) -> None:
    """Nothing is said about a request that is over: neither after its answer nor after its refusal."""

    async def play(owner: Client) -> None:
        greet(owner)
        ask = await heard(owner)
        assert isinstance(ask, frames.Ask)
        owner.say(frames.Result(id=ask.id, answer={"a": 1}))
        ask = await heard(owner)
        assert isinstance(ask, frames.Ask)
        owner.say(frames.Failed.of(ask.id, WorldError("RUN_BUSY", "no")))
        assert await owner.reader.read() == b""

    async with played(state, sockets, play) as link:
        assert await link.ask(request({}, patience_s=0.99)) == {"a": 1}
        with pytest.raises(WorldError, match="no"):
            await link.ask(request({}))


async def test_a_request_that_comes_to_its_last_moment_is_withdrawn(state: Path, sockets: Path) -> None:
    """Once; and it waits on for what had been taken by then. An owner that greets only afterwards is asked nothing."""

    async def play(owner: Client) -> None:
        leave = await heard(owner)
        assert isinstance(leave, frames.Leave)
        assert not leave.if_taken
        greet(owner)
        owner.say(frames.Left(id=leave.id, was_taken=False))
        ask = await heard(owner)
        assert isinstance(ask, frames.Ask)
        leave = await heard(owner)
        assert leave == frames.Leave(id=ask.id, if_taken=False)
        owner.say(frames.Accepted(id=ask.id))
        owner.say(frames.Left(id=ask.id, was_taken=True))
        owner.say(frames.Result(id=ask.id, answer={"a": 1}))
        assert await owner.reader.read() == b""

    told: list[dict[str, Any]] = []
    async with played(state, sockets, play) as link:
        with pytest.raises(WorldError) as withdrawn:
            await link.ask(request({}, patience_s=0.0, on_progress=told.append))
        assert withdrawn.value.code == "STATE_OWNED"
        assert await link.ask(request({}, patience_s=0.05, on_progress=told.append)) == {"a": 1}
    assert told == []


@pytest.mark.parametrize(("is_taken", "code"), [(True, "OWNER_SILENT"), (False, "STATE_OWNED")])
async def test_an_owner_that_is_silent_past_the_last_moment_is_given_up(
    state: Path, sockets: Path, is_taken: bool, code: str
) -> None:
    """After a silence like any other: who has taken a request may take its time, and who was told of its end has to answer."""

    async def play(owner: Client) -> None:
        greet(owner)
        ask = await heard(owner)
        assert isinstance(ask, frames.Ask)
        if is_taken:
            owner.say(frames.Accepted(id=ask.id))
        await owner.reader.read()

    async with played(state, sockets, play) as link:
        with pytest.raises(WorldError) as silent:
            async with asyncio.timeout(15):
                await link.ask(request({}, patience_s=0.02, silence_s=0.1))
        assert silent.value.code == code


async def test_an_owner_that_speaks_of_other_requests_is_not_silent(state: Path, sockets: Path) -> None:
    """Only when nothing comes is it given up."""

    async def play(owner: Client) -> None:
        greet(owner)
        ask = await heard(owner)
        assert isinstance(ask, frames.Ask)
        for _ in range(20):
            owner.say(frames.Progress(id="req_other", report={}))
            await asyncio.sleep(0.02)
        owner.say(frames.Result(id=ask.id, answer={"a": 1}))
        await owner.reader.read()

    async with played(state, sockets, play) as link:
        assert await link.ask(request({}, silence_s=0.1)) == {"a": 1}


async def test_what_is_said_about_the_connection_ends_every_request(state: Path, sockets: Path) -> None:
    """What was not taken fails with it; what was taken may have been carried out, and so does what is asked afterwards."""

    async def play(owner: Client) -> None:
        greet(owner)
        ids = [ask.id for _ in range(2) if isinstance(ask := await heard(owner), frames.Ask)]
        owner.say(frames.Accepted(id=ids[0]))
        owner.say(frames.Failed.of(None, WorldError("RUN_BUSY", "no")))
        await owner.reader.read()

    async with played(state, sockets, play) as link:
        found = await asyncio.gather(*[link.ask(request({})) for _ in range(2)], return_exceptions=True)
        codes = [error.code for error in found if isinstance(error, AssentError)]
        assert codes == ["OWNER_LOST", "RUN_BUSY"]
        with pytest.raises(WorldError, match="no"):
            await link.ask(request({}))


async def test_whoever_waits_on_a_link_that_closes_is_told(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """As of an owner that ended: by whether the request was taken; and so is whoever asks afterwards."""
    begun = asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        begun.set()
        await asked.left.wait()
        return {}

    serve(owner, handler, sockets)
    async with linked(state, sockets) as link:
        waiting = asyncio.create_task(link.ask(request({})))
        await begun.wait()
        await asyncio.sleep(0.05)
    with pytest.raises(WorldError) as lost:
        await waiting
    assert lost.value.code == "OWNER_LOST"
    with pytest.raises(OwnerGoneError):
        await link.ask(request({}))


async def test_what_had_come_is_still_read_when_the_link_has_closed(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """Closing waits for no reader, and whoever had something to take takes it before hearing that there is no more."""
    told = asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        for number in range(3):
            await asked.tell({"part": number})
        told.set()
        await asked.left.wait()
        return {}

    serve(owner, handler, sockets)
    async with linked(state, sockets) as link:
        parts = link.parts(request({}))
        assert await anext(parts) == {"part": 0}
        await told.wait()
        await asyncio.sleep(0.05)
    assert await anext(parts) == {"part": 1}
    with pytest.raises(WorldError) as lost:
        await anext(parts)
    assert lost.value.code == "OWNER_LOST"
