"""The sockets of the doors: made here, or handed over by a service manager."""

from __future__ import annotations

import os
import resource
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from assent.errors import InputError, WorldError

FIRST_HANDED_OVER: Final = 3
BACKLOG: Final = 1024

DESCRIPTORS_KEPT: Final = 512
"""What the daemon's own work may need of them: its record, programs, and those who ask the owner."""


def handed_over(environ: Mapping[str, str]) -> dict[str, socket.socket]:
    """The listening sockets that a service manager opened (`LISTEN_FDS`), by their names (`LISTEN_FDNAMES`): `socket`, `http`.

    One without such a name is what its family says. `CONFIG_INVALID` for more than one of a kind.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    found: dict[str, socket.socket] = {}
    for index in range(int(environ.get("LISTEN_FDS", "0"))):
        given = socket.socket(fileno=FIRST_HANDED_OVER + index)
        os.set_inheritable(given.fileno(), False)
        kind = "socket" if given.family == socket.AF_UNIX else "http"
        name = names[index] if index < len(names) and names[index] in ("socket", "http") else kind
        if name != kind or name in found:
            fault = f"the service manager handed over a socket that can't be `{name}`"
            raise InputError("CONFIG_INVALID", fault, hint="one Unix stream socket, one of TCP")
        found[name] = given
    return found


@contextmanager
def listen_unix(path: str) -> Iterator[socket.socket]:
    """Listen at a path, for this account alone, until the block ends. What a dead process left there is replaced, what lives is
    not: `DOOR_TAKEN`.
    """
    place = Path(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        try:
            _clear(place)
            before = os.umask(0o177)
            try:
                made.bind(path)
            finally:
                os.umask(before)
            made.listen(BACKLOG)
        except OSError as error:
            raise _taken(f"the socket `{path}`", error) from None
        try:
            yield made
        finally:
            place.unlink(missing_ok=True)


def _clear(place: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(place.lstat().st_mode):
            raise WorldError("DOOR_TAKEN", f"`{place}` is there, and is no socket", hint="name another path")
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            probe.connect(str(place))
        except ConnectionRefusedError:
            place.unlink()
        else:
            raise WorldError("DOOR_TAKEN", f"another process listens at `{place}`", hint="name another path")
        finally:
            probe.close()


def listen_tcp(host: str, port: int) -> socket.socket:
    """Listen at an address. `DOOR_TAKEN` where another process does, or there is no such address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise _taken(f"`{host}:{port}`", error) from None
    return made


def _taken(where: str, error: OSError) -> WorldError:
    reason = os.strerror(error.errno or 0).lower() if error.errno else str(error)
    return WorldError(
        "DOOR_TAKEN", f"{where} can't be listened at: {reason}", hint="name another in `[serve]`"
    )


def connections_that_fit(wanted: int, doors: int) -> int:
    """How many connections each door may have, after raising this process's limit on descriptors as far as they need it.

    They never take what is left for work (`DESCRIPTORS_KEPT`, or half of few).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = doors * wanted + DESCRIPTORS_KEPT
    if soft not in range(needed):
        return wanted
    soft = needed if hard not in range(needed) else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(wanted, (soft - min(DESCRIPTORS_KEPT, soft // 2)) // doors)


def notify(environ: Mapping[str, str], state: str) -> None:
    """Tell a service manager how we are (`sd_notify`): `READY=1`, `STOPPING=1`. Nothing where none asked."""
    where = environ.get("NOTIFY_SOCKET", "")
    if not where.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.connect("\0" + where[1:] if where.startswith("@") else where)
        line.sendall(state.encode())
