"""What one call will change, as it is journaled before the effect: for each path the state before and the state after.

Everything recovery and undo need follows from it. The world is compared with both states: it is *before* (nothing happened),
*after* (all of it happened), or *foreign* (somebody else was here, and their work is not ours to overwrite). There is nothing
between the two where an effect is one rename; what a crash may leave beside it are hidden temporary names. An effect on several
paths says itself how it recognises a state between (`is_half_done`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, ValidationError, to_builtins

from assent.capabilities.fs.change._path_state import PathState, fingerprinted, survey
from assent.capabilities.fs.world._faults import not_a_directory
from assent.capabilities.fs.world._git_guard import folders_of_parts, forbid_programs_of_git
from assent.capabilities.fs.world._paths import parent_of, shown
from assent.errors import AssentError, InternalError, Json, RefusedError, WorldError
from assent.invocation import BlobStore, EntryKind, Files, LocalContext, NoEffectError, Prepared
from assent.spec.values.frozen import thaw
from assent.spec.values.typed import convert

_VERSION: Final = 1


class Position(Enum):
    """Where the world stands between the two states of a change."""

    BEFORE = auto()
    AFTER = auto()
    FOREIGN = auto()


class Expected(Struct, array_like=True, frozen=True):
    """A state that is known beforehand: how it is recognised, and how it is described to a person."""

    identity: str
    hashed: bool
    text: str

    @classmethod
    def of(cls, snapshot: PathState, *, hashed: bool) -> Expected:
        """The expectation that `snapshot` is found."""
        return cls(snapshot.identity(hashed=hashed), hashed, snapshot.describe())


NOTHING: Final = Expected.of(PathState(), hashed=True)


class Target(msgspec.Struct, frozen=True):
    """One path that changes. `old` is what undo puts back; `before` and `after` are how the two states are recognised."""

    path: str
    old: PathState
    before: Expected
    after: Expected

    def found(self, files: Files) -> PathState:
        """What stands at the path now, read as deeply as the two states ask for."""
        reads = (self.before.hashed and bool(self.old.nodes)) or (self.after.hashed and self.after != NOTHING)
        return fingerprinted(files, self.path) if reads else survey(files, self.path)

    def is_before(self, found: PathState) -> bool:
        """Whether `found` is the state before."""
        return found.identity(hashed=self.before.hashed) == self.before.identity

    def is_after(self, found: PathState) -> bool:
        """Whether `found` is the state after."""
        return found.identity(hashed=self.after.hashed) == self.after.identity

    def told(self, found: PathState) -> str:
        """What stands there instead, so that a person can tell it from what was expected."""
        text = found.describe()
        return f"another {text}, changed since" if text == self.after.text else text


class Folder(msgspec.Struct, frozen=True):
    """A folder that stood before and gets or loses an entry: its time is restored when its names are the same again.

    Without `names` (an entry is only replaced) the time is restored in any case.
    """

    path: str
    mtime_ns: int
    names: str | None

    @classmethod
    def of(cls, files: Files, path: str, *, names: bool) -> Folder:
        """The folder as it is now."""
        entry = files.stat(path)
        return cls(path, entry.mtime_ns if entry else 0, digest_of_names(files, path) if names else None)

    def restore(self, files: Files) -> None:
        """Give the folder its time back, unless somebody else's entries came or went meanwhile."""
        entry = files.stat(self.path)
        if entry is None or entry.kind is not EntryKind.DIRECTORY or entry.mtime_ns == self.mtime_ns:
            return
        if self.names is None or digest_of_names(files, self.path) == self.names:
            files.set_attributes(self.path, mtime_ns=self.mtime_ns)


class Change(msgspec.Struct, frozen=True):
    """All that one call changes. `new_dirs` are folders made on the way, outermost first; `source` is what is only read.

    `notes` are what the output says and neither the parameters nor the targets tell.
    """

    targets: tuple[Target, ...] = ()
    new_dirs: tuple[str, ...] = ()
    folders: tuple[Folder, ...] = ()
    source: Expected | None = None
    notes: Mapping[str, Json] = msgspec.field(default_factory=dict)

    @property
    def is_nothing(self) -> bool:
        """Whether the world already is as the call wants it."""
        return all(target.before == target.after for target in self.targets) and not self.new_dirs

    @property
    def paths(self) -> tuple[str, ...]:
        """What a call takes its turn at; `HEAD` and `objects` of one folder are no business of two."""
        paths = tuple(target.path for target in self.targets) or self.new_dirs
        return (*paths, *sorted(folders_of_parts(paths)))

    def forbid_programs_of_git(self, files: Files, *, back: bool = False) -> None:
        """Refuse (PATH_PROTECTED) what would make a repository, as the world stands now; `back`: when it is taken back."""
        changed = [target.path for target in self.targets]
        made = [one.path for one in self.targets if (one.old.nodes if back else one.after != NOTHING)]
        news = () if back else self.new_dirs
        forbid_programs_of_git(files, [*changed, *news], [*made, *news])

    def find(self, files: Files) -> list[PathState]:
        """What stands at each target now."""
        return [target.found(files) for target in self.targets]

    def position(self, found: list[PathState]) -> Position:
        """Where the world stands. Without targets there was nothing to do, so it is done."""
        pairs = list(zip(self.targets, found, strict=True))
        if all(target.is_after(state) for target, state in pairs):
            return Position.AFTER
        if all(target.is_before(state) for target, state in pairs):
            return Position.BEFORE
        return Position.FOREIGN

    def remove_temporaries(self, context: LocalContext) -> None:
        """Remove what an interrupted attempt left beside the targets."""
        for target in self.targets:
            context.world.files.remove_temporary(target.path, key=context.key)

    def has_temporaries(self, context: LocalContext) -> bool:
        """Whether an interrupted attempt left anything beside the targets."""
        files, key = context.world.files, context.key
        return any(files.stat(files.temporary(target.path, key=key)) is not None for target in self.targets)

    def has_new_dirs(self, files: Files) -> bool:
        """Whether any of the folders on the way is there."""
        return any(files.stat(path) is not None for path in self.new_dirs[:1])

    def base(self) -> str:
        """Digest of the state that a preview was made on, what is only read included."""
        seen: list[Json] = [[target.path, target.before.identity] for target in self.targets]
        seen += [list(self.new_dirs), self.source.identity if self.source else None]
        return hashlib.sha256(json.dumps(seen).encode()).hexdigest()

    def conflict(self, found: list[PathState]) -> RefusedError:
        """The refusal to take back what somebody else has built upon; both states are shown."""
        pairs = list(zip(self.targets, found, strict=True))
        strange = [(target, state) for target, state in pairs if not target.is_after(state)] or pairs
        target, state = strange[0]
        return RefusedError(
            "COMPENSATION_CONFLICT",
            f"`{shown(target.path)}` is not as this step left it: expected {target.after.text}, found {target.told(state)}",
            path=shown(target.path),
            hint="undoing would overwrite somebody else's change; restore or move it, then try again, or settle the step by hand",
            details={
                "expected": {shown(target.path): target.after.text for target, _ in strange},
                "found": {shown(target.path): target.told(state) for target, state in strange},
            },
        )

    def to_prepared(self, blobs: BlobStore) -> Prepared:
        """What is journaled before the effect."""
        kept: list[str] = []
        targets: list[tuple[str, dict[str, Json], Expected, Expected]] = []
        for target in self.targets:
            old, digests = target.old.to_json(blobs)
            kept.extend(digests)
            targets.append((target.path, old, target.before, target.after))
        folders = [(folder.path, str(folder.mtime_ns), folder.names) for folder in self.folders]
        stored = _Stored(_VERSION, targets, self.new_dirs, folders, self.source, dict(self.notes))
        return Prepared(to_builtins(stored), tuple(dict.fromkeys(kept)))

    @classmethod
    def of(cls, context: LocalContext) -> Change:
        """The change that was journaled for this call. Raises `InternalError` RECORD_CORRUPT for any other shape."""
        try:
            stored = convert(thaw(context.prepared), _Stored)
        except ValidationError:
            raise _corrupt() from None
        blobs = context.blobs
        return cls(
            tuple(
                Target(path, PathState.from_json(old, blobs), *states)
                for path, old, *states in stored.targets
            ),
            stored.new_dirs,
            tuple(Folder(path, int(mtime_ns), names) for path, mtime_ns, names in stored.folders),
            stored.source,
            stored.notes,
        )


class _Stored(Struct, frozen=True, omit_defaults=True):
    """A change as it is journaled. Nanoseconds since 1970 pass 2^53, which JSON readers may round: they are text."""

    version: Literal[1]
    targets: Sequence[tuple[str, dict[str, Any], Expected, Expected]]  # `Any`: JSON, which `PathState` reads
    new_dirs: tuple[str, ...]
    folders: Sequence[tuple[str, Annotated[str, Meta(pattern=r"^-?[0-9]+$")], str | None]]
    source: Expected | None
    notes: dict[str, Any] = {}  # `Any`: JSON


def digest_of_names(files: Files, path: str) -> str:
    """Changes when an entry comes to a folder or leaves it."""
    names = "\0".join(files.list(path)).encode("utf-8", "surrogateescape")
    return hashlib.sha256(names).hexdigest()


def missing_dirs(files: Files, path: str) -> tuple[str, ...]:
    """The folders above `path` that do not exist, outermost first. Raises NOT_A_DIRECTORY when a file stands in the way."""
    absent: list[str] = []
    above = parent_of(path)
    while (entry := files.stat(above)) is None:
        absent.append(above)
        above = parent_of(above)
    if entry.kind is not EntryKind.DIRECTORY:
        raise not_a_directory(above)
    return tuple(reversed(absent))


@contextmanager
def made_dirs(files: Files, paths: tuple[str, ...]) -> Iterator[None]:
    """Make folders, those that came meanwhile excepted. If what follows fails without an effect, so does this."""
    made: list[str] = []
    try:
        for path in paths:
            _make_missing(files, path, made)
        yield
    except NoEffectError as error:
        try:
            remove_empty_dirs(files, tuple(made))
        except AssentError:
            raise WorldError(
                error.code, error.message, path=error.path, hint=error.hint, details=error.details
            ) from error
        raise


def _make_missing(files: Files, path: str, made: list[str]) -> None:
    if files.stat(path) is not None:
        return
    try:
        files.make_dir(path)
    except NoEffectError as error:
        entry = files.stat(path) if error.code == "FILE_EXISTS" else None
        if entry is None or entry.kind is not EntryKind.DIRECTORY:
            raise
        return  # A sibling step was quicker.
    made.append(path)


def remove_empty_dirs(files: Files, paths: tuple[str, ...]) -> None:
    """Remove folders that a call had made, innermost first. One that somebody put something into is theirs now, and stays.

    A sibling step may have put it there; when that step is taken back as well, the folder goes with it, because the sibling
    too had found it missing.
    """
    for path in reversed(paths):
        entry = files.stat(path)
        if entry is not None and entry.kind is EntryKind.DIRECTORY and not files.list(path):
            try:
                files.remove_dir(path)
            except NoEffectError as error:
                if error.code not in ("DIRECTORY_NOT_EMPTY", "FILE_NOT_FOUND"):
                    raise


def _corrupt() -> InternalError:
    return InternalError(
        "RECORD_CORRUPT", "the journaled state of a file change has another shape than expected"
    )
