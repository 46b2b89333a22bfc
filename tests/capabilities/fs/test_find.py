"""Finding and searching: what a selection names, in one order, without what is ignored, and always with an end."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assent.capabilities.fs import _find, _search
from assent.capabilities.fs._globs import rules_of
from assent.invocation import GlobalContext, NoEffectError
from assent.invocation.context.local import Surroundings
from assent.system import SystemClock, spawn
from tests.support.hands import Hands, PlainWorld
from tests.support.seeds import examples

FILES = {
    ".gitignore": "*.log\n/build/\n!keep.log\nnode_modules\n",
    "a.py": "import os\nprint('ä', os.name)\n",
    "b.log": "import",
    "keep.log": "import",
    "build/out.py": "import",
    "docs/.gitignore": "secret*\n!secret.md\n",
    "docs/secret.txt": "import",
    "docs/secret.md": "Import this\n",
    "docs/node_modules/x.py": "import",
    ".hidden/h.py": "import",
    "data.bin": "import\0x",
    "src/deep/er/c.py": "one\nimport re\nthree\r\nimport import\nlast import",
}


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text.encode())
    (tmp_path / "link").symlink_to("a.py")
    made = Hands.on(tmp_path)
    yield made
    made.workspace.close()


def paths(hands: Hands, **parameters: Any) -> list[str]:
    return [entry["path"] for entry in hands.read("io.fs.find", **parameters)["entries"]]


def test_files_are_found_in_one_order_without_what_is_ignored(hands: Hands) -> None:
    assert paths(hands) == ["a.py", "data.bin", "docs/secret.md", "keep.log", "src/deep/er/c.py"]
    assert paths(hands, globs=["*.py"]) == ["a.py", "src/deep/er/c.py"]
    assert paths(hands, globs=["*.py"], gitignore=False) == [
        "a.py", "build/out.py", "docs/node_modules/x.py", "src/deep/er/c.py",
    ]  # fmt: skip
    assert paths(hands, globs=["*.py"], include_hidden=True) == [".hidden/h.py", "a.py", "src/deep/er/c.py"]
    assert paths(hands, globs=["*.py", "!/a.py"]) == ["src/deep/er/c.py"]
    assert paths(hands, globs=["*.py"], exclude=["deep/"]) == ["a.py"]
    assert paths(hands, globs=["/src/**/c.*"]) == ["src/deep/er/c.py"]
    assert paths(hands, max_depth=1) == ["a.py", "data.bin", "keep.log"]
    assert paths(hands, kinds=["directory", "symlink"]) == ["docs", "link", "src", "src/deep", "src/deep/er"]


def test_a_walk_may_begin_below_and_still_obeys_what_stands_above(hands: Hands) -> None:
    assert paths(hands, path="docs") == ["docs/secret.md"]
    assert paths(hands, path="src", globs=["deep/er/*"]) == ["src/deep/er/c.py"]
    assert paths(hands, path="b.log") == ["b.log"]  # what is named itself is meant
    for path, code in (
        ("gone", "FILE_NOT_FOUND"),
        ("link", "PATH_ESCAPES"),
        ("../x", "PATH_ESCAPES"),
        (".assent", "PATH_PROTECTED"),
    ):
        with pytest.raises(NoEffectError) as caught:
            hands.read("io.fs.find", path=path)
        assert caught.value.code == code


def test_sizes_and_ages_narrow_it_down(hands: Hands) -> None:
    assert paths(hands, min_size=40, globs=["*.py"]) == ["src/deep/er/c.py"]
    assert paths(hands, max_size="10B", kinds=["file", "directory"]) == ["data.bin", "keep.log"]
    now = SystemClock().now_ms()
    os.utime(hands.root / "a.py", (now / 1000 - 7200, now / 1000 - 7200))
    around = Surroundings()
    around.app = GlobalContext(clock=SystemClock(), spawn=spawn)

    def aged(**parameters: Any) -> list[str]:
        step = hands.step("io.fs.find", **parameters)
        step.context._around = around
        return [entry["path"] for entry in step.execute()["entries"]]

    assert aged(older_than="1h") == ["a.py"]
    assert "a.py" not in aged(newer_than="1h")
    assert aged(newer_than="3h", older_than="1h") == ["a.py"]


def test_it_ends_where_it_was_told_to(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = hands.read("io.fs.find", limit=2)
    assert [entry["path"] for entry in answer["entries"]] == ["a.py", "data.bin"]
    assert answer["truncated"]
    assert not hands.read("io.fs.find", limit=5)["truncated"]
    monkeypatch.setattr(_find, "VISITED_MAX", 3)
    answer = hands.read("io.fs.find")
    assert answer["truncated"]
    assert len(answer["entries"]) <= 3


def test_a_cancelled_call_stops(hands: Hands) -> None:
    for step in (hands.step("io.fs.find"), hands.step("io.fs.search", pattern="import")):
        step.context.cancel.cancel()
        with pytest.raises(NoEffectError) as caught:
            step.execute()
        assert caught.value.code == "CALL_CANCELLED"


def test_a_glob_that_is_none_is_refused_and_an_ignored_one_is_not(hands: Hands) -> None:
    for glob in ("\\", "#x", "/", "[", " ", "x\\"):
        with pytest.raises(NoEffectError) as caught:
            hands.read("io.fs.find", globs=[glob])
        assert (caught.value.code, caught.value.path) == ("PATTERN_INVALID", "globs[0]")
    (hands.root / ".gitignore").write_text("x\\\n[\n#\n\r\n*.bin\r\n")
    assert "data.bin" not in paths(hands)
    (hands.root / ".gitignore").write_text("x\n" * 6000)
    with pytest.raises(NoEffectError) as caught:
        hands.read("io.fs.find")
    assert (caught.value.code, caught.value.path) == ("IGNORE_FILE_INVALID", ".gitignore")
    (hands.root / ".gitignore").write_text("x" * 2000)
    with pytest.raises(NoEffectError) as caught:
        hands.read("io.fs.find")
    assert caught.value.path == ".gitignore:1"
    (hands.root / ".gitignore").write_text("#" * (300 << 10))
    with pytest.raises(NoEffectError, match="bytes"):
        hands.read("io.fs.find")
    assert paths(hands, gitignore=False, globs=["a.py"]) == ["a.py"]


def test_hostile_globs_take_linear_time(hands: Hands) -> None:
    """With an engine that backtracks, each of these names would take longer than the world exists."""
    name = "a" * 250
    (hands.root / name).write_text("x")
    for glob in (
        "*a" * 60 + "b",
        "**/" * 40 + "b",
        "*" * 900,
        "a*" * 400,
        "[a-z]*" * 100 + "9",
        "?" * 249 + "*b",
    ):
        (hands.root / ".gitignore").write_text(glob)
        paths(hands, globs=[glob])


def test_many_rules_are_matched_as_one(hands: Hands) -> None:
    (hands.root / ".gitignore").write_text("".join(f"file-{n}*\n" for n in range(4000)) + "!file-7x\n")
    for name in ("file-7x", "file-77", "file-3999z", "other"):
        (hands.root / name).write_text("x")
    assert {"file-7x", "other"} <= set(paths(hands))
    assert not {"file-77", "file-3999z"} & set(paths(hands))


def test_folders_that_go_while_they_are_walked_are_left_out(hands: Hands) -> None:
    class Going:
        def __getattr__(self, name: str) -> Any:
            return getattr(hands.workspace.files, name)

        def list(self, path: str) -> list[str]:
            if path == "src/deep":
                raise NoEffectError("FILE_NOT_FOUND", "gone")
            return hands.workspace.files.list(path)

        def stat(self, path: str) -> Any:
            return None if path == "a.py" else hands.workspace.files.stat(path)

    step = hands.step("io.fs.find", globs=["*.py"]).on(PlainWorld(Going()))
    assert step.execute()["entries"] == []


GLOBS = st.lists(
    st.sampled_from(
        r"a b/ * *.x /a a/b **/b a/** !a !b/ !*.x /a/* !/a/b ? [ab] [!a] */ \!a ** !c.x a/*/ d/**/e.x".split()
    ),
    max_size=4,
)


@given(top=GLOBS, below=GLOBS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_git_ignores_the_same_files(tmp_path: Path, top: list[str], below: list[str]) -> None:
    """Git itself judges: the files that it would not ignore are those that are found."""
    base = tmp_path / os.urandom(8).hex()
    for path in ("a/b/a", "a/b/c.x", "a/a", "a/!a", "b/a/b", "b/c", "c.x", "d/b/e.x", "d/a"):
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text("")
    (base / ".gitignore").write_text("\n".join(top))
    (base / "a" / ".gitignore").write_text("\n".join(below))
    subprocess.run(["git", "init", "-q", "."], cwd=base, check=True, env=git_environment(base))
    told = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard", "-z"],
        cwd=base, capture_output=True, check=True, env=git_environment(base),
    ).stdout.decode()  # fmt: skip
    hands = Hands.on(base)
    found = paths(hands, include_hidden=True)
    hands.workspace.close()
    assert sorted(found) == sorted(path for path in told.split("\0") if path)


def git_environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}


@given(st.text(max_size=30), st.text(alphabet="ab/*x.", max_size=20))
@settings(max_examples=examples(200), deadline=None)
def test_no_glob_makes_it_fail_otherwise(glob: str, path: str) -> None:
    with suppress(NoEffectError):
        rules_of([glob], source="globs").verdict(path, is_directory=False)


def test_lines_are_found_with_their_places(hands: Hands) -> None:
    answer = hands.read("io.fs.search", pattern=r"import\b", context=1)
    assert [
        (hit["path"], hit["line"], [p["column"] for p in hit["positions"]]) for hit in answer["hits"]
    ] == [
        ("a.py", 1, [1]),
        ("keep.log", 1, [1]),
        ("src/deep/er/c.py", 2, [1]),
        ("src/deep/er/c.py", 4, [1, 8]),
        ("src/deep/er/c.py", 5, [6]),
    ]
    hit = answer["hits"][3]
    assert (hit["before"], hit["text"], hit["after"]) == (["three"], "import import", ["last import"])
    assert hit["positions"][1] == {"column": 8, "length": 6}
    assert (answer["files"], answer["truncated"]) == (4, False)
    assert answer["skipped"] == {"binary": 1, "large": 0, "unreadable": 0}


def test_columns_count_characters_and_case_may_be_ignored(hands: Hands) -> None:
    (hit,) = hands.read("io.fs.search", pattern="os.name", literal=True, path="a.py")["hits"]
    assert hit["positions"] == [{"column": 12, "length": 7}]
    hits = hands.read("io.fs.search", pattern="^IMPORT THIS$", ignore_case=True)["hits"]
    assert [hit["path"] for hit in hits] == ["docs/secret.md"]
    assert hands.read("io.fs.search", pattern="(", literal=True)["hits"] != []


def test_a_match_never_leaves_its_line(hands: Hands) -> None:
    (hands.root / "m").write_text("a\nb\n\nend\n")
    found = hands.read("io.fs.search", pattern=r"a\sb|[^x]end|(?s)b.*", globs=["m"])["hits"]
    assert [(hit["line"], hit["text"]) for hit in found] == [(2, "b")]
    found = hands.read("io.fs.search", pattern="^$", globs=["m"])["hits"]
    assert [hit["line"] for hit in found] == [3]
    found = hands.read("io.fs.search", pattern="^|x", globs=["m"])["hits"]
    assert [hit["line"] for hit in found] == [1, 2, 3, 4]
    assert (
        hands.read("io.fs.search", pattern="[^a]", globs=["keep.log"])["hits"][0]["positions"][0]["column"]
        == 1
    )


def test_long_lines_are_cut_and_many_matches_too(hands: Hands) -> None:
    (hands.root / "long").write_text("x" * 3000 + "\n")
    (hit,) = hands.read("io.fs.search", pattern="x", globs=["long"])["hits"]
    assert len(hit["text"]) == 501
    assert hit["text"].endswith("…")
    assert len(hit["positions"]) == _search.POSITIONS_MAX


def test_limits_end_a_search_and_it_says_so(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = hands.read("io.fs.search", pattern="import", limit=2)
    assert (len(answer["hits"]), answer["truncated"]) == (2, True)
    answer = hands.read("io.fs.search", pattern="import", limit=1, path="src")
    assert (len(answer["hits"]), answer["truncated"]) == (1, True)
    answer = hands.read("io.fs.search", pattern="import", max_file_size=10)
    assert (answer["skipped"]["large"], answer["truncated"]) == (3, False)
    monkeypatch.setattr(_search, "SEARCHED_BYTES_MAX", 30)
    assert hands.read("io.fs.search", pattern="import")["truncated"]


def test_files_that_cannot_be_read_are_counted(hands: Hands) -> None:
    class Going:
        def __getattr__(self, name: str) -> Any:
            return getattr(hands.workspace.files, name)

        def read(self, path: str) -> Iterator[bytes]:
            if path == "a.py":
                raise NoEffectError("ACCESS_DENIED", "no")
            if path == "keep.log":
                return iter([b"import" * (1 << 20)])
            if path == "docs/secret.md":
                raise NoEffectError("FILE_FAILED", "broken")
            return hands.workspace.files.read(path)

    step = hands.step("io.fs.search", pattern="import", globs=["a.py", "keep.log"])
    assert step.on(PlainWorld(Going())).execute()["skipped"]["unreadable"] == 2
    step = hands.step("io.fs.search", pattern="import")
    with pytest.raises(NoEffectError) as caught:
        step.on(PlainWorld(Going())).execute()
    assert caught.value.code == "FILE_FAILED"


def test_a_pattern_that_cannot_be_linear_is_refused(hands: Hands) -> None:
    for pattern, words in (
        (r"(a)\1", "back-reference"),
        ("(?=a)", "look-around"),
        ("(", "missing )"),
        (r"a\Z", "\\z"),
    ):
        with pytest.raises(NoEffectError) as caught:
            hands.read("io.fs.search", pattern=pattern)
        assert (caught.value.code, caught.value.path) == ("PATTERN_INVALID", "pattern")
        assert words in caught.value.message
        assert caught.value.hint


TEXTS = st.lists(st.text(alphabet="ab ü", max_size=6), max_size=6)


@given(
    lines=TEXTS,
    ends=st.booleans(),
    pattern=st.sampled_from(["a", "^a", "b$", "a+b?", "ü", "^$", "a|b", "[^b]"]),
)
@settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_lines_are_those_that_the_standard_library_finds(
    tmp_path: Path, lines: list[str], pattern: str, ends: bool
) -> None:
    base = tmp_path / os.urandom(8).hex()
    base.mkdir()
    text = "\n".join(lines) + ("\n" if ends else "")
    (base / "t").write_text(text)
    hands = Hands.on(base)
    found = {
        hit["line"]: [(p["column"], p["length"]) for p in hit["positions"]]
        for hit in hands.read("io.fs.search", pattern=pattern)["hits"]
    }
    hands.workspace.close()
    pieces = text.split("\n")
    if pieces[-1] == "" and len(pieces) > 1:
        pieces.pop()
    wanted = {
        number: [(m.start() + 1, len(m.group())) for m in re.finditer(pattern, line)]
        for number, line in enumerate(pieces, start=1)
    }
    assert found == {number: places for number, places in wanted.items() if places}
