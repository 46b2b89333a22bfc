"""One at a time brings a store up to date, by a lock whose holder is told to whoever waits, and for so long only."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from assent.errors import WorldError
from assent.findings import _sqlite
from assent.findings._sqlite import alone


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
