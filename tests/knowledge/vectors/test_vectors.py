"""Chunks are found by their vectors' bits and bytes, the same on every machine, among what may be seen and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from assent.errors import InputError
from assent.knowledge.vectors import (
    Segment,
    codes_of,
    cosines,
    joined,
    nearest,
    parts_of,
    products,
    quantised,
    search,
    segment_of,
    stored,
    without,
)

Floats = NDArray[np.float32]


def drawn(count: int, size: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


def indexed(vectors: Floats, chunks: list[int] | None = None, model: str = "m") -> Segment:
    numbers = range(len(vectors)) if chunks is None else chunks
    return segment_of(model, vectors, np.array(numbers, np.uint32))


def cosine(one: Floats, other: Floats) -> Floats:
    found: Floats = one @ other / (np.linalg.norm(one, axis=-1) * np.linalg.norm(other))
    return found


@pytest.mark.parametrize("size", [1, 63, 64, 65, 100, 384, 1024])
def test_the_nearest_are_found(size: int) -> None:
    vectors, question = drawn(300, size), drawn(1, size, seed=1)[0]
    found = search([indexed(vectors)], question, model="m", limit=5)
    exact = cosine(vectors, question)
    assert [one.score for one in found] == pytest.approx([exact[one.chunk] for one in found], abs=0.02)
    assert found[0].score == pytest.approx(exact.max(), abs=0.02)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_bits_are_the_same_on_every_machine() -> None:
    """They are a format: what is on a disk must be comparable with what a later release makes."""
    rows = (np.arange(5 * 384).reshape(5, 384) * 7_919 % 255 - 127).astype(np.int8)
    codes = codes_of(rows)
    assert codes.shape == (6, 5)
    assert (
        sha256(codes.astype("<u8").tobytes()).hexdigest()
        == "80799d3c42f7faae4dff4d2c2ab6c2721a7783faca0b0c368e065ee2c69599d0"
    )


def test_bits_are_compared_with_bytes() -> None:
    """More is nearer, and a vector is nearest to itself; that it says more than bits alone is why few bytes are read."""
    vectors = drawn(2_000, 384) + drawn(1, 384, seed=1)
    rows = quantised(vectors)
    codes, exact = codes_of(rows), cosine(vectors, vectors[7])
    told = products(codes, rows[7])
    alike = -np.bitwise_count(codes ^ codes[:, 7:8]).sum(axis=0).astype(np.float64)
    assert told.argmax() == 7
    assert (told == products(codes[:, ::-1], rows[7])[::-1]).all()
    others = np.arange(2_000) != 7
    by_bytes, by_bits = (np.corrcoef(one[others], exact[others])[0, 1] for one in (told, alike))
    assert by_bytes > by_bits > 0.5


def test_a_rotation_keeps_angles() -> None:
    """Of two vectors at 60 degrees a third of the bits differ."""
    one, other = drawn(400, 384), drawn(400, 384, seed=1)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    other -= (one * other).sum(axis=1, keepdims=True) * one
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    at_60 = one * 0.5 + other * np.float32(np.sqrt(0.75))
    differ = np.bitwise_count(codes_of(quantised(one)) ^ codes_of(quantised(at_60))).sum(axis=0)
    assert differ.mean() == pytest.approx(384 / 3, abs=3)
    sparse = np.eye(384, dtype=np.float32)
    apart = np.bitwise_count(codes_of(quantised(sparse))[:, 1:] ^ codes_of(quantised(sparse))[:, :1]).sum(
        axis=0
    )
    assert apart.mean() == pytest.approx(192, abs=8)


@given(st.integers(1, 130), st.integers(0, 40), st.integers(0, 1_000))
def test_a_vector_has_its_bits_in_whatever_company(size: int, count: int, seed: int) -> None:
    rows = quantised(drawn(count + 1, size, seed))
    assert (codes_of(rows)[:, :1] == codes_of(rows[:1])).all()


def test_blocks_are_rotated_as_one() -> None:
    rows = quantised(drawn(1_030, 20))
    assert (codes_of(rows)[:, 1_000:] == codes_of(rows[1_000:])).all()


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((2, 0), np.float32),
        np.zeros(3, np.float32),
        np.zeros((1, 4_097), np.float32),
        np.array([[1, 2], [0, 0]], np.float32),
        np.array([[1, 2], [np.nan, 1]], np.float32),
        np.array([[1, 2], [np.inf, 1]], np.float32),
    ],
)
def test_what_is_no_vector_is_refused(vectors: Floats) -> None:
    with pytest.raises(InputError) as refused:
        quantised(vectors)
    assert refused.value.code == "KNOWLEDGE_VECTOR_INVALID"


@pytest.mark.parametrize("chunks", [[0], [0, 1, 2], [1, 0], [1, 1]])
def test_there_is_a_vector_for_each_chunk(chunks: list[int]) -> None:
    with pytest.raises(InputError) as refused:
        indexed(drawn(2, 8), chunks)
    assert refused.value.code == "KNOWLEDGE_VECTOR_INVALID"


def test_models_are_not_mixed() -> None:
    segment = indexed(drawn(2, 8))
    for vector, model, code in [
        (drawn(1, 8)[0], "other", "KNOWLEDGE_MODEL_DIFFERS"),
        (drawn(1, 9)[0], "m", "KNOWLEDGE_VECTOR_INVALID"),
    ]:
        with pytest.raises(InputError) as refused:
            search([segment], vector, model=model, limit=1)
        assert refused.value.code == code
        with pytest.raises(InputError):
            cosines(segment, vector, np.array([0], np.uint32), model=model)


def test_only_bytes_of_candidates_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "CANDIDATES", 32)
    monkeypatch.setattr(nearest, "READ", 8)
    monkeypatch.setattr(nearest, "_BLOCK", 64)
    vectors = drawn(1_000, 64)
    rows = quantised(vectors)
    read: list[int] = []

    def of_disk(numbers: NDArray[np.int64]) -> NDArray[np.int8]:
        read.extend(numbers.tolist())
        return rows[numbers]

    segment = indexed(vectors)._replace(rows=of_disk)
    found = search([segment], vectors[700], model="m", limit=2)
    assert found[0].chunk == 700
    assert found[0].score == pytest.approx(1)
    assert len(read) == 8
    assert read == sorted(set(read))
    assert len(search([segment], vectors[700], model="m", limit=9)) == 9


def test_of_equals_the_first_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "CANDIDATES", 32)
    monkeypatch.setattr(nearest, "READ", 8)
    monkeypatch.setattr(nearest, "_BLOCK", 4)
    segments = [indexed(np.ones((10, 8), np.float32)), indexed(np.ones((3, 8), np.float32))]
    found = search(segments, np.ones(8, np.float32), model="m", limit=2)
    assert [(one.segment, one.chunk) for one in found] == [(0, 0), (0, 1)]
    assert search([], np.ones(8, np.float32), model="m", limit=2) == []


def test_cosines_of_some_chunks() -> None:
    vectors = drawn(3, 64)
    segment = indexed(vectors, [2, 5, 6])
    found = cosines(segment, vectors[1], np.array([9, 5, 0, 2], np.uint32), model="m")
    assert found[0] is None
    assert found[2] is None
    assert found[1] == pytest.approx(1)
    assert found[3] == pytest.approx(float(cosine(vectors[0], vectors[1])), abs=0.02)


@given(
    st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 60), st.integers(0, 99), st.booleans()
)
def test_what_is_hidden_has_no_part_in_anything(
    seen: list[bool], cut: int, seed: int, has_gaps: bool
) -> None:
    """Neither in what is found, nor in its order, nor in a score: they are those of an index that never had it."""
    vectors = drawn(len(seen), 70, seed)
    numbers = np.arange(len(seen)) * (2 if has_gaps else 1)
    parts = [slice(0, cut), slice(cut, None)]
    masks = []
    for part in parts:
        mask = np.zeros(2 * len(seen), np.bool_)
        mask[numbers[part][np.array(seen[part], np.bool_)]] = True
        masks.append(mask)
    question = drawn(1, 70, seed + 1)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "CANDIDATES", 5)
        patch.setattr(nearest, "READ", 3)
        patch.setattr(nearest, "_BLOCK", 4)
        whole = [indexed(vectors[part], numbers[part].tolist()) for part in parts]
        found = search(whole, question, model="m", limit=2, visible=masks)
        kept = [np.array(seen[part], np.bool_) for part in parts]
        others = [
            indexed(vectors[part][mask], numbers[part][mask].tolist())
            for part, mask in zip(parts, kept, strict=True)
        ]
        assert found == search(others, question, model="m", limit=2)


@pytest.mark.parametrize(
    "pieces",
    [
        [[0, 1, 2, 3, 4, 5, 6]],
        [[0, 1], [2, 3, 4], [5, 6]],
        [[3, 4], [5, 6], [0, 1, 2]],
        [[0, 2, 6], [1, 2, 3], [4, 5]],
    ],
)
def test_pieces_are_searched_as_one(pieces: list[list[int]]) -> None:
    vectors, question = drawn(7, 70), drawn(1, 70, 1)[0]
    whole = indexed(vectors, [1, 2, 4, 5, 8, 9, 12])
    one = joined([indexed(vectors[each], whole.chunks[each].tolist()) for each in pieces])
    assert one.chunks.tolist() == whole.chunks.tolist()
    assert one.codes.flags.c_contiguous
    assert np.array_equal(one.codes, whole.codes)
    for numbers in ([], [6], [5, 0, 2, 6]):
        assert np.array_equal(one.rows(np.array(numbers, np.int64)), whole.rows(np.array(numbers, np.int64)))
    assert search([one], question, model="m", limit=7) == search([whole], question, model="m", limit=7)


class Bytes:
    """Parts in memory."""

    def __init__(self, parts: Mapping[str, bytes]) -> None:
        self._parts = parts

    def read(self, part: str, begin: int = 0, end: int | None = None) -> bytes:
        return self._parts[part][begin:end]

    def ranges(self, asked: Sequence[tuple[str, int, int]]) -> list[bytes]:
        return [self._parts[part][begin:end] for part, begin, end in asked]


def test_a_stored_segment_is_the_same_and_of_its_model_alone() -> None:
    vectors = drawn(4, 70)
    segment = indexed(vectors, [0, 2, 3, 6])
    parts = Bytes(parts_of(segment, np.array([3, 1, 3])))
    again = stored(parts, "m")
    assert again is not None
    question = drawn(1, 70, 1)[0]
    assert search([again], question, model="m", limit=4) == search([segment], question, model="m", limit=4)
    assert stored(parts, "other") is None


def test_vectors_go_with_their_files() -> None:
    """What stays is counted as the segment of words counts it from then on."""
    vectors = drawn(4, 70)
    parts = Bytes(parts_of(indexed(vectors, [0, 2, 3, 6]), np.array([3, 1, 3])))
    left = without(parts, np.array([True, False, True]))
    assert left is not None
    again = stored(Bytes(left), "m")
    assert again is not None
    question = drawn(1, 70, 1)[0]
    kept = indexed(vectors[[0, 1, 3]], [0, 2, 5])
    assert search([again], question, model="m", limit=4) == search([kept], question, model="m", limit=4)
    assert without(parts, np.array([False, False, False])) is None
    assert without(Bytes(left), np.array([True, False])) is not None
