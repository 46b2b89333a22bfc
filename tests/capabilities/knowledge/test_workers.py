from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import pytest

from assent.capabilities.knowledge._preparing import Batch, Prepared, framed, prepared, serve
from assent.capabilities.knowledge._workers import (
    AHEAD,
    BATCH_BYTES,
    BATCH_FILES,
    BOOT,
    Crew,
    Workers,
    _told,
    batches,
)
from assent.errors import WorldError
from assent.knowledge.chunks import LeftOut
from assent.sandbox import Ended, Holds, LimitName, Sandbox, Usage

FILES = [
    ("a.py", b"import os\n\npassword = 'hunter-29'\n\ndef here():\n    return os.getcwd()\n"),
    ("b.md", b"# One\n\nText.\n"),
    ("logo.png", b"\x89PNG\0"),
    ("run.sh", b"#!/bin/sh\nmake\n"),
]
# A planner that does to the worker what a file asks for.
HOSTILE = (
    BOOT.removesuffix("main()")
    + """
from assent.capabilities.knowledge import _preparing
import os, time
def say(data):
    for one in range(3, 9):  # one of them is the pipe
        try:
            os.write(one, data)
        except OSError:
            pass
def plan(path, data, plain=_preparing.plan_file):
    if path.startswith("do"): exec(data.decode())
    return plain(path, data)
_preparing.plan_file = plan
import assent.knowledge.chunks._code as code
code.NESTED_MAX = code.ERROR_NODES_MAX = 10**9
main()
"""
)


@asynccontextmanager
async def started(**given: object) -> AsyncIterator[Workers]:
    with Sandbox.detect() as sandbox:
        workers = Workers(sandbox, **given)  # type: ignore[arg-type]  # as each test says
        try:
            yield workers
        finally:
            await workers.close()


async def test_what_workers_give_is_what_this_process_would_give() -> None:
    async with started(key=b"k") as workers:
        await workers.start()
        found = await asyncio.gather(*(workers.prepare(FILES) for _ in range(4)))
        assert found == [[prepared(path, data, key=b"k") for path, data in FILES]] * 4
        assert workers.level in {"native", "bubblewrap"}
    assert found[0][0].cleaned is not None
    assert b"hunter" not in found[0][0].cleaned.text
    assert found[0][2] == Prepared(left_out=LeftOut("logo.png", "it is binary: it holds a byte of zero"))


@pytest.mark.parametrize(
    ("what", "because"),
    [
        (b"os.kill(os.getpid(), 9)", "its worker ended with SIGKILL"),
        (b"os.kill(os.getpid(), 11)", "its worker ended with SIGSEGV"),
        (b"os._exit(3)", "its worker ended with status 3"),
        (b"while True: pass", "its worker took more processor time than a file may"),
        (b"bytearray(2 << 30)", "its worker ended with status 1"),
        (b"say(b'\\xff\\xff\\xff\\xff')", "its worker answered too much"),
        (b"say(b'\\0\\0\\0\\1\\xc1')", "its worker answered what is no answer"),
        (b"say(b'\\0\\0\\0\\1\\x90')", "its worker answered what is no answer"),
        (
            b"say(_preparing.framed(_preparing.prepared('b.md', b'')))",
            "its worker answered what is no answer",
        ),
        (
            b"say(_preparing.framed(_preparing.prepared('b.md', b'\\0')))",
            "its worker answered what is no answer",
        ),
    ],
)
async def test_a_worker_that_breaks_costs_one_file(what: bytes, because: str) -> None:
    async with started(boot=HOSTILE, count=1, file_s=1.0) as workers:
        await workers.prepare(FILES)
        found = await workers.prepare([FILES[0], ("do.it", what), FILES[1]])
        assert found[1] == Prepared(left_out=LeftOut("do.it", because))
        assert [found[0], found[2]] == [prepared(*FILES[0]), prepared(*FILES[1])]


async def test_a_worker_that_only_sleeps_is_ended() -> None:
    async with started(boot=HOSTILE, count=1, wait_s=2.0) as workers:
        await workers.prepare(FILES)
        found = await workers.prepare([("do.it", b"time.sleep(600)")])
        assert found == [Prepared(left_out=LeftOut("do.it", "its worker took more than 2 s"))]


async def test_a_file_may_take_longer_by_the_clock_than_its_processor_time() -> None:
    """So a loaded machine leaves no file out that another one indexes."""
    async with started(boot=HOSTILE, count=1, file_s=0.5) as workers:
        found = await workers.prepare([("do.it", b"time.sleep(1)")])
        assert found == [prepared("do.it", b"time.sleep(1)")]


async def test_a_grammar_that_crashes_costs_its_file() -> None:
    async with started(boot=HOSTILE, count=1) as workers:
        found = await workers.prepare([("deep.go", b"[{" * 100_000), FILES[1]])
        assert found[0] == Prepared(left_out=LeftOut("deep.go", "its worker ended with SIGSEGV"))
        assert found[1] == prepared(*FILES[1])


def test_what_is_too_large_once_it_is_cleaned_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands for a secret may be longer than it."""
    monkeypatch.setattr("assent.knowledge.chunks.cutting.FILE_BYTES_MAX", 100)
    found = prepared("a.py", b"pwd = 'hunt-29'\n" * 6)
    assert found == Prepared(left_out=LeftOut("a.py", "it has more than 100 bytes"))


def of_workers() -> list[int]:
    """The processes of workers that are ours."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(b"# mine %d" % os.getpid() in word for word in words):
                found.append(int(entry.name))
    return found


async def test_a_worker_that_is_killed_from_outside_is_replaced() -> None:
    async with started(boot=f"{HOSTILE}# mine {os.getpid()}", count=1, file_s=30.0) as workers:
        await workers.prepare(FILES)
        asked = asyncio.ensure_future(workers.prepare([("do.it", b"time.sleep(600)"), *FILES]))
        await asyncio.sleep(0.2)
        for process in of_workers():
            os.kill(process, signal.SIGKILL)
        found = await asked
        assert found[0].left_out is not None
        assert found[1:] == [prepared(path, data) for path, data in FILES]


async def test_it_is_told_where_what_holds_a_worker_is_killed() -> None:
    """As a machine does that is short of memory. The next is held by another."""
    with Sandbox.detect() as sandbox:
        workers = Workers(sandbox, boot=HOSTILE, count=1)
        await workers.start()
        asked = asyncio.ensure_future(workers.prepare([("do.it", b"time.sleep(600)")]))
        await asyncio.sleep(0.2)
        launcher = sandbox.launcher_id
        for holder in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
            os.kill(int(holder), signal.SIGKILL)
        with pytest.raises(WorldError) as told:
            await asked
        assert told.value.code == "SANDBOX_FAILED"
        assert await workers.prepare(FILES[:1]) == [prepared(*FILES[0])]
        await workers.close()


async def test_whoever_gives_up_leaves_no_answers_to_the_next() -> None:
    async with started(boot=HOSTILE, count=1) as workers:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await workers.prepare([("do.it", b"time.sleep(600)")])
        assert await workers.prepare(FILES) == [prepared(path, data) for path, data in FILES]


async def test_nothing_runs_where_no_walls_stand() -> None:
    async with started(count=1) as workers:
        workers._sandbox.holds = Holds("unconfined", {}, {})
        assert workers.level == "unconfined"
        for _ in range(2):  # and none is lost by it
            with pytest.raises(WorldError) as raised:
                await workers.prepare(FILES)
            assert raised.value.code == "SANDBOX_UNAVAILABLE"


def test_a_thread_has_files_prepared_ahead_and_in_their_order() -> None:
    """More of them than are under way at once; what is asked of nobody any more ends with the workers."""
    files = [(f"{number}.py", b"def f%d(): pass\n" % number) for number in range(AHEAD * BATCH_FILES * 2)]
    with Sandbox.detect() as sandbox:
        crew = Crew(workers := Workers(sandbox, count=1))
        try:
            assert [*crew.prepared(files)] == [prepared(path, data) for path, data in files]
            assert workers.count == 1
            assert next(crew.prepared(files)) == prepared(*files[0])
        finally:
            crew.close()


def test_whoever_waits_for_a_worker_that_hangs_may_give_up() -> None:
    def check() -> None:
        raise KeyError

    with Sandbox.detect() as sandbox:
        crew = Crew(Workers(sandbox, boot=HOSTILE, count=1))
        began = time.monotonic()
        with pytest.raises(KeyError):
            [*crew.prepared([("do.it", b"time.sleep(60)")], check)]
        crew.close()
        assert time.monotonic() - began < 30


def test_there_are_as_many_as_there_are_processors() -> None:
    with Sandbox.detect() as sandbox:
        assert Workers(sandbox).count == os.cpu_count()


def test_a_worker_answers_until_nobody_asks() -> None:
    target = BytesIO()
    serve(BytesIO(framed(Batch(FILES[:1], b"k", 30.0)) + framed(Batch(FILES[1:], b"k", 30.0))), target)
    assert target.getvalue() == b"".join(framed(prepared(path, data, key=b"k")) for path, data in FILES)


@pytest.mark.parametrize(
    ("exit_code", "number", "limit", "told"),
    [
        (None, 9, "memory_bytes", "its worker reached the limit `memory_bytes`"),
        (None, 9, None, "its worker ended with SIGKILL"),
        (139, None, "lost", "its worker ended with SIGSEGV"),
        (0, None, None, "its worker ended with status 0"),
        (255, None, None, "its worker ended with status 255"),
    ],
)
def test_how_a_worker_ended_is_told(
    exit_code: int | None, number: int | None, limit: LimitName | None, told: str
) -> None:
    usage = Usage(cpu_ms=0, memory_bytes=0, wall_ms=0)
    ended = Ended(
        exit_code=exit_code, signal=number, limit=limit, stdout=b"", stderr=b"", output_bytes=0, usage=usage
    )
    assert _told(ended) == told


async def test_workers_that_nobody_asked_close() -> None:
    async with started() as workers:
        await workers.close()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([5], [1]),
        ([BATCH_BYTES, 1], [1, 1]),
        ([BATCH_BYTES - 1, 1, 1], [2, 1]),
        ([0] * (BATCH_FILES + 1), [BATCH_FILES, 1]),
    ],
)
def test_files_go_in_pieces(sizes: list[int], expected: list[int]) -> None:
    assert [len(batch) for batch in batches((str(size), bytes(size)) for size in sizes)] == expected
