"""The root of a manifest is that of what was indexed, whatever the order; each chunk can be proved, and nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.knowledge.chunks import LeftOut
from assent.knowledge.manifest import (
    Cut,
    Line,
    Listed,
    Proof,
    chunk_leaf,
    file_leaf,
    prove,
    verify,
    workspace_root,
)
from assent.spec.values.merkle import leaf_hash, node_hash

LINES: list[Line] = [
    Listed("b.py", "22", "python", "internal", tuple(Cut(f"{n:02}", n, n, f"s{n}") for n in range(1, 6))),
    Listed("a.py", "11", "python", "", (Cut("aa", 1, 9, ""),)),
    LeftOut("c.png", "it is binary"),
    Listed("empty", "00", "text", "", ()),
]


def leaves() -> list[tuple[str, bytes]]:
    return [(one.path, file_leaf(one)) for one in LINES]


def proved(path: str, number: int) -> Proof:
    (listed,) = [one for one in LINES if isinstance(one, Listed) and one.path == path]
    return prove(listed, number, leaves())


def test_the_root_is_that_of_rfc_9162() -> None:
    """Leaves say what they are of; files stand in the order of their paths."""
    assert chunk_leaf(Cut("aa", 1, 9, "x")) == leaf_hash(b'["chunk",1,"aa",1,9,"x"]')
    one, two = (file_leaf(line) for line in (LINES[1], LINES[2]))
    chunk = chunk_leaf(Cut("aa", 1, 9, "")).hex()
    assert one == leaf_hash(b'["file",1,"a.py","11","python","",1,"%s"]' % chunk.encode())
    assert two == leaf_hash(b'["left out",1,"c.png","it is binary"]')
    both = node_hash(one, two).hex()
    assert workspace_root([("c.png", two), ("a.py", one)]) == leaf_hash(
        b'["workspace",1,2,"%s"]' % both.encode()
    )


def test_each_chunk_is_proved_and_no_other() -> None:
    root = workspace_root(leaves()).hex()
    for path, chunks in (("b.py", 5), ("a.py", 1)):
        for number in range(chunks):
            proof = proved(path, number)
            assert verify(proof, root)
            again = msgspec.json.decode(msgspec.json.encode(proof), type=Proof)
            assert verify(again, root)
            changes: list[dict[str, object]] = [
                {"chunk": Cut("ff", 1, 9, "")}, {"number": number + 1}, {"chunks": 9}, {"path": "x"}, {"digest": "x"},
                {"language": "x"}, {"label": "x"}, {"files_root": "00" * 32},
                {"file": proof.file - 1}, {"file": proof.file + 1}, {"file": proof.file + 2},
                {"files": proof.files - 1}, {"files": proof.files + 1}, {"files": proof.files + 4},
                {"root": "00" * 32}, {"chunks_root": "00" * 32},
                {"in_workspace": ()}, {"in_file": ("zz",)},
            ]  # fmt: skip
            for change in changes:
                assert not verify(msgspec.structs.replace(proof, **change), root), change
            assert not verify(proof, "00" * 32)


def test_what_is_not_there_has_no_proof() -> None:
    with pytest.raises(IndexError):
        proved("a.py", 1)
    with pytest.raises(ValueError, match=r"a\.py"):
        prove(Listed("a.py", "12", "python", "", (Cut("aa", 1, 9, ""),)), 0, leaves())


@given(st.permutations(LINES))
def test_the_same_files_make_the_same_root(lines: list[Line]) -> None:
    assert workspace_root((one.path, file_leaf(one)) for one in lines) == workspace_root(leaves())
