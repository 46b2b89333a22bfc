"""The other end of `assent pipe`: in the loop of a test, or of a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from assent.errors import AssentError, InternalError
from assent.runtime.settings.effective import Settings
from assent.server.pipe._frames import Decoder, Frame, encode
from assent.server.pipe._pipe import Ends, serve
from assent.system import spawn
from tests.support.patience import PATIENCE_S

LARGEST = 1 << 30


def asking(ident: Any, method: str, params: Any = None, *, token: bytes = b"", **members: Any) -> bytes:
    """A frame that asks something."""
    said = {"jsonrpc": "2.0", "id": ident, "method": method, "params": params or {}, **members}
    return encode(Frame(json.dumps(said).encode(), token))


def told(data: bytes) -> list[Any]:
    """What frames say, each looked at."""
    decoder = Decoder(LARGEST)
    found = [*decoder.feed(data)]
    assert decoder.end() is None
    assert all(isinstance(one, Frame) and not one.token for one in found), found
    return [json.loads(one.message) for one in found if isinstance(one, Frame)]


class Peer:
    """A program that asks through a pipe and reads what is told, in the order in which it comes."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._decoder = Decoder(LARGEST)
        self._coming: list[Any] = []

    def say(self, data: bytes) -> None:
        os.write(self._sink, data)

    def ends(self) -> None:
        """Nothing more is asked."""
        os.close(self._sink)
        self._sink = -1

    async def hear(self) -> Any:
        """The next message."""
        while not self._coming:
            data = await asyncio.to_thread(os.read, self._source, 1 << 16)
            assert data, "the pipe has ended"
            for one in self._decoder.feed(data):
                assert isinstance(one, Frame), one
                self._coming.append(json.loads(one.message))
        return self._coming.pop(0)

    async def ask(self, method: str, params: Any = None, **how: Any) -> Any:
        """The answer, without the notices before it."""
        self.say(asking("asked", method, params, **how))
        while "method" in (answer := await self.hear()):
            pass
        assert answer["id"] == "asked", answer
        return answer

    def close(self) -> None:
        for end in (self._source, self._sink):
            if end >= 0:
                os.close(end)


@asynccontextmanager
async def piped(root: Path, env: Mapping[str, str]) -> AsyncIterator[Peer]:
    """A pipe into the workspace, open until the block ends, and then ended as an input ends."""
    settings = Settings.resolve(workspace=root, environ=env, cwd=root)
    (its_source, our_sink), (our_source, its_sink) = os.pipe(), os.pipe()
    peer = Peer(our_source, our_sink)
    faults: list[Exception] = []

    def fault(error: Exception) -> AssentError:
        faults.append(error)
        return InternalError("INTERNAL_ERROR", "something went wrong inside Assent")

    work = spawn(serve(settings, Ends(its_source, its_sink), fault), name="pipe")
    try:
        yield peer
        if peer._sink >= 0:
            peer.ends()
        await asyncio.wait_for(work, PATIENCE_S)
        assert not faults, faults
    finally:
        work.cancel()
        await asyncio.wait({work})
        peer.close()
        os.close(its_source)
        os.close(its_sink)


def pipe_process(root: Path, env: Mapping[str, str], *flags: str) -> subprocess.Popen[bytes]:
    """The same as a process of its own."""
    command = [sys.executable, "-m", "assent", "--workspace", str(root), *flags, "pipe"]
    ends = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=dict(env), **ends)  # type: ignore[call-overload, no-any-return]  # three pipes
