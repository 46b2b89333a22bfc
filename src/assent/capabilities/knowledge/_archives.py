"""The files in an archive, read by what unpacks for `sys.archive` and under limits of their own."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

import msgspec

from assent.capabilities.archive._faults import quota as past_quota
from assent.capabilities.archive._formats import entries_in, format_of, holds_one_file
from assent.capabilities.archive._limits import Limits, Meter
from assent.errors import Json
from assent.invocation import CancelToken, NoEffectError
from assent.knowledge.chunks import FILE_BYTES_MAX

_TAR_BYTES: Final = 4 << 10
"""What an entry of a tar archive may take beside its content."""

_WHY: Final = {
    "ARCHIVE_INVALID": "the archive is damaged, cut short, or of another format than its name says",
    "ARCHIVE_AMBIGUOUS": "the archive can be read in two ways",
    "ARCHIVE_UNSUPPORTED": "the archive uses what is not supported",
    "ARCHIVE_ENCRYPTED": "the archive has an entry that is encrypted",
    "ARCHIVE_NAME_REFUSED": "the archive has an entry of a name that none may have",
    "ARCHIVE_ESCAPES": "the archive has an entry that would land outside the target",
    "ARCHIVE_NAMES_COLLIDE": "the archive has entries that are one file, here or on another system",
    "ARCHIVE_KIND_REFUSED": "the archive has an entry that is neither a file nor a folder",
}
"""What is told of an archive to all who may see it, who need not see each entry; `sys.archive.unpack` says which entry it is."""


class Quota(msgspec.Struct, frozen=True):
    """What may come out of one archive: bytes of its files, files and folders, names in a path, and time."""

    bytes_max: int = 64 << 20
    entries_max: int = 10_000
    depth_max: int = 32
    ms_max: int = 10_000


class ArchiveMembers:
    """The `Archives` of tar (plain, `gz`, `zst`) and zip. An archive in an archive is a file like others."""

    def __init__(self, clock_ms: Callable[[], int], cancel: CancelToken, quota: Quota | None = None) -> None:
        self._clock_ms, self._cancel, self._quota = clock_ms, cancel, quota or Quota()

    def reads(self, path: str) -> bool:
        try:
            return not holds_one_file(format_of(path, None))
        except NoEffectError:
            return False

    def members(self, path: str, data: bytes) -> list[tuple[str, bytes]]:
        """Of a file that is too large to be read, some more than `FILE_BYTES_MAX`.

        ARCHIVE_QUOTA tells in its details the `limits`, and what was `observed` until then; and others of ARCHIVE_.
        """
        meter = _Meter(self._quota, self._clock_ms, self._cancel)
        found: list[tuple[str, bytes]] = []
        try:
            for entry in entries_in(io.BytesIO(data), len(data), format_of(path, None), meter):
                pieces, size = [], 0
                for chunk in entry.chunks:
                    meter.kept(len(chunk))
                    # Of a file that is left out as too large no more is held than what shows that it is.
                    if size <= FILE_BYTES_MAX:
                        pieces.append(chunk)
                    size += len(chunk)
                if not entry.is_folder:
                    found.append(("/".join(entry.parts), b"".join(pieces)))
        except NoEffectError as error:
            if error.code == "ARCHIVE_QUOTA":
                error.details.update(limits=msgspec.structs.asdict(self._quota), observed=meter.observed)
            if error.code in _WHY:
                raise NoEffectError(error.code, _WHY[error.code]) from None
            raise
        return sorted(found, key=lambda one: one[0].encode())


class _Meter(Meter):
    """Counts the bytes of files apart from those of a tar archive's headers, and looks at the clock."""

    def __init__(self, quota: Quota, clock_ms: Callable[[], int], cancel: CancelToken) -> None:
        stream_max = quota.bytes_max + _TAR_BYTES * (quota.entries_max + 16)
        super().__init__(Limits(stream_max, quota.entries_max, quota.depth_max), cancel)
        self._quota, self._clock_ms, self._began = quota, clock_ms, clock_ms()
        self._bytes = self._entries = self._depth = self._took_ms = 0

    @property
    def observed(self) -> dict[str, Json]:
        """What there was so far, in the words of the limits."""
        return {
            "bytes": self._bytes,
            "entries": self._entries,
            "depth": self._depth,
            "ms": self._took_ms,
        }

    def kept(self, count: int) -> None:
        """So many bytes of a file came out."""
        self._bytes += count
        if self._bytes > self._quota.bytes_max:
            raise past_quota("holds too much", self._quota.bytes_max, "bytes", "bytes_max")

    def met(self, depth: int) -> None:
        self._depth = max(self._depth, depth)
        super().met(depth)

    def require_room(self, entries: int) -> None:
        self._entries = max(self._entries, entries)
        super().require_room(entries)

    def check(self) -> None:
        super().check()
        self._took_ms = self._clock_ms() - self._began
        if self._took_ms > self._quota.ms_max:
            raise past_quota("takes too long", self._quota.ms_max, "ms", "ms_max")
