"""Which repositories are due after something happened, by what stands in their folders then."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from assent.capabilities.fs import ConfinedFiles
from assent.capabilities.knowledge import ConfinedFolder, Following, ignores_of
from assent.knowledge.chunks import FILE_BYTES_MAX
from assent.runtime.service.knowledge_admin import following
from assent.runtime.settings.effective import Settings
from tests.support.patience import PATIENCE_S
from tests.support.watched import Told

FOLDERS = {"all": ".", "code": "src", "deep": "src/inner"}


def due(root: Path, folders: dict[str, str], acts: list[str]) -> list[list[str]]:
    """What is due after each of these: a file written, a `-` before one removed, a `@` before one that is a link then."""
    told = Told()
    found: list[list[str]] = []
    for name in ("src/inner", "docs"):
        (root / name).mkdir(parents=True)
    (root / ".gitignore").write_text("*.log\n")
    with closing(ConfinedFiles(root)) as files:
        folder = ConfinedFolder(files)
        following = Following(
            folder, told, folders, told.clock_ms, sweep_ms=60_000, ignores=ignores_of(folder)
        )
        everything = {name: {folder} for name, folder in folders.items()}
        assert following.next(10) == everything
        assert following.next(2_000) == {}  # again, now that everything is watched
        for act in acts:
            path = root / act.lstrip("-@")
            path.unlink(missing_ok=True)
            if act.startswith("@"):
                path.symlink_to("/")
            elif not act.startswith("-"):
                path.write_text(act * (len(found) + 1))
            told.paths = [act.lstrip("-@")]
            found.append(sorted(following.next(2_000)))
        told.now_ms = 120_000
        assert following.next(10) == everything
    return found


@pytest.mark.parametrize(
    ("act", "wanted"),
    [
        ("src/a.py", ["all", "code"]),
        ("src/inner/a.py", ["all", "code", "deep"]),
        ("docs/a.md", ["all"]),
        ("a.md", ["all"]),
        ("src/a.log", []),
        ("@src/a", ["all", "code"]),
    ],
)
def test_those_are_due_in_whose_folder_it_is(tmp_path: Path, act: str, wanted: list[str]) -> None:
    path = act.lstrip("@")
    same = [path] if act.endswith(".log") else [act]
    again = [] if act.startswith("@") else wanted  # a link that is one still is no news
    gone = wanted if not act.startswith("@") else []
    assert due(tmp_path, FOLDERS, [act, *same, f"-{path}"]) == [wanted, again, gone]


def test_a_list_of_what_is_ignored_counts_for_all_below_it(tmp_path: Path) -> None:
    folders = {"code": "src", "docs": "docs"}
    acts = ["src/a.log", "docs/a.md", ".gitignore", "src/.gitignore"]
    assert due(tmp_path, folders, acts) == [[], ["docs"], ["code"], ["code"]]


def test_what_is_in_no_repository_is_not_looked_at(tmp_path: Path) -> None:
    assert due(tmp_path, {"code": "src"}, ["a.md", "docs/a.md", "-a.md"]) == [[], [], []]


def test_an_archive_that_changed_is_news(tmp_path: Path, clean_env: dict[str, str]) -> None:
    """Also where any other file of its size is left out as too large each time."""
    (tmp_path / "assent.toml").touch()
    packed = tmp_path / "a.zip"
    packed.write_bytes(b"x" * FILE_BYTES_MAX)
    settings = Settings.resolve(environ=clean_env, cwd=tmp_path)
    with following(settings, [], sweep_ms=10 * PATIENCE_S * 1_000) as found:
        assert found.next(1) == {"workspace": {"."}}
        assert found.next(PATIENCE_S * 1_000) == {}  # again, now that everything is watched
        for _ in range(2):
            with packed.open("ab") as file:
                file.write(b"x")
            assert any(found.next(1_000) for _ in range(PATIENCE_S))
