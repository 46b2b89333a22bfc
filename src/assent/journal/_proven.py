"""Entries that the ledger's key vouches for: nothing else is gone on with, and nothing else is sealed.

Checked when an owner opens a ledger (what no checkpoint covers) and when a run is read to be driven (its own entries, wherever
they stand). Both read what they check and little more; a whole ledger is for `verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import apsw

from assent.errors import InputError, WorldError
from assent.journal._checkpoint import Checkpoint, open_checkpoint
from assent.journal._commits import NO_MAC, Commit, CommitKey
from assent.journal._merkle import leaf_hash
from assent.journal._note import Ed25519Verifier, Signer
from assent.journal._rows import Entry
from assent.spec.events.kinds import LedgerCreated, decode_stored

# `Any`: the columns' types are the schema's, which apsw can't know.
Select: TypeAlias = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]
"""What reads rows of the ledger's file."""

_UP_TO: Final = "SELECT size, root, mac FROM commits WHERE size <= ? ORDER BY size DESC LIMIT 1"
_PAST: Final = "SELECT size, root, mac FROM commits WHERE size > ? ORDER BY size LIMIT 1"
_START: Final = Commit(0, b"", NO_MAC)


class ProvenEntries:
    """Checks entries of one ledger's file against the commits that added them. For one thread at a time."""

    def __init__(self, select: Select, key: CommitKey) -> None:
        self._select = select
        self._key = key

    def require_tail(self, newest: Checkpoint | None) -> Commit:
        """The last commit, after checking everything behind the newest checkpoint; of an empty ledger, one of size 0.

        `WorldError` `LEDGER_TAIL_CHANGED`, with the first entry that nothing vouches for as `seq`.
        """
        signed = 0 if newest is None else newest.size
        head = self._size()
        if head < signed:
            raise _changed(head)
        anchor = self._find(_UP_TO, signed)
        if newest is not None:
            # What the tail hangs on is itself a commit of ours, and of the very tree that was signed.
            is_ours = self._is_ours(self._find(_UP_TO, signed - 1), anchor)
            if not is_ours or (anchor.size, anchor.root) != (signed, newest.root):
                raise tail_changed(signed)
        while anchor.size < head:
            before, anchor = anchor, self._find(_PAST, anchor.size)
            if not self._is_ours(before, anchor):
                raise tail_changed(before.size)
        if self._select(_PAST, (head,)):
            raise tail_changed(head)  # Commits whose entries are gone: the next one would meet them.
        return anchor

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

    def _is_ours(self, before: Commit, commit: Commit) -> bool:
        """Whether the key vouches for a commit with the entries that stand there now."""
        hashes = [leaf_hash(leaf) for leaf in self._cells("leaf", before, commit)]
        return 0 < len(hashes) == commit.size - before.size and self._covers(before, commit, hashes)

    def _covers(self, before: Commit, commit: Commit, hashes: Sequence[bytes]) -> bool:
        return all(commit) and self._key.covers(before.mac, commit, hashes)

    def _cells(self, column: str, before: Commit, commit: Commit) -> list[bytes]:
        """One column of the entries that a commit added; nothing for a cell that is not of bytes, as in a tampered file."""
        sql = f"SELECT {column} FROM events WHERE seq >= ? AND seq < ? ORDER BY seq"  # noqa: S608 - a column of ours
        rows = self._select(sql, (before.size, commit.size))
        return [cell if isinstance(cell, bytes) else b"" for (cell,) in rows]

    def _find(self, sql: str, at: int) -> Commit:
        rows = self._select(sql, (at,))
        is_whole = rows and [type(cell) for cell in rows[0]] == [int, bytes, bytes]
        return Commit(*rows[0]) if is_whole else _START

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
    frontier, commits = CommitKey(signer.derive, created.origin).adopt(leaf_hash(leaf) for (leaf,) in stored)
    if newest is None or (newest.size, newest.root) != (frontier.size, frontier.root()):
        raise WorldError(
            "RECORD_CORRUPT",
            "the ledger's entries are not those that its last checkpoint was signed for",
            hint="run `assent audit verify`; this file was not touched",
        )
    connection.executemany("INSERT INTO commits VALUES (?, ?, ?)", commits)


def tail_changed(seq: int) -> WorldError:
    """Nothing vouches for the entries from `seq` on."""
    return WorldError(
        "LEDGER_TAIL_CHANGED",
        f"entry {seq} or one behind it is not what was written: the ledger's key does not vouch for it",
        hint="look with `assent audit log`; restore the state from a backup, or begin a new ledger with another `--state`",
        details={"seq": seq},
    )


def _changed(seq: int) -> WorldError:
    return WorldError(
        "RECORD_CORRUPT",
        f"entry {seq} of the ledger is not what was written",
        hint="run `assent audit verify`; nothing more is done with this record",
        details={"seq": seq},
    )
