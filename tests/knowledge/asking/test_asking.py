"""A question is answered with what its asker may see, by words and by meaning, and with why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.knowledge import lexical, vectors
from assent.knowledge.asking import Meaning, Part, Told, View, Where, Why

SIZE = 16


class Row(NamedTuple):
    """A chunk, made up: its vector points to `near` between the question's (1) and away from it (0)."""

    path: str
    text: str
    near: float | None = None
    is_seen: bool = True
    line: int = 1
    end_line: int = 1


def vector_of(near: float) -> list[float]:
    return [near, 1 - near, *([0.0] * (SIZE - 2))]


MEANING = Meaning("m", np.array(vector_of(1), np.float32))


def part_of(rows: Sequence[Row], repository: str = "", *, hides: bool = True) -> Part:
    words = lexical.segment_of(
        [lexical.Entry(one.text.encode(), "", one.path) for one in rows], lexical.Terms()
    )
    has = [number for number, one in enumerate(rows) if one.near is not None]
    near = np.array([vector_of(one.near) for one in rows if one.near is not None], np.float32)
    return Part(
        words,
        repository,
        tuple("python" if path.endswith(".py") else "text" for path in words.paths),
        np.arange(len(words.paths)) * 1_000,
        (vectors.segment_of("m", near.reshape(len(has), SIZE), np.array(has, np.uint32)),) if has else (),
        np.array([one.is_seen for one in rows], np.bool_) if hides else None,
    )


def view_of(*parts: Sequence[Row], hides: bool = True, repositories: Sequence[str] = ()) -> View:
    names = repositories or [""] * len(parts)

    def read(part: int, chunk: int) -> Told:
        row = parts[part][chunk]
        assert row.is_seen, "what is hidden is not read"
        return Told(row.line, row.end_line, "symbol", "python", row.text, "public")

    made = [part_of(rows, name, hides=hides) for rows, name in zip(parts, names, strict=True)]
    return View(made, read)


def paths(
    view: View, question: str = "alpha", *, meaning: Meaning | None = None, where: Where | None = None
) -> list[str]:
    return [one.path for one in view.ask(question, limit=10, meaning=meaning, where=where)]


ROWS = [
    Row("a.py", "alpha beta", 0.1),
    Row("b.py", "alpha and some more that nobody asks for", 0.95),
    Row("c.md", "gamma", 0.9),
    Row("d.py", "delta", 0.0),
]


def test_an_answer_says_where_it_stands_and_why() -> None:
    found = view_of(ROWS).ask("What of Alpha, Beta?", limit=2, meaning=MEANING)[1:]
    assert msgspec.to_builtins(found) == [
        {
            "path": "a.py",
            "start_line": 1,
            "end_line": 1,
            "symbol": "symbol",
            "language": "python",
            "text": "alpha beta",
            "score": pytest.approx(1 / 11 + 1 / 13),
            "why": {
                "terms": ["alpha", "beta"],
                "words_rank": 1,
                "words_score": pytest.approx(found[0].why.words_score),
                "meaning_rank": 3,
                "cosine": pytest.approx(0.11, abs=0.01),
            },
            "label": "public",
            "marks": (),
            "chunk": "a.py::0",
        }
    ]


def test_words_alone_keep_their_order() -> None:
    found = view_of(ROWS, hides=False).ask("alpha", limit=9)
    assert [(one.path, one.score) for one in found] == [("a.py", 2 / 11), ("b.py", 2 / 12)]
    assert found[0].why.meaning_rank is None
    assert found[0].why.cosine is None


def test_ranks_by_words_and_by_meaning_are_fused() -> None:
    """`c.md` and `d.py` have none of the terms; `b.py` is second by words and first by meaning."""
    found = view_of(ROWS).ask("alpha", limit=9, meaning=MEANING)
    assert [one.path for one in found] == ["b.py", "a.py", "c.md", "d.py"]
    assert found[0].score == pytest.approx(1 / 12 + 1 / 11)
    assert found[2].why == Why([], None, None, 2, found[2].why.cosine)


def test_equals_are_ordered_by_words_then_by_place() -> None:
    rows = [Row("a.py", "alpha beta gamma", 0.9), Row("b.py", "alpha", 0.2)]
    assert paths(view_of(rows), meaning=MEANING) == ["b.py", "a.py"]
    assert [one.score for one in view_of(rows).ask("alpha", limit=2, meaning=MEANING)] == [
        1 / 11 + 1 / 12
    ] * 2


def test_until_all_have_a_vector_meaning_orders_what_words_found() -> None:
    """`b` and `d` change places by meaning; `a` and `c`, which have no vector yet, keep theirs; `e` has no term."""
    rows = [
        Row("a.py", "alpha"),
        Row("b.py", "alpha x", 0.1),
        Row("c.py", "alpha x x"),
        Row("d.py", "alpha x x x", 0.9),
        Row("e.py", "x", 1.0),
    ]
    view = view_of(rows)
    assert not view.is_covered
    assert paths(view) == ["a.py", "b.py", "c.py", "d.py"]
    found = view.ask("alpha", limit=9, meaning=MEANING)
    assert [(one.path, one.why.meaning_rank) for one in found] == [
        ("a.py", None),
        ("b.py", 4),
        ("d.py", 2),
        ("c.py", None),
    ]
    assert paths(view_of([one for one in rows if one.near is None]), meaning=MEANING) == ["a.py", "c.py"]


@pytest.mark.parametrize("others", [[], [Row("c.py", "alpha")]])
def test_a_test_counts_for_less_by_meaning_too(others: list[Row]) -> None:
    rows = [Row("src/a.py", "alpha", 0.8), Row("tests/b.py", "alpha", 0.9), *others]
    found = view_of(rows).ask("alpha", limit=9, meaning=MEANING)
    ranks = {one.path: one.why.meaning_rank for one in found}
    assert (ranks["src/a.py"] or 0) < (ranks["tests/b.py"] or 0)


@pytest.mark.parametrize("is_seen", [True, False])
def test_coverage_is_that_of_what_may_be_seen(*, is_seen: bool) -> None:
    rows = [*ROWS, Row("z.py", "alpha", None, is_seen)]
    assert view_of(rows).is_covered is not is_seen
    assert view_of([one._replace(near=0.5) for one in rows], hides=False).is_covered


def test_no_two_answers_overlap() -> None:
    old = [Row("a.py", "alpha", line=1, end_line=9), Row("b.py", "alpha", line=1, end_line=9)]
    new = [
        Row("a.py", "alpha beta", line=5, end_line=12),
        Row("a.py", "alpha gamma delta", line=13, end_line=14),
        Row("a.py", "alpha", line=0, end_line=4),
    ]
    found = view_of(old, new).ask("alpha beta", limit=9)
    lines = [(one.path, one.start_line) for one in found]
    assert lines == [("a.py", 5), ("a.py", 0), ("a.py", 13), ("b.py", 1)]
    apart = view_of(old, new, repositories=["one", "two"]).ask("alpha beta", limit=9)
    assert ("a.py", 1) in [(one.path, one.start_line) for one in apart]
    assert len(view_of(old, new).ask("alpha beta", limit=2)) == 2
    assert view_of(old, new).ask("alpha beta", limit=0) == []


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Where(), ["a.py", "src/b.py", "c.md", "a.py", "src/b.py"]),
        (Where(paths=("src/*",)), ["src/b.py", "src/b.py"]),
        (Where(paths=("*.md", "src/*")), ["src/b.py", "c.md", "src/b.py"]),
        (Where(languages=("text",)), ["c.md"]),
        (Where(repositories=("two",)), ["a.py", "src/b.py"]),
        (Where(repositories=("two",), paths=("a*",)), ["a.py"]),
        (Where(since_ms=1_000), ["src/b.py", "c.md", "src/b.py"]),
        (Where(until_ms=1_000), ["a.py", "a.py"]),
        (Where(since_ms=1_000, until_ms=2_000), ["src/b.py", "src/b.py"]),
        (Where(repositories=("three",)), []),
    ],
)
@pytest.mark.parametrize("hides", [True, False])
def test_answers_stand_where_they_may(where: Where, expected: list[str], *, hides: bool) -> None:
    one = [Row("a.py", "alpha", 0.5), Row("src/b.py", "alpha", 0.5), Row("c.md", "alpha", 0.5)]
    view = view_of(one, one[:2], repositories=["one", "two"], hides=hides)
    assert sorted(paths(view, where=where)) == sorted(expected)
    assert sorted(paths(view, meaning=MEANING, where=where)) == sorted(expected)


def test_models_are_not_mixed() -> None:
    for rows in (ROWS, [*ROWS, Row("e.py", "alpha")]):
        with pytest.raises(InputError) as refused:
            view_of(rows).ask("alpha", limit=1, meaning=MEANING._replace(model="other"))
        assert refused.value.code == "KNOWLEDGE_MODEL_DIFFERS"


def test_ids_count_what_may_be_seen_in_the_order_of_paths() -> None:
    first = [
        Row("z.py", "alpha"),
        Row("b.py", "alpha", is_seen=False),
        Row("b.py", "alpha x"),
        Row("b.py", "alpha x x"),
    ]
    view = view_of(
        first, [Row("é.py", "alpha"), Row("a.py", "x")], [Row("z.py", "alpha")], repositories=["r", "r", "s"]
    )
    ids = {
        (0, 2): ("r", "b.py::1"),
        (0, 3): ("r", "b.py::2"),
        (0, 0): ("r", "z.py::3"),
        (1, 0): ("r", "é.py::4"),
        (1, 1): ("r", "a.py::0"),
        (2, 0): ("s", "z.py::0"),
    }
    assert {place: (ids[place][0], view.id_of(*place)) for place in ids} == ids
    assert {place: view.chunk_of(ident, repository) for place, (repository, ident) in ids.items()} == {
        place: place for place in ids
    }
    for wrong in (
        "b.py::0",
        "b.py::3",
        "b.py",
        "b.py::",
        "b.py::x",
        "b.py::²",
        "b.py::-1",
        "a.py::00",
        f"a.py::{10**30}",
        "none::1",
        f"b.py::{'9' * 9_999}",
    ):
        assert view.chunk_of(wrong, "r") is None
    unmasked = view_of(first[:1], [Row("a.py", "x"), Row("a.py", "x")], hides=False)
    assert unmasked.chunk_of("z.py::2", "") == (0, 0)
    assert unmasked.chunk_of("a.py::1", "") == (1, 1)


def test_ids_go_by_sorted_path() -> None:
    """CHECKLIST B 82."""
    view = view_of([Row("src/lib.rs", "a"), Row("README.md", "a"), Row("src/bin.rs", "a")])
    assert [view.id_of(0, chunk) for chunk in (1, 2, 0)] == ["README.md::0", "src/bin.rs::1", "src/lib.rs::2"]


WORD = st.lists(st.sampled_from(["alpha", "beta", "gamma"]), max_size=5).map(" ".join)
ROW = st.builds(
    Row,
    st.sampled_from(["a.py", "b.py", "tests/c.py", "d.md"]),
    WORD,
    st.sampled_from([None, 0.0, 0.3, 0.7, 1.0]),
    st.booleans(),
    st.integers(1, 9),
).map(lambda one: one._replace(end_line=one.line + 1))
ROW_LIST = st.lists(ROW, max_size=12).map(lambda rows: sorted(rows, key=lambda one: one.path))


@given(ROW_LIST, ROW_LIST, WORD, st.booleans())
def test_what_is_hidden_has_no_part_in_an_answer(
    one: list[Row], two: list[Row], question: str, has_meaning: bool
) -> None:
    """Texts, order, scores, reasons and ids are those of a store that never had it."""
    meaning = MEANING if has_meaning else None
    told = view_of(one, two).ask(question, limit=9, meaning=meaning)
    never = [[row for row in rows if row.is_seen] for rows in (one, two)]
    assert told == view_of(*never).ask(question, limit=9, meaning=meaning)
