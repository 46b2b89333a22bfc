"""The filter before every system call of a confined program: which calls are refused, as a BPF program for seccomp.

A list of what is refused, not of what is allowed: files, processes and the network have walls of their own, and a list of
everything that compilers, interpreters and test runners call would be wrong with every release of theirs. Refused is what reaches
other processes, what changes the machine, and what has been the way out of sandboxes before. Sources: the lists of Docker,
systemd (`@privileged`, `@mount`, `@keyring` …) and Flatpak as facts; numbers from the kernel's tables.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

# One row: the name, its number on x86-64 and on arm64 (None: no such call there).
_NUMBERS: Final[Mapping[str, tuple[int | None, int | None]]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chmod": (90, None),
    "chown": (92, None),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "create_module": (174, None),
    "delete_module": (176, 106),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fanotify_init": (300, 262),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "finit_module": (313, 273),
    "fork": (57, None),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fremovexattr": (199, 16),
    "fsetxattr": (190, 7),
    "fspick": (433, 433),
    "futimesat": (261, None),
    "get_mempolicy": (239, 236),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "lchown": (94, None),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "lookup_dcookie": (212, 18),
    "mbind": (237, 235),
    "migrate_pages": (256, 238),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "query_module": (178, None),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "removexattr": (197, 14),
    "removexattrat": (466, 466),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "set_mempolicy": (238, 237),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "setxattr": (188, 5),
    "setxattrat": (463, 463),
    "socket": (41, 198),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "tkill": (200, 130),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "ustat": (136, None),
    "vfork": (58, None),
    "utime": (132, None),
    "utimensat": (280, 88),
    "utimes": (235, None),
    "vhangup": (153, 58),
    "vmsplice": (278, 75),
    "vserver": (236, None),
}
_MACHINES: Final = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}

# Calls that are refused whatever their arguments are.
_REFUSED: Final = """
    acct add_key adjtimex bpf chroot clock_adjtime clock_settime create_module delete_module fanotify_init finit_module fsconfig
    fsmount fsopen fspick get_mempolicy init_module ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind
    migrate_pages modify_ldt mount mount_setattr move_mount move_pages name_to_handle_at nfsservctl open_by_handle_at open_tree
    open_tree_attr perf_event_open pidfd_getfd pivot_root process_madvise process_mrelease process_vm_readv process_vm_writev
    ptrace query_module quotactl quotactl_fd reboot request_key set_mempolicy setdomainname sethostname setns settimeofday swapoff
    swapon syslog umount2 unshare uselib userfaultfd ustat vhangup vmsplice vserver
""".split()
# Calls whose callers know what to do where a kernel does not have them. `clone3` passes its flags in memory, where no filter sees
# them; the C library falls back to `clone`.
_ABSENT: Final = ["clone3", "io_uring_enter", "io_uring_register", "io_uring_setup"]
# What changes a file's mode, owner, attributes or times, which Landlock does not look at.
_METADATA: Final = """
    chmod chown fchmod fchmodat fchmodat2 fchown fchownat fremovexattr fsetxattr futimesat lchown lremovexattr lsetxattr
    removexattr removexattrat setxattr setxattrat utime utimes
""".split()
_SIGNALS: Final = ["kill", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "tkill"]

_STARTING: Final = ["execve", "execveat", "fork", "vfork"]

_THREAD: Final = 0x0001_0000  # CLONE_THREAD
_NEW_NAMESPACES: Final = 0x7E02_0000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET
_TIOCSTI: Final = 0x5412
_TIOCLINUX: Final = 0x541C
_KIND_OF_FILE: Final = 0o170000
_DEVICES: Final = (0o020000, 0o060000)
_LINUX: Final = (
    0,
    8,
)  # PER_LINUX and PER_LINUX32 are no way around anything; others switch protections of memory off
_X32_BIT: Final = 0x4000_0000

AF_UNIX: Final = 1
AF_INET: Final = 2
AF_INET6: Final = 10
AF_NETLINK: Final = 16

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


def seccomp_filter(rules: FilterRules, machine: str) -> bytes:
    """The program as an array of `struct sock_filter`, for `x86_64` or `aarch64`; KeyError for another machine."""
    column, architecture = _MACHINES[machine]
    code = _Code()
    # A call through another architecture's door (`int 0x80`) has other numbers, so nothing below would mean what it says.
    code.load(_OFFSET_ARCHITECTURE)
    code.unless_equal(architecture, _KILL)
    code.load(_OFFSET_NUMBER)
    if machine == "x86_64":
        code.if_at_least(_X32_BIT, _ERRNO | errno.ENOSYS)
    refused = [*_REFUSED, *([] if rules.signals else _SIGNALS), *([] if rules.metadata else _METADATA)]
    for name in refused:
        code.if_equal(_NUMBERS[name][column], _ERRNO | errno.EPERM)
    for name in _ABSENT:
        code.if_equal(_NUMBERS[name][column], _ERRNO | errno.ENOSYS)
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
    code.for_call(_NUMBERS["socket"][column], _Code().load_argument(0).unless_one_of(rules.families))
    code.answer(_ALLOW)
    return code.assemble()


def programs_filter(machine: str) -> bytes:
    """A program that refuses every way to another program or process, threads excepted; KeyError as above."""
    column, architecture = _MACHINES[machine]
    code = _Code()
    code.load(_OFFSET_ARCHITECTURE)
    code.unless_equal(architecture, _KILL)
    code.load(_OFFSET_NUMBER)
    if machine == "x86_64":
        code.if_at_least(_X32_BIT, _ERRNO | errno.ENOSYS)
    for name in _STARTING:
        code.if_equal(_NUMBERS[name][column], _ERRNO | errno.EPERM)
    code.if_equal(_NUMBERS["clone3"][column], _ERRNO | errno.ENOSYS)
    code.for_call(
        _NUMBERS["clone"][column], _Code().load_argument(0).unless_any(_THREAD, _ERRNO | errno.EPERM)
    )
    code.answer(_ALLOW)
    return code.assemble()


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

    def for_call(self, number: int | None, body: _Code) -> _Code:
        """`body` where the call is `number`. It may change what is loaded, so the number is loaded again after it."""
        if number is not None:
            inner = [*body._instructions, (_LOAD, 0, 0, _OFFSET_NUMBER)]
            self._instructions.append((_JUMP_EQUAL, 0, len(inner), number))
            self._instructions += inner
        return self

    def assemble(self) -> bytes:
        return b"".join(struct.pack("=HBBI", *one) for one in self._instructions)
