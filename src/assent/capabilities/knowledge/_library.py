"""What calls on knowledge share: the tenant's store, which folders are its repositories, and who may see what of them."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from assent.capabilities.fs import ConfinedFiles
from assent.capabilities.knowledge._folder import ConfinedFolder, ignores_of
from assent.capabilities.knowledge._preparing import prepared
from assent.errors import InputError, Json
from assent.knowledge.chunks import LeftOut, Planned
from assent.knowledge.manifest import Cut, Listed
from assent.knowledge.sources import Reason, Skipped, Source, contents_of, files_of
from assent.spec.capability import SpecModel
from assent.spec.documents.settings import listed, tables
from assent.spec.words.globs import glob_matches
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from assent.knowledge.asking import Part, Told, View
    from assent.knowledge.lexical import Entry
    from assent.knowledge.store import Held, Piece, Run, Store

WHOLE: Final = "workspace"
"""The repository that the whole workspace is, where none is named."""
LEXICAL: Final = "lexical"
SEGMENT_BYTES: Final = 32 << 20
"""Text that is indexed at once; it takes some ten times as much memory meanwhile."""
VIEWS_MAX: Final = 8
"""Views that are kept: of an asker's roles and a state of the index."""


class Label(msgspec.Struct, frozen=True):
    """Files that not everybody may see."""

    name: str
    paths: tuple[str, ...]
    roles: frozenset[str]


class Indexed(SpecModel):
    """What an index run came to. Nothing of it is text of a file."""

    tenant: str
    repository: str
    generation: int
    root: str
    files: int
    chunks: int
    changed: int
    removed: int
    left_out: dict[str, int]
    """How many files are not searched, by reason."""
    cleaned: dict[str, int]
    """How often each rule removed something of the files that were indexed now."""


class Library:
    """The knowledge of one workspace. `said` is its section of assent.toml, `opened` opens its store, which is then kept."""

    def __init__(
        self,
        said: Mapping[str, Json],
        files: Callable[[], ConfinedFiles],
        opened: Callable[[], Store],
        erased: Callable[[str], None],
        key: Callable[[], bytes],
    ) -> None:
        """`erased` removes the tenant for good, as this principal; `key` is what digests of secrets are made with."""
        self.tenant: Final = str(said["tenant"])
        named = {name: str(one["folder"]) for name, one in tables(said, "repositories").items()}
        self.repositories: Final = named or {WHOLE: "."}
        self.labels: Final = [
            Label(name, listed(one, "paths"), frozenset(listed(one, "roles")))
            for name, one in tables(said, "labels").items()
        ]
        self._files, self._opened, self._erased, self._key = files, opened, erased, key
        self._guard = threading.RLock()
        self._store: Store | None = None
        self._views: OrderedDict[tuple[int, frozenset[str]], View] = OrderedDict()

    @property
    def store(self) -> Store:
        """The tenant's store."""
        with self._guard:
            if self._store is None:
                self._store = self._opened()
            return self._store

    def close(self) -> None:
        """Let go of the store; it is opened again when somebody asks."""
        with self._guard:
            self._views.clear()
            if self._store is not None:
                self._store.close()
                self._store = None

    def look_anew(self) -> None:
        """What was remembered of the store may be there no more."""
        with self._guard:
            self._views.clear()

    def erase(self, who: str) -> None:
        """Have nothing of the tenant that could be read ever again."""
        with self._guard:
            self.close()
            self._erased(who)

    def folder_of(self, repository: str) -> str:
        """Where a repository stands. `InputError` `KNOWLEDGE_REPOSITORY_UNKNOWN`."""
        folder = self.repositories.get(repository)
        if folder is None:
            names = [*self.repositories]
            raise InputError(
                "KNOWLEDGE_REPOSITORY_UNKNOWN",
                f"there is no repository `{repository[:80]}`",
                path="repository",
                hint=did_you_mean(repository, names, otherwise=f"there are: {', '.join(names)}"),
            )
        return folder

    def seen(self, repository: str, roles: frozenset[str]) -> list[Held]:
        """The files of a repository that who has these roles may search."""
        return [
            one for one in self.store.files(repository) if not one.because and self.may_see(one.path, roles)
        ]

    def may_see(self, path: str, roles: frozenset[str]) -> bool:
        """Whether who has these roles has one of each label of a file."""
        return all(not roles.isdisjoint(one.roles) for one in self.labels_of(path))

    # -- indexing ---------------------------------------------------------------------------------

    @contextmanager
    def folder(self) -> Iterator[ConfinedFolder]:
        """The workspace, as long as something of it is read."""
        files = self._files()
        try:
            yield ConfinedFolder(files)
        finally:
            files.close()

    def sources(self, repository: str, folder: ConfinedFolder) -> Iterator[Source | Skipped]:
        """The files of a repository, and what is not read."""
        return files_of(folder, ignores_of(folder), within=(self.folder_of(repository),))

    def _contents(self, repository: str) -> Iterator[tuple[str, bytes] | Skipped]:
        with self.folder() as folder:
            for one in self.sources(repository, folder):
                if isinstance(one, Skipped):
                    yield one
                    continue
                for content in contents_of(folder, one):
                    yield content if isinstance(content, Skipped) else (content.path, content.data)

    def index(self, repository: str, check: Callable[[int], None] = lambda _: None) -> Indexed:
        """Have a repository in the store as it stands now: a generation of its own, where anything changed.

        `check` is told how many files were looked at, before each of them; what it raises ends it, and nothing of it is seen.
        """
        self.folder_of(repository)
        store = self.store
        known = {one.path: one for one in store.files(repository)}
        missing, reasons, cleaned = dict(known), Counter[str](), Counter[str]()
        changed = looked = 0
        with store.index(repository) as run:
            batch = _Batch(run)
            for one in self._contents(repository):
                looked += 1
                check(looked)
                if isinstance(one, Skipped):
                    reasons[one.reason.value] += 1
                    if one.reason is not Reason.IGNORED:
                        changed += _leave_out(run, known.get(one.path), one)
                        missing.pop(one.path, None)
                    continue
                path, data = one
                missing.pop(path, None)
                digest, held = sha256(data).hexdigest(), known.get(path)
                if held is not None and held.digest == digest and not held.because:
                    continue
                found = prepared(path, data, key=self._key())
                if found.planned is None or found.cleaned is None:
                    assert found.left_out is not None  # INVARIANT: one of both
                    reasons["not_text"] += 1
                    changed += _leave_out(run, held, found.left_out)
                    continue
                cleaned.update({removed.rule: removed.count for removed in found.cleaned.removed})
                batch.add(found.planned, found.cleaned.text, digest, found.cleaned.label)
                changed += 1
            for path in missing:
                run.remove(path)
            batch.end()
            if changed or missing:
                last = run.commit()
            else:
                last = store.last(repository)
        files = [one for one in store.files(repository) if not one.because]
        return Indexed(
            tenant=self.tenant,
            repository=repository,
            generation=last.number,
            root=last.root,
            files=len(files),
            chunks=sum(one.chunks for one in files),
            changed=changed,
            removed=len(missing),
            left_out=dict(sorted(reasons.items())),
            cleaned=dict(sorted(cleaned.items())),
        )

    # -- asking -----------------------------------------------------------------------------------

    def labels_of(self, path: str) -> list[Label]:
        """The labels that a file has. Who may see it has one of the roles of each."""
        return [one for one in self.labels if any(glob_matches(pattern, path) for pattern in one.paths)]

    def view(self, roles: frozenset[str]) -> View:
        """What who has these roles may see. What is hidden has no part in it."""
        from assent.knowledge.asking import View

        store = self.store
        with self._guard:
            key = (store.head().number, roles)
            found = self._views.get(key)
            if found is None:
                pieces, parts = [], []
                for repository in store.repositories():
                    held = {one.row: one for one in store.files(repository)}
                    rows = {row for row, one in held.items() if self.may_see(one.path, roles)}
                    for piece in store.pieces(repository, LEXICAL):
                        pieces.append(piece)
                        parts.append(_part(repository, piece, held, rows))
                reader = _Reader(store, self.labels_of, pieces, parts)
                found = self._views[key] = View(parts, reader)
                while len(self._views) > VIEWS_MAX:
                    self._views.popitem(last=False)
            self._views.move_to_end(key)
            return found


class _Batch:
    """Files of a run, whose words are indexed together."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._entries: list[Entry] = []
        self._rows: list[int] = []
        self._bytes = 0

    def add(self, planned: Planned, text: bytes, digest: str, label: str) -> None:
        """Keep a file; `text` is what its chunks are pieces of."""
        from assent.knowledge.lexical import Entry

        texts = [text[one.begin : one.end] for one in planned.chunks]
        cuts = tuple(Cut(one.digest, one.line, one.end_line, one.symbol) for one in planned.chunks)
        row = self._run.put(Listed(planned.path, digest, planned.language, label, cuts), texts)
        if not texts:
            return
        self._rows.append(row)
        self._entries += [
            Entry(one, chunk.symbol, planned.path) for one, chunk in zip(texts, planned.chunks, strict=True)
        ]
        self._bytes += planned.bytes
        if self._bytes >= SEGMENT_BYTES:
            self.end()

    def end(self) -> None:
        """Write what there is."""
        if not self._rows:
            return
        from assent.knowledge.lexical import Terms, parts_of, segment_of

        # A piece is named for its first file, whose number is never used twice.
        segment = segment_of(self._entries, Terms())
        self._run.put_piece(LEXICAL, str(self._rows[0]), parts_of(segment), self._rows)
        self._run.save()
        self._entries, self._rows, self._bytes = [], [], 0


def _part(repository: str, piece: Piece, held: Mapping[int, Held], visible: Collection[int]) -> Part:
    import numpy as np

    from assent.knowledge.asking import Part
    from assent.knowledge.lexical import StoredSegment

    words, rows = StoredSegment(piece), piece.rows.tolist()
    # What was indexed again since, or removed, has no row any more.
    seen = np.array([row in visible for row in rows], np.bool_)
    languages = tuple(held[row].language if row in held else "" for row in rows)
    return Part(words, repository, languages, np.zeros(len(rows), np.int64), (), seen[words.files])


class _Reader:
    """Reads chunks for answers."""

    def __init__(
        self,
        store: Store,
        labels_of: Callable[[str], list[Label]],
        pieces: Sequence[Piece],
        parts: Sequence[Part],
    ) -> None:
        self._store, self._labels_of, self._pieces, self._parts = store, labels_of, pieces, parts

    def __call__(self, part: int, chunk: int) -> Told:
        import numpy as np

        from assent.knowledge.asking import Told

        files = self._parts[part].words.files
        file = int(files[chunk])
        row, number = int(self._pieces[part].rows[file]), chunk - int(np.searchsorted(files, file))
        cut = self._store.cuts(row)[number]
        labels = [one.name for one in self._labels_of(self._parts[part].words.paths[file])]
        text = self._store.text(row, number).decode()
        language = self._parts[part].languages[file]
        return Told(cut.line, cut.end_line, cut.symbol, language, text, ", ".join(labels))


def _leave_out(run: Run, held: Held | None, left: LeftOut) -> int:
    if held is not None and held.because == left.because:
        return 0
    run.leave_out(LeftOut(left.path, left.because))
    return 1


def control_of(workspace: Path, hidden: Sequence[Path], read_only: Sequence[Path]) -> ConfinedFiles:
    """The workspace, as every capability sees it."""
    from assent.capabilities.fs import ControlFiles

    return ConfinedFiles(workspace, control=ControlFiles(hidden=hidden, read_only=read_only))
