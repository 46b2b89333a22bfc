"""Very many at a daemon's doors: who listens and never reads, who leaves, who says nothing; and too few descriptors for them."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from assent.journal import SqliteJournal
from assent.server import _streams
from assent.server._door import Door
from tests.hostile.test_http_requests import at_rest, opened, until
from tests.server.conftest import env, root  # noqa: F401  # the workspace that a daemon serves
from tests.support.patience import PATIENCE_S
from tests.support.serving import Raw, Serving, daemon, key_for, over_tcp

LISTENERS = 200
LISTENING = b": listening\n\n"


@pytest.fixture
async def served(root: Path, env: dict[str, str]) -> AsyncIterator[Serving]:  # noqa: F811
    over_tcp(root, idle='"1s"', drain='"1s"', streams=str(LISTENERS))
    async with daemon(root, env) as found:
        yield found


async def session(served: Serving, steps: int = 0) -> str:
    """The path of a run in which nothing happens by itself, after so many calls."""
    run = (await served.http.post("/v1/sessions", json={})).json()["run_id"]
    for _ in range(steps):
        await step(served, f"/v1/runs/{run}")
    return f"/v1/runs/{run}"


async def step(served: Serving, place: str) -> None:
    answer = await served.http.post(f"{place}/steps", json={"capability": "sys.noop"})
    assert answer.status_code == 200, answer.text


async def listen(served: Serving, place: str, *, heard: bytes = LISTENING) -> Raw:
    raw = await Raw.to(served)
    raw.writer.write(f"GET {place}/events HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert heard in await raw.reader.readuntil(heard)
    return raw


async def test_a_run_is_read_once_for_all_who_listen(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await session(served)
    raws = await asyncio.gather(*(listen(served, place) for _ in range(LISTENERS)))
    read, readings = SqliteJournal.events, 0

    async def counted(*given: Any, **named: Any) -> Any:
        nonlocal readings
        readings += 1
        return await read(*given, **named)

    monkeypatch.setattr(SqliteJournal, "events", counted)
    for _ in range(3):
        await step(served, place)
    for raw in raws:
        for _ in range(3):
            await raw.reader.readuntil(b"event: step.succeeded")
    assert readings < LISTENERS / 4
    await served.http.post(f"{place}/close", json={})
    told = await asyncio.gather(*(raw.rest() for raw in raws))
    assert all(b"event: run.succeeded" in said and b"event: end" in said for said in told)


async def test_who_never_reads_holds_little_and_is_cut_off(
    served: Serving,
    root: Path,  # noqa: F811
    env: dict[str, str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By either door. Who reads hears everything meanwhile, and whoever asks something else is answered."""
    written, size = _streams._written, 0

    def large(*given: Any) -> bytes:
        nonlocal size
        told = b":%s\n" % (b"a" * 32_000) + written(*given)
        size += len(told)
        return told

    async def is_paused() -> bool:
        before = size
        await asyncio.sleep(0.1)
        return 0 < before == size

    monkeypatch.setattr(_streams, "_written", large)
    place = await session(served, steps=20)
    before, deaf = opened(), 10
    asked = f"GET {place}/events HTTP/1.1\r\nHost: {served.doors['http'][7:]}\r\n".encode()
    asked += f"Authorization: Bearer {key_for(root, env)}\r\n\r\n".encode()
    host, _, port = served.doors["http"][7:].rpartition(":")
    for address in (served.doors["socket"], (host, int(port))):
        size = 0
        with ExitStack() as those:
            for _ in range(deaf):
                one = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
                those.enter_context(one)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                one.connect(address)
                one.sendall(asked)
            await until(is_paused)
            assert size < deaf * 500_000  # of 2 000 000 each
            ear = await listen(served, place, heard=b"id: 60\n")
            await at_rest((before[0] + 2, before[1] + 2), ours=deaf)  # `ear` stays, with both its ends
            ear.writer.close()
        await at_rest(before)


@pytest.mark.parametrize("leave", ["abort", "close"])
async def test_listeners_that_leave_leave_room_at_once(served: Serving, leave: str) -> None:
    """Long before a heartbeat; one that only says nothing more is told everything."""
    place, before = await session(served), opened()
    stays = await listen(served, place)
    stays.writer.write_eof()
    for _ in range(2):  # each time as many as there may be: those before have left
        raws = await asyncio.gather(*(listen(served, place) for _ in range(LISTENERS - 1)))
        refused = await Raw.ask(served, f"GET {place}/events HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert refused.startswith(b"HTTP/1.1 429 "), refused
        async with asyncio.timeout(_streams.HEARTBEAT_S / 2):
            for raw in raws:
                getattr(raw.writer.transport, leave)()
            await at_rest((before[0] + 2, before[1] + 2))
    await step(served, place)
    await served.http.post(f"{place}/close", json={})
    said = await stays.rest()
    assert b"event: step.succeeded" in said
    assert b"event: end" in said


async def test_handshakes_that_are_never_ended_are_connections(
    root: Path,  # noqa: F811
    env: dict[str, str],  # noqa: F811
    tmp_path: Path,
) -> None:
    from tests.support.web import authority

    authority(tmp_path / "door", "127.0.0.1")
    over_tcp(root, connections="8", request='"1s"')
    with (root / "assent.toml").open("a") as file:
        file.write(f'[serve.tls]\ncertificate = "{tmp_path}/door/server.pem"\n')
    async with daemon(root, env) as served:
        before = opened()
        host, _, port = served.doors["https"][8:].rpartition(":")
        lines = await asyncio.gather(*(asyncio.open_connection(host, int(port)) for _ in range(40)))
        ended = await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in lines)), PATIENCE_S)
        assert set(ended) == {b""}
        for _, writer in lines:
            writer.close()
        await at_rest(before)


def used_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_few_descriptors_are_left_for_work_and_none_is_no_end(root: Path, env: dict[str, str]) -> None:  # noqa: F811
    """Connections never take what the record needs; where that is gone, too, who is there is answered."""
    over_tcp(root)
    command = [sys.executable, "-m", "assent", "--workspace", str(root)]
    process = subprocess.Popen(
        [*command, "serve"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (200, 200))
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        address = process.stdout.readline().split()[1]
        port = int(process.stdout.readline().rpartition(":")[2])

        def noop(one: socket.socket) -> bytes:
            body = b'{"capability": "sys.noop"}'
            head = b"POST /v1/calls HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            one.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            said = b""
            while not said.endswith(b"}"):
                said += one.recv(1 << 16)
                if not said:
                    break  # hung up on
            return said

        def answered() -> socket.socket:
            """A connection that was answered, as soon as there is one: those before have just left."""
            ends = time.monotonic() + PATIENCE_S
            while True:
                made = socket.socket(socket.AF_UNIX)
                made.settimeout(20)
                made.connect(address)
                with suppress(ConnectionError):
                    if noop(made).startswith(b"HTTP/1.1 200"):
                        return made
                made.close()
                assert time.monotonic() < ends
                time.sleep(0.02)

        def flooded(count: int, those: ExitStack) -> None:
            for number in range(count):
                one = those.enter_context(socket.socket(socket.AF_INET if number % 2 else socket.AF_UNIX))
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", port) if number % 2 else address)

        with ExitStack() as those:
            those.enter_context(answered())
            flooded(400, those)
            called = subprocess.run([*command, "call", "sys.noop"], env=env, capture_output=True, check=False)
            assert called.returncode == 0, called.stderr
        with answered() as first, ExitStack() as those:
            open_now = len([*Path(f"/proc/{process.pid}/fd").iterdir()])
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (open_now + 5, 200))
            flooded(100, those)
            before_s = used_s(process.pid)
            time.sleep(0.5)
            assert noop(first).startswith(b"HTTP/1.1 200")
            assert used_s(process.pid) - before_s < 0.25
        answered().close()
    finally:
        process.terminate()
        _, notes = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert re.search(
        "each door takes 50 connections: the limit on open files .* leaves no room for more", notes
    )
    assert 1 <= notes.count("no connection can be taken at present: Too many open files") <= 2


class _Silent:
    """What speaks for a connection that has not begun."""

    transport = None


async def test_who_comes_as_the_door_closes_is_hung_up_on(tmp_path: Path) -> None:
    """Taken, and not yet begun with: nothing of it may stay open, or its other end would wait for ever."""
    path = str(tmp_path / "door")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as comes:
        listening.bind(path)
        listening.listen()
        door = Door(
            listening,
            lambda _: cast("Any", _Silent()),
            most=1,
            tls=None,
            handshake_s=1.0,
        )
        door.open()
        comes.connect(path)
        door._accept()
        assert door.count == 1
        door.close()
        await door.hang_up()
        assert door.count == 0
        comes.settimeout(5)
        assert comes.recv(1) == b""


async def test_what_is_told_over_tcp_is_sent_at_once() -> None:
    """And not held back until the other end has confirmed what came before, which a kept connection takes its time for."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        door = Door(listening, lambda _: cast("Any", _Silent()), most=1, tls=None, handshake_s=1.0)
        door.open()
        with socket.create_connection(listening.getsockname()):
            taken, _ = listening.accept()
            with taken:
                assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        door.close()
