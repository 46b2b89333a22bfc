"""What may come out of one archive, counted while it comes out: the sizes that an archive declares prove nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from assent.capabilities.archive._faults import quota
from assent.invocation import CancelToken, NoEffectError

BYTES_MAX: Final = 256 << 20
"""Bytes that may come out where nobody says otherwise."""

BYTES_CEILING: Final = 16 << 30
"""The most that a caller may allow."""

ENTRIES_MAX: Final = 10_000
"""Files and folders that may come out where nobody says otherwise."""

ENTRIES_CEILING: Final = 99_999
"""The most that a caller may allow; one tree holds no more (`fs`), its top included."""

DEPTH_MAX: Final = 32
"""Folders in folders where nobody says otherwise."""

DEPTH_CEILING: Final = 150
"""The most that a caller may allow: a path has at most 200 components, the target's own included."""

RATIO_MAX: Final = 100
"""Bytes out for each byte in where nobody says otherwise; text rarely passes 20."""

RATIO_CEILING: Final = 100_000
"""The most that a caller may allow."""

RATIO_FREE_BYTES: Final = 4 << 20
"""Below this many bytes out nobody is hurt, and short files of blanks are common: the ratio is not asked for."""

ARCHIVE_BYTES_MAX: Final = 4 << 30
"""The largest archive that is read or written."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one call."""

    bytes_max: int = BYTES_MAX
    entries_max: int = ENTRIES_MAX
    depth_max: int = DEPTH_MAX
    ratio_max: int = RATIO_MAX


class Meter:
    """Counts what goes in and comes out, and stops the work at the first limit, or when it is cancelled or out of time."""

    def __init__(self, limits: Limits, cancel: CancelToken) -> None:
        self._limits = limits
        self._cancel = cancel
        self.bytes_in = 0
        self.bytes_out = 0
        self.entries = 0

    @property
    def room(self) -> int:
        """How many bytes may come out at once before somebody must count again; one more than is left, to see an excess."""
        return min(self._limits.bytes_max - self.bytes_out + 1, 1 << 20)

    def took(self, count: int) -> None:
        """So many compressed bytes went in."""
        self.bytes_in += count

    def gave(self, count: int) -> None:
        """So many bytes came out. Raises ARCHIVE_QUOTA, CALL_CANCELLED."""
        self.check()
        self.bytes_out += count
        limits = self._limits
        if self.bytes_out > limits.bytes_max:
            raise quota("holds too much", limits.bytes_max, "bytes", "bytes_max")
        if self.bytes_out > RATIO_FREE_BYTES and self.bytes_out > limits.ratio_max * self.bytes_in:
            raise quota("swells like a bomb", limits.ratio_max, "bytes out for each byte in", "ratio_max")

    def met(self, depth: int) -> None:
        """One more entry, that many folders deep. Raises ARCHIVE_QUOTA, CALL_CANCELLED."""
        self.entries += 1
        self.require_room(self.entries)
        if depth > self._limits.depth_max:
            raise quota("is nested too deeply", self._limits.depth_max, "folders", "depth_max")

    def require_room(self, entries: int) -> None:
        """Do nothing where so many may come out. Raises ARCHIVE_QUOTA, CALL_CANCELLED."""
        self.check()
        if entries > self._limits.entries_max:
            raise quota(
                "holds too many files and folders", self._limits.entries_max, "entries", "entries_max"
            )

    def check(self) -> None:
        """Stop when nobody wants the result any more."""
        go_on(self._cancel)


def go_on(cancel: CancelToken) -> None:
    """Raise CALL_CANCELLED when the run was cancelled or the step's time is up: the limit in time is the step's `timeout`."""
    if cancel.is_cancelled:
        raise NoEffectError(
            "CALL_CANCELLED", "the call was cancelled, or its time was up, while it worked on an archive"
        )
