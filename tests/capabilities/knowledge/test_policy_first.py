"""Who lacks a label's role gets the very answers of a workspace that never had the labelled files: ids, scores, order, counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assent.spec.principal import Principal
from tests.support.bodies import user
from tests.support.knowledge_places import called, furnish, opened, write
from tests.support.seeds import IS_EXPLORING

SAID = '[knowledge.labels.staff]\npaths = ["src/people/*", "*.secret.md"]\nroles = ["hr", "board"]\n'
SAID += '[knowledge.labels.board]\npaths = ["src/people/board/*"]\nroles = ["board"]\n'
WORDS = ("quartz", "marble", "basalt", "gneiss", "parse_quartz", "MarbleReader", "the", "of", "test")
NAMES = (
    "a.py",
    "b.md",
    "c.txt",
    "people/d.md",
    "people/e.py",
    "people/board/f.md",
    "g.secret.md",
    "tests/h.py",
)
EVE, HUGO, BEA = user("eve"), user("hugo", "hr"), user("bea", "board")
HIDDEN = {
    EVE: ("people/d.md", "people/e.py", "people/board/f.md", "g.secret.md"),
    HUGO: ("people/board/f.md",),
    BEA: (),
}

Tree: TypeAlias = "dict[str, str]"
Askers: TypeAlias = "Iterable[Principal]"
Form: TypeAlias = Literal["NFC", "NFD"]

TEXTS = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join), min_size=1, max_size=6
)
TREES = st.dictionaries(
    st.sampled_from(NAMES), TEXTS.map(lambda lines: "\n\n".join(lines) + "\n"), min_size=1
)


async def answers(work: Path, tree: Tree, later: Tree, queries: list[str], askers: Askers) -> list[Any]:
    """What each asker is answered, by a workspace that was indexed, changed and indexed again."""
    found: list[Any] = []
    async with opened(furnish(work, tree, SAID)) as rt:
        await called(rt, "index", repository="code")
        write(work / "work", later)
        await called(rt, "index", repository="code")
        for asker in askers:
            told: list[Any] = []
            for query in queries:
                hits = (await called(rt, "search", asker, query=query, limit=20))["hits"]
                told.append(hits)
                for hit in hits[:2]:
                    told.append(await called(rt, "read_chunk", asker, chunk=hit["chunk"], repository="code"))
            (standing,) = (await called(rt, "status", asker))["repositories"]
            planned = await called(rt, "plan", asker, repository="code")
            found.append([told, standing["files"], standing["chunks"], planned])
    return found


@settings(max_examples=20 if IS_EXPLORING else 3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, TREES, st.lists(st.sampled_from(WORDS), min_size=1, max_size=2))
def test_what_is_hidden_has_no_part_in_any_answer(tree: Tree, later: Tree, queries: list[str]) -> None:
    """At one floor below the same holds over more trees: `tests/knowledge/asking`."""
    with TemporaryDirectory() as place:
        whole = asyncio.run(answers(Path(place) / "whole", tree, later, queries, HIDDEN))
        for number, (asker, hidden) in enumerate(HIDDEN.items()):
            seen, change = (
                {path: text for path, text in one.items() if path not in hidden} for one in (tree, later)
            )
            never = asyncio.run(answers(Path(place) / f"{number}", seen, change, queries, [asker]))
            assert never == [whole[number]]


@pytest.mark.parametrize("said", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
async def test_a_label_holds_of_what_looks_the_same(tmp_path: Path, said: Form, written: Form) -> None:
    """A letter with its mark is one character or two, as whoever typed the name had it; nobody can tell them apart."""
    label = f'[knowledge.labels.staff]\npaths = ["{normalize(said, "src/büro/*")}"]\nroles = ["hr"]\n'
    work = furnish(tmp_path, {normalize(written, "büro/a.md"): "Of quartz.\n"}, label)
    async with opened(work) as rt:
        await called(rt, "index", repository="code")
        assert len((await called(rt, "search", HUGO, query="quartz"))["hits"]) == 1
        assert (await called(rt, "search", EVE, query="quartz"))["hits"] == []
        assert (await called(rt, "plan", EVE, repository="code"))["files"] == 0
