"""What a store of knowledge promises, and what it holds.

An index run is a *generation*: whatever it writes is seen by nobody until it is committed with its manifest's root, and it can
be taken back until the store is compacted. One process writes at a time; any number read meanwhile, each what was committed last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from assent.knowledge.chunks import LeftOut
from assent.knowledge.cleaning import Mark
from assent.knowledge.manifest import Cut, Listed, Proof

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Buffer: TypeAlias = "bytes | memoryview | NDArray[np.generic]"


class Generation(msgspec.Struct, frozen=True):
    """A change of a repository that was committed, and the root of its manifest from then on (hex)."""

    number: int
    kind: Literal["", "index", "derived", "undo", "forget"]
    repository: str
    root: str


class Recorded(NamedTuple):
    """A generation that the record knows: its number and root (hex), and whether it was taken back since."""

    number: int
    root: str
    is_undone: bool = False


class Held(NamedTuple):
    """A file that is in the store. `because` is empty, or says why nothing but the name is there."""

    row: int
    """Its number; it is another whenever the file is indexed again, and none is used twice."""
    path: str
    digest: str
    language: str
    label: str
    chunks: int
    because: str
    leaf: bytes
    changed_ms: int
    """When it was changed last before it was indexed, in milliseconds since 1970; no part of its leaf, as what follows."""
    marks: tuple[Mark, ...]
    """Where it was written for models."""
    made_by: str
    """The versions of what cleaned and cut it, as the caller tells them apart."""


class Piece(Protocol):
    """Named parts, some of them large, that are about files: a segment of an index, or any small document."""

    @property
    def kind(self) -> str:
        """`lexical`, `vectors`, or whatever else there is."""

    @property
    def name(self) -> str:
        """One of its kind in the repository."""

    @property
    def rows(self) -> NDArray[np.int64]:
        """The files that it is about (`Held.row`), in its own order; some of them may be no longer there."""

    @property
    def parts(self) -> Mapping[str, int]:
        """The names of its parts, and their bytes."""

    def read(self, part: str, begin: int = 0, end: int | None = None) -> bytes:
        """Bytes of a part; only what is asked for is read. `WorldError` `KNOWLEDGE_STALE` when it was replaced."""

    def ranges(self, asked: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """Bytes of parts, each from one place up to another: all read at once."""


Rewriter: TypeAlias = "Callable[[Piece, NDArray[np.bool_]], Mapping[str, Buffer] | None]"
"""The parts of a piece without some of its files (`True`: it stays); None: the piece is dropped."""


class Run(Protocol):
    """A generation that is being written, of one repository."""

    @property
    def resumed(self) -> frozenset[int]:
        """The numbers of the files that were there when it began, of a run before that was cut off."""

    @property
    def has_rests(self) -> bool:
        """Whether anything of it is durable, by itself or by a run before."""

    def files(self) -> list[Held]:
        """The files of the repository as they would be if it were committed now, in the order of their paths' bytes."""

    def put(
        self,
        file: Listed,
        texts: Sequence[bytes],
        *,
        changed_ms: int = 0,
        marks: tuple[Mark, ...] = (),
        made_by: str = "",
    ) -> int:
        """Keep a file in place of the one with its path; `texts`: of its chunks. Its row."""

    def leave_out(self, file: LeftOut) -> int:
        """The same for one of which nothing but the name and the reason is kept."""

    def remove(self, path: str) -> bool:
        """Whether there was such a file, which is no more from this generation on."""

    def put_piece(self, kind: str, name: str, parts: Mapping[str, Buffer], rows: Iterable[int] = ()) -> None:
        """Keep a piece in place of the one with its name."""

    def remove_piece(self, kind: str, name: str) -> bool:
        """Whether there was such a piece."""

    def save(self) -> None:
        """Write what was put so far, so that it takes no memory. It is not seen before `commit`."""

    def commit(self, kind: Literal["index", "derived"] = "index") -> Generation:
        """Make all of it seen. Leaving without is as if nothing had been written.

        `derived`: nothing but pieces was put, made of what is there. The repository is as it was, and so is what can be undone;
        pieces that it replaced are gone at once.
        """


class Store(Protocol):
    """The store of one tenant."""

    def head(self) -> Generation:
        """What was committed last, of whatever repository; number 0: nothing yet. Cheap."""

    def last(self, repository: str) -> Generation:
        """What was committed last of a repository that changed it."""

    def repositories(self) -> list[str]:
        """All that something was indexed of."""

    def files(self, repository: str) -> list[Held]:
        """The files of a repository, in the order of their paths' bytes."""

    def file(self, repository: str, path: str) -> Held | None:
        """The file of a path."""

    def holds(self, repository: str, path: str) -> bool:
        """Whether anything of a path is there, even if it was replaced or removed since."""

    def cuts(self, row: int) -> tuple[Cut, ...]:
        """The chunks of a file. `WorldError` `KNOWLEDGE_STALE` where it is no more."""

    def text(self, row: int, chunk: int) -> bytes:
        """The text of a chunk. `WorldError` `KNOWLEDGE_STALE` where it is no more."""

    def pieces(self, repository: str, kind: str) -> list[Piece]:
        """The pieces of a kind, in the order in which they were put."""

    def index(self, repository: str, *, resumes: bool = False) -> AbstractContextManager[Run]:
        """A new generation. `WorldError` `STORAGE_BUSY` when another process writes for too long.

        `resumes`: what the last run had saved when it was cut off is in it, if that was one of the same repository and nothing
        else was written since; and where this one is left without `commit`, what it saved stays for the next.
        """

    def undo(self, number: int) -> Generation:
        """Take back a generation that is the last of its repository; `InputError` `KNOWLEDGE_UNDO_REFUSED` else.

        One that was taken back stays so: whoever was killed in it asks again.
        """

    def forget(
        self, repository: str, paths: Iterable[str] = (), rewriters: Mapping[str, Rewriter] | None = None
    ) -> Generation:
        """Remove files for good, with all that was replaced before: none of it is in the file when this returns.

        Pieces that are about them are rewritten by the rewriter of their kind, or dropped. Without paths: compaction.
        Called again after it was killed, it ends the same. Of a repository that is not known there is nothing to forget.
        """

    def prove(self, repository: str, path: str, chunk: int) -> Proof | None:
        """The way from a chunk to the root of its repository."""

    def verify(self) -> None:
        """Read all there is against the roots. An error says what is wrong."""

    def close(self) -> None:
        """Let go of the file; may be called twice."""
