"""Folders of programs: held while they are used, kept while they may be applied, and cleared after whoever was killed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assent.capabilities.exec._folders import CAPTURES_MAX, Folders

LEAVE = """
import os, shutil, sys
from pathlib import Path
from assent.capabilities.exec._folders import Folders
folders = Folders(Path(sys.argv[1]), shutil.rmtree)
folders.make("shared").joinpath("f").write_text("x")
folders.make()
print("made", flush=True)
sys.stdin.read()
"""


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
        mine = Folders(home, shutil.rmtree)
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
    folders = Folders(home, shutil.rmtree)
    for number in range(CAPTURES_MAX + 3):
        folders.keep(folders.make(str(number)), "{}")
    assert len([*home.iterdir()]) == CAPTURES_MAX
    assert not folders.named("0").exists()


def test_what_can_not_be_removed_keeps_no_program_from_running(home: Path) -> None:
    def refuse(folder: Path) -> None:
        raise OSError("busy")

    (home / "left").mkdir(parents=True)
    folders = Folders(home, refuse)
    assert folders.make("new").is_dir()
    with pytest.raises(OSError, match="busy"):
        folders.discard(folders.named("new"))
