"""What shows, before a checkpoint covers them, that entries are those that the ledger's keeper wrote: a MAC for each commit.

Theory of operation. Each transaction that adds entries leaves a row: the tree's size and root after it, and HMAC-SHA256, under a
key that is derived from the signing key, over the MAC before it, size, root, the number and the hashes of the entries that it
added, and the digest of the list that it completed (see `_heads.py`), if any. So a row vouches for its own entries and their
places by itself, and with the MAC before it for its own: nothing can be changed, dropped, added or moved by who lacks the key.
Signatures could do the same, at fifty times the cost.

A signature is for everybody; a MAC is for whoever has the key, which is whoever owns the ledger. What was taken away from the
end, whole commits of it, leaves no trace here: only a checkpoint that was kept elsewhere finds that.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from assent.journal.tree._heads import NO_DIGEST, HeadList, Heads
from assent.spec.values.merkle import Frontier

MAC_BYTES: Final = 32
NO_MAC: Final = bytes(MAC_BYTES)
"""What stands before the first commit."""

ADOPTED_ENTRIES: Final = 1_024
"""Entries of one commit where those of an older format are taken over."""

_PURPOSE: Final = b"assent/ledger-commits/v1\x00"


class Commit(NamedTuple):
    """How the tree stood after one transaction, and the MAC over that and what was added."""

    size: int
    root: bytes
    mac: bytes
    heads: bytes = NO_DIGEST
    """The digest of the list of newest entries that this commit completed; empty when it completed none."""


class CommitKey:
    """Makes and checks the MACs of one ledger."""

    __slots__ = ("_key",)

    def __init__(self, derive: Callable[[bytes], bytes], origin: str) -> None:
        """`derive`: that of the ledger's `Signer`."""
        self._key = derive(_PURPOSE + origin.encode())

    def mac(self, before: bytes, size: int, root: bytes, hashes: Sequence[bytes], heads: bytes) -> bytes:
        """The MAC of a commit that added the entries with these hashes, and came after the one whose MAC is `before`."""
        count = len(hashes)
        said = b"".join((before, size.to_bytes(8, "big"), root, count.to_bytes(8, "big"), *hashes, heads))
        return hmac.digest(self._key, said, "sha256")

    def covers(self, before: bytes, commit: Commit, hashes: Sequence[bytes]) -> bool:
        """Whether a commit is one that was made with this key, and added these entries."""
        # INVARIANT: each part has its one length. Otherwise the same bytes could be cut in other places: the hash of a run's last
        # entry would pass for a part of `heads`, and the entry could be left out.
        parts = (before, commit.root, commit.mac, *hashes, commit.heads or NO_MAC)
        return all(len(part) == MAC_BYTES for part in parts) and hmac.compare_digest(
            self.mac(before, commit.size, commit.root, hashes, commit.heads), commit.mac
        )

    def adopt(
        self, entries: Iterable[tuple[bytes, Sequence[str]]]
    ) -> tuple[Frontier, list[Commit], list[HeadList]]:
        """The tree of all entries of a ledger that has no commits yet, and what covers them, oldest first.

        `entries`: of each the hash, and the streams that it belongs to.
        """
        frontier, commits, lists = Frontier(), list[Commit](), list[HeadList]()
        heads, before, part, newest = Heads(), NO_MAC, list[bytes](), dict[str, int]()

        def cut() -> None:
            nonlocal before
            frontier.extend(part)
            size, root = frontier.size, frontier.root()
            completed = heads.completed(size, newest)
            digest = NO_DIGEST if completed is None else completed.digest
            before = self.mac(before, size, root, part, digest)
            commits.append(Commit(size, root, before, digest))
            heads.add(newest, completed)
            if completed is not None:
                lists.append(completed)
            part.clear()
            newest.clear()

        for seq, (digest, streams) in enumerate(entries):
            part.append(digest)
            newest.update(dict.fromkeys(streams, seq))
            if len(part) == ADOPTED_ENTRIES:
                cut()
        if part:
            cut()
        return frontier, commits, lists
