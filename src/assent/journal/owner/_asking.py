"""A client's end of the owner's socket: one request of a process that is no owner; or becoming the owner, when there is none.

What was told "the owner can't be reached" (`STATE_OWNED`) is never carried out later: `_serving.py` says how, `_withdraw` is the
half of it that is here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import ceil
from pathlib import Path
from threading import Event
from typing import Any, Final

import msgspec

from assent.errors import WorldError
from assent.journal.owner._frames import (
    PROTOCOL,
    Accepted,
    Alive,
    Ask,
    Failed,
    Frames,
    FromOwner,
    Hello,
    Message,
    Progress,
    Result,
    Welcome,
    encode_message,
    from_owner,
    other_protocol,
    peer_of,
)
from assent.journal.owner._owner import RETRY_S, SILENCE_S_MAX, Ownership, connect, state_owned
from assent.spec.ports import Clock

PATIENCE_S_MAX: Final = 60.0
"""So long a request waits for an owner that lives and whose program keeps it from taking anything."""

_PART_BYTES: Final = 1 << 16


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the owner. `body` is the doors' JSON (hence `Any`).

    Asked twice under one `id` it is one request. With `under` it is refused unless the owner works under these digests.
    """

    id: str
    body: Mapping[str, Any]
    clock: Clock
    under: Callable[[], Mapping[str, str]] | None = None
    silence_s: float = SILENCE_S_MAX
    patience_s: float = PATIENCE_S_MAX
    on_progress: Callable[[dict[str, Any]], None] | None = None
    """Told of progress, and `{"busy_ms": N}` when the owner's program has not looked at requests for so long."""


def forward(state_dir: Path, request: Request, *, runtime_dir: Path) -> dict[str, Any] | None:
    """The owner's answer to a request; None when there is no owner, or one that ended before it took the request.

    Waits as long as the owner works and says so. Raises the owner's own error. `WorldError` `STATE_OWNED` when it is silent for
    `silence_s` seconds or does not take the request within `patience_s`: then it never takes it. `OWNER_SILENT` when it has taken
    it, and may carry it out yet; `OWNER_LOST` when it ended while it worked: the journal then knows how far it came.
    """
    connection = connect(state_dir, runtime_dir=runtime_dir, silence_s=request.silence_s)
    if connection is None:
        return None
    with connection:
        return _Conversation(connection, state_dir, request).answer()


def acquire_or_forward(state_dir: Path, request: Request, *, runtime_dir: Path) -> Ownership | dict[str, Any]:
    """Become the owner, or let the owner answer; tried again while owners come and go.

    Raises what `forward` raises; `STATE_OWNED` also when somebody holds the lock for `silence_s` seconds without listening.
    """
    pause = Event()
    for _ in range(ceil(request.silence_s / RETRY_S)):
        ownership = Ownership.acquire(state_dir)
        if ownership is not None:
            return ownership
        answer = forward(state_dir, request, runtime_dir=runtime_dir)
        if answer is not None:
            return answer
        pause.wait(RETRY_S)  # It starts or ends at this moment.
    raise state_owned(state_dir, "takes no requests")


def owner_lost(state_dir: Path) -> WorldError:
    """The error of a request whose owner ended while it worked on it."""
    return WorldError(
        "OWNER_LOST",
        f"the process that owns `{state_dir}` ended before it answered",
        hint="see how far it came with `assent runs`, then `assent resume`",
    )


def owner_silent(state_dir: Path) -> WorldError:
    """The error of a request that was taken by an owner of which nothing is heard since."""
    return WorldError(
        "OWNER_SILENT",
        f"the process that owns `{state_dir}` has taken the request and is silent since: it may carry it out yet",
        hint="don't repeat it before `assent runs` shows what came of it; let the process go on, or end it",
    )


def checked_welcome(found: Mapping[str, Any]) -> Welcome:
    """The owner's greeting; `WorldError` `PROTOCOL_MISMATCH` for one of another version, or the owner's refusal."""
    if "kind" not in found:
        raise other_protocol(None, they_own=True)
    message = from_owner(dict(found))
    if isinstance(message, Failed):
        raise message.to_error()
    if not isinstance(message, Welcome) or message.protocol != PROTOCOL:
        raise other_protocol(getattr(message, "protocol", None), they_own=True)
    return message


class _Conversation:
    """One connection, one request."""

    def __init__(self, connection: socket.socket, state_dir: Path, request: Request) -> None:
        self._connection = connection
        self._state_dir = state_dir
        self._request = request
        self._frames = Frames()
        self._was_taken = False
        self._until_ms = request.clock.monotonic_ms() + round(request.patience_s * 1000)

    def answer(self) -> dict[str, Any] | None:
        request = self._request
        peer_of(self._connection)
        try:
            self._connection.settimeout(request.silence_s)
            self._say(Hello(protocol=PROTOCOL))
            first = self._next_object()
            if first is None:
                return None
            checked_welcome(first)
            under = dict(request.under()) if request.under is not None else None
            ask = Ask(id=request.id, until_ms=self._until_ms, body=dict(request.body), under=under)
            self._say(ask)
            while (message := self._next_message()) is not None:
                match message:
                    case Result(answer=answer):
                        return answer
                    case Failed():
                        raise message.to_error()
                    case _:
                        self._hear(message)
        except TimeoutError as error:
            raise self._withdraw() from error
        except ConnectionResetError:
            pass  # The same as the end of the stream.
        if not self._was_taken:
            return None
        raise owner_lost(self._state_dir)

    def _say(self, message: Message) -> None:
        # An owner that has closed may have said why, which is still to be read.
        with suppress(BrokenPipeError):
            self._connection.sendall(encode_message(message))

    def _hear(self, message: FromOwner) -> None:
        match message:
            case Accepted():
                self._was_taken = True
            case Progress(report=report):
                self._tell(report)
            case Alive(busy_ms=busy_ms) if busy_ms:
                self._tell({"busy_ms": busy_ms})
            case _:
                pass

    def _tell(self, report: dict[str, Any]) -> None:
        if self._request.on_progress is not None:
            self._request.on_progress(report)

    def _withdraw(self) -> WorldError:
        """Give up: what to tell whoever asked. INVARIANT: what is told as not reached can't be taken any more.

        Once this end is closed for reading, the owner can't say `accepted`, and begins nothing of which it could not say that;
        what it had said before is still here to be read.
        """
        with suppress(OSError):  # The owner is gone, which is as good.
            self._connection.shutdown(socket.SHUT_RD)
            while part := self._connection.recv(_PART_BYTES):
                self._frames.feed(part)
        while (found := self._frames.next_object()) is not None:
            self._was_taken |= isinstance(from_owner(found), Accepted)
        if self._was_taken:
            return owner_silent(self._state_dir)
        return state_owned(self._state_dir, "does not answer")

    def _next_message(self) -> FromOwner | None:
        found = self._next_object()
        return from_owner(found) if found is not None else None

    def _next_object(self) -> dict[str, Any] | None:
        while (found := self._frames.next_object()) is None:
            self._connection.settimeout(self._patience_s())
            part = self._connection.recv(_PART_BYTES)
            if not part:
                return None
            self._frames.feed(part)
        return found

    def _patience_s(self) -> float:
        """How long the next word may take; TimeoutError when a request that nobody took has come to its last moment."""
        if self._was_taken:
            return self._request.silence_s
        left_ms = self._until_ms - self._request.clock.monotonic_ms()
        if left_ms <= 0:
            raise TimeoutError
        return min(self._request.silence_s, left_ms / 1000)
