"""Files that hold one secret each: looked at before they are believed, written whole or not at all."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from assent.errors import InputError

BYTES_MAX: Final = 64 * 1024


def read_secret_file(path: Path) -> str | None:
    """The text of a file, without the line break at its end; None where there is no such file.

    Raises `InputError` SECRET_FILE_UNSAFE for a link anywhere in the path, a file of somebody else's, one that others may use,
    or one that is no small regular file of text.
    """
    descriptor = _open(path)
    if descriptor is None:
        return None
    try:
        status = os.fstat(descriptor)  # of the file that is open, not of whatever bears its name by now
        if not stat.S_ISREG(status.st_mode):
            raise _unsafe(path, "is not a regular file", "put the value into a file of its own")
        if status.st_uid != os.geteuid():
            raise _unsafe(path, f"belongs to user id {status.st_uid}", "it must be your own")
        mode = stat.S_IMODE(status.st_mode)
        if mode not in (0o600, 0o400):
            raise _unsafe(path, f"has mode {mode:04o}", f"chmod 600 {path}")
        if status.st_size > BYTES_MAX:
            raise _unsafe(path, f"is larger than {BYTES_MAX} bytes", "a secret is a short text")
        data = b""
        while len(data) <= BYTES_MAX and (piece := os.read(descriptor, BYTES_MAX + 1 - len(data))):
            data += piece
    finally:
        os.close(descriptor)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _unsafe(path, "is not text", "encode binary keys, for example as base64") from None
    return text.removesuffix("\n").removesuffix("\r")


def write_secret_file(path: Path, value: str) -> None:
    """Put a value into a file that only its owner can read; durable when this returns, and the old one until then.

    Raises SECRET_FILE_UNSAFE where what is there could not be read as a secret.
    """
    if path.parent.is_dir() or path.exists():
        read_secret_file(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = _open_folder(path.parent)
    draft = f".{path.name}.{os.getpid()}.new"
    try:
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        descriptor = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=folder
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(value.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.rename(draft, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=folder)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)


def _open(path: Path) -> int | None:
    try:
        folder = _open_folder(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        # O_NONBLOCK: a FIFO put in the file's place must not hang us before we have seen that it is no file.
        return os.open(path.name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(folder)


def _open_folder(path: Path) -> int:
    """The folder, reached without following a link; those above it need not be readable, as `/home` on many machines is not."""
    flags = os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
    names = path.parts[1:]
    folder = os.open("/", flags | os.O_RDONLY)
    for number, name in enumerate(names, 1):
        how = os.O_RDONLY if number == len(names) else os.O_PATH
        try:
            below = os.open(name, flags | how, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            if _is_link(name, folder):
                raise _unsafe(path, "is reached through a link", f"name it as `{path.resolve()}`") from None
            raise
        except OSError as error:
            raise _unreadable(path, error) from None
        finally:
            os.close(folder)
        folder = below
    return folder


def _is_link(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _unreadable(path: Path, error: OSError) -> InputError:
    if path.is_symlink():
        return _unsafe(path, "is a link", f"name the file itself: `{path.resolve()}`")
    return _unsafe(
        path, f"can't be opened: {os.strerror(error.errno or 0).lower()}", "look at its owner and mode"
    )


def _unsafe(path: Path, why: str, hint: str) -> InputError:
    return InputError("SECRET_FILE_UNSAFE", f"`{path}` {why}", path=str(path), hint=hint)
