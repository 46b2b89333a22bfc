"""The guard of a program's network: the kernel asks it about each `connect` and each message with an address, and it does them.

Only the standard library is imported: the launcher runs this, in a process beside the supervisor.

Theory of operation. The filter (`_seccomp.py`) stops the program in such a call and tells here of it. The guard takes a copy of
the address and of the program's descriptor, looks whether that is within the scope, and carries the call out with the copies:
what the program changes meanwhile changes nothing. It never says "go on", after which the kernel would read the address again.

Names are looked up here as well (`_resolver.py`): the program's resolver is a socket of the guard's. No question leaves the
machine for a name that is out of the scope, so nothing is told to anybody by asking for it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import queue
import socket
import struct
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, Self

from assent.sandbox import _kernel
from assent.sandbox._resolver import QUESTION_BYTES_MAX, Resolver
from assent.sandbox._scope_rules import Rules, error_of, place_of

_RECEIVE: Final = 0xC050_2100  # SECCOMP_IOCTL_NOTIF_RECV, struct seccomp_notif
_ANSWER: Final = 0xC018_2101  # SECCOMP_IOCTL_NOTIF_SEND, struct seccomp_notif_resp
_IS_VALID: Final = 0x4008_2102  # SECCOMP_IOCTL_NOTIF_ID_VALID
_QUESTION: Final = struct.Struct("=QII iIQ 6Q")

_ADDRESS_BYTES_MAX: Final = 128
_MESSAGE_BYTES_MAX: Final = 1 << 20
"""Of a stream so much is sent at once: its sender is told, and sends the rest."""
_PARTS_MAX: Final = 1024
_MESSAGE: Final = struct.Struct("=QI4xQQQQi4x")
_MESSAGES_STEP: Final = _MESSAGE.size + 8
_PART: Final = struct.Struct("=QQ")
_CONTROL: Final = struct.Struct("=Qii")
_CONTROLS: Final = {(0, 1), (0, 2), (0, 8), (17, 103), (41, 50), (41, 52), (41, 67)}
"""What may stand beside a message: the sender's address and interface, class of service, hops; how to cut it into datagrams."""
_FAST_OPEN: Final = 0x2000_0000
_ZERO_COPY: Final = 0x0400_0000

_WORKERS_MAX: Final = 512
_TOLD_MAX: Final = 20


class Question(NamedTuple):
    """A call of the program's that waits for its outcome."""

    ident: int
    thread: int
    call: int
    words: tuple[int, ...]


class _Message(NamedTuple):
    name: bytes
    data: bytes
    control: bytes


class Guard:
    """Answers the questions of one program, in threads, until its process ends."""

    def __init__(self, rules: dict[str, Any], listener: int) -> None:  # `Any`: JSON
        self._rules = Rules(rules)
        self._listener = listener
        self._calls = {
            _kernel.NETWORK_CALLS["connect"]: self._connect,
            _kernel.NETWORK_CALLS["sendto"]: self._send_to,
            _kernel.NETWORK_CALLS["sendmsg"]: self._send_message,
            _kernel.NETWORK_CALLS["sendmmsg"]: self._send_messages,
        }
        self._resolver = Resolver(self._rules, self._note)
        self._names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._names.bind(("127.0.0.1", 0))
        self._names_port: int = self._names.getsockname()[1]
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._workers = self._busy = 0
        self._counting = threading.Lock()
        self._denied = 0
        self._told: dict[str, None] = {}

    def start(self) -> None:
        """Answer from now on."""
        for body in (self._hear_calls, self._hear_names):
            threading.Thread(target=body, daemon=True).start()

    def denied(self) -> dict[str, Any]:  # `Any`: JSON
        """How many calls led out of the scope, and where the first of them."""
        return {"count": self._denied, "places": [*self._told]}

    def _hear_calls(self) -> None:
        while True:
            said = bytearray(_QUESTION.size)
            try:
                fcntl.ioctl(self._listener, _RECEIVE, said)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue  # whoever asked was killed meanwhile
                return
            ident, thread, _, call, _, _, *words = _QUESTION.unpack(said)
            asked = Question(ident, thread, call, tuple(words))
            self._answer(asked, partial(self._calls[call], asked))

    def _answer(self, asked: Question, body: Callable[[], int | Callable[[], int]]) -> None:
        value, number = 0, 0
        try:
            found = body()
            if callable(found):
                self._later(partial(self._answer, asked, found))
                return
            value = found
        except OSError as error:
            number = error.errno or errno.EIO
        except Exception:  # noqa: BLE001 - whatever it is, the program must not wait for ever
            number = errno.EIO
        with contextlib.suppress(OSError):  # it was killed meanwhile
            fcntl.ioctl(self._listener, _ANSWER, struct.pack("=QqiI", asked.ident, value, -number, 0))

    def _later(self, work: Callable[[], None]) -> None:
        """Do what may take long apart: others ask meanwhile."""
        with self._counting:
            self._busy += 1
            is_wanted = self._busy > self._workers
            if is_wanted and self._workers >= _WORKERS_MAX:
                self._busy -= 1
                raise error_of(errno.EAGAIN)
            self._workers += is_wanted
        if is_wanted:
            threading.Thread(target=self._serve, daemon=True).start()
        self._work.put(work)

    def _serve(self) -> None:
        while True:
            self._work.get()()
            with self._counting:
                self._busy -= 1

    def _is_asked(self, asked: Question) -> None:
        """INVARIANT: what was read is the asker's: its number may be another process's by now, unless it still waits."""
        fcntl.ioctl(self._listener, _IS_VALID, struct.pack("=Q", asked.ident))

    def _connect(self, asked: Question) -> int | Callable[[], int]:
        with _Held(asked) as held:
            address = _read(asked, asked.words[1], _size(asked.words[2], _ADDRESS_BYTES_MAX))
            self._is_asked(asked)
            is_end = held.is_inet and len(address) >= 2 and address[:2] == b"\0\0"
            address = address if is_end else self._lead(held, address)
            if held.is_stream and held.is_blocking and not is_end:
                return held.keep(lambda: _kernel.connect(held.number, address))
            return _kernel.connect(held.number, address)

    def _send_to(self, asked: Question) -> int | Callable[[], int]:
        _, data, size, flags, name, name_size = asked.words
        with _Held(asked) as held:
            address = _read(asked, name, _size(name_size, _ADDRESS_BYTES_MAX))
            message = _Message(address, _read(asked, data, held.bounded(size)), b"")
            self._is_asked(asked)
            return self._send(held, message, flags)

    def _send_message(self, asked: Question) -> int | Callable[[], int]:
        with _Held(asked) as held:
            message = _message(asked, held, asked.words[1])
            self._is_asked(asked)
            return self._send(held, message, asked.words[2])

    def _send_messages(self, asked: Question) -> int | Callable[[], int]:
        with _Held(asked) as held:
            if held.is_blocking:
                return held.keep(lambda: self._send_each(asked, held))
            return self._send_each(asked, held)

    def _send_each(self, asked: Question, held: _Held) -> int:
        _, place, count, flags, *_ = asked.words
        count = min(count & 0xFFFF_FFFF, _PARTS_MAX)
        for sent, at in enumerate(range(place, place + count * _MESSAGES_STEP, _MESSAGES_STEP)):
            try:
                message = _message(asked, held, at)
                self._is_asked(asked)
                size = self._send_at_once(held, message, flags)
                _kernel.write_memory(asked.thread, at + _MESSAGE.size, struct.pack("=I", size))
            except OSError:
                if sent:
                    return sent
                raise
        return count

    def _send(self, held: _Held, message: _Message, flags: int) -> int | Callable[[], int]:
        # A datagram hardly ever waits for room, and what a stream sends so is for another to read first.
        if held.is_blocking and not flags & socket.MSG_DONTWAIT:
            if held.is_stream:
                return held.keep(lambda: self._send_at_once(held, message, flags))
            with contextlib.suppress(BlockingIOError):
                return self._send_at_once(held, message, flags | socket.MSG_DONTWAIT)
            return held.keep(lambda: self._send_at_once(held, message, flags))
        return self._send_at_once(held, message, flags)

    def _send_at_once(self, held: _Held, message: _Message, flags: int) -> int:
        flags &= 0xFFFF_FFFF
        if flags & _FAST_OPEN:
            raise error_of(errno.EOPNOTSUPP)
        flags = (flags & ~_ZERO_COPY) | socket.MSG_NOSIGNAL
        name = b"" if held.is_stream or not message.name else self._lead(held, message.name)
        return _kernel.send_message(held.number, name, message.data, message.control, flags)

    def _lead(self, held: _Held, address: bytes) -> bytes:
        """Where this address may lead: itself, or the guard's own resolver; EACCES."""
        if held.family == socket.AF_NETLINK:
            if len(address) >= 12 and struct.unpack_from("=HHII", address)[2:] == (0, 0):
                return address  # the kernel itself
            raise error_of(errno.EACCES)
        place = place_of(address) if held.is_inet else None
        if place is None:
            raise error_of(errno.EAFNOSUPPORT if held.is_inet else errno.EACCES)
        if self._rules.is_resolver(place) and not held.is_stream:
            here = struct.pack("=H", held.family) + self._names_port.to_bytes(2, "big")
            if held.family == socket.AF_INET:
                return here + bytes((127, 0, 0, 1)) + bytes(8)
            return here + bytes(14) + bytes((0xFF, 0xFF, 127, 0, 0, 1)) + bytes(4)
        if not self._rules.permits(place):
            self._note(str(place))
            raise error_of(errno.EACCES)
        return address

    def _hear_names(self) -> None:
        while True:
            try:
                asked, who = self._names.recvfrom(QUESTION_BYTES_MAX)
                self._later(partial(self._tell_name, asked, who))
            except OSError:
                continue  # of one before, whoever asked has gone; or too many ask at once, and this one asks again

    def _tell_name(self, asked: bytes, who: tuple[str, int]) -> None:
        answered = self._resolver.answer(asked)
        if answered is not None:
            with contextlib.suppress(OSError):
                self._names.sendto(answered, who)

    def _note(self, where: str) -> None:
        with self._counting:
            self._denied += 1
            if len(self._told) < _TOLD_MAX:
                self._told[where] = None


class _Held:
    """The program's own descriptor, held here while a call is carried out with it."""

    def __init__(self, asked: Question) -> None:
        number = asked.words[0] & 0xFFFF_FFFF
        if number > 0x7FFF_FFFF:
            raise error_of(errno.EBADF)
        self.number = _kernel.take_descriptor(asked.thread, number)
        self._is_kept = False
        try:
            with socket.socket(fileno=os.dup(self.number)) as seen:
                self.family = int(seen.family)
                self.is_stream = seen.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
            self.is_blocking = not fcntl.fcntl(self.number, fcntl.F_GETFL) & os.O_NONBLOCK
        except BaseException:
            os.close(self.number)
            raise

    @property
    def is_inet(self) -> bool:
        return self.family in (socket.AF_INET, socket.AF_INET6)

    def bounded(self, size: int) -> int:
        """How much of a message is taken; EMSGSIZE for a datagram that is no datagram."""
        if size > _MESSAGE_BYTES_MAX and not self.is_stream:
            raise error_of(errno.EMSGSIZE)
        return min(size, _MESSAGE_BYTES_MAX)

    def keep(self, work: Callable[[], int]) -> Callable[[], int]:
        """Hold it until this was done, later."""
        self._is_kept = True

        def done() -> int:
            try:
                return work()
            finally:
                os.close(self.number)

        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_kept:
            os.close(self.number)


def _message(asked: Question, held: _Held, place: int) -> _Message:
    """A copy of the `struct msghdr` that stands there."""
    name, name_size, parts, count, control, control_size, _ = _MESSAGE.unpack(
        _read(asked, place, _MESSAGE.size)
    )
    if count > _PARTS_MAX:
        raise error_of(errno.EMSGSIZE)
    data = bytearray()
    for where, size in _PART.iter_unpack(_read(asked, parts, count * _PART.size)):
        data += _read(asked, where, held.bounded(len(data) + size) - len(data))
    beside = _read(asked, control, _size(control_size, 4096)) if control else b""
    _require_harmless(held, beside)
    return _Message(
        _read(asked, name, _size(name_size, _ADDRESS_BYTES_MAX)) if name else b"", bytes(data), beside
    )


def _require_harmless(held: _Held, control: bytes) -> None:
    """EPERM for what would lead a message elsewhere, or hand on a descriptor of ours."""
    at = 0
    while len(control) - at >= _CONTROL.size:
        size, level, kind = _CONTROL.unpack_from(control, at)
        if not held.is_inet or (level, kind) not in _CONTROLS or size < _CONTROL.size:
            raise error_of(errno.EPERM)
        at += (size + 7) & ~7


def _read(asked: Question, place: int, size: int) -> bytes:
    return _kernel.read_memory(asked.thread, place, size) if size else b""


def _size(said: int, most: int) -> int:
    if said & 0xFFFF_FFFF > most:
        raise error_of(errno.EINVAL)
    return said & 0xFFFF_FFFF
