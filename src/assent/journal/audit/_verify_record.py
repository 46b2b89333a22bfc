"""Checks the record itself: every leaf from its stored bytes, the tree over them, and every signed checkpoint.

Built for speed, because a ledger that takes long to verify is not verified: leaves are decoded and encoded again a chunk at a
time (as lines, so that nothing is done per leaf in Python but its place), and the tree grows by whole chunks. Only a chunk that
fails is gone through leaf by leaf, to name the first bad one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import msgspec

from assent.errors import AssentError
from assent.journal.audit._report import Fault
from assent.journal.store._record import Chunk, Columns, Record
from assent.journal.store._tail import SEAL_EVENTS_MAX
from assent.journal.tree._checkpoint import Checkpoint, open_checkpoint
from assent.journal.tree._commits import NO_MAC, Commit, CommitKey
from assent.journal.tree._heads import (
    CAPABILITIES_STREAM,
    HeadList,
    completes_part,
    is_change_of_capabilities,
)
from assent.journal.tree._note import Signer, Verifier
from assent.spec.events.kinds import (
    LEDGER_STREAM,
    Event,
    LedgerCreated,
    LedgerRecovered,
    StoredLeaf,
    StoredLeaf1,
    is_sealed,
)
from assent.spec.values.merkle import Frontier, leaf_hash
from assent.spec.values.typed import decoder

_decoder: Final = decoder(StoredLeaf)
_encoder: Final = msgspec.json.Encoder(order="sorted")


_START: Final = Commit(0, b"", NO_MAC)


def decode_leaves(leaves: Sequence[bytes], *, is_checked: bool = False) -> list[StoredLeaf] | None:
    """The leaves, if each is exactly the bytes that its typed value is written as, in the restricted profile; else None.

    `is_checked`: that was found of these bytes already, so they need only be decoded.

    Encoded leaves have no newline in them, so equal text with as many lines as leaves means that each leaf equals its line.
    """
    try:
        text = b"\n".join(leaves) + b"\n"
        if not text.isascii() or b"\\" in text or b"\x7f" in text:
            return None
        decoded = _decoder.decode_lines(text)
        if len(decoded) != len(leaves):
            return None
        if not is_checked and _encoder.encode_lines(decoded) != text:
            return None
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return None
    return decoded


@dataclass(slots=True)
class RecordCheck:
    """One pass over a record. After `run`: what was found, up to the first fault."""

    keys: Sequence[Verifier]
    kept: Checkpoint | None = None
    """A checkpoint that was kept elsewhere, its signature already checked."""
    signer: Signer | None = None
    """The ledger's own key, with which commits are checked; None where nobody here has it."""
    frontier: Frontier = field(default_factory=Frontier)
    origin: str | None = None
    fault: Fault | None = None
    checkpoints: int = 0
    signed: int = 0
    unvouched: Fault | None = None
    """The first commit that the key does not vouch for; told where nothing else is wrong."""
    key: CommitKey | None = None
    """Made once the log's name is known."""
    _next_n: dict[str, int] = field(default_factory=dict)
    """The number of the next event of each stream."""
    _version: int = 1
    """The format of the newest entry: none comes before one of an older format."""
    _is_numbered: bool = False
    """Whether the columns give a number to what belongs to no run, also where its own bytes don't."""
    _unsigned: list[tuple[int, Event]] = field(default_factory=list)
    """The events after the newest good checkpoint, as many of them as there may be."""
    _sizes: list[int] = field(default_factory=list)
    """What the stored checkpoints cover, the smallest first."""
    _pending: list[tuple[int, str]] = field(default_factory=list)
    """Checkpoints that the tree has not reached yet, the largest first."""
    _commits: Iterator[Commit] = field(default_factory=lambda: iter(()))
    _commit: Commit | None = None
    """The commit that the tree has not reached yet."""
    _vouched: Commit = _START
    """The newest commit that the tree has reached; where there is a key, that it vouches for."""
    _added: list[bytes] = field(default_factory=list)
    """The entries after the newest commit that the tree has reached."""
    _streams: list[str] = field(default_factory=list)
    """The streams of the entries after the newest list of heads."""
    _changes: list[int] = field(default_factory=list)
    """Those of them that change capabilities."""
    _listed: HeadList | None = None
    """The newest list of heads that the tree has reached, as its entries come to it."""
    _lists: Iterator[HeadList] = field(default_factory=lambda: iter(()))

    def run(self, record: Record) -> None:
        """Check everything; stops at the first fault."""
        self._pending = sorted(record.checkpoints(), reverse=True)
        self._sizes = [size for size, _ in reversed(self._pending)]
        if (commits := record.commits()) is not None:
            self._is_numbered, self._commits, self._lists = True, commits, record.heads()
            self._commit = next(commits, None)
        self._reach(0)
        for chunk in record.chunks():
            if self.fault is not None:
                return
            self._take(chunk)
        if self.fault is None:
            self._finish(record)

    def _take(self, chunk: Chunk) -> None:
        start = self.frontier.size
        leaves = decode_leaves(chunk.leaves)
        hashes = [sha256(b"\x00" + data).digest() for data in chunk.leaves] if leaves is not None else []
        fault = None
        if leaves is None or not _columns_fit(chunk, start, leaves, hashes):
            leaves, hashes, fault = _leaf_by_leaf(chunk, start)
        count, order_fault = self._follow_streams(start, leaves, chunk.columns)
        fault = order_fault or fault
        self._grow(hashes[:count])
        if self.signed > start:
            self._unsigned.clear()
        if len(self._unsigned) <= SEAL_EVENTS_MAX:
            first = max(self.signed - start, 0)
            self._unsigned += [(start + index, leaves[index].event) for index in range(first, count)]
        self.fault = self.fault or fault

    def _follow_streams(
        self, start: int, leaves: Sequence[StoredLeaf], columns: Columns | None
    ) -> tuple[int, Fault | None]:
        """How many leaves are in order, and what is wrong with the next one."""
        next_n, streams = self._next_n, self._streams
        if start == 0 and leaves:
            # The first entry names the log, so that a checkpoint of another log can't be put under this one.
            if not isinstance(leaves[0].event, LedgerCreated):
                return 0, Fault("ENTRY_INVALID", "the first entry does not say which ledger this is", 0)
            self.origin = leaves[0].event.origin
            if self.signer is not None and self._is_numbered:
                self.key = CommitKey(self.signer.derive, self.origin)
        version = self._version
        for index, leaf in enumerate(leaves):
            stream = leaf.stream
            streams.append(stream)
            n = next_n.get(stream, 0)
            next_n[stream] = n + 1
            if type(leaf) is StoredLeaf1:
                fault = self._follow_older(start + index, leaf, n, version)
                if fault is None and leaf.run is None and columns is not None:
                    fault = self._number(start + index, columns.ns[index], n)
            else:
                version = 2
                fault = _out_of_order(start + index, leaf.n, stream, n) if leaf.n != n else None
            if stream == LEDGER_STREAM:
                if is_change_of_capabilities(leaf.event.kind):
                    self._changes.append(start + index)
                elif fault is None and isinstance(leaf.event, LedgerRecovered):
                    fault = self._recovered(start + index, leaf.event)
            if fault is not None:
                return index, fault
        self._version = version
        return len(leaves), None

    def _follow_older(self, seq: int, leaf: StoredLeaf1, n: int, version: int) -> Fault | None:
        """What is wrong with an entry of format 1, which names its own place, and gives no number to what belongs to no run."""
        if version != 1:
            return Fault("ENTRY_INVALID", f"entry {seq} is of an older format than one before it", seq)
        if leaf.seq != seq:
            return Fault("ENTRY_INVALID", f"entry {seq} calls itself entry {leaf.seq}", seq)
        if leaf.run is None:
            return (
                None
                if leaf.n is None
                else Fault("ENTRY_INVALID", f"entry {seq} numbers an event of no run", seq)
            )
        return _out_of_order(seq, leaf.n, leaf.run, n) if leaf.n != n else None

    def _number(self, seq: int, found: int | None, n: int) -> Fault | None:
        """What is wrong with the number under which an entry stands that does not say its own."""
        if found == (n if self._is_numbered else None):
            return None
        return Fault("ENTRY_INVALID", f"entry {seq} is filed under another run or number than its own", seq)

    def _grow(self, hashes: list[bytes]) -> None:
        """Append to the tree, stopping at each size that a checkpoint speaks of."""
        self._vouch(hashes)
        done, start = 0, self.frontier.size
        while self.fault is None and done < len(hashes):
            stops = [self._pending[-1][0]] if self._pending else []
            if self.kept is not None and self.kept.size > start + done:
                stops.append(self.kept.size)
            upto = min([len(hashes), *(stop - start for stop in stops if stop > start + done)])
            self.frontier.extend(hashes[done:upto])
            done = upto
            self._reach(start + done)

    def _reach(self, size: int) -> None:
        """Check what is said about the tree of this size."""
        while self.fault is None and self._pending and self._pending[-1][0] <= size:
            self._check(*self._pending.pop())
        kept = self.kept
        if (
            self.fault is None
            and kept is not None
            and kept.size == size
            and kept.root != self.frontier.root()
        ):
            # Our own checkpoints fit the entries and this one does not: whoever rewrote them could sign.
            self.fault = Fault(
                "HISTORY_REWRITTEN",
                f"the first {size} entries are not those of the checkpoint that was kept",
                0,
                size - 1,
            )

    def _check(self, size: int, note: str) -> None:
        last = max(size - 1, 0)
        try:
            signed = open_checkpoint(note, self.keys)
        except AssentError as error:
            self.fault = Fault(
                "CHECKPOINT_INVALID", f"the checkpoint of size {size}: {error.message} [{error.code}]", last
            )
            return
        checkpoint = signed.checkpoint
        written = checkpoint.text() + "\n" + "".join(signature.line() for signature in signed.note.verified)
        if checkpoint.size != size or written != note:
            self.fault = Fault(
                "CHECKPOINT_INVALID", f"the checkpoint of size {size} is not the one that was signed", last
            )
        elif self.origin is not None and checkpoint.origin != self.origin:
            self.fault = Fault(
                "CHECKPOINT_INVALID",
                f"the checkpoint of size {size} is of the log `{checkpoint.origin}`",
                last,
            )
        elif checkpoint.root != self.frontier.root():
            self.fault = Fault(
                "TREE_MISMATCH",
                f"entries {self.signed} to {last} are not those that were signed: one of them was changed",
                min(self.signed, last),
                last,
            )
        else:
            self.checkpoints += 1
            self.signed = size

    def _vouch(self, hashes: list[bytes]) -> None:
        """Hold the entries that come next against the commits that added them."""
        added, size, done = self._added, self.frontier.size, 0
        while (commit := self._commit) is not None and commit.size <= size + len(hashes):
            upto = max(commit.size - size, done)
            added += hashes[done:upto]
            done = upto
            if self.key is not None and self.unvouched is None and not self._is_vouched(commit, added):
                first = self._vouched.size
                self.unvouched = Fault(
                    "COMMIT_INVALID",
                    f"the ledger's key does not vouch for entries {first} to {max(commit.size - 1, first)}",
                    first,
                    max(commit.size - 1, first),
                )
            if self.unvouched is None:
                self._vouched = commit
            if commit.heads or completes_part(self._listed, commit.size):
                self._check_heads(commit)
            added.clear()
            self._commit = next(self._commits, None)
        added += hashes[done:]
        if self._commit is None:
            self._streams.clear()

    def _check_heads(self, commit: Commit) -> None:
        """The list of newest entries that a commit completed is the one that its part comes to."""
        first = 0 if self._listed is None else self._listed.size
        count = commit.size - first
        newest = dict(zip(self._streams[:count], range(first, commit.size), strict=False))
        changes = [seq for seq in self._changes if seq < commit.size]
        if changes:
            newest[CAPABILITIES_STREAM] = changes[-1]
        completed = HeadList.of(commit.size, self._listed, newest)
        is_due, stored = completes_part(self._listed, commit.size), next(self._lists, None)
        if not is_due or (stored, commit.heads) != (completed, completed.digest):
            self.unvouched = self.unvouched or Fault(
                "COMMIT_INVALID",
                f"which runs have their newest entry among entries {first} to {commit.size - 1} is not what was recorded",
                first,
                commit.size - 1,
            )
        self._listed = completed
        del self._streams[:count], self._changes[: len(changes)]

    def _is_vouched(self, commit: Commit, added: list[bytes]) -> bool:
        # A tampered file may hold text in the place of bytes.
        return (
            self.key is not None
            and bool(added)
            and type(commit.root) is bytes
            and type(commit.mac) is bytes
            and self.key.covers(self._vouched.mac, commit, added)
        )

    def _recovered(self, seq: int, event: LedgerRecovered) -> Fault | None:
        """A new owner wrote down which checkpoint was the newest: one that was dropped since is missed here."""
        at = bisect_right(self._sizes, seq) - 1
        newest = self._sizes[at] if at >= 0 else 0
        if event.size != seq:
            return Fault("ENTRY_INVALID", f"entry {seq} says that {event.size} entries stood before it", seq)
        if event.signed != newest:
            return Fault(
                "CHECKPOINT_MISSING",
                f"entry {seq} speaks of a checkpoint of size {event.signed}; it is gone",
                event.signed,
                seq - 1,
            )
        return None

    def _require_signatures(self) -> Fault | None:
        """What may not stand unsigned: kinds that are sealed when they are recorded, and more entries than a tail may have."""
        for seq, event in self._unsigned:
            if is_sealed(event):
                return Fault(
                    "CHECKPOINT_MISSING",
                    f"entry {seq}, `{event.kind}`, is signed when it is recorded; its checkpoint is gone",
                    seq,
                )
        if len(self._unsigned) >= SEAL_EVENTS_MAX:
            last = self.signed + SEAL_EVENTS_MAX - 1
            return Fault(
                "CHECKPOINT_MISSING",
                f"a checkpoint between entries {self.signed} and {last} is gone",
                self.signed,
                last,
            )
        return None

    def _finish(self, record: Record) -> None:
        size = self.frontier.size
        if self._pending:
            self.fault = _missing(size, self._pending[0][0], "a signed checkpoint")
            return
        if self.kept is not None and self.kept.size > size:
            self.fault = _missing(size, self.kept.size, "the checkpoint that was kept")
            return
        self.fault = self._require_signatures()
        tree = record.tree()
        if self.fault is not None:
            return
        if tree is not None and tree.size > size:
            self.fault = _missing(size, tree.size, "the ledger's own head")
        elif tree is not None and tree != (size, self.frontier.to_bytes(), self.frontier.root()):
            self.fault = Fault("TREE_MISMATCH", "the ledger's stored head is not that of its entries")
        elif self._commit is not None:
            self.fault = _missing(size, self._commit.size, "a commit")
        elif self.unvouched is not None:
            self.fault = self.unvouched
        elif self._is_numbered and size:
            self._require_whole(size)

    def _require_whole(self, size: int) -> None:
        """The newest commit is that of the newest entries."""
        first = self._vouched.size
        if next(self._lists, None) is not None:
            self.fault = Fault("COMMIT_INVALID", "a list of newest entries follows from no commit")
        elif first != size:
            self.fault = Fault(
                "COMMIT_INVALID", f"no commit added entries {first} to {size - 1}", first, size - 1
            )
        elif self._vouched.root != self.frontier.root():
            self.fault = Fault("COMMIT_INVALID", "the newest commit is not of the ledger's tree")


def _missing(size: int, expected: int, witness: str) -> Fault:
    return Fault(
        "ENTRY_MISSING",
        f"entry {size} and what followed are gone: {witness} speaks of {expected} entries",
        size,
        expected - 1,
    )


def _out_of_order(seq: int, found: int | None, stream: str, n: int) -> Fault:
    return Fault("ENTRY_OUT_OF_ORDER", f"entry {seq} is event {found} of `{stream}`, not {n}", seq)


def _columns_fit(chunk: Chunk, start: int, leaves: list[StoredLeaf], hashes: list[bytes]) -> bool:
    columns = chunk.columns
    if columns is None:
        return True
    return (
        columns.seqs == tuple(range(start, start + len(leaves)))
        and columns.hashes == tuple(hashes)
        and columns.runs == tuple([None if leaf.stream == LEDGER_STREAM else leaf.stream for leaf in leaves])
        and columns.ns == tuple([leaf.n for leaf in leaves])
    )


def _leaf_by_leaf(chunk: Chunk, start: int) -> tuple[list[StoredLeaf], list[bytes], Fault | None]:
    """The leaves and hashes before the first bad one of a chunk that is not all good, and what is wrong with that one."""
    leaves: list[StoredLeaf] = []
    hashes: list[bytes] = []
    for index, data in enumerate(chunk.leaves):
        seq = start + index
        columns = chunk.columns
        if columns is not None and columns.seqs[index] != seq:
            found = columns.seqs[index]
            if found > seq:
                return (
                    leaves,
                    hashes,
                    Fault("ENTRY_MISSING", f"entry {seq} is gone: entry {found} follows", seq, found - 1),
                )
            return leaves, hashes, Fault("ENTRY_INVALID", f"there is an entry numbered {found}", seq)
        decoded = decode_leaves([data])
        digest = _leaf_hash(data)
        if columns is not None and columns.hashes[index] != digest:
            return (
                leaves,
                hashes,
                Fault("ENTRY_CHANGED", f"entry {seq} was changed: its bytes do not have its hash", seq),
            )
        if decoded is None:
            return (
                leaves,
                hashes,
                Fault("ENTRY_INVALID", f"the bytes of entry {seq} are not how an entry is written", seq),
            )
        leaf = decoded[0]
        # An event of no run does not say its number in format 1; that one is looked at where streams are followed.
        n = columns.ns[index] if columns is not None and leaf.n is None else leaf.n
        run = None if leaf.stream == LEDGER_STREAM else leaf.stream
        if columns is not None and (columns.runs[index], columns.ns[index]) != (run, n):
            return (
                leaves,
                hashes,
                Fault("ENTRY_INVALID", f"entry {seq} is filed under another run or number than its own", seq),
            )
        leaves.append(leaf)
        hashes.append(digest)
    return leaves, hashes, None


def _leaf_hash(data: object) -> bytes:
    """The leaf's hash; nothing for what is no bytes (a tampered file may hold text in their place)."""
    return leaf_hash(data) if isinstance(data, bytes) else b""
