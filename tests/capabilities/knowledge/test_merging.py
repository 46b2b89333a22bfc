"""Pieces of an index are put together, so that they stay few, and nothing that is found is another for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent import Runtime
from assent.capabilities.knowledge import Library, _merging
from assent.capabilities.knowledge._merging import BYTES_MAX, FEW, due, merge
from assent.capabilities.knowledge._models import LEXICAL, VECTORS, rewriters
from assent.invocation import CancelToken
from assent.knowledge.lexical import Entry, Terms, parts_of, segment_of
from assent.knowledge.store import MemoryStore
from tests.support.encoder import tiny_model
from tests.support.knowledge import put
from tests.support.knowledge_places import called, furnish


@given(st.lists(st.integers(1, BYTES_MAX // 2) | st.integers(1, 1 << 20), min_size=1, max_size=80))
def test_nothing_is_written_anew_more_than_a_few_times(added: list[int]) -> None:
    sizes: list[tuple[int, int]] = []  # with how often any of it was written
    for size in added:
        sizes.append((size, 1))
        while (some := due([one for one, _ in sizes])).stop:
            group = sizes[some]
            assert len(group) > 1
            assert sum(one for one, _ in group) <= BYTES_MAX
            sizes[some] = [(sum(one for one, _ in group), 1 + max(times for _, times in group))]
    assert sum(one for one, _ in sizes) == sum(added)
    assert all(times <= BYTES_MAX.bit_length() for _, times in sizes)


def test_many_equal_pieces_become_few() -> None:
    sizes: list[int] = []
    for _ in range(1_000):
        sizes.append(1)
        while (some := due(sizes)).stop:
            sizes[some] = [sum(sizes[some])]
    assert len(sizes) < 4 * FEW


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return furnish(tmp_path)


async def asked(rt: Runtime) -> Any:
    found = await called(rt, "search", query="w1 w5 newer")
    return [{**one, "score": round(one["score"], 9)} for one in found["hits"]]


def pieces(rt: Runtime) -> dict[str, list[list[int]]]:
    store = rt.app.get(Library).store
    return {
        kind: sorted(one.rows.tolist() for one in store.pieces("code", kind)) for kind in (LEXICAL, VECTORS)
    }


@pytest.mark.parametrize("has_model", [True, False])
async def test_what_is_found_is_as_it_was(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_model: bool
) -> None:
    async with Runtime.open(workspace=workspace) as rt:
        if has_model:
            await called(rt, "use_model", folder=str(tiny_model(tmp_path / "tiny")))
        answers, done = [], {}
        for word in ("", "new", "newer"):
            for at in range(4):
                (workspace / "src" / f"{at}.txt").write_text(f"w1 w2 w{at + 3} {word}\n")
            done = await called(rt, "index", repository="code")
            answers.append(await asked(rt))
        apart = pieces(rt)
        assert len(apart[LEXICAL]) == 3
        assert len(apart[VECTORS]) == (3 if has_model else 0)
        monkeypatch.setattr(_merging, "FEW", 3)
        again = await called(rt, "index", repository="code")
        assert [again[one] for one in ("root", "generation")] == [done[one] for one in ("root", "generation")]
        whole = pieces(rt)
        rows = sorted(row for each in apart[LEXICAL] for row in each)
        assert whole == {LEXICAL: [rows], VECTORS: [rows] if has_model else []}
        assert await asked(rt) == answers[-1]
        assert (await called(rt, "status"))["repositories"][0]["vectors"] == (
            done["chunks"] if has_model else 0
        )
        await called(rt, "verify")
        rt.app.get(Library).store.undo(done["generation"])
        assert await asked(rt) == answers[-2]
        await called(rt, "verify")
        await called(rt, "forget", repository="code", paths=["src/2.txt"])
        assert {one["path"] for one in await asked(rt)} == {one["path"] for one in answers[-2]} - {
            "src/2.txt"
        }
        await called(rt, "verify")


async def test_a_search_under_whose_hands_pieces_go_looks_again(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, views = Library.routed, []

    def routed(library: Library, *asked: Any) -> Any:
        views.append(own(library, *asked))
        if len(views) == 1:
            library.store.forget("code", ["src/0.txt"], rewriters())
        return views[-1]

    monkeypatch.setattr(Library, "routed", routed)
    async with Runtime.open(workspace=workspace) as rt:
        for at in range(2):
            (workspace / "src" / f"{at}.txt").write_text("w1\n")
        await called(rt, "index", repository="code")
        assert [one["path"] for one in await asked(rt)] == ["src/1.txt"]
    assert len(views) == 2


def test_where_somebody_else_writes_it_is_left_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.knowledge.store._rows.BUSY_S", 0.05)
    monkeypatch.setattr(_merging, "FEW", 2)
    store = MemoryStore("tenant")
    with store.index("repo") as run:
        for path in ("a.txt", "b.txt"):
            segment = segment_of([Entry(b"w1 w2", "", path)], Terms())
            run.put_piece(LEXICAL, path, parts_of(segment), [put(run, path, b"w1 w2")])
        run.commit()

    def count() -> int:
        merge(store, "repo", "", CancelToken())
        return len(store.pieces("repo", LEXICAL))

    with store.index("other"):
        assert count() == 2
    assert count() == 1
