"""A change in a real folder is found, however many there are, and nothing outside of it is watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from assent.capabilities.fs import ConfinedFiles
from assent.capabilities.knowledge import ConfinedFolder, FolderEvents, ignores_of
from assent.errors import WorldError
from assent.knowledge.sources import Gone, Skipped, Stamp, Watch
from tests.support.patience import PATIENCE_S


@pytest.fixture
def events(tmp_path: Path) -> Iterator[FolderEvents]:
    with closing(FolderEvents(tmp_path)) as events:
        yield events


@pytest.fixture
def watching(tmp_path: Path, events: FolderEvents) -> Iterator[Watch]:
    with closing(ConfinedFiles(tmp_path)) as files:
        folder = ConfinedFolder(files)
        clock = lambda: time.monotonic_ns() // 1_000_000  # noqa: E731  # a name for one expression
        yield Watch(folder, ignores_of(folder), events, clock)


def follow(watching: Watch, known: dict[str, Stamp], wanted: set[str]) -> None:
    """Look where there is something to see until just the wanted files are known."""
    end = time.monotonic() + PATIENCE_S
    while known.keys() != wanted:
        assert time.monotonic() < end, f"{len(known.keys() ^ wanted)} changes never came"
        window = watching.next(100)
        for one in [] if window is None else list(watching.look(window, known)):
            if isinstance(one, Gone):
                del known[one.path]
            elif not isinstance(one, Skipped):
                known[one.path] = one.stamp


def test_a_burst_of_ten_thousand_changes_loses_none(tmp_path: Path, watching: Watch) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "first").write_bytes(b"")
    known: dict[str, Stamp] = {}
    follow(watching, known, {"old/first"})
    wanted = {f"old/{number}" for number in range(4_000)}
    wanted |= {f"new-{number % 20}/deep/{number}" for number in range(6_000)}

    def burst() -> None:
        (tmp_path / "old" / "first").unlink()
        for path in sorted(wanted):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(b"x")

    writer = threading.Thread(target=burst)
    writer.start()
    follow(watching, known, wanted)
    writer.join()
    (tmp_path / "old" / "7").unlink()
    (tmp_path / "new-3").rename(tmp_path / "old" / "moved")
    wanted = {path.replace("new-3/", "old/moved/") for path in wanted} - {"old/7"}
    follow(watching, known, wanted)


def test_nothing_that_a_link_leads_to_is_watched(tmp_path: Path, events: FolderEvents) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    with closing(FolderEvents(inside)) as watched:
        watched.over([".", "link", "gone"])
        (outside / "secret").write_bytes(b"")
        (inside / "seen").write_bytes(b"")
        found: set[str] = set()
        while "seen" not in found:
            found |= set(watched.wait(100))
    assert found == {"seen"}


def test_a_change_of_gits_list_is_seen(tmp_path: Path, events: FolderEvents) -> None:
    (tmp_path / ".git" / "info").mkdir(parents=True)
    events.over(["."])
    assert events.wait(1) == []
    (tmp_path / ".git" / "index").write_bytes(b"")
    (tmp_path / ".git" / "info" / "exclude").write_bytes(b"")
    found: set[str] = set()
    while not found >= {".git/index", ".git/info/exclude"}:
        found |= set(events.wait(100))


def test_what_the_system_says_is_told(events: FolderEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception] = [FileNotFoundError(), OSError("watch limit reached")]

    class Notify:
        def __init__(self, *_: object) -> None:
            if answers:
                raise answers.pop(0)

        def watch(self, *_: object) -> str:
            return "signal"

        def close(self) -> None:
            pass

    monkeypatch.setattr("watchfiles._rust_notify.RustNotify", Notify)
    with pytest.raises(WorldError, match="watch no more folders: watch limit reached"):
        events.over(["."])
    events.over(["."])
    with pytest.raises(KeyboardInterrupt):
        events.wait(1)
