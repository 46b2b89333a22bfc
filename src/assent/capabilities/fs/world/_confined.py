"""The real files of one workspace, and nothing outside it.

Every method resolves its path anew (`_walk`) and then works relative to the folder that this opened. A change is durable when
its method returns: data flushed, put in place by one rename, folder flushed. A failure before that rename leaves nothing behind
and is a `NoEffectError`; one after it is a `WorldError`, because the effect may then stand.
"""

from __future__ import annotations

import contextlib
import os
import stat
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from assent.capabilities.fs.world._control import ControlFiles, Identity
from assent.capabilities.fs.world._faults import (
    exists,
    fault,
    faults,
    is_a_directory,
    not_a_directory,
    wrong_kind,
)
from assent.capabilities.fs.world._paths import (
    Zone,
    escapes,
    is_temporary,
    normal,
    parent_of,
    protected,
    temporary_name,
    temporary_path,
)
from assent.capabilities.fs.world._syscalls import flush, flush_directory, flush_tree, remove_tree, rename_new
from assent.capabilities.fs.world._walk import Place, Walker, identity_of
from assent.capabilities.fs.world._written import to_write
from assent.errors import InputError, exhausted
from assent.failpoints import FAILPOINTS
from assent.invocation import Entry, EntryKind, NoEffectError
from assent.secrets.redaction import Redactor

CHUNK_BYTES: Final = 1 << 20
"""Size of the pieces that files are read and copied in."""

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL


class ConfinedFiles:
    """`Files` over one folder of the machine. Safe to use from several threads.

    `use_openat2` chooses how components are opened: None takes openat2(2) where the kernel has it. Raises `InputError`
    WORKSPACE_INVALID when the root is no folder that can be opened.
    """

    def __init__(
        self,
        root: Path,
        *,
        control: ControlFiles | None = None,
        redactor: Redactor | None = None,
        use_openat2: bool | None = None,
    ) -> None:
        try:
            self._root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise exhausted(error) or InputError(
                "WORKSPACE_INVALID",
                f"the workspace `{root}` cannot be opened: {(error.strerror or '').lower()}",
                path=str(root),
                hint="name an existing folder with `--workspace DIR`",
            ) from error
        self._close = weakref.finalize(self, os.close, self._root_fd)
        self._control = control or ControlFiles()
        self._redactor = Redactor() if redactor is None else redactor
        self._walker = Walker(root, self._root_fd, self._control, use_openat2=use_openat2)
        # Only setting it tells the mask; done once, before any worker thread exists that could create a file meanwhile.
        self._umask = os.umask(0o077)
        os.umask(self._umask)

    @property
    def uses_openat2(self) -> bool:
        """Whether the kernel itself confines each step, not only the flags that it is opened with."""
        return self._walker.uses_openat2

    def close(self) -> None:
        """Give the root's descriptor back; no method may be called afterwards. Harmless when done twice."""
        self._close()

    def stat(self, path: str) -> Entry | None:
        try:
            with self._walker.at(path) as place:
                found = place.look()
        except NoEffectError as error:
            if (
                error.code == "FILE_NOT_FOUND"
            ):  # A folder on the way is missing, so nothing stands there either.
                return None
            raise
        return None if found is None else entry_of(found)

    def read(self, path: str) -> Iterator[bytes]:
        return _chunks(self.opened(path), path)

    def opened(self, path: str) -> int:
        """A descriptor of a regular file, which the caller closes."""
        with self._walker.at(path) as place:
            found = place.there()
            require_file(path, found.st_mode)
            with faults(path):
                # Without O_NONBLOCK, a pipe that took the file's place a moment ago would hold us up for ever.
                descriptor = self._walker.open(place.name, os.O_RDONLY | os.O_NONBLOCK, place.folder)
            try:
                opened = os.fstat(descriptor)
                require_file(path, opened.st_mode)
                place.admit(opened, change=False)
            except BaseException:
                os.close(descriptor)
                raise
        return descriptor

    def list(self, path: str) -> list[str]:
        with self.listed(path) as (_, entries):
            return sorted(entry.name for entry in entries)

    @contextlib.contextmanager
    def listed(self, path: str) -> Iterator[tuple[int, Iterator[os.DirEntry[str]]]]:
        """A directory's descriptor and the entries in it; control files are not among them."""
        with self._walker.at(path) as place:
            found = place.there()
            _require_directory(path, found.st_mode)
            with (
                self._folder(place) as (descriptor, identity),
                faults(path),
                os.scandir(descriptor) as found_in,
            ):
                entries = (
                    entry
                    for entry in found_in
                    if not is_temporary(entry.name)
                    and place.control.zone_named(identity, entry.name) is not Zone.HIDDEN
                    and place.control.zone_of((identity[0], entry.inode())) is not Zone.HIDDEN
                )
                yield descriptor, entries

    @contextlib.contextmanager
    def _folder(self, place: Place) -> Iterator[tuple[int, Identity]]:
        with faults(place.path):
            descriptor = self._walker.open(place.name, os.O_RDONLY | os.O_DIRECTORY, place.folder)
        try:
            yield descriptor, identity_of(os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def read_link(self, path: str) -> str:
        with self._walker.at(path) as place, faults(path):
            place.look()
            return os.readlink(place.name, dir_fd=place.folder)

    def guard(self, path: str) -> None:
        self._walker.forbid(path)
        try:
            with self._walker.at(path) as place:
                found = place.look(change=True)
                if found is None:
                    return
                place.require_movable(found)
                if not stat.S_ISDIR(found.st_mode):
                    return
                with self._folder(place) as (descriptor, identity):
                    names = os.listdir(descriptor)
                if any(place.control.zone_named(identity, name) is not Zone.FREE for name in names):
                    raise protected(path)
        except NoEffectError as error:
            if error.code not in ("FILE_NOT_FOUND", "NOT_A_DIRECTORY"):
                raise

    def new_mode(self, kind: EntryKind) -> int:
        return (0o777 if kind is EntryKind.DIRECTORY else 0o666) & ~self._umask

    def temporary(self, path: str, *, key: str) -> str:
        return temporary_path(path, key)

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        key: str,
        mode: int | None = None,
        mtime_ns: int | None = None,
        replace: bool = True,
        restores: bool = False,
    ) -> None:
        with self._walker.at(path) as place:
            found = place.look(change=True)
            if found is not None:
                if not replace:
                    raise exists(path)
                require_file(path, found.st_mode)
            if mode is None:
                mode = self.new_mode(EntryKind.FILE) if found is None else stat.S_IMODE(found.st_mode)
            name = place.name if place.in_temporary else temporary_name(place.name, key)
            content = chunks if restores else to_write(self._redactor, path, chunks)
            self._fill(place, name, content, mode, mtime_ns)
            FAILPOINTS.hit("file.before")
            if place.in_temporary:
                return
            try:
                if replace:
                    os.rename(name, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
                else:
                    rename_new(name, place.folder, place.name, place.folder)
            except OSError as error:
                _discard(name, place.folder)
                raise fault(error, path) from error
            _settle(place)

    def _fill(
        self, place: Place, name: str, chunks: Iterable[bytes], mode: int, mtime_ns: int | None
    ) -> None:
        """A new, flushed file under `name`; nothing is left of it when that fails."""
        with faults(place.path):
            try:
                descriptor = self._create(name, place.folder)
            except FileExistsError:
                # Left by this very call before a crash: the name derives from its key.
                os.unlink(name, dir_fd=place.folder)
                descriptor = self._create(name, place.folder)
        try:
            with faults(place.path):
                try:
                    for chunk in chunks:
                        _write_all(descriptor, chunk)
                    os.fchmod(descriptor, mode)
                    if mtime_ns is not None:
                        os.utime(descriptor, ns=(mtime_ns, mtime_ns))
                    flush(descriptor)
                finally:
                    os.close(descriptor)
        except BaseException:
            _discard(name, place.folder)
            raise

    def _create(self, name: str, folder: int) -> int:
        # Private until it is complete: half a file with the final permissions could be read by others.
        return os.open(name, _NEW_FILE | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)

    def make_dir(self, path: str, *, mode: int | None = None) -> None:
        with self._walker.at(path) as place:
            if place.look(change=True) is not None:
                raise exists(path)
            wanted = self.new_mode(EntryKind.DIRECTORY) if mode is None else mode
            with faults(path):
                os.mkdir(place.name, wanted, dir_fd=place.folder)
            with faults(path, effect=True):
                made = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False).st_mode
                inherited = made & stat.S_ISGID if mode is None else 0
                # The process may have another mask by now than the one that plans were made with.
                if stat.S_IMODE(made) != wanted | inherited:
                    _set_attributes(self._walker, place, wanted | inherited, None)
            _settle(place)

    def remove_file(self, path: str) -> None:
        with self._walker.at(path) as place:
            found = place.there(change=True)
            if stat.S_ISDIR(found.st_mode):
                raise is_a_directory(path)
            with faults(path):
                os.unlink(place.name, dir_fd=place.folder)
            _settle(place)

    def remove_dir(self, path: str) -> None:
        with self._walker.at(path) as place:
            found = place.there(change=True)
            _require_directory(path, found.st_mode)
            place.require_movable(found)
            with faults(path):
                os.rmdir(place.name, dir_fd=place.folder)
            _settle(place)

    def rename(self, source: str, destination: str, *, replace: bool) -> None:
        # A whole folder may arrive with it, so the destination may not be above a control file that does not exist yet either.
        self._walker.forbid(destination)
        with self._walker.at(source) as old, self._walker.at(destination) as new:
            found = old.there(change=True)
            old.require_movable(found)
            taken = new.look(change=True)
            if taken is not None and not replace:
                raise exists(destination)
            if taken is not None and stat.S_ISDIR(taken.st_mode):
                # rename(2) would put it in the place of an empty directory, and of no other.
                raise is_a_directory(destination)
            if old.in_temporary and stat.S_ISDIR(found.st_mode):
                with faults(source):
                    flush_tree(old.name, old.folder)
            FAILPOINTS.hit("file.before")
            with faults(destination):
                if replace:
                    os.rename(old.name, new.name, src_dir_fd=old.folder, dst_dir_fd=new.folder)
                else:
                    rename_new(old.name, old.folder, new.name, new.folder)
            FAILPOINTS.hit("file.after")
            with faults(destination, effect=True):
                flush_directory(new.folder)
                if parent_of(normal(source)) != parent_of(normal(destination)):
                    flush_directory(old.folder)

    def make_link(self, path: str, target: str) -> None:
        with self._walker.at(path) as place:
            if place.look(change=True) is not None:
                raise exists(path)
            with faults(path):
                os.symlink(target, place.name, dir_fd=place.folder)
            _settle(place)

    def set_attributes(self, path: str, *, mode: int | None = None, mtime_ns: int | None = None) -> None:
        with self._walker.at(path) as place:
            # The root's own time is restored too: it changes with each entry that comes and goes.
            place.there(change=not place.is_root or mode is not None)
            with faults(path):
                _set_attributes(self._walker, place, mode, mtime_ns)

    def remove_temporary(self, path: str, *, key: str) -> None:
        try:
            with self._walker.at(self.temporary(path, key=key)) as place:
                found = place.look(change=True)
                if found is None:
                    return
                with faults(path, effect=True):
                    remove_tree(place.name, place.folder)
                    flush_directory(place.folder)
        except NoEffectError as error:
            if error.code != "FILE_NOT_FOUND":
                raise


def entry_of(found: os.stat_result) -> Entry:
    """What a system's answer says of an entry."""
    if stat.S_ISREG(found.st_mode):
        kind = EntryKind.FILE
    elif stat.S_ISDIR(found.st_mode):
        kind = EntryKind.DIRECTORY
    elif stat.S_ISLNK(found.st_mode):
        kind = EntryKind.SYMLINK
    else:
        kind = EntryKind.OTHER
    size = found.st_size if kind is EntryKind.FILE else 0
    links = found.st_nlink if kind is EntryKind.FILE else 1
    return Entry(kind, size, stat.S_IMODE(found.st_mode), found.st_mtime_ns, links)


def require_file(path: str, mode: int) -> None:
    """Refuse everything but a regular file."""
    if stat.S_ISDIR(mode):
        raise is_a_directory(path)
    if stat.S_ISLNK(mode):
        raise escapes(path, "is a symbolic link")
    if not stat.S_ISREG(mode):
        raise wrong_kind(path)


def _require_directory(path: str, mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise escapes(path, "is a symbolic link")
    if not stat.S_ISDIR(mode):
        raise not_a_directory(path)


def _chunks(descriptor: int, path: str) -> Iterator[bytes]:
    try:
        with faults(path):
            while chunk := os.read(descriptor, CHUNK_BYTES):
                yield chunk
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _settle(place: Place) -> None:
    # What is built beneath a temporary name is flushed as a whole, before it is renamed into place.
    if not place.in_temporary:
        FAILPOINTS.hit("file.after")
        with faults(place.path, effect=True):
            flush_directory(place.folder)


def _discard(name: str, folder: int) -> None:
    # The failure that brought us here is the one to report; recovery removes this name again.
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _set_attributes(walker: Walker, place: Place, mode: int | None, mtime_ns: int | None) -> None:
    found = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        if mtime_ns is not None:
            times = (found.st_atime_ns, mtime_ns)
            os.utime(place.name, ns=times, dir_fd=place.folder, follow_symlinks=False)
        return
    descriptor = walker.open(place.name, os.O_RDONLY | os.O_NONBLOCK, place.folder)
    try:
        if mtime_ns is not None:
            os.utime(descriptor, ns=(found.st_atime_ns, mtime_ns))
        if mode is not None:
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
