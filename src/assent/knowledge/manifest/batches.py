"""Batches of changes that come late: buffered while nobody could take them, then flushed in the order in which they were made.

Each says what its repository was before (a checksum) and after. The chain is one for each repository, so that those of several
may lie between each other; one that does not follow from what its repository is, is refused, and all before it stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from assent.errors import InputError


class Batch(msgspec.Struct, frozen=True):
    """A batch of changes of one repository. `delayed_ms`: how long after it was made it was buffered."""

    sequence: int
    repo_id: str
    delayed_ms: int
    payload_checksum_before: str
    payload_checksum_after: str
    status: Literal["buffered", "drained"] = "buffered"


class Retention(NamedTuple):
    """How much may wait: an older batch, or one more, is refused."""

    max_age_ms: int = 120_000
    max_entries: int = 128


class Batches:
    """The ledger of batches: `emit` adds one, `flush` hands out all that wait.

    `start` is the number of the next one where the buffered ones do not lead further; `heads` is the checksum of each repository
    that is known. A repository that is not known begins with its first batch.
    """

    def __init__(
        self,
        buffered: Iterable[Batch] = (),
        *,
        start: int = 1,
        heads: Mapping[str, str] | None = None,
        retention: Retention = Retention(),  # noqa: B008  # it can't be changed
    ) -> None:
        self._waiting = sorted(buffered, key=lambda one: one.sequence)
        self._retention = retention
        self.heads = dict(heads or {})
        """What each repository is after all that was flushed."""
        last = self._waiting[-1].sequence if self._waiting else start - 1
        self.next = max(start, last + 1)
        """The number of the next batch."""

    @property
    def waiting(self) -> tuple[Batch, ...]:
        """What was not flushed, in order."""
        return tuple(self._waiting)

    def emit(self, repository: str, *, before: str, after: str, applied_at_ms: int, now_ms: int) -> Batch:
        """Buffer a batch that was made at `applied_at_ms`; a moment in the future is none of delay."""
        late = max(0, now_ms - applied_at_ms)
        batch = Batch(self.next, repository, late, before, after)
        self._judge(batch, len(self._waiting))
        self._waiting.append(batch)
        self.next += 1
        return batch

    def flush(self) -> list[Batch]:
        """All that wait, in order, as drained. `InputError` `KNOWLEDGE_BATCH_REFUSED`: nothing of them was taken."""
        heads, seen, drained = dict(self.heads), 0, []
        for place, one in enumerate(self._waiting):
            self._judge(one, place)
            if one.sequence <= seen:
                raise _refused(one, "its number is taken")
            seen = one.sequence
            if heads.get(one.repo_id, one.payload_checksum_before) != one.payload_checksum_before:
                raise _refused(
                    one, f"its repository is at {heads[one.repo_id]}, not at {one.payload_checksum_before}"
                )
            heads[one.repo_id] = one.payload_checksum_after
            drained.append(msgspec.structs.replace(one, status="drained"))
        self.heads, self._waiting = heads, []
        return drained

    def told(self, batch: Batch) -> str:
        """A flushed batch as the log of a replay says it."""
        return (
            f"sequence: {batch.sequence}\nrepo: {batch.repo_id}\nstatus: {batch.status}\n"
            f"checksum_before: {batch.payload_checksum_before}\nchecksum_after: {batch.payload_checksum_after}\n"
            "notes:\n"
            f"  - buffered entries flushed after offline window of {batch.delayed_ms / 1000:.1f}s\n"
            f"  - retention ceiling satisfied (max_age_ms = {self._retention.max_age_ms},"
            f" max_entries = {self._retention.max_entries})\n"
        )

    def _judge(self, batch: Batch, place: int) -> None:
        if batch.delayed_ms > self._retention.max_age_ms:
            raise _refused(
                batch, f"it is {batch.delayed_ms} ms late, of {self._retention.max_age_ms} at most"
            )
        if place >= self._retention.max_entries:
            raise _refused(batch, f"{self._retention.max_entries} wait already")


def _refused(batch: Batch, why: str) -> InputError:
    return InputError(
        "KNOWLEDGE_BATCH_REFUSED",
        f"batch {batch.sequence} of `{batch.repo_id}` can't be taken: {why}",
        hint="index the repository again: that makes no use of batches",
    )
