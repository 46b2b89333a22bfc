"""What a client of the owner may rely on: what it was told is true, also when either of the two was stopped at any moment."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from assent import system
from assent.errors import AssentError, InputError, WorldError
from assent.journal import Asked, Home, Ownership
from assent.journal.owner import _frames as frames
from assent.journal.owner._owner import socket_path
from tests.journal.test_owner import (
    COMMAND,
    HOME,
    Client,
    Way,
    _ask,
    _echo,
    _greet,
    _hear,
    _listening,
    owner,
    request,
    serve,
    sockets,
    state,
    way,
)
from tests.support.patience import PATIENCE_S

__all__ = ["owner", "sockets", "state", "way"]  # fixtures


class Counting:
    """A handler that counts what it was asked, and answers when it may."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, asked: Asked) -> dict[str, Any]:
        self.bodies.append(asked.body)
        self.begun.set()
        await self.may_end.wait()
        return {"number": len(self.bodies)}


async def test_what_was_given_up_is_never_begun(
    owner: Ownership, state: Path, sockets: Path, way: Way
) -> None:
    """The owner's program keeps its loop busy past the request's last moment; when it is free again, nothing happens."""
    handler = Counting()
    serve(owner, handler, sockets)
    with pytest.raises(WorldError) as given_up:
        way.ask(state, request({"do": "delete"}, patience_s=0.1), runtime_dir=sockets)  # on the very loop
    assert given_up.value.code == "STATE_OWNED"
    assert await _ask(way, state, sockets, {"do": "look"}) == {"number": 1}
    assert handler.bodies == [{"do": "look"}]


async def test_whoever_waits_for_a_busy_owner_is_told_and_then_served(
    owner: Ownership, state: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    """The serving thread answers for a program that blocks its loop, and the request is taken when it is back."""
    monkeypatch.setattr("assent.journal.owner._lines.ALIVE_S", 0.01)
    serve(owner, Counting(), sockets)
    told = threading.Event()

    def hear(report: dict[str, Any]) -> None:
        assert report["busy_ms"] > 0
        told.set()

    asking = asyncio.get_running_loop().run_in_executor(
        None, lambda: way.ask(state, request({}, on_progress=hear), runtime_dir=sockets)
    )
    assert told.wait(60)  # Blocks the loop that performs requests.
    assert await asking == {"number": 1}


async def test_at_the_last_moment_both_ends_believe_the_same(
    owner: Ownership, state: Path, sockets: Path, way: Way
) -> None:
    """Wherever the client's patience ends, what it says is what happened: not reached and not done, or done."""
    handler = Counting()
    serve(owner, handler, sockets)
    codes: dict[int, str] = {}

    def ask_all() -> None:
        for number in range(150):
            patience_s = (number % 15) * 0.0001
            try:
                way.ask(state, request({"number": number}, patience_s=patience_s), runtime_dir=sockets)
            except AssentError as error:
                codes[number] = error.code

    await asyncio.to_thread(ask_all)
    await _ask(way, state, sockets, {"number": -1})
    done = {body["number"] for body in handler.bodies}
    not_reached = {number for number, code in codes.items() if code == "STATE_OWNED"}
    assert not done & not_reached
    assert done | not_reached == set(range(-1, 150))


@pytest.mark.parametrize("is_taken", [False, True])
def test_silence_is_told_by_what_the_owner_had_said(
    state: Path, sockets: Path, is_taken: bool, way: Way
) -> None:
    """Before the owner took it the request is void; afterwards nobody may say so, and it must not be asked anew."""
    with _listening(state, sockets) as listener:
        given_up = threading.Event()

        def be_silent() -> None:
            connection, _ = listener.accept()
            with connection:
                ask = _greet(connection)
                if is_taken:
                    connection.sendall(frames.encode_message(frames.Accepted(id=ask.id)))
                assert given_up.wait(60)
                with pytest.raises(BrokenPipeError):
                    connection.sendall(frames.encode_message(frames.Accepted(id=ask.id)))

        playing = threading.Thread(target=be_silent)
        playing.start()
        with pytest.raises(WorldError) as silent:
            way.ask(state, request({}, silence_s=0.2), runtime_dir=sockets)
        given_up.set()
        playing.join()
    assert silent.value.code == ("OWNER_SILENT" if is_taken else "STATE_OWNED")


async def test_a_request_past_its_last_moment_is_not_taken(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """As one of a client that was itself stopped for an hour, and still holds its connection."""
    handler = Counting()
    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    client.say(frames.Ask(id="req_1", until_ms=system.SystemClock().monotonic_ms() - 1, body={}))
    refused = await client.hear()
    assert isinstance(refused, frames.Failed)
    assert (refused.id, refused.error["code"]) == ("req_1", "STATE_OWNED")
    assert handler.bodies == []
    client.close()


@pytest.mark.parametrize("ident", ["", "a b", 'a"b', "\u00fc", "a\n", "a" * 65])
async def test_an_id_that_no_entry_could_hold_is_not_taken(
    owner: Ownership, state: Path, sockets: Path, ident: str
) -> None:
    """The run that it begins keeps it."""
    handler = Counting()
    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    client.say(frames.Ask(id=ident, until_ms=system.SystemClock().monotonic_ms() + 60_000, body={}))
    refused = await client.hear()
    assert isinstance(refused, frames.Failed)
    assert (refused.id, refused.error["code"]) == (None, "FRAME_INVALID")
    assert handler.bodies == []
    client.close()


async def test_asked_twice_under_one_id_it_is_done_once(owner: Ownership, state: Path, sockets: Path) -> None:
    """The second attempt, also on another connection, gets what the first one came to: while it works, and later."""
    handler = Counting()
    handler.may_end.clear()
    serve(owner, handler, sockets)
    first, second = await Client.of(state, sockets), await Client.of(state, sockets)
    first.ask("req_1", do="add")
    await handler.begun.wait()
    second.ask("req_1", do="add")
    assert await second.hear() == frames.Accepted(id="req_1")
    handler.may_end.set()
    answer = frames.Result(id="req_1", answer={"number": 1})
    assert await second.hear() == answer
    assert [await first.hear(), await first.hear()] == [frames.Accepted(id="req_1"), answer]
    first.close()
    third = await Client.of(state, sockets)
    third.ask("req_1", do="add")
    assert [await third.hear(), await third.hear()] == [frames.Accepted(id="req_1"), answer]
    assert len(handler.bodies) == 1
    third.ask("req_1", do="something else")
    refused = await third.hear()
    assert isinstance(refused, frames.Failed)
    assert refused.error["code"] == "REQUEST_INVALID"
    second.close()
    third.close()


async def test_of_two_that_come_at_once_under_one_id_the_second_is_refused(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """Neither is known when it comes: what is asked first is done, and what is something else never gets its answer."""
    handler = Counting()
    serve(owner, handler, sockets)
    clients = [await Client.of(state, sockets) for _ in range(2)]
    for do, client in enumerate(clients):
        client.ask("req_1", do=do)
    told: list[object] = []
    for client in clients:
        while not isinstance(answer := await client.hear(), frames.Failed | frames.Result):
            pass  # the second is perhaps accepted before it is refused
        told.append(answer)
    codes = {one.error["code"] if isinstance(one, frames.Failed) else "" for one in told}
    assert (codes, len(handler.bodies)) == ({"", "REQUEST_INVALID"}, 1)
    for client in clients:
        client.close()


@pytest.mark.parametrize("body", ['"\u00e9' + "\u00e9" * 3_000_000 + '"', "[" * 940 + "]" * 940])
async def test_whatever_can_be_read_is_answered(
    owner: Ownership, state: Path, sockets: Path, body: str
) -> None:
    """Also what would be larger in our own words than a frame may be, and nesting at the edge of what we follow."""

    async def handler(asked: Asked) -> dict[str, Any]:
        return {"keys": [*asked.body]}

    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    until_ms = system.SystemClock().monotonic_ms() + 60_000
    said = f'{{"kind":"ask","id":"req_1","until_ms":{until_ms},"body":{{"a":{body}}}}}'.encode()
    client.writer.write(len(said).to_bytes(4, "big") + said)
    async with asyncio.timeout(60):
        last: frames.FromOwner = frames.Alive(busy_ms=0)
        while not isinstance(last, frames.Result | frames.Failed):
            last = await client.hear()
    client.close()


async def test_what_is_remembered_is_bounded(
    owner: Ownership, state: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old answers are forgotten, the oldest first; what is under way never is."""
    monkeypatch.setattr("assent.journal.owner._serving.REMEMBERED_MAX", 2)
    handler = Counting()
    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    for ident in ("req_1", "req_2", "req_3", "req_3", "req_1"):
        client.ask(ident)
        assert await client.hear() == frames.Accepted(id=ident)
        assert isinstance(await client.hear(), frames.Result)
    assert len(handler.bodies) == 4
    client.close()


async def test_requests_of_one_connection_are_answered_as_they_end(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """A later one does not wait for an earlier one."""
    first_may_end = asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        if asked.id == "req_1":
            await first_may_end.wait()
        return {}

    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    client.ask("req_1")
    assert await client.hear() == frames.Accepted(id="req_1")
    client.ask("req_2")
    assert [await client.hear(), await client.hear()] == [
        frames.Accepted(id="req_2"),
        frames.Result(id="req_2", answer={}),
    ]
    first_may_end.set()
    assert await client.hear() == frames.Result(id="req_1", answer={})
    client.close()


async def test_leaving_ends_the_waiting_and_not_the_work(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """Who performs the request learns of it; the answer is told nobody, and the connection goes on."""
    ended = asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        if asked.id == "req_1":
            await asked.left.wait()
            ended.set()
        return {}

    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    client.ask("req_1")
    assert await client.hear() == frames.Accepted(id="req_1")
    client.say(frames.Leave(id="req_1"))
    assert await client.hear() == frames.Left(id="req_1", was_taken=True)
    await ended.wait()
    client.ask("req_2")
    assert [await client.hear(), await client.hear()] == [
        frames.Accepted(id="req_2"),
        frames.Result(id="req_2", answer={}),
    ]
    client.close()


async def test_asked_again_after_the_first_asker_left_a_stream_it_is_begun_anew(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """What is only told ends with whoever it is told to; a second attempt under its id does not wait for that one's end."""
    begun: asyncio.Queue[None] = asyncio.Queue()
    may_end = asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        assert asked.watch is not None
        asked.watch()
        begun.put_nowait(None)
        await may_end.wait()
        return {}

    serve(owner, handler, sockets)
    first, second = await Client.of(state, sockets), await Client.of(state, sockets)
    first.ask("req_1")
    await begun.get()
    second.ask("req_1")
    assert await second.hear() == frames.Accepted(id="req_1")
    first.say(frames.Leave(id="req_1"))
    async with asyncio.timeout(PATIENCE_S):
        await begun.get()
    may_end.set()
    assert await second.hear() == frames.Result(id="req_1", answer={})
    first.close()
    second.close()


async def test_what_was_left_before_it_was_taken_is_not_done(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """Both frames are read while the owner's loop does something else."""
    handler = Counting()
    serve(owner, handler, sockets)

    def ask_and_leave() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(socket_path(state, sockets)))
            connection.sendall(frames.encode_message(frames.Hello(protocol=frames.PROTOCOL)))
            assert _hear(connection)["kind"] == "welcome"
            ask = frames.Ask(id="req_1", until_ms=1 << 60, body={})
            connection.sendall(frames.encode_message(ask) + frames.encode_message(frames.Leave(id="req_1")))
            assert _hear(connection) == {"kind": "left", "id": "req_1", "was_taken": False}

    leaving = threading.Thread(target=ask_and_leave)
    leaving.start()
    leaving.join()  # Blocks the loop that performs requests.
    assert await _ask(COMMAND, state, sockets, {"do": "look"}) == {"number": 1}
    assert handler.bodies == [{"do": "look"}]


async def test_parts_of_an_answer_wait_for_a_client_that_does_not_read(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """They are never left out, so whoever makes them is held up, and goes on when the client has gone."""
    told = 0
    ended = asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        nonlocal told
        while not asked.left.is_set():
            await asked.tell({"text": "x" * 100_000})
            told += 1
        ended.set()
        return {}

    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    client.ask("req_1")
    assert isinstance(await client.hear(), frames.Accepted)
    for _ in range(20):
        assert isinstance(await client.hear(), frames.Item)
    client.close()
    async with asyncio.timeout(60):
        await ended.wait()
    assert told >= 19


async def test_a_client_that_does_not_read_is_not_heard(
    owner: Ownership, state: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that it leaves unread must not fill the owner's memory. Once it reads, it is heard again."""
    monkeypatch.setattr("assent.journal.owner._lines.FRAME_BYTES_MAX", 100_000)
    serve(owner, _echo, sockets)
    client = await Client.of(state, sockets)
    leave = frames.encode_message(frames.Leave(id="x" * 100_000))
    sent = 0
    with suppress(TimeoutError):
        while sent < 300:
            client.writer.write(leave)
            await asyncio.wait_for(client.writer.drain(), 2)
            sent += 1
    assert sent < 100, "what no socket's queue holds is not read"
    for _ in range(sent):
        assert await client.hear() == frames.Left(id="x" * 100_000, was_taken=False)
    assert await _ask(COMMAND, state, sockets, {"a": 1}) is not None
    client.close()


async def test_nothing_is_begun_for_a_client_that_can_not_be_told(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """Its end is closed for reading, as of whoever has given up: neither what it asked then nor what it asks later is done."""
    handler = Counting()
    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    client.ask("req_1")
    client.writer.get_extra_info("socket").shutdown(socket.SHUT_RD)
    for number in range(2, 4):
        await asyncio.sleep(0.05)
        client.ask(f"req_{number}")
    await asyncio.sleep(0.05)
    assert await _ask(COMMAND, state, sockets, {}) == {"number": 1}
    client.close()


async def test_what_is_said_while_a_long_answer_is_written_comes_behind_it(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """Though the socket has room again before the task that writes the rest has come to it."""
    may_write = threading.Event()

    def spawn_late(work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        async def late() -> None:
            if name == "owner's word":
                await asyncio.to_thread(may_write.wait, 60)
            await work

        return system.spawn(late(), name=name)

    answers = {"req_1": {"long": "x" * 1_000_000}, "req_2": {"short": "y"}}

    async def handler(asked: Asked) -> dict[str, Any]:
        return answers[asked.id]

    owner.serve(handler, runtime_dir=sockets, home=Home(spawn_late, HOME.clock))
    client = await Client.of(state, sockets)
    for ident in answers:
        client.ask(ident)
        await asyncio.sleep(0.1)  # The client reads what has come.
    may_write.set()
    said = [message for _ in range(4) if isinstance(message := await client.hear(), frames.Result)]
    assert {message.id: message.answer for message in said} == answers
    client.close()


async def test_news_is_left_out_for_a_client_that_does_not_read(
    owner: Ownership, state: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is not."""
    monkeypatch.setattr("assent.journal.owner._lines.FRAME_BYTES_MAX", 100_000)

    async def handler(asked: Asked) -> dict[str, Any]:
        for number in range(50):
            asked.mention({"number": number, "long": "x" * 100_000})
        return {"done": True}

    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    client.ask("req_1")
    assert await client.hear() == frames.Accepted(id="req_1")
    await asyncio.sleep(0.1)
    told = 0
    while isinstance(last := await client.hear(), frames.Progress):
        told += 1
    assert last == frames.Result(id="req_1", answer={"done": True})
    assert 0 < told < 50
    client.close()


async def test_a_client_of_the_first_protocol_is_told_in_its_own_words(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """It began with a request, and read `error` and `family`. Nothing is done."""
    handler = Counting()
    serve(owner, handler, sockets)
    old = Client(*await asyncio.open_unix_connection(socket_path(state, sockets)))
    old.writer.write(frames.encode_frame({"op": "call", "capability": "sys.noop"}))
    answer = await old.hear_object()
    assert answer["family"] == "world"
    assert answer["error"]["code"] == "PROTOCOL_MISMATCH"
    assert await old.reader.read() == b""
    old.close()
    assert handler.bodies == []


async def test_a_client_of_a_later_protocol_is_refused(owner: Ownership, state: Path, sockets: Path) -> None:
    """At once, with both versions."""
    serve(owner, _echo, sockets)
    client = Client(*await asyncio.open_unix_connection(socket_path(state, sockets)))
    client.say(frames.Hello(protocol=99))
    refused = await client.hear()
    assert isinstance(refused, frames.Failed)
    assert refused.error["code"] == "PROTOCOL_MISMATCH"
    assert refused.error["details"] == {"protocol": 99, "wanted": frames.PROTOCOL}
    client.close()


@pytest.mark.parametrize(
    "first",
    [
        {"accepted": 1},
        {"error": {"code": "REQUEST_INVALID", "message": "`None` is not an operation"}, "family": "internal"},
        {"kind": "welcome", "protocol": 99, "pid": 1, "digests": {}},
    ],
    ids=["first", "first-refusing", "later"],
)
def test_an_owner_of_another_protocol_is_told_as_such(
    state: Path, sockets: Path, first: dict[str, Any], way: Way
) -> None:
    """The request is never sent to it."""
    heard: list[bytes] = []
    with _listening(state, sockets) as listener:

        def play() -> None:
            connection, _ = listener.accept()
            with connection:
                assert _hear(connection)["kind"] == "hello"
                connection.sendall(frames.encode_frame(first))
                heard.append(connection.recv(100))

        playing = threading.Thread(target=play)
        playing.start()
        with pytest.raises(WorldError) as refused:
            way.ask(state, request({}), runtime_dir=sockets)
        playing.join()
    assert refused.value.code == "PROTOCOL_MISMATCH"
    assert heard == [b""]


async def test_the_first_frame_tells_what_governs_the_owner(
    owner: Ownership, state: Path, sockets: Path, way: Way
) -> None:
    """A request that wants it so is refused under anything else, and says what differs; others are not."""
    digests = {"policy": "p1", "roles": "r1", "settings": "s1"}
    handler = Counting()
    home = Home(HOME.spawn, HOME.clock, lambda: digests)
    owner.serve(handler, runtime_dir=sockets, home=home)
    client = Client(*await asyncio.open_unix_connection(socket_path(state, sockets)))
    client.say(frames.Hello(protocol=frames.PROTOCOL))
    welcome = await client.hear()
    assert isinstance(welcome, frames.Welcome)
    assert welcome.digests == digests
    client.close()

    assert await _ask(way, state, sockets, {}, under=lambda: dict(digests)) == {"number": 1}
    digests["policy"] = "p2"
    with pytest.raises(WorldError) as refused:
        await _ask(way, state, sockets, {}, under=lambda: {**digests, "policy": "p1", "roles": "r9"})
    assert refused.value.code == "OWNER_DIFFERS"
    assert refused.value.details == {"differing": ["policy", "roles"]}
    assert await _ask(way, state, sockets, {}) == {"number": 2}


async def test_too_many_on_one_connection_are_refused(
    owner: Ownership, state: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is the connection's own: others are served."""
    monkeypatch.setattr("assent.journal.owner._lines.REQUESTS_MAX", 1)
    handler = Counting()
    handler.may_end.clear()
    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    client.ask("req_1")
    assert await client.hear() == frames.Accepted(id="req_1")
    client.ask("req_2")
    refused = await client.hear()
    assert isinstance(refused, frames.Failed)
    assert (refused.id, refused.error["code"]) == ("req_2", "REQUEST_INVALID")
    handler.may_end.set()
    assert await _ask(COMMAND, state, sockets, {}) == {"number": 2}
    client.close()


def test_a_message_that_is_none_is_refused() -> None:
    """A frame whose object has another shape is told as nonsense, whatever it lacks."""
    for found in ({}, {"kind": "ask"}, {"kind": "ask", "id": 1, "until_ms": "x", "body": []}, {"kind": "no"}):
        with pytest.raises(InputError) as refused:
            frames.from_client(found)
        assert refused.value.code == "FRAME_INVALID"
        with pytest.raises(InputError):
            frames.from_owner(found)
