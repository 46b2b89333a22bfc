"""Nothing that was indexed, asked or found can be read in any file of the state, and a store that was changed is refused."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from assent.runtime.wiring.knowledge import _recorded
from tests.support.knowledge_places import ADA, called, furnish, opened, refused, write

COUNT = 500


def markers() -> list[str]:
    chance = Random(15)
    return ["q" + "".join(chance.choices(LETTERS, k=11)) for _ in range(COUNT)]


LETTERS = "bcdfghjklmnprstvwz"
MARKERS = markers()
LIKE_ONE = re.compile(rb"q(\0?)(?:[%b]\1){11}" % LETTERS.encode(), re.IGNORECASE)
"""What is spelled as a marker, in whatever case, also as UTF-16: no two overlap."""


def planted() -> dict[str, str]:
    """Each marker once: as a symbol, a heading, a comment, a value, or in plain text."""
    forms = (
        ("py", "def {0}(a):\n    return a\n"),
        ("md", "# {0}\n\nText.\n"),
        ("go", "package a\n\n// {0} is here.\nfunc A() {{}}\n"),
        ("json", '{{"name": "{0}"}}\n'),
        ("txt", "There is {0} in a line.\n"),
    )
    found = {}
    for number, marker in enumerate(MARKERS):
        ending, text = forms[number % len(forms)]
        found[f"{number // 50}/{number}.{ending}"] = text.format(marker)
    return found


def left_in(work: Path) -> list[str]:
    """Files outside of the workspace's own in which a marker stands, in whatever case, also as UTF-16."""
    files = [path for place in (".assent", "../keys") for path in (work / place).rglob("*") if path.is_file()]
    return [str(path) for path in files if markers_in(path.read_bytes())]


def markers_in(data: bytes) -> set[str]:
    return {one[0].replace(b"\0", b"").decode().lower() for one in LIKE_ONE.finditer(data)} & {*MARKERS}


def test_a_marker_would_be_found() -> None:
    for form in (MARKERS[1].encode(), MARKERS[1].upper().encode(), MARKERS[1].encode("utf-16-le")):
        assert markers_in(b"q\0qz" + form + b"z" + MARKERS[2].encode()) == {*MARKERS[1:3]}


async def test_no_marker_is_in_any_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """While it is open, with what is in the log of the store; of what is indexed, asked, read, proved, replaced and forgotten."""
    work = furnish(tmp_path, planted())
    some = MARKERS[::25]
    async with opened(work) as rt:
        await called(rt, "index", repository="code")
        assert left_in(work) == []
        for marker in some:
            (hit, *_) = (await called(rt, "search", query=f"where is {marker}"))["hits"]
            assert marker in hit["text"]
            named = {"chunk": hit["chunk"], "repository": "code"}
            assert marker in (await called(rt, "read_chunk", **named))["text"]
            await called(rt, "prove", **named)
        assert left_in(work) == []
        write(work, {"0/0.py": "def nothing(): ...\n"})
        run = await rt.call("knowledge.index", {"repository": "code"}, principal=ADA)
        await rt.undo(run.run_id)
        await called(rt, "forget", repository="code", paths=[f"src/{path}" for path in planted()][:250])
        for word in MARKERS[:5]:
            assert (await called(rt, "search", query=word))["hits"] == []
        assert len((await called(rt, "search", query=MARKERS[-1]))["hits"]) == 1
        await called(rt, "verify")
        assert await refused(rt, "search", query=MARKERS[0] * 1_000) == "INVALID_INPUT"
        assert await refused(rt, "read_chunk", chunk="no", repository="code") == "KNOWLEDGE_CHUNK_UNKNOWN"
        assert left_in(work) == []
        await called(rt, "erase_tenant", tenant="workspace")
        assert left_in(work) == []
    assert left_in(work) == []
    assert not markers_in(("".join(capfd.readouterr()) + caplog.text).encode())


def store_of(work: Path, ending: str = "db") -> Path:
    (found,) = (work / ".assent" / "knowledge").glob(f"*.{ending}")
    return found


def cut(work: Path) -> None:
    place = store_of(work)
    place.write_bytes(place.read_bytes()[:-20_000])


def flip(work: Path) -> None:
    place = store_of(work)
    data = bytearray(place.read_bytes())
    for at in range(100, len(data), 1_000):
        data[at] ^= 1
    place.write_bytes(data)


def spoil_the_keys(work: Path) -> None:
    store_of(work, "keys").write_bytes(b"{}")


def lose_the_keys(work: Path) -> None:
    store_of(work, "keys").unlink()


def master_of(work: Path) -> Path:
    (found,) = (work.parent / "keys").rglob("knowledge-*.key")
    return found


def lose_the_master(work: Path) -> None:
    master_of(work).unlink()


def other(work: Path) -> Path:
    """Another workspace, with a store of the same tenant."""
    return work.parent / "other" / "work"


def take_anothers_master(work: Path) -> None:
    shutil.copy(master_of(other(work)), master_of(work))


def take_anothers_store(work: Path) -> None:
    shutil.copy(store_of(other(work)), store_of(work))


def take_anothers_store_and_keys(work: Path) -> None:
    shutil.copy(store_of(other(work)), store_of(work))
    shutil.copy(store_of(other(work), "keys"), store_of(work, "keys"))


def take_all_of_another(work: Path) -> None:
    take_anothers_store_and_keys(work)
    shutil.copy(master_of(other(work)), master_of(work).parent)


def take_another_tenants(work: Path) -> None:
    shutil.copy(store_of(work.parent / "third" / "work"), store_of(work))


def put_the_older_back(work: Path) -> None:
    shutil.copy(work.parent / "older.db", store_of(work))


async def index_all(root: Path) -> None:
    work = furnish(root, {"a.py": "def first(): ...\n"})
    for name, said in (("other", ""), ("third", '[knowledge]\ntenant = "elsewhere"\n')):
        async with opened(furnish(root / name, {"b.py": "def theirs(): ...\n"}, said)) as rt:
            await called(rt, "index", repository="code")
    async with opened(work) as rt:
        await called(rt, "index", repository="code")
    shutil.copy(store_of(work), root / "older.db")
    write(work, {"a.py": "def second(): ...\n"})
    async with opened(work) as rt:
        await called(rt, "index", repository="code")


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A place for workspaces, and what stands there before anybody changed anything: made once, put back for each."""
    root = tmp_path_factory.mktemp("place")
    asyncio.run(index_all(root))
    return root, Path(shutil.copytree(root, root.with_name("kept")))


@pytest.fixture
def damaged(indexed: tuple[Path, Path], request: pytest.FixtureRequest) -> Path:
    """A workspace that was indexed twice, whose store somebody changed afterwards."""
    root, kept = indexed
    shutil.rmtree(root)
    shutil.copytree(kept, root)
    change: Callable[[Path], None] = request.param
    change(root / "work")
    return root / "work"


@pytest.mark.parametrize(
    ("damaged", "expected"),
    [
        (cut, "KNOWLEDGE_STORE_DAMAGED"),
        (flip, "KNOWLEDGE_STORE_DAMAGED"),
        (spoil_the_keys, "KNOWLEDGE_STORE_DAMAGED"),
        (lose_the_keys, "KNOWLEDGE_KEY_MISSING"),
        (lose_the_master, "KNOWLEDGE_KEY_MISSING"),
        (take_anothers_master, "KNOWLEDGE_KEY_WRONG"),
        (take_anothers_store, "KNOWLEDGE_STORE_DAMAGED"),
        (take_anothers_store_and_keys, "KNOWLEDGE_KEY_MISSING"),
        (take_all_of_another, "KNOWLEDGE_STORE_ROLLED_BACK"),
        (take_another_tenants, "KNOWLEDGE_STORE_FOREIGN"),
        (put_the_older_back, "KNOWLEDGE_STORE_ROLLED_BACK"),
    ],
    indirect=["damaged"],
)
async def test_a_store_that_is_not_as_it_was_is_refused(damaged: Path, expected: str) -> None:
    """By every call; and what its hint says helps."""
    async with opened(damaged) as rt:
        calls: Iterator[tuple[str, dict[str, Any]]] = iter(
            [
                ("verify", {}),
                ("status", {}),
                ("search", {"query": "first"}),
                ("read_chunk", {"chunk": "src/a.py::0", "repository": "code"}),
                ("index", {"repository": "code"}),
                ("forget", {"repository": "code"}),
            ]
        )
        for capability, parameters in calls:
            assert await refused(rt, capability, **parameters) == expected, capability
        await called(rt, "erase_tenant", tenant="workspace")
        assert not [*(damaged.parent / "keys").rglob("knowledge-*.key")]
        made = await called(rt, "index", repository="code")
        assert made["files"] == 1
    async with opened(damaged) as rt:
        assert (await called(rt, "verify"))["repositories"][0]["root"] == made["root"]


async def test_a_store_that_is_not_there_is_made_anew(tmp_path: Path) -> None:
    work = furnish(tmp_path, {"a.py": "def first(): ...\n"})
    async with opened(work) as rt:
        made = await called(rt, "index", repository="code")
    for path in (work / ".assent" / "knowledge").iterdir():
        path.unlink()
    async with opened(work) as rt:
        assert (await called(rt, "status"))["repositories"][0]["generation"] == 0
    async with opened(work) as rt:
        assert (await called(rt, "index", repository="code"))["root"] == made["root"]


async def test_a_store_that_is_removed_while_it_is_open_is_made_anew(tmp_path: Path) -> None:
    """As the hint of one that is damaged says. What would be written to a file without a name is lost with the process."""
    work = furnish(tmp_path, {"a.py": "def first(): ...\n"})
    async with opened(work) as rt:
        made = await called(rt, "index", repository="code")
        for path in (work / ".assent" / "knowledge").glob("*.db*"):
            path.unlink()
        assert (await called(rt, "search", query="first"))["not_indexed"] == ["code"]
        assert (await called(rt, "index", repository="code"))["root"] == made["root"]
    async with opened(work) as rt:
        assert len((await called(rt, "search", query="first"))["hits"]) == 1


async def test_a_store_that_is_replaced_while_it_is_open_is_judged_as_one_that_is_opened(
    tmp_path: Path,
) -> None:
    work = furnish(tmp_path, {"a.py": "def first(): ...\n"})
    async with opened(work) as rt:
        await called(rt, "index", repository="code")
    shutil.copy(store_of(work), tmp_path / "older.db")
    write(work, {"a.py": "def second(): ...\n"})
    async with opened(work) as rt:
        await called(rt, "index", repository="code")
        store_of(work, "db-wal").unlink()
        (tmp_path / "older.db").rename(store_of(work))
        for capability, parameters in (("search", {"query": "second"}), ("index", {"repository": "code"})):
            assert await refused(rt, capability, **parameters) == "KNOWLEDGE_STORE_ROLLED_BACK"


async def test_each_tenant_has_a_record_of_its_own(tmp_path: Path) -> None:
    work = furnish(tmp_path, {"a.py": "def first(): ...\n"})
    async with opened(work) as rt:
        await called(rt, "index", repository="code")
    said = (work / "assent.toml").read_text()
    (work / "assent.toml").write_text(f'{said}\n[knowledge]\ntenant = "elsewhere"\n')
    async with opened(work) as rt:
        await called(rt, "index", repository="code")
        await called(rt, "forget", repository="code", paths=["src/a.py"])
    (work / "assent.toml").write_text(said)
    async with opened(work) as rt:
        assert len((await called(rt, "search", query="first"))["hits"]) == 1


@pytest.fixture
async def undone(tmp_path: Path) -> Path:
    """A workspace that was indexed twice, the second time taken back; and its store from before that."""
    work = furnish(tmp_path, {"a.py": "def first(): ...\n"})
    async with opened(work) as rt:
        await called(rt, "index", repository="code")
        write(work, {"a.py": "def second(): ...\n"})
        result = await rt.call("knowledge.index", {"repository": "code"}, principal=ADA)
    shutil.copy(store_of(work), tmp_path / "older.db")
    async with opened(work) as rt:
        assert (await rt.undo(result.run_id)).status == "undone"
    return work


async def test_an_older_copy_in_which_only_an_undo_is_missing_is_refused(undone: Path) -> None:
    async with opened(undone) as rt:
        assert len((await called(rt, "search", query="first"))["hits"]) == 1
    put_the_older_back(undone)
    async with opened(undone) as rt:
        assert await refused(rt, "search", query="second") == "KNOWLEDGE_STORE_ROLLED_BACK"


async def test_an_undo_is_asked_for_of_the_store_that_it_was_made_in(undone: Path) -> None:
    """Of one that was made anew afterwards, or forgot and indexed again, nothing is asked that it never had."""
    for path in (undone / ".assent" / "knowledge").iterdir():
        path.unlink()
    async with opened(undone) as rt:
        assert (await called(rt, "index", repository="code"))["generation"] == 1
    async with opened(undone) as rt:
        forgot = await rt.call(
            "knowledge.forget", {"repository": "code", "paths": ["src/a.py"]}, principal=ADA
        )
        assert (await rt.undo(forgot.run_id)).status == "undone"
    async with opened(undone) as rt:
        assert len((await called(rt, "search", query="second"))["hits"]) == 1
        await called(rt, "erase_tenant", tenant="workspace")
        assert _recorded(undone / ".assent", "workspace") is None


async def test_what_changed_nothing_is_not_what_a_store_must_have(undone: Path) -> None:
    """Nor is it, when it was taken back: the last that did is."""
    known = _recorded(undone / ".assent", "workspace")
    write(undone, {"a.py": "def first(): ...\n"})
    async with opened(undone) as rt:
        result = await rt.call("knowledge.index", {"repository": "code"}, principal=ADA)
        assert _recorded(undone / ".assent", "workspace") == known
        assert (await rt.undo(result.run_id)).status == "undone"
    assert _recorded(undone / ".assent", "workspace") == known
    async with opened(undone) as rt:
        assert len((await called(rt, "search", query="first"))["hits"]) == 1


def test_where_nothing_was_recorded_any_store_will_do(tmp_path: Path) -> None:
    assert _recorded(tmp_path, "workspace") is None


async def test_a_repository_of_no_files_has_no_generation(tmp_path: Path) -> None:
    work = furnish(tmp_path)
    async with opened(work) as rt:
        assert (await called(rt, "index", repository="code"))["generation"] == 0
        await called(rt, "forget", repository="code")
    assert _recorded(work / ".assent", "workspace") is None
    assert _recorded(work / ".assent", "elsewhere") is None
