"""A store over one connection: what all stores have in common."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np

from assent.errors import InputError, WorldError
from assent.failpoints import FAILPOINTS
from assent.knowledge.chunks import LeftOut
from assent.knowledge.cleaning import Mark
from assent.knowledge.manifest import Cut, Line, Listed, Proof, file_leaf, prove, workspace_root
from assent.knowledge.store._database import BUSY_S, Database
from assent.knowledge.store._sealing import Sealer, digest_of
from assent.knowledge.store.ports import Buffer, Generation, Held, Piece, Rewriter, Run
from assent.spec.values.typed import unpacker

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME_BYTES_MAX: Final = 1024
"""Of a tenant's or a repository's name."""
BLOCK_BYTES: Final = 15 << 10
"""A part of a piece is sealed in blocks of this size: what is read of it is whole blocks, each of which fits in a page."""
CACHE_BYTES: Final = 160 << 20
"""So much of the pieces of a store is kept opened in memory."""
_NUMBERS: Final = 24
"""Bits for the number of a chunk in its file, or of a block in its piece, below the bits of that one's own."""
_SEEN: Final = (
    "born <= (SELECT ifnull(max(number), 0) FROM generations)"
    " AND (died IS NULL OR died > (SELECT ifnull(max(number), 0) FROM generations))"
)
_CHANGED: Final = "kind <> 'derived'"
_NO_FILES: Final = workspace_root(())
"""The repository of what belongs to none."""


class _Head(msgspec.Struct, frozen=True, array_like=True):
    path: str
    digest: str
    language: str
    label: str
    chunks: int
    because: str
    leaf: bytes
    changed_ms: int = 0
    marks: tuple[Mark, ...] = ()
    made_by: str = ""


class _Header(msgspec.Struct, frozen=True, array_like=True):
    name: str
    parts: dict[str, int]
    rows: bytes


T = TypeVar("T")
_HEADS: Final = unpacker(_Head).decode
_CUTS: Final = unpacker(tuple[Cut, ...]).decode
_HEADERS: Final = unpacker(_Header).decode
_pack: Final = msgspec.msgpack.Encoder().encode


def checked_name(name: str, what: str) -> str:
    """A name of a tenant or repository. `InputError` `KNOWLEDGE_NAME_INVALID`.

    It is never part of a path, so whatever is in it leads nowhere.
    """
    if (
        not name
        or not name.isprintable()
        or len(name) > NAME_BYTES_MAX
        or len(name.encode()) > NAME_BYTES_MAX
    ):
        raise InputError(
            "KNOWLEDGE_NAME_INVALID",
            f"the name of a {what} must be 1 to {NAME_BYTES_MAX} bytes of printable text",
            path=what,
        )
    return name


class _Piece:
    """A piece that is read from the store as far as it is asked for."""

    def __init__(
        self, store: MemoryStore, number: int, repository: bytes, kind: str, header: _Header
    ) -> None:
        self._store = store
        self.number = number
        self._repository = repository
        self.kind = kind
        self.name = header.name
        self.parts: Mapping[str, int] = header.parts
        self.rows: NDArray[np.int64] = np.frombuffer(header.rows, np.int64)
        begins, at = {}, 0
        for part, size in header.parts.items():
            begins[part] = at
            at += _blocks_in(size)
        self._begins = begins

    def read(self, part: str, begin: int = 0, end: int | None = None) -> bytes:
        return self.ranges([(part, begin, self.parts[part] if end is None else end)])[0]

    def ranges(self, asked: Sequence[tuple[str, int, int]]) -> list[bytes]:
        spans = []
        for part, begin, end in asked:
            size = max(min(end, self.parts[part]) - begin, 0)
            at, skip = divmod(begin, BLOCK_BYTES)
            first = (self.number << _NUMBERS) + self._begins[part] + at
            spans.append((range(first, first + (_blocks_in(skip + size) if size else 0)), skip, size))
        needed = sorted({number for numbers, _, _ in spans for number in numbers})
        there = dict(zip(needed, self._store.blocks(needed, self._repository), strict=True))
        return [
            b"".join([there[number] for number in numbers])[skip : skip + size]
            for numbers, skip, size in spans
        ]


class Owner(NamedTuple):
    """What is written of a repository: the number of that, its name, and the generation."""

    known: int
    repository: str
    born: int


class MemoryStore:
    """A store of one tenant, in memory. What lasts says where the file is, and who writes."""

    def __init__(self, tenant: str) -> None:
        self._tenant = digest_of(checked_name(tenant, "tenant"))
        self._guard = threading.RLock()  # of the connection, and of what was read of it
        self._busy = threading.Lock()
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._names: dict[int, str] = {}
        self._db, self._sealer = self._opened()

    # -- what a file does otherwise ---------------------------------------------------------------

    def _opened(self) -> tuple[Database, Sealer]:
        db = Database(None, None, self._guard)
        db.migrate()
        return db, Sealer(self._tenant, {}, bytes)

    def _ask(self, sql: str, values: Sequence[object] = ()) -> list[Any]:  # `Any`: rows
        return self._db.ask(sql, values)

    def _each(self, sql: str, values: Iterable[Sequence[object]]) -> None:
        self._db.each(sql, values)

    def _unseal(self, record: bytes, repository: bytes, place: bytes) -> bytes:
        return self._sealer.open(record, repository, place)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._busy.acquire(timeout=BUSY_S):
            raise WorldError("STORAGE_BUSY", "the store of knowledge is being written by another thread")
        try:
            yield
        finally:
            self._busy.release()

    def _shrink(self) -> None:
        """Have nothing in the file that is not seen any more."""

    # -- reading ----------------------------------------------------------------------------------

    def head(self) -> Generation:
        return self._generation("ORDER BY number DESC LIMIT 1")

    def last(self, repository: str) -> Generation:
        return self._generation(
            f"WHERE repository = ? AND {_CHANGED} ORDER BY number DESC LIMIT 1", (self._known(repository),)
        )

    def _generation(self, where: str, values: Sequence[object] = ()) -> Generation:
        sql = f"SELECT number, repository, kind, root FROM generations {where}"  # noqa: S608  # our own text
        for number, repository, kind, root in self._ask(sql, values):
            return Generation(number, kind, self._name(repository), root.hex())
        return Generation(0, "", "", _NO_FILES.hex())

    def repositories(self) -> list[str]:
        return sorted(
            {self._name(one) for (one,) in self._ask("SELECT DISTINCT repository FROM generations")}
        )

    def files(self, repository: str) -> list[Held]:
        return self._files(repository, _SEEN)

    def _files(self, repository: str, seen: str) -> list[Held]:
        digest = digest_of(repository)
        rows = self._ask(
            f"SELECT id, sealed FROM files WHERE repository = ? AND {seen}",  # noqa: S608  # our own text
            (self._known(repository),),
        )
        held = [self._held(row, sealed, digest) for row, sealed in rows]
        held.sort(key=lambda one: one.path.encode())
        return held

    def file(self, repository: str, path: str) -> Held | None:
        for row, sealed in self._ask(
            f"SELECT id, sealed FROM files WHERE repository = ? AND path = ? AND {_SEEN}",  # noqa: S608  # our own text
            (self._known(repository), digest_of(path)),
        ):
            return self._held(row, sealed, digest_of(repository))
        return None

    def holds(self, repository: str, path: str) -> bool:
        return bool(
            self._ask(
                "SELECT 1 FROM files WHERE repository = ? AND path = ? LIMIT 1",
                (self._known(repository), digest_of(path)),
            )
        )

    def _held(self, row: int, sealed: bytes, repository: bytes) -> Held:
        said = _read(_HEADS, self._unseal(sealed, repository, place_of(b"h", row)))
        return Held(row, *msgspec.structs.astuple(said))

    def cuts(self, row: int) -> tuple[Cut, ...]:
        for repository, sealed in self._ask(
            "SELECT repository, cuts.sealed FROM files JOIN cuts USING (id) WHERE id = ?", (row,)
        ):
            return _read(_CUTS, self._unseal(sealed, digest_of(self._name(repository)), place_of(b"c", row)))
        raise _stale()

    def text(self, row: int, chunk: int) -> bytes:
        place = (row << _NUMBERS) + chunk
        for repository, sealed in self._ask(
            "SELECT (SELECT repository FROM files WHERE id = ?), sealed FROM chunks WHERE id = ?",
            (row, place),
        ):
            return self._unseal(sealed, digest_of(self._name(repository)), place_of(b"t", place))
        raise _stale()

    def pieces(self, repository: str, kind: str) -> list[Piece]:
        return [
            *self._pieces(
                repository, f"repository = ? AND kind = ? AND {_SEEN}", (self._known(repository), kind)
            )
        ]

    def _pieces(self, repository: str, where: str, values: Sequence[object]) -> list[_Piece]:
        digest = digest_of(repository)
        return [
            _Piece(
                self,
                number,
                digest,
                kind,
                _read(_HEADERS, self._unseal(sealed, digest, place_of(b"p", number))),
            )
            for number, kind, sealed in self._ask(
                f"SELECT id, kind, sealed FROM pieces WHERE {where} ORDER BY id",  # noqa: S608  # our own text
                values,
            )
        ]

    def blocks(self, numbers: Sequence[int], repository: bytes) -> list[bytes]:
        """Blocks of a piece, opened; for pieces alone."""
        cache = self._blocks
        with self._guard:
            found = {number: cache[number] for number in numbers if number in cache}
            missing = [number for number in numbers if number not in found]
            if missing:
                for number, sealed in self._ask(
                    "SELECT id, sealed FROM blocks WHERE id IN (SELECT value FROM json_each(?))",
                    (msgspec.json.encode(missing).decode(),),
                ):
                    found[number] = self._unseal(sealed, repository, place_of(b"b", number))
            if len(found) != len(numbers):
                raise _stale()
            for number, data in found.items():
                cache[number] = data
                cache.move_to_end(number)
            while len(cache) > CACHE_BYTES // BLOCK_BYTES:
                cache.popitem(last=False)
            return [found[number] for number in numbers]

    def prove(self, repository: str, path: str, chunk: int) -> Proof | None:
        held = self.file(repository, path)
        if held is None or not 0 <= chunk < held.chunks:
            return None
        leaves = [(one.path, one.leaf) for one in self.files(repository)]
        return prove(self._listed(held), chunk, leaves)

    def _listed(self, held: Held) -> Listed:
        return Listed(held.path, held.digest, held.language, held.label, self.cuts(held.row))

    def verify(self) -> None:
        # From the disk: what is in memory may be all right where the file is not any more.
        self._forget_read()
        self._ask("PRAGMA shrink_memory")
        for repository in self.repositories():
            files = self.files(repository)
            for held in files:
                self._verify_file(held)
            if workspace_root((one.path, one.leaf) for one in files).hex() != self.last(repository).root:
                raise _damaged("the files of a repository are not those that its root was made of")
            for piece in self._pieces(repository, f"repository = ? AND {_SEEN}", (self._known(repository),)):
                for part in piece.parts:
                    piece.read(part)
        self._verify_pages()

    def _verify_file(self, held: Held) -> None:
        if held.because:
            said: Listed | LeftOut = LeftOut(held.path, held.because)
        else:
            said = self._listed(held)
            for number, cut in enumerate(said.chunks):
                if sha256(self.text(held.row, number)).hexdigest() != cut.digest:
                    raise _damaged("a chunk's text is not the one that its digest is of")
        if file_leaf(said) != held.leaf:
            raise _damaged("a file's chunks are not those that its leaf was made of")

    def _verify_pages(self) -> None:
        if self._ask("PRAGMA integrity_check") != [("ok",)]:
            raise _damaged("the pages of the file are not in order")

    # -- writing ----------------------------------------------------------------------------------

    @contextmanager
    def _writing(self, resumed: str | None = None) -> Iterator[None]:
        """Nobody else writes, and nothing is left over of a writer that was killed, unless it is of a repository that goes on."""
        with self._alone():
            head = self.head().number
            if self.is_begun(head + 1, but=0 if resumed is None else self._known(resumed)):
                with self._whole():
                    self._take_back(head + 1)
            if self._meta("shrink", "0") == "1":
                self._shrunk()
            yield

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """A transaction; a test may end the process before and after it is durable."""
        with self._db.whole():
            yield
            FAILPOINTS.hit("knowledge.before")
        FAILPOINTS.hit("knowledge.after")

    def index(self, repository: str, *, resumes: bool = False) -> AbstractContextManager[Run]:
        return self._index(checked_name(repository, "repository"), resumes=resumes)

    @contextmanager
    def _index(self, repository: str, *, resumes: bool) -> Iterator[Run]:
        with self._writing(repository if resumes else None):
            self._ask("BEGIN IMMEDIATE")
            try:
                run = _Run(self, repository)
                yield run
            finally:
                self._db.back()
                self._forget_read()
            if run.has_rests and not resumes:
                with self._whole():
                    self._take_back(run.owner.born)

    def is_begun(self, number: int, *, but: int = 0) -> bool:
        """Whether anything of a generation that is not committed is durable, other than of one repository."""
        return any(
            self._ask(
                f"SELECT 1 FROM {table} WHERE (born >= ? OR died >= ?) AND repository <> ? LIMIT 1",  # noqa: S608
                (number, number, but),
            )
            for table in ("files", "pieces")
        )

    def undo(self, number: int) -> Generation:
        with self._writing():
            rows = self._ask("SELECT repository, undone FROM generations WHERE number = ?", (number,))
            if rows and rows[0][1]:
                return self.head()
            last = (
                rows
                and self._ask(
                    f"SELECT number, kind FROM generations WHERE repository = ? AND {_CHANGED} AND kind <> 'undo' AND undone = 0"  # noqa: S608
                    " ORDER BY number DESC LIMIT 1",
                    rows[0][:1],
                )
            )
            if not last or last[0] != (number, "index"):
                raise InputError(
                    "KNOWLEDGE_UNDO_REFUSED",
                    f"generation {number} can't be taken back: it is not the last of its repository, or was compacted",
                    hint="index again: what is there then is what the source has",
                )
            repository = rows[0][0]
            with self._whole():
                self._take_back(number)
                self._ask("UPDATE generations SET undone = 1 WHERE number = ?", (number,))
                before = self._ask(
                    f"SELECT root FROM generations WHERE repository = ? AND {_CHANGED} AND kind <> 'undo' AND undone = 0"  # noqa: S608
                    " ORDER BY number DESC LIMIT 1",
                    (repository,),
                )
                return self._committed(repository, "undo", before[0][0] if before else _NO_FILES)

    def forget(
        self, repository: str, paths: Iterable[str] = (), rewriters: Mapping[str, Rewriter] | None = None
    ) -> Generation:
        with self._writing():
            known = self._known(repository)
            if not known:
                return self.last(repository)
            with self._whole():
                gone = {
                    row
                    for (row,) in self._ask(
                        "SELECT id FROM files WHERE repository = ? AND died IS NOT NULL", (known,)
                    )
                }
                for path in paths:
                    gone |= {
                        row
                        for (row,) in self._ask(
                            "SELECT id FROM files WHERE repository = ? AND path = ?", (known, digest_of(path))
                        )
                    }
                self._remove_files(gone)
                number = self.head().number + 1
                self._remove_pieces("repository = ? AND died IS NOT NULL", (known,))
                owner = Owner(known, repository, number)
                self._rewrite(owner, rewriters or {})
                root = workspace_root((one.path, one.leaf) for one in self._files(repository, "died IS NULL"))
                done = self._committed(known, "forget", root)
                self._set("shrink", "1")
            self._forget_read()
            self._shrunk()
            return done

    def _shrunk(self) -> None:
        self._shrink()
        FAILPOINTS.hit("knowledge.before")
        self._set("shrink", "0")
        FAILPOINTS.hit("knowledge.after")

    def _rewrite(self, owner: Owner, rewriters: Mapping[str, Rewriter]) -> None:
        there = self._ask("SELECT id FROM files WHERE repository = ?", (owner.known,))
        rows = np.array([row for (row,) in there], np.int64)
        for piece in self._pieces(owner.repository, "repository = ?", (owner.known,)):
            # A derived piece may be about files that were taken back since.
            keep = np.isin(piece.rows, rows)
            if keep.all():
                continue
            rewriter = rewriters.get(piece.kind)
            parts = rewriter(piece, keep) if rewriter is not None and keep.any() else None
            if parts is not None:
                self.add_piece(owner, piece.kind, piece.name, parts, piece.rows[keep])
            self._remove_pieces("id = ?", (piece.number,))

    def add_piece(
        self, owner: Owner, kind: str, name: str, parts: Mapping[str, Buffer], rows: Iterable[int]
    ) -> None:
        """Write a piece; for runs alone."""
        number, digest = self.new_number(), digest_of(owner.repository)
        views = {part: _view(data) for part, data in parts.items()}
        header = _Header(
            name,
            {part: view.nbytes for part, view in views.items()},
            np.fromiter(rows, np.int64).tobytes(),
        )
        seal = self._sealer.seal
        sealed = seal(_pack(header), digest, place_of(b"p", number))
        self._ask(
            "INSERT INTO pieces VALUES (?, ?, ?, ?, ?, NULL, ?)",
            (number, owner.known, kind, digest_of(name), owner.born, sealed),
        )
        places = count(number << _NUMBERS)
        self._each(
            "INSERT INTO blocks VALUES (?, ?)",
            (
                (place, seal(bytes(view[begin : begin + BLOCK_BYTES]), digest, place_of(b"b", place)))
                for view in views.values()
                for begin, place in zip(range(0, view.nbytes, BLOCK_BYTES), places, strict=False)
            ),
        )

    def begin_run(self, repository: str) -> Owner:
        """What a new generation is known by; for runs alone."""
        known = self._known(repository)
        if not known:
            known, digest = self.new_number(), digest_of(repository)
            sealed = self._sealer.seal(repository.encode(), digest, place_of(b"r", known))
            self._ask("INSERT INTO repositories VALUES (?, ?, ?)", (known, digest, sealed))
        return Owner(known, repository, self.head().number + 1)

    def add_file(self, owner: Owner, line: Line, texts: Sequence[bytes], *beside: Any) -> int:
        """Write a file and its chunks; `beside` is what its head has more. For runs alone."""
        cuts: tuple[Cut, ...] = ()
        row, digest, seal = self.new_number(), digest_of(owner.repository), self._sealer.seal
        if isinstance(line, LeftOut):
            head = _Head(line.path, "", "", "", 0, line.because, file_leaf(line))
        else:
            cuts = line.chunks
            leaf = file_leaf(line)
            head = _Head(line.path, line.digest, line.language, line.label, len(cuts), "", leaf, *beside)
        self._ask(
            "INSERT INTO files VALUES (?, ?, ?, ?, NULL, ?)",
            (
                row,
                owner.known,
                digest_of(line.path),
                owner.born,
                seal(_pack(head), digest, place_of(b"h", row)),
            ),
        )
        self._ask("INSERT INTO cuts VALUES (?, ?)", (row, seal(_pack(cuts), digest, place_of(b"c", row))))
        self._each(
            "INSERT INTO chunks VALUES (?, ?)",
            (
                (place, seal(text, digest, place_of(b"t", place)))
                for place, text in enumerate(texts, row << _NUMBERS)
            ),
        )
        return row

    def end_of(self, owner: Owner, table: str, where: str, values: Sequence[object]) -> bool:
        """Have what is there be no more from a generation on; for runs alone."""
        sql = f"UPDATE {table} SET died = ? WHERE repository = ? AND {where} AND died IS NULL RETURNING id"  # noqa: S608
        return bool(self._ask(sql, (owner.born, owner.known, *values)))

    def files_of(self, owner: Owner) -> list[Held]:
        """The files as a run has left them so far; for runs alone."""
        return self._files(owner.repository, "died IS NULL")

    def rows_of(self, owner: Owner) -> frozenset[int]:
        """The numbers of the files that a run has; for runs alone."""
        rows = self._ask("SELECT id FROM files WHERE born = ? AND died IS NULL", (owner.born,))
        return frozenset(row for (row,) in rows)

    def commit_run(self, owner: Owner, kind: str) -> Generation:
        """Have all of a run seen; for runs alone."""
        root = workspace_root((one.path, one.leaf) for one in self.files_of(owner))
        with self._db.ended():
            done = self._committed(owner.known, kind, root)
            if kind == "derived":
                # Nothing can take it back, so what it replaced is needed no more.
                self._remove_pieces("repository = ? AND died = ?", (owner.known, owner.born))
            FAILPOINTS.hit("knowledge.before")
        FAILPOINTS.hit("knowledge.after")
        return done

    def save_run(self) -> None:
        """Have what was written durable, and unseen; for runs alone."""
        FAILPOINTS.hit("knowledge.before")
        self._ask("COMMIT")
        FAILPOINTS.hit("knowledge.after")
        self._ask("BEGIN IMMEDIATE")

    def new_number(self) -> int:
        """A number that nothing in the store had before."""
        ((number,),) = self._ask(
            "INSERT INTO meta VALUES ('next', '1') ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
        )
        return int(number)

    def _committed(self, known: int, kind: str, root: bytes) -> Generation:
        number = self.head().number + 1
        self._ask("INSERT INTO generations VALUES (?, ?, ?, ?, 0)", (number, known, kind, root))
        return self.head()

    def _take_back(self, number: int) -> None:
        """Have nothing of a generation in the store, and what it replaced again."""
        self._remove_files({row for (row,) in self._ask("SELECT id FROM files WHERE born = ?", (number,))})
        self._ask("UPDATE files SET died = NULL WHERE died = ?", (number,))
        self._remove_pieces("born = ?", (number,))
        self._ask("UPDATE pieces SET died = NULL WHERE died = ?", (number,))

    def _remove_files(self, rows: Iterable[int]) -> None:
        ordered = sorted(rows)
        self._each(
            "DELETE FROM chunks WHERE id BETWEEN ? AND ?",
            [(row << _NUMBERS, ((row + 1) << _NUMBERS) - 1) for row in ordered],
        )
        for table in ("cuts", "files"):
            self._each(f"DELETE FROM {table} WHERE id = ?", [(row,) for row in ordered])  # noqa: S608

    def _remove_pieces(self, where: str, values: Sequence[object]) -> None:
        gone = self._ask(f"DELETE FROM pieces WHERE {where} RETURNING id", values)  # noqa: S608  # our own text
        self._each(
            "DELETE FROM blocks WHERE id BETWEEN ? AND ?",
            [(number << _NUMBERS, ((number + 1) << _NUMBERS) - 1) for (number,) in gone],
        )

    def _forget_read(self) -> None:
        """Numbers of what was taken back are given again."""
        with self._guard:
            self._blocks.clear()
            self._names.clear()

    # -- the small ones ---------------------------------------------------------------------------

    def _known(self, repository: str) -> int:
        rows = self._ask("SELECT id FROM repositories WHERE digest = ?", (digest_of(repository),))
        return int(rows[0][0]) if rows else 0

    def _name(self, known: int) -> str:
        name = self._names.get(known)
        if name is None:
            rows = self._ask("SELECT digest, sealed FROM repositories WHERE id = ?", (known,))
            if not rows:
                raise _stale()
            digest, sealed = rows[0]
            name = self._names[known] = self._unseal(sealed, digest, place_of(b"r", known)).decode()
        return name

    def _meta(self, name: str, default: str) -> str:
        rows = self._ask("SELECT value FROM meta WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else default

    def _set(self, name: str, value: str) -> None:
        self._ask("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def close(self) -> None:
        self._db.close()


class _Run:
    def __init__(self, store: MemoryStore, repository: str) -> None:
        self._store = store
        self.owner = store.begin_run(repository)
        self.resumed = store.rows_of(self.owner)
        self.has_rests = store.is_begun(self.owner.born)

    def files(self) -> list[Held]:
        return self._store.files_of(self.owner)

    def put(
        self,
        file: Listed,
        texts: Sequence[bytes],
        *,
        changed_ms: int = 0,
        marks: tuple[Mark, ...] = (),
        made_by: str = "",
    ) -> int:
        assert len(file.chunks) == len(texts), "each chunk has a text"
        return self._keep(file, texts, changed_ms, marks, made_by)

    def leave_out(self, file: LeftOut) -> int:
        return self._keep(file, ())

    def _keep(self, line: Line, texts: Sequence[bytes], *beside: Any) -> int:  # `Any`: what a head has more
        self.remove(line.path)
        return self._store.add_file(self.owner, line, texts, *beside)

    def remove(self, path: str) -> bool:
        return self._ends("files", "path = ?", digest_of(path))

    def put_piece(self, kind: str, name: str, parts: Mapping[str, Buffer], rows: Iterable[int] = ()) -> None:
        self.remove_piece(kind, name)
        self._store.add_piece(self.owner, kind, name, parts, rows)

    def remove_piece(self, kind: str, name: str) -> bool:
        return self._ends("pieces", "kind = ? AND name = ?", kind, digest_of(name))

    def _ends(self, table: str, where: str, *values: object) -> bool:
        return self._store.end_of(self.owner, table, where, values)

    def save(self) -> None:
        self._store.save_run()
        self.has_rests = True

    def commit(self, kind: Literal["index", "derived"] = "index") -> Generation:
        done = self._store.commit_run(self.owner, kind)
        self.has_rests = False
        return done


def place_of(kind: bytes, number: int) -> bytes:
    """Where a record is: what its kind is, and its number among them."""
    return kind + number.to_bytes(8, "big")


def _read(unpack: Callable[[bytes], T], data: bytes) -> T:
    try:
        return unpack(data)
    except msgspec.MsgspecError:
        raise _damaged("a record is not what was written") from None


def _blocks_in(size: int) -> int:
    return -(-size // BLOCK_BYTES)


def _view(data: Buffer) -> memoryview:
    view = memoryview(data)  # type: ignore[arg-type]  # an array is a buffer; its stubs do not say so for 3.11
    return view.cast("B") if view.nbytes else memoryview(b"")


def _stale() -> WorldError:
    return WorldError(
        "KNOWLEDGE_STALE",
        "what was asked for is no longer in the store: it was indexed again or forgotten meanwhile",
        hint="search again",
    )


def _damaged(message: str) -> InputError:
    return InputError(
        "KNOWLEDGE_STORE_DAMAGED",
        message,
        hint="remove the store and index again; find out who could write to the state directory",
    )
