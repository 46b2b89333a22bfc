"""What one call changes in a repository, as it is journaled before the effect: each reference before and after, and the index.

Objects come first; they are names for their own content and harm nobody when nothing refers to them. Then all locks are taken, as
git takes them, then the index, the reflogs and the references follow, each in one rename. References are what counts:
a state between the two is one that only a kill leaves, and is completed or taken back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct, ValidationError, to_builtins

from assent.capabilities.git._index import digest_of, read_index
from assent.capabilities.git._layout import Repository
from assent.capabilities.git._refs import Refs
from assent.errors import InternalError, Json, RefusedError
from assent.invocation import BlobStore, LocalContext, Prepared
from assent.spec.values.frozen import thaw
from assent.spec.values.typed import convert

_VERSION: Final = 1


class RefEdit(Struct, array_like=True, frozen=True):
    """One reference before and after; None: it is not there. One that stays must be found unchanged."""

    name: str
    old: str | None
    new: str | None

    @property
    def moves(self) -> bool:
        return self.old != self.new

    @property
    def back(self) -> RefEdit:
        """The way back."""
        return RefEdit(self.name, self.new, self.old)


@dataclass(frozen=True, slots=True)
class IndexEdit:
    """The index before and after: how both are recognised, and their bytes.

    `mtime_ns` is the time of the old one, which the new one gets as well. Git compares a file's time with the index's own to know
    whether it may have changed in the very moment in which it was staged: a younger index would hide such a change.
    """

    old: str
    new: str
    old_data: bytes | None
    new_data: bytes | None
    mtime_ns: int | None

    @property
    def back(self) -> IndexEdit:
        """The way back."""
        return IndexEdit(self.new, self.old, self.new_data, self.old_data, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class LogEdit:
    """One reflog: a line at its end, after `base` when its story is another's; or, without a line, the reflog's end.

    `kept` is what undo puts back; `is_new`: there was no reflog, and undo leaves none.
    """

    name: str
    line: str | None
    undo: str | None = None
    base: bytes | None = None
    kept: bytes | None = None
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What stands there now."""

    refs: tuple[str | None, ...]
    index: str


@dataclass(frozen=True, slots=True)
class GitChange:
    """All that one call changes. `objects` maps ids to what is stored; `notes` are what the output tells."""

    repository: str
    git: str
    edits: tuple[RefEdit, ...]
    index: IndexEdit | None = None
    logs: tuple[LogEdit, ...] = ()
    objects: Mapping[str, bytes] = field(default_factory=dict)
    notes: Mapping[str, Json] = field(default_factory=dict)

    def find(self, repository: Repository) -> Found:
        """The references and the index as they are."""
        refs = Refs(repository)
        index = digest_of(repository.top, read_index(repository.files, self.git)) if self.index else ""
        return Found(tuple(refs.get(edit.name) for edit in self.edits), index)

    def is_after(self, found: Found) -> bool:
        """Whether the references are as the call leaves them."""
        return all(said == edit.new for said, edit in zip(found.refs, self.edits, strict=True))

    def is_before(self, found: Found) -> bool:
        """Whether everything is as the call found it."""
        refs = all(said == edit.old for said, edit in zip(found.refs, self.edits, strict=True))
        return refs and (self.index is None or found.index == self.index.old)

    def is_ours(self, found: Found) -> bool:
        """Whether nobody else was here: each part is as it was before or as it is after."""
        refs = all(said in (edit.old, edit.new) for said, edit in zip(found.refs, self.edits, strict=True))
        return refs and (self.index is None or found.index in (self.index.old, self.index.new))

    @property
    def back(self) -> GitChange:
        """The change that takes this one back: the references in reverse, no new objects."""
        index = self.index.back if self.index else None
        return replace(self, edits=tuple(edit.back for edit in reversed(self.edits)), index=index, objects={})

    def conflict(self, found: Found) -> RefusedError:
        """The refusal to take back what somebody else has built upon; both states are shown."""
        expected: dict[str, Json] = {}
        seen: dict[str, Json] = {}
        for said, edit in zip(found.refs, self.edits, strict=True):
            if said not in (edit.old, edit.new):
                expected[edit.name], seen[edit.name] = edit.new or "nothing", said or "nothing"
        if self.index is not None and found.index not in (self.index.old, self.index.new):
            expected["index"], seen["index"] = f"digest {self.index.new[:12]}", f"digest {found.index[:12]}"
        name = next(iter(expected))
        return RefusedError(
            "COMPENSATION_CONFLICT",
            f"`{name}` is not as this step left it: expected {expected[name]}, found {seen[name]}",
            path=self.repository,
            hint="undoing would overwrite somebody else's work; settle the step by hand, for example with `git reset`",
            details={"expected": expected, "found": seen},
        )

    def to_prepared(self, blobs: BlobStore) -> Prepared:
        """What is journaled before the effect."""
        kept: list[str] = []

        def put(data: bytes | None) -> str | None:
            if data is None:
                return None
            kept.append(blobs.put([data]))
            return kept[-1]

        index = None
        if (own := self.index) is not None:
            when = None if own.mtime_ns is None else str(own.mtime_ns)
            index = (own.old, own.new, put(own.old_data), put(own.new_data), when)
        logs = [(log.name, log.line, log.undo, put(log.base), put(log.kept), log.is_new) for log in self.logs]
        objects = None
        if self.objects:
            objects = blobs.put(_packed(self.objects))
            kept.append(objects)
        stored = _Stored(
            _VERSION, self.repository, self.git, self.edits, index, logs, objects, dict(self.notes)
        )
        return Prepared(to_builtins(stored), tuple(dict.fromkeys(kept)))

    @classmethod
    def of(cls, context: LocalContext) -> GitChange:
        """The change that was journaled for this call. Raises `InternalError` RECORD_CORRUPT for any other shape."""
        blobs = context.blobs

        def get(digest: str | None) -> bytes | None:
            return None if digest is None else b"".join(blobs.read(digest))

        try:
            stored = convert(thaw(context.prepared), _Stored)
        except ValidationError:
            raise _corrupt() from None
        index = None
        if stored.index is not None:
            old, new, old_data, new_data, mtime_ns = stored.index
            when = None if mtime_ns is None else int(mtime_ns)
            index = IndexEdit(old, new, get(old_data), get(new_data), when)
        return cls(
            stored.repository,
            stored.git,
            stored.edits,
            index,
            tuple(
                LogEdit(name, line, undo, get(base), get(kept), is_new)
                for name, line, undo, base, kept, is_new in stored.logs
            ),
            _unpacked(get(stored.objects) or b""),
            stored.notes,
        )


_Time: TypeAlias = Annotated[str, Meta(pattern=r"^-?[0-9]+$")]


class _Stored(Struct, frozen=True):
    """A change as it is journaled; bytes stand there as digests of blobs."""

    version: Literal[1]
    repository: str
    git: str
    edits: tuple[RefEdit, ...]
    index: tuple[str, str, str | None, str | None, _Time | None] | None
    logs: Sequence[tuple[str, str | None, str | None, str | None, str | None, bool]]
    objects: str | None
    notes: dict[str, Any]  # `Any`: JSON


def _packed(objects: Mapping[str, bytes]) -> Iterator[bytes]:
    for name, stored in objects.items():
        yield b"%s %d\n" % (name.encode(), len(stored))
        yield stored


def _unpacked(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    position = 0
    while position < len(data):
        end = data.find(b"\n", position)
        name, _, size = data[position:end].partition(b" ")
        if end < 0 or not size.isdigit():
            raise _corrupt()
        start, position = end + 1, end + 1 + int(size)
        found[name.decode()] = data[start:position]
    return found


def _corrupt() -> InternalError:
    return InternalError(
        "RECORD_CORRUPT", "the journaled state of a git call has another shape than expected"
    )
