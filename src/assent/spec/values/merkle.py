"""The Merkle tree of the ledger: RFC 9162 §2.1, with the subtree proofs of draft-ietf-plants-merkle-tree-certs §4.

Every function here is pure. Hashes are 32 bytes; leaves are given as leaf hashes, oldest first. The tree of *n* leaves splits
at the largest power of two below *n*, so a full subtree never changes once it is full: that is what makes a `Frontier` of at
most 64 hashes enough to go on appending, and proofs short.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
"""The root of a tree without leaves."""

SIZE_MAX: Final = 2**63 - 1
"""Leaves of the largest tree that proofs are checked for."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf's bytes. Leaves and nodes are told apart by their first byte (RFC 9162 §2.1.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A growing tree, remembered by the roots of its largest full subtrees: append in O(1) amortised, root in O(log n)."""

    __slots__ = ("_peaks", "_size")

    def __init__(self) -> None:
        # One peak per set bit of `_size`, the largest subtree first; the last one covers the newest leaves.
        self._peaks: list[bytes] = []
        self._size = 0

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return self._size

    def push(self, leaf: bytes) -> None:
        """Append one leaf hash."""
        peaks, size, node = self._peaks, self._size, leaf
        while size & 1:  # The newest full subtree has the same height as `node`: they become one.
            node = sha256(b"\x01" + peaks.pop() + node).digest()
            size >>= 1
        peaks.append(node)
        self._size += 1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Append many leaf hashes; the same as pushing each, at about two thirds of the cost."""
        peaks, size = self._peaks, self._size
        level = list(leaves)
        grown: list[bytes] = []  # New peaks, the smallest first.
        while level:
            if size & 1:  # A peak of this height waits for its right sibling.
                level.insert(0, peaks.pop())
            if len(level) & 1:
                grown.append(level.pop())
            pairs = iter(level)
            level = [
                sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)
            ]
            size >>= 1
        peaks.extend(reversed(grown))
        self._size += len(leaves)

    def root(self) -> bytes:
        """The root of the whole tree, 32 bytes."""
        if not self._peaks:
            return EMPTY_ROOT
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = node_hash(peak, node)
        return node

    def copy(self) -> Frontier:
        """An independent tree of the same leaves: growing one does not change the other."""
        other = Frontier()
        other._peaks, other._size = self._peaks.copy(), self._size
        return other

    def to_bytes(self) -> bytes:
        """The size as 8 bytes, big-endian, and the peaks, the largest first."""
        return self._size.to_bytes(8, "big") + b"".join(self._peaks)

    @classmethod
    def from_bytes(cls, data: bytes) -> Frontier:
        """The tree that `to_bytes` described; `ValueError` when the length does not fit the size."""
        size = int.from_bytes(data[:8], "big")
        if len(data) != 8 + HASH_BYTES * size.bit_count():
            message = "a frontier holds its size and one hash per set bit of it"
            raise ValueError(message)
        frontier = cls()
        frontier._peaks = [data[at : at + HASH_BYTES] for at in range(8, len(data), HASH_BYTES)]
        frontier._size = size
        return frontier


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The root of a tree, MTH(D[n]) of RFC 9162 §2.1.1; `EMPTY_ROOT` without leaves."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        # Pairing level by level gives the same tree as splitting at powers of two: an odd node rises unchanged.
        odd = level.pop() if len(level) & 1 else None
        pairs = iter(level)
        level = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
        if odd is not None:
            level.append(odd)
    return level[0]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings on the way from leaf `index` up to the root, PATH(m, D[n]) of RFC 9162 §2.1.3.1.

    `IndexError` when there is no such leaf. Costs one pass over all leaves.
    """
    if not 0 <= index < len(leaves):
        message = f"no leaf {index} in a tree of {len(leaves)}"
        raise IndexError(message)
    path: list[bytes] = []
    level, at = list(leaves), index
    while len(level) > 1:
        sibling = at ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        odd = level.pop() if len(level) & 1 else None
        pairs = iter(level)
        level = [node_hash(left, right) for left, right in zip(pairs, pairs, strict=True)]
        if odd is not None:
            level.append(odd)
        at >>= 1
    return path


def consistency_proof(leaves: Sequence[bytes], size: int) -> list[bytes]:
    """What shows that the first `size` leaves were not changed since, PROOF(m, D[n]) of RFC 9162 §2.1.4.1.

    Empty for equal sizes. `IndexError` unless 0 < `size` <= the number of leaves: an empty tree needs no proof.
    """
    if not 0 < size <= len(leaves):
        message = f"no tree of {size} leaves precedes one of {len(leaves)}"
        raise IndexError(message)
    proof: list[bytes] = []
    start, end, known = 0, len(leaves), True  # `known`: the verifier holds the root of leaves[start:size].
    while size != end:
        split = start + _split(end - start)
        if size <= split:
            proof.append(tree_root(leaves[split:end]))
            end = split
        else:
            proof.append(tree_root(leaves[start:split]))
            start, known = split, False
    if not known:
        proof.append(tree_root(leaves[start:end]))
    proof.reverse()
    return proof


def verify_inclusion(*, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that `leaf` (a leaf hash) stands at `index` in the tree with this size and root (§2.1.3.2)."""
    return verify_subtree_inclusion(index=index, start=0, end=size, leaf=leaf, proof=proof, root=root)


def verify_subtree_inclusion(
    *, index: int, start: int, end: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether `proof` shows that `leaf` stands at `index` in the subtree of leaves [start, end) with this root."""
    if not is_subtree(start, end) or not start <= index < end or not _are_hashes(leaf, *proof):
        return False
    at, last, node = index - start, end - start - 1, leaf
    for sibling in proof:
        if last == 0:
            return False  # The proof is longer than the path.
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1:  # `at` is the odd node at the right border: it rose without a sibling.
                at >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        at >>= 1
        last >>= 1
    return last == 0 and node == root


def verify_consistency(*, size1: int, root1: bytes, size2: int, root2: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree of `size1` is a prefix of the tree of `size2` (RFC 9162 §2.1.4.2).

    Never true for `size1` = 0: everything extends the empty tree, so such a proof shows nothing.
    """
    if size1 == 0:
        return False
    return verify_subtree_consistency(start=0, end=size1, size=size2, node=root1, root=root2, proof=proof)


def verify_subtree_consistency(
    *, start: int, end: int, size: int, node: bytes, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether `proof` shows that leaves [start, end) with root `node` are a subtree of the tree of `size` with this root.

    An empty subtree (`start` = `end`) needs no proof and says nothing about `root`: true for `EMPTY_ROOT` alone.
    """
    if start == end and 0 <= start <= size:
        return node == EMPTY_ROOT and not proof
    if not is_subtree(start, end) or not end <= size <= SIZE_MAX or not _are_hashes(*proof):
        return False
    first, last, top = start, end - 1, size - 1
    # The levels that need no hash: `node` itself covers them, or the part of it left of the border does.
    if last == top:
        while first != last:
            first, last, top = first >> 1, last >> 1, top >> 1
    else:
        while first != last and last & 1:
            first, last, top = first >> 1, last >> 1, top >> 1
    rest = proof
    if first == last:
        small = large = node
    elif not proof:
        return False
    else:
        small = large = proof[0]
        rest = proof[1:]
    for sibling in rest:
        if top == 0:
            return False
        if last & 1 or last == top:
            if first < last:
                small = node_hash(sibling, small)
            large = node_hash(sibling, large)
            while not last & 1:
                first, last, top = first >> 1, last >> 1, top >> 1
        else:
            large = node_hash(large, sibling)
        first, last, top = first >> 1, last >> 1, top >> 1
    return top == 0 and small == node and large == root


def is_subtree(start: int, end: int) -> bool:
    """Whether leaves [start, end) can be one subtree: `start` is a multiple of the power of two that holds them all."""
    if not 0 <= start < end <= SIZE_MAX:
        return False
    return start % (1 << (end - start - 1).bit_length()) == 0


def _split(count: int) -> int:
    """The largest power of two below `count` (which is at least 2)."""
    return 1 << ((count - 1).bit_length() - 1)


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
