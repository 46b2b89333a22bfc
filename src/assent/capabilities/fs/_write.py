"""`io.fs.write_file`, `io.fs.write_bytes` and `io.fs.make_dir`: one new state at one path."""

from __future__ import annotations

import base64
import binascii
from abc import abstractmethod
from functools import partial
from typing import Generic, TypeVar

from assent.capabilities.fs._shapes import Content, Made, MakeDir, WriteBytes, WriteFile, Written, place
from assent.capabilities.fs._text import encode
from assent.capabilities.fs.change._change import Change, Expected, Folder, Target, made_dirs, missing_dirs
from assent.capabilities.fs.change._effect import FileEffect
from assent.capabilities.fs.change._path_state import Node, PathState
from assent.capabilities.fs.world._faults import exists, is_a_directory, missing, whole_root
from assent.capabilities.fs.world._paths import ROOT, escapes, parent_of, refusal
from assent.invocation import Entry, EntryKind, Files, LocalContext, NoEffectError

W = TypeVar("W", WriteFile, WriteBytes)


class _Write(FileEffect[W, Written], Generic[W]):
    """A file's whole content, replaced in one rename."""

    @abstractmethod
    def data(self, parameters: W) -> bytes:
        """The bytes that the file will have."""

    def content(self, parameters: W) -> Content:
        """The same with their digest, made once for all parts of a call."""
        return parameters.made_of(partial(self.data, parameters))

    @abstractmethod
    def may_replace(self, parameters: W) -> bool:
        """Whether an existing file may be replaced."""

    def plan(self, context: LocalContext, parameters: W, *, keeps: bool) -> Change:
        path, files, content = place(parameters.path), context.world.files, self.content(parameters)
        entry, new_dirs, folder = room_for_file(
            files, path, overwrite=self.may_replace(parameters), create_dirs=parameters.create_dirs
        )
        old = self.pre_image(context, path, keeps=keeps)
        mode = files.new_mode(EntryKind.FILE) if entry is None else entry.mode
        new = PathState((Node("", EntryKind.FILE, mode, 0, len(content.data), content.sha256),))
        # Only a hashed pre-image can be found equal to the new content; without one the file is written in any case.
        before = Expected.of(old, hashed=context.keep_pre_image)
        return Change((Target(path, old, before, Expected.of(new, hashed=True)),), new_dirs, (folder,))

    def apply(self, context: LocalContext, parameters: W, change: Change) -> None:
        files, target = context.world.files, change.targets[0]
        with made_dirs(files, change.new_dirs):
            is_new = not target.old.nodes
            files.write(target.path, [self.content(parameters).data], key=context.key, replace=not is_new)

    def output(self, parameters: W, change: Change) -> Written:
        content, target = self.content(parameters), change.targets[0]
        return Written(
            path=target.path,
            size=len(content.data),
            sha256=content.sha256,
            created=not target.old.nodes,
            changed=not change.is_nothing,
            created_dirs=list(change.new_dirs),
        )


class WriteFileEffect(_Write[WriteFile]):
    """Text into a file."""

    def data(self, parameters: WriteFile) -> bytes:
        return encode(parameters.content, parameters.encoding)

    def may_replace(self, parameters: WriteFile) -> bool:
        del parameters  # It says so in its description; `write_bytes` has a parameter for it.
        return True


class WriteBytesEffect(_Write[WriteBytes]):
    """Bytes into a file."""

    def data(self, parameters: WriteBytes) -> bytes:
        try:
            return base64.b64decode(parameters.content_base64, validate=True)
        except (binascii.Error, ValueError):
            raise NoEffectError(
                "CONTENT_INVALID",
                "`content_base64` is not base64",
                path="content_base64",
                hint="RFC 4648, standard alphabet, padded with `=`",
            ) from None

    def may_replace(self, parameters: WriteBytes) -> bool:
        return parameters.overwrite


class MakeDirEffect(FileEffect[MakeDir, Made]):
    """A folder, with those above it when asked for."""

    def plan(self, context: LocalContext, parameters: MakeDir, *, keeps: bool) -> Change:
        del keeps  # Where nothing stands, there is no pre-image.
        path, files = place(parameters.path), context.world.files
        if (entry := files.stat(path)) is not None:
            if entry.kind is EntryKind.SYMLINK:
                raise escapes(path, "is a symbolic link")
            if entry.kind is EntryKind.DIRECTORY and parameters.exist_ok:
                return Change()
            raise exists(
                path,
                hint="pass `exist_ok: true` if that is fine" if entry.kind is EntryKind.DIRECTORY else None,
            )
        files.guard(path)
        new_dirs = dirs_to_make(files, path, allowed=parameters.parents)
        new = PathState((Node("", EntryKind.DIRECTORY, files.new_mode(EntryKind.DIRECTORY), 0, 0),))
        nothing = PathState()
        target = Target(path, nothing, Expected.of(nothing, hashed=False), Expected.of(new, hashed=False))
        folder = Folder.of(files, parent_of(new_dirs[0] if new_dirs else path), names=True)
        return Change((target,), new_dirs, (folder,))

    def apply(self, context: LocalContext, parameters: MakeDir, change: Change) -> None:
        del parameters
        files = context.world.files
        with made_dirs(files, change.new_dirs):
            for target in change.targets:
                files.make_dir(target.path)

    def output(self, parameters: MakeDir, change: Change) -> Made:
        return Made(
            path=place(parameters.path),
            created=bool(change.targets),
            created_dirs=[*change.new_dirs, *(target.path for target in change.targets)],
        )


def writable(files: Files, path: str) -> Entry | None:
    """What stands where a file is to be written; only a file, or nothing, may be replaced by one."""
    if path == ROOT:
        raise whole_root(path)
    entry = files.stat(path)
    if entry is None or entry.kind is EntryKind.FILE:
        return entry
    if entry.kind is EntryKind.DIRECTORY:
        raise is_a_directory(path)
    if entry.kind is EntryKind.SYMLINK:
        raise escapes(path, "is a symbolic link")
    raise refusal("FILE_KIND_UNSUPPORTED", path, "is not a regular file and is not replaced")


def room_for_file(
    files: Files, path: str, *, overwrite: bool, create_dirs: bool
) -> tuple[Entry | None, tuple[str, ...], Folder]:
    """What stands where a file is to be, the folders to make on its way, and the folder that notices. FILE_EXISTS and others."""
    files.guard(path)
    entry = writable(files, path)
    if entry is not None and not overwrite:
        raise exists(path, hint="pass `overwrite: true` to replace it")
    new_dirs = dirs_to_make(files, path, allowed=create_dirs)
    return (
        entry,
        new_dirs,
        Folder.of(files, parent_of(new_dirs[0] if new_dirs else path), names=entry is None),
    )


def dirs_to_make(files: Files, path: str, *, allowed: bool) -> tuple[str, ...]:
    """The folders above `path` that must be made first, outermost first. FILE_NOT_FOUND when that was not `allowed`."""
    new_dirs = missing_dirs(files, path)
    if new_dirs and not allowed:
        above = missing(parent_of(path))
        above.hint = (
            "pass `create_dirs: true` (`parents: true` for `make_dir`) to make the folders on the way"
        )
        raise above
    for directory in new_dirs:
        files.guard(directory)
    return new_dirs
