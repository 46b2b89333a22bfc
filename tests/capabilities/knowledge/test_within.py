"""An index run can be told where to look: it reads no more than that, and comes to what a whole run would have made."""

from __future__ import annotations

import io
import random
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assent import Runtime
from assent.capabilities.knowledge import ConfinedFolder, Following, Library
from assent.errors import AssentError, Json
from assent.invocation import CancelToken
from assent.knowledge.sources import Content
from tests.support.bodies import code
from tests.support.knowledge_places import ADA, called, furnish
from tests.support.seeds import IS_EXPLORING, dice
from tests.support.watched import Told


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    work = furnish(
        tmp_path, said='[knowledge.repositories.docs]\nfolder = "docs"\n[knowledge.archives]\nread = true\n'
    )
    (work / "docs").mkdir()
    return work


@contextmanager
def followed(rt: Runtime, told: Told) -> Iterator[Following]:
    """The repositories of a workspace, followed by what is told of them."""
    library = rt.app.get(Library)
    with library.folder() as folder:
        yield Following(
            folder,
            told,
            library.repositories,
            told.clock_ms,
            10**9,
            ignores=library.ignores(folder),
            archives=library.archives(CancelToken()),
        )


@contextmanager
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files that are read meanwhile."""
    own, found = ConfinedFolder.read, list[str]()

    def read(folder: ConfinedFolder, path: str, bytes_max: int) -> Content:
        content = own(folder, path, bytes_max)
        found.append(path)
        return content

    with monkeypatch.context() as patched:
        patched.setattr(ConfinedFolder, "read", read)
        yield found


async def test_no_more_is_read_than_where_it_was_told_to_look(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = workspace / "src"
    for at in range(40):
        (source / f"{at}.txt").write_text(f"w{at}\n")
    async with Runtime.open(workspace=workspace) as rt:
        first = await called(rt, "index", repository="code", within=["src/1.txt"])
        assert first["files"] == 40, "where no index was, all is looked at"
        (source / "1.txt").write_text("other\n")
        (source / "2.txt").unlink()
        (source / "3.txt").write_text("not told\n")
        (source / "new").mkdir()
        (source / "new" / "a.txt").write_text("new\n")
        with reading(monkeypatch) as read:
            done = await called(
                rt, "index", repository="code", within=["src/1.txt", "src/2.txt", "src/new", "src/gone"]
            )
        assert sorted(read) == ["src/1.txt", "src/new/a.txt"]
        assert (done["changed"], done["removed"], done["files"]) == (2, 1, 40)
        done = await called(rt, "index", repository="code", within=["src"])
        assert (done["changed"], done["removed"]) == (1, 0)


@pytest.mark.parametrize(
    "place", ["docs", ".", "/etc", "src/../docs", "src/", "./src", "src//a", "..", "src2"]
)
async def test_a_place_has_to_be_in_the_repository(workspace: Path, place: str) -> None:
    async with Runtime.open(workspace=workspace) as rt:
        asked: dict[str, Json] = {"repository": "code", "within": [place]}
        result = await rt.call("knowledge.index", asked, principal=ADA)
        assert code(result) == "INVALID_INPUT"
        assert "is no place in the repository `code`" in str(result.error)


async def test_what_the_settings_ignore_is_read_by_no_run_and_followed_by_nobody(workspace: Path) -> None:
    """The list `sandbox`; what was indexed before it was written is gone with the next run."""
    for place in ("src/fixtures/a.txt", "src/lib.min.js", "src/kept.js", "docs/fixtures"):
        (workspace / place).parent.mkdir(exist_ok=True)
        (workspace / place).write_text("a quartz\n")

    async def indexed() -> tuple[int, int]:
        async with Runtime.open(workspace=workspace) as rt:
            done = [await called(rt, "index", repository=one) for one in ("code", "docs")]
            return sum(one["files"] for one in done), sum(one["removed"] for one in done)

    before, _ = await indexed()
    file = workspace / "assent.toml"
    written = file.read_text()
    file.write_text(
        written.replace("[knowledge.", '[knowledge]\nignore = ["fixtures/", "*.min.js"]\n[knowledge.', 1)
    )
    assert await indexed() == (before - 2, 2)
    told = Told()
    async with Runtime.open(workspace=workspace) as rt:
        planned = await called(rt, "plan", repository="code")
        assert {(one["path"], one["because"]) for one in planned["first_left_out"]} >= {
            ("src/fixtures", "ignored by sandbox:fixtures/"),
            ("src/lib.min.js", "ignored by sandbox:*.min.js"),
        }
        with followed(rt, told) as following:
            for place, names in {
                ".": {"code", "docs"},
                "src/lib.min.js": set(),
                "src/kept.js": {"code"},
            }.items():
                if (workspace / place).is_file():
                    (workspace / place).write_text("other quartz\n")
                told.paths = [place]
                assert following.next(2_000).keys() == names, place
    for said, why in (
        (["a", "# no"], r"`ignore\[1\]` is not a glob"),
        ([*map(str, range(5_001))], "more than 5000"),
    ):
        file.write_text(written.replace("[knowledge.", f"[knowledge]\nignore = {said}\n[knowledge.", 1))
        with pytest.raises(AssentError, match=why) as caught:
            Runtime.open(workspace=workspace)
        assert caught.value.code == "CONFIG_INVALID"
    file.write_text(written)
    assert await indexed() == (before, 0)


_FOLDERS = ("src", "docs")
_STAYS = "stays.md"


class Tree:
    """A folder in which things happen by chance, told as a system tells them."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        self._root, self._chance, self._count = root, chance, 0
        for folder in _FOLDERS:  # Where nothing could be read any more, a run would leave all as it was.
            (root / folder / _STAYS).write_text("w0\n")

    def happens(self) -> list[str]:
        acts = (
            self._written,
            self._written,
            self._removed,
            self._made,
            self._moved,
            self._ignored,
            self._packed,
        )
        told = [one.relative_to(self._root) for one in self._chance.choice(acts)()]
        return [str(one) for one in told]

    def _some(self, *, are_folders: bool) -> Path:
        base = self._root / self._chance.choice(_FOLDERS)
        found = sorted(one for one in base.rglob("*") if one.is_dir() == are_folders and one.name != _STAYS)
        return self._chance.choice(found or [base])

    def _text(self) -> str:
        self._count += 1
        return f"w{self._count} w{self._count // 2}\n"

    def _written(self) -> list[Path]:
        path = (
            self._some(are_folders=True)
            / f"{self._chance.randrange(4)}.{self._chance.choice(['txt', 'log'])}"
        )
        path.write_text(self._text())
        return [path]

    def _removed(self) -> list[Path]:
        path = self._some(are_folders=self._chance.random() < 0.3)
        if path.parent == self._root:
            return []
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        return [path]

    def _made(self) -> list[Path]:
        path = self._some(are_folders=True) / f"d{self._chance.randrange(3)}"
        (path / "in").mkdir(parents=True, exist_ok=True)
        for inner in (path, path / "in"):
            (inner / "a.txt").write_text(self._text())
        return [path, path / "a.txt", path / "in", path / "in" / "a.txt"]

    def _moved(self) -> list[Path]:
        path = self._some(are_folders=True)
        to = path.with_name(f"m{self._chance.randrange(9)}")
        if path.parent == self._root or to.exists():
            return []
        path.rename(to)
        return [path, to]

    def _ignored(self) -> list[Path]:
        path = self._some(are_folders=True) / ".gitignore"
        path.write_text(self._chance.choice(["*.log\n", "in\n", "0.txt\n!1.txt\n", ""]))
        return [path]

    def _packed(self) -> list[Path]:
        path = self._some(are_folders=True) / "a.zip"
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as file:
            for at in range(self._chance.randrange(3)):
                file.writestr(f"p{at}/m.txt", self._text())
        path.write_bytes(data.getvalue())
        return [path]


@pytest.mark.parametrize("number", range(8 if IS_EXPLORING else 1))
async def test_what_is_followed_comes_to_what_a_whole_run_makes(workspace: Path, number: int) -> None:
    tree, told = Tree(workspace, dice(f"followed {number}")), Told()
    async with Runtime.open(workspace=workspace) as rt:
        with followed(rt, told) as following:
            last = {}
            for step in range(20 if IS_EXPLORING else 6):
                told.paths = [path for _ in range(5) for path in tree.happens()] if step else []
                for name, places in following.next(2_000).items():
                    last[name] = await called(rt, "index", repository=name, within=sorted(places))
            for name, places in following.next(2_000).items():  # where a folder was new
                last[name] = await called(rt, "index", repository=name, within=sorted(places))
        for name, before in last.items():
            whole = await called(rt, "index", repository=name)
            assert (whole["root"], whole["changed"], whole["removed"]) == (before["root"], 0, 0)
        assert last.keys() == rt.app.get(Library).repositories.keys()
