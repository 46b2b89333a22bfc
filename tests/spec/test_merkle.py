"""The Merkle tree: RFC 9162's roots and proofs, and no proof that does not prove."""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.spec.values.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    SIZE_MAX,
    Frontier,
    consistency_proof,
    inclusion_proof,
    is_subtree,
    leaf_hash,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
    verify_subtree_consistency,
    verify_subtree_inclusion,
)
from tests.support.properties import holds

sizes = st.integers(1, 300)


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(b"%d" % index) for index in range(size)]


def root_by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162 §2.1.1, word for word: an oracle written apart from the code."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + root_by_definition(leaves[:split]) + root_by_definition(leaves[split:])).digest()


@holds("merkle_tree")
@given(st.integers(0, 300))
def test_the_root_is_the_one_of_the_definition(size: int) -> None:
    assert tree_root(leaves_of(size)) == root_by_definition(leaves_of(size))


@holds("merkle_tree")
@given(st.lists(st.integers(0, 40), max_size=8))
def test_a_frontier_grown_in_any_batches_has_the_same_root(batches: list[int]) -> None:
    """One by one, in batches, after a copy or a round trip through bytes: the tree is the same."""
    leaves = leaves_of(sum(batches))
    pushed, extended = Frontier(), Frontier()
    at = 0
    for count in batches:
        for leaf in leaves[at : at + count]:
            pushed.push(leaf)
        before = extended.copy()
        extended.extend(leaves[at : at + count])
        assert (before.size, before.root()) == (at, tree_root(leaves[:at]))
        extended = Frontier.from_bytes(extended.to_bytes())
        at += count
    assert pushed.size == extended.size == len(leaves)
    assert pushed.root() == extended.root() == tree_root(leaves)
    assert pushed.to_bytes() == extended.to_bytes()


@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 7, b"\x00" * 7 + b"\x01", b"\x00" * 40, b"\x00" * 7 + b"\x03" + b"x" * 32]
)
def test_a_frontier_of_the_wrong_length_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="one hash per set bit"):
        Frontier.from_bytes(data)


@holds("inclusion")
@given(st.data())
def test_every_leaf_has_a_proof_and_it_proves_nothing_else(data: st.DataObject) -> None:
    """Another leaf, index, size, root, order or length of the proof is refused."""
    size = data.draw(sizes)
    index = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(size)
    root, proof = tree_root(leaves), inclusion_proof(leaves, index)
    leaf = leaves[index]
    assert verify_inclusion(index=index, size=size, leaf=leaf, proof=proof, root=root)
    other = data.draw(st.integers(0, size).filter(lambda other: other != index))
    assert not verify_inclusion(index=other, size=size, leaf=leaf, proof=proof, root=root)
    assert not verify_inclusion(index=index, size=size, leaf=leaf_hash(b"other"), proof=proof, root=root)
    assert not verify_inclusion(index=index, size=size, leaf=leaf, proof=proof, root=leaf_hash(b""))
    assert not verify_inclusion(index=index, size=size, leaf=leaf, proof=[*proof, root], root=root)
    if proof:
        assert not verify_inclusion(index=index, size=size, leaf=leaf, proof=proof[:-1], root=root)
        at = data.draw(st.integers(0, len(proof) - 1))
        flipped = [*proof]
        flipped[at] = bytes([flipped[at][0] ^ 1]) + flipped[at][1:]
        assert not verify_inclusion(index=index, size=size, leaf=leaf, proof=flipped, root=root)


@holds("consistency")
@given(st.data())
def test_every_earlier_tree_has_a_consistency_proof_and_a_rewritten_one_has_none(data: st.DataObject) -> None:
    """Whatever earlier leaf is changed, the proof of the changed tree does not lead from the old root."""
    size2 = data.draw(sizes)
    size1 = data.draw(st.integers(1, size2))
    leaves = leaves_of(size2)
    root1, root2 = tree_root(leaves[:size1]), tree_root(leaves)
    proof = consistency_proof(leaves, size1)
    assert verify_consistency(size1=size1, root1=root1, size2=size2, root2=root2, proof=proof)
    assert not verify_consistency(size1=size1, root1=root1, size2=size2, root2=root2, proof=[*proof, root1])
    rewritten = [*leaves]
    rewritten[data.draw(st.integers(0, size1 - 1))] = leaf_hash(b"changed")
    assert not verify_consistency(
        size1=size1,
        root1=root1,
        size2=size2,
        root2=tree_root(rewritten),
        proof=consistency_proof(rewritten, size1),
    )


def test_there_is_no_proof_for_what_does_not_exist() -> None:
    for index in (-1, 3):
        with pytest.raises(IndexError):
            inclusion_proof(leaves_of(3), index)
    for size in (0, 4):
        with pytest.raises(IndexError):
            consistency_proof(leaves_of(3), size)


def test_every_full_subtree_is_shown_to_be_one_of_its_tree() -> None:
    """Above its own levels, the way from its first leaf up to the root is its proof; no other subtree has the same."""
    for size in range(1, 42):
        leaves = leaves_of(size)
        root = tree_root(leaves)
        for level in range(size.bit_length()):
            width = 1 << level
            for start in range(0, size - width + 1, width):
                node = root_by_definition(leaves[start : start + width])
                proof = inclusion_proof(leaves, start)[level:]
                for at in {0, start - width, start, start + width, start + 2 * width}:
                    found = verify_subtree_consistency(
                        start=at, end=at + width, size=size, node=node, root=root, proof=proof
                    )
                    assert found == (at == start), (size, start, width, at)


def test_what_is_no_subtree_of_the_tree_has_no_proof() -> None:
    """Each of these is a true statement about other leaves, or other bytes, and must not pass for one about these."""
    leaves = leaves_of(4)
    a, b, c, d = leaves
    root, left, right = tree_root(leaves), tree_root([a, b]), tree_root([c, d])
    whole = bytes(HASH_BYTES)
    for _ in range(63):
        whole = node_hash(whole, a)
    cut = left + right  # of two nodes, the second in other bytes than a hash has
    for start, end, size, node, top, proof, is_so in (
        (0, 3, 4, tree_root([a, b, c]), root, [c, d, left], True),
        (1, 3, 4, tree_root([a, b, c]), root, [c, d, left], False),  # of leaves [0, 3)
        (0, 1, 4, a, root, [b, right], True),
        (0, 5, 4, a, root, [a, b, right], False),  # of a larger tree than this one
        (0, 1, SIZE_MAX + 1, bytes(HASH_BYTES), whole, [a] * 63, False),
        (2, 3, 3, c, tree_root([a, b, c]), [left], True),
        (0, 3, 3, tree_root([a, b, c]), tree_root([a, b, c]), [], True),
        (2, 2, 4, EMPTY_ROOT, root, [], True),
        (2, 2, 4, EMPTY_ROOT, root, [a], False),  # which nothing needs
        (2, 2, 4, a, root, [], False),
        (2, 4, 4, right, root, [left], True),
        (2, 4, 4, cut[31:], root, [cut[:31]], False),
    ):
        given: dict[str, Any] = {"start": start, "end": end, "size": size, "node": node, "root": top}
        assert verify_subtree_consistency(**given, proof=proof) == is_so, given


def test_a_subtree_begins_at_a_multiple_of_the_power_of_two_that_holds_it() -> None:
    assert [span for span in ((0, 6), (4, 7), (8, 13), (5, 6)) if not is_subtree(*span)] == []
    assert [span for span in ((1, 3), (2, 5), (2, 6), (3, 3), (4, 2), (0, 2**63)) if is_subtree(*span)] == []


@given(st.data())
def test_subtree_proofs_hold_for_every_subtree(data: st.DataObject) -> None:
    """A leaf's proof inside its subtree is that of a tree of the subtree's leaves."""
    width = data.draw(st.integers(1, 40))
    start = (1 << (width - 1).bit_length()) * data.draw(st.integers(0, 5))
    leaves = leaves_of(start + width)
    index = data.draw(st.integers(start, start + width - 1))
    inside = leaves[start:]
    proof = inclusion_proof(inside, index - start)
    assert verify_subtree_inclusion(
        index=index,
        start=start,
        end=start + width,
        leaf=leaves[index],
        proof=proof,
        root=root_by_definition(inside),
    )


def cases(samples: Path, name: str) -> list[dict[str, Any]]:
    path = samples / "ledger" / name
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def hashes(encoded: list[str] | None) -> list[bytes]:
    return [b64decode(value) for value in encoded or []]


def test_transparency_dev_inclusion_cases(samples: Path) -> None:
    found = cases(samples, "merkle/inclusion.jsonl")
    assert len(found) == 98
    for case in found:
        accepted = verify_inclusion(
            index=case["leafIdx"],
            size=case["treeSize"],
            leaf=b64decode(case["leafHash"] or ""),
            proof=hashes(case["proof"]),
            root=b64decode(case["root"] or ""),
        )
        assert accepted != case["wantErr"], case["file"]


def test_transparency_dev_subtree_inclusion_cases(samples: Path) -> None:
    found = cases(samples, "merkle/subtreeinclusion.jsonl")
    assert len(found) == 204
    for case in found:
        accepted = verify_subtree_inclusion(
            index=case["leafIdx"],
            start=case["start"],
            end=case["end"],
            leaf=b64decode(case["leafHash"] or ""),
            proof=hashes(case["proof"]),
            root=b64decode(case["root"] or ""),
        )
        assert accepted != case["wantErr"], case["file"]


def test_transparency_dev_consistency_cases(samples: Path) -> None:
    found = cases(samples, "merkle/consistency.jsonl")
    assert len(found) == 98
    for case in found:
        accepted = verify_consistency(
            size1=case["size1"],
            root1=b64decode(case["root1"] or ""),
            size2=case["size2"],
            root2=b64decode(case["root2"] or ""),
            proof=hashes(case["proof"]),
        )
        assert accepted != case["wantErr"], case["file"]


def test_transparency_dev_subtree_consistency_cases(samples: Path) -> None:
    found = cases(samples, "merkle/subtreeconsistency.jsonl")
    assert len(found) == 118
    for case in found:
        accepted = verify_subtree_consistency(
            start=case["start"],
            end=case["end"],
            size=case["size"],
            node=b64decode(case["root1"] or ""),
            root=b64decode(case["root2"] or ""),
            proof=hashes(case["proof"]),
        )
        assert accepted != case["wantErr"], case["file"]


def test_generated_tree(samples: Path) -> None:
    """Leaf hashes, roots of every size, and the proofs: verified, and made equal."""
    entries = cases(samples, "generated/tree/leaves.jsonl")
    leaves = [leaf_hash(b64decode(entry["entry_b64"])) for entry in entries]
    assert leaves == [b64decode(entry["leaf_hash"]) for entry in entries]
    for case in cases(samples, "generated/tree/roots.jsonl"):
        assert tree_root(leaves[: case["size"]]) == b64decode(case["root"]), case["size"]
    inclusions = cases(samples, "generated/tree/inclusion.jsonl")
    assert len(inclusions) == 327
    for case in inclusions:
        proof = hashes(case["proof"])
        accepted = verify_inclusion(
            index=case["index"],
            size=case["size"],
            leaf=b64decode(case["leaf_hash"]),
            proof=proof,
            root=b64decode(case["root"]),
        )
        assert accepted == case["valid"], case
        if case["valid"]:
            assert inclusion_proof(leaves[: case["size"]], case["index"]) == proof
    consistencies = cases(samples, "generated/tree/consistency.jsonl")
    assert len(consistencies) == 288
    for case in consistencies:
        proof = hashes(case["proof"])
        accepted = verify_consistency(
            size1=case["size1"],
            root1=b64decode(case["root1"]),
            size2=case["size2"],
            root2=b64decode(case["root2"]),
            proof=proof,
        )
        assert accepted == case["valid"], case
        if case["valid"]:
            assert consistency_proof(leaves[: case["size2"]], case["size1"]) == proof


def test_the_empty_root_is_the_hash_of_nothing() -> None:
    assert sha256().digest() == EMPTY_ROOT == Frontier().root()
