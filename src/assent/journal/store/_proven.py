"""Entries that the ledger's key vouches for: nothing else is gone on with, and nothing else is sealed.

Checked when an owner opens a ledger (what no checkpoint covers) and when a run is read to be driven (its own entries, wherever
they stand). Both read what they check and little more; a whole ledger is for `verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import apsw

from assent.errors import InputError, WorldError
from assent.journal.store._rows import Entry
from assent.journal.tree._checkpoint import Checkpoint, open_checkpoint
from assent.journal.tree._commits import NO_MAC, Commit, CommitKey
from assent.journal.tree._heads import HeadList, Heads, streams_of
from assent.journal.tree._note import Ed25519Verifier, Signer
from assent.spec.events.kinds import LedgerCreated, decode_stored
from assent.spec.ids import RunId
from assent.spec.values.merkle import SIZE_MAX, leaf_hash

# `Any`: the columns' types are the schema's, which apsw can't know.
Select: TypeAlias = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]
"""What reads rows of the ledger's file."""

_COLUMNS: Final = "SELECT size, root, mac, heads FROM commits"
_UP_TO: Final = f"{_COLUMNS} WHERE size <= ? ORDER BY size DESC LIMIT 1"
_PAST: Final = f"{_COLUMNS} WHERE size > ? ORDER BY size LIMIT 1"
_LIST: Final = "SELECT size, before, streams FROM heads WHERE size < ? ORDER BY size DESC LIMIT 1"
_START: Final = Commit(0, b"", NO_MAC)


class ProvenEntries:
    """Checks entries of one ledger's file against the commits that added them."""

    def __init__(self, select: Select, key: CommitKey) -> None:
        self._select = select
        self._key = key

    def require_tail(self, newest: Checkpoint | None, *, upto: int | None = None) -> tuple[Commit, Heads]:
        """The last commit, and where each run's newest entry stands, after checking all that follows from the newest checkpoint
        and from the newest list of heads; of an empty ledger, a commit of size 0. `upto`: as if the ledger ended there.

        `WorldError` `LEDGER_TAIL_CHANGED`, with the first entry that nothing vouches for as `seq`, or `RECORD_CORRUPT` where a
        checkpoint covers it.
        """
        signed = 0 if newest is None else newest.size
        head = self._size() if upto is None else upto
        if head < signed:
            raise _changed(head)
        listed = self._list_before(SIZE_MAX if upto is None else upto + 1)
        start = min(signed, 0 if listed is None else listed.size)
        before, anchor = self._find(_UP_TO, start - 1), self._find(_UP_TO, start)
        since: dict[str, int] = {}
        is_known = listed is None
        if start and (anchor.size != start or not self._is_ours(before, anchor, {})):
            raise _unproven(start, signed)
        while True:
            if newest is not None and anchor.size == signed and anchor.root != newest.root:
                raise _changed(signed - 1)  # What the tail hangs on is the very tree that was signed.
            if anchor.heads:
                since.clear()
                if listed is None or anchor.size > listed.size:
                    raise _unproven(before.size, signed)  # Its list is gone.
                is_known = is_known or (anchor.size, anchor.heads) == (listed.size, listed.digest)
            if anchor.size >= head:
                break
            before, anchor = anchor, self._find(_PAST, anchor.size)
            if before.size < signed < anchor.size or not self._is_ours(before, anchor, since):
                raise _unproven(max(before.size, start), signed)
        if not is_known or (upto is None and self._select(_PAST, (head,))):
            raise tail_changed(
                head
            )  # A list, or commits, whose entries are gone: the next one would meet them.
        return anchor, Heads(listed, since, self._list_before)

    def require_whole(
        self, run: RunId | None, entries: Sequence[Entry], *, since: int, newest: int | None
    ) -> None:
        """See to it that these entries of a run are its own from event number `since` on, and that none follows.

        `newest`: where its newest entry stood before they were read; None where that doesn't matter, or it had none.
        """
        self.require(entries)
        for n, entry in enumerate(entries, since):
            if entry.n != n:
                raise _changed(entry.seq)
        if newest is not None and (not entries or entries[-1].seq < newest):
            raise WorldError(
                "RECORD_CORRUPT",
                f"entry {newest} is the newest of {'the ledger itself' if run is None else f'`{run}`'}, and is not found there",
                hint="run `assent audit verify`; nothing more is done with this record",
                details={"seq": newest},
            )

    def require(self, entries: Sequence[Entry]) -> None:
        """See to it that these entries, in log order, are those that were written at their places.

        `WorldError` `RECORD_CORRUPT` names the first that is not.
        """
        start, covered, hashes = 0, _START, list[bytes]()
        for entry in entries:
            if not start <= entry.seq < covered.size:
                before, covered = self._find(_UP_TO, entry.seq), self._find(_PAST, entry.seq)
                start, hashes = before.size, self._cells("hash", before, covered)
                if len(hashes) != covered.size - start or not self._covers(before, covered, hashes):
                    raise _changed(entry.seq)
            if leaf_hash(entry.data) != hashes[entry.seq - start]:
                raise _changed(entry.seq)

    def _is_ours(self, before: Commit, commit: Commit, newest: dict[str, int]) -> bool:
        """Whether the key vouches for a commit with the entries that stand there now; each is then the newest of its streams."""
        leaves = self._cells("leaf", before, commit)
        if not 0 < len(leaves) == commit.size - before.size:
            return False
        if not self._covers(before, commit, [leaf_hash(leaf) for leaf in leaves]):
            return False
        for seq, leaf in enumerate(leaves, before.size):
            newest.update(dict.fromkeys(streams_of(leaf), seq))
        return True

    def _covers(self, before: Commit, commit: Commit, hashes: Sequence[bytes]) -> bool:
        return commit.size > 0 and self._key.covers(before.mac, commit, hashes)

    def _cells(self, column: str, before: Commit, commit: Commit) -> list[bytes]:
        """One column of the entries that a commit added; nothing for a cell that is not of bytes, as in a tampered file."""
        sql = f"SELECT {column} FROM events WHERE seq >= ? AND seq < ? ORDER BY seq"  # noqa: S608 - a column of ours
        rows = self._select(sql, (before.size, commit.size))
        return [cell if isinstance(cell, bytes) else b"" for (cell,) in rows]

    def _find(self, sql: str, at: int) -> Commit:
        rows = self._select(sql, (at,))
        is_whole = rows and [type(cell) for cell in rows[0]] == [int, bytes, bytes, bytes]
        return Commit(*rows[0]) if is_whole else _START

    def _list_before(self, size: int) -> HeadList | None:
        for found in self._select(_LIST, (size,)):
            if [type(cell) for cell in found] == [int, bytes, bytes]:
                return HeadList(*found)
        return None

    def _size(self) -> int:
        ((newest,),) = self._select("SELECT max(seq) FROM events", ())
        return 0 if newest is None else int(newest) + 1


def own_checkpoint(newest: tuple[int, str] | None, signer: Signer) -> Checkpoint | None:
    """The newest checkpoint, after checking that this key signed it.

    `KEY_FOREIGN` when another one did: a ledger that goes on with another key would look forged.
    """
    if newest is None:
        return None
    try:
        return open_checkpoint(newest[1], [Ed25519Verifier.from_vkey(signer.vkey)]).checkpoint
    except InputError as error:
        raise InputError(
            "KEY_FOREIGN",
            f"the key `{signer.vkey}` is not the one that signed this ledger so far",
            hint="put the ledger's own key back, or begin a new ledger with another `--state`",
        ) from error


def adopt(signer_for: Callable[[str], Signer], connection: apsw.Connection) -> None:
    """Vouch for all entries of a ledger that is older than commits are, after checking that its last checkpoint covers them all.

    `WorldError` `RECORD_CORRUPT` when it does not; `KEY_FOREIGN`.
    """
    first: Any = connection.execute("SELECT leaf FROM events WHERE seq = 0").get
    if first is None:
        return
    try:
        created = decode_stored(first).event
    except ValueError:
        created = None
    if not isinstance(created, LedgerCreated):
        raise _changed(0)
    signer = signer_for(created.origin)
    note: Any = connection.execute("SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
    newest = own_checkpoint(note, signer)
    stored: Any = connection.execute("SELECT leaf FROM events ORDER BY seq")
    key = CommitKey(signer.derive, created.origin)
    try:
        frontier, commits, lists = key.adopt((leaf_hash(leaf), streams_of(leaf)) for (leaf,) in stored)
    except ValueError as error:
        raise _not_signed() from error
    if newest is None or (newest.size, newest.root) != (frontier.size, frontier.root()):
        raise _not_signed()
    connection.executemany("INSERT INTO commits VALUES (?, ?, ?, ?)", commits)
    connection.executemany("INSERT INTO heads VALUES (?, ?, ?)", lists)


def _not_signed() -> WorldError:
    return WorldError(
        "RECORD_CORRUPT",
        "the ledger's entries are not those that its last checkpoint was signed for",
        hint="run `assent audit verify`; this file was not touched",
    )


def _unproven(seq: int, signed: int) -> WorldError:
    return tail_changed(seq) if seq >= signed else _changed(seq)


def tail_changed(seq: int) -> WorldError:
    """Nothing vouches for the entries from `seq` on."""
    return WorldError(
        "LEDGER_TAIL_CHANGED",
        f"entry {seq} or one behind it is not what was written: the ledger's key does not vouch for it",
        hint="look with `assent audit log`; restore the state from a backup, or take it as it is, in doubt:"
        f" `assent audit accept --from {seq}`",
        details={"seq": seq},
    )


def _changed(seq: int) -> WorldError:
    return WorldError(
        "RECORD_CORRUPT",
        f"entry {seq} of the ledger is not what was written",
        hint="run `assent audit verify`; nothing more is done with this record",
        details={"seq": seq},
    )
