"""Asking the process that owns the state, with nothing but the standard library: its own client takes twice as long to load.

The messages are those of `assent.journal.owner._frames`. Whatever is not as expected before a request was taken leads to the
whole runtime, which asks again, or says what is wrong.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from assent.errors import FAMILIES, InternalError
from assent.system import SystemClock, SystemIds

PROTOCOL: Final = 2
SILENCE_S: Final = 15.0
PATIENCE_MS: Final = 60_000

_ADDRESS_BYTES_MAX: Final = 107
_PART_BYTES: Final = 1 << 16


class NotTakenError(Exception):
    """There is no owner, or none that took the request: it was not carried out, and won't be."""


class Owner:
    """A connection to the process that owns a state."""

    def __init__(self, state: Path, principal: str) -> None:
        """See `__enter__`, which connects."""
        self._state = state
        self._by = {"principal": principal, "asserted": True}
        self._bytes = b""
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> Self:
        """`NotTakenError` where nobody of this user's owns it who speaks as we do."""
        try:
            self._connection.settimeout(SILENCE_S)
            self._connection.connect(_address(self._state))
            told = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            self._say({"kind": "hello", "protocol": PROTOCOL})
            welcome = self._next() or {}
            is_own = struct.unpack("=iII", told)[1] == os.geteuid()
            if is_own and (welcome.get("kind"), welcome.get("protocol")) == ("welcome", PROTOCOL):
                return self
        except OSError:
            pass
        except BaseException:
            self._connection.close()
            raise
        self._connection.close()
        raise NotTakenError

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, said: dict[str, Any], ident: str | None) -> dict[str, Any]:
        """The answer to a request, under an id or one of its own. Raises what the service does, and `NotTakenError`.

        `OWNER_LOST`, `OWNER_SILENT` where it was taken and nobody knows what came of it.
        """
        ident = ident or SystemIds().request_id()
        until_ms = SystemClock().monotonic_ms() + PATIENCE_MS
        was_taken, message = False, None
        try:
            self._say(
                {"kind": "ask", "id": ident, "until_ms": until_ms, "body": {"request": said, "by": self._by}}
            )
            while (message := self._next()) is not None:
                kind = message.get("kind")
                was_taken |= kind == "accepted"
                if kind == "result":
                    answer: dict[str, Any] = message["answer"]
                    return answer
                if kind == "failed":
                    raise FAMILIES.get(message["family"], InternalError).from_dict(message["error"])
        except TimeoutError:
            # Once this end hears no more, what was not taken can't be any more, and what was is still to be read.
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RD)
                while (message := self._next()) is not None:
                    was_taken |= message.get("kind") == "accepted"
            if was_taken:
                from assent.journal.owner._asking import owner_silent

                raise owner_silent(self._state) from None
        except OSError:
            pass  # The same as the end of the stream.
        if was_taken:
            from assent.journal.owner._asking import owner_lost

            raise owner_lost(self._state)
        raise NotTakenError

    def _say(self, message: dict[str, Any]) -> None:
        body = json.dumps(message, separators=(",", ":")).encode()
        self._connection.sendall(struct.pack(">I", len(body)) + body)

    def _next(self) -> dict[str, Any] | None:
        while len(self._bytes) < 4 or len(self._bytes) < 4 + struct.unpack_from(">I", self._bytes)[0]:
            part = self._connection.recv(_PART_BYTES)
            if not part:
                return None
            self._bytes += part
        end = 4 + struct.unpack_from(">I", self._bytes)[0]
        try:
            found = json.loads(self._bytes[4:end])
        except ValueError:
            return None
        self._bytes = self._bytes[end:]
        return found if isinstance(found, dict) else None


def _address(state: Path) -> str:
    """Where the newest owner said that it listens."""
    descriptor = os.open(state / "socket", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        told = os.read(descriptor, _ADDRESS_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if not told.startswith(b"/") or b"\0" in told or len(told) > _ADDRESS_BYTES_MAX:
        raise NotTakenError
    return os.fsdecode(told)
