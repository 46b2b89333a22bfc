"""What a command writes to a file that was named, and reads from one: all of it or, where that fails, nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident
from typing import IO, Final

from assent.errors import InputError

_DESCRIPTORS: Final = Path("/proc/self/fd")
"""By which a file without a name is given one; not there in every container."""


def written_whole(path: Path, chunks: Iterable[bytes]) -> int:
    """Write a file that takes its name when it is whole and on the disk; its size. `FILE_UNWRITABLE`.

    A device or a pipe is written to.
    """
    file: IO[bytes]
    if path.exists() and not path.is_file():
        with _telling(path):
            file = path.open("wb")
        try:
            return _copied(path, file, chunks)
        finally:
            with _telling(path):
                file.close()
    draft = path.with_name(f".{path.name[:40]}.{os.getpid()}-{get_ident()}")
    with _telling(path):
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        draft.unlink(missing_ok=True)
        file = _unnamed(path.parent) or os.fdopen(
            os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb"
        )
    try:
        size = _copied(path, file, chunks)
        with _telling(path):
            file.flush()
            os.fsync(file.fileno())
            if not draft.exists():
                # With a folder's descriptor the link is followed to the file that has no name.
                folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.link(_DESCRIPTORS / str(file.fileno()), draft.name, dst_dir_fd=folder)
                finally:
                    os.close(folder)
            file.close()
            draft.chmod(mode)
            draft.replace(path)
    finally:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return size


def _unnamed(folder: Path) -> IO[bytes] | None:
    """A file without a name, of which nothing is left where its writer is killed; None where it could not be given one."""
    if not _DESCRIPTORS.is_dir():
        return None
    with suppress(AttributeError, OSError):
        return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600), "wb")
    return None


def _copied(path: Path, file: IO[bytes], chunks: Iterable[bytes]) -> int:
    size = 0
    for chunk in chunks:  # Whatever fails there is no failure of this file.
        with _telling(path):
            file.write(chunk)
        size += len(chunk)
    return size


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error) from None


def _umask() -> int:
    found = os.umask(0o022)
    os.umask(found)
    return found


@contextmanager
def reading(path: Path | None, *, what: str) -> Iterator[Callable[[int], bytes]]:
    """What reads so many bytes of a file, or of standard input for None. `FILE_MISSING`, `FILE_UNREADABLE`."""
    try:
        file = path.open("rb") if path is not None else open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115 - closed below
    except FileNotFoundError:
        raise InputError("FILE_MISSING", f"{what}: there is no file `{path}`", path=str(path)) from None
    except OSError as error:
        raise _unreadable(path, what, error) from None

    def read(size: int) -> bytes:
        try:
            return file.read(size)
        except OSError as error:
            raise _unreadable(path, what, error) from None

    with file:
        yield read


def require_readable(path: Path, *, what: str) -> None:
    """Refuse a file that can't be read, before work begins on others. A pipe is not tried: whoever writes it would notice."""
    if not path.is_fifo():
        with reading(path, what=what):
            pass


def _unreadable(path: Path | None, what: str, error: OSError) -> InputError:
    reason = os.strerror(error.errno or 0).lower()
    name = "standard input" if path is None else f"`{path}`"
    return InputError("FILE_UNREADABLE", f"{what}: {name} can't be read: {reason}", path=str(path or "-"))


def _unwritable(path: Path, error: OSError) -> InputError:
    reason = os.strerror(error.errno or 0).lower()
    return InputError("FILE_UNWRITABLE", f"`{path}` can't be written: {reason}", path=str(path))
