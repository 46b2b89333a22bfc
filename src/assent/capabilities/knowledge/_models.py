"""The model of a store: which one it is, and the vectors that it made of what was indexed.

A store has one model at a time. Its record is a piece of a repository of its own, which no configuration can name, so that
taking another model is a generation as everything else, and can be taken back. Vectors of another model are never looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from assent.errors import AssentError, InputError, Json, WorldError
from assent.spec.values.typed import decode
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from assent.capabilities.knowledge._endpoint import Endpoint
    from assent.invocation import LocalContext
    from assent.knowledge.asking import Meaning
    from assent.knowledge.embedding import Embedder, ModelRecord
    from assent.knowledge.manifest import Cut
    from assent.knowledge.store import Piece, Rewriter, Store
    from assent.knowledge.vectors import Segment

MODELS: Final = "assent: models"
"""The repository of the record: no name in a configuration has a space."""
LEXICAL: Final = "lexical"
VECTORS: Final = "vectors"
VECTORS_AT_ONCE: Final = 2_048
"""Vectors that are made before they are kept, and searched with: what is lost when the process ends."""
_TEXTS_AT_ONCE: Final = 64

Failed: TypeAlias = "Callable[[AssentError], object]"
"""Hears why a model made no vectors, so that words alone can do."""


class Kept(msgspec.Struct, frozen=True):
    """A model that was added: its folder, none for one behind an endpoint, and what it was then."""

    folder: str
    record: ModelRecord


PATIENCE_MS: Final = 1_000
"""A model that lets a question wait so long, and then fails it, is left alone for `REST` times as long as that."""
REST: Final = 10


class Models:
    """The model of a store. `cache` is where converted models are, `endpoints` are those of the configuration.

    `now_ms` is a clock that never steps back.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        cache: Path,
        endpoints: Mapping[str, Mapping[str, Json]] | None = None,
        now_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        self._endpoints = endpoints or {}
        self._now_ms = now_ms
        self._rests: tuple[str, int, AssentError] | None = None
        self._store = store
        self._cache = cache
        self._guard = threading.Lock()
        self._opened: tuple[str, Embedder] | None = None

    def kept(self) -> Kept | None:
        """What was added; None: what is asked is found by words alone."""
        return _kept(self._store())

    def endpoint(self, name: str) -> Endpoint:
        """One of the configuration. `InputError` `KNOWLEDGE_ENDPOINT_UNKNOWN`."""
        from assent.capabilities.knowledge._endpoint import Endpoint

        said = self._endpoints.get(name)
        if said is None:
            raise InputError(
                "KNOWLEDGE_ENDPOINT_UNKNOWN",
                f"there is no endpoint `{name[:80]}`",
                path="endpoint",
                hint=did_you_mean(
                    name,
                    self._endpoints,
                    otherwise=f"add it as `[knowledge.endpoints.{name[:80]}]` to assent.toml",
                ),
            )
        return Endpoint.of(said)

    def use(
        self, folder: str | None, endpoint: str | None = None, context: LocalContext | None = None
    ) -> Kept | None:
        """Have the model in a folder from now on, as it is there now, or the one behind an endpoint, which is tried, or none.

        `InputError` `KNOWLEDGE_MODEL_INVALID`, `KNOWLEDGE_EXTRA_MISSING`, `KNOWLEDGE_ENDPOINT_UNKNOWN`; what a request raises.
        """
        from assent.knowledge.embedding import add_model

        found = None if folder is None else Kept(folder, add_model(Path(folder), self._cache))
        if endpoint is not None:
            asked = self.endpoint(endpoint)
            asked.embedder(context).embed(["a text to try the model with"])
            found = Kept("", asked.record)
        if found != self.kept():
            with self._store().index(MODELS) as run:
                if found is None:
                    run.remove_piece("model", "model")
                else:
                    told = msgspec.json.encode((found.folder, found.record))
                    run.put_piece("model", "model", {"record": told})
                run.commit()
        return found

    def embedder(self, context: LocalContext | None = None) -> Embedder | None:
        """The model, ready. `InputError` `KNOWLEDGE_MODEL_CHANGED` where it is not what was added."""
        from assent.knowledge.embedding import open_model

        kept = self.kept()
        if kept is None:
            return None
        if not kept.folder:
            return self._behind(kept.record, context)
        with self._guard:
            if self._opened is None or self._opened[0] != kept.record.digest:
                self._opened = (
                    kept.record.digest,
                    open_model(Path(kept.folder), kept.record, self._cache, threads=2),
                )
            return self._opened[1]

    def _behind(self, record: ModelRecord, context: LocalContext | None) -> Embedder:
        for name in self._endpoints:
            if (found := self.endpoint(name)).record == record:
                return found.embedder(context)
        raise InputError(
            "KNOWLEDGE_MODEL_CHANGED",
            f"the endpoint of the model `{record.name}` is not in the configuration as it was when the model was added",
            hint="put it back under `[knowledge.endpoints]`, or add a model again (`assent knowledge model`)",
        )

    def meaning(self, question: str, context: LocalContext | None, failed: Failed) -> Meaning | None:
        """A question as the model understands it; None without a model, or where it `failed` and that is told.

        One that lets questions wait for a failure is left alone for a while.
        """
        from assent.knowledge.asking import Meaning

        model, began_ms = self.embedder(context), self._now_ms()
        if model is None:
            return None
        if self._rests is not None:
            name, until_ms, error = self._rests
            if name == model.model and began_ms < until_ms:
                failed(error)
                return None

        def rest(error: AssentError) -> None:
            now_ms = self._now_ms()
            if now_ms - began_ms >= PATIENCE_MS:
                self._rests = model.model, now_ms + REST * (now_ms - began_ms), error
            failed(error)

        found = _embedded(model, [question], rest)
        return None if found is None else Meaning(model.model, found[0])

    # -- vectors ----------------------------------------------------------------------------------

    def make(
        self,
        repository: str,
        told: Callable[[int], bool],
        context: LocalContext | None = None,
        failed: Failed | None = None,
        sees: Callable[[str], bool] = lambda _: True,
    ) -> int:
        """Make the vectors that are missing, of what was indexed last first, and how many are missing then.

        They are kept `VECTORS_AT_ONCE` at a time. `told` hears how many were made, of files whose path it `sees`, and says
        whether to go on: what is made until then is kept, and the next call makes the others. So it is where the model `failed`
        and that is told.
        """
        import numpy as np

        store, model = self._store(), self.embedder(context)
        found, useless = segments_of(store, repository, "" if model is None else model.model)
        if useless:
            with store.index(repository) as run:
                for piece in useless:
                    run.remove_piece(VECTORS, piece.name)
                run.commit("derived")
        if model is None:
            return 0
        missing = made = shown = 0
        seen = [one.row for one in store.files(repository) if sees(one.path)]
        # What was compacted, forgotten or put together meanwhile is nothing to have vectors of: the next call looks again.
        with suppress(_StaleError):
            todo = [
                (piece, chunks)
                for piece in reversed(in_order(store.pieces(repository, LEXICAL)))
                for chunks in self._missing(repository, piece, [one for _, one in found.get(piece.name, [])])
            ]
            missing = sum(len(chunks) for _, chunks in todo)
            for piece, chunks in todo:
                embed = partial(_embedded, model, failed=failed)
                is_seen = np.isin(piece.rows, seen)[_files_of(piece)][chunks]
                after = partial(_after, told, shown, is_seen)
                vectors = self._vectors(repository, piece, chunks, model.size, embed=embed, told=after)
                shown += int(is_seen[: len(vectors)].sum())
                if len(vectors):
                    self._keep(repository, piece, chunks[: len(vectors)], vectors, model.model)
                    made += len(vectors)
                if len(vectors) < len(chunks):
                    break
        return missing - made

    def _missing(
        self, repository: str, piece: Piece, there: Sequence[Segment]
    ) -> Iterator[NDArray[np.int64]]:
        """The chunks of a piece that are searched and have no vector, some at a time."""
        import numpy as np

        held = np.array([one.row for one in self._store().files(repository)], np.int64)
        wanted = np.isin(piece.rows, held)[_files_of(piece)]
        for one in there:
            wanted[one.chunks] = False
        numbers = np.flatnonzero(wanted)
        for begin in range(0, len(numbers), VECTORS_AT_ONCE):
            yield numbers[begin : begin + VECTORS_AT_ONCE]

    def _vectors(
        self,
        repository: str,
        piece: Piece,
        chunks: NDArray[np.int64],
        size: int,
        *,
        embed: Callable[[list[str]], NDArray[np.float32] | None],
        told: Callable[[int], bool],
    ) -> NDArray[np.float32]:
        """The vectors of the first so many of some chunks, as long as they are wanted."""
        import numpy as np

        store, files = self._store(), _files_of(piece)
        paths = {one.row: one.path for one in store.files(repository)}
        found = [np.zeros((0, size), np.float32)]
        row = -1
        cuts: tuple[Cut, ...] = ()
        for begin in range(0, len(chunks), _TEXTS_AT_ONCE):
            if not told(begin):
                break
            texts = []
            for chunk in chunks[begin : begin + _TEXTS_AT_ONCE].tolist():
                number = chunk - int(np.searchsorted(files, files[chunk]))
                try:
                    if row != piece.rows[files[chunk]]:
                        row = int(piece.rows[files[chunk]])
                        cuts = store.cuts(row)
                    text = store.text(row, number).decode()
                except WorldError as error:
                    raise _StaleError from error
                texts.append(f"{paths[row]} {cuts[number].symbol}\n{text}")
            vectors = embed(texts)
            if vectors is None:
                break
            found.append(vectors)
        return np.concatenate(found)

    def _keep(
        self,
        repository: str,
        piece: Piece,
        chunks: NDArray[np.int64],
        vectors: NDArray[np.float32],
        model: str,
    ) -> None:
        import numpy as np

        from assent.knowledge.vectors import parts_of, segment_of

        store = self._store()
        with store.index(repository) as run:
            # INVARIANT: nobody else writes now; whoever has forgotten files meanwhile has counted the chunks anew.
            if not any(
                one.name == piece.name and np.array_equal(one.rows, piece.rows)
                for one in store.pieces(repository, LEXICAL)
            ):
                raise _StaleError
            counts = np.bincount(_files_of(piece), minlength=len(piece.rows))
            parts = parts_of(segment_of(model, vectors, chunks.astype(np.uint32)), counts)
            run.put_piece(VECTORS, f"{piece.name}/{store.head().number}", parts, piece.rows)
            run.commit("derived")


def vectors_of(store: Store, repository: str) -> dict[str, tuple[Segment, ...]]:
    """The vectors of the model, those of a piece of words joined, by the name of that piece."""
    from assent.knowledge.vectors import joined

    kept = _kept(store)
    if kept is None:
        return {}
    segments, _ = segments_of(store, repository, kept.record.digest)
    return {name: (joined([one for _, one in each]),) for name, each in segments.items()}


def _kept(store: Store) -> Kept | None:
    from assent.knowledge.embedding import ModelRecord

    for piece in store.pieces(MODELS, "model"):
        folder, record = decode(piece.read("record"), tuple[str, ModelRecord])
        return Kept(folder, record)
    return None


def in_order(words: Iterable[Piece]) -> list[Piece]:
    """Pieces of words in the order in which their files were indexed: what is put together comes last in the store."""
    return sorted(words, key=lambda one: int(one.rows[0]))


def segments_of(
    store: Store, repository: str, model: str
) -> tuple[dict[str, list[tuple[Piece, Segment]]], list[Piece]]:
    """What fits a piece of words that is there, by its name, and what is of no use any more."""
    from assent.knowledge.vectors import stored

    words = {one.name for one in store.pieces(repository, LEXICAL)}
    found: dict[str, list[tuple[Piece, Segment]]] = {}
    useless: list[Piece] = []
    for piece in store.pieces(repository, VECTORS):
        name, segment = piece.name.rpartition("/")[0], stored(piece, model)
        if name in words and segment is not None:
            found.setdefault(name, []).append((piece, segment))
        else:
            useless.append(piece)
    return found, useless


def _embedded(model: Embedder, texts: list[str], failed: Failed | None) -> NDArray[np.float32] | None:
    try:
        return model.embed(texts)
    except AssentError as error:
        if failed is None:
            raise
        failed(error)
        return None


def _after(told: Callable[[int], bool], shown: int, is_seen: NDArray[np.bool_], made: int) -> bool:
    return told(shown + int(is_seen[:made].sum()))


class _StaleError(Exception):
    """What vectors were made of is no more."""


def rewriters() -> Mapping[str, Rewriter]:
    """How pieces are written anew without files that are forgotten."""
    from assent.knowledge import lexical, vectors

    return {LEXICAL: lexical.without, VECTORS: vectors.without}


def _files_of(piece: Piece) -> NDArray[np.uint32]:
    """The file of each chunk of a piece of words."""
    import numpy as np

    try:
        return np.frombuffer(piece.read("files"), "<u4")
    except WorldError as error:
        raise _StaleError from error
