"""What shows, before a checkpoint covers them, that entries are those that the ledger's keeper wrote: a MAC for each commit.

Theory of operation. Each transaction that adds entries leaves a row: the tree's size and root after it, and HMAC-SHA256, under a
key that is derived from the signing key, over the MAC before it, size, root, and the hashes of the entries that it added. So a
row vouches for its own entries by itself, and with the MAC before it for its place: nothing can be changed, dropped from between,
added or put in another order by whoever lacks the key. Signatures could do the same, at fifty times the cost.

A signature is for everybody; a MAC is for whoever has the key, which is whoever owns the ledger. What was taken away from the
end, whole commits of it, leaves no trace here: only a checkpoint that was kept elsewhere finds that.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from assent.journal._merkle import Frontier

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


class CommitKey:
    """Makes and checks the MACs of one ledger."""

    __slots__ = ("_key",)

    def __init__(self, derive: Callable[[bytes], bytes], origin: str) -> None:
        """`derive`: that of the ledger's `Signer`."""
        self._key = derive(_PURPOSE + origin.encode())

    def mac(self, before: bytes, size: int, root: bytes, hashes: Iterable[bytes]) -> bytes:
        """The MAC of a commit that added the entries with these hashes, and came after the one whose MAC is `before`."""
        said = b"".join((before, size.to_bytes(8, "big"), root, *hashes))
        return hmac.digest(self._key, said, "sha256")

    def covers(self, before: bytes, commit: Commit, hashes: Sequence[bytes]) -> bool:
        """Whether a commit is one that was made with this key, and added these entries."""
        return hmac.compare_digest(self.mac(before, commit.size, commit.root, hashes), commit.mac)

    def adopt(self, hashes: Iterable[bytes]) -> tuple[Frontier, list[Commit]]:
        """The tree of all entries of a ledger that has no commits yet, and commits that cover them, oldest first."""
        frontier, commits, before, part = Frontier(), list[Commit](), NO_MAC, list[bytes]()

        def cut() -> None:
            nonlocal before
            frontier.extend(part)
            root = frontier.root()
            before = self.mac(before, frontier.size, root, part)
            commits.append(Commit(frontier.size, root, before))
            part.clear()

        for digest in hashes:
            part.append(digest)
            if len(part) == ADOPTED_ENTRIES:
                cut()
        if part:
            cut()
        return frontier, commits
