"""Deferred calls: made in order, each once, whatever is killed and whoever asks meanwhile."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from assent.client import Client, Deferred, _deferring, connect
from assent.client._http import Http
from assent.client._wire import Written
from assent.errors import AssentError
from assent.failpoints import VARIABLE
from assent.runtime.service import requests
from assent.runtime.wiring.key_store import new_key
from assent.system import SystemEntropy
from tests.support.nursery import Nursery
from tests.support.patience import PATIENCE_S
from tests.support.serving import Serving, daemon

KILLED = -9
WRITE = "io.fs.write_file"

PROGRAM = """
import asyncio, sys
from assent.client import connect

async def main(socket, spool, *names):
    async with connect(socket, spool=spool, patience_s=0) as rt:
        for name in names:
            await rt.defer("io.fs.write_file", {"path": name, "content": ""})
            print(name, flush=True)
        await rt.flush()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def own(env: dict[str, str]) -> dict[str, str]:
    """Places of the test's own, without a keychain."""
    return {**env, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}


async def made(rt: Client) -> list[str]:
    """The files that calls wrote, in the order of their runs."""
    runs = (await rt.runs()).runs
    shown = [await rt.perform(requests.Show(run=one.run_id)) for one in runs]
    return [str(one.inputs["path"]) for one in shown if isinstance(one.inputs, dict)]


@contextmanager
def started(root: Path, env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A daemon as a process, and its socket."""
    command = [sys.executable, "-m", "assent", "--workspace", str(root), "serve"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().split()[1]
    finally:
        process.kill()
        process.communicate()


async def test_a_killed_client_loses_and_doubles_nothing(
    served: Serving, own: dict[str, str], nursery: Nursery, tmp_path: Path, no_keychain: None
) -> None:
    """Killed where a call is kept, where it is sent and where its answer has come."""
    socket = served.doors["socket"]
    points = ["spool.after:1", "spool.after:4", "spool.sent:2", "spool.answered:1", "spool.answered:5"]

    def killed(spool: Path, point: str, names: list[str]) -> list[str]:
        words = ("-c", PROGRAM, socket, str(spool), *names)
        ended = nursery.run(*words, cwd=tmp_path, env={**own, VARIABLE: point}, kind="python")
        assert ended.code == KILLED, point
        return ended.out.split()

    expected: list[str] = []
    for at, point in enumerate(points):
        names = [f"{at}-{number}.txt" for number in range(5)]
        spool = tmp_path / f"spool-{at}"
        kept = await asyncio.to_thread(killed, spool, point, names)
        assert kept == names[: len(kept)], point
        async with connect(socket, spool=spool) as rt:
            await rt.flush()
            found = await made(rt)
        # What was killed before anybody was told may have been kept already.
        assert found in (expected + kept, expected + names[: len(kept) + 1]), point
        expected = found
    assert len(expected) > 15


async def test_a_killed_daemon_makes_each_call_once(
    root: Path, own: dict[str, str], tmp_path: Path, no_keychain: None
) -> None:
    names = [f"{number}.txt" for number in range(5)]
    with started(root, {**own, VARIABLE: "effect.after:3"}) as (process, socket):
        async with connect(socket, spool=tmp_path / "spool", patience_s=0) as rt:
            for name in names:
                await rt.defer(WRITE, {"path": name, "content": ""})
            with pytest.raises(AssentError) as lost:
                await rt.call("sys.noop")
            assert await asyncio.to_thread(process.wait) == KILLED
            assert lost.value.code in ("SERVER_LOST", "SERVER_UNREACHABLE")
            assert [one.was_sent for one in rt.deferred()] == [True, False, False]
            async with daemon(root, own):
                await rt.flush()
                assert await made(rt) == names
                assert rt.deferred() == []


async def test_nothing_overtakes_what_waits(
    root: Path, env: dict[str, str], tmp_path: Path, no_keychain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a later call either; what the server refuses for good is put aside, and the rest goes on."""
    monkeypatch.setattr(_deferring, "PAUSE_S", 60.0)
    told: list[Deferred] = []
    async with daemon(root, env) as first:
        socket = first.doors["socket"]
    async with connect(socket, spool=tmp_path / "spool", patience_s=0, told=told.append) as rt:
        kept = await rt.defer(WRITE, {"path": "1.txt", "content": ""})
        await rt.defer("io.fs.wirte_file", {})
        await rt.defer(WRITE, {"path": "private/2.txt", "content": ""})
        await rt.defer("io.fs.delete", {"path": "1.txt"})
        with pytest.raises(AssentError) as away:
            await rt.call(WRITE, {"path": "9.txt", "content": ""})
        assert (away.value.code, rt.server, kept.status) == ("SERVER_UNREACHABLE", None, "WAITING")
        async with daemon(root, env):
            await rt.call(WRITE, {"path": "9.txt", "content": ""})
            assert await made(rt) == ["1.txt", "private/2.txt", "1.txt", "9.txt"]
            assert rt.server is not None
        statuses = [(one.status, one.run and one.run.status, (one.error or {}).get("code")) for one in told]
        assert statuses == [
            ("DELIVERED", "succeeded", None),
            ("DEAD", None, "CAPABILITY_UNKNOWN"),
            ("DELIVERED", "failed", None),
            ("DELIVERED", "waiting", None),
        ]
        (dead,) = rt.deferred()
        assert (dead.status, dead.capability) == ("DEAD", "io.fs.wirte_file")
        await rt.forget(dead.sequence)
        assert rt.deferred() == []


async def test_they_are_made_when_the_server_comes_back_and_nobody_asks(
    root: Path, env: dict[str, str], tmp_path: Path, no_keychain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whoever is told may fail."""
    monkeypatch.setattr(_deferring, "PAUSE_S", 0.05)
    done = asyncio.Event()

    def told(_: Deferred) -> None:
        done.set()
        raise ValueError

    async with daemon(root, env) as first:
        socket = first.doors["socket"]
    async with connect(socket, spool=tmp_path / "spool", told=told) as rt:
        await rt.defer(WRITE, {"path": "1.txt", "content": ""})
        async with daemon(root, env):
            await asyncio.wait_for(done.wait(), PATIENCE_S)
            await rt.flush()
            assert await made(rt) == ["1.txt"]


async def test_whoever_is_told_when_to_come_again_does_not_come_before(
    root: Path, env: dict[str, str], tmp_path: Path, no_keychain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_deferring, "PAUSE_S", 0.01)
    with (root / "assent.toml").open("a") as file:
        file.write('[serve.rate.each]\nrequests = 1\nwindow = "1s"\n')
    sent, done = list[str](), asyncio.Semaphore(0)
    send = Http._send

    async def watched(self: Http, out: Written, ident: str, wait_s: int) -> httpx2.Response:
        sent.append(out.path)
        return await send(self, out, ident, wait_s)

    monkeypatch.setattr(Http, "_send", watched)
    async with daemon(root, env) as served:
        spool = tmp_path / "spool"
        async with connect(served.doors["socket"], spool=spool, told=lambda _: done.release()) as rt:
            for name in ("1.txt", "2.txt"):
                await rt.defer(WRITE, {"path": name, "content": ""})
            for _ in range(2):
                await asyncio.wait_for(done.acquire(), PATIENCE_S)
    assert (root / "2.txt").exists()
    assert sent.count("/v1/calls") in (2, 3)


async def test_without_a_spool_nothing_is_deferred(served: Serving) -> None:
    async with connect(served.doors["socket"]) as rt:
        with pytest.raises(AssentError) as refused:
            await rt.defer(WRITE, {"path": "1.txt", "content": ""})
    assert refused.value.code == "SPOOL_UNUSABLE"


async def test_what_is_refused_for_its_key_waits_for_a_better_one(
    root: Path, env: dict[str, str], tmp_path: Path, no_keychain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is no worse for it, and a spool is taken up with the key that is right."""
    monkeypatch.setattr(_deferring, "PAUSE_S", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    with (root / "assent.toml").open("a") as file:
        file.write(f'[serve]\nhttp = "{place}"\n')
    key = new_key(SystemEntropy())
    async with daemon(root, env) as served:
        async with connect(served.doors["socket"]) as local:
            await local.perform(requests.CreateKey(id=key.id, digest=key.digest, name="test"))
        async with connect(f"http://{place}", key="ak_wrong", spool=tmp_path / "spool") as rt:
            await rt.defer(WRITE, {"path": "1.txt", "content": ""})
            with pytest.raises(AssentError, match="NOT_IDENTIFIED"):
                await rt.flush()
            assert [(one.status, one.was_sent) for one in rt.deferred()] == [("WAITING", False)]
        async with connect(f"http://{place}", key=key.text, spool=tmp_path / "spool") as rt:
            await rt.flush()
            assert (root / "1.txt").exists()
