"""What a governed call costs behind HTTP: `python -m benchmarks.serve [--quick]`.

A LOW call (`data.json.query` of a small document) through the daemon, over kept connections of its Unix socket and of TCP, with
1 and 64 callers, beside the same call inside a program and a bare Starlette application that gives its body back. Figures are
processor time of the serving process for each request, so that the callers' own work is in none of them; times by the clock say
what one caller waits.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from assent.runtime import Runtime
from benchmarks._measure import clean_environment
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show

CALLERS: Final = (1, 64)
ECHO_FACTOR_MAX: Final = 1.5
READY_MS_MAX: Final = 600.0
SOCKET: Final = "Unix socket"
TCP: Final = "TCP"
TICKS: Final = os.sysconf("SC_CLK_TCK")

CALL: Final = {"capability": "data.json.query", "parameters": {"value": {"a": [1, 2, 3]}, "query": "a[1]"}}
BODY: Final = json.dumps(CALL).encode()

Place: TypeAlias = "str | int"
"""The path of a socket, or a port of this machine."""

ECHO: Final = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

async def echo(request: Request) -> JSONResponse:
    return JSONResponse(await request.json())

app = Starlette(routes=[Route("/v1/calls", echo, methods=["POST"])])
place = {"port": int(sys.argv[1])} if sys.argv[1].isdigit() else {"uds": sys.argv[1]}
uvicorn.run(app, **place, http="httptools", loop="asyncio", access_log=False, log_level="critical", lifespan="off")
"""


def request_of(path: str, body: bytes = BODY, key: str | None = None) -> bytes:
    """One request as it is sent."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    if key is not None:
        head += f"authorization: Bearer {key}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def connected(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of its own."""
    if isinstance(place, int):
        return await asyncio.open_connection("127.0.0.1", place)
    return await asyncio.open_unix_connection(place)


async def caller(place: Place, asked: bytes, count: int, times: list[float]) -> None:
    """Ask again and again over one connection."""
    reader, writer = await connected(place)
    try:
        for _ in range(count):
            begun = time.perf_counter()
            writer.write(asked)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode() + (await reader.read(2000)).decode())
            length = next(
                int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
            )
            await reader.readexactly(length)
            times.append(time.perf_counter() - begun)
    finally:
        writer.close()


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def load(pid: int, place: Place, asked: bytes, callers: int, count: int) -> dict[str, float]:
    """Microseconds of the server's processor for each request, requests each second, and what one waits at the median."""

    async def all_of_them() -> tuple[float, float, list[float]]:
        warm: list[float] = []
        await asyncio.gather(*(caller(place, asked, 20, warm) for _ in range(callers)))
        times: list[float] = []
        used, begun = cpu_s(pid), time.perf_counter()
        await asyncio.gather(*(caller(place, asked, count // callers, times) for _ in range(callers)))
        return cpu_s(pid) - used, time.perf_counter() - begun, times

    used, passed, times = asyncio.run(all_of_them())
    return {
        "cpu_us": used / len(times) * 1e6,
        "per_s": len(times) / passed,
        "wait_ms": statistics.median(times) * 1000,
    }


def until_listening(place: Place, process: subprocess.Popen[Any]) -> None:
    """Wait until a process listens."""
    while process.poll() is None:
        probe = socket.socket(socket.AF_INET if isinstance(place, int) else socket.AF_UNIX)
        try:
            probe.connect(("127.0.0.1", place) if isinstance(place, int) else place)
        except OSError:
            time.sleep(0.002)
        else:
            return
        finally:
            probe.close()
    raise RuntimeError("it has ended")


class Served(NamedTuple):
    """A daemon that is ready."""

    pid: int
    socket: str
    port: int
    ready_ms: float
    command: list[str]
    environment: dict[str, str]

    def key(self, *flags: str) -> str:
        """A key that opens the port."""
        command = [*self.command, "key", "create", "bench", *flags, "--json"]
        made = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        return str(json.loads(made.stdout)["key"])


@contextmanager
def daemon(
    workspace: Path, environment: dict[str, str], *, tcp: bool = False, more: str = ""
) -> Iterator[Served]:
    """One in a workspace that `more` of its configuration is said of, until the block ends."""
    workspace.mkdir(exist_ok=True)
    port = free_port() if tcp else 0
    said = f'[serve]\nhttp = "127.0.0.1:{port}"\n' if tcp else ""
    (workspace / "assent.toml").write_text(more + said, encoding="ascii")
    command, begun = [sys.executable, "-m", "assent", "--workspace", str(workspace)], time.perf_counter()
    process = subprocess.Popen([*command, "serve"], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        place = process.stdout.readline().split()[1]
        ready_ms = (time.perf_counter() - begun) * 1000
        yield Served(process.pid, place, port, ready_ms, command, environment)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """One of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def embedded(folder: Path, count: int) -> float:
    """Microseconds of processor time for the same call inside a program."""
    async with Runtime.open(folder) as rt:
        capability, parameters = str(CALL["capability"]), CALL["parameters"]
        for _ in range(50):
            await rt.call(capability, parameters)  # type: ignore[arg-type]  # JSON
        begun = time.process_time()
        for _ in range(count):
            result = await rt.call(capability, parameters)  # type: ignore[arg-type]  # as above
            assert result.status == "succeeded"
        return (time.process_time() - begun) / count * 1e6


def measure(folder: Path, *, quick: bool) -> Part:
    """Everything, in one run."""
    count = 640 if quick else 6400
    rows: list[list[str]] = []
    figures: dict[str, float] = {}
    (folder / "inside").mkdir()
    (folder / "inside" / "assent.toml").write_text("", encoding="ascii")
    environment = clean_environment(folder)
    figures["inside"] = asyncio.run(embedded(folder / "inside", count))

    def loaded(who: str, where: str, pid: int, place: Place, asked: bytes) -> None:
        for callers in CALLERS:
            found = load(pid, place, asked, callers, count)
            figures[f"{who} {where} {callers}"] = found["cpu_us"]
            rows.append([f"{who}, {where}", str(callers), *shown(found)])

    with tempfile.TemporaryDirectory(prefix="assent-bench-") as short:
        for where, place in ((SOCKET, f"{short}/echo.sock"), (TCP, free_port())):
            command = [sys.executable, "-c", ECHO, str(place)]
            echo = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
            try:
                until_listening(place, echo)
                loaded("Starlette echo", where, echo.pid, place, request_of("/v1/calls"))
            finally:
                echo.kill()
                echo.wait()
    with daemon(folder / "served", environment, tcp=True) as served:
        figures["ready"] = served.ready_ms
        loaded("assent serve", SOCKET, served.pid, served.socket, request_of("/v1/calls"))
        loaded("assent serve", TCP, served.pid, served.port, request_of("/v1/calls", key=served.key()))
    rows.append(["inside a program", "1", f"{figures['inside']:.0f}", "", ""])
    show("a governed LOW call", ["", "callers", "processor µs", "per second", "median ms"], rows)
    targets = [
        Target(
            f"{where}, {callers} callers: processor time of (inside + 1.5 echo)",
            figures[f"assent serve {where} {callers}"]
            / (figures["inside"] + ECHO_FACTOR_MAX * figures[f"Starlette echo {where} {callers}"]),
            1.0,
            at_least=False,
        )
        for where in (SOCKET, TCP)
        for callers in CALLERS
    ]
    targets.append(Target("from start to ready, ms", figures["ready"], READY_MS_MAX, at_least=False))
    return Part("serve", {"figures": figures}, targets)


def shown(found: dict[str, float]) -> list[str]:
    """The cells of one load."""
    return [f"{found['cpu_us']:.0f}", f"{found['per_s']:.0f}", f"{found['wait_ms']:.2f}"]


if __name__ == "__main__":
    run_part(measure, __doc__)
