"""One owner per state directory, and everybody else's requests forwarded to it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from assent import system
from assent.errors import InputError, InternalError, RefusedError, WorldError
from assent.journal import (
    Asked,
    Home,
    Link,
    OwnerGoneError,
    Ownership,
    Request,
    acquire_or_forward,
    forward,
    is_owned,
    own_or_link,
)
from assent.journal.owner import _frames as frames
from assent.journal.owner._owner import LOCK_FILE, socket_path
from assent.journal.owner._serving import Handler
from tests.support.patience import PATIENCE_S

T = TypeVar("T")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A short folder: a socket's path has 108 bytes at most, and pytest's folders are long."""
    with tempfile.TemporaryDirectory(prefix="assent-") as folder:
        yield Path(folder)


@pytest.fixture
def open_folder(sockets: Path) -> Path:
    folder = sockets / "open"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
async def owner(state: Path) -> AsyncIterator[Ownership]:
    ownership = Ownership.acquire(state)
    assert ownership is not None
    yield ownership
    await ownership.close()


HOME = Home(system.spawn, system.SystemClock())


def request(body: dict[str, Any], **how: Any) -> Request:
    return Request(
        **{"id": system.SystemIds().request_id(), "clock": system.SystemClock(), "body": body, **how}
    )


class Way(NamedTuple):
    """How a process asks the owner, and how it comes to be the owner or a client; both are called from any thread."""

    ask: Callable[..., dict[str, Any] | None]
    come: Callable[..., object]


def _linked(state: Path, asked: Request, *, runtime_dir: Path) -> dict[str, Any] | None:
    """`forward`, with a connection that could stay."""

    async def ask() -> dict[str, Any] | None:
        link = await Link.open(state, runtime_dir=runtime_dir, spawn=system.spawn, silence_s=asked.silence_s)
        if link is None:
            return None
        try:
            return await link.ask(asked)
        except OwnerGoneError:
            return None
        finally:
            await link.close()

    return _on_a_loop(ask())


def _own_or_linked(state: Path, asked: Request, *, runtime_dir: Path) -> object:
    return _on_a_loop(
        own_or_link(state, runtime_dir=runtime_dir, spawn=system.spawn, silence_s=asked.silence_s)
    )


def _on_a_loop(work: Coroutine[Any, Any, T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


COMMAND, PROGRAM = Way(forward, acquire_or_forward), Way(_linked, _own_or_linked)


@pytest.fixture(params=[COMMAND, PROGRAM], ids=["command", "program"])
def way(request: pytest.FixtureRequest) -> Way:
    """What holds for a command that asks once holds for a program that stays."""
    found: Way = request.param
    return found


async def _ask(
    way: Way, state: Path, sockets: Path, body: dict[str, Any], **how: Any
) -> dict[str, Any] | None:
    """From a thread of its own, as another process would call it."""
    return await asyncio.to_thread(way.ask, state, request(body, **how), runtime_dir=sockets)


def serve(owner: Ownership, handler: Handler, sockets: Path) -> None:
    owner.serve(handler, runtime_dir=sockets, home=HOME)


async def _echo(asked: Asked) -> dict[str, Any]:
    return {"echo": asked.body, "uid": asked.peer.uid}


class Client:
    """The other end of a connection, message by message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, state: Path, sockets: Path) -> Client:
        self = cls(*await asyncio.open_unix_connection(socket_path(state, sockets)))
        self.say(frames.Hello(protocol=frames.PROTOCOL))
        assert isinstance(await self.hear(), frames.Welcome)
        return self

    def say(self, message: frames.Message) -> None:
        self.writer.write(frames.encode_message(message))

    def ask(self, ident: str, **body: Any) -> None:
        self.say(frames.Ask(id=ident, until_ms=system.SystemClock().monotonic_ms() + 60_000, body=body))

    async def hear_object(self) -> dict[str, Any]:
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        found = json.loads(await self.reader.readexactly(size))
        assert isinstance(found, dict)
        return found

    async def hear(self) -> frames.FromOwner:
        return frames.from_owner(await self.hear_object())

    def close(self) -> None:
        self.writer.close()


def test_second_owner_is_refused_until_the_first_lets_go(state: Path) -> None:
    """The lock has one holder; giving it back, once or twice, makes room for the next."""
    first = Ownership.acquire(state)
    assert first is not None
    assert Ownership.acquire(state) is None
    first.release()
    first.release()
    second = Ownership.acquire(state)
    assert second is not None
    second.release()


def test_lock_of_a_killed_process_is_free(state: Path) -> None:
    """The kernel gives the lock back however its holder ended; the file itself stays."""
    script = (
        "import sys, pathlib; from assent.journal import Ownership\n"
        "held = Ownership.acquire(pathlib.Path(sys.argv[1])); print(held is not None, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert Ownership.acquire(state) is None
        holder.kill()
        holder.wait()
    taken = Ownership.acquire(state)
    assert taken is not None
    assert (state / LOCK_FILE).exists()
    taken.release()


async def test_a_fork_of_the_owner_owns_nothing(state: Path, sockets: Path) -> None:
    """What a program forked (a pool's workers) and what outlives it keeps neither lock nor connections: whoever asked is told."""
    script = (
        "import asyncio, os, sys, pathlib\n"
        "from assent import system\n"
        "from assent.journal import Home, Ownership\n"
        "async def fork_and_hang(asked):\n"
        "    if os.fork() == 0:\n"
        "        held.release()\n"
        "        print('forked', flush=True)\n"
        "        sys.stdin.read()\n"
        "        os._exit(0)\n"
        "    await asyncio.Event().wait()\n"
        "async def main():\n"
        "    global held\n"
        "    held = Ownership.acquire(pathlib.Path(sys.argv[1]))\n"
        "    home = Home(system.spawn, system.SystemClock())\n"
        "    held.serve(fork_and_hang, runtime_dir=pathlib.Path(sys.argv[2]), home=home)\n"
        "    print('serving', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(state), str(sockets)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "serving\n"
        asking = asyncio.gather(_ask(COMMAND, state, sockets, {}, silence_s=60.0))
        assert await asyncio.to_thread(holder.stdout.readline) == "forked\n"
        # That the fork lets go changes nothing for the owner.
        assert Ownership.acquire(state) is None
        assert is_owned(state, runtime_dir=sockets)
        holder.kill()
        holder.wait()
        with pytest.raises(WorldError) as lost:
            await asking
        assert lost.value.code == "OWNER_LOST"
        taken = Ownership.acquire(state)
        assert taken is not None
        taken.release()


def test_lock_and_folder_are_the_owners_alone(state: Path) -> None:
    """The state directory is 0700 and its lock 0600; a folder that others may enter is refused."""
    ownership = Ownership.acquire(state)
    assert ownership is not None
    ownership.release()
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / LOCK_FILE).stat().st_mode) == 0o600
    state.chmod(0o755)
    with pytest.raises(InputError) as refused:
        Ownership.acquire(state)
    assert refused.value.code == "STATE_UNSAFE"


def test_a_state_that_can_not_be_written_is_told_why(state: Path) -> None:
    """As on a disk that is read-only: whoever may not write its lock can't be its owner."""
    (state / LOCK_FILE).mkdir(parents=True)
    state.chmod(0o700)
    with pytest.raises(WorldError) as caught:
        Ownership.acquire(state)
    assert caught.value.code == "STATE_UNUSABLE"
    assert str(state) in caught.value.message
    assert caught.value.hint is not None


async def test_an_owner_that_can_not_say_where_it_listens_is_told_why(state: Path, sockets: Path) -> None:
    """A link stands where its word would be written: it is not followed, and the failure is one of ours."""
    ownership = Ownership.acquire(state)
    assert ownership is not None
    (state / ".socket").symlink_to(state / "elsewhere")
    with pytest.raises(WorldError) as caught:
        serve(ownership, _echo, sockets)
    assert caught.value.code == "STATE_UNUSABLE"
    assert not (state / "elsewhere").exists()
    ownership.release()


async def test_request_is_answered_by_the_owner(
    owner: Ownership, state: Path, sockets: Path, way: Way
) -> None:
    """The owner's handler gets the request and the asking user, and its answer comes back."""
    serve(owner, _echo, sockets)
    assert await _ask(way, state, sockets, {"do": "run"}) == {"echo": {"do": "run"}, "uid": os.geteuid()}


async def test_progress_arrives_in_order_before_the_answer(
    owner: Ownership, state: Path, sockets: Path, way: Way
) -> None:
    """What the handler emits is shown to the asker as it comes."""

    async def handler(asked: Asked) -> dict[str, Any]:
        for number in range(5):
            asked.mention({"step": number})
        return {"done": True}

    serve(owner, handler, sockets)
    seen: list[dict[str, Any]] = []
    assert await _ask(way, state, sockets, {}, on_progress=seen.append) == {"done": True}
    assert seen == [{"step": number} for number in range(5)]


async def test_owners_error_is_the_askers_error(
    owner: Ownership, state: Path, sockets: Path, way: Way
) -> None:
    """An error of ours crosses the socket with all its fields and its family."""

    async def handler(asked: Asked) -> dict[str, Any]:
        raise RefusedError("POLICY_DENIED", "no", path="a:1:2", hint="ask", details={"rule": "r"})

    serve(owner, handler, sockets)
    with pytest.raises(RefusedError) as refused:
        await _ask(way, state, sockets, {})
    assert refused.value.to_dict() == {
        "code": "POLICY_DENIED",
        "message": "no",
        "path": "a:1:2",
        "hint": "ask",
        "details": {"rule": "r"},
    }


async def test_unexpected_failure_ends_the_request_and_not_the_owner(
    owner: Ownership, state: Path, sockets: Path, way: Way
) -> None:
    """A handler's bug is told as an internal error, and the next request is served."""

    async def handler(asked: Asked) -> dict[str, Any]:
        if asked.body["by"] is None:
            raise MemoryError
        return {"answer": 1 // int(asked.body["by"])}

    serve(owner, handler, sockets)
    with pytest.raises(InternalError) as failed:
        await _ask(way, state, sockets, {"by": 0})
    assert failed.value.code == "INTERNAL_ERROR"
    with pytest.raises(WorldError) as lacking:
        await _ask(way, state, sockets, {"by": None})
    assert lacking.value.code == "MACHINE_EXHAUSTED"
    assert await _ask(way, state, sockets, {"by": 1}) == {"answer": 1}


async def test_clients_that_wait_for_nothing_make_room(
    owner: Ownership, state: Path, sockets: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many connect and stay, the next is served; who waits for an answer keeps the connection."""
    monkeypatch.setattr("assent.journal.owner._lines.CONNECTIONS_MAX", 4)
    go_on = asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        if asked.body["slow"]:
            await go_on.wait()
        return {"done": True}

    serve(owner, handler, sockets)
    waiting = await Client.of(state, sockets)
    waiting.ask("slow", slow=True)
    assert isinstance(await waiting.hear(), frames.Accepted)
    idle = [await Client.of(state, sockets) for _ in range(8)]
    assert await _ask(way, state, sockets, {"slow": False}) == {"done": True}
    assert await idle[0].reader.read() == b""
    busy = [await Client.of(state, sockets) for _ in range(3)]
    for client in busy:
        client.ask("slow", slow=True)
        assert isinstance(await client.hear(), frames.Accepted)
    assert await _ask(way, state, sockets, {"slow": False}) is None, (
        "nobody makes room, and nothing was taken"
    )
    go_on.set()
    for client in (waiting, *busy):
        answer = await client.hear()
        assert isinstance(answer, frames.Result)
        client.close()
    for client in idle:
        client.close()


@pytest.mark.parametrize("said", [b"", b"\0\0", b"\0\0\0\x09{"])
async def test_who_does_not_greet_is_not_waited_for(
    owner: Ownership, state: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Nothing, or the beginning of something: the connection ends after a while."""
    monkeypatch.setattr("assent.journal.owner._lines.GREETING_S_MAX", 0.05)
    serve(owner, _echo, sockets)
    reader, writer = await asyncio.open_unix_connection(socket_path(state, sockets))
    writer.write(said)
    assert await reader.read() == b""
    writer.close()


async def test_several_requests_are_served_at_once(
    owner: Ownership, state: Path, sockets: Path, way: Way
) -> None:
    """One request may wait for another: approving reaches a run that is under way."""
    approved = asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        if asked.body["do"] == "approve":
            approved.set()
        else:
            await approved.wait()
        return asked.body

    serve(owner, handler, sockets)
    requests: list[dict[str, Any]] = [{"do": "run"}, {"do": "approve"}]
    answers = await asyncio.gather(*[_ask(way, state, sockets, request) for request in requests])
    assert answers == requests


async def test_work_goes_on_when_the_asker_goes_away(owner: Ownership, state: Path, sockets: Path) -> None:
    """Closing a terminal does not cancel the run that it asked for."""
    begun, gone, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        begun.set()
        await gone.wait()
        for _ in range(10):
            asked.mention({"still": "working"})
            await asyncio.sleep(0)
        ended.set()
        return {}

    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    client.ask("req_1", do="run")
    await begun.wait()
    client.close()
    await client.writer.wait_closed()
    gone.set()
    async with asyncio.timeout(PATIENCE_S):
        await ended.wait()


async def test_closing_owner_serves_until_nobody_asks(
    owner: Ownership, state: Path, sockets: Path, way: Way
) -> None:
    """An owner that closes answers what is under way, and what comes meanwhile, before it gives the lock back.

    Who was turned away could neither ask nor become the owner, and readers would take what is under way for interrupted.
    """
    begun, finish = asyncio.Event(), asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        begun.set()
        await finish.wait()
        return {"done": True}

    serve(owner, handler, sockets)
    asking = asyncio.create_task(_ask(way, state, sockets, {}))
    await begun.wait()
    closing = asyncio.gather(owner.close())
    await asyncio.sleep(0)
    assert is_owned(state, runtime_dir=sockets)
    begun.clear()
    asking_late = asyncio.create_task(_ask(way, state, sockets, {}))
    await begun.wait()
    assert owner.serving == 2
    assert Ownership.acquire(state) is None
    finish.set()
    await closing
    assert await asking == await asking_late == {"done": True}
    assert not is_owned(state, runtime_dir=sockets)
    assert await _ask(way, state, sockets, {}) is None
    after = Ownership.acquire(state)
    assert after is not None
    after.release()


async def test_silent_client_does_not_hold_up_a_closing_owner(
    owner: Ownership, state: Path, sockets: Path
) -> None:
    """Whoever connected and never asked is not waited for, and learns that the owner is gone."""
    serve(owner, _echo, sockets)
    reader, writer = await asyncio.open_unix_connection(socket_path(state, sockets))
    assert await _ask(COMMAND, state, sockets, {}) is not None  # By now the silent one was let in, too.
    async with asyncio.timeout(PATIENCE_S):
        await owner.close()
        assert await reader.read() == b""
    writer.close()


async def test_a_closing_owner_lets_go_of_a_client_that_does_not_read(
    owner: Ownership, state: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears the beginning of its answer, and that there is no more to come."""
    monkeypatch.setattr("assent.journal.owner._serving._FLUSH_S_MAX", 0.05)
    answer = "x" * (frames.FRAME_BYTES_MAX - 200)

    async def handler(asked: Asked) -> dict[str, Any]:
        return {"long": answer}

    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    client.ask("req_1")
    assert await client.hear() == frames.Accepted(id="req_1")
    async with asyncio.timeout(PATIENCE_S):
        await owner.close()
        assert 0 < len(await client.reader.read()) < len(answer)
    client.close()


async def test_only_a_listening_owner_counts_as_one(owner: Ownership, state: Path, sockets: Path) -> None:
    """`is_owned` is true from serving to closing."""
    assert not is_owned(state, runtime_dir=sockets)
    serve(owner, _echo, sockets)
    assert is_owned(state, runtime_dir=sockets)
    await owner.close()
    assert not is_owned(state, runtime_dir=sockets)


async def test_socket_is_the_owners_alone(owner: Ownership, state: Path, sockets: Path) -> None:
    """The socket is 0600 in a 0700 folder; a folder that others may enter is refused."""
    serve(owner, _echo, sockets)
    assert stat.S_IMODE(socket_path(state, sockets).stat().st_mode) == 0o600


async def test_open_folder_for_sockets_is_refused(owner: Ownership, sockets: Path, open_folder: Path) -> None:
    """Nobody listens where others could put a socket in our place."""
    with pytest.raises(InputError) as refused:
        serve(owner, _echo, open_folder)
    assert refused.value.code == "STATE_UNSAFE"


async def test_other_users_are_refused_on_both_ends(
    owner: Ownership, state: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    """The kernel's word on who is at the other end counts; another user gets a refusal, and no handler runs for them."""
    called = threading.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        called.set()
        return {}

    serve(owner, handler, sockets)
    monkeypatch.setattr(os, "geteuid", lambda: 4_294_967)
    with pytest.raises(InputError) as refused:
        await _ask(way, state, sockets, {})
    assert refused.value.code == "PEER_REFUSED"
    client = Client(*await asyncio.open_unix_connection(socket_path(state, sockets)))
    answer = await client.hear()
    client.close()
    assert isinstance(answer, frames.Failed)
    assert answer.error["code"] == "PEER_REFUSED"
    assert not called.is_set()


async def test_working_owner_says_that_it_lives(
    owner: Ownership, state: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a request takes long the asker hears from the owner, so that it can tell work from silence."""
    monkeypatch.setattr("assent.journal.owner._lines.ALIVE_S", 0.001)
    finish = asyncio.Event()

    async def handler(asked: Asked) -> dict[str, Any]:
        await finish.wait()
        return {"done": True}

    serve(owner, handler, sockets)
    client = await Client.of(state, sockets)
    client.ask("req_1")
    while isinstance(first := await client.hear(), frames.Alive):
        pass  # It lives before it has taken anything, too.
    assert first == frames.Accepted(id="req_1")
    for _ in range(3):
        assert isinstance(await client.hear(), frames.Alive)
    finish.set()
    while isinstance(last := await client.hear(), frames.Alive):
        pass
    assert last == frames.Result(id="req_1", answer={"done": True})
    client.close()


async def test_a_process_with_another_socket_folder_reaches_the_owner(
    owner: Ownership, state: Path, sockets: Path, way: Way
) -> None:
    """Terminals may differ in `XDG_RUNTIME_DIR` or `TMPDIR`: the state directory says where its owner listens."""
    serve(owner, _echo, sockets)
    answer = await _ask(way, state, sockets / "elsewhere", {"op": "look"})
    assert answer is not None
    assert answer["echo"] == {"op": "look"}


async def test_links_to_a_state_reach_its_owner(
    owner: Ownership, state: Path, sockets: Path, way: Way
) -> None:
    """The socket's name follows from the real path, whatever way the folder is named."""
    serve(owner, _echo, sockets)
    link = state.with_name("link")
    link.symlink_to(state)
    assert await _ask(way, link, sockets, {"a": 1}) is not None


async def test_oversized_request_is_refused_before_it_is_sent(
    owner: Ownership, state: Path, sockets: Path, way: Way
) -> None:
    """A request beyond the limit fails here, with the limit's name; one announced to the owner is refused there."""
    serve(owner, _echo, sockets)
    with pytest.raises(InputError) as refused:
        await _ask(way, state, sockets, {"content": "x" * frames.FRAME_BYTES_MAX})
    assert refused.value.code == "FRAME_TOO_LARGE"
    client = await Client.of(state, sockets)
    client.writer.write((frames.FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    told = await client.hear()
    assert isinstance(told, frames.Failed)
    assert (told.id, told.error["code"]) == (None, "FRAME_TOO_LARGE")
    client.close()


async def test_largest_request_passes(owner: Ownership, state: Path, sockets: Path, way: Way) -> None:
    """Requests and answers up to the limit come through whole."""
    serve(owner, _echo, sockets)
    content = "x" * (frames.FRAME_BYTES_MAX - 200)
    answer = await _ask(way, state, sockets, {"content": content})
    assert answer is not None
    assert answer["echo"] == {"content": content}


@pytest.mark.parametrize("sent", [b"", b"\x00\x00", b"\x00\x00\x00\x05[1,2]", b"\x00\x00\x00\x02{]"])
async def test_nonsense_does_not_disturb_the_owner(
    owner: Ownership, state: Path, sockets: Path, sent: bytes
) -> None:
    """Whatever a process of ours sends, the next request is served."""
    serve(owner, _echo, sockets)
    _, writer = await asyncio.open_unix_connection(socket_path(state, sockets))
    writer.write(sent)
    writer.write_eof()
    assert await _ask(COMMAND, state, sockets, {"a": 1}) is not None
    writer.close()


NESTED = '{"a":' * 100_000


@pytest.mark.parametrize(
    "said", [NESTED, '{"kind":"\\ud800","protocol":2}', '{"kind":"hello","protocol":"\\ud800"}']
)
async def test_what_can_not_be_read_is_told_so(
    owner: Ownership, state: Path, sockets: Path, said: str
) -> None:
    """Nesting that no reader follows, and halves of surrogate pairs, are nonsense like any other: the client hears of it."""
    serve(owner, _echo, sockets)
    reader, writer = await asyncio.open_unix_connection(socket_path(state, sockets))
    writer.write(len(said).to_bytes(4, "big") + said.encode())
    size = int.from_bytes(await reader.readexactly(4), "big")
    assert json.loads(await reader.readexactly(size))["error"]["code"] == "FRAME_INVALID"
    writer.close()


def test_nobody_is_forwarded_to_without_an_owner(state: Path, sockets: Path, way: Way) -> None:
    """Without a socket, or with one that a killed owner left, there is nobody to ask: the caller becomes the owner."""
    assert way.ask(state, request({}), runtime_dir=sockets) is None
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(socket_path(state, sockets)))
    stale.close()
    assert way.ask(state, request({}), runtime_dir=sockets) is None
    assert not is_owned(state, runtime_dir=sockets)
    owner = way.come(state, request({}), runtime_dir=sockets)
    assert isinstance(owner, Ownership)
    owner.release()


async def test_stale_socket_is_replaced(owner: Ownership, state: Path, sockets: Path) -> None:
    """A socket that a killed owner left does not keep the next one from listening."""
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(socket_path(state, sockets)))
    stale.close()
    serve(owner, _echo, sockets)
    assert await _ask(COMMAND, state, sockets, {}) is not None


def _listening(state: Path, sockets: Path) -> socket.socket:
    """A socket in the owner's place that a test plays the owner on."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(socket_path(state, sockets)))
    listener.listen()
    return listener


def _greet(connection: socket.socket) -> frames.Ask:
    """Play the owner until the client has asked."""
    _hear(connection)
    connection.sendall(frames.encode_message(frames.Welcome(protocol=frames.PROTOCOL, pid=1, digests={})))
    ask = frames.from_client(_hear(connection))
    assert isinstance(ask, frames.Ask)
    return ask


def _hear(connection: socket.socket) -> dict[str, Any]:
    connection.settimeout(30.0)  # The client may wait for us as well.
    stream = connection.makefile("rb")
    found = json.loads(stream.read(int.from_bytes(stream.read(4), "big")))
    assert isinstance(found, dict)
    return found


def test_silent_owner_is_given_up(state: Path, sockets: Path, way: Way) -> None:
    """An owner that takes connections and says nothing is `STATE_OWNED` after the time limit."""
    with _listening(state, sockets), pytest.raises(WorldError) as silent:
        way.ask(state, request({}, silence_s=0.05), runtime_dir=sockets)
    assert silent.value.code == "STATE_OWNED"


def test_an_owner_whose_queue_is_full_is_given_up(state: Path, sockets: Path, way: Way) -> None:
    """As one that is stopped while many ask: nobody can even connect."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(socket_path(state, sockets)))
    listener.listen(0)
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(str(socket_path(state, sockets)))
    with listener, pytest.raises(WorldError) as full:
        way.ask(state, request({}, silence_s=0.05), runtime_dir=sockets)
    assert full.value.code == "STATE_OWNED"
    for one in waiting:
        one.close()


def test_lock_held_without_a_listener_is_given_up(state: Path, sockets: Path, way: Way) -> None:
    """An owner that never listens is `STATE_OWNED` after the time limit, too."""
    owner = Ownership.acquire(state)
    assert owner is not None
    with pytest.raises(WorldError) as silent:
        way.come(state, request({}, silence_s=0.1), runtime_dir=sockets)
    assert silent.value.code == "STATE_OWNED"
    owner.release()


@pytest.mark.parametrize("accepts", [False, True], ids=["before-accepting", "after-accepting"])
def test_owner_that_dies_is_told_apart_from_one_that_was_gone(
    state: Path, sockets: Path, accepts: bool, way: Way
) -> None:
    """Before the owner took the request nothing was begun, so the caller may become the owner; afterwards it must look first."""
    with _listening(state, sockets) as listener:

        def die() -> None:
            connection, _ = listener.accept()
            with connection:
                ask = _greet(connection)
                if accepts:
                    connection.sendall(frames.encode_message(frames.Accepted(id=ask.id)))

        dying = threading.Thread(target=die)
        dying.start()
        if accepts:
            with pytest.raises(WorldError) as lost:
                way.ask(state, request({}), runtime_dir=sockets)
            assert lost.value.code == "OWNER_LOST"
        else:
            assert way.ask(state, request({}), runtime_dir=sockets) is None
        dying.join()


async def test_forwarding_starts_again_when_owners_change(state: Path, sockets: Path, way: Way) -> None:
    """A process that meets a closing owner becomes the owner as soon as the lock is free."""
    first = Ownership.acquire(state)
    assert first is not None
    waiting = asyncio.gather(asyncio.to_thread(way.come, state, request({}), runtime_dir=sockets))
    await asyncio.sleep(0)
    first.release()
    (second,) = await waiting
    assert isinstance(second, Ownership)
    second.release()


def test_serving_needs_the_lock(state: Path, sockets: Path) -> None:
    """Whoever let go of the state takes no requests for it."""
    ownership = Ownership.acquire(state)
    assert ownership is not None
    ownership.release()
    with pytest.raises(InternalError) as refused:
        serve(ownership, _echo, sockets)
    assert refused.value.code == "OWNERSHIP_MISUSED"
