"""Every file of a folder is read, or left out with a reason; in one order, and with nothing outside of the folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.capabilities.knowledge import ignores_of
from assent.errors import AssentError, InputError
from assent.knowledge.chunks import FILE_BYTES_MAX
from assent.knowledge.sources import (
    Content,
    Folder,
    Ignores,
    MemoryFolder,
    Reason,
    Seen,
    Skipped,
    Source,
    Stamp,
    contents_of,
    files_of,
    read,
    walking,
)
from assent.knowledge.sources._memory import Tree


def told(tree: Tree, ignores: Ignores | None = None, **options: object) -> dict[str, str]:
    """Each path that was met, and why it is left out; empty where it is not."""
    folder = MemoryFolder(tree)
    met = files_of(folder, ignores or ignores_of(folder), **options)  # type: ignore[arg-type]  # the options of each test
    return {one.path: one.because if isinstance(one, Skipped) else "" for one in met}


def read_in(tree: Tree, ignores: Ignores | None = None) -> list[str]:
    return [path for path, why in told(tree, ignores).items() if not why]


def test_each_list_of_a_stack_leaves_out_its_own() -> None:
    """CHECKLIST B 79. What two lists say is said by the later one."""
    lists = {"global": ["node_modules", ".git"], "sandbox": ["tmp"], "repository": [".git", "vendor"]}
    folder = MemoryFolder({name: {"x": b""} for name in ("node_modules", "tmp", ".git", "vendor", "kept")})
    met = {
        one.path: one.because
        for one in files_of(folder, ignores_of(folder, lists))
        if isinstance(one, Skipped)
    }
    assert met == {
        "node_modules": "ignored by global:node_modules",
        "tmp": "ignored by sandbox:tmp",
        ".git": "ignored by repository:.git",
        "vendor": "ignored by repository:vendor",
    }


def test_a_path_that_is_left_out_names_the_list_and_the_pattern() -> None:
    tree: Tree = {
        ".git": {"HEAD": b""},
        ".gitignore": b"\xef\xbb\xbf# ours\r\nvendor/\r\n*.log\r\n!kept.log\r\n",
        "a.log": b"",
        "kept.log": b"",
        "node_modules": {"x.js": b""},
        "sub": {".gitignore": b"*.md\n!a.log\n", "a.log": b"", "a.md": b"", "b.log": b""},
        "tmp": {"x": b""},
        "vendor": {"x": b""},
    }
    folder = MemoryFolder(tree)
    stack = ignores_of(folder, {"global": ["node_modules", ".git"], "sandbox": ["tmp", "*.md"]})
    assert told(tree, stack) == {
        ".git": "ignored by repository:.git",
        ".gitignore": "",
        "a.log": "ignored by repository:*.log (.gitignore)",
        "kept.log": "",
        "node_modules": "ignored by global:node_modules",
        "sub/.gitignore": "",
        "sub/a.log": "",
        "sub/a.md": "ignored by repository:*.md (sub/.gitignore)",
        "sub/b.log": "ignored by repository:*.log (.gitignore)",
        "tmp": "ignored by sandbox:tmp",
        "vendor": "ignored by repository:vendor/ (.gitignore)",
    }


def test_a_repository_takes_nothing_in_that_another_list_leaves_out() -> None:
    tree: Tree = {".gitignore": b"!secret\n!*.pem\n", "secret": b"", "a.pem": b"", "b": b""}
    stack = ignores_of(MemoryFolder(tree), {"global": ["*.pem", "!a.pem"], "sandbox": ["secret"]})
    assert read_in(tree, stack) == [".gitignore", "a.pem", "b"]


def listing(tracked: dict[str, list[bytes]], tree: Tree) -> Ignores:
    real = ignores_of(MemoryFolder(tree))
    return Ignores(real._compile, listed=tracked.get)


def test_what_git_tracks_is_in_though_it_is_ignored() -> None:
    tree: Tree = {
        ".git": {"info": {"exclude": b"*.tmp\n"}},
        ".gitignore": b"build/\n*.log\n",
        "a.log": b"",
        "b.log": b"",
        "build": {"in": {"kept": b"", "other": b""}, "out": {"x": b""}},
        "c.tmp": b"",
        "node_modules": {"x": b""},
    }
    tracked = [b"a.log", b"build/in/kept", b"node_modules/x"]
    assert told(tree, listing({".": tracked}, tree)) == {
        ".git": "ignored by repository:.git",
        ".gitignore": "",
        "a.log": "",
        "b.log": "ignored by repository:*.log (.gitignore)",
        "build/in/kept": "",
        "build/in/other": "ignored by repository:build/ (.gitignore)",
        "build/out": "ignored by repository:build/ (.gitignore)",
        "c.tmp": "ignored by repository:*.tmp (.git/info/exclude)",
        "node_modules": "ignored by global:node_modules",
    }


def test_one_repository_says_nothing_of_another_in_it() -> None:
    tree: Tree = {
        ".git": {},
        ".gitignore": b"*.log\n",
        "inner": {".git": {"info": {"exclude": b"x\n"}}, "a.log": b"", "x": b"", "y": {"x": b""}},
    }
    found = told(tree, listing({".": [], "inner": [b"y/x"]}, tree))
    assert [path for path, why in found.items() if not why] == [".gitignore", "inner/a.log", "inner/y/x"]
    assert found["inner/x"] == "ignored by repository:x (inner/.git/info/exclude)"


def test_a_list_of_git_that_cannot_be_read_is_named() -> None:
    tree: Tree = {".git": {"index": b"no index"}, "a": {"b": b""}}
    folder = MemoryFolder(tree)

    def damaged(path: str) -> None:
        if path == ".":
            raise InputError("GIT_UNREADABLE", "it is damaged")

    stack = Ignores(ignores_of(folder)._compile, listed=damaged)
    assert told(tree, stack) == {
        ".git": "ignored by repository:.git; git's list can't be used: it is damaged",
        "a/b": "",
    }


def test_an_ignore_file_that_cannot_be_used_leaves_its_folder_out() -> None:
    tree: Tree = {
        "a": {".gitignore": b"x" * 1001, "b": b""},
        "c": {".gitignore": b"#" * (300 << 10)},
        "d": b"",
    }
    found = told(tree)
    assert [path for path, why in found.items() if not why] == ["d"]
    assert found["a"] == "what it leaves out can't be known: `a/.gitignore:1` is longer than 1000 characters"
    assert "more than 262144 bytes" in found["c"]


def test_an_ignore_file_that_is_none_is_not_asked() -> None:
    assert read_in({".gitignore": "link", "a": {".gitignore": {"b": b""}}}) == ["a/.gitignore/b"]


@pytest.mark.parametrize(
    ("tree", "path", "reason"),
    [
        ({"a": "link"}, "a", Reason.LINK),
        ({"a": "other"}, "a", Reason.NOT_A_FILE),
        ({"a": bytes(FILE_BYTES_MAX + 1)}, "a", Reason.TOO_LARGE),
        ({"a\udcff": b""}, "a\\xff", Reason.NAME),
        ({"a\u202etxt": b""}, "a\\u202etxt", Reason.NAME),
        ({"a\nb": {"c": b""}}, "a\\nb", Reason.NAME),
        ({"a\\xff": b""}, "a\\\\xff", Reason.NAME),
        ({"a_ghp_" + 12 * "Ab1": b""}, "a_[removed: github-token]", Reason.NAME),
        ({"AKIA" + 4 * "Q2W3": {"c": b""}}, "[removed: aws-access-key-id]", Reason.NAME),
        ({".gitignore": b"*", "AKIA" + 4 * "Q2W3": b""}, "[removed: aws-access-key-id]", Reason.IGNORED),
        ({"node_modules": "link"}, "node_modules", Reason.IGNORED),
    ],
)
def test_what_is_not_read_has_a_reason(tree: Tree, path: str, reason: Reason) -> None:
    folder = MemoryFolder(tree)
    *_, found = files_of(folder, ignores_of(folder))
    assert isinstance(found, Skipped)
    assert (found.path, found.reason) == (path, reason)


def test_a_walk_ends_at_its_limits_and_says_so() -> None:
    tree: Tree = {"a": {"b": b"", "c": b""}, "d": b""}
    assert told(tree, entries_max=4)["d"] == ""
    found = told(tree, entries_max=2)
    assert list(found) == ["a/b", "a/c"]
    assert found["a/c"].startswith("more than 2 files and folders were looked at")
    deep: Tree = {"x": b""}
    for _ in range(150):
        deep = {"f": deep}
    ((path, why),) = told(deep).items()
    assert path.count("/") == walking.DEPTH_MAX
    assert why == "it is more than 128 folders deep"


def test_a_part_of_a_folder_is_looked_at_under_the_rules_of_the_whole() -> None:
    tree: Tree = {
        ".gitignore": b"*.log\n",
        "a": {"b": {"x.log": b"", "y": b""}, "c": b""},
        "ab": b"",
        "d": b"",
    }
    assert told(tree, within=["a/b", "ab"]) == {
        "a/b/x.log": "ignored by repository:*.log (.gitignore)",
        "a/b/y": "",
        "ab": "",
    }
    assert told(tree, within=["a/c", "gone/x"]) == {"a/c": ""}


NAMES = st.text("ab.-0é", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
TREES = st.recursive(
    st.dictionaries(NAMES, st.just(b"x"), max_size=4),
    lambda inner: st.dictionaries(NAMES, inner | st.just(b"x")),
)


@given(TREES)
def test_files_come_in_the_order_of_their_paths_bytes(tree: Tree) -> None:
    paths = read_in(tree)
    assert paths == sorted(paths, key=str.encode)
    assert len(paths) == _files(tree)


def _files(tree: Tree) -> int:
    return sum(_files(entry) if isinstance(entry, dict) else 1 for entry in tree.values())


class Failing(MemoryFolder):
    """A folder in which some paths cannot be had."""

    def __init__(self, tree: Tree, faults: dict[str, list[str]]) -> None:
        super().__init__(tree)
        self.faults = faults

    def _fail(self, path: str) -> None:
        if left := self.faults.get(path):
            raise InputError(left.pop(0), "it failed")

    def entries(self, path: str) -> Iterator[Seen]:
        self._fail(path)
        return super().entries(path)

    def read(self, path: str, bytes_max: int) -> Content:
        self._fail(path)
        return super().read(path, bytes_max)


def test_a_folder_that_cannot_be_listed_is_named_unless_it_is_the_whole() -> None:
    tree: Tree = {"a": {"b": b""}, "c": b""}

    class Unlisted(MemoryFolder):
        def entries(self, path: str) -> Iterator[Seen]:
            if path == "a":
                raise InputError("ACCESS_DENIED", "`a` may not be touched")
            yield from super().entries(path)

    folder: Folder = Unlisted(tree)
    first, second = files_of(folder, ignores_of(folder))
    assert first == Skipped("a", "`a` may not be touched", Reason.UNREADABLE)
    assert second == Source("c", next(s for s in folder.entries(".") if s.name == "c").stamp)
    with pytest.raises(AssentError) as refused:
        list(files_of(MemoryFolder(b""), ignores_of(folder)))  # type: ignore[arg-type]  # a file in the folder's place
    assert refused.value.code == "NOT_A_DIRECTORY"


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ([], None),
        (["FILE_CHANGED", "FILE_CHANGED"], None),
        (["FILE_CHANGED"] * 3, Reason.CHANGED),
        (["FILE_NOT_FOUND"], Reason.CHANGED),
        (["IS_A_DIRECTORY"], Reason.CHANGED),
        (["PATH_ESCAPES"], Reason.LINK),
        (["FILE_KIND_UNSUPPORTED"], Reason.NOT_A_FILE),
        (["FILE_TOO_LARGE"], Reason.TOO_LARGE),
        (["ACCESS_DENIED"], Reason.UNREADABLE),
    ],
)
def test_a_file_is_read_whole_or_named(faults: list[str], reason: Reason | None) -> None:
    found = read(Failing({"a": b"text"}, {"a": list(faults)}), Source("a", Stamp(4, 0)))
    if isinstance(found, Skipped):
        assert found.reason is reason
    else:
        assert (reason, found.data) == (None, b"text")


class Members:
    """Archives whose members are said beforehand."""

    def __init__(self, members: list[tuple[str, bytes]] | None) -> None:
        self._members = members

    def reads(self, path: str) -> bool:
        return path.endswith(".zip")

    def members(self, path: str, data: bytes) -> list[tuple[str, bytes]]:
        if self._members is None:
            raise InputError("ARCHIVE_QUOTA", f"`{path}` holds too much")
        return self._members


def contents(tree: Tree, archives: Members | None) -> dict[str, str]:
    """What is read, and why other things are not."""
    folder = MemoryFolder(tree)
    found = {}
    for one in files_of(folder, ignores_of(folder), archives=archives):
        for inner in [one] if isinstance(one, Skipped) else contents_of(folder, one, archives):
            found[inner.path] = inner.reason.value if isinstance(inner, Skipped) else inner.data[:9].decode()
    return found


def test_an_archive_is_a_file_like_others_unless_it_is_asked_for() -> None:
    tree: Tree = {"a.zip": b"packed", "a.zip!": {"x": b"mine"}, "b!": {"y": b"2"}}
    members = Members([("in/x", b"1"), ("in/\u202ex", b"1"), ("large", bytes(FILE_BYTES_MAX + 1))])
    assert contents(tree, None) == {"a.zip": "packed", "a.zip!/x": "mine", "b!/y": "2"}
    assert contents(tree, members) == {
        "a.zip!/in/x": "1",
        "a.zip!/in/\\u202ex": "name",
        "a.zip!/large": "too_large",
        "a.zip!": "name",
        "b!/y": "2",
    }
    assert contents({"a.zip": b"packed"}, Members(None)) == {"a.zip": "archive"}


def test_no_secret_of_a_name_in_an_archive_is_told() -> None:
    name = "ghp_" + 12 * "Ab1"
    assert contents({"a.zip": b""}, Members([(name, b"1")])) == {"a.zip!/[removed: github-token]": "name"}
    folder = MemoryFolder({f"{name}.zip": b""})
    # As an archive's own error may name what is in it.
    (refused,) = contents_of(folder, Source(f"{name}.zip", Stamp(0, 0)), Members(None))
    assert isinstance(refused, Skipped)
    assert refused.because == "`[removed: github-token].zip` holds too much"


def test_a_large_archive_is_read_where_a_large_file_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    large = bytes(FILE_BYTES_MAX + 1)
    assert contents({"a.zip": large, "b": large}, Members([])) == {"b": "too_large"}
    monkeypatch.setattr(walking, "ARCHIVE_BYTES_MAX", 3)
    assert contents({"a.zip": b"1234"}, Members([])) == {"a.zip": "too_large"}
    folder = MemoryFolder({"a.zip": b"1234"})
    (grown,) = contents_of(folder, Source("a.zip", Stamp(3, 0)), Members([]))
    assert isinstance(grown, Skipped)
    assert grown.reason is Reason.TOO_LARGE
