"""A confined program while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from assent.errors import InputError, WorldError
from assent.sandbox._confinement import Ended, LimitName, Usage
from assent.sandbox._launcher import answer_of
from assent.sandbox._scratch import Scratch

_BLOCK_BYTES: Final = 1 << 16
OnOutput = Callable[[str, bytes], Awaitable[None] | None]
"""Takes `stdout` or `stderr` and the next bytes of it. While it is awaited the program's pipe fills up and the program waits."""

# A shell tells its child's end by a signal as 128 and the signal's number, and so does bubblewrap.
_TOLD_BY_SHELL: Final = 128


class Child:
    """A program that runs: its pipes as descriptors, and its end. `wait` has to be awaited, also after `kill`.

    The descriptors are the caller's to use and close; -1 where there is none.
    """

    def __init__(
        self,
        control: socket.socket,
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        began_s: float,
        scratch: Scratch | None,
    ) -> None:
        control.setblocking(False)
        self._control = control
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self._began_s = began_s
        self._scratch = scratch
        self._limit: LimitName | None = None
        self._is_killed = False
        self._said: bytes | None = None
        self._ended: Ended | None = None

    def kill(self, limit: LimitName = "killed") -> None:
        """End the program and all it has started. Returns at once; harmless when it has ended."""
        if not self._is_killed:
            self._is_killed = True
            self._limit = limit
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_WR)

    async def wait(self) -> Ended:
        """How it ended; nothing of it runs any more when this returns. A cancelled wait kills it first.

        Raises `InputError` SANDBOX_PROGRAM (no such program inside), `WorldError` SANDBOX_FAILED (the walls could not be put up).
        """
        if self._said is None:
            try:
                self._said = await self._answer()
            except asyncio.CancelledError:
                self.kill()
                self._said = await self._answer()
                raise
            finally:
                self._close()
        if self._ended is None:
            self._ended = self._conclude(answer_of(self._said))
        return self._ended

    async def _answer(self) -> bytes:
        loop = asyncio.get_running_loop()
        text = bytearray()
        # One that was killed before it had read all may end with a reset; it has no more to say either way.
        with contextlib.suppress(ConnectionResetError):
            while block := await loop.sock_recv(self._control, _BLOCK_BYTES):
                text += block
        return bytes(text)

    def _close(self) -> None:
        self._control.close()
        if self._scratch is not None:
            self._scratch.remove()

    def _conclude(self, answer: dict[str, Any]) -> Ended:  # `Any`: JSON
        if "failed" in answer:
            raise _failure(answer)
        code: int = answer["status"]
        limit: LimitName | None = answer["limit"]
        if limit == "killed":
            limit = self._limit or "lost"  # Nobody here has ended it.
        limit = limit or _limit_of(code)
        left = answer.get("denied") or {"count": 0, "places": []}
        elapsed = asyncio.get_running_loop().time() - self._began_s
        return Ended(
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            limit=limit,
            stdout=b"",
            stderr=b"",
            output_bytes=0,
            usage=Usage(
                cpu_ms=answer["cpu_ms"], memory_bytes=answer["memory_bytes"], wall_ms=int(elapsed * 1000)
            ),
            left_scope=left["count"],
            left_for=tuple(left["places"]),
        )


def _limit_of(code: int) -> LimitName | None:
    for number, limit in _BY_SIGNAL:
        if code in {-number, _TOLD_BY_SHELL + number}:
            return limit
    return None


_BY_SIGNAL: Final[tuple[tuple[int, LimitName], ...]] = (
    (signal.SIGXCPU, "cpu_s"),
    (signal.SIGXFSZ, "file_bytes"),
)


def _failure(answer: dict[str, Any]) -> InputError | WorldError:  # `Any`: JSON
    reason = str(answer["failed"])[:1].lower() + str(answer["failed"])[1:]
    if answer["step"] == "exec":
        return InputError(
            "SANDBOX_PROGRAM",
            f"the program can't be started inside the sandbox: {reason}",
            hint="inside there are the system's programs, the workspace, and what the confinement names",
        )
    return WorldError(
        "SANDBOX_FAILED",
        f"the sandbox could not be built: {reason}",
        hint="`assent doctor` shows what holds on this machine",
        details={"step": str(answer["step"]), "errno": int(answer["errno"])},
    )


class Pump:
    """Moves a child's output to a callback and its input from bytes, until all streams are at their end."""

    def __init__(self, child: Child, *, stdin: bytes | None, on_output: OnOutput | None, most: int) -> None:
        self._child = child
        self._input = memoryview(stdin or b"")
        self._on_output = on_output
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._ready: set[int] = set()
        self._woken = asyncio.Event()
        self.kept: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self.count = 0

    async def run(self) -> None:
        """Move everything; the descriptors are closed when this returns."""
        child = self._child
        names = {child.stdout: "stdout", child.stderr: "stderr"}
        for descriptor in (*names, *([child.stdin] if child.stdin >= 0 else [])):
            os.set_blocking(descriptor, False)
        try:
            for descriptor in names:
                self._loop.add_reader(descriptor, self._note, descriptor)
            self._write()
            while names:
                await self._woken.wait()
                self._woken.clear()
                for descriptor in [one for one in names if one in self._ready]:
                    self._ready.discard(descriptor)
                    if not await self._take(names[descriptor], descriptor):
                        del names[descriptor]
        finally:
            for descriptor in (child.stdout, child.stderr):
                self._loop.remove_reader(descriptor)
                os.close(descriptor)
            self._end_input()

    def _note(self, descriptor: int) -> None:
        # Read once per wake-up and only when asked: while the callback takes its time, the program waits at a full pipe.
        self._loop.remove_reader(descriptor)
        self._ready.add(descriptor)
        self._woken.set()

    async def _take(self, name: str, descriptor: int) -> bool:
        try:
            block = os.read(descriptor, _BLOCK_BYTES)
        except BlockingIOError:
            block = None
        if block == b"":
            return False
        if block:
            room = self._most - self.count
            self.count += len(block)
            if self.count > self._most:
                self._child.kill("output_bytes")
            if room > 0:
                await self._deliver(name, block[:room])
        self._loop.add_reader(descriptor, self._note, descriptor)
        return True

    async def _deliver(self, name: str, block: bytes) -> None:
        if self._on_output is None:
            self.kept[name] += block
            return
        found = self._on_output(name, block)
        if found is not None:
            await found

    def _write(self) -> None:
        descriptor = self._child.stdin
        if descriptor < 0:
            return
        self._loop.remove_writer(descriptor)
        try:
            while self._input:
                self._input = self._input[os.write(descriptor, self._input[:_BLOCK_BYTES]) :]
        except BlockingIOError:
            self._loop.add_writer(descriptor, self._write)
            return
        except BrokenPipeError:
            pass  # it does not want the rest
        self._end_input()

    def _end_input(self) -> None:
        if self._child.stdin >= 0:
            self._loop.remove_writer(self._child.stdin)
            os.close(self._child.stdin)
            self._child.stdin = -1
