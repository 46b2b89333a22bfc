"""The file capabilities, described: what each takes and gives, what it risks, and whose parts perform it.

A `revision` goes up when a change journaled by an older version could no longer be continued or taken back by this one.
"""

from __future__ import annotations

from typing import Final

from assent.capabilities.fs import _read
from assent.capabilities.fs._parameters import (
    Delete,
    Find,
    ListDir,
    MakeDir,
    OnePath,
    Patch,
    ReadFile,
    Search,
    TwoPaths,
    WriteBytes,
    WriteFile,
)
from assent.capabilities.fs._patch import PatchEffect
from assent.capabilities.fs._relocate import CopyEffect, DeleteEffect, MoveEffect
from assent.capabilities.fs._results import (
    Copied,
    Deleted,
    Existence,
    FileHash,
    FileText,
    Found,
    Listing,
    Made,
    Moved,
    Patched,
    Searched,
    Written,
)
from assent.capabilities.fs._write import MakeDirEffect, WriteBytesEffect, WriteFileEffect
from assent.invocation import LocalContext, capability

_EFFECT: Final = "changes files of the workspace"

# -- looking ---------------------------------------------------------------------------------------------------------------


@capability(
    "io.fs.read_file",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    revision="io.fs.read_file/1",
)
def read_file(context: LocalContext, parameters: ReadFile) -> FileText:
    """Read a text file"""
    return _read.read_file(context, parameters)


read_file.preview(_read.no_change)


@capability(
    "io.fs.hash_file",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    revision="io.fs.hash_file/1",
)
def hash_file(context: LocalContext, parameters: OnePath) -> FileHash:
    """SHA-256 and size of a file"""
    return _read.hash_file(context, parameters)


hash_file.preview(_read.no_change)


@capability(
    "io.fs.list_dir",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    revision="io.fs.list_dir/1",
)
def list_dir(context: LocalContext, parameters: ListDir) -> Listing:
    """List a folder"""
    return _read.list_dir(context, parameters)


list_dir.preview(_read.no_change)


@capability(
    "io.fs.exists",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    revision="io.fs.exists/1",
)
def exists(context: LocalContext, parameters: OnePath) -> Existence:
    """Whether something stands at a path"""
    return _read.exists(context, parameters)


exists.preview(_read.no_change)


@capability(
    "io.fs.find",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=120,
    revision="io.fs.find/1",
)
def find(context: LocalContext, parameters: Find) -> Found:
    """Find files and folders by name, kind, size and age, without what `.gitignore` leaves out"""
    from assent.capabilities.fs._find import find as found

    return found(context, parameters)


find.preview(_read.no_change)


@capability(
    "io.fs.search",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=120,
    revision="io.fs.search/1",
)
def search(context: LocalContext, parameters: Search) -> Searched:
    """Search the text of files for a pattern, in linear time, without what `.gitignore` leaves out"""
    from assent.capabilities.fs._search import search as searched

    return searched(context, parameters)


search.preview(_read.no_change)


# -- changing --------------------------------------------------------------------------------------------------------------

_WRITE_FILE: Final = WriteFileEffect()
_WRITE_BYTES: Final = WriteBytesEffect()
_MAKE_DIR: Final = MakeDirEffect()
_DELETE: Final = DeleteEffect()
_MOVE: Final = MoveEffect()
_COPY: Final = CopyEffect()
_PATCH: Final = PatchEffect()


@capability(
    "io.fs.write_file",
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="filesystem",
    effect=_EFFECT,
    idempotent=True,
    revision="io.fs.write_file/1",
    rehearsable=True,
)
def write_file(context: LocalContext, parameters: WriteFile) -> Written:
    """Write text to a file, replacing what it held"""
    return _WRITE_FILE.execute(context, parameters)


write_file.prepare(_WRITE_FILE.prepare)
write_file.compensate(_WRITE_FILE.compensate)
write_file.reconcile(_WRITE_FILE.reconcile)
write_file.preview(_WRITE_FILE.preview)


@capability(
    "io.fs.write_bytes",
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="filesystem",
    effect=_EFFECT,
    revision="io.fs.write_bytes/1",
    rehearsable=True,
)
def write_bytes(context: LocalContext, parameters: WriteBytes) -> Written:
    """Write bytes to a file"""
    return _WRITE_BYTES.execute(context, parameters)


write_bytes.prepare(_WRITE_BYTES.prepare)
write_bytes.compensate(_WRITE_BYTES.compensate)
write_bytes.reconcile(_WRITE_BYTES.reconcile)
write_bytes.preview(_WRITE_BYTES.preview)


@capability(
    "io.fs.make_dir",
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="filesystem",
    effect=_EFFECT,
    revision="io.fs.make_dir/1",
    rehearsable=True,
)
def make_dir(context: LocalContext, parameters: MakeDir) -> Made:
    """Make a folder"""
    return _MAKE_DIR.execute(context, parameters)


make_dir.prepare(_MAKE_DIR.prepare)
make_dir.compensate(_MAKE_DIR.compensate)
make_dir.reconcile(_MAKE_DIR.reconcile)
make_dir.preview(_MAKE_DIR.preview)


@capability(
    "io.fs.delete",
    operation="DELETE",
    risk="HIGH",
    requires_approval=True,
    reversible=True,
    scope="filesystem",
    effect=_EFFECT,
    revision="io.fs.delete/1",
    rehearsable=True,
)
def delete(context: LocalContext, parameters: Delete) -> Deleted:
    """Delete a file, a link or a folder with everything in it"""
    return _DELETE.execute(context, parameters)


delete.prepare(_DELETE.prepare)
delete.compensate(_DELETE.compensate)
delete.reconcile(_DELETE.reconcile)
delete.preview(_DELETE.preview)


@capability(
    "io.fs.move",
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="filesystem",
    effect=_EFFECT,
    revision="io.fs.move/1",
    rehearsable=True,
)
def move(context: LocalContext, parameters: TwoPaths) -> Moved:
    """Move a file or folder within the workspace"""
    return _MOVE.execute(context, parameters)


move.prepare(_MOVE.prepare)
move.compensate(_MOVE.compensate)
move.reconcile(_MOVE.reconcile)
move.preview(_MOVE.preview)


@capability(
    "io.fs.copy",
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="filesystem",
    effect=_EFFECT,
    revision="io.fs.copy/1",
    rehearsable=True,
)
def copy(context: LocalContext, parameters: TwoPaths) -> Copied:
    """Copy a file or folder within the workspace"""
    return _COPY.execute(context, parameters)


copy.prepare(_COPY.prepare)
copy.compensate(_COPY.compensate)
copy.reconcile(_COPY.reconcile)
copy.preview(_COPY.preview)


@capability(
    "io.fs.patch",
    operation="WRITE",
    risk="MEDIUM",
    justification="a file is only deleted when the diff tells every line of it, and undo restores each byte",
    reversible=True,
    scope="filesystem",
    effect=_EFFECT,
    # An attempt that was interrupted between two files is completed by the next one.
    idempotent=True,
    timeout=120,
    revision="io.fs.patch/1",
    rehearsable=True,
)
def patch(context: LocalContext, parameters: Patch) -> Patched:
    """Apply a unified diff to files: changed, added, deleted and renamed ones, all of them or none"""
    return _PATCH.execute(context, parameters)


patch.prepare(_PATCH.prepare)
patch.compensate(_PATCH.compensate)
patch.reconcile(_PATCH.reconcile)
patch.preview(_PATCH.preview)
