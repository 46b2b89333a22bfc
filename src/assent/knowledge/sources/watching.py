"""What of a folder has changed: found by looking again where something happened, and by looking everywhere.

Events say only where to look: what they name is compared with what is known, under the same rules as a first look. So an event
too many costs a look, and one that never came is found by the next look at everything: after too many at once, after a new folder
is watched, and every `sweep_ms`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, Protocol

import msgspec

from assent.knowledge.sources.ignoring import GIT, IGNORE_FILE, Ignores
from assent.knowledge.sources.ports import ROOT, Archives, Folder, Stamp
from assent.knowledge.sources.walking import Skipped, Source, files_of, parents

WINDOW_MS: Final = 500
"""How long events are gathered at most."""

DEBOUNCE_MS: Final = 50
"""Quiet for so long, and they are handed on."""

QUEUE_MAX: Final = 1_000
"""Places of one window. With more, everything is looked at: long before the system's own queue is full and loses events."""

SWEEP_MS: Final = 10 * 60_000


class Events(Protocol):
    """What happens in folders."""

    def over(self, folders: Collection[str]) -> None:
        """Watch what these folders hold, each by itself and not what is deeper, and nothing else. One that is gone is let go."""

    def wait(self, timeout_ms: int) -> Collection[str]:
        """The paths of entries to which something happened, as soon as there are some; empty when the time is up."""


class Gone(msgspec.Struct, frozen=True):
    """A file that was known, and is not read any more."""

    path: str


class Window(msgspec.Struct, frozen=True):
    """Events that were gathered: where to look, how many they were, and how long the first of them waited."""

    places: frozenset[str]
    observed: int = 0
    max_latency_ms: int = 0
    queue_depth: int = 0


class Windows:
    """Gathers events until there is quiet, or for as long as a window is open."""

    def __init__(
        self, *, window_ms: int = WINDOW_MS, debounce_ms: int = DEBOUNCE_MS, queue_max: int = QUEUE_MAX
    ) -> None:
        self._window_ms, self._debounce_ms, self._queue_max = window_ms, debounce_ms, queue_max
        self._places: set[str] = set()
        self._observed = self._first = self._last = 0

    def saw(self, places: Collection[str], now_ms: int) -> None:
        """Something happened at each of these."""
        if not places:
            return
        if not self._observed:
            self._first = now_ms
        self._last = now_ms
        self._observed += len(places)
        if ROOT not in self._places:
            self._places.update(places)
            if len(self._places) > self._queue_max:
                self._places = {ROOT}

    @property
    def due_ms(self) -> int | None:
        """When the window closes; None where nothing has happened."""
        if not self._observed:
            return None
        return min(self._last + self._debounce_ms, self._first + self._window_ms)

    def due(self, now_ms: int) -> Window | None:
        """What was gathered, once it is time; then the next window begins."""
        due = self.due_ms
        if due is None or now_ms < due:
            return None
        waited = now_ms - self._first
        window = Window(frozenset(self._places), self._observed, waited, len(self._places))
        self._places, self._observed = set(), 0
        return window


def changes(
    folder: Folder,
    ignores: Ignores,
    known: Mapping[str, Stamp],
    *,
    within: Collection[str] = (ROOT,),
    archives: Archives | None = None,
    entered: Callable[[str], object] = lambda _: None,
) -> Iterator[Source | Skipped | Gone]:
    """The files that are new or not as they are known, all that is left out, then the known ones that are gone."""
    met: set[str] = set()
    for one in files_of(folder, ignores, within=within, archives=archives, entered=entered):
        if isinstance(one, Source):
            met.add(one.path)
            if known.get(one.path) == one.stamp:
                continue
        yield one
    for path in sorted(known.keys() - met, key=str.encode):
        if is_within(path, within):
            yield Gone(path)


class Watch:
    """What happens in a folder, window by window. The first one is everything."""

    def __init__(
        self,
        folder: Folder,
        ignores: Ignores,
        events: Events,
        clock_ms: Callable[[], int],
        *,
        archives: Archives | None = None,
        sweep_ms: int = SWEEP_MS,
    ) -> None:
        self._folder, self._ignores, self._events, self._clock_ms = folder, ignores, events, clock_ms
        self._archives = archives
        self._windows = Windows()
        self._sweep_ms = sweep_ms
        self._sweep_at: int | None = None
        self._watched: set[str] = set()

    def next(self, timeout_ms: int) -> Window | None:
        """The next window, at once where everything is to be looked at; None when the time is up."""
        now = self._clock_ms()
        end = now + timeout_ms
        while True:
            if self._sweep_at is None or now >= self._sweep_at:
                self._sweep_at = now + self._sweep_ms
                return Window(frozenset({ROOT}))
            window = self._windows.due(now)
            if window is not None or now >= end:
                return window
            due = self._windows.due_ms
            until = min(end, self._sweep_at) if due is None else min(end, self._sweep_at, due)
            happened = self._events.wait(max(1, until - now))
            now = self._clock_ms()
            self._windows.saw(places_of(happened), now)

    def look(self, window: Window, known: Mapping[str, Stamp]) -> Iterator[Source | Skipped | Gone]:
        """`changes` in the window's places; new folders are watched when it has ended."""
        met: set[str] = set()
        yield from changes(
            self._folder,
            self._ignores,
            known,
            within=window.places,
            archives=self._archives,
            entered=met.add,
        )
        fresh = met - self._watched
        self._watched = met | {path for path in self._watched if not is_within(path, window.places)}
        if fresh:
            self._events.over(self._watched)
            # What happened in a new folder before it was watched, or in any while the watching began anew, nobody has told.
            self._windows.saw((ROOT,), self._clock_ms())


def places_of(paths: Iterable[str]) -> list[str]:
    """Where to look again after something happened to these: below the folder of an ignore file, or of what git tracks."""
    places: list[str] = []
    for path in paths:
        parts = path.split("/")
        at = len(parts) - 1 if parts[-1] == IGNORE_FILE else len(parts)
        if GIT in parts:
            at = parts.index(GIT)
            if parts[at + 1 :] not in ([], ["index"], ["info"], ["info", "exclude"]):
                continue
        places.append("/".join(parts[:at]) or ROOT)
    return places


def is_within(path: str, places: Collection[str]) -> bool:
    """Whether a path is one of these, or below one."""
    return ROOT in places or path in places or any(parent in places for parent in parents(path))
