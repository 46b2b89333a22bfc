"""The folder of a machine does what the library asks of one, and shows nothing that is not in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pygit2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assent.capabilities.fs import ConfinedFiles, ControlFiles
from assent.capabilities.knowledge import ConfinedFolder, _folder, ignores_of
from assent.errors import AssentError
from assent.knowledge.sources import Folder, MemoryFolder, Reason, Skipped, Source, files_of, read
from assent.knowledge.sources._memory import Tree

TREE: Tree = {
    "b": {"x": b"1", "y": {}},
    "b.txt": b"two",
    "a": b"",
    "l": "link",
    "p": "other",
    "é\udcff": b"3",
}


def build(root: Path, tree: Tree) -> None:
    for name, entry in tree.items():
        place = root / name
        if isinstance(entry, bytes):
            place.write_bytes(entry)
        elif entry == "link":
            place.symlink_to("..")
        elif entry == "other":
            os.mkfifo(place)
        elif not isinstance(entry, str):
            place.mkdir()
            build(place, entry)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[ConfinedFiles]:
    with closing(ConfinedFiles(tmp_path, control=ControlFiles(hidden=[tmp_path / ".assent"]))) as files:
        yield files


@pytest.fixture(params=["memory", "machine"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, files: ConfinedFiles) -> Folder:
    if request.param == "memory":
        return MemoryFolder(TREE)
    build(tmp_path, TREE)
    return ConfinedFolder(files)


def refused(folder: Folder, path: str, bytes_max: int = 10) -> str:
    with pytest.raises(AssentError) as raised:
        folder.read(path, bytes_max)
    return raised.value.code


def test_entries_come_in_the_order_of_their_bytes(folder: Folder) -> None:
    names = {name: f"{name}/" if isinstance(entry, dict) else name for name, entry in TREE.items()}
    ordered = sorted(TREE, key=lambda name: os.fsencode(names[name]))
    found = list(folder.entries("."))
    assert [one.name for one in found] == ordered
    assert {one.name: one.kind for one in found} == {
        "a": "file", "b": "folder", "b.txt": "file", "l": "link", "p": "other", "é\udcff": "file",
    }  # fmt: skip
    assert [(one.name, one.stamp.size) for one in found if one.kind == "file"][:2] == [("a", 0), ("b.txt", 3)]
    assert [(one.name, one.kind) for one in folder.entries("b")] == [("x", "file"), ("y", "folder")]
    assert list(folder.entries("b/y")) == []
    for path, code in (("gone", "FILE_NOT_FOUND"), ("a", "NOT_A_DIRECTORY")):
        with pytest.raises(AssentError) as raised:
            list(folder.entries(path))
        assert raised.value.code == code


def test_a_file_is_read_up_to_a_limit(folder: Folder) -> None:
    found = folder.read("b.txt", 3)
    assert (found.path, found.data) == ("b.txt", b"two")
    assert found.stamp == next(one.stamp for one in folder.entries(".") if one.name == "b.txt")
    assert refused(folder, "b.txt", 2) == "FILE_TOO_LARGE"
    assert refused(folder, "b") == "IS_A_DIRECTORY"
    assert refused(folder, "b/gone") == "FILE_NOT_FOUND"
    assert refused(folder, "l") == "PATH_ESCAPES"
    assert refused(folder, "p") == "FILE_KIND_UNSUPPORTED"


def test_what_belongs_to_assent_and_what_is_outside_is_not_there(
    tmp_path: Path, files: ConfinedFiles
) -> None:
    build(tmp_path, {".assent": {"key": b"secret"}, "in": b"1", "up": "link", "linked": {}})
    os.link(tmp_path / ".assent" / "key", tmp_path / "linked" / "hard")
    folder = ConfinedFolder(files)
    found = {one.path: one for one in files_of(folder, ignores_of(folder))}
    assert list(found) == ["in", "linked/hard", "up"]
    hard = found["linked/hard"]
    assert isinstance(hard, Source)
    got = read(folder, hard)
    assert isinstance(got, Skipped)
    assert got.reason is Reason.UNREADABLE
    for path in ("up/x", "linked/../../x", "/etc/passwd"):
        assert refused(folder, path) == "PATH_ESCAPES"


def test_many_entries_are_looked_at_page_by_page(
    tmp_path: Path, files: ConfinedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_folder, "_PAGE_NAMES", 2)
    build(tmp_path, {f"{number}": b"" for number in range(5)})
    seen = ConfinedFolder(files).entries(".")
    names = [next(seen).name]
    (tmp_path / "2").unlink()
    assert [*names, *(one.name for one in seen)] == ["0", "1", "3", "4"]


def test_a_folder_of_too_many_entries_is_named(
    tmp_path: Path, files: ConfinedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_folder, "_NAMES_MAX", 2)
    build(tmp_path, {"full": {"1": b"", "2": b""}, "over": {"1": b"", "2": b"", "3": b""}})
    folder = ConfinedFolder(files)
    *there, over = files_of(folder, ignores_of(folder))
    assert [one.path for one in there] == ["full/1", "full/2"]
    assert over == Skipped("over", "`over` has more than 2 entries", Reason.TOO_LARGE)


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, files: ConfinedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, {"a": b"12345678"})
    real, times = os.read, count()

    def slow(descriptor: int, most: int) -> bytes:
        os.utime(tmp_path / "a", ns=(0, next(times)))
        return real(descriptor, most)

    monkeypatch.setattr("assent.capabilities.knowledge._folder.os.read", slow)
    folder = ConfinedFolder(files)
    assert refused(folder, "a", 1_000) == "FILE_CHANGED"
    got = read(folder, next(Source(one.name, one.stamp) for one in folder.entries(".")))
    assert isinstance(got, Skipped)
    assert got.reason is Reason.CHANGED


def test_git_tracks_what_is_in(tmp_path: Path, files: ConfinedFiles) -> None:
    build(
        tmp_path,
        {
            ".gitignore": b"*.log\nout/\n",
            "a.log": b"1",
            "b.log": b"1",
            "out": {"kept": b"1", "other": b"1"},
            "new": b"1",
            "worktree": {".git": b"gitdir: ../elsewhere\n", "x.log": b"1", "y": b"1"},
        },
    )
    repository = pygit2.init_repository(str(tmp_path))
    repository.index.add("a.log")
    repository.index.add("out/kept")
    repository.index.write()
    folder = ConfinedFolder(files)
    found = {one.path: getattr(one, "because", "") for one in files_of(folder, ignores_of(folder))}
    assert [path for path, why in found.items() if not why] == [
        ".gitignore", "a.log", "new", "out/kept", "worktree/y",
    ]  # fmt: skip
    (tmp_path / ".git" / "index").write_bytes(b"DIRC and nothing more")
    found = {one.path: getattr(one, "because", "") for one in files_of(folder, ignores_of(folder))}
    assert "git's list can't be used: the repository at `.` can't be read" in found[".git"]
    assert found["a.log"] == "ignored by repository:*.log (.gitignore)"
    (tmp_path / ".git" / "index").unlink()
    (tmp_path / ".git" / "index").mkdir()
    found = {one.path: getattr(one, "because", "") for one in files_of(folder, ignores_of(folder))}
    assert "is a directory" in found[".git"]


NAMES = ("a", "b", "build", "c", "x.log", "y.txt")
PATTERNS = (
    "*.log", "/a", "build/", "!x.log", "b/x.log", "**/c", "a/**", "!a/b", "!build/", "*", "!*/", "!a", "c/*", "a/*/b",
    "/b/", "y.*", "[ab]", "!b/", "\\!a", "#a", "x.log ",
)  # fmt: skip


def levels(depth: int) -> st.SearchStrategy[Tree]:
    """A tree whose folders have ignore files, more or less."""
    lists = st.lists(st.sampled_from(PATTERNS), max_size=3).map(lambda said: "\n".join([*said, ""]).encode())
    names = {
        name: st.just(b"") if "." in name or not depth else levels(depth - 1) | st.just(b"") for name in NAMES
    }
    return st.fixed_dictionaries({}, optional={**names, ".gitignore": lists})


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@settings(max_examples=40, deadline=None)
@given(levels(2), st.sampled_from(PATTERNS), st.data())
def test_just_what_git_lists_is_read(tree: Tree, excluded: str, data: st.DataObject) -> None:
    with TemporaryDirectory() as place:
        root = Path(place)
        build(root, tree)
        there = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
        repository = pygit2.init_repository(place)
        (root / ".git" / "info" / "exclude").write_text(f"{excluded}\n")
        for path in data.draw(st.lists(st.sampled_from(there), max_size=3)) if there else []:
            repository.index.add(path)
        repository.index.write()
        told = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=place,
            env={"PATH": os.environ["PATH"], "HOME": place, "GIT_CONFIG_NOSYSTEM": "1"},
            capture_output=True,
            check=True,
        )
        with closing(ConfinedFiles(root)) as files:
            folder = ConfinedFolder(files)
            found = [one.path for one in files_of(folder, ignores_of(folder, {})) if isinstance(one, Source)]
        assert found == sorted(path for path in told.stdout.decode().split("\0") if path)
