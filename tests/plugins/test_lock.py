"""The lock says what is trusted; what somebody else could have written, or nobody can read, trusts nothing."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from assent.plugins.source._lock import Lock, LockEntry
from tests.support.plugins import refused

DIGEST = "a" * 64


def entry(**changes: object) -> LockEntry:
    values: dict[str, object] = {
        "origin": "path notes.py",
        "module": "notes",
        "version": None,
        "digest": DIGEST,
        "manifest": {"name": "notes"},
        "files": {"notes.py": DIGEST},
        "dependencies": {"pydantic": "2.14.0", "absent": None},
        "native": False,
        "trusted_by": "user:alice",
    }
    return LockEntry(**{**values, **changes})  # type: ignore[arg-type]  # as the table above has them


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "assent-plugins.lock"


def test_no_file_trusts_nothing(path: Path) -> None:
    assert Lock.load(path).plugins == {}
    assert Lock.load(path / "below").plugins == {}


def test_what_is_saved_is_loaded(path: Path) -> None:
    Lock.load(path).with_entry("notes", entry()).with_entry("other", entry(native=True)).save()
    assert dict(Lock.load(path).plugins) == {"notes": entry(), "other": entry(native=True)}
    Lock.load(path).without("notes").save()
    assert [*Lock.load(path).plugins] == ["other"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_same_trust_is_the_same_text(path: Path) -> None:
    """A lock is reviewed like code, so nothing in it may move without a reason."""
    Lock(path, {"b": entry(), "a": entry()}).save()
    first = path.read_text()
    Lock(path, {"a": entry(), "b": entry()}).save()
    assert path.read_text() == first


def test_a_link_is_followed_when_it_is_written(path: Path) -> None:
    shared = path.parent / "shared"
    shared.mkdir()
    path.symlink_to(shared / "lock")
    Lock.load(path).with_entry("notes", entry()).save()
    assert path.is_symlink()
    assert [*Lock.load(shared / "lock").plugins] == ["notes"]


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_lock_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    Lock.load(path).with_entry("notes", entry()).save()
    path.chmod(mode)
    assert refused(lambda: Lock.load(path)).code == "PLUGIN_LOCK_PERMISSIONS"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"lock_version": 2, "plugins": {}}',
        '{"lock_version": 1, "plugins": {}, "more": 1}',
        '{"lock_version": 1, "plugins": {"notes": {}}}',
        '{"lock_version": 1, "plugins": {}, "plugins": {}}',
    ],
)
def test_what_is_no_lock_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    error = refused(lambda: Lock.load(path))
    assert error.code == "PLUGIN_LOCK_INVALID"
    assert error.path == str(path)


def test_an_unknown_key_or_a_digest_that_is_none_is_refused(path: Path) -> None:
    Lock.load(path).with_entry("notes", entry()).save()
    data = json.loads(path.read_text())
    data["plugins"]["notes"]["digest"] = "short"
    path.write_text(json.dumps(data))
    assert refused(lambda: Lock.load(path)).code == "PLUGIN_LOCK_INVALID"


def test_what_is_no_plain_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(path)
    assert "not a plain file" in refused(lambda: Lock.load(path)).message
    path.unlink()
    path.symlink_to(path)
    assert refused(lambda: Lock.load(path)).code == "PLUGIN_LOCK_INVALID"
    path.unlink()
    monkeypatch.setattr("assent.plugins._lock_file.LOCK_BYTES_MAX", 3)
    path.write_text("long")
    assert "larger" in refused(lambda: Lock.load(path)).message


def test_a_lock_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    assert refused(Lock(tmp_path / "absent" / "lock", {}).save).code == "WORKSPACE_UNUSABLE"
