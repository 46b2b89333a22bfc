"""Whoever waits for a change of a state directory is woken by one, by the end of its owner, and else not before its time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from assent.journal.owner._owner import socket_path
from assent.journal.watch import StateWatch
from tests.journal.test_owner import sockets, state
from tests.support.patience import PATIENCE_S

__all__ = ["sockets", "state"]  # fixtures


async def sleeps(watch: StateWatch) -> bool:
    """Whether nothing has woken it for a moment."""
    try:
        async with asyncio.timeout(0.05):
            await watch.changed()
    except TimeoutError:
        return True
    return False


async def woken(watch: StateWatch) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await watch.changed()


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def test_a_change_wakes_once(state: Path, sockets: Path) -> None:
    """Of a file that is there, or a new one; nothing stays open behind it."""
    state.mkdir()
    before = open_files()
    with StateWatch(state, runtime_dir=sockets) as watch:
        watch.meet_owner()
        assert await sleeps(watch)
        for _ in range(2):
            (state / "file").write_text("changed")
            await woken(watch)
            assert await sleeps(watch)
        async with asyncio.timeout(PATIENCE_S):
            await watch.changed(within_s=0.01)
    assert open_files() == before


def test_a_program_without_an_input_is_woken(state: Path, sockets: Path) -> None:
    """What it opens first has the number 0, which is a descriptor like any other."""
    state.mkdir()
    script = (
        "import asyncio, os, sys, pathlib\n"
        "from assent.journal import watch\n"
        "watch.LOOK_S = 600.0\n"
        "state, sockets = map(pathlib.Path, sys.argv[1:])\n"
        "os.close(0)\n"
        "with watch.StateWatch(state, runtime_dir=sockets) as watched:\n"
        "    assert os.fstat(0)\n"
        "    (state / 'file').write_text('changed')\n"
        "    asyncio.run(watched.changed())"
    )
    command = [sys.executable, "-c", script, str(state), str(sockets)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("libc", [None, SimpleNamespace(), SimpleNamespace(inotify_init1=lambda _: -1)])
@pytest.mark.parametrize("within_s", [None, 0.01, 60.0])
async def test_where_nothing_can_be_watched_it_is_looked_at_times(
    state: Path,
    sockets: Path,
    monkeypatch: pytest.MonkeyPatch,
    libc: SimpleNamespace | None,
    within_s: float | None,
) -> None:
    """A folder that is not there, another system, or too many watches; and sooner where whoever waits wants to."""
    if libc is not None:
        monkeypatch.setattr("ctypes.CDLL", lambda _: libc)
    monkeypatch.setattr("assent.journal.watch.LOOK_S", 60.0 if within_s == 0.01 else 0.02)
    before = open_files()
    with StateWatch(state, runtime_dir=sockets) as watch:
        async with asyncio.timeout(PATIENCE_S):
            await watch.changed(within_s)
        assert open_files() == before
    assert open_files() == before


@pytest.mark.parametrize("how", ["closed", "broken"])
async def test_an_owner_is_met_until_it_ends(state: Path, sockets: Path, how: str) -> None:
    """What it says by itself ends nothing, nor does another change; after its end the next one is met."""
    state.mkdir()
    met: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    before = open_files()

    async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.put_nowait(writer)

    server = await asyncio.start_unix_server(meet, socket_path(state, sockets))
    with StateWatch(state, runtime_dir=sockets) as watch:
        for _ in range(2):
            watch.meet_owner()
            owner = await asyncio.wait_for(met.get(), PATIENCE_S)
            assert await sleeps(watch)
            (state / "file").write_text("changed")
            await woken(watch)
            owner.write(b"alive")
            await woken(watch)
            watch.meet_owner()
            assert met.empty(), "it is there"
            assert await sleeps(watch)
            if how == "broken":
                owner.transport.abort()
            else:
                owner.close()
            await woken(watch)
        watch.meet_owner()
        owner = await asyncio.wait_for(met.get(), PATIENCE_S)
        owner.close()
        await owner.wait_closed()
    assert met.empty()
    server.close()
    await server.wait_closed()
    assert open_files() == before
