"""The official conformance suite's fixture behind the gateway, served at `/mcp`, and what is asked of it and answered, recorded.

The suite knows no keys, so a proxy of this machine adds one to each request. It changes nothing else.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from assent.runtime.service import process
from assent.runtime.service import requests as ask
from assent.runtime.settings.effective import Settings
from tests.support import suite_upstream
from tests.support.gateway import ALLOW
from tests.support.own_places import own_places
from tests.support.serving import daemon, key_for, over_tcp

PROGRAM: Final = Path(suite_upstream.__file__)


@asynccontextmanager
async def served(
    environ: Mapping[str, str],
    server: str = "suite",
    command: Sequence[str] = (sys.executable, str(PROGRAM)),
    reads: str = str(PROGRAM),
) -> AsyncIterator[tuple[str, str]]:
    """The address at which the fixture, or the MCP server of this name and command, is served, and a key for it."""
    with tempfile.TemporaryDirectory(prefix="assent-suite-") as name, own_places(Path(name), environ) as env:
        root = Path(name, "work")
        root.mkdir()
        (root / "policy.yaml").write_text(ALLOW)
        (root / "assent.toml").write_text(
            f'policy = "policy.yaml"\n[mcp.servers.{server}]\ncommand = {json.dumps([*command])}\nread_only = ["{reads}"]\n'
        )
        over_tcp(root)
        settings = Settings.resolve(workspace=root, environ=env, cwd=root)
        with ThreadPoolExecutor(1) as thread:
            look = thread.submit(process.perform, ask.LookAtServer(name=server), settings).result()
            thread.submit(
                process.perform, ask.TrustServer(name=server, digest=look.digest), settings
            ).result()
        async with daemon(root, env) as found:
            yield found.doors["http"], key_for(root, env, "agent:suite")


@asynccontextmanager
async def with_key(url: str, key: str) -> AsyncIterator[str]:
    """An address at which the same is served to whoever has no key: every request is given it, and else passes as it is."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    line = f"Authorization: Bearer {key}\r\n".encode()

    async def requests(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first = await source.readuntil(b"\r\n")
                rest = await source.readuntil(b"\r\n\r\n")
                sink.write(first + line + rest)
                length = re.search(rb"(?i)^content-length: *(\d+)", rest, re.MULTILINE)
                if length is not None:
                    sink.write(await source.readexactly(int(length[1])))
        sink.close()

    async def answers(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while part := await source.read(1 << 16):
                sink.write(part)
        sink.close()

    async def meet(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(requests(source, outer), answers(inner, sink))

    async with await asyncio.start_server(meet, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
