"""Folders of programs: held while they are used, kept while they may be applied, and cleared after whoever was killed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from assent.capabilities.exec._folders import CAPTURES_MAX, Folders, FolderState, look

LEAVE = """
import os, shutil, sys
from pathlib import Path
from assent.capabilities.exec._folders import Folders
folders = Folders(Path(sys.argv[1]), shutil.rmtree, now_ms=lambda: 0, expiry_ms=1000)
folders.make("shared").joinpath("f").write_text("x")
folders.make()
print("made", flush=True)
sys.stdin.read()
"""


class Clock:
    """A clock that stands."""

    now_ms = 1_000_000


CLOCK = Clock()


def folders_in(home: Path, remove: Callable[[Path], None] = shutil.rmtree) -> Folders:
    return Folders(home, remove, now_ms=lambda: CLOCK.now_ms, expiry_ms=1000)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "sandbox"


def test_what_a_killed_process_left_goes_and_what_a_living_one_uses_stays(home: Path) -> None:
    """A name that somebody else uses is given another folder."""
    with subprocess.Popen(
        [sys.executable, "-c", LEAVE, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"made\n"
        theirs = {*home.iterdir()}
        mine = folders_in(home)
        folder = mine.make("shared")
        assert folder.name != "shared"
        assert {*home.iterdir()} == {*theirs, folder}
        other.kill()
        other.wait()
    again = mine.make("shared")
    assert {*home.iterdir()} == {folder, again}
    assert again.name == "shared"
    mine.discard(folder)
    mine.discard(again)
    assert [*home.iterdir()] == []


def test_only_the_newest_captures_are_kept(home: Path) -> None:
    folders = folders_in(home)
    for number in range(CAPTURES_MAX + 3):
        CLOCK.now_ms += 1
        folders.keep(folders.make(str(number)), "{}", run="plan")
    assert len([*home.iterdir()]) == CAPTURES_MAX
    assert not (home / "0").exists()


def test_a_capture_goes_when_it_was_last_shown_too_long_ago(home: Path) -> None:
    """Shown again, it stays for as long again."""
    folders = folders_in(home)
    for name in ("old", "again"):
        folders.keep(folders.make(name), "{}", run="plan")
    CLOCK.now_ms += 600
    again = folders.hold("again")
    assert again is not None
    folders.keep(again, None, run="plan")
    CLOCK.now_ms += 500
    folders.sweep(lambda _run: False)
    assert {one.name for one in home.iterdir()} == {"again"}
    CLOCK.now_ms += 500
    folders_in(home).discard(folders_in(home).make())
    assert [*home.iterdir()] == []


def test_a_capture_of_a_clock_far_in_the_future_goes_and_is_not_kept_until_then(home: Path) -> None:
    folders = folders_in(home)
    CLOCK.now_ms += 400 * 86_400_000
    folders.keep(folders.make("wrong"), "{}", run="plan")
    CLOCK.now_ms -= 400 * 86_400_000 - 999
    folders.keep(folders.make("soon"), "{}", run="plan")
    CLOCK.now_ms -= 999
    folders_in(home).sweep(lambda _run: False)
    assert {one.name for one in home.iterdir()} == {"soon"}


def test_a_capture_goes_with_the_last_run_that_it_was_shown_for(home: Path) -> None:
    """What was shown in a plan may be run until the plan expires, and what somebody uses now stays with him."""
    folders = folders_in(home)
    for name, runs in (("one", ["a"]), ("two", ["a", "b"]), ("planned", ["plan", "a"]), ("used", ["a"])):
        folders.keep(folders.make(name), "{}", run=runs[0])
        for run in runs[1:]:
            folders.keep(home / name, None, run=run)
    assert folders_in(home).hold("used") == home / "used"
    other = folders_in(home)
    assert other.hold("used") is None
    assert other.hold("none") is None
    ended = {"a"}
    other.sweep(ended.__contains__)
    assert {one.name for one in home.iterdir()} == {"two", "planned", "used"}
    ended.add("b")
    other.sweep(ended.__contains__)
    assert {one.name for one in home.iterdir()} == {"planned", "used"}
    folders_in(home / "nowhere").sweep(ended.__contains__)


def test_what_is_there_is_told_with_its_size_and_left_alone(home: Path) -> None:
    folders = folders_in(home)
    folders.keep(folders.make("kept"), "x" * 10_000, run="plan")
    used = folders.make("used")
    (home / "left").mkdir()
    (home / "left" / "f").write_bytes(bytes(200_000))
    found = {one.state: one.size_bytes for one in look(home)}
    assert set(found) == {FolderState.KEPT, FolderState.USED, FolderState.LEFT}
    assert found[FolderState.LEFT] >= 200_000
    assert found[FolderState.KEPT] >= 10_000
    assert used.is_dir()
    assert (home / "left" / "f").exists()
    assert [*look(home / "nowhere")] == []


def test_what_can_not_be_removed_keeps_no_program_from_running(home: Path) -> None:
    def refuse(folder: Path) -> None:
        raise OSError("busy")

    (home / "left").mkdir(parents=True)
    folders = folders_in(home, refuse)
    assert folders.make("new").is_dir()
    with pytest.raises(OSError, match="busy"):
        folders.discard(home / "new")
