"""What askers may see of a store: a part for each repository, and which of the parts a search goes to."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Final, TypeAlias

from assent.capabilities.knowledge._models import LEXICAL, in_order, vectors_of

if TYPE_CHECKING:
    from assent.knowledge.asking import Part, Told, View
    from assent.knowledge.cleaning import Mark
    from assent.knowledge.routing import Route, Routing
    from assent.knowledge.store import Held, Piece, Store

ASKERS_MAX: Final = 8
"""Of so many an asker's roles and states of the index, what was read is kept."""

_Roles: TypeAlias = frozenset[str]
_Read: TypeAlias = "list[tuple[Piece, Part, Mapping[int, Held]]]"
"""With the files, by their rows, of which there is more to be told than what is in a chunk."""


class _Asker:
    """What who has some roles may see of one state of the index, as far as it is read."""

    def __init__(self) -> None:
        self.parts: dict[str, Future[_Read]] = {}
        self.joined: tuple[list[str], View] | None = None


class Views:
    """The views of one library."""

    def __init__(
        self,
        routing: Routing,
        labels_of: Callable[[str], Sequence[str]],
        may_see: Callable[[str, _Roles], bool],
        now_ms: Callable[[], int],
    ) -> None:
        self._routing, self._labels_of, self._may_see, self._now_ms = routing, labels_of, may_see, now_ms
        self._guard = threading.Lock()
        self._askers: OrderedDict[tuple[int, _Roles], _Asker] = OrderedDict()

    def clear(self) -> None:
        """Forget what was read; what is being read is for nobody any more."""
        with self._guard:
            self._askers.clear()

    def whole(self, store: Store, roles: _Roles) -> View:
        """All that may be seen, however long it takes."""
        asker = self._asker(store, roles)
        begun = {name: self._begun(asker, store, roles, name) for name in store.repositories()}
        wait(begun.values())
        return self._joined(asker, store, begun)

    def routed(
        self, store: Store, roles: _Roles, among: Collection[str], wanted: Collection[str], *, sees_all: bool
    ) -> tuple[View, list[Route]]:
        """What of these repositories is read in time, and which of the `wanted` (none: all) that is.

        Those that are late go on being read, for a later search. Of which nothing may be seen, none is told. `sees_all`: nothing
        is hidden from who asks.
        """
        import numpy as np

        began_ms = self._now_ms()
        asker = self._asker(store, roles)
        # Those with a budget first: their time runs while the others are read. Those that are past it are not read.
        lefts = {name: self._routing.left_ms(name) for name in among}
        names = sorted(lefts, key=lambda name: lefts[name] is None)
        begun = {name: self._begun(asker, store, roles, name) for name in names if (lefts[name] or 0) >= 0}

        def read(name: str, left_ms: float | None) -> bool | None:
            part = begun.get(name)
            if part is not None:
                spent_ms = self._now_ms() - began_ms
                wait([part], None if left_ms is None else max(0, left_ms - spent_ms) / 1_000)
                if part.done():
                    return _failed(part) or any(np.any(own.visible) for _, own, _ in part.result()) or None
            is_seen = sees_all or any(self._may_see(one.path, roles) for one in store.files(name))
            return False if is_seen else None

        routes = self._routing.routes(names, wanted, read)
        left = {one.repository for one in routes if not one.is_searched}
        done = {name: part for name, part in begun.items() if name not in left and part.done()}
        return self._joined(asker, store, done), routes

    def _asker(self, store: Store, roles: _Roles) -> _Asker:
        key = (store.head().number, roles)
        with self._guard:
            asker = self._askers.setdefault(key, _Asker())
            self._askers.move_to_end(key)
            while len(self._askers) > ASKERS_MAX:
                self._askers.popitem(last=False)
            return asker

    def _begun(self, asker: _Asker, store: Store, roles: _Roles, name: str) -> Future[_Read]:
        """The part of a repository: done, being read in a thread of its own where it has a budget, or by somebody else."""
        with self._guard:
            if name in asker.parts:
                return asker.parts[name]
            part = asker.parts[name] = Future()

        def read() -> None:
            try:
                part.set_result(self._read(store, roles, name))
            except BaseException as error:  # noqa: BLE001  # it is raised to whoever asks for the part
                part.set_exception(error)

        if self._routing.left_ms(name) is not None:
            threading.Thread(target=read, name="assent-part", daemon=True).start()
        else:
            read()
        return part

    def _read(self, store: Store, roles: _Roles, name: str) -> _Read:
        held = {one.row: one for one in store.files(name)}
        near = vectors_of(store, name)
        rows = {row for row, one in held.items() if self._may_see(one.path, roles)}
        told = {row: one for row, one in held.items() if one.label or one.marks}
        return [
            (piece, _part(name, piece, held, rows)._replace(vectors=near.get(piece.name, ())), told)
            for piece in in_order(store.pieces(name, LEXICAL))
        ]

    def _joined(self, asker: _Asker, store: Store, done: Mapping[str, Future[_Read]]) -> View:
        from assent.knowledge.asking import View

        names = sorted(done)
        kept = asker.joined
        if kept is None or kept[0] != names:
            try:
                every = [one for name in names for one in done[name].result()]
            except BaseException:
                with self._guard:
                    asker.parts = {name: one for name, one in asker.parts.items() if not _failed(one)}
                raise
            reader = _Reader(store, self._labels_of, every)
            kept = asker.joined = names, View([part for _, part, _ in every], reader)
        return kept[1]


def _failed(part: Future[_Read]) -> bool:
    return part.done() and part.exception() is not None


def _part(repository: str, piece: Piece, held: Mapping[int, Held], visible: Collection[int]) -> Part:
    import numpy as np

    from assent.knowledge.asking import Part
    from assent.knowledge.lexical import StoredSegment

    words, rows = StoredSegment(piece), piece.rows.tolist()
    # What was indexed again since, or removed, has no row any more.
    seen = np.array([row in visible for row in rows], np.bool_)
    languages = tuple(held[row].language if row in held else "" for row in rows)
    changed_ms = np.array([held[row].changed_ms if row in held else 0 for row in rows], np.int64)
    return Part(words, repository, languages, changed_ms, (), seen[words.files])


class _Reader:
    """Reads chunks for answers."""

    def __init__(self, store: Store, labels_of: Callable[[str], Sequence[str]], parts: _Read) -> None:
        self._store, self._labels_of, self._parts = store, labels_of, parts

    def __call__(self, part: int, chunk: int) -> Told:
        import numpy as np

        from assent.knowledge.asking import Told

        piece, own, more = self._parts[part]
        files = own.words.files
        file = int(files[chunk])
        row, number = int(piece.rows[file]), chunk - int(np.searchsorted(files, file))
        cut = self._store.cuts(row)[number]
        text = self._store.text(row, number).decode()
        labels = [*self._labels_of(own.words.paths[file])]
        marks: tuple[Mark, ...] = ()
        if (held := more.get(row)) is not None:
            labels += [held.label] * bool(held.label)
            marks = tuple(one for one in held.marks if one.line <= cut.end_line and cut.line <= one.end_line)
        language = own.languages[file]
        return Told(cut.line, cut.end_line, cut.symbol, language, text, ", ".join(labels), marks)
