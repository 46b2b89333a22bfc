"""The file capabilities, described: what each takes and gives, what it risks, and whose parts perform it."""

from __future__ import annotations

from functools import partial
from typing import Final

from assent.capabilities.describing import changes_files, reads
from assent.capabilities.fs._find import find
from assent.capabilities.fs._patch import PatchEffect
from assent.capabilities.fs._read import exists, hash_file, list_dir, read_file
from assent.capabilities.fs._relocate import CopyEffect, DeleteEffect, MoveEffect
from assent.capabilities.fs._search import search
from assent.capabilities.fs._write import MakeDirEffect, WriteBytesEffect, WriteFileEffect

_looks = partial(reads, labels=("reads_private",))

READ_IN_PLANS: Final = True
"""See `is_read_in_plans`."""

CAPABILITIES: Final = (
    _looks("io.fs.read_file", "Read a text file", read_file),
    _looks("io.fs.hash_file", "SHA-256 and size of a file", hash_file),
    _looks("io.fs.list_dir", "List a folder", list_dir),
    _looks("io.fs.exists", "Whether something stands at a path", exists),
    _looks(
        "io.fs.find",
        "Find files and folders by name, kind, size and age, without what `.gitignore` leaves out",
        find,
        timeout=120,
    ),
    _looks(
        "io.fs.search",
        "Search the text of files for a pattern, in linear time, without what `.gitignore` leaves out",
        search,
        timeout=120,
    ),
    changes_files(
        "io.fs.write_file",
        "Write text to a file, replacing what it held",
        WriteFileEffect(),
        idempotent=True,
    ),
    changes_files("io.fs.write_bytes", "Write bytes to a file", WriteBytesEffect()),
    changes_files("io.fs.make_dir", "Make a folder", MakeDirEffect()),
    changes_files(
        "io.fs.delete",
        "Delete a file, a link or a folder with everything in it",
        DeleteEffect(),
        operation="DELETE",
        risk="HIGH",
        requires_approval=True,
    ),
    changes_files("io.fs.move", "Move a file or folder within the workspace", MoveEffect()),
    changes_files("io.fs.copy", "Copy a file or folder within the workspace", CopyEffect()),
    changes_files(
        "io.fs.patch",
        "Apply a unified diff to files: changed, added, deleted and renamed ones, all of them or none",
        PatchEffect(),
        justification="a file is only deleted when the diff tells every line of it, and undo restores each byte",
        # An attempt that was interrupted between two files is completed by the next one.
        idempotent=True,
        timeout=120,
    ),
)
