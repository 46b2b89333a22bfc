"""Checks what lies beside the record: payloads against the commitments in the leaves, projections against the fold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import msgspec

from assent.errors import AssentError, WorldError
from assent.journal.audit._report import Fault
from assent.journal.audit._verify_record import decode_leaves
from assent.journal.ports import Blobs, Cell, Projector
from assent.journal.store._projections import Folding, Tables
from assent.journal.store._record import PayloadRow, Record
from assent.journal.store._rows import payload_tag
from assent.spec.events.kinds import Leaf, PayloadErased, PolicyRecorded, StepStarted, placed
from assent.spec.ids import Commitment, RunId
from assent.spec.values.canonical import SALT_BYTES, commit
from assent.spec.values.typed import decoder


class _Prepared(msgspec.Struct):
    """The part of a prepared payload that matters here."""

    blobs: tuple[str, ...] = ()


_decode_prepared: Final = decoder(_Prepared).decode


@dataclass(slots=True)
class ContentsCheck:
    """One pass over a record whose leaves were found good up to `stop`. After `run`: what was found.

    Payloads and leaves were stored in nearly the same order, so both are read once, side by side, and only what has not met its
    other half is kept in memory.
    """

    stop: int
    is_whole: bool
    """Whether the record ends at `stop`. If not, what lies beyond is unknown, and so is what the projections should say."""
    faults: dict[str, Fault] = field(default_factory=dict)
    """By code: of each kind the one that touches the lowest entry."""
    blobs: Blobs | None = None
    """Where the blobs are that payloads name; None where they are not looked at."""
    payloads: int | None = None
    found_blobs: int | None = None
    erased: int = 0
    rows: int | None = None
    _record: Record | None = None
    _stored: Iterator[PayloadRow] | None = None
    _next: PayloadRow | None = None
    _bound: dict[Commitment, tuple[int, RunId | None]] = field(default_factory=dict)
    """Commitments whose payload has not come by yet: the entry that binds it first, and its run."""
    _erasures: dict[RunId, int] = field(default_factory=dict)
    """The newest entry that erased a run's payloads."""
    _present: dict[RunId, int] = field(default_factory=dict)
    """The first entry of a run whose payload is stored."""
    _refs: dict[Commitment, set[str]] = field(default_factory=dict)
    _has_refs: bool = True
    """The record says which blobs its payloads keep; an export has none."""
    _read: set[str] = field(default_factory=set)
    """The blobs that were read."""
    _prepared: set[Commitment] = field(default_factory=set)
    """Commitments of what was prepared for an effect: such a payload lists the blobs that it needs under `blobs`."""
    _named: dict[Commitment, str] = field(default_factory=dict)
    """Commitments of payloads that an entry also names by their SHA-256."""

    def run(self, record: Record, projector: Projector | None) -> None:
        """Check everything that the record carries."""
        self._record, self._stored = record, record.payloads()
        if self.blobs is not None:
            self.found_blobs = 0
        if self._stored is not None:
            self.payloads = 0
            self._next = next(self._stored, None)
            refs = record.blob_refs()
            self._has_refs = refs is not None
            for commitment, digest in refs or ():
                self._refs.setdefault(Commitment(commitment.hex()), set()).add(digest)
        leaves = self._leaves(record)
        tables = record.tables
        if projector is not None and self.is_whole and tables is not None:
            self._compare(record, projector, tables, leaves)
        for _ in leaves:  # What nobody has folded is still read, for the payloads that it binds.
            pass
        if self._stored is not None:
            self._follow(None)
            self._settle(record)

    def _leaves(self, record: Record) -> Iterator[Leaf]:
        read = 0
        for chunk in record.chunks():
            stored = decode_leaves(chunk.leaves[: self.stop - read], is_checked=True)
            if not stored:
                return
            leaves = [placed(leaf, read + index) for index, leaf in enumerate(stored)]
            read += len(leaves)
            for leaf in leaves:
                event = leaf.event
                if event.commitment_fields:
                    for commitment in event.commitments():
                        self._bound.setdefault(commitment, (leaf.seq, leaf.run))
                    if isinstance(event, StepStarted) and event.prepared is not None:
                        self._prepared.add(event.prepared)
                    elif isinstance(event, PolicyRecorded):
                        self._named[event.document] = event.digest
                        self._named[event.circumstances] = event.circumstances_digest
                elif isinstance(event, PayloadErased):
                    self._erasures[event.target] = leaf.seq
            if self._stored is not None:
                self._follow(read)
            yield from leaves

    def _add(self, code: str, message: str, seq: int | None = None) -> None:
        known = self.faults.get(code)
        if known is None or (seq is not None and (known.seq is None or seq < known.seq)):
            self.faults[code] = Fault(code, message, seq)

    def _follow(self, read: int | None) -> None:
        """Check the stored payloads of the leaves before `read`; None: all that are left."""
        assert self._stored is not None
        while (row := self._next) is not None and (read is None or row.seq < read):
            self._check(row)
            self._next = next(self._stored, None)

    def _check(self, row: PayloadRow) -> None:
        commitment = Commitment(row.commitment.hex())
        bound = self._bound.pop(commitment, None)
        refs = self._refs.pop(commitment, frozenset[str]())
        if bound is None:
            if 0 <= row.seq < self.stop:
                self._add(
                    "PAYLOAD_FOREIGN",
                    f"a payload is filed under entry {row.seq}, which binds no such payload",
                    row.seq,
                )
            elif self.is_whole:
                self._add(
                    "PAYLOAD_FOREIGN", f"a payload is filed under entry {row.seq}, which does not exist"
                )
            return
        seq, run = bound
        if run is not None:
            self._present[run] = min(seq, self._present.get(run, seq))
        if (row.seq, row.tag) != (seq, payload_tag(commitment, seq)):
            self._add("PAYLOAD_FOREIGN", f"a payload of entry {seq} is filed under another entry", seq)
        if len(row.salt) != SALT_BYTES or commit(row.salt, row.body) != commitment:
            self._add("PAYLOAD_CHANGED", f"a payload of entry {seq} is not the one that was recorded", seq)
        named = self._named.pop(commitment, None)
        # What is no SHA-256 names nothing: no entry of a decision can hold it.
        if named is not None and len(named) == 64 and sha256(row.body).hexdigest() != named:
            self._add("PAYLOAD_CHANGED", f"entry {seq} names a policy `{named}` that its payload is not", seq)
        for digest in refs:
            self._read_blob(digest, seq)
        if commitment in self._prepared:
            self._prepared.discard(commitment)
            if self._has_refs:
                self._check_blobs(row, refs, seq)
            refs = frozenset()
        for digest in refs:
            if digest.encode() not in row.body:
                self._add(
                    "BLOB_REF_FOREIGN",
                    f"a payload of entry {seq} does not speak of the blob `{digest[:16]}…`",
                    seq,
                )
        self.payloads = (self.payloads or 0) + 1

    def _read_blob(self, digest: str, seq: int) -> None:
        """Read a blob that a payload of an entry needs, once: without it an undo is impossible, and nobody would know before."""
        if self.blobs is None or digest in self._read:
            return
        self._read.add(digest)
        try:
            for _ in self.blobs.read(digest):
                pass
        except WorldError as error:
            if self._record is None or self._record.is_blob_needed(digest):
                self._add("BLOB_DAMAGED", f"entry {seq} needs what is lost: {error.message}", seq)
        else:
            self.found_blobs = (self.found_blobs or 0) + 1

    def _check_blobs(self, row: PayloadRow, refs: AbstractSet[str], seq: int) -> None:
        """Exactly what a preparation names is kept: without its reference a pre-image would be collected as an orphan."""
        try:
            named = frozenset(_decode_prepared(row.body).blobs)
        except (
            ValueError,
            RecursionError,
        ):  # msgspec's errors are ValueErrors, and so are bytes that are no UTF-8
            return  # Bytes that are no such payload were reported as changed, or were bound so by whoever has the key.
        for digest in sorted(named ^ refs):
            what = "is kept without a reference" if digest in named else "is referred to without being named"
            self._add("BLOB_REF_FOREIGN", f"the blob `{digest[:16]}…` of entry {seq} {what}", seq)

    def _settle(self, record: Record) -> None:
        left = {
            commitment: seq
            for commitment, (seq, run) in self._bound.items()
            if run is None or self._erasures.get(run, -1) <= seq
        }
        self.erased += len(self._bound) - len(left)
        if left and self.is_whole:
            # Those that are stored were bound once more by a later entry.
            for commitment in left.keys() - record.with_payload(left.keys()):
                seq = left[commitment]
                self._add(
                    "PAYLOAD_MISSING",
                    f"a payload of entry {seq} is gone, and no entry says that it was erased",
                    seq,
                )
        for run, erased_by in self._erasures.items():
            seq = self._present.get(run, erased_by)
            if seq < erased_by:
                self._add(
                    "PAYLOAD_FOREIGN",
                    f"a payload of entry {seq} is there, but entry {erased_by} says it was erased",
                    seq,
                )
        if self._refs and self.is_whole:
            self._add("BLOB_REF_FOREIGN", "a blob is kept for a payload that does not exist")

    def _compare(self, record: Record, projector: Projector, tables: Tables, leaves: Iterator[Leaf]) -> None:
        """Fold run after run, each when its last entry has come by, and hold it against its rows: no more is kept in memory."""
        folding = Folding(tables)
        of_runs = [table for table, columns in projector.tables.items() if columns[0] == "run_id"]
        compared = dict.fromkeys(of_runs, 0)
        sizes: dict[RunId, int] = {}
        waiting: dict[RunId, list[Leaf]] = {}
        alone: list[Leaf] = []
        self.rows = 0
        try:
            for leaf in folding.passing(leaves):
                if leaf.run is None:
                    alone.append(leaf)
                    continue
                entries = waiting.setdefault(leaf.run, [])
                if not entries:
                    sizes[leaf.run] = self._size_of(record, projector, leaf.run)
                entries.append(leaf)
                if len(entries) == sizes[leaf.run]:
                    del sizes[leaf.run], waiting[leaf.run]
                    self._compare_run(record, projector, leaf.run, entries, compared)
            for run, entries in waiting.items():
                self._compare_run(record, projector, run, entries, compared)
            expected = _folded(projector, alone) | folding.rows
        except AssentError as error:
            self._add("PROJECTION_MISMATCH", f"the entries can't be folded: {error.message} [{error.code}]")
            return
        for table, count in compared.items():
            if sum(1 for _ in record.rows(table)) != count:
                self._find_rows_of_no_run(record, projector, table)
        own = {name: columns for area in tables.areas for name, columns in area.tables.items()}
        keys = {**projector.keys, **tables.keys}
        for table, columns in {**projector.tables, **own}.items():
            if table not in compared:
                self._compare_rows(table, columns, keys[table], record.rows(table), expected.get(table, {}))

    def _compare_run(
        self,
        record: Record,
        projector: Projector,
        run: RunId,
        entries: Iterable[Leaf],
        compared: dict[str, int],
    ) -> None:
        expected = _folded(projector, entries)
        for table in compared:
            columns, width = projector.tables[table], projector.keys[table]
            found = self._compare_rows(
                table, columns, width, record.rows(table, run), expected.get(table, {})
            )
            compared[table] += found

    def _size_of(self, record: Record, projector: Projector, run: RunId) -> int:
        """How many entries a run has, as its row says; 0 where it has none. A row that lies is found when it is compared."""
        row = next(iter(record.rows("runs", run)), None)
        size = row[list(projector.tables["runs"]).index("events")] if row is not None else None
        return size if isinstance(size, int) else 0

    def _find_rows_of_no_run(self, record: Record, projector: Projector, table: str) -> None:
        runs = {leaf.run for chunk in record.chunks() for leaf in _placed(chunk.leaves)}
        for values in record.rows(table):
            if values[0] not in runs:
                key = " ".join(str(part) for part in values[: projector.keys[table]])
                self._add("PROJECTION_MISMATCH", f"the row `{key}` in `{table}` follows from no entry")

    def _compare_rows(
        self,
        table: str,
        columns: Sequence[str],
        width: int,
        rows: Iterable[tuple[Cell, ...]],
        wanted: dict[tuple[Cell, ...], tuple[Cell, ...]],
    ) -> int:
        """Hold the rows that there are against those that there should be; how many there are."""
        count = 0
        for values in rows:
            key = values[:width]
            want = wanted.pop(key, None)
            if want == values:
                count += 1
                continue
            name = f"`{' '.join(str(part) for part in key)}` in `{table}`"
            if want is None:
                self._add("PROJECTION_MISMATCH", f"the row {name} follows from no entry")
            else:
                column, found, right = next(
                    (column, found, right)
                    for column, found, right in zip(columns, values, want, strict=True)
                    if found != right
                )
                self._add(
                    "PROJECTION_MISMATCH",
                    f"the row {name} says `{column}` is `{found}`, but its entries say `{right}`",
                )
            count += 1
        for key in wanted:
            self._add(
                "PROJECTION_MISMATCH",
                f"the row `{' '.join(str(part) for part in key)}` in `{table}` is gone",
            )
        self.rows = (self.rows or 0) + count
        return count


def _folded(
    projector: Projector, leaves: Iterable[Leaf]
) -> dict[str, dict[tuple[Cell, ...], tuple[Cell, ...]]]:
    """The rows that follow from these entries, by table and key."""
    rows: dict[str, dict[tuple[Cell, ...], tuple[Cell, ...]]] = {}
    for row in projector.replay(leaves):
        rows.setdefault(row.table, {})[row.key] = row.values
    return rows


def _placed(leaves: Sequence[bytes]) -> list[Leaf]:
    return [placed(leaf, 0) for leaf in decode_leaves(leaves) or ()]
