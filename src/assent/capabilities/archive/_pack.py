"""`sys.archive.pack`: one new file, whose bytes follow from what is packed and from nothing else.

Entries are sorted, times are one fixed moment, owners are nobody, and of modes only "may be executed" is kept. The archive that
a plan shows is the one that is written, and packing the same tree again gives the same bytes (with the same zlib or zstd: another
version of those may compress otherwise).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import IO, Final

from assent.capabilities.archive._formats import Format, contents, format_of, holds_one_file, scratch
from assent.capabilities.archive._limits import ARCHIVE_BYTES_MAX, go_on
from assent.capabilities.archive._shapes import Pack, Packed
from assent.capabilities.archive._writers import Member, write_archive
from assent.capabilities.fs._shapes import place
from assent.capabilities.fs._write import room_for_file
from assent.capabilities.fs.change._change import Change, Expected, Target, made_dirs
from assent.capabilities.fs.change._effect import FileEffect
from assent.capabilities.fs.change._path_state import NODES_MAX, Node, PathState, changed, survey
from assent.capabilities.fs.world._faults import missing
from assent.capabilities.fs.world._paths import ROOT, refusal, shown
from assent.errors import Json
from assent.invocation import EntryKind, LocalContext, NoEffectError

_EXECUTABLE: Final = 0o100


class PackEffect(FileEffect[Pack, Packed]):
    """Files and folders into one archive."""

    def plan(self, context: LocalContext, parameters: Pack, *, keeps: bool) -> Change:
        path, files = place(parameters.destination), context.world.files
        entry, new_dirs, folder = room_for_file(
            files, path, overwrite=parameters.overwrite, create_dirs=parameters.create_dirs
        )
        old = self.pre_image(context, path, keeps=keeps)
        mode = files.new_mode(EntryKind.FILE) if entry is None else entry.mode
        members = _members(context, parameters)
        with scratch() as into:
            bytes_in = _write(context, parameters, members, into)
            digest, size = _digest(into)
        new = PathState((Node("", EntryKind.FILE, mode, 0, size, digest),))
        before = Expected.of(old, hashed=context.keep_pre_image)
        notes: dict[str, Json] = {
            "entries": len(members),
            "bytes_in": bytes_in,
            "size": size,
            "sha256": digest,
        }
        target = Target(path, old, before, Expected.of(new, hashed=True))
        # The archive's digest is that of its sources: nothing else needs to be compared before an approval is used.
        return Change((target,), new_dirs, (folder,), target.after, notes)

    def apply(self, context: LocalContext, parameters: Pack, change: Change) -> None:
        files, target = context.world.files, change.targets[0]
        members = _members(context, parameters)
        with made_dirs(files, change.new_dirs), scratch() as into:
            _write(context, parameters, members, into)
            if _digest(into)[0] != change.notes.get("sha256"):
                raise changed(place(parameters.sources[0]))
            files.write(target.path, contents(into), key=context.key, replace=bool(target.old.nodes))

    def output(self, parameters: Pack, change: Change) -> Packed:
        target, notes = change.targets[0], change.notes
        return Packed.model_validate(
            {
                **notes,
                "path": target.path,
                "format": format_of(parameters.destination, parameters.format),
                "replaced": bool(target.old.nodes),
                "changed": not change.is_nothing,
            }
        )

    def heading(self, change: Change) -> str:
        notes = change.notes
        return f"pack {notes['entries']} entries, {notes['bytes_in']} bytes, into {notes['size']} bytes\n"


def _members(context: LocalContext, parameters: Pack) -> list[Member]:
    """What goes in, sorted by name. Raises for links and everything else that is neither a file nor a folder."""
    files, base, destination = (
        context.world.files,
        place(parameters.base),
        place(parameters.destination),
    )
    found: dict[str, Member] = {}
    for source in map(place, parameters.sources):
        go_on(context.cancel)
        nodes = survey(files, source).nodes
        if not nodes:
            raise missing(source)
        for node in nodes:
            path = node.path if source == ROOT else node.under(source)
            # The archive itself stands in the folder that is packed when it is written anew.
            if path != destination:
                name = _name(path, base)
                _require_plain(path, node)
                if name:
                    is_folder, executable = node.kind is EntryKind.DIRECTORY, bool(node.mode & _EXECUTABLE)
                    found[name] = Member(name, path, is_folder, executable, node.size)
    if len(found) > NODES_MAX:
        raise NoEffectError(
            "TREE_TOO_LARGE",
            f"more than {NODES_MAX} entries would be packed",
            hint="pack its folders one by one",
        )
    form = format_of(parameters.destination, parameters.format)
    members = [found[name] for name in sorted(found, key=lambda name: name.split("/"))]
    if holds_one_file(form) and [member.is_folder for member in members] != [False]:
        raise NoEffectError(
            "ARCHIVE_UNSUPPORTED",
            f"`{form}` holds one file, and `sources` name {'a folder' if len(members) == 1 else 'something else'}",
            path="sources",
            hint=f"name one file, or use `tar.{form}`",
        )
    return members


def _name(path: str, base: str) -> str:
    """The name in the archive; empty for the base itself."""
    if path in (base, ROOT):
        return ""
    if base == ROOT:
        return path
    if not path.startswith(f"{base}/"):
        raise NoEffectError(
            "PATH_INVALID",
            f"`{shown(path)}` is not inside `{shown(base)}`, which names in the archive are relative to",
            path="base",
        )
    return path.removeprefix(f"{base}/")


def _require_plain(path: str, node: Node) -> None:
    if node.kind is EntryKind.SYMLINK:
        why = "is a symbolic link; only files and folders are packed"
        raise refusal("ARCHIVE_KIND_REFUSED", path, why, "leave it out, or pack what it points to")


def _write(context: LocalContext, parameters: Pack, members: list[Member], into: IO[bytes]) -> int:
    """Write the archive; how many bytes went into it."""
    total = 0

    def read(member: Member) -> Iterator[bytes]:
        nonlocal total
        contents_ = context.world.files.read(member.path)
        for chunk in context.unexposed(contents_, f"`{shown(member.path)}`", path=shown(member.path)):
            go_on(context.cancel)
            total += len(chunk)
            if total > ARCHIVE_BYTES_MAX:
                raise NoEffectError(
                    "FILE_TOO_LARGE",
                    f"more than {ARCHIVE_BYTES_MAX} bytes would be packed",
                    path=shown(member.path),
                    hint="pack its folders one by one",
                )
            yield chunk

    form: Format = format_of(parameters.destination, parameters.format)
    write_archive(form, members, read, into)
    return total


def _digest(source: IO[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for chunk in contents(source):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
