"""Chunks are found by the terms of a question, ranked over what its asker may see and nothing else."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from assent.knowledge.lexical import (
    Entry,
    Joined,
    Ranked,
    Seen,
    Segment,
    Terms,
    merged,
    parts_of,
    search,
    segment_of,
    terms_in,
)
from assent.knowledge.lexical.index import is_test

WORDS = ["alpha", "beta", "gamma", "getAlpha", "beta_gammas", "delta"]


def indexed(*entries: tuple[str, str, str]) -> Segment:
    return segment_of([Entry(text.encode(), symbol, path) for text, symbol, path in entries], Terms())


def found(segment: Segment, question: str, limit: int = 10) -> list[int]:
    return [one.chunk for one in search(Seen(segment), question, limit=limit)]


def in_parts(
    parts: list[Segment], question: str, limit: int, masks: list[NDArray[np.bool_]] | None = None
) -> list[Ranked]:
    mask = None if masks is None else np.concatenate(masks)
    return search(Seen(Joined(parts), mask), question, limit=limit)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("getHTTPResponses", "get http response"),
        ("snake_case2 __init__", "snake case 2 init"),
        ("policies class status basis caches", "policy class status basis cache"),
        ("Größe ÄRGER_naïve", "grösse ärger naïve"),
        ("a.b->c(D)", "a b c d"),
        ("", ""),
    ],
)
def test_words_are_taken_apart(text: str, terms: str) -> None:
    assert [term.decode() for term in terms_in(text.encode())] == terms.split()


@given(st.lists(st.lists(st.lists(st.sampled_from(WORDS), max_size=6), max_size=4), min_size=1, max_size=4))
def test_merged_segments_are_as_if_all_had_been_indexed_at_once(files: list[list[list[str]]]) -> None:
    every = [[(" ".join(words), "", str(at)) for words in chunks] for at, chunks in enumerate(files)]
    one, other = (
        merged([indexed(*each) for each in every]),
        indexed(*(entry for each in every for entry in each)),
    )
    assert parts_of(one) == parts_of(other)


def test_numbers_are_given_anew_when_too_many_words_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.knowledge.lexical.terms._WORDS_MAX", 3)
    terms = Terms()
    first = segment_of([Entry(b"one two three four", "", "a")], terms)
    again = segment_of([Entry(b"four", "", "a")], terms)
    assert len(first.terms) == 5
    assert len(again.terms) == 2
    assert [one.chunk for one in in_parts([first, again], "four", 2)] == [1, 0]


def test_what_has_more_of_the_question_comes_first() -> None:
    segment = indexed(
        ("nothing of it", "", "a.py"),
        ("alpha and much else that is not asked for", "", "b.py"),
        ("alpha beta", "", "c.py"),
        ("other words", "alpha_beta", "d.py"),
    )
    assert found(segment, "alpha beta") == [3, 2, 1]
    assert found(segment, "alpha beta", limit=1) == [3]
    assert found(segment, "unheard") == []
    assert in_parts([], "alpha", 1) == []
    assert found(indexed(), "alpha") == []


def test_a_test_counts_for_less_and_a_file_with_more_of_it_for_more() -> None:
    tried = indexed(("alpha", "", "tests/a.py"), ("alpha", "", "src/b.py"))
    assert found(tried, "alpha") == [1, 0]
    whole = indexed(("alpha", "", "x.py"), ("alpha", "", "y.py"), ("alpha", "", "y.py"))
    assert found(whole, "alpha") == [1, 2, 0]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/a.py", True),
        ("src/a_test.go", True),
        ("src/a.spec.ts", True),
        ("src/a.test.tsx", True),
        ("t/unit/a.py", True),
        ("src/test_a.py", True),
        ("src/attest.py", False),
        ("contest/a.py", False),
        ("tests", False),
    ],
)
def test_tests_are_known_by_their_names(path: str, *, expected: bool) -> None:
    assert is_test(path) is expected


def test_many_that_fit_are_told_up_to_the_limit() -> None:
    segment = indexed(*((f"alpha {'beta ' * (one % 7)}", "", f"{one}.py") for one in range(1_000)))
    best = search(Seen(segment), "alpha beta", limit=50)
    assert len(best) == 50
    assert [one.score for one in best] == sorted((one.score for one in best), reverse=True)
    assert all(best[0].score >= one.score for one in best)


TEXT = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
ENTRY = st.tuples(
    TEXT, st.sampled_from(["", "Alpha.beta"]), st.sampled_from(["a.py", "tests/b.py", "c/beta.go"])
)


@given(st.lists(st.tuples(ENTRY, st.booleans()), max_size=30), TEXT, st.integers(0, 30))
def test_what_is_hidden_has_no_part_in_anything(
    entries: list[tuple[tuple[str, str, str], bool]], question: str, cut: int
) -> None:
    """Neither in what is found, nor in its order, nor in a score: they are those of an index that never had it."""
    whole = [indexed(*(one for one, _ in part)) for part in (entries[:cut], entries[cut:])]
    masks = [np.array([is_seen for _, is_seen in part], np.bool_) for part in (entries[:cut], entries[cut:])]
    seen = [indexed(*(one for one, is_seen in part if is_seen)) for part in (entries[:cut], entries[cut:])]
    numbers = np.flatnonzero(np.concatenate(masks))
    expected = [one._replace(chunk=int(numbers[one.chunk])) for one in in_parts(seen, question, 30)]
    assert in_parts(whole, question, 30, masks) == expected


@given(st.lists(ENTRY, max_size=20), TEXT, st.integers(0, 20))
def test_segments_are_one_index(entries: list[tuple[str, str, str]], question: str, cut: int) -> None:
    parts = [indexed(*entries[:cut]), indexed(*entries[cut:])]
    assert in_parts(parts, question, 20) == search(Seen(indexed(*entries)), question, limit=20)


SEARCH = "assent.knowledge.lexical.search"


def test_what_was_counted_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module(SEARCH), "_OFTEN_MAX", 2)
    segment = indexed(("alpha", "", "a.py"), ("alpha beta", "", "b.py"), ("gamma", "", "c.py"))
    mask = np.array([True, False, True])
    seen = Seen(segment, mask)
    for question in ("alpha", "alpha beta gamma", "gamma"):
        assert search(seen, question, limit=3) == search(Seen(segment, mask), question, limit=3)


@given(
    st.lists(
        st.tuples(TEXT, st.sampled_from(["a.py", "tests/b.py"]), st.booleans()), min_size=30, max_size=60
    ),
    TEXT,
    st.integers(0, 60),
    st.sampled_from([0, 1, 4]),
)
def test_the_best_are_found_without_looking_at_all(
    entries: list[tuple[str, str, bool]], question: str, cut: int, few: int
) -> None:
    parts = [entries[:cut], entries[cut:]]
    segments = [indexed(*((text, "", path) for text, path, _ in part)) for part in parts]
    masks = [np.array([is_seen for _, _, is_seen in part], np.bool_) for part in parts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module(SEARCH), "CANDIDATES", 3)
        patch.setattr(import_module(SEARCH), "_BLOCK", 8)
        patch.setattr(import_module(SEARCH), "_LOOK", 0)
        expected = in_parts(segments, question, 3, masks)
        patch.setattr(import_module(SEARCH), "_LOOK", 9)
        patch.setattr(import_module(SEARCH), "_FEW", few)
        assert in_parts(segments, question, 3, masks) == expected
