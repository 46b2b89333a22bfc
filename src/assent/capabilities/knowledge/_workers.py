"""Workers that clean and cut files behind walls: parsers of strangers' texts can end a process, and shall end none of ours.

Theory of operation. Some processes wait in the sandbox, with everything imported, no workspace, no network and nothing to write.
A batch goes to one of them in one message, and an answer comes back for each file, in order. So when a process ends or takes too
long, the first file without an answer is to blame: it is left out by name, and another process gets the others.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import sysconfig
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, TypeVar

import msgspec

from assent.capabilities.knowledge._preparing import HEAD_BYTES, Batch, Prepared, framed
from assent.errors import AssentError
from assent.knowledge.chunks import LeftOut
from assent.sandbox import Child, Confinement, Ended, Sandbox, SandboxLimits, Scratch
from assent.spec.values.typed import unpacker

FILE_S: Final = 30.0
"""Processor time that one file may take: the same tree has the same index, however loaded the machine is."""
WAIT_S: Final = 600.0
"""How long an answer is waited for by the clock: a worker that sleeps uses no processor time."""
LOOK_S: Final = 0.5
"""How long an answer is waited for before it is asked whether anybody still wants it."""
START_S: Final = 60.0
"""What a process may take until its first answer, beside that."""
BATCH_BYTES: Final = 1 << 20
BATCH_FILES: Final = 256
AHEAD: Final = 2
"""Batches for each worker that are under way while one is used."""
ANSWER_BYTES_MAX: Final = 64 << 20
"""The largest answer: a text of the largest size, and its chunks."""
BOOT: Final = (
    "import sys; sys.path[:] = sys.argv[1:]; from assent.capabilities.knowledge._process import main; main()"
)
_FOREVER_S: Final = 10 * 365 * 86_400
_MEMORY_BYTES: Final = 1 << 30
_NO_ANSWER: Final = "its worker answered what is no answer"
_OURS: Final = (sys.prefix, sys.base_prefix)


T = TypeVar("T")


class _BrokenError(Exception):
    """A worker broke off; how, in a few words."""


class _Worker:
    def __init__(
        self,
        child: Child,
        reader: asyncio.StreamReader,
        reads: asyncio.ReadTransport,
        writes: asyncio.WriteTransport,
    ) -> None:
        self._child = child
        self._reader = reader
        self._reads = reads
        self._writes = writes
        self._is_new = True
        self._decoder = unpacker(Prepared)

    @classmethod
    async def of(cls, child: Child) -> Self:
        """The worker of a process that was started."""
        loop = asyncio.get_running_loop()
        os.close(child.stderr)
        reader = asyncio.StreamReader(limit=1 << 20)
        reads, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(child.stdout, "rb", 0)
        )
        writes, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(child.stdin, "wb", 0))
        return cls(child, reader, reads, writes)

    def send(self, batch: Batch) -> None:
        self._writes.write(framed(batch))

    async def answer(self, path: str, wait_s: float) -> Prepared:
        """The next answer, which is to be of this file; `_BrokenError` when none comes."""
        limit_s = wait_s + START_S * self._is_new
        try:
            async with asyncio.timeout(limit_s):
                size = int.from_bytes(await self._reader.readexactly(HEAD_BYTES))
                if size > ANSWER_BYTES_MAX:
                    raise _BrokenError("its worker answered too much")
                found = self._decoder.decode(await self._reader.readexactly(size))
        except TimeoutError:
            raise _BrokenError(f"its worker took more than {limit_s:.0f} s") from None
        except msgspec.DecodeError:
            raise _BrokenError(_NO_ANSWER) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _BrokenError(_told(await self.end(is_dead=True))) from None
        if not _is_of(found, path):
            raise _BrokenError(_NO_ANSWER)
        self._is_new = False
        return found

    async def end(self, *, is_dead: bool = False) -> Ended:
        """How it ended. One that is dead already is asked, others are ended."""
        for pipe in (self._writes, self._reads):
            pipe.close()
        if not is_dead:
            self._child.kill()
        return await self._child.wait()


class Workers:
    """So many processes in a sandbox that prepare files. They start when they are first needed; `close` ends them."""

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        count: int = 0,
        file_s: float = FILE_S,
        wait_s: float = WAIT_S,
        key: bytes = b"",
        boot: str = BOOT,
    ) -> None:
        """`count`: as many as there are processors unless said.

        `boot`: the first line of a worker, for tests of what goes wrong there.
        """
        self._sandbox = sandbox
        self._file_s = file_s
        self._wait_s = wait_s
        self._key = key
        self._boot = boot
        self._empty: Scratch | None = None
        self._idle: asyncio.Queue[_Worker | None] = asyncio.Queue()
        self.count: Final = count or os.cpu_count() or 1
        for _ in range(self.count):
            self._idle.put_nowait(None)

    @property
    def level(self) -> str:
        """What they are confined by on this machine, for the record: `native`, `bubblewrap`, or `unconfined`."""
        return self._sandbox.holds.backend if self._sandbox.holds.is_confined else "unconfined"

    async def start(self) -> None:
        """Start all of them now, so that the first file waits for none."""
        await asyncio.gather(*(self.prepare([]) for _ in range(self.count)))

    async def prepare(self, files: Sequence[tuple[str, bytes]]) -> list[Prepared]:
        """Each file cleaned and cut, or left out by name, in their order. As many calls run at once as there are workers.

        Raises `WorldError` SANDBOX_UNAVAILABLE where nothing holds and the operator has not switched that off by name.
        """
        found: list[Prepared] = []
        worker = await self._idle.get()
        try:
            worker = worker or await self._start()
            while len(found) < len(files):
                worker.send(Batch([*files[len(found) :]], self._key, self._file_s))
                try:
                    while len(found) < len(files):
                        found.append(await worker.answer(files[len(found)][0], self._wait_s))
                except _BrokenError as error:
                    broken, worker = worker, None
                    await _ended(broken)
                    found.append(Prepared(left_out=LeftOut(files[len(found)][0], str(error))))
                    worker = await self._start()
        except BaseException:
            # What it was asked is under way there still, and its answers would be taken for those of the next.
            unsure, worker = worker, None
            if unsure is not None:
                await _ended(unsure)
            raise
        finally:
            self._idle.put_nowait(worker)
        return found

    async def _start(self) -> _Worker:
        if self._empty is None:
            self._empty = Scratch.make()  # A sandbox shows a workspace; a worker has none.
        packages = _packages()
        child = await self._sandbox.start(
            [sys.executable, "-IBS", "-c", self._boot, *packages],
            Confinement(
                root=self._empty.path,
                read_only=tuple(Path(place) for place in dict.fromkeys((*_OURS, *packages))),
                environment={"LANG": "C.UTF-8"},
                limits=SandboxLimits(
                    cpu_s=_FOREVER_S,
                    wall_s=_FOREVER_S,
                    memory_bytes=_MEMORY_BYTES,
                    file_bytes=1 << 20,
                    processes=16,
                ),
            ),
        )
        return await _Worker.of(child)

    async def close(self) -> None:
        """End every worker that waits."""
        while not self._idle.empty():
            worker = self._idle.get_nowait()
            if worker is not None:
                await _ended(worker)
        if self._empty is not None:
            self._empty.remove()
            self._empty = None


class Crew:
    """Workers for a thread that waits: their pipes are served by a loop in a thread of its own, which `close` ends with them."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="assent-knowledge", daemon=True)
        self._thread.start()

    def prepared(
        self, files: Iterable[tuple[str, bytes]], check: Callable[[], None] = lambda: None
    ) -> Iterator[Prepared]:
        """The files in their order, of which some batches are read and prepared while the one before them is used.

        `check` is called now and then while one is waited for; what it raises ends that. Raises as `Workers.prepare` does.
        """

        def next_ones() -> list[Prepared]:
            first = ahead.popleft()
            while not wait([first], LOOK_S).done:
                check()
            return first.result()

        ahead: deque[Future[list[Prepared]]] = deque()
        for batch in batches(files):
            ahead.append(self._asked(self._workers.prepare(batch)))
            if len(ahead) > AHEAD * self._workers.count:
                yield from next_ones()
        while ahead:
            yield from next_ones()

    def close(self) -> None:
        """End the workers, with what they still do."""
        self._asked(self._end()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._workers.close()

    def _asked(self, work: Coroutine[object, object, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def _is_of(found: Prepared, path: str) -> bool:
    """Whether an answer is one, and of a file: what came over a worker is not trusted to say so by itself."""
    if found.left_out is not None:
        return found.left_out.path == path
    return found.planned is not None and found.planned.path == path and found.cleaned is not None


def batches(files: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """The files in pieces that are worth a message."""
    batch: list[tuple[str, bytes]] = []
    size = 0
    for path, data in files:
        if batch and (size + len(data) > BATCH_BYTES or len(batch) == BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append((path, data))
        size += len(data)
    if batch:
        yield batch


async def _ended(worker: _Worker) -> None:
    with suppress(AssentError):  # Its walls could not be put up: nothing of it runs.
        await worker.end()


def _told(ended: Ended) -> str:
    # What starts a program in some sandboxes tells a signal as a shell does.
    name = {one.value: one.name for one in signal.Signals}.get(ended.signal or (ended.exit_code or 0) - 128)
    if ended.limit not in {None, "lost"}:
        return f"its worker reached the limit `{ended.limit}`"
    if name == "SIGPROF":
        return "its worker took more processor time than a file may"
    if name is not None:
        return f"its worker ended with {name}"
    return f"its worker ended with status {ended.exit_code}"


def _packages() -> tuple[str, ...]:
    """Where modules come from: Python's own, what is installed beside Assent, and Assent itself."""
    paths = sysconfig.get_paths()
    native = [path for path in sys.path if path.endswith("lib-dynload") and Path(path).exists()]
    places = [
        paths["stdlib"],
        paths["platstdlib"],
        *native,
        paths["purelib"],
        paths["platlib"],
        str(Path(__file__).parents[3]),
    ]
    return tuple(dict.fromkeys(places))
