"""Which repositories are to be indexed again: those in whose folders something changed, and every so often all of them.

What is found here only says that an index run has something to do. The run reads for itself, by digests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from assent.capabilities.knowledge._library import PLACE_CHARACTERS_MAX
from assent.knowledge.sources import (
    ROOT,
    Archives,
    Events,
    Folder,
    Gone,
    Ignores,
    Reason,
    Skipped,
    Source,
    Stamp,
    Watch,
)
from assent.knowledge.sources.walking import parents, shown


class Following:
    """Follows `folders`, of repositories by their names, below `folder`. All are due at first, and again every `sweep_ms`.

    `ignores` says what is not read. With `archives` one that changed is news as a file is. It is not opened: the run reads
    what is in it.
    """

    def __init__(
        self,
        folder: Folder,
        events: Events,
        folders: Mapping[str, str],
        clock_ms: Callable[[], int],
        sweep_ms: int,
        *,
        ignores: Ignores,
        archives: Archives | None = None,
    ) -> None:
        self._watch = Watch(folder, ignores, events, clock_ms, archives=archives, sweep_ms=sweep_ms)
        self.folders = folders
        self._known: dict[str, Stamp] = {}
        self._left: dict[str, str] = {}

    def next(self, timeout_ms: int) -> dict[str, set[str]]:
        """The repositories that are due by now, as soon as there are some, each with where in it something happened.

        Empty when the time is up, or nothing came of events.

        `AssentError` where the folder can't be listed, or the machine lets no more be watched.
        """
        window = self._watch.next(timeout_ms)
        if window is None:
            return {}
        places_of = {
            name: _within(map(_told, window.places), folder) for name, folder in self.folders.items()
        }
        places = frozenset[str]().union(*places_of.values())
        due: set[str] = set()
        for one in self._watch.look(replace(window, places=places), self._known) if places else ():
            if self._is_news(one):
                due |= {name for name, folder in self.folders.items() if _within([one.path], folder)}
        return {name: places_of[name] for name in self.folders if name in due or not window.observed}

    def _is_news(self, one: Source | Skipped | Gone) -> bool:
        match one:
            case Source():
                self._known[one.path] = one.stamp
            case Gone():
                del self._known[one.path]
            case Skipped():
                # That one is left out is in the manifest, too; what is ignored is not.
                if one.reason is Reason.IGNORED or self._left.get(one.path) == one.because:
                    return False
                self._left[one.path] = one.because
        return True


def _told(place: str) -> str:
    """A place as it can be named on the record: of a name that can't be shown, or has a secret, the folder."""
    while place != ROOT and (shown(place) != place or len(place) > PLACE_CHARACTERS_MAX):
        place = place.rpartition("/")[0] or ROOT
    return place


def _within(places: Iterable[str], folder: str) -> set[str]:
    """Where in a folder to look, if something happened at these."""
    places = {*places}
    if folder == ROOT:
        return places
    inner = {place for place in places if place == folder or folder in parents(place)}
    is_above = ROOT in places or any(parent in places for parent in parents(folder))
    return inner | ({folder} if is_above else set())
