"""What a governed call costs behind HTTP: `python -m benchmarks.serve [--quick]`.

A LOW call (`data.json.query` of a small document) through the daemon, over kept connections of its Unix socket, with 1 and 64
callers, beside the same call inside a program and a bare Starlette application that gives its body back. Figures are processor
time of the serving process for each request, so that the callers' own work is in none of them; times by the clock say what one
caller waits.
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
from pathlib import Path
from typing import Any, Final

from assent.runtime import Runtime
from benchmarks._measure import clean_environment
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show

CALLERS: Final = (1, 64)
ECHO_FACTOR_MAX: Final = 1.5
READY_MS_MAX: Final = 600.0
TICKS: Final = os.sysconf("SC_CLK_TCK")

CALL: Final = {"capability": "data.json.query", "parameters": {"value": {"a": [1, 2, 3]}, "query": "a[1]"}}
BODY: Final = json.dumps(CALL).encode()

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
uvicorn.run(app, uds=sys.argv[1], http="httptools", loop="asyncio", access_log=False, log_level="critical", lifespan="off")
"""


def request_of(path: str) -> bytes:
    """One request as it is sent."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(BODY)}\r\n\r\n".encode() + BODY


async def caller(place: str, asked: bytes, count: int, times: list[float]) -> None:
    """Ask again and again over one connection."""
    reader, writer = await asyncio.open_unix_connection(place)
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


def load(pid: int, place: str, asked: bytes, callers: int, count: int) -> dict[str, float]:
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


def until_listening(place: str, process: subprocess.Popen[Any]) -> None:
    """Wait until a process listens."""
    while process.poll() is None:
        probe = socket.socket(socket.AF_UNIX)
        try:
            probe.connect(place)
        except OSError:
            time.sleep(0.002)
        else:
            return
        finally:
            probe.close()
    raise RuntimeError("it has ended")


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
    for name in ("inside", "served"):
        (folder / name).mkdir()
        (folder / name / "assent.toml").write_text("", encoding="ascii")
    environment = clean_environment(folder)
    figures["inside"] = asyncio.run(embedded(folder / "inside", count))
    asked = request_of("/v1/calls")
    with tempfile.TemporaryDirectory(prefix="assent-bench-") as short:
        place = f"{short}/echo.sock"
        echo = subprocess.Popen(
            [sys.executable, "-c", ECHO, place], stderr=subprocess.DEVNULL, env=environment
        )
        try:
            until_listening(place, echo)
            for callers in CALLERS:
                found = load(echo.pid, place, asked, callers, count)
                figures[f"echo {callers}"] = found["cpu_us"]
                rows.append(["Starlette echo, Unix socket", str(callers), *shown(found)])
        finally:
            echo.kill()
            echo.wait()
    begun = time.perf_counter()
    command = [sys.executable, "-m", "assent", "--workspace", str(folder / "served"), "serve"]
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert daemon.stdout is not None
        place = daemon.stdout.readline().split()[1]
        figures["ready"] = (time.perf_counter() - begun) * 1000
        for callers in CALLERS:
            found = load(daemon.pid, place, asked, callers, count)
            figures[f"served {callers}"] = found["cpu_us"]
            rows.append(["assent serve, Unix socket", str(callers), *shown(found)])
    finally:
        daemon.terminate()
        daemon.wait()
    rows.append(["inside a program", "1", f"{figures['inside']:.0f}", "", ""])
    show("a governed LOW call", ["", "callers", "processor µs", "per second", "median ms"], rows)
    targets = [
        Target(
            f"processor time for {callers} callers, of (inside + 1.5 echo)",
            figures[f"served {callers}"] / (figures["inside"] + ECHO_FACTOR_MAX * figures[f"echo {callers}"]),
            1.0,
            at_least=False,
        )
        for callers in CALLERS
    ]
    targets.append(Target("from start to ready, ms", figures["ready"], READY_MS_MAX, at_least=False))
    return Part("serve", {"figures": figures}, targets)


def shown(found: dict[str, float]) -> list[str]:
    """The cells of one load."""
    return [f"{found['cpu_us']:.0f}", f"{found['per_s']:.0f}", f"{found['wait_ms']:.2f}"]


if __name__ == "__main__":
    run_part(measure, __doc__)
