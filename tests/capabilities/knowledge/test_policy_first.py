"""Who lacks a label's role gets the very answers of a workspace that never had the labelled files: ids, scores, order, counts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bodies import user
from tests.support.knowledge_places import called, furnish, opened, write

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

TEXTS = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join), min_size=1, max_size=6
)
TREES = st.dictionaries(
    st.sampled_from(NAMES), TEXTS.map(lambda lines: "\n\n".join(lines) + "\n"), min_size=1
)


async def answers(work: Path, queries: list[str], later: dict[str, str]) -> list[Any]:
    """What each asker is answered, by a workspace that was indexed, changed and indexed again."""
    found: list[Any] = []
    async with opened(work) as rt:
        await called(rt, "index", repository="code")
        write(work, later)
        await called(rt, "index", repository="code")
        for asker in HIDDEN:
            for query in queries:
                hits = (await called(rt, "search", asker, query=query, limit=20))["hits"]
                found += [
                    (asker, query, hits),
                    *[
                        await called(rt, "read_chunk", asker, chunk=hit["chunk"], repository="code")
                        for hit in hits[:3]
                    ],
                ]
            (standing,) = (await called(rt, "status", asker))["repositories"]
            found.append((standing["files"], standing["chunks"]))
    return found


@settings(max_examples=8, deadline=None)
@given(TREES, TREES, st.lists(st.sampled_from(WORDS), min_size=1, max_size=2))
def test_what_is_hidden_has_no_part_in_any_answer(
    tree: dict[str, str], later: dict[str, str], queries: list[str]
) -> None:
    with TemporaryDirectory() as place:
        whole = asyncio.run(answers(furnish(Path(place) / "whole", tree, SAID), queries, later))
        per_asker = len(whole) // len(HIDDEN)
        assert per_asker
        for asker, hidden in HIDDEN.items():
            seen = {path: text for path, text in tree.items() if path not in hidden}
            change = {path: text for path, text in later.items() if path not in hidden}
            root = Path(place) / asker.name
            never = asyncio.run(answers(furnish(root, seen, SAID), queries, change))
            assert of(whole, asker) == of(never, asker)


def of(found: list[Any], asker: object) -> list[Any]:
    """Those of an asker."""
    begins = [at for at, one in enumerate(found) if isinstance(one, tuple) and one[0] == asker]
    ends = [
        at for at, one in enumerate(found) if isinstance(one, tuple) and len(one) == 2 and at > begins[-1]
    ]
    return found[begins[0] : ends[0] + 1]
