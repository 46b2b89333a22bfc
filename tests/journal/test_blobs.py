"""Pre-images are kept under what they are, and never handed out as anything else."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import WorldError
from assent.journal import BlobStore
from assent.journal._blobs import CHUNK_BYTES
from tests.support.properties import holds


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    store = BlobStore(tmp_path / "blobs")
    store.prepare()
    return store


def _path(tmp_path: Path, digest: str) -> Path:
    return tmp_path / "blobs" / digest[:2] / digest[2:]


@holds("pre_images")
@given(chunks=st.lists(st.binary(max_size=2_000), max_size=5))
def test_blob_is_read_back_by_its_digest(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]
) -> None:
    """Any bytes, in any pieces, come back as they were, under the SHA-256 of the whole."""
    store = BlobStore(tmp_path_factory.mktemp("any") / "blobs")
    store.prepare()
    content = b"".join(chunks)
    digest = store.put(chunks)
    assert digest == sha256(content).hexdigest()
    assert b"".join(store.read(digest)) == content


def test_large_blob_comes_in_pieces(blobs: BlobStore) -> None:
    """Nobody has to hold a large file in memory."""
    content = bytes(range(256)) * 4_096 * 3 + b"end"
    pieces = list(blobs.read(blobs.put([content])))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= CHUNK_BYTES
    assert len(pieces) == 4


def _files(tmp_path: Path) -> list[Path]:
    """All files but the mark of an owner that has not closed."""
    return [path for path in (tmp_path / "blobs").rglob("*") if path.is_file() and path.name != "open"]


def test_same_bytes_are_kept_once(blobs: BlobStore, tmp_path: Path) -> None:
    """Storing twice gives one address and one file, and leaves nothing else behind."""
    assert blobs.put([b"one"]) == blobs.put([b"o", b"ne"])
    assert len(_files(tmp_path)) == 1


@pytest.mark.parametrize("damaged", [b"", b"other", b"content and more", b"conten"])
def test_changed_blob_is_never_handed_out_whole(blobs: BlobStore, tmp_path: Path, damaged: bytes) -> None:
    """A blob whose bytes changed stops its reader before the last chunk."""
    digest = blobs.put([b"content"])
    _path(tmp_path, digest).write_bytes(damaged)
    handed_out: list[bytes] = []
    with pytest.raises(WorldError) as refused:
        handed_out.extend(blobs.read(digest))
    assert refused.value.code == "RECORD_CORRUPT"
    assert handed_out == []


def test_missing_blob_is_a_damaged_record(blobs: BlobStore) -> None:
    """What the record refers to and is not there, or is no address at all, is not silently nothing."""
    for digest in ("0" * 64, "../../etc/passwd", "AB" * 32, ""):
        with pytest.raises(WorldError) as refused:
            list(blobs.read(digest))
        assert refused.value.code == "RECORD_CORRUPT"


def test_damaged_blob_is_mended_by_storing_it_again(blobs: BlobStore, tmp_path: Path) -> None:
    """Storing the right bytes replaces wrong ones under their address."""
    digest = blobs.put([b"content"])
    _path(tmp_path, digest).write_bytes(b"wrong")
    assert blobs.put([b"content"]) == digest
    assert b"".join(blobs.read(digest)) == b"content"


def test_failing_source_leaves_nothing_behind(blobs: BlobStore, tmp_path: Path) -> None:
    """When the bytes can't be read to their end, no blob and no leftover stands there."""

    def broken() -> Iterator[bytes]:
        yield b"beginning"
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(WorldError) as refused:
        blobs.put(broken())
    assert refused.value.code == "DISK_FULL"
    assert _files(tmp_path) == []


def test_file_and_folder_are_synced_before_put_returns(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synced under its temporary name, then each folder that got a new entry."""
    synced: list[str] = []
    fsync = os.fsync

    def recorded(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    digest = blobs.put([b"content"])
    root = tmp_path / "blobs"
    assert synced[0].startswith(str(root / "tmp"))
    assert synced[1:] == [str(root), str(root / digest[:2])]


def test_leftovers_of_a_crash_are_removed_by_the_next_owner(blobs: BlobStore, tmp_path: Path) -> None:
    """A half-written blob does not stay for ever."""
    leftover = tmp_path / "blobs" / "tmp" / "1-1"
    leftover.write_bytes(b"half")
    kept = blobs.put([b"content"])
    BlobStore(tmp_path / "blobs").prepare()
    assert not leftover.exists()
    assert b"".join(blobs.read(kept)) == b"content"


def test_a_collection_whose_folder_is_gone_is_no_fault_of_ours(blobs: BlobStore, tmp_path: Path) -> None:
    """Somebody moved the state away while its owner was at work."""
    (tmp_path / "blobs").rename(tmp_path / "elsewhere")
    with pytest.raises(WorldError) as caught:
        blobs.collect(set())
    assert caught.value.code == "STORAGE_FAILED"


def test_collection_spares_what_is_used_or_just_put(blobs: BlobStore, tmp_path: Path) -> None:
    """A blob goes when nothing refers to it; one that was just put waits for its event, once per `put`."""
    used, fresh, twice = blobs.put([b"used"]), blobs.put([b"fresh"]), blobs.put([b"twice"])
    assert blobs.put([b"twice"]) == twice
    blobs.settle([used, twice])
    assert blobs.collect({used}) == 0
    blobs.settle([fresh, twice])
    assert blobs.collect({used}) == 2
    assert b"".join(blobs.read(used)) == b"used"
    assert not _path(tmp_path, fresh).exists()
    assert not _path(tmp_path, twice).exists()
