"""What of a workspace was indexed, as one hash: a Merkle tree (RFC 9162 §2.1) of chunks in each file, and of files.

A leaf says what it is a leaf of, so that none can be taken for another's. Files stand in the order of their paths' bytes; those
that were left out have a leaf as well, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

from assent.knowledge.chunks import LeftOut
from assent.spec.values.merkle import inclusion_proof, leaf_hash, tree_root, verify_inclusion

MANIFEST_VERSION: Final = 1
_ENCODER: Final = msgspec.json.Encoder()


class Cut(msgspec.Struct, frozen=True, array_like=True):
    """A chunk as the manifest knows it: SHA-256 of its text as it was kept, its lines, and what it defines."""

    digest: str
    line: int
    end_line: int
    symbol: str


class Listed(msgspec.Struct, frozen=True):
    """A file that is indexed. `digest`: SHA-256 of its bytes as they were read, before anything was cleaned out of them."""

    path: str
    digest: str
    language: str
    label: str
    chunks: tuple[Cut, ...]


Line: TypeAlias = Listed | LeftOut


def chunk_leaf(cut: Cut) -> bytes:
    """The hash of a chunk's leaf."""
    return leaf_hash(_ENCODER.encode(("chunk", MANIFEST_VERSION, *msgspec.structs.astuple(cut))))


def file_leaf(line: Line) -> bytes:
    """The hash of a file's leaf."""
    if isinstance(line, LeftOut):
        return leaf_hash(_ENCODER.encode(("left out", MANIFEST_VERSION, line.path, line.because)))
    leaves = [chunk_leaf(one) for one in line.chunks]
    return _listed_leaf(
        line.path, line.digest, line.language, line.label, chunks=len(leaves), root=tree_root(leaves)
    )


def _listed_leaf(path: str, digest: str, language: str, label: str, *, chunks: int, root: bytes) -> bytes:
    said = ("file", MANIFEST_VERSION, path, digest, language, label, chunks, root.hex())
    return leaf_hash(_ENCODER.encode(said))


def workspace_root(leaves: Iterable[tuple[str, bytes]]) -> bytes:
    """The root over files, each given by its path and its leaf's hash."""
    return root_of_files([leaf for _, leaf in _in_order(leaves)])


def root_of_files(leaves: Sequence[bytes]) -> bytes:
    """The root over the leaves' hashes of files, in the order of their paths."""
    return _bound(len(leaves), tree_root(leaves))


def _bound(files: int, tree: bytes) -> bytes:
    """With the number of files: without it one hash could stand for several neighbours."""
    return leaf_hash(_ENCODER.encode(("workspace", MANIFEST_VERSION, files, tree.hex())))


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shows that a chunk was indexed in a workspace: the chunk, its file, and the siblings (hex) on the way to the root."""

    chunk: Cut
    number: int
    """Of the chunk in its file, from 0."""
    chunks: int
    in_file: tuple[str, ...]
    chunks_root: str
    path: str
    digest: str
    language: str
    label: str
    file: int
    """Of the file in the workspace, from 0."""
    files: int
    in_workspace: tuple[str, ...]
    files_root: str
    root: str


def prove(listed: Listed, number: int, leaves: Iterable[tuple[str, bytes]]) -> Proof:
    """The proof of a file's chunk; `leaves`: all files of the workspace, as for `workspace_root`.

    `IndexError` where the file has no such chunk, `ValueError` where the workspace does not have the file as it is here.
    """
    of_files = _in_order(leaves)
    at = of_files.index((listed.path, file_leaf(listed)))
    hashes = [leaf for _, leaf in of_files]
    of_chunks = [chunk_leaf(one) for one in listed.chunks]
    in_file = inclusion_proof(of_chunks, number)
    return Proof(
        chunk=listed.chunks[number],
        number=number,
        chunks=len(of_chunks),
        in_file=_hex(in_file),
        chunks_root=tree_root(of_chunks).hex(),
        path=listed.path,
        digest=listed.digest,
        language=listed.language,
        label=listed.label,
        file=at,
        files=len(hashes),
        in_workspace=_hex(inclusion_proof(hashes, at)),
        files_root=tree_root(hashes).hex(),
        root=root_of_files(hashes).hex(),
    )


def verify(proof: Proof, root: str) -> bool:
    """Whether a proof shows that its chunk stands in the workspace with this root. It takes nothing but the two."""
    try:
        in_file, in_workspace = _bytes(proof.in_file), _bytes(proof.in_workspace)
        chunks_root, files_root = _bytes((proof.chunks_root, proof.files_root))
    except ValueError:
        return False
    leaf = _listed_leaf(
        proof.path, proof.digest, proof.language, proof.label, chunks=proof.chunks, root=chunks_root
    )
    return (
        proof.root == root == _bound(proof.files, files_root).hex()
        and verify_inclusion(
            index=proof.number,
            size=proof.chunks,
            leaf=chunk_leaf(proof.chunk),
            proof=in_file,
            root=chunks_root,
        )
        and verify_inclusion(
            index=proof.file, size=proof.files, leaf=leaf, proof=in_workspace, root=files_root
        )
    )


def _in_order(leaves: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return sorted(leaves, key=lambda one: one[0].encode())


def _hex(hashes: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(one.hex() for one in hashes)


def _bytes(hashes: Sequence[str]) -> list[bytes]:
    found = [bytes.fromhex(one) for one in hashes]
    if _hex(found) != (*hashes,):
        raise ValueError("a hash has one spelling")
    return found
