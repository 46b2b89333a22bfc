"""A disk that forgets and fails: virtual file systems for apsw that record what SQLite asked the disk for, or refuse it.

Theory of operation. `RecordingDisk` passes everything on and writes it down. What a power loss may leave behind follows from the
records alone: everything that was synced, and of every write since then all, nothing, or some of its sectors, one of them torn.
So one run of a workload yields every possible power loss of it. `FailingDisk` lets one chosen operation, or all from then on,
fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Literal

import apsw

SECTOR_BYTES = 512
_numbers = count()


@dataclass(frozen=True, slots=True)
class Opened:
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Written:
    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncated:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    name: str


@dataclass(frozen=True, slots=True)
class Deleted:
    name: str
    is_synced: bool


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Not the disk's: the workload was told that so many events are durable."""

    size: int


Operation = Opened | Written | Truncated | Synced | Deleted | Acknowledged
Arrival = Literal["nothing", "everything", "some"]


@dataclass
class _Inode:
    durable: bytearray
    pending: list[Written | Truncated] = field(default_factory=list)

    def after_power_loss(self, arrival: Arrival, chance: Random) -> bytes:
        content = bytearray(self.durable)
        for operation in self.pending:
            if arrival == "everything" or (arrival == "some" and chance.random() < 0.6):
                _apply(content, operation, None if arrival == "everything" else chance)
        return bytes(content)

    def sync(self) -> None:
        for operation in self.pending:
            _apply(self.durable, operation, None)
        self.pending.clear()


@dataclass
class _Name:
    """What a name in the folder stood for, one after the other; the entries before `floor` can't come back."""

    entries: list[_Inode | None] = field(default_factory=lambda: [None])
    floor: int = 0


def after_power_loss(
    operations: Sequence[Operation], arrival: Arrival, seed: int
) -> tuple[dict[str, bytes], int]:
    """The files that are left when the power goes after these operations, and how many events were acknowledged by then."""
    chance = Random(seed)
    names: dict[str, _Name] = {}
    acknowledged = 0
    for operation in operations:
        if isinstance(operation, Acknowledged):
            acknowledged = operation.size
            continue
        name = names.setdefault(operation.name, _Name())
        inode = name.entries[-1]
        match operation:
            case Opened(content=content):
                if inode is None:
                    name.entries.append(_Inode(bytearray(content)))
                    if content:  # It stood there before we looked, durably.
                        name.floor = len(name.entries) - 1
            case Deleted(is_synced=is_synced):
                name.entries.append(None)
                if is_synced:
                    name.floor = len(name.entries) - 1
            case Synced():
                assert inode is not None
                inode.sync()
                name.floor = (
                    len(name.entries) - 1
                )  # SQLite syncs the folder with the first sync of a new file.
            case Written() | Truncated():
                assert inode is not None
                inode.pending.append(operation)
    files: dict[str, bytes] = {}
    for path, name in names.items():
        possible = name.entries[name.floor :]
        entry = {"nothing": possible[0], "everything": possible[-1]}.get(arrival, chance.choice(possible))
        if entry is not None:
            files[path] = entry.after_power_loss(arrival, chance)
    return files, acknowledged


def _apply(content: bytearray, operation: Written | Truncated, chance: Random | None) -> None:
    """Do the operation; with `chance`, only some sectors of a write, one of which may be torn in the middle."""
    if isinstance(operation, Truncated):
        del content[operation.size :]
        content.extend(bytes(operation.size - len(content)))
        return
    at, end = operation.offset, operation.offset + len(operation.data)
    while at < end:
        stop = min(end, (at // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if chance is None or chance.random() < 0.7:
            whole = chance is None or chance.random() < 0.9
            reached = stop if whole else at + (stop - at) // 2
            content.extend(bytes(max(0, reached - len(content))))
            content[at:reached] = operation.data[at - operation.offset : reached - operation.offset]
        at = stop


class RecordingDisk(apsw.VFS):
    """Passes everything on to the system's disk and writes it down in `operations`."""

    def __init__(self) -> None:
        self.name = f"recording-{next(_numbers)}"
        self.operations: list[Operation] = []
        super().__init__(self.name, "")

    # `Any`: what apsw hands over and takes back here, as its own examples do.
    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - apsw's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        existing = Path(path)
        self.operations.append(Opened(path, existing.read_bytes() if existing.exists() else b""))
        return _RecordingFile(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - apsw's name
        self.operations.append(Deleted(filename, syncdir))
        super().xDelete(filename, syncdir)


class _RecordingFile(apsw.VFSFile):
    def __init__(self, disk: RecordingDisk, path: str, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._path = path
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's name
        self._disk.operations.append(Written(self._path, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - apsw's name
        self._disk.operations.append(Truncated(self._path, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - apsw's name
        super().xSync(flags)
        self._disk.operations.append(Synced(self._path))


class FailingDisk(apsw.VFS):
    """Lets operation number `fail_at` fail, or with `for_good` every one from then on: disk full on writes, else an I/O error."""

    def __init__(self, *, fail_at: int, for_good: bool, is_full: bool) -> None:
        self.name = f"failing-{next(_numbers)}"
        self.count = 0
        self.writes: list[int] = []
        """Which of the operations take space."""
        self.has_failed = False
        self._fail_at, self._for_good, self._is_full = fail_at, for_good, is_full
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - apsw's name
        return _FailingFile(self, name, flags)

    def step(self, *, takes_space: bool = False) -> None:
        """One operation; raises when it is to fail."""
        number, self.count = self.count, self.count + 1
        if takes_space:
            self.writes.append(number)
        if number == self._fail_at or (self._for_good and number > self._fail_at):
            if self._is_full and not takes_space:
                return
            self.has_failed = True
            raise apsw.FullError("the disk is full") if self._is_full else apsw.IOError("the disk fails")

    def excepthook(self, kind: object, error: object, traceback: object) -> bool:
        """SQLite tells nobody of a failure while it closes or rolls back; apsw would print ours."""
        return True


class _FailingFile(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - apsw's name
        self._disk.step()
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's name
        self._disk.step(takes_space=True)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - apsw's name
        self._disk.step()
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - apsw's name
        self._disk.step()
        super().xSync(flags)

    def excepthook(self, kind: object, error: object, traceback: object) -> bool:
        """As for the disk."""
        return True
