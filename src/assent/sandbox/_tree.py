"""A process and all that descend from it, as `/proc` shows them: what they use, and their end.

Only the standard library is imported: the launcher runs this.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
from collections.abc import Collection
from typing import Final, NamedTuple

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat, counted from the state, which follows the name's closing bracket (proc_pid_stat(5)).
_STATE: Final = 0
_PARENT: Final = 1
_TIMES: Final = slice(11, 15)  # utime, stime, and the same of children that were waited for
_THREADS: Final = 17
_RSS: Final = 21


class Use(NamedTuple):
    """What a tree uses now. Memory counts a page once for each process that has it."""

    processes: int
    cpu_ms: int
    memory_bytes: int


def descendants(root: int, *, most: int = 1 << 16) -> list[int]:
    """The processes below `root`, parents before children; no more than about `most`."""
    found: list[int] = []
    waiting = [root]
    while waiting and len(found) <= most:
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def _children(process: int) -> list[int]:
    folder = f"/proc/{process}/task"
    found: list[int] = []
    try:
        for thread in os.listdir(folder):
            with open(f"{folder}/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        if not os.path.exists("/proc/self/task/" + str(os.getpid()) + "/children"):
            return _children_by_parent(process)  # a kernel without CONFIG_PROC_CHILDREN
    return found


def _children_by_parent(process: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            fields = _stat(int(name))
            if fields is not None and int(fields[_PARENT]) == process:
                found.append(int(name))
    return found


def _stat(process: int) -> list[bytes] | None:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def has_ended(process: int) -> bool:
    """Whether a process runs no more, be it that nobody has waited for it yet."""
    fields = _stat(process)
    return fields is None or fields[_STATE] in {b"Z", b"X"}


def use_of(root: int, *, most: int) -> Use:
    """What the descendants of `root` use together; stops counting soon after `most` processes."""
    count = ticks = pages = 0
    own = _stat(root)
    if own is not None:
        # Of the root only what it has inherited from children that ended: it is ours, not theirs.
        ticks += sum(map(int, own[_TIMES][2:]))
    for process in descendants(root, most=most):
        fields = _stat(process)
        if fields is None:
            continue
        count += int(fields[_THREADS])
        ticks += sum(map(int, fields[_TIMES]))
        pages += int(fields[_RSS])
    return Use(count, ticks * 1000 // _TICKS_PER_S, pages * _PAGE_BYTES)


def own_memory(root: int) -> int | None:
    """The bytes that the descendants of `root` hold and files do not, each page counted once; None where it can't be told."""
    total = 0
    for process in descendants(root):
        try:
            with open(f"/proc/{process}/smaps_rollup", "rb") as file:
                lines = file.read().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError:
            return None
        for line in lines:
            name, _, rest = line.partition(b":")
            if name in {b"Pss_Anon", b"Pss_Shmem"}:
                total += int(rest.split()[0]) * 1024
    return total


def unlinked_bytes(root: int) -> int:
    """What files take on disk that the descendants of `root` hold open and that no folder names any more."""
    held: dict[tuple[int, int], int] = {}
    for process in descendants(root):
        folder = f"/proc/{process}/fd"
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                with contextlib.suppress(OSError):
                    status = os.stat(f"{folder}/{name}")
                    if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                        held[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(held.values())


def processes_of(user: int) -> int:
    """How many processes and threads a user has on this machine."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError):
                fields = _stat(int(name)) if os.stat(f"/proc/{name}").st_uid == user else None
                count += int(fields[_THREADS]) if fields else 0
    return count


_USERS: Final = range(61_184, 65_520)
"""Numbers that are given out to services for a while (systemd's dynamic users), and never to people."""


def unused_user() -> int:
    """The number of a user who has no process on this machine. Two askers at once get different ones."""
    taken: set[int] = set()
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError):
                taken.add(os.stat(f"/proc/{name}").st_uid)
    first = os.getpid() % len(_USERS)
    for one in (*_USERS[first:], *_USERS[:first]):
        if one not in taken:
            return int(one)
    raise BlockingIOError(errno.EAGAIN, "every number of a user for a while is taken")


def give(folder: str, user: int) -> None:
    """Make a user the owner of a folder and all that is in it."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(place, name), user, user, follow_symlinks=False)
    os.chown(folder, user, user)


def end_user(user: int) -> None:
    """Kill all processes of a user, in one call of the kernel that none of them can outrun by forking."""
    killer = os.fork()
    if killer == 0:
        with contextlib.suppress(OSError):
            os.setresuid(user, user, user)
            os.kill(-1, signal.SIGKILL)
        os._exit(0)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(killer, 0)


def end(root: int, *, spare: Collection[int] = ()) -> None:
    """Kill the descendants of this process, `root`, which adopts orphans; all have been waited for when this returns.

    All are stopped before the first is killed, so that none can start another meanwhile. What `spare` names is left alone, with
    all below it, and is not waited for.
    """
    while True:
        stopped: set[int] = set()
        while True:
            fresh = {one for top in _children(root) if top not in spare for one in (top, *descendants(top))}
            fresh -= stopped
            if not fresh:
                break
            for process in fresh:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGSTOP)
            stopped |= fresh
        for process in stopped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        left = [one for one in _children(root) if one not in spare]
        if not left:
            return
        for process in left:
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, process, os.WEXITED)
