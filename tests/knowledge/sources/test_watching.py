"""What changed is found by where events say to look, and by looking everywhere when they may have missed something."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import yaml

from assent.capabilities.knowledge import ignores_of
from assent.knowledge.sources import (
    Gone,
    MemoryFolder,
    Skipped,
    Source,
    Stamp,
    Watch,
    Window,
    Windows,
    changes,
    files_of,
)
from assent.knowledge.sources._memory import Tree
from assent.knowledge.sources.watching import places_of


def replayed(said: dict[str, Any]) -> Window:
    """A window that was gathered from as many events as are said, of which the first waited as long as is said."""
    windows = Windows(
        window_ms=said["window_ms"], debounce_ms=said["debounce_ms"], queue_max=said["queue_depth"]
    )
    end = said["max_latency_ms"]
    events = [(end - one["latency_ms"], one["path"]) for one in said.get("events", [])] or [(0, "first")]
    distinct = {path for _, path in events}
    others = [f"path-{number}" for number in range(said["queue_depth"] - len(distinct))]
    rest = islice(cycle([*others, events[0][1]]), said["observed"] - len(events))
    events += [(min(time for time, _ in events) + 1, path) for path in rest]
    for time, path in sorted(events):
        windows.saw([path], time)
        assert windows.due(time) is None
    window = windows.due(end)
    assert window is not None
    assert windows.due(end + 1_000) is None, "the next window is empty"
    return window


def test_windows_keep_the_totals_of_the_samples(samples: Path) -> None:
    folder = samples / "embednexus"
    said = yaml.safe_load((folder / "fixtures" / "filesystem" / "latency-window.yaml").read_text())
    found = [replayed(one) for one in said["latency_windows"]]
    assert [(one.observed, one.max_latency_ms, one.queue_depth) for one in found] == [
        (one["observed"], one["max_latency_ms"], one["queue_depth"]) for one in said["latency_windows"]
    ]
    golden = (folder / "golden" / "filesystem" / "watch-latency-burst.log").read_text()
    assert [(int(a), int(b)) for a, b in re.findall(r"observed: (\d+)\n +max_latency_ms: (\d+)", golden)] == [
        (one.observed, one.max_latency_ms) for one in found
    ]
    assert f"max_queue_depth: {max(one.queue_depth for one in found)}\n" in golden


def test_a_window_closes_when_it_is_quiet_or_has_been_open_long_enough() -> None:
    windows = Windows(window_ms=100, debounce_ms=30)
    assert windows.due(1_000) is None
    windows.saw([], 0)
    assert windows.due_ms is None
    windows.saw(["a"], 10)
    windows.saw(["a", "b"], 20)
    assert windows.due(49) is None
    assert windows.due(50) == Window(frozenset("ab"), 3, 40, 2)
    for time in range(0, 100, 10):
        windows.saw(["c"], time)
    assert windows.due(99) is None
    assert windows.due(100) == Window(frozenset("c"), 10, 100, 1)


def test_too_many_places_are_everything() -> None:
    windows = Windows(queue_max=2)
    for place in "abcd":
        windows.saw([place], 0)
    assert windows.due(1_000) == Window(frozenset("."), 4, 1_000, 1)


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("a", ["a"]),
        ("a/b", ["a/b"]),
        (".", ["."]),
        (".gitignore", ["."]),
        ("a/.gitignore", ["a"]),
        (".git", ["."]),
        ("a/.git/index", ["a"]),
        (".git/info/exclude", ["."]),
        (".git/HEAD", []),
        (".git/info/refs", []),
    ],
)
def test_an_event_says_where_to_look(path: str, places: list[str]) -> None:
    assert places_of([path]) == places


def stamps(folder: MemoryFolder) -> dict[str, Stamp]:
    found = files_of(folder, ignores_of(folder))
    return {one.path: one.stamp for one in found if isinstance(one, Source)}


BEFORE: Tree = {"a": b"1", "b": {"c": b"1", "d": b"1"}, "e": b"1"}
AFTER: Tree = {"a": b"2", "b": {"c": b"2", "x": b"1", "l": "link"}, "f": b"1"}


@pytest.mark.parametrize(
    ("within", "found"),
    [
        (["."], ["a", "b/c", "b/l", "b/x", "f", "-b/d", "-e"]),
        (["b"], ["b/c", "b/l", "b/x", "-b/d"]),
        (["b/c", "e"], ["b/c", "-e"]),
        (["gone"], []),
    ],
)
def test_what_changed_is_told_and_what_is_gone(within: list[str], found: list[str]) -> None:
    folder = MemoryFolder(AFTER)
    met = changes(folder, ignores_of(folder), stamps(MemoryFolder(BEFORE)), within=within)
    assert [f"-{one.path}" if isinstance(one, Gone) else one.path for one in met] == found


class Told:
    """Events that are told at given times."""

    def __init__(self, events: dict[int, list[str]]) -> None:
        self.now = 0
        self.events = events
        self.watched: list[list[str]] = []

    def clock_ms(self) -> int:
        return self.now

    def over(self, folders: Collection[str]) -> None:
        self.watched.append(sorted(folders))

    def wait(self, timeout_ms: int) -> list[str]:
        end = self.now + timeout_ms
        self.now = min((time for time in self.events if time <= end), default=end)
        return self.events.pop(self.now, [])


def watch(tree: Tree, events: Told, sweep_ms: int = 10**9) -> Watch:
    folder = MemoryFolder(tree)
    return Watch(folder, ignores_of(folder), events, events.clock_ms, sweep_ms=sweep_ms)


def looked(watching: Watch, timeout_ms: int = 1_000) -> tuple[set[str], list[str]] | None:
    window = watching.next(timeout_ms)
    if window is None:
        return None
    return set(window.places), [one.path for one in watching.look(window, {})]


def test_everything_is_looked_at_first_and_once_more_when_it_is_watched() -> None:
    events = Told({5_000: ["b/c"], 5_010: ["b/c", "a"]})
    watching = watch(BEFORE, events)
    everything = ({"."}, ["a", "b/c", "b/d", "e"])
    assert looked(watching) == everything
    assert events.watched == [[".", "b"]]
    assert looked(watching) == everything
    assert looked(watching) is None
    assert looked(watching, 10_000) == ({"a", "b/c"}, ["a", "b/c"])
    assert events.now == 5_060
    assert len(events.watched) == 1


def test_a_new_folder_is_watched_and_everything_looked_at() -> None:
    tree: dict[str, Any] = {"a": {}, "b": {}, "c": {"d": {}}}
    events = Told({1_000: ["new", "a"]})
    watching = watch(tree, events)
    for _ in range(2):
        looked(watching)
    del tree["a"]
    tree["new"] = {"in": {"x": b""}}
    assert looked(watching) == ({"a", "new"}, ["new/in/x"])
    assert events.watched[1:] == [[".", "b", "c", "c/d", "new", "new/in"]]
    assert looked(watching) == ({"."}, ["new/in/x"])


def test_everything_is_looked_at_every_now_and_then() -> None:
    events = Told({})
    watching = watch({"a": b""}, events, sweep_ms=2_000)
    for _ in range(2):
        looked(watching)
    assert looked(watching, 1_000) is None
    assert looked(watching, 10_000) == ({"."}, ["a"])
    assert events.now == 2_000


def test_what_is_left_out_is_told_each_time() -> None:
    folder = MemoryFolder({"a": "link"})
    (found,) = changes(folder, ignores_of(folder), {"b": Stamp(0, 0)}, within=["a"])
    assert isinstance(found, Skipped)
