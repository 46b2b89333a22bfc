"""`net.http.get` through the runtime beside a bare client call: `python -m benchmarks.http [--quick]`.

One connection that is kept, a server of its own in another process, an answer of 1 KiB. The median of the time that one request
takes from asking to having the answer. "Checked and pinned" is the client of the capabilities alone; the whole call is
decided, journaled and durable on disk when it answers, which is what most of its time is spent on.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import httpx2

from assent import Runtime
from assent.capabilities.net import Egress, EgressRule, Http
from assent.capabilities.net._client import Wire
from assent.capabilities.net._url import parse_url
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show

CLIENT_RATIO_MAX: Final = 2.0
CALL_RATIO_MAX: Final = 25.0
_BODY: Final = 1024

_SERVER: Final = f"""
import asyncio

ANSWER = b"HTTP/1.1 200 OK\\r\\ncontent-type: text/plain\\r\\ncontent-length: {_BODY}\\r\\n\\r\\n" + b"x" * {_BODY}


async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            writer.write(ANSWER)
    except asyncio.IncompleteReadError:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
"""

_POLICY: Final[dict[str, Any]] = {
    "version": 1,
    "rules": [{"id": "all", "when": {"principal": "user:*"}, "decision": "ALLOW", "reason": "a benchmark"}],
}


def measure(folder: Path, *, quick: bool) -> Part:
    """Measure all three, print a table, and give the promises."""
    rounds = 60 if quick else 600
    with _server() as port:
        figures = asyncio.run(_figures(folder, port, rounds))
    bare = figures["a bare client call"]
    rows = [[name, f"{us:.0f}", f"{us / bare:.2f}"] for name, us in figures.items()]
    show("one GET of 1 KiB on a kept connection", ["", "µs", "times the bare call"], rows)
    return Part(
        "http",
        {"figures_us": figures},
        [
            Target(
                "a checked request, times a bare one",
                figures["checked and pinned"] / bare,
                CLIENT_RATIO_MAX,
                at_least=False,
            ),
            Target(
                "net.http.get, times a bare request",
                figures["net.http.get"] / bare,
                CALL_RATIO_MAX,
                at_least=False,
            ),
        ],
    )


@contextmanager
def _server() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()


async def _figures(folder: Path, port: int, rounds: int) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}/"
    own = (ip_network("127.0.0.1/32"),)
    rule = EgressRule(
        "own", ("127.0.0.1",), schemes=frozenset({"http"}), ports=frozenset({port}), private=own
    )
    http = Http(Egress([rule]))
    wire = Wire("GET", parse_url(url), (), b"", url)
    workspace = folder / "workspace"
    workspace.mkdir()
    (workspace / "assent.toml").write_text(
        f'[net.rules.own]\nhosts = ["127.0.0.1"]\nschemes = ["http"]\nports = [{port}]\nprivate = ["127.0.0.1/32"]\n'
    )
    async with (
        httpx2.AsyncClient(trust_env=False) as bare,
        Runtime.open(workspace, state=folder / "state", policy=_POLICY) as rt,
    ):

        async def call() -> None:
            result = await rt.call("net.http.get", {"url": url})
            assert result.status == "succeeded", result

        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "a bare client call": lambda: bare.get(url),
            "checked and pinned": lambda: http.send(wire, principal="user:ann", bytes_max=1 << 20),
            "net.http.get": call,
        }
        taken: dict[str, list[int]] = {name: [] for name in ways}
        for _ in range(rounds):  # in turn, so that a busy moment is everybody's
            for name, way in ways.items():
                begun = time.perf_counter_ns()
                await way()
                taken[name].append(time.perf_counter_ns() - begun)
        await http.close()
    return {name: statistics.median(times) / 1000 for name, times in taken.items()}


if __name__ == "__main__":
    run_part(measure, __doc__)
