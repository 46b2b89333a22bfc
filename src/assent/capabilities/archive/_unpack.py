"""`sys.archive.unpack`: a tree that appears in one rename, or not at all.

The archive is read twice. First to plan: everything is checked and counted, nothing is written, and what comes out is known by
its digest before anybody is asked to allow it. Then to act: the same checks and counts once more, the files beside the target
under a hidden name; they are renamed into place when their digest is the planned one. Undo is that of every new tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import IO, Final

from assent.capabilities.archive._formats import (
    contents,
    entries_in,
    fetch,
    format_of,
    holds_one_file,
    scratch,
)
from assent.capabilities.archive._limits import Limits, Meter
from assent.capabilities.archive._names import ArchiveEntry
from assent.capabilities.archive._shapes import Unpack, Unpacked
from assent.capabilities.fs._shapes import place
from assent.capabilities.fs._write import dirs_to_make
from assent.capabilities.fs.change._change import NOTHING, Change, Expected, Folder, Target, made_dirs
from assent.capabilities.fs.change._effect import FileEffect
from assent.capabilities.fs.change._path_state import Node, PathState, changed
from assent.capabilities.fs.world._faults import exists, whole_root
from assent.capabilities.fs.world._git_guard import forbid_programs_of_git
from assent.capabilities.fs.world._paths import ROOT, escapes, named, parent_of
from assent.errors import Json
from assent.invocation import EntryKind, Files, LocalContext, NoEffectError

_EXECUTABLE: Final = 0o111


class UnpackEffect(FileEffect[Unpack, Unpacked]):
    """A new folder with what was in an archive; for `gz` and `zst` a new file."""

    def plan(self, context: LocalContext, parameters: Unpack, *, keeps: bool) -> Change:
        del keeps  # Where nothing stands, there is no pre-image.
        files, path = context.world.files, _target(context, parameters)
        new_dirs = dirs_to_make(files, path, allowed=parameters.create_dirs)
        form = format_of(parameters.source, parameters.format)
        survey = _Survey(files)
        with scratch() as source:
            size = fetch(context, place(parameters.source), source)
            digest = _digest(source)
            for entry in entries_in(source, size, form, Meter(_limits(parameters), context.cancel)):
                for _ in survey.seen(entry):
                    pass
        tree = survey.tree
        for node in tree.nodes:
            files.guard(place(node.under(path)))
        made = [node.under(path) for node in tree.nodes]
        forbid_programs_of_git(files, made, made)
        after = Expected.of(tree, hashed=True)
        target = Target(path, PathState(), NOTHING, after)
        folder = Folder.of(files, parent_of(new_dirs[0] if new_dirs else path), names=True)
        archive = Expected(digest, hashed=True, text=f"archive, {size} bytes, sha256 {digest[:12]}")
        return Change((target,), new_dirs, (folder,), archive, notes=survey.notes)

    def apply(self, context: LocalContext, parameters: Unpack, change: Change) -> None:
        files, target = context.world.files, change.targets[0]
        aside = files.temporary(target.path, key=context.key)
        with made_dirs(files, change.new_dirs), scratch() as source:
            size = fetch(context, place(parameters.source), source)
            # What was planned, and perhaps approved, is what these very bytes held.
            if change.source is None or _digest(source) != change.source.identity:
                raise changed(place(parameters.source))
            survey = _Survey(files)
            try:
                self._build(context, parameters, source, size, survey)
                if survey.tree.identity(hashed=True) != target.after.identity:
                    raise changed(place(parameters.source))
            except NoEffectError:
                files.remove_temporary(target.path, key=context.key)
                raise
            files.rename(aside, target.path, replace=False)

    def _build(
        self, context: LocalContext, parameters: Unpack, source: IO[bytes], size: int, survey: _Survey
    ) -> None:
        files, form = context.world.files, format_of(parameters.source, parameters.format)
        aside = files.temporary(place(parameters.destination), key=context.key)
        if not holds_one_file(form):
            files.make_dir(aside)
        for entry in entries_in(source, size, form, Meter(_limits(parameters), context.cancel)):
            where, content = "/".join((aside, *entry.parts)), survey.seen(entry)
            if entry.is_folder:
                files.make_dir(where)
                for _ in content:
                    pass
            else:
                files.write(where, content, key=context.key, mode=survey.mode_of(entry))

    def output(self, parameters: Unpack, change: Change) -> Unpacked:
        notes = change.notes
        return Unpacked(
            path=change.targets[0].path,
            format=format_of(parameters.source, parameters.format),
            files=_count(notes, "files"),
            folders=_count(notes, "folders"),
            size=_count(notes, "size"),
        )

    def heading(self, change: Change) -> str:
        target, notes = change.targets[0], change.notes
        told = (("files", "file"), ("folders", "folder"), ("size", "byte"))
        counts = [f"{(count := _count(notes, key))} {word}{'' if count == 1 else 's'}" for key, word in told]
        return f"unpack into {named(target.path)}: {', '.join(counts)}\n"


class _Survey:
    """What comes out of an archive, entry by entry, as it will be found; modes follow from this machine's mask."""

    def __init__(self, files: Files) -> None:
        self._file_mode = files.new_mode(EntryKind.FILE)
        self._folder_mode = files.new_mode(EntryKind.DIRECTORY)
        self._nodes: dict[str, Node] = {"": Node("", EntryKind.DIRECTORY, self._folder_mode, 0, 0)}

    def seen(self, entry: ArchiveEntry) -> Iterator[bytes]:
        """The entry's bytes; when the last one has passed, the entry is known."""
        path = "/".join(entry.parts)
        digest, size = hashlib.sha256(), 0
        for chunk in entry.chunks:
            digest.update(chunk)
            size += len(chunk)
            yield chunk
        if entry.is_folder:
            self._nodes[path] = Node(path, EntryKind.DIRECTORY, self._folder_mode, 0, 0)
        else:
            mode = self.mode_of(entry)
            self._nodes[path] = Node(path, EntryKind.FILE, mode, 0, size, digest.hexdigest())

    def mode_of(self, entry: ArchiveEntry) -> int:
        """A file's mode. Of the archive's only "may be executed" is believed, and of that what the mask leaves: no setuid."""
        return self._file_mode | (self._folder_mode & _EXECUTABLE if entry.is_executable else 0)

    @property
    def tree(self) -> PathState:
        """All of it in walking order."""
        return PathState(tuple(sorted(self._nodes.values(), key=lambda node: node.path.split("/"))))

    @property
    def notes(self) -> dict[str, Json]:
        """What the output will tell."""
        kinds = [node.kind for path, node in self._nodes.items() if path or node.kind is EntryKind.FILE]
        files = kinds.count(EntryKind.FILE)
        return {"files": files, "folders": len(kinds) - files, "size": self.tree.size}


def _limits(parameters: Unpack) -> Limits:
    return Limits(parameters.bytes_max, parameters.entries_max, parameters.depth_max, parameters.ratio_max)


def _target(context: LocalContext, parameters: Unpack) -> str:
    files, path = context.world.files, place(parameters.destination)
    if path == ROOT:
        raise whole_root(path)
    entry = files.stat(path)
    if entry is not None and entry.kind is EntryKind.SYMLINK:
        raise escapes(path, "is a symbolic link")
    if entry is not None:
        hint = "an archive is unpacked into a folder of its own, never over what is there; move things from it afterwards"
        raise exists(path, hint=hint)
    files.guard(path)
    return path


def _digest(source: IO[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in contents(source):
        digest.update(chunk)
    return digest.hexdigest()


def _count(notes: Mapping[str, Json], name: str) -> int:
    count = notes.get(name)
    return count if isinstance(count, int) else 0
