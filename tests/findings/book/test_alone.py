"""One at a time brings a store up to date, by a lock whose holder is told to whoever waits, and for so long only."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from assent.errors import WorldError
from assent.findings import _sqlite
from assent.findings._sqlite import alone
from assent.findings.book import BookFile, _file, forget


def refusal(lock: Path) -> WorldError:
    with pytest.raises(WorldError) as refused, alone(lock, "the store", 0):
        pass
    assert refused.value.code == "STORAGE_BUSY"
    return refused.value


def test_whoever_waits_too_long_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with alone(lock, "the store", 1):
        assert f"process {os.getpid()} is bringing the store up to date" in refusal(lock).message
        lock.write_bytes(b"nobody")
        assert refusal(lock).message.startswith("another process is bringing")
    with alone(lock, "the store", 0):
        pass


def test_whoever_waits_for_long_is_told_of_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_sqlite, "_TELL_AFTER", 2)
    caplog.set_level(logging.WARNING, "assent.findings")
    lock = tmp_path / "lock"
    with alone(lock, "the store", 1), pytest.raises(WorldError), alone(lock, "the store", 1):
        pass
    assert caplog.messages == [f"process {os.getpid()} is bringing the store up to date, and is waited for"]


def test_what_somebody_reads_is_emptied_in_a_while_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wants it emptied is told so within seconds, holds up nobody else, and can try again."""
    monkeypatch.setattr(_file, "EMPTY_S_MAX", 0)
    path = tmp_path / "findings.db"
    file, other = BookFile(path), BookFile(path)
    with other.whole():
        other.db.execute("INSERT INTO mark VALUES ('word', 'hushed')")
    with file.looking():
        assert file.db.execute("SELECT count(*) FROM mark").get == 1
        with pytest.raises(WorldError) as refused:
            forget(path)
        assert refused.value.code == "ERASE_UNFINISHED"
        with pytest.raises(WorldError) as unmended, other.folding():
            other.db.execute("SELECT * FROM none")
        assert unmended.value.code == "STORAGE_BUSY"
        assert "for 0 seconds" in unmended.value.message
    forget(path)
    file.close()
    assert not any(b"hushed" in one.read_bytes() for one in tmp_path.iterdir())
