"""Where Assent keeps things, and the checks that those places are ours alone."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from assent.errors import InputError, WorldError

STATE_NAME: Final = ".assent"
PLUGIN_LOCK: Final = "assent-plugins.lock"
"""Beside `assent.toml`: which plugins are trusted."""
SERVER_LOCK: Final = "assent-mcp.lock"
"""Beside it: which tools of which MCP servers are trusted."""
PRIVATE: Final = 0o700
ROOM_BYTES_MIN: Final = 256 * 1024
"""What a few more entries take, with SQLite's own files."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def name_of(state: Path) -> str:
    """A short name for a state directory, the same by whatever path it is reached: `project-3f9c…`."""
    real = Path(os.path.realpath(state))
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:16]
    words = "".join(char if char.isascii() and char.isalnum() else "-" for char in real.parent.name).strip(
        "-"
    )
    return f"{words[:32].lower()}-{digest}" if words else digest


def create_state(path: Path) -> None:
    """Make the state directory, readable by its owner only, with an ignore file of its own. Harmless when it exists.

    Raises `InputError` STATE_PERMISSIONS when others may enter it, `WorldError` STATE_UNUSABLE when it can't be made.
    """
    written = str(path).encode("utf-8", "backslashreplace").decode()
    if written != str(path):
        raise WorldError(
            "STATE_UNUSABLE",
            "the state directory can't be used: its path is not UTF-8, and SQLite takes no other",
            path=written,
            hint="rename the folder, or keep the state elsewhere with `--state DIR`",
        )
    try:
        path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        status = path.stat()
        if status.st_mode & _OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            raise InputError(
                "STATE_PERMISSIONS",
                f"the state directory may be entered by others (mode {mode:04o})",
                path=str(path),
                hint=f"chmod 700 {path}",
            )
        with suppress(FileExistsError), (path / ".gitignore").open("x", encoding="utf-8") as ignore:
            ignore.write("*\n")
    except OSError as error:
        raise _unusable("STATE_UNUSABLE", "the state directory can't be used", path, error) from error


def fault_of_state(state: Path) -> str | None:
    """Why nothing more could be recorded in a state directory, without an attempt; None when it could, or is not there yet."""
    try:
        disk = os.statvfs(state)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"can't be looked at: {os.strerror(error.errno or 0).lower()}"
    if disk.f_flag & os.ST_RDONLY or not os.access(state, os.W_OK):
        return "can't be written"
    free = disk.f_bavail * disk.f_frsize
    is_full = free < ROOM_BYTES_MIN or (disk.f_files > 0 and disk.f_favail == 0)
    return f"its disk is full: {free // 1024} KiB are left" if is_full else None


def read_policy_file(path: Path) -> bytes:
    """The bytes of the configured policy.

    Raises `InputError` POLICY_MISSING, POLICY_PERMISSIONS (its group or everybody may change it) or POLICY_INVALID (it can't be
    read, or is no plain file). One byte more than a document may have is read, so that the reader of documents refuses it.
    """
    # Whoever reads the file compiles it next: the gate, which takes long to load, is needed anyway.
    from assent.policy import require_private

    try:
        # O_NONBLOCK: a FIFO in the policy's place must not hang us before we have seen that it is no file.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            "POLICY_MISSING",
            "the configured policy file does not exist",
            path=str(path),
            hint="restore it, or name another; where none is named (by `--policy`, `ASSENT_POLICY` or `policy` in assent.toml) "
            "the built-in policy holds",
        ) from None
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise InputError(
            "POLICY_INVALID", f"the policy file can't be read: {reason}", path=str(path)
        ) from None
    from assent.spec.documents.document import SIZE_MAX_BYTES  # who reads no policy needs no YAML

    try:
        status = os.fstat(descriptor)  # of the file that is open, not of whatever bears its name by now
        if not stat.S_ISREG(status.st_mode):
            raise InputError("POLICY_INVALID", "the policy is not a plain file", path=str(path))
        require_private(status.st_mode, str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(SIZE_MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def runtime_folder(runtime_home: Path | None, temporary_home: Path, os_uid: int) -> Path:
    """A short folder of this user's alone, for sockets: made when it is absent.

    `$XDG_RUNTIME_DIR/assent` where that variable names a private folder of ours, else `assent-UID` in the system's temporary
    folder, where anybody could have made it before us. Raises `InputError` RUNTIME_DIR_UNSAFE when it is not ours alone.
    """
    if runtime_home is not None and _fault_of(runtime_home, os_uid) is None:
        folder = runtime_home / "assent"
    else:
        folder = temporary_home / f"assent-{os_uid}"
    try:
        folder.mkdir(mode=PRIVATE, exist_ok=True)
    except OSError as error:
        raise _unusable(
            "RUNTIME_DIR_UNSAFE", "the folder for sockets can't be made", folder, error
        ) from error
    fault = _fault_of(folder, os_uid)
    if fault is not None:
        raise InputError(
            "RUNTIME_DIR_UNSAFE", f"the folder for sockets {fault}", path=str(folder), hint="remove it"
        )
    return folder


def _fault_of(folder: Path, os_uid: int) -> str | None:
    try:
        status = folder.lstat()  # a link, even to a folder of ours, could be turned elsewhere later
    except OSError:
        return "can't be looked at"
    if not stat.S_ISDIR(status.st_mode):
        return "is not a folder"
    if status.st_uid != os_uid:
        return f"belongs to user id {status.st_uid}"
    if status.st_mode & _OTHERS:
        return f"may be entered by others (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def _unusable(code: str, message: str, path: Path, error: OSError) -> WorldError:
    return WorldError(code, f"{message}: {os.strerror(error.errno or 0).lower()}", path=str(path))
