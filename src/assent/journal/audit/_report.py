"""What a verification found: faults, each with the first entry that it touches, and what was checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from assent.errors import Json
from assent.journal.tree._checkpoint import encode_hash


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it was recorded.

    `seq` is the first entry that is touched, None when no entry is (a projection, the file). `last` is given when the fault is
    known to lie between `seq` and `last` but not where: no more can be told from signed roots alone.
    """

    code: str
    message: str
    seq: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Seconds:
    """CPU seconds by what they were spent on."""

    file: float
    """The structure of the file."""
    record: float
    """Leaves, tree and signatures."""
    contents: float
    """Payloads and projections."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of `verify`. The ledger is what was recorded if, and only if, there is no fault."""

    size: int
    """Leaves that were checked; with a fault in the record, those before it."""
    root: bytes
    """The recomputed root of these leaves."""
    origin: str | None
    faults: tuple[Fault, ...]
    """The first fault of each kind of check; the one with the lowest `seq` first."""
    checkpoints: int
    """Good signed checkpoints."""
    signed: int
    """Leaves that the newest good checkpoint covers."""
    is_tail_proven: bool | None
    """Whether the key vouches for the leaves after that; None where it was not there to ask."""
    kept_size: int | None
    """Leaves that the checkpoint kept elsewhere covers; None when none was given."""
    payloads: int | None
    """Payloads that match their commitments; None when the record carries none."""
    blobs: int | None
    """Pre-images and attachments that are what was kept; None when they were not looked at."""
    erased: int
    """Payloads that are gone, as a `payload.erased` event says."""
    rows: int | None
    """Projection rows that equal the fold; None when they were not checked."""
    seconds: Seconds | None

    @property
    def is_good(self) -> bool:
        """Whether nothing was found."""
        return not self.faults

    @property
    def unsigned(self) -> int:
        """Leaves at the end that no checkpoint covers: only the private key can tell whether somebody changed or added them."""
        return self.size - self.signed

    @property
    def first_bad(self) -> Fault | None:
        """The fault to look at first."""
        return self.faults[0] if self.faults else None

    def to_json(self) -> dict[str, Json]:
        """The report for `--json`."""
        return {
            "ok": self.is_good,
            "size": self.size,
            "root": encode_hash(self.root),
            "origin": self.origin,
            "first_bad": msgspec.to_builtins(self.first_bad),
            "faults": [*map(msgspec.to_builtins, self.faults)],
            "checkpoints": self.checkpoints,
            "signed": self.signed,
            "unsigned": self.unsigned,
            "tail": {"entries": self.unsigned, "authenticated": self.is_tail_proven},
            "kept_size": self.kept_size,
            "payloads": self.payloads,
            "blobs": self.blobs,
            "erased": self.erased,
            "rows": self.rows,
            "seconds": msgspec.to_builtins(self.seconds),
        }


def by_place(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Faults in the order in which they should be looked at: those of entries first, the lowest entry first of all."""
    return tuple(sorted(faults, key=lambda fault: (fault.seq is None, fault.seq or 0)))
