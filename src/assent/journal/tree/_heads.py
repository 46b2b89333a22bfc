"""Where the newest entry of each run stands, vouched for: to hide how a run ends is found before anything is done with it.

Theory of operation. Commits vouch for each entry at its place, which doesn't show that a run has no later one. So the commit that
completes a part of the ledger, at least `PART_ENTRIES` long, also vouches for a list: of each stream with an entry in that part,
and of those that every opening asks for (`OWN_STREAMS`), the newest one's place. Each list hangs on the one before. Nothing in a
list ever changes, so there is nothing of it that an older state could be put in the place of. The newest entry of a run is the
one that the newest list with the run names, unless it has one since: those are few, and an owner checks them all when it opens
the ledger. An append costs one look-up in a dictionary.

The changes of capabilities are a stream here too (`CAPABILITIES_STREAM`), besides being events of no run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from threading import Lock
from typing import Final, NamedTuple

import msgspec

from assent.errors import WorldError
from assent.spec.events.kinds import LEDGER_STREAM
from assent.spec.values.typed import decoder

PART_ENTRIES: Final = 512
"""Entries after which a commit completes a part."""

CAPABILITIES_STREAM: Final = f"{LEDGER_STREAM}/capabilities"
OWN_STREAMS: Final = (LEDGER_STREAM, CAPABILITIES_STREAM)
"""In every list once they have an entry, so that nobody has to go back through the lists for them."""

NO_DIGEST: Final = b""

_KEY_BYTES: Final = 8
_LINE_BYTES: Final = 16


class HeadList(NamedTuple):
    """The newest entries of the streams of one part, which ends before entry `size`."""

    size: int
    before: bytes
    """The digest of the list before; empty for the first."""
    streams: bytes
    """Of each stream 8 bytes of its name's SHA-256 and the place of its newest entry in 8, sorted."""

    @classmethod
    def of(cls, size: int, before: HeadList | None, newest: Mapping[str, int]) -> HeadList:
        """The list after the one `before`, of a part in which each of these streams has its newest entry there."""
        places = {_key(stream): seq for stream, seq in newest.items()}
        if before is not None:
            for key in map(_key, OWN_STREAMS):
                if key not in places and (seq := _find(before.streams, key)) is not None:
                    places[key] = seq
        lines = sorted(key + seq.to_bytes(8, "big") for key, seq in places.items())
        return cls(size, NO_DIGEST if before is None else before.digest, b"".join(lines))

    @property
    def digest(self) -> bytes:
        """What the commit that completes the part vouches for."""
        # Signed, so that a size below zero, which nobody wrote, is a wrong digest like any other.
        return sha256(
            b"\x02" + self.size.to_bytes(8, "big", signed=True) + self.before + self.streams
        ).digest()


class Heads:
    """The newest entry of every stream of one ledger. Any thread may ask while one adds."""

    def __init__(
        self,
        newest: HeadList | None = None,
        since: Mapping[str, int] | None = None,
        load: Callable[[int], HeadList | None] = lambda _: None,
    ) -> None:
        """`newest`: the newest list; `since`: the streams with entries behind it. `load`: the stored list before that size.

        What `load` gives is checked; the others have been.
        """
        self._newest = newest
        self._since = dict(since or {})
        self._lists = [] if newest is None else [newest]  # The newest first, as far as they were asked for.
        self._load = load
        self._lock = Lock()

    def newest(self, stream: str) -> int | None:
        """The place of the newest entry of a stream; None when it has none. `RECORD_CORRUPT` for a list that was changed."""
        with self._lock:
            seq = self._since.get(stream)
            if seq is not None:
                return seq
            key, at = _key(stream), 0
            while True:
                if at == len(self._lists) and not self._load_older():
                    return None
                seq = _find(self._lists[at].streams, key)
                if seq is not None:
                    return seq
                at += 1

    def _load_older(self) -> bool:
        oldest = self._lists[-1] if self._lists else None
        if oldest is None or oldest.before == NO_DIGEST:
            return False
        older = self._load(oldest.size)
        if older is None or older.digest != oldest.before:
            raise WorldError(
                "RECORD_CORRUPT",
                f"which runs have their newest entry before entry {oldest.size} is not what was written",
                hint="run `assent audit verify`; nothing more is done with this record",
                details={"seq": oldest.size - 1},
            )
        self._lists.append(older)
        return True

    def completed(self, size: int, newest: Mapping[str, int]) -> HeadList | None:
        """The list of the part that a commit completes, whose streams have these newest entries; None when it completes none."""
        if not completes_part(self._newest, size):
            return None
        return HeadList.of(size, self._newest, {**self._since, **newest})

    def add(self, newest: Mapping[str, int], completed: HeadList | None) -> None:
        """A commit is durable, with the list of the part that it completed."""
        with self._lock:
            if completed is None:
                self._since.update(newest)
                return
            self._since = {}
            self._newest = completed
            self._lists.insert(0, completed)


def completes_part(newest: HeadList | None, size: int) -> bool:
    """Whether a commit that ends at this size completes the part after the newest list."""
    return size - (0 if newest is None else newest.size) >= PART_ENTRIES


def is_change_of_capabilities(kind: str) -> bool:
    """Whether events of this kind, which are of no run, belong to `CAPABILITIES_STREAM` as well."""
    return kind.startswith(("capability.", "release."))


class _Kind(msgspec.Struct):
    kind: str


class _Filed(msgspec.Struct):
    """What of a leaf, of either format, says where it belongs: decoded at a third of the cost of all of it."""

    event: _Kind
    stream: str | None = None
    run: str | None = None


_decode: Final = decoder(_Filed).decode


def streams_of(leaf: bytes) -> list[str]:
    """The streams that an entry belongs to; `ValueError` for what is no entry."""
    filed = _decode(leaf)
    stream = filed.stream or filed.run or LEDGER_STREAM
    is_change = stream == LEDGER_STREAM and is_change_of_capabilities(filed.event.kind)
    return [stream, CAPABILITIES_STREAM] if is_change else [stream]


def _key(stream: str) -> bytes:
    return sha256(stream.encode()).digest()[:_KEY_BYTES]


def _find(streams: bytes, key: bytes) -> int | None:
    at = streams.find(key)
    while at >= 0:
        if at % _LINE_BYTES == 0:
            return int.from_bytes(streams[at + _KEY_BYTES : at + _LINE_BYTES], "big")
        at = streams.find(key, at + 1)
    return None
