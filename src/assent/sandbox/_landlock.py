"""Landlock's rights, by the version of its interface (include/uapi/linux/landlock.h)."""

from __future__ import annotations

from typing import Final, Literal

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_MAKE_CHAR: Final = 1 << 6
_MAKE_BLOCK: Final = 1 << 11
_REFER: Final = 1 << 13
_TRUNCATE: Final = 1 << 14
_IOCTL_DEVICE: Final = 1 << 15
_CONNECT_AND_BIND_TCP: Final = 0b11
_SCOPE_ABSTRACT_SOCKETS: Final = 1
_SCOPE_SIGNALS: Final = 2

VERSION_TRUNCATE: Final = 3
"""The first version that keeps files from being cut that may not be written."""
VERSION_NETWORK: Final = 4
VERSION_SCOPES: Final = 6
"""The first version that keeps signals and abstract sockets inside."""

Access = Literal["read", "file", "write", "device"]


def handled(version: int, *, network: bool) -> tuple[int, int, int]:
    """All that a ruleset of this version takes away: rights to files, to TCP (unless `network` is granted), and scopes."""
    files = (1 << 13) - 1
    if version >= 2:
        files |= _REFER
    if version >= VERSION_TRUNCATE:
        files |= _TRUNCATE
    if version >= 5:
        files |= _IOCTL_DEVICE
    tcp = _CONNECT_AND_BIND_TCP if version >= VERSION_NETWORK and not network else 0
    scopes = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS if version >= VERSION_SCOPES else 0
    return files, tcp, scopes


def rights(access: Access, version: int) -> int:
    """What a rule gives: `read` a folder or file and run it, `file` read one that holds data, `write` all but device nodes."""
    all_files = handled(version, network=True)[0]
    match access:
        case "read":
            return _EXECUTE | _READ_FILE | _READ_DIR
        case "file":
            return _READ_FILE
        case "write":
            return all_files & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEVICE)
        case "device":
            return all_files & (_READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL_DEVICE)
