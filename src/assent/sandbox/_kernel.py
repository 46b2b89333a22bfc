"""System calls that Python has no name for, by ctypes. Only the standard library is imported: the launcher runs this.

Each call raises OSError as `os` does. Numbers stand for x86-64 and arm64; on another machine nothing here is tried.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import stat
import struct
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)

MACHINE: Final = platform.machine()
_NUMBERS: Final = {
    "x86_64": {"pivot_root": 155, "seccomp": 317},
    "aarch64": {"pivot_root": 41, "seccomp": 277},
}
NETWORK_CALLS: Final = {
    "x86_64": {"connect": 42, "sendto": 44, "sendmsg": 46, "sendmmsg": 307},
    "aarch64": {"connect": 203, "sendto": 206, "sendmsg": 211, "sendmmsg": 269},
}.get(MACHINE, {})
# The calls since Linux 5.0 have one number on all machines.
_CLOSE_RANGE: Final = 436
_MOUNT_SETATTR: Final = 442
_LANDLOCK_CREATE: Final = 444
_LANDLOCK_ADD: Final = 445
_LANDLOCK_RESTRICT: Final = 446
_PIDFD_GETFD: Final = 438

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWCGROUP: Final = 0x0200_0000
CLONE_NEWUTS: Final = 0x0400_0000
CLONE_NEWIPC: Final = 0x0800_0000
CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWPID: Final = 0x2000_0000
CLONE_NEWNET: Final = 0x4000_0000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_KEEPCAPS: Final = 8
_PR_CAPBSET_DROP: Final = 24
_PR_SET_SECUREBITS: Final = 28
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAP_DAC_READ_SEARCH: Final = 2
_CAPABILITY_VERSION_3: Final = 0x2008_0522
# Root's number gives nothing, also after changes of ids, and neither can be taken back: NOROOT, NO_SETUID_FIXUP and their locks,
# NO_CAP_AMBIENT_RAISE and its lock.
_SECURE_BITS: Final = 0b1100_1111
_SECCOMP_SET_MODE_FILTER: Final = 1
_SECCOMP_NEW_LISTENER: Final = 8
_SECCOMP_WAIT_KILLABLE: Final = 32
_PIDFD_THREAD: Final = os.O_EXCL
_CLOSE_RANGE_CLOEXEC: Final = 4
_LANDLOCK_VERSION: Final = 1
_LANDLOCK_PATH_BENEATH: Final = 1
_LANDLOCK_FILE_RIGHTS: Final = 0b1100_0000_0000_0111  # execute, write, read, truncate, ioctl of devices


def is_known_machine() -> bool:
    """Whether the numbers above hold here."""
    return MACHINE in _NUMBERS


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _syscall(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None, what: str) -> int:
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(int(_libc.syscall(ctypes.c_long(number), *words)), what)


def _prctl(option: int, *arguments: int, what: str) -> int:
    words = map(
        ctypes.c_ulong, (ctypes.c_ulong * 4)(*arguments)
    )  # What is not said is zero, never whatever stands there.
    return _checked(int(_libc.prctl(ctypes.c_int(option), *words)), what)


def write(path: str, text: str) -> None:
    """Write to a file of the kernel's in one call. A text file of Python's costs a process just forked twenty times as much."""
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def unshare(flags: int) -> None:
    """Enter new namespaces. A new PID namespace holds for children only."""
    _checked(int(_libc.unshare(ctypes.c_int(flags))), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    """`mount(2)`; the error names the target."""
    _checked(
        int(
            _libc.mount(
                os.fsencode(source),
                os.fsencode(target),
                None if kind is None else kind.encode(),
                ctypes.c_ulong(flags),
                None if data is None else os.fsencode(data),
            )
        ),
        f"mount {target}",
    )


def close_mounts(target: str, flags: int) -> None:
    """Set `flags` (MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC) on the mount at `target` and all below it; Linux 5.12."""
    # struct mount_attr: what to set, what to clear, propagation, user namespace. These four flags are the same numbers here.
    attributes = struct.pack("=QQQQ", flags, 0, 0, 0)
    path = os.fsencode(target)
    what = f"mount_setattr {target}"
    _syscall(_MOUNT_SETATTR, _AT_FDCWD, path, _AT_RECURSIVE, attributes, len(attributes), what=what)


def detach(target: str) -> None:
    """Take a mount out of sight at once."""
    _checked(int(_libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH))), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and show the old one at `old`."""
    _syscall(_NUMBERS[MACHINE]["pivot_root"], os.fsencode(new), os.fsencode(old), what="pivot_root")


def die_with_parent(signal: int) -> None:
    """Have the kernel send `signal` when the parent's thread ends. The caller checks that it has not ended before."""
    _prctl(_PR_SET_PDEATHSIG, signal, what="prctl PDEATHSIG")


def become_subreaper() -> None:
    """Have all orphans among the descendants become children of this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, what="prctl SUBREAPER")


def become_unreadable() -> None:
    """Let no process of the same user read this one's memory, environment or descriptors."""
    _prctl(_PR_SET_DUMPABLE, 0, what="prctl DUMPABLE")


def forgo_privileges() -> None:
    """No program that is started from here gains anything by its file's owner or capabilities. For ever."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, what="prctl NO_NEW_PRIVS")


def become(user: int) -> None:
    """Turn root into a user of no rights but one: to read what the other walls leave in sight, whoever owns it.

    Root's processes can't be counted by the kernel and can't be killed as one; those of a user can.
    """
    _prctl(_PR_SET_KEEPCAPS, 1, what="prctl KEEPCAPS")
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    header = struct.pack("=I4x", _CAPABILITY_VERSION_3)
    held = 1 << _CAP_DAC_READ_SEARCH
    _checked(int(_libc.capset(header, struct.pack("=3I12x", held, held, held))), "capset")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, what="prctl AMBIENT")


def drop_capabilities() -> None:
    """Take away every capability, also the right to get one back. What is not allowed is not held either."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, what="prctl AMBIENT")
    for number in range(64):
        if _libc.prctl(ctypes.c_int(_PR_CAPBSET_DROP), ctypes.c_ulong(number), 0, 0, 0) < 0:
            break  # EINVAL: the last one that this kernel knows was dropped; EPERM: an ordinary user, who has none
    # An ordinary user may not set these, and for one without root's number they change nothing.
    _libc.prctl(ctypes.c_int(_PR_SET_SECUREBITS), ctypes.c_ulong(_SECURE_BITS), 0, 0, 0)
    header = struct.pack("=I4x", _CAPABILITY_VERSION_3)
    _checked(int(_libc.capset(header, bytes(24))), "capset")


def close_on_exec(first: int) -> None:
    """Have every descriptor from `first` on closed by the next `exec`."""
    try:
        _syscall(_CLOSE_RANGE, first, 0xFFFF_FFFF, _CLOSE_RANGE_CLOEXEC, what="close_range")
    except OSError:  # before Linux 5.11
        for name in os.listdir("/proc/self/fd"):
            if int(name) >= first:
                try:
                    os.set_inheritable(int(name), False)
                except OSError:  # the descriptor that read the folder
                    continue


def load_filter(program: bytes) -> None:
    """Put a seccomp program (an array of `struct sock_filter`) before every later system call of this thread."""
    _load_filter(program, 0)


def load_asking_filter(program: bytes) -> int:
    """The same for one that asks somebody: where the questions are heard, as a descriptor. Linux 5.19.

    Only a signal that kills ends a question: any other would make a call fail that was carried out.
    """
    return _load_filter(program, _SECCOMP_NEW_LISTENER | _SECCOMP_WAIT_KILLABLE)


def _load_filter(program: bytes, flags: int) -> int:
    held = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: unsigned short, padding to the pointer's size, pointer.
    description = struct.pack("@HP", len(program) // 8, ctypes.addressof(held))
    return _syscall(
        _NUMBERS[MACHINE]["seccomp"], _SECCOMP_SET_MODE_FILTER, flags, description, what="seccomp"
    )


def take_descriptor(thread: int, number: int) -> int:
    """Another process's open file, as a descriptor of this one: whatever is done with it is done with theirs."""
    try:
        process = os.pidfd_open(thread, _PIDFD_THREAD)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        process = os.pidfd_open(_process_of(thread))  # before Linux 6.9
    try:
        return _syscall(_PIDFD_GETFD, process, number, 0, what="pidfd_getfd")
    finally:
        os.close(process)


def _process_of(thread: int) -> int:
    with open(f"/proc/{thread}/status", "rb") as file:
        for line in file:
            if line.startswith(b"Tgid:"):
                return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))


def read_memory(process: int, address: int, size: int) -> bytes:
    """So many bytes of another process's memory; EFAULT where they are not all there."""
    held = ctypes.create_string_buffer(size)
    _move_memory(_libc.process_vm_readv, process, held, address, size)
    return held.raw


def write_memory(process: int, address: int, content: bytes) -> None:
    """Write to another process's memory; EFAULT likewise."""
    _move_memory(
        _libc.process_vm_writev,
        process,
        ctypes.create_string_buffer(content, len(content)),
        address,
        len(content),
    )


def _move_memory(
    call: ctypes._NamedFuncPointer, process: int, held: ctypes.Array[ctypes.c_char], address: int, size: int
) -> None:
    # struct iovec: pointer, size.
    here = struct.pack("@PN", ctypes.addressof(held), size)
    there = struct.pack("@PN", address, size)
    one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
    if _checked(int(call(ctypes.c_int(process), here, one, there, one, none)), "process_vm") != size:
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT), "process_vm")


def connect(descriptor: int, address: bytes) -> int:
    """`connect(2)` with an address as the kernel has it; 0."""
    return _checked(int(_libc.connect(descriptor, address, len(address))), "connect")


def send_message(descriptor: int, name: bytes, data: bytes, control: bytes, flags: int) -> int:
    """`sendmsg(2)`, likewise; how many bytes were taken. Empty: no name, no control."""
    held = ctypes.create_string_buffer(data, len(data))
    vector = ctypes.create_string_buffer(struct.pack("@PN", ctypes.addressof(held), len(data)), 16)
    to = ctypes.create_string_buffer(name, len(name))
    more = ctypes.create_string_buffer(control, len(control))
    # struct msghdr: name, its size, vectors, their number, control, its size, flags.
    message = struct.pack(
        "@PI4xPNPNi4x",
        ctypes.addressof(to) if name else 0, len(name), ctypes.addressof(vector), 1,
        ctypes.addressof(more) if control else 0, len(control), 0,
    )  # fmt: skip
    return _checked(int(_libc.sendmsg(descriptor, message, flags)), "sendmsg")


def landlock_version() -> int:
    """The version of Landlock's interface, 0 where the kernel has none or has it switched off."""
    try:
        return _syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION, what="landlock")
    except OSError:
        return 0


def landlock(handled: tuple[int, int, int], rules: list[tuple[str, int]]) -> None:
    """Confine this thread and its children: of the rights handled (files, network, scopes) only those of `rules` remain.

    A rule is a path and the rights beneath it. A path that is not there gives nothing. Needs `forgo_privileges` first.
    """
    files, network, scopes = handled
    # Older kernels refuse a longer structure unless what they don't know is zero.
    attributes = struct.pack("=QQQ", files, network, scopes)
    ruleset = _syscall(_LANDLOCK_CREATE, attributes, len(attributes), 0, what="landlock")
    try:
        for path, rights in rules:
            _landlock_rule(ruleset, path, rights)
        _syscall(_LANDLOCK_RESTRICT, ruleset, 0, what="landlock")
    finally:
        os.close(ruleset)


def _landlock_rule(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        is_folder = stat.S_ISDIR(os.fstat(place).st_mode)
        # The kernel refuses a rule for a file with rights that only a folder can have.
        rule = struct.pack("=Qi", rights if is_folder else rights & _LANDLOCK_FILE_RIGHTS, place)
        _syscall(_LANDLOCK_ADD, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0, what=f"landlock {path}")
    finally:
        os.close(place)
