"""The steps that build a program's view of files, one after the other, in namespaces of its own.

Only the standard library is imported: the launcher runs this. Each step is a list: its name, then its arguments.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Callable
from typing import Any, Final

from assent.sandbox import _kernel

_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_PRIVATE_FLAGS: Final = _kernel.MS_NOSUID | _kernel.MS_NODEV


def take(steps: list[list[Any]]) -> None:  # `Any`: what JSON carries; each function below says what it takes
    """Take all steps; OSError at the first that fails."""
    for name, *arguments in steps:
        _STEPS[name](*arguments)


def _bind(source: str, target: str, *, writable: bool, device: bool) -> None:
    _kernel.mount(source, target, None, _kernel.MS_BIND | (0 if device else _kernel.MS_REC))
    flags = _kernel.MS_NOSUID | (0 if device else _kernel.MS_NODEV) | (0 if writable else _kernel.MS_RDONLY)
    _kernel.close_mounts(target, flags)


def _folder(path: str, mode: int = 0o755) -> None:
    if not os.path.isdir(path):
        os.makedirs(path)
        os.chmod(path, mode)


def _target(target: str, *, is_folder: bool) -> None:
    """Something at `target` that a folder or a file can be mounted on."""
    try:
        _make(target, is_folder=is_folder)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _make(target, is_folder=is_folder)


def _make(target: str, *, is_folder: bool) -> None:
    with contextlib.suppress(FileExistsError):
        if is_folder:
            os.mkdir(target, 0o755)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _kind(path: str) -> int:
    """What stands at a path, links not followed; 0 for nothing that may be looked at."""
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except OSError:
        return 0


def _show(source: str, target: str) -> None:
    """Show a file or folder read-only where it exists; a link stays a link."""
    kind = _kind(source)
    if kind == stat.S_IFLNK:
        if not os.path.lexists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(os.readlink(source), target)
    elif kind:
        _target(target, is_folder=kind == stat.S_IFDIR)
        _bind(source, target, writable=False, device=False)


def _open_up(source: str, target: str) -> None:
    """Show a folder with its writes going through."""
    _target(target, is_folder=True)
    _bind(source, target, writable=True, device=False)


def _device(source: str, target: str) -> None:
    if _kind(source):
        _target(target, is_folder=False)
        _bind(source, target, writable=True, device=True)


def _memory(target: str, options: str) -> None:
    _folder(target)
    _kernel.mount("tmpfs", target, "tmpfs", _PRIVATE_FLAGS, options)


def _overlay(lower: str, upper: str, work: str, target: str) -> None:
    """The folder `lower` with what is written to it going to `upper`."""
    _folder(target)
    parts = [
        f"{name}={_escaped(path)}"
        for name, path in (("lowerdir", lower), ("upperdir", upper), ("workdir", work))
    ]
    _kernel.mount("overlay", target, "overlay", _PRIVATE_FLAGS, ",".join([*parts, "userxattr"]))


def _escaped(path: str) -> str:
    """A path within overlayfs's options, where commas, colons and backslashes have meanings."""
    return path.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


def _hide(target: str) -> None:
    """Nothing to see at `target`, where there is something."""
    kind = _kind(target)
    if kind == stat.S_IFDIR:
        _kernel.mount("tmpfs", target, "tmpfs", _PRIVATE_FLAGS, "size=4k,nr_inodes=2,mode=000")
        _kernel.close_mounts(target, _kernel.MS_RDONLY)
    elif kind:
        _bind("/dev/null", target, writable=False, device=False)


def _processes(target: str, most: int, sealed: bool) -> None:  # noqa: FBT001 - arguments come as a list
    """`/proc` of this PID namespace; left empty where the kernel refuses one (containers that mask parts of theirs).

    Since Linux 6.14 it also bounds how many processes the namespace takes.
    """
    _folder(target)
    with contextlib.suppress(PermissionError):
        _kernel.mount("proc", target, "proc", _kernel.MS_NOSUID | _kernel.MS_NODEV | _kernel.MS_NOEXEC)
        if os.getpid() == 1:
            _write(f"{target}/sys/kernel/pid_max", str(most))
        if sealed:
            # A file of the host's root is his to write for whoever bears his number, with no capability asked (`core_pattern`).
            _kernel.close_mounts(target, _kernel.MS_RDONLY)


def _write(path: str, text: str) -> None:
    with contextlib.suppress(OSError):
        _kernel.write(path, text)


def _loopback() -> None:
    """The network namespace's own `lo`, so that a program can talk to itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket, contextlib.suppress(OSError):
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _private() -> None:
    """No mount made from here on reaches anybody else."""
    _kernel.mount("none", "/", None, _kernel.MS_REC | _kernel.MS_PRIVATE)


def _new_root(options: str, old: str) -> None:
    """An empty root in memory, with the former one at `old`."""
    base = "/tmp"  # noqa: S108 - not written to: covered for a moment, in our own namespace
    _kernel.mount("tmpfs", base, "tmpfs", _PRIVATE_FLAGS, options)
    os.mkdir(base + old)
    _kernel.pivot_root(base, base + old)
    os.chdir("/")


def _seal_root(old: str) -> None:
    """The former root is gone, and what the new one holds by itself can't be changed."""
    _kernel.detach(old)
    os.rmdir(old)
    _kernel.mount(
        "none", "/", None, _kernel.MS_REMOUNT | _kernel.MS_BIND | _PRIVATE_FLAGS | _kernel.MS_RDONLY
    )


def _scratch(path: str, mode: int) -> None:
    """A folder of the root in memory that stays writable when the root is sealed."""
    _folder(path, mode)
    os.chmod(path, mode)
    _kernel.mount(path, path, None, _kernel.MS_BIND)


def _text(path: str, content: str) -> None:
    """A file of the root in memory."""
    _target(path, is_folder=False)
    _kernel.write(path, content)
    os.chmod(path, 0o444)


def _symlink(target: str, path: str) -> None:
    os.symlink(target, path)


_STEPS: Final[dict[str, Callable[..., None]]] = {
    "device": _device,
    "folder": _folder,
    "hide": _hide,
    "loopback": _loopback,
    "memory": _memory,
    "new_root": _new_root,
    "open_up": _open_up,
    "overlay": _overlay,
    "private": _private,
    "processes": _processes,
    "scratch": _scratch,
    "seal_root": _seal_root,
    "show": _show,
    "symlink": _symlink,
    "text": _text,
    "write": _write,
}
