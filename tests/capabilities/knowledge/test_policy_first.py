"""Who lacks a label's role gets the very answers of a workspace that never had the labelled files: ids, scores, order, counts."""

from __future__ import annotations

import asyncio
import io
import json
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assent.errors import InputError, Json
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


SECRET = b"api_key = 'AKIAZZ4KQ7DMT2PLX5RW'\npassword = 'hunter-29'\n"


async def index_counts(work: Path, changes: list[dict[str, bytes | None]], asker: Principal) -> list[Json]:
    """What each index run of an asker counts: of all, of all where things changed, of the hidden folder alone."""
    told: list[Json] = []
    async with opened(furnish(work, {"a.py": SECRET}, SAID)) as rt:
        for within in ([], ["src/people"], [], ["src/people/d.md"]):
            for path, data in (changes.pop(0) if changes else {}).items():
                if data is None:
                    (work / "work" / "src" / path).unlink()
                else:
                    write(work / "work", {path: data})
            done = await called(rt, "index", asker, repository="code", within=within)
            for one in done["cleaned"]:
                del one["digest"]  # Each workspace has a key of its own for it.
            told.append(
                {name: one for name, one in done.items() if name not in ("generation", "root", "key")}
            )
    return told


async def test_an_index_run_counts_what_who_asks_may_see(tmp_path: Path) -> None:
    """Who names a hidden file is not told by the counts that it has a secret, or is binary, changed or gone."""
    hidden: list[dict[str, bytes | None]] = [
        {"people/d.md": SECRET, "people/b.bin": b"\0", "people/f.md": b"gneiss\n"},
        {"people/d.md": SECRET + b"more\n", "people/f.md": None, "people/\u200d.md": b"x"},
        {"people/d.md": b"\0", "people/g.md": SECRET},
    ]
    assert len(await index_counts(tmp_path / "all", [*hidden], HUGO)) == 4
    assert await index_counts(tmp_path / "there", hidden, EVE) == await index_counts(
        tmp_path / "none", [], EVE
    )


async def names_told(work: Path, label: str, files: dict[str, bytes], asker: Principal) -> str:
    """All that an asker is told of what is left out."""
    said = f'[knowledge.labels.staff]\npaths = [{json.dumps(label)}]\nroles = ["hr"]\n[knowledge.archives]\nread = true\n'
    async with opened(furnish(work, {**files, "a.md": b"marble\n"}, said)) as rt:
        await called(rt, "index", repository="code")
        return json.dumps(
            [await called(rt, ask, asker, repository="code") for ask in ("plan", "export")],
            ensure_ascii=False,
        )


@pytest.mark.parametrize(
    ("label", "path"),
    [
        ("src/quartz\u200d/*", "quartz\u200d/a.md"),  # the folder itself is left out
        ("src/quartz*", "quartz\u202e.md"),
        ("src/\u200dquartz.md", "\u200dquartz.md"),
        ("src/b\\quartz*", "b\\quartz.md"),
        ("src/quartz.md", "quartz.md"),
        ("src/quartz/*", "quartz/.gitignore"),  # an ignore file that can't be used: its folder is left out
    ],
)
async def test_what_is_left_out_is_hidden_as_what_is_read(tmp_path: Path, label: str, path: str) -> None:
    """Its name in the store is not its name in the folder; who may see it reads nothing that could mislead."""
    data = b"x" * 2_000 if path.endswith(".gitignore") else b"\0"
    assert "quartz" not in await names_told(tmp_path / "eve", label, {path: data}, EVE)
    told = await names_told(tmp_path / "hugo", label, {path: data}, HUGO)
    assert "quartz" in told
    assert not {"\u200d", "\u202e"}.intersection(told)


async def test_an_archive_that_is_refused_names_none_of_its_files(tmp_path: Path) -> None:
    """Who may see the archive need not see each file in it."""
    refused = dict[str, bytes]()
    for name, entries in {
        "escapes": ["../people/quartz.md"], "twice": ["people/quartz.md"] * 2, "alike": ["people/quartz.md", "people/QUARTZ.md"],
        "named": ["people/quartz.md."], "folder": ["people/quartz.md/"],
    }.items():  # fmt: skip
        into = io.BytesIO()
        with zipfile.ZipFile(into, "w") as archive, warnings.catch_warnings(action="ignore"):
            for entry in entries:
                archive.writestr(entry, "text" * 9)
        refused[f"{name}.zip"] = into.getvalue()
    whole = refused["twice.zip"]
    refused |= {f"flipped-{at}.zip": whole[:at] + b"\xff" + whole[at + 1 :] for at in range(0, len(whole), 7)}
    for number, asker in enumerate((EVE, HUGO)):
        told = await names_told(tmp_path / f"{number}", "*!/people/*", refused, asker)
        assert "quartz" not in told.lower()
        assert "escapes.zip" in told


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


@pytest.mark.parametrize("label", ["src/people", "src/people/", "*/people", "src/people/*", "src/old.zip"])
async def test_a_label_of_a_folder_holds_of_all_below_it(tmp_path: Path, label: str) -> None:
    """An ignore file names a folder so: that it hid nothing would show in no answer to who wrote it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("deep/a.md", "Of quartz.\n")
    files: dict[str, str | bytes] = {"peoples.md": "Of marble.\n"}
    files |= (
        {"old.zip": packed.getvalue()} if label.endswith("zip") else {"people/board/a.md": "Of quartz.\n"}
    )
    said = f'[knowledge.labels.staff]\npaths = ["{label}"]\nroles = ["hr"]\n'
    async with opened(furnish(tmp_path, files, said)) as rt:
        await called(rt, "index", repository="code")
        assert len((await called(rt, "search", HUGO, query="quartz"))["hits"]) == 1
        assert (await called(rt, "search", EVE, query="quartz"))["hits"] == []
        assert len((await called(rt, "search", EVE, query="marble"))["hits"]) == 1


@pytest.mark.parametrize("label", ["./people/*", "/people/*", "src//*", "src/../people/*", ".", "/", "a/.//"])
async def test_a_label_that_no_file_can_have_is_refused(tmp_path: Path, label: str) -> None:
    """It would hide nothing, and nobody would be told."""
    said = f'[knowledge.labels.staff]\npaths = ["{label}"]\nroles = ["hr"]\n'
    with pytest.raises(InputError, match="no file has it") as told:
        async with opened(furnish(tmp_path, {"a.md": "x\n"}, said)):
            pass
    assert told.value.code == "CONFIG_INVALID"
