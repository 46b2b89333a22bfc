"""What listeners of one run cost: `python -m benchmarks.listeners [--quick]`.

1 000 connections listen to a run (`GET /v1/runs/{run}/events`), of which 900 ask for all of its past, more than the buffers of
a connection hold, and never read. Then a caller adds steps to the run, one after the other, and the others hear of each. Told
are the memory of the daemon for each of both kinds, its processor time for each event and listener that hears it, and how long
after an event became durable it is heard.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from benchmarks._measure import clean_environment
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show
from benchmarks.serve import Served, caller, connected, cpu_s, daemon, request_of

EVENTS_A_STEP: Final = 3
KIB_MAX: Final = 200.0
NOTICED_S_MAX: Final = 2.0
STEP: Final = json.dumps({"capability": "sys.noop"}).encode()


def rss_kib(pid: int) -> int:
    """Memory of a process that is resident."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def measure(folder: Path, *, quick: bool) -> Part:
    """All of it, on one daemon."""
    # Each listener is a descriptor of ours, too.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with daemon(folder / "served", clean_environment(folder)) as served:
        figures = asyncio.run(_listened(served, 200 if quick else 1000, steps=200, live=10 if quick else 40))
    show(
        f"{figures['listeners']:.0f} listeners, a tenth of whom read",
        ["", ""],
        [[name, number(value)] for name, value in figures.items()],
    )
    targets = [
        Target("one who never reads, KiB", figures["one who never reads, KiB"], KIB_MAX, at_least=False),
        Target("all have left: noticed after s", figures["noticed after s"], NOTICED_S_MAX, at_least=False),
    ]
    return Part("listeners", {"figures": figures}, targets)


async def _listened(served: Served, listeners: int, *, steps: int, live: int) -> dict[str, float]:
    reader, writer = await connected(served.socket)
    writer.write(request_of("/v1/sessions", b"{}"))
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    run = json.loads(await reader.readexactly(length))["run_id"]
    writer.close()
    add = request_of(f"/v1/runs/{run}/steps", STEP)
    await caller(served.socket, add, steps, [])
    since = 1 + steps * EVENTS_A_STEP  # after its own beginning
    figures: dict[str, float] = {"listeners": listeners}
    files, memory = _files(served), rss_kib(served.pid)
    heard: list[float] = []
    ears = [await _listen(served, run, since) for _ in range(listeners // 10)]
    tasks = [asyncio.create_task(_hear(ear, heard)) for ear, _ in ears]
    await asyncio.sleep(1)
    figures["one who reads, KiB"] = (rss_kib(served.pid) - memory) / len(ears)
    memory = rss_kib(served.pid)
    deaf = [await _listen(served, run, 0, reads=False) for _ in range(listeners - len(ears))]
    used = -1.0
    while used != cpu_s(served.pid):  # until all their buffers are full
        used = cpu_s(served.pid)
        await asyncio.sleep(1)
    figures["one who never reads, KiB"] = (rss_kib(served.pid) - memory) / len(deaf)
    waits: list[float] = []
    await caller(served.socket, add, live, waits)
    while len(heard) < live * len(ears):  # noqa: ASYNC110 - they are many
        await asyncio.sleep(0.01)
    events = live * EVENTS_A_STEP * len(ears)
    figures["processor µs for each event heard"] = (cpu_s(served.pid) - used) / events * 1e6
    figures["heard after, median ms"] = statistics.median(heard)
    figures["heard after, at most ms"] = max(heard)
    figures["a step beside them, median ms"] = statistics.median(waits) * 1000
    begun = time.perf_counter()
    for _, one in [*ears, *deaf]:
        one.transport.abort()
    while _files(served) > files:  # noqa: ASYNC110 - another process, of which nothing is told
        await asyncio.sleep(0.01)
    figures["noticed after s"] = time.perf_counter() - begun
    await asyncio.gather(*tasks)
    return figures


def _files(served: Served) -> int:
    return sum(1 for _ in Path(f"/proc/{served.pid}/fd").iterdir())


async def _listen(
    served: Served, run: str, since: int, *, reads: bool = True
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await connected(served.socket)
    writer.write(f"GET /v1/runs/{run}/events?since={since} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    if reads:
        await reader.readuntil(b"listening")
    else:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's
    return reader, writer


async def _hear(reader: asyncio.StreamReader, heard: list[float]) -> None:
    with suppress(ConnectionError):
        while line := await reader.readline():
            if line.startswith(b"data: ") and b"step.succeeded" in line:
                heard.append(time.time() * 1000 - json.loads(line[6:])["at_ms"])


if __name__ == "__main__":
    run_part(measure, __doc__)
