"""The runtime's end of the launcher: starts it when it is first needed, and asks it for programs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from assent.errors import WorldError

_SOURCE: Final = Path(__file__).resolve().parents[2]
_BOOT: Final = "import sys; sys.path.append(sys.argv[1]); from assent.sandbox._zygote import main; main(int(sys.argv[2]))"


class Launcher:
    """One launcher process, started when it is first asked and again when it has died. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._is_closed = False

    def request(self, stdin: int, stdout: int, stderr: int) -> socket.socket:
        """A supervisor for one program with these streams, which it gets copies of. It waits for its plan on the socket.

        Closing the socket, or its sending side, ends the program. WorldError SANDBOX_FAILED when no launcher can be had.
        """
        ours, theirs = socket.socketpair()
        try:
            with self._lock, theirs:
                for is_last in (False, True):
                    requests = self._running()
                    try:
                        socket.send_fds(requests, [b"+"], [theirs.fileno(), stdin, stdout, stderr])
                        break
                    except (BrokenPipeError, ConnectionError):
                        self._drop()
                        if is_last:
                            raise
        except WorldError:
            ours.close()
            raise
        except OSError as error:
            ours.close()
            raise WorldError(
                "SANDBOX_FAILED", f"the launcher of confined programs can't be reached: {error.strerror}"
            ) from error
        return ours

    def _running(self) -> socket.socket:
        if self._is_closed:
            raise WorldError("SANDBOX_FAILED", "the sandbox is closed")
        if self._requests is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                # Isolated (-I) and without site (-S): nothing of the environment or of installed packages runs in it.
                number = theirs.fileno()
                arguments = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, str(_SOURCE), str(number)]
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own program
                    arguments,
                    env={},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(number,),
                    start_new_session=True,  # so that the terminal's Ctrl-C is ours to handle
                )
            self._requests = ours
        return self._requests

    def _drop(self) -> None:
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the launcher and every program that it has started. Harmless when called twice."""
        with self._lock:
            self._is_closed = True
            self._drop()

    @property
    def process_id(self) -> int | None:
        """The launcher's process, None before it is needed."""
        return None if self._process is None else self._process.pid

    def try_out(self, plan: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:  # `Any`: JSON
        """Run a plan to its end and give its answer and its output, waiting for it here: for measuring what a machine can."""
        reader, writer = os.pipe()
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            control = self.request(nothing, writer, nothing)
        finally:
            os.close(writer)
            os.close(nothing)
        with control, open(reader, "rb") as output:
            control.sendall(encode(plan))
            text = bytearray()
            while block := control.recv(1 << 16):
                text += block
            return answer_of(bytes(text)), output.read()


def encode(plan: Mapping[str, Any]) -> bytes:  # `Any`: JSON
    """A plan as a supervisor reads it."""
    return json.dumps(plan).encode("ascii") + b"\n"


def answer_of(text: bytes) -> dict[str, Any]:  # `Any`: JSON
    """A supervisor's answer. One that has died without a word has left nothing running: the launcher sees to that."""
    if not text.endswith(b"\n"):
        return {"failed": "its supervisor was killed", "errno": 0, "step": "supervisor"}
    found: dict[str, Any] = json.loads(text)
    return found
