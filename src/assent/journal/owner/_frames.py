"""What travels over the owner's socket: frames of JSON, each preceded by its length, and the one table of what they may say.

    4 bytes, big-endian: how many bytes follow   |   one JSON object, UTF-8; its `kind` says which message it is

Both ends begin with a greeting, `hello` and `welcome`, which name the version of this protocol. Then the client asks as often as
it likes, several requests at once, each with an id. Of each the owner says `accepted` when it takes it, any number of `progress`
and `item`, and last `result` or `failed`; `alive` is said of the whole connection.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from assent.errors import FAMILIES, AssentError, InputError, InternalError, WorldError
from assent.spec.values.typed import convert

PROTOCOL: Final = 2
"""The version of all this. Version 1 had no greeting: its clients begin with a request, its owners with `accepted`."""

FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
"""The largest request, progress report or answer."""

_LENGTH: Final = struct.Struct(">I")
_CREDENTIALS: Final = struct.Struct("=iII")


class Peer(msgspec.Struct, frozen=True):
    """The process at the other end, as the kernel names it: nobody can claim to be another user here."""

    pid: int
    uid: int


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One message."""


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """The client's greeting."""

    protocol: int


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """The owner's greeting. `digests` names what its runs are governed by: `policy`, `roles`, `settings`."""

    protocol: int
    pid: int
    digests: dict[str, str]


# `Any` in the messages: requests, reports and answers are the doors' JSON objects, which the protocol does not look into.
class Ask(Message, frozen=True, kw_only=True, tag="ask"):
    """A request. It is not taken after `until_ms`, a moment of the machine's steady clock, which both ends share.

    Asked twice under one id it is one request. With `under` it is refused unless the owner's digests are these. The id is kept
    with the run that the request begins, so it is short and of the characters that an entry may have.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,64}\Z")]
    until_ms: int
    body: dict[str, Any]
    under: dict[str, str] | None = None


class Leave(Message, frozen=True, kw_only=True, tag="leave"):
    """The client waits no longer. What was not taken is not taken any more; a run that was begun goes on.

    With `if_taken=False` it waits on for what had been taken by then.
    """

    id: str
    if_taken: bool = True


class Accepted(Message, frozen=True, kw_only=True, tag="accepted"):
    """The owner has taken the request and carries it out, whatever becomes of the client."""

    id: str


class Progress(Message, frozen=True, kw_only=True, tag="progress"):
    """News of a request. It may be left out when the client does not read."""

    id: str
    report: dict[str, Any]


class Item(Message, frozen=True, kw_only=True, tag="item"):
    """A part of the answer, which is never left out: whoever makes it waits for the client."""

    id: str
    item: dict[str, Any]


class Result(Message, frozen=True, kw_only=True, tag="result"):
    """The answer."""

    id: str
    answer: dict[str, Any]


class Failed(Message, frozen=True, kw_only=True, tag="failed"):
    """The error in place of an answer. Without an id it is about the whole connection, which ends."""

    id: str | None
    family: str
    error: dict[str, Any]

    @classmethod
    def of(cls, ident: str | None, error: AssentError) -> Failed:
        """An error of ours."""
        return cls(id=ident, family=error.family, error=error.to_dict())

    def to_error(self) -> AssentError:
        """The same error at the other end."""
        return FAMILIES.get(self.family, InternalError).from_dict(self.error)


class Left(Message, frozen=True, kw_only=True, tag="left"):
    """The answer to `leave`: whether the request had been taken by then."""

    id: str
    was_taken: bool


class Alive(Message, frozen=True, kw_only=True, tag="alive"):
    """The owner lives. `busy_ms`: for so long its program has not come to look at requests; 0 when it does."""

    busy_ms: int


FromClient: TypeAlias = Hello | Ask | Leave
FromOwner: TypeAlias = Welcome | Accepted | Progress | Item | Result | Failed | Left | Alive


def encode_message(message: Message) -> bytes:
    """The frame's bytes; `InputError` `FRAME_TOO_LARGE` beyond `FRAME_BYTES_MAX`."""
    return encode_frame(msgspec.to_builtins(message))


def encode_frame(message: Mapping[str, Any]) -> bytes:
    """The same of any JSON object."""
    body = encode_object(message)
    if len(body) > FRAME_BYTES_MAX:
        raise too_large(len(body))
    return _LENGTH.pack(len(body)) + body


def encode_object(found: Mapping[str, Any]) -> bytes:
    """The bytes of a JSON object, of any size: more of them than it came in, where they were not all ASCII."""
    # Not msgspec's encoder: it refuses a lone surrogate, which the name of a file may hold.
    return json.dumps(found, separators=(",", ":")).encode()


def too_large(size: int) -> InputError:
    """The refusal of a frame of `size` bytes."""
    return InputError(
        "FRAME_TOO_LARGE",
        f"a message of {size} bytes is too large for the state's owner, which takes {FRAME_BYTES_MAX}",
        hint="pass large contents as a file of the workspace",
    )


class Frames:
    """Takes the bytes of a stream as they come, and gives the objects that they hold."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, part: bytes) -> None:
        """More of the stream."""
        self._bytes += part

    def next_object(self) -> dict[str, Any] | None:
        """The next frame's object, None before it is whole; `InputError` `FRAME_INVALID`, `FRAME_TOO_LARGE`."""
        if len(self._bytes) < _LENGTH.size:
            return None
        size: int = _LENGTH.unpack_from(self._bytes)[0]
        if size > FRAME_BYTES_MAX:
            raise too_large(size)
        end = _LENGTH.size + size
        if len(self._bytes) < end:
            return None
        body = bytes(self._bytes[_LENGTH.size : end])
        del self._bytes[:end]
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise _nonsense()
        return found


def from_client(found: dict[str, Any]) -> FromClient:
    """The message that an object of a client's is; `InputError` `FRAME_INVALID`."""
    try:
        message: FromClient = convert(found, FromClient)
    except ValueError:  # msgspec's errors are; so is that of half a surrogate pair.
        raise _nonsense() from None
    return message


def from_owner(found: dict[str, Any]) -> FromOwner:
    """The message that an object of the owner's is; `InputError` `FRAME_INVALID`."""
    try:
        message: FromOwner = convert(found, FromOwner)
    except ValueError:  # msgspec's errors are; so is that of half a surrogate pair.
        raise _nonsense() from None
    return message


def _nonsense() -> InputError:
    return InputError("FRAME_INVALID", "the other end of the owner's socket does not speak our language")


def other_protocol(theirs: object, *, they_own: bool) -> WorldError:
    """The refusal of a process that speaks another version of this protocol; None: one from before versions were told."""
    spoken = theirs if isinstance(theirs, int) else 1
    who = "the process that owns the state directory" if they_own else "this process"
    return WorldError(
        "PROTOCOL_MISMATCH",
        f"{who} speaks version {spoken} of the owner's protocol, and the other end version {PROTOCOL}",
        hint="use one release of Assent for all processes of a state directory: end the older one, then try again",
        details={"protocol": spoken, "wanted": PROTOCOL},
    )


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
