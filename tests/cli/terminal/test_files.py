"""What is written to a file that was named: whose failure is told, and that nothing is left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assent.cli.terminal import _files
from assent.cli.terminal._files import written_whole
from assent.errors import InputError


def failing() -> Iterator[bytes]:
    yield b"begun"
    raise PermissionError(13, "of the store")


def test_what_fails_where_the_bytes_come_from_is_no_failure_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="of the store"):
        written_whole(tmp_path / "report", failing())
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "report", Path("/dev/full")):
        with pytest.raises(InputError) as told:
            written_whole(path, [b"x" * 100])
        assert told.value.code == "FILE_UNWRITABLE"
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError):
        written_whole(tmp_path / "folder", [b"x"])
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]
    assert written_whole(tmp_path / "report", [b"x", b"yz"]) == 3
    assert (tmp_path / "report").read_bytes() == b"xyz"


@pytest.mark.parametrize("lacking", ["", "O_TMPFILE", "/proc"])
def test_a_file_takes_its_name_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    if lacking == "O_TMPFILE":  # as on a file system that knows none
        monkeypatch.delattr(os, "O_TMPFILE")
    elif lacking:
        monkeypatch.setattr(_files, "_DESCRIPTORS", tmp_path / "none")
    path = tmp_path / "report"
    path.write_bytes(b"before")
    path.chmod(0o640)
    seen: list[list[str]] = []

    def chunks() -> Iterator[bytes]:
        seen.append([one.name for one in tmp_path.iterdir()])
        yield b"after"

    assert written_whole(path, chunks()) == 5
    assert [len(names) for names in seen] == [2 if lacking else 1]
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"after", 0o640)
    assert [one.name for one in tmp_path.iterdir()] == ["report"]


def test_whoever_is_killed_while_it_is_written_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys, time\n"
        "from assent.cli.terminal._files import written_whole\n"
        "def chunks():\n"
        "    yield b'x' * 100_000\n"
        "    os.kill(os.getpid(), 9)\n"
        "written_whole(pathlib.Path(sys.argv[1]), chunks())\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "report")], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [*tmp_path.iterdir()] == []
