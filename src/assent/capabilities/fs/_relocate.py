"""`io.fs.delete`, `io.fs.move` and `io.fs.copy`: files and whole trees, each in one rename."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from assent.capabilities.fs._shapes import Copied, Delete, Deleted, Moved, TwoPaths, place
from assent.capabilities.fs.change._change import NOTHING, Change, Expected, Folder, Target
from assent.capabilities.fs.change._effect import FileEffect, require_pre_image
from assent.capabilities.fs.change._path_state import (
    Node,
    PathState,
    build,
    changed,
    fingerprinted,
    put_back,
    survey,
)
from assent.capabilities.fs.world._faults import exists, missing, not_a_directory, not_empty, whole_root
from assent.capabilities.fs.world._paths import ROOT, escapes, named, parent_of, refusal, shown
from assent.errors import WorldError
from assent.invocation import EntryKind, Files, LocalContext, NoEffectError

_PERMISSIONS: Final = 0o777


class DeleteEffect(FileEffect[Delete, Deleted]):
    """A file, link or tree, away.

    It is set aside under a hidden name first: that rename is the whole effect. What was set aside is compared with what was
    planned before any of it is removed, so a file that somebody saved a moment ago comes back instead of being lost.
    """

    def plan(self, context: LocalContext, parameters: Delete, *, keeps: bool) -> Change:
        path, files = place(parameters.path), context.world.files
        if path == ROOT:
            raise whole_root(path)
        files.guard(path)
        found = survey(files, path)
        if not found.nodes:
            raise missing(path)
        guard_tree(files, path, found)
        if len(found.nodes) > 1 and not parameters.recursive:
            error = not_empty(path)
            error.hint = "pass `recursive: true` to delete it with everything in it"
            raise error
        old = self.pre_image(context, path, keeps=keeps)
        target = Target(path, old, Expected.of(old, hashed=context.keep_pre_image), NOTHING)
        return Change((target,), (), (Folder.of(files, parent_of(path), names=True),))

    def apply(self, context: LocalContext, parameters: Delete, change: Change) -> None:
        del parameters
        files, path = context.world.files, change.targets[0].path
        files.rename(path, files.temporary(path, key=_aside(context)), replace=False)
        self.finish(context, change)

    def has_leftovers(self, context: LocalContext, change: Change) -> bool:
        files, path = context.world.files, change.targets[0].path
        return files.stat(files.temporary(path, key=_aside(context))) is not None

    def finish(self, context: LocalContext, change: Change) -> None:
        files, target = context.world.files, change.targets[0]
        aside = files.temporary(target.path, key=_aside(context))
        planned = {node.path: _trace(node) for node in target.old.nodes}
        found = {node.path: _trace(node) for node in survey(files, aside).nodes}
        # Some of it may be gone already, when a crash came in the middle of removing; nothing may be new or different.
        if found.items() <= planned.items():
            files.remove_temporary(target.path, key=_aside(context))
        elif found.keys() >= planned.keys():
            files.rename(aside, target.path, replace=False)
            raise changed(target.path)
        else:
            raise WorldError(
                "FILE_CHANGED",
                f"`{shown(target.path)}` was changed while it was being deleted; the rest stands at `{shown(aside)}`",
                path=shown(target.path),
                hint="look at what is left, then settle the step with `assent resolve`",
            )

    def output(self, parameters: Delete, change: Change) -> Deleted:
        del parameters
        old = change.targets[0].old
        return Deleted(path=change.targets[0].path, entries=len(old.nodes), size=old.size)


class MoveEffect(FileEffect[TwoPaths, Moved]):
    """A file, link or tree to another place in the workspace."""

    def plan(self, context: LocalContext, parameters: TwoPaths, *, keeps: bool) -> Change:
        files = context.world.files
        source, destination = _ends(parameters)
        files.guard(source)
        found = survey(files, source)
        if not found.nodes:
            raise missing(source)
        guard_tree(files, source, found)
        _require_free(files, found, destination, overwrite=parameters.overwrite)
        old = self.pre_image(context, destination, keeps=keeps)
        # Times and sizes tell a moved tree from a changed one well enough, and cost no reading.
        away = Target(source, found, Expected.of(found, hashed=False), NOTHING)
        there = Target(
            destination,
            old,
            Expected.of(old, hashed=context.keep_pre_image and bool(old.nodes)),
            Expected.of(found, hashed=False),
        )
        folders = [Folder.of(files, parent_of(source), names=True)]
        if parent_of(destination) != parent_of(source):
            folders.append(Folder.of(files, parent_of(destination), names=not old.nodes))
        return Change((away, there), (), tuple(folders))

    def apply(self, context: LocalContext, parameters: TwoPaths, change: Change) -> None:
        del parameters
        away, there = change.targets
        context.world.files.rename(away.path, there.path, replace=bool(there.old.nodes))

    def output(self, parameters: TwoPaths, change: Change) -> Moved:
        del parameters
        away, there = change.targets
        return Moved(
            source=away.path,
            destination=there.path,
            entries=len(away.old.nodes),
            replaced=bool(there.old.nodes),
        )

    def is_half_undone(self, change: Change, found: list[PathState]) -> bool:
        # Moved back already, but what it had replaced is not in its place again.
        away, there = change.targets
        return away.is_before(found[0]) and not found[1].nodes and bool(there.old.nodes)

    def take_back(self, context: LocalContext, change: Change, found: list[PathState]) -> None:
        away, there = change.targets
        require_pre_image(there)
        if not away.is_before(found[0]):
            context.world.files.rename(there.path, away.path, replace=False)
        if there.old.nodes:
            put_back(context, there.path, there.old)

    def heading(self, change: Change) -> str:
        away, there = change.targets
        return f"rename from {named(away.path)}\nrename to {named(there.path)}\n"

    def compared(self, change: Change) -> tuple[str, ...]:
        # What only changes its name is not worth showing; what is replaced is.
        there = change.targets[1]
        return (there.path,) if there.old.nodes else ()


class CopyEffect(FileEffect[TwoPaths, Copied]):
    """A file or tree, once more somewhere else. Permissions are copied, times are new, links stay links."""

    def plan(self, context: LocalContext, parameters: TwoPaths, *, keeps: bool) -> Change:
        files = context.world.files
        source, destination = _ends(parameters)
        found = fingerprinted(files, source)
        if found.kind is EntryKind.SYMLINK:
            raise escapes(source, "is a symbolic link")
        if not found.nodes:
            raise missing(source)
        files.guard(destination)
        for node in found.nodes:
            files.guard(node.under(destination))
        _require_free(files, found, destination, overwrite=parameters.overwrite)
        old = self.pre_image(context, destination, keeps=keeps)
        expected = Expected.of(found, hashed=True)
        target = Target(destination, old, Expected.of(old, hashed=context.keep_pre_image), expected)
        folder = Folder.of(files, parent_of(destination), names=not old.nodes)
        return Change((target,), (), (folder,), expected)

    def apply(self, context: LocalContext, parameters: TwoPaths, change: Change) -> None:
        files, target = context.world.files, change.targets[0]
        source, destination = _ends(parameters)
        found = survey(files, source)
        if found.kind is EntryKind.FILE:
            mode = found.nodes[0].mode & _PERMISSIONS
            contents = _expected(_contents(context, source), mode, target.after, source)
            files.write(destination, contents, key=context.key, mode=mode, replace=bool(target.old.nodes))
            return
        plain = PathState(tuple(replace(node, mode=node.mode & _PERMISSIONS) for node in found.nodes))
        aside = files.temporary(destination, key=context.key)
        try:
            build(context, aside, plain, lambda node: _contents(context, node.under(source)), restores=False)
            # The copy must be what was planned and approved; the source may have changed while it was read.
            if fingerprinted(files, aside).identity(hashed=True) != target.after.identity:
                raise changed(source)
        except NoEffectError:
            files.remove_temporary(destination, key=context.key)
            raise
        files.rename(aside, destination, replace=False)

    def output(self, parameters: TwoPaths, change: Change) -> Copied:
        source, destination = _ends(parameters)
        target = change.targets[0]
        return Copied(
            source=source,
            destination=destination,
            replaced=bool(target.old.nodes),
            changed=not change.is_nothing,
        )


def guard_tree(files: Files, path: str, found: PathState) -> None:
    """Refuse (PATH_PROTECTED) when the path, or anything beneath it, is a control file."""
    for node in found.nodes:
        # A folder's guard looks at the names in it; a file needs a look of its own only when it has other names elsewhere.
        if not node.path or node.kind is EntryKind.DIRECTORY or node.links > 1:
            files.guard(node.under(path))


def _ends(parameters: TwoPaths) -> tuple[str, str]:
    source, destination = place(parameters.source), place(parameters.destination)
    for path in (source, destination):
        if path == ROOT:
            raise whole_root(path)
    if destination == source or destination.startswith(f"{source}/"):
        raise refusal("PATH_INVALID", destination, f"is `{shown(source)}` itself or inside it")
    return source, destination


def _require_free(files: Files, source: PathState, destination: str, *, overwrite: bool) -> None:
    """A file may take the place of a file when that is asked for; a folder is never replaced: that would be a delete."""
    files.guard(destination)
    above = files.stat(parent_of(destination))
    if above is None:
        raise missing(parent_of(destination))
    if above.kind is not EntryKind.DIRECTORY:
        raise not_a_directory(parent_of(destination))
    entry = files.stat(destination)
    if entry is None:
        return
    if entry.kind is EntryKind.SYMLINK:
        raise escapes(destination, "is a symbolic link")
    if entry.kind is not EntryKind.FILE or source.kind is not EntryKind.FILE:
        raise exists(
            destination, hint="a folder is neither replaced nor a replacement: delete what stands there first"
        )
    if not overwrite:
        raise exists(destination, hint="pass `overwrite: true` to replace it")


def _aside(context: LocalContext) -> str:
    # Not the key that trees are built under: what was set aside must never be taken for something half built.
    return f"{context.key}#aside"


def _contents(context: LocalContext, path: str) -> Iterator[bytes]:
    for chunk in context.world.files.read(path):
        if context.cancel.is_cancelled:
            raise NoEffectError(
                "CALL_CANCELLED", "the call was cancelled while it copied a file", path=shown(path)
            )
        yield chunk


def _expected(chunks: Iterator[bytes], mode: int, expected: Expected, path: str) -> Iterator[bytes]:
    """The same chunks; FILE_CHANGED after the last one when together they are not what was planned."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    copied = PathState((Node("", EntryKind.FILE, mode, 0, size, digest.hexdigest()),))
    if copied.identity(hashed=True) != expected.identity:
        raise changed(path)


def _trace(node: Node) -> tuple[object, ...]:
    # Removing makes folders writable and touches their times, so of a folder only its being one is compared.
    if node.kind is EntryKind.DIRECTORY:
        return (node.kind,)
    if node.kind is EntryKind.SYMLINK:
        return (node.kind, node.content)
    return (node.kind, node.mode, node.mtime_ns, node.size)
