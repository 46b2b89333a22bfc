"""What is written to a file that was named: whose failure is told, and that nothing is left of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
