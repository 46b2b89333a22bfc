"""`io.fs.patch`: a unified diff over several files, all of it or nothing.

All new contents are made and written beside their files first; what fails there (a full disk) has changed nothing. Then they are
renamed into place one by one. A crash between two of these renames leaves a state in which each file is as it was or as it should
be: that is recognised, `execute` completes it and `compensate` takes it back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator
from functools import partial
from typing import Final, Literal

import msgspec

from assent.capabilities.fs._shapes import Patch, Patched, PatchedFile, PatchedHunk, place
from assent.capabilities.fs._unified import FileDiff, apply_hunks, read_diff
from assent.capabilities.fs._write import writable
from assent.capabilities.fs.change._change import (
    NOTHING,
    Change,
    Expected,
    Folder,
    Target,
    made_dirs,
    missing_dirs,
)
from assent.capabilities.fs.change._effect import FileEffect
from assent.capabilities.fs.change._path_state import Node, PathState, changed
from assent.capabilities.fs.world._faults import exists, missing
from assent.capabilities.fs.world._paths import ROOT, join, normal, parent_of, refusal, shown
from assent.errors import Json
from assent.invocation import EntryKind, Files, LocalContext, NoEffectError

PATCHED_BYTES_MAX: Final = 16 << 20
"""The largest file that is patched."""

_EXECUTABLE: Final = 0o111


class _Edit(msgspec.Struct, frozen=True):
    """One file of a diff with its places in the workspace; None for nothing."""

    diff: FileDiff
    source: str | None
    destination: str | None


class _Planned(msgspec.Struct):
    """What all edits come to: contents before and after by path, and what is told of each file."""

    targets: list[Target] = msgspec.field(default_factory=list)
    told: list[Json] = msgspec.field(default_factory=list)
    misfits: list[dict[str, Json]] = msgspec.field(default_factory=list)
    size: int = 0


class PatchEffect(FileEffect[Patch, Patched]):
    """The files of a diff, changed together."""

    def plan(self, context: LocalContext, parameters: Patch, *, keeps: bool) -> Change:
        files = context.world.files
        edits = _edits(parameters)
        _require_deletions(edits, parameters)
        planned = _Planned()
        for edit in edits:
            self._plan_one(context, edit, planned, keeps=keeps)
        if planned.misfits:
            first = planned.misfits[0]
            more = f" (and {len(planned.misfits) - 1} more)" if len(planned.misfits) > 1 else ""
            raise NoEffectError(
                "DIFF_CONFLICT",
                f"`{first['path']}`: {first['message']}{more}",
                path=str(first["place"]),
                hint="make the diff again from the file as it is now; nothing was changed",
                details={"faults": [*planned.misfits[:100]]},
            )
        new_dirs: dict[str, None] = {}
        folders: dict[str, bool] = {}
        for target in planned.targets:
            missing_here = () if target.old.nodes else missing_dirs(files, target.path)
            for folder in missing_here:
                files.guard(folder)
            new_dirs.update(dict.fromkeys(missing_here))
            above = parent_of(missing_here[0] if missing_here else target.path)
            comes_or_goes = not target.old.nodes or target.after == NOTHING
            folders[above] = folders.get(above, False) or comes_or_goes
        return Change(
            tuple(planned.targets),
            tuple(sorted(new_dirs, key=lambda path: path.count("/"))),
            tuple(Folder.of(files, path, names=names) for path, names in folders.items()),
            notes={"files": planned.told},
        )

    def _plan_one(self, context: LocalContext, edit: _Edit, planned: _Planned, *, keeps: bool) -> None:
        files = context.world.files
        for path in dict.fromkeys(path for path in (edit.source, edit.destination) if path is not None):
            files.guard(path)
        content, mode = _before(files, edit)
        planned.size += len(content)
        if planned.size > context.world.pre_image_bytes_max:
            raise NoEffectError(
                "PRE_IMAGE_TOO_LARGE",
                f"the files of this diff have more than {context.world.pre_image_bytes_max} bytes together",
                hint="apply it in parts, or raise `max_pre_image_bytes`",
            )
        after, places, misfits = apply_hunks(content, edit.diff.hunks)
        name = edit.destination or edit.source or ROOT
        if edit.diff.is_deleted and after and not misfits:
            planned.misfits.append(_misfit(edit.diff.place, name, "has more lines than the diff deletes"))
        planned.misfits += [_misfit(one.place, name, one.message) for one in misfits]
        if planned.misfits:
            return  # Everything that does not fit is told at once; nothing is kept for a change that will not be.
        if edit.source is not None:
            old = self.pre_image(context, edit.source, keeps=keeps)
            before = Expected.of(_file(content, mode), hashed=True)
            if context.keep_pre_image and old.identity(hashed=True) != before.identity:
                raise changed(edit.source)
            wanted = (
                NOTHING if edit.destination != edit.source else _expected(after, _mode(files, edit, mode))
            )
            planned.targets.append(Target(edit.source, old, before, wanted))
        if edit.destination is not None and edit.destination != edit.source:
            wanted = _expected(after, _mode(files, edit, mode))
            planned.targets.append(Target(edit.destination, PathState(), NOTHING, wanted))
        digest = None if edit.destination is None else hashlib.sha256(after).hexdigest()
        planned.told.append([digest, [[line, offset] for line, offset in places]])

    def apply(self, context: LocalContext, parameters: Patch, change: Change) -> None:
        files = context.world.files
        waiting = [target for target in change.targets if not target.is_after(target.found(files))]
        contents = dict(_contents(context, parameters, {target.path for target in waiting}))
        # New contents first, so that what a file is renamed from still stands while its new place is filled.
        waiting.sort(key=lambda target: target.path not in contents)
        with made_dirs(files, change.new_dirs):
            try:
                for target in waiting:
                    if target.path in contents:
                        self._stage(context, target, *contents[target.path])
                self._commit(context, change, waiting, contents.keys())
            except NoEffectError:
                change.remove_temporaries(context)
                raise

    def _stage(self, context: LocalContext, target: Target, content: bytes, mode: int) -> None:
        # What is put in place must be what was planned and approved; the file may have changed since.
        if _expected(content, mode) != target.after:
            raise changed(target.path)
        files = context.world.files
        files.write(files.temporary(target.path, key=context.key), [content], key=context.key, mode=mode)

    def _commit(
        self, context: LocalContext, change: Change, waiting: list[Target], filled: Container[str]
    ) -> None:
        files = context.world.files

        def put(target: Target) -> None:
            if target.path in filled:
                aside = files.temporary(target.path, key=context.key)
                files.rename(aside, target.path, replace=bool(target.old.nodes))
            else:
                files.remove_file(target.path)

        self.all_or_none(context, change, [partial(put, target) for target in waiting])

    def is_half_done(self, change: Change, found: list[PathState]) -> bool:
        return all(
            target.is_before(state) or target.is_after(state)
            for target, state in zip(change.targets, found, strict=True)
        )

    def is_half_undone(self, change: Change, found: list[PathState]) -> bool:
        return self.is_half_done(change, found)

    def output(self, parameters: Patch, change: Change) -> Patched:
        noted = change.notes.get("files")
        assert isinstance(noted, list | tuple), "a planned patch notes what became of each file"
        told = [_told(edit, note) for edit, note in zip(_edits(parameters), noted, strict=True)]
        return Patched(files=told, created_dirs=list(change.new_dirs))

    def heading(self, change: Change) -> str:
        noted = change.notes.get("files")
        assert isinstance(noted, list | tuple), "a planned patch notes what became of each file"
        offsets = [
            place for note in noted if isinstance(note, list) for place in _pairs(note[1]) if place[1] != 0
        ]
        return "".join(f"hunk found {offset:+d} lines away, at line {line}\n" for line, offset in offsets)


def _edits(parameters: Patch) -> list[_Edit]:
    """The files of the diff with their places. DIFF_INVALID when two of them are about one path."""
    base = place(parameters.path)
    edits: list[_Edit] = []
    taken: dict[str, FileDiff] = {}
    for diff in read_diff(parameters.diff):
        # The names in `rename from` and `rename to` never have the prefix `a/` or `b/`.
        strip = max(parameters.strip - 1, 0) if diff.is_rename else parameters.strip
        edit = _Edit(diff, _place(diff, diff.old, base, strip), _place(diff, diff.new, base, strip))
        for path in dict.fromkeys((edit.source, edit.destination)):
            if path is None:
                continue
            if path in taken:
                raise _invalid(diff, f"`{shown(path)}` is changed twice, first by line {taken[path].place}")
            taken[path] = diff
        if (
            None not in (edit.source, edit.destination)
            and edit.source != edit.destination
            and not diff.is_rename
        ):
            raise _invalid(
                diff,
                f"the names `{shown(str(edit.source))}` and `{shown(str(edit.destination))}` are of two files",
                "a rename says `rename from` and `rename to`; another number for `strip` may make them one",
            )
        edits.append(edit)
    for path, diff in taken.items():
        parts = path.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in taken:
                raise _invalid(diff, f"`{shown(path)}` stands below another file of the diff")
    return edits


def _require_deletions(edits: list[_Edit], parameters: Patch) -> None:
    """Refuse (DIFF_DELETES) a diff that deletes files where it may not. A rename takes nothing away."""
    gone = [edit for edit in edits if edit.destination is None]
    if gone and not parameters.deletions:
        names: list[Json] = [shown(edit.source or ROOT) for edit in gone]
        more = f" (and {len(gone) - 1} more)" if len(gone) > 1 else ""
        raise NoEffectError(
            "DIFF_DELETES",
            f"the diff deletes `{names[0]}`{more}, and the call says that it may not",
            path=f"diff:{gone[0].diff.place}",
            hint="pass `deletions: true`, or leave the deletion out of the diff",
            details={"files": names[:100]},
        )


def _place(diff: FileDiff, name: str | None, base: str, strip: int) -> str | None:
    if name is None:
        return None
    parts = name.split("/")
    if len(parts) <= strip:
        raise _invalid(
            diff,
            f"`{shown(name)}` has no {strip} leading components to cut off",
            f"pass `strip: {len(parts) - 1}` when the names have no prefix like `a/`",
        )
    inner = "/".join(parts[strip:])
    return join(base, place(normal(inner)))


def _invalid(diff: FileDiff, message: str, hint: str | None = None) -> NoEffectError:
    return NoEffectError("DIFF_INVALID", message, path=f"diff:{diff.place}", hint=hint)


def _before(files: Files, edit: _Edit) -> tuple[bytes, int]:
    """The content that the hunks apply to, and its permission bits; empty for a file that is new."""
    is_elsewhere = edit.destination is not None and edit.destination != edit.source
    if edit.destination is not None and is_elsewhere and writable(files, edit.destination) is not None:
        raise exists(edit.destination, hint="the diff makes this file; it stands there already")
    if edit.source is None:
        return b"", 0
    entry = writable(files, edit.source)
    if entry is None:
        raise missing(edit.source)
    if entry.size > PATCHED_BYTES_MAX:
        raise _too_large(edit.source)
    pieces: list[bytes] = []
    size = 0
    for chunk in files.read(edit.source):
        size += len(chunk)
        if size > PATCHED_BYTES_MAX:
            raise _too_large(edit.source)
        pieces.append(chunk)
    return b"".join(pieces), entry.mode


def _too_large(path: str) -> NoEffectError:
    why = f"has more than {PATCHED_BYTES_MAX} bytes, the most that is patched"
    return refusal("FILE_TOO_LARGE", path, why)


def _contents(
    context: LocalContext, parameters: Patch, wanted: set[str]
) -> Iterator[tuple[str, tuple[bytes, int]]]:
    """New content and permission bits by path, of those that are wanted and will hold something."""
    files = context.world.files
    for edit in _edits(parameters):
        if edit.destination not in wanted or edit.destination is None:
            continue
        content, mode = _before(files, edit)
        after, _, misfits = apply_hunks(content, edit.diff.hunks)
        if misfits:
            raise changed(edit.destination)
        yield edit.destination, (after, _mode(files, edit, mode))


def _mode(files: Files, edit: _Edit, mode: int) -> int:
    """The permission bits after the change; a diff knows only whether a file is executable."""
    if edit.source is None:
        mode = files.new_mode(EntryKind.FILE)
        return _executable(mode) if edit.diff.new_mode == 0o100755 else mode
    if edit.diff.old_mode == edit.diff.new_mode or edit.diff.new_mode is None:
        return mode
    return _executable(mode) if edit.diff.new_mode == 0o100755 else mode & ~_EXECUTABLE


def _executable(mode: int) -> int:
    # Who may read it may run it, as Git does it.
    return mode | (mode & 0o444) >> 2


def _file(content: bytes, mode: int) -> PathState:
    return PathState((Node("", EntryKind.FILE, mode, 0, len(content), hashlib.sha256(content).hexdigest()),))


def _expected(content: bytes, mode: int) -> Expected:
    return Expected.of(_file(content, mode), hashed=True)


def _misfit(line: int, path: str, message: str) -> dict[str, Json]:
    return {"place": f"diff:{line}", "path": shown(path), "message": message}


def _told(edit: _Edit, note: Json) -> PatchedFile:
    assert isinstance(note, list | tuple), "a note has a digest and the places of the hunks"
    source, destination = edit.source, edit.destination
    what: Literal["added", "deleted", "modified", "renamed"]
    if source is None:
        what = "added"
    elif destination is None:
        what = "deleted"
    else:
        what = "renamed" if edit.diff.is_rename else "modified"
    return PatchedFile(
        path=destination or source or ROOT,
        change=what,
        source=source if what == "renamed" else None,
        added_lines=sum(hunk.added for hunk in edit.diff.hunks),
        removed_lines=sum(hunk.removed for hunk in edit.diff.hunks),
        hunks=[PatchedHunk(line=line, offset=offset) for line, offset in _pairs(note[1])],
        sha256=note[0] if isinstance(note[0], str) else None,
    )


def _pairs(data: Json) -> list[tuple[int, int]]:
    assert isinstance(data, list | tuple), "the places of the hunks are a list"
    found = []
    for one in data:
        match list(one) if isinstance(one, list | tuple) else one:
            case [int(line), int(offset)]:
                found.append((line, offset))
            case _:
                raise AssertionError("a hunk is noted with its line and its offset")
    return found
