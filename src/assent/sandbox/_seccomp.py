"""The filter before every system call of a confined program: which calls are refused, as a BPF program for seccomp.

A list of what is refused, not of what is allowed: files, processes and the network have walls of their own, and a list of
everything that compilers, interpreters and test runners call would be wrong with every release of theirs. Refused is what reaches
other processes, what changes the machine, and what has been the way out of sandboxes before. Sources: the lists of Docker,
systemd (`@privileged`, `@mount`, `@keyring` …) and Flatpak as facts; `system_calls.txt` has each call with its numbers.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NUMBERS: Final[dict[str, tuple[int | None, int | None]]] = {}
"""The number of a call on x86-64 and on arm64; None: no such call there."""
_KINDS: Final[dict[str, list[str]]] = {}
"""The calls that are met alike; the file says what each kind is."""
for _line in Path(__file__).with_name("system_calls.txt").read_text(encoding="ascii").splitlines():
    if not _line.startswith("#"):
        _name, _x86, _arm, _kind = _line.split()
        _NUMBERS[_name] = (None if _x86 == "-" else int(_x86), None if _arm == "-" else int(_arm))
        _KINDS.setdefault(_kind, []).append(_name)

_MACHINES: Final = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}

_THREAD: Final = 0x0001_0000  # CLONE_THREAD
_NEW_NAMESPACES: Final = 0x7E02_0000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET
_TIOCSTI: Final = 0x5412
_TIOCLINUX: Final = 0x541C
_KIND_OF_FILE: Final = 0o170000
_DEVICES: Final = (0o020000, 0o060000)
# PER_LINUX and PER_LINUX32 are no way around anything; others switch protections of memory off.
_LINUX: Final = (0, 8)
_X32_BIT: Final = 0x4000_0000

AF_UNIX: Final = 1
AF_INET: Final = 2
AF_INET6: Final = 10
AF_NETLINK: Final = 16
_TYPE_OF_SOCKET: Final = 0xF
_TYPES: Final = (1, 2)  # SOCK_STREAM, SOCK_DGRAM
_PROTOCOLS: Final = (0, 6, 17)  # the type's own, TCP, UDP
_FAST_OPEN: Final = 0x2000_0000
_OPTIONS: Final = {
    0: (4,),  # IP_OPTIONS: source routes
    41: (3, 4, 5, 6, 54, 55, 57, 59),  # IPv6 headers: routing, and what may carry it
    6: (23, 30, 31),  # TCP_FASTOPEN, TCP_FASTOPEN_CONNECT; TCP_ULP, which puts another protocol in between
}

# Instructions and answers: linux/bpf_common.h, linux/seccomp.h.
_LOAD: Final = 0x20
_AND: Final = 0x54
_JUMP_EQUAL: Final = 0x15
_JUMP_GREATER_EQUAL: Final = 0x35
_JUMP_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_KILL: Final = 0x8000_0000
_ALLOW: Final = 0x7FFF_0000
_ERRNO: Final = 0x0005_0000
_ASK: Final = 0x7FC0_0000
# struct seccomp_data: int nr, u32 arch, u64 instruction pointer, u64 args[6]. Both machines are little-endian.
_OFFSET_NUMBER: Final = 0
_OFFSET_ARCHITECTURE: Final = 4
_OFFSET_ARGUMENTS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRules:
    """What of the filter depends on the other walls."""

    families: tuple[int, ...]
    """Families of sockets that may be made. Others include some that no network namespace holds (AF_VSOCK)."""
    signals: bool
    """Whether signals may be sent: only where another wall keeps them from reaching others."""
    metadata: bool
    """Whether modes, owners, attributes and times may be changed: only where a mount keeps the files of others apart."""
    asks: bool = False
    """Whether the guard (`_guard.py`) is asked about each `connect` and each message with an address. No other way leads out."""


def seccomp_filter(rules: FilterRules, machine: str) -> bytes:
    """The program as an array of `struct sock_filter`, for `x86_64` or `aarch64`; KeyError for another machine."""
    code, column = _begun(machine)
    kept = {"refused": True, "signal": not rules.signals, "metadata": not rules.metadata}
    for name in (name for kind, is_refused in kept.items() if is_refused for name in _KINDS[kind]):
        code.if_equal(_NUMBERS[name][column], _ERRNO | errno.EPERM)
    for name in _KINDS["absent"]:
        code.if_equal(_NUMBERS[name][column], _ERRNO | errno.ENOSYS)
    for name in _KINDS["unsupported"]:
        code.if_equal(_NUMBERS[name][column], _ERRNO | errno.EOPNOTSUPP)
    code.for_call(
        _NUMBERS["clone"][column], _Code().load_argument(0).if_any(_NEW_NAMESPACES, _ERRNO | errno.EPERM)
    )
    terminal = _Code().load_argument(1)
    terminal.if_equal(_TIOCSTI, _ERRNO | errno.EPERM).if_equal(_TIOCLINUX, _ERRNO | errno.EPERM)
    code.for_call(_NUMBERS["ioctl"][column], terminal)
    if not rules.metadata:
        # Without a path it means an open file, whose times are little to guard, and `touch` needs it.
        times = _Code().load_argument(1).unless_one_of((0,))
        code.for_call(_NUMBERS["utimensat"][column], times)
    for name, argument in (("mknod", 1), ("mknodat", 2)):
        devices = _Code().load_argument(argument).mask(_KIND_OF_FILE)
        for kind in _DEVICES:
            devices.if_equal(kind, _ERRNO | errno.EPERM)
        code.for_call(_NUMBERS[name][column], devices)
    code.for_call(
        _NUMBERS["personality"][column], _Code().load_argument(0).unless_one_of((*_LINUX, 0xFFFF_FFFF))
    )
    if rules.asks:
        _ask(code, column, rules.families)
    else:
        code.for_call(_NUMBERS["socket"][column], _Code().load_argument(0).unless_one_of(rules.families))
    code.answer(_ALLOW)
    return code.assemble()


def _ask(code: _Code, column: int, families: tuple[int, ...]) -> None:
    """What a program may do with sockets while somebody is asked where to: all that is not asked about leads nowhere new."""
    # The kernel's table of addresses and routes, which names are looked up with; not its other subsystems.
    route = _Code().load_argument(2).only((0,), errno.EPROTONOSUPPORT).answer(_ALLOW)
    made = _Code().load_argument(0).only(families, errno.EPERM).when(AF_NETLINK, route)
    # No raw sockets, whose packets say where they go; no ICMP, SCTP or MPTCP, which have addresses elsewhere.
    made.load_argument(1).mask(_TYPE_OF_SOCKET).only(_TYPES, errno.EPERM)
    made.load_argument(2).only(_PROTOCOLS, errno.EPROTONOSUPPORT).answer(_ALLOW)
    code.for_call(_NUMBERS["socket"][column], made)
    # A route through others, and data before the connection (TCP Fast Open), would go where nobody was asked about.
    option = _Code().load_argument(1)
    for level, refused in _OPTIONS.items():
        inner = _Code().load_argument(2)
        for number in refused:
            inner.if_equal(number, _ERRNO | errno.EPERM)
        option.when(level, inner.answer(_ALLOW))
    code.for_call(_NUMBERS["setsockopt"][column], option)
    sent = _Code().load_argument(3).if_any(_FAST_OPEN, _ERRNO | errno.EOPNOTSUPP)
    sent.load_argument(4).unless_equal(0, _ASK).load_upper(4).unless_equal(0, _ASK)
    code.for_call(_NUMBERS["sendto"][column], sent)
    code.if_equal(_NUMBERS["listen"][column], _ERRNO | errno.EACCES)
    for name in ("connect", "sendmsg", "sendmmsg"):
        code.if_equal(_NUMBERS[name][column], _ASK)


def programs_filter(machine: str) -> bytes:
    """A program that refuses every way to another program or process, threads excepted; KeyError as above."""
    code, column = _begun(machine)
    for name in _KINDS["start"]:
        code.if_equal(_NUMBERS[name][column], _ERRNO | errno.EPERM)
    code.if_equal(_NUMBERS["clone3"][column], _ERRNO | errno.ENOSYS)
    code.for_call(
        _NUMBERS["clone"][column], _Code().load_argument(0).unless_any(_THREAD, _ERRNO | errno.EPERM)
    )
    code.answer(_ALLOW)
    return code.assemble()


def _begun(machine: str) -> tuple[_Code, int]:
    """A program that has the number of a call at hand, and in which column the machine's numbers are."""
    column, architecture = _MACHINES[machine]
    # A call through another architecture's door (`int 0x80`) has other numbers, so nothing below would mean what it says.
    code = _Code().load(_OFFSET_ARCHITECTURE).unless_equal(architecture, _KILL).load(_OFFSET_NUMBER)
    if machine == "x86_64":
        code.if_at_least(_X32_BIT, _ERRNO | errno.ENOSYS)
    return code, column


class _Code:
    """Instructions in their order."""

    def __init__(self) -> None:
        self._instructions: list[tuple[int, int, int, int]] = []

    def load(self, offset: int) -> _Code:
        self._instructions.append((_LOAD, 0, 0, offset))
        return self

    def load_argument(self, index: int) -> _Code:
        """The lower half of an argument: all that is looked at here is an `int` or `unsigned int` for the kernel."""
        return self.load(_OFFSET_ARGUMENTS + 8 * index)

    def load_upper(self, index: int) -> _Code:
        """The upper half of an argument that is a pointer."""
        return self.load(_OFFSET_ARGUMENTS + 8 * index + 4)

    def mask(self, bits: int) -> _Code:
        self._instructions.append((_AND, 0, 0, bits))
        return self

    def answer(self, value: int) -> _Code:
        self._instructions.append((_RETURN, 0, 0, value))
        return self

    def if_equal(self, number: int | None, answer: int) -> _Code:
        if number is not None:
            self._instructions.append((_JUMP_EQUAL, 0, 1, number))
            self.answer(answer)
        return self

    def unless_equal(self, number: int, answer: int) -> _Code:
        self._instructions.append((_JUMP_EQUAL, 1, 0, number))
        return self.answer(answer)

    def if_at_least(self, number: int, answer: int) -> _Code:
        self._instructions.append((_JUMP_GREATER_EQUAL, 0, 1, number))
        return self.answer(answer)

    def if_any(self, bits: int, answer: int) -> _Code:
        self._instructions.append((_JUMP_ANY_BIT, 0, 1, bits))
        return self.answer(answer)

    def unless_any(self, bits: int, answer: int) -> _Code:
        self._instructions.append((_JUMP_ANY_BIT, 1, 0, bits))
        return self.answer(answer)

    def unless_one_of(self, numbers: Iterable[int]) -> _Code:
        for number in numbers:
            self.if_equal(number, _ALLOW)
        return self.answer(_ERRNO | errno.EPERM)

    def only(self, numbers: tuple[int, ...], error: int) -> _Code:
        """Go on with one of these; any other is refused so."""
        for place, number in enumerate(numbers):
            self._instructions.append((_JUMP_EQUAL, len(numbers) - place, 0, number))
        return self.answer(_ERRNO | error)

    def when(self, number: int, body: _Code) -> _Code:
        """`body` where what is loaded is `number`. It has to answer, so nothing is loaded again."""
        self._instructions.append((_JUMP_EQUAL, 0, len(body._instructions), number))
        self._instructions += body._instructions
        return self

    def for_call(self, number: int | None, body: _Code) -> _Code:
        """`body` where the call is `number`. It may change what is loaded, so the number is loaded again after it."""
        if number is not None:
            inner = [*body._instructions, (_LOAD, 0, 0, _OFFSET_NUMBER)]
            self._instructions.append((_JUMP_EQUAL, 0, len(inner), number))
            self._instructions += inner
        return self

    def assemble(self) -> bytes:
        return b"".join(struct.pack("=HBBI", *one) for one in self._instructions)
