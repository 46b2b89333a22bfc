"""What travels over the owner's socket: frames of JSON, each preceded by its length.

    4 bytes, big-endian: how many bytes follow   |   one JSON object, UTF-8

A client sends one request. The owner answers `{"accepted": 1}` at once, then any number of `{"progress": …}` and `{"alive": 1}`,
and last `{"result": …}` or `{"error": …, "family": …}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from assent.errors import AssentError, InputError, InternalError, RefusedError, WorldError

FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
"""The largest request, progress report or answer."""

_LENGTH: Final = struct.Struct(">I")
_CREDENTIALS: Final = struct.Struct("=iII")

FAMILIES: Final[Mapping[str, type[AssentError]]] = {
    kind.family: kind for kind in (InputError, RefusedError, WorldError, InternalError)
}


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end, as the kernel names it: nobody can claim to be another user here."""

    pid: int
    uid: int


# `Any` in this module: a frame is whatever JSON the doors agree on; both ends are the same program and the same user.
def encode_frame(message: Mapping[str, Any]) -> bytes:
    """The frame's bytes; `InputError` `FRAME_TOO_LARGE` beyond `FRAME_BYTES_MAX`."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > FRAME_BYTES_MAX:
        raise too_large(len(body))
    return _LENGTH.pack(len(body)) + body


def too_large(size: int) -> InputError:
    """The refusal of a frame of `size` bytes."""
    return InputError(
        "FRAME_TOO_LARGE",
        f"a message of {size} bytes is too large for the state's owner, which takes {FRAME_BYTES_MAX}",
        hint="pass large contents as a file of the workspace",
    )


def decode_body(body: bytes) -> dict[str, Any]:
    """The object of a frame; `InputError` `FRAME_INVALID` when it is none."""
    try:
        message = json.loads(body)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise InputError("FRAME_INVALID", "the other end of the owner's socket does not speak our language")
    return message


async def read_frame(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next frame; `asyncio.IncompleteReadError` at the end of the stream."""
    size = _size(await reader.readexactly(_LENGTH.size))
    return decode_body(await reader.readexactly(size))


def receive_frame(connection: socket.socket) -> dict[str, Any] | None:
    """The next frame, waiting no longer than the socket's timeout; None at the end of the stream."""
    head = _receive(connection, _LENGTH.size)
    body = None if head is None else _receive(connection, _size(head))
    return None if body is None else decode_body(body)


def peer_of(connection: socket.socket) -> Peer:
    """Who is at the other end; `InputError` `PEER_REFUSED` unless it is this process's own user."""
    # A platform without this option can't say who is there, and then nobody is let in.
    option: int | None = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        raise InputError("PEER_REFUSED", "this system can't say who is at the other end of a socket")
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    if uid != os.geteuid():
        raise InputError("PEER_REFUSED", f"the other end of the owner's socket belongs to user {uid}")
    return Peer(pid, uid)


def _size(head: bytes) -> int:
    size: int = _LENGTH.unpack(head)[0]
    if size > FRAME_BYTES_MAX:
        raise too_large(size)
    return size


def _receive(connection: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 16))
        if not part:
            return None
        parts += part
    return bytes(parts)
