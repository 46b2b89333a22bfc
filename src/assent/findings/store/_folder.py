"""A store in a folder: a JSON file for each finding, for people to read and for version control.

    store.json                    the version of the layout
    documents/NAME.json           `/` in a name is `.` there
    projects/PROJECT/FINDING.json

What is to be kept is written to `pending/`, which becomes `ready/` in one step: from then on it is kept. Its files are moved to
their places, by whoever comes next if the process ends meanwhile. Only one at a time is in the folder.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from assent.errors import InputError, Json, WorldError, disk_full, is_full
from assent.findings.finding import Finding, read_finding
from assent.findings.store._border import (
    already_there,
    fits,
    judged,
    judged_after,
    judged_document,
    judged_limit,
    opened,
)
from assent.findings.store.ports import (
    PAGE_FINDINGS_MAX,
    STORE_SCHEMA_VERSION,
    VERSION_KEY,
    Given,
    Page,
    Saved,
    Where,
)

_VERSION: Final = "store.json"
_DOCUMENTS: Final = "documents"
_PROJECTS: Final = "projects"
_BEGUN: Final = frozenset({"lock", f"{_VERSION}.new"})
"""What a store may have whose making was broken off."""
_LAYOUT: Final = frozenset({"lock", _VERSION, _DOCUMENTS, _PROJECTS})
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_FOLDER: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY


@contextmanager
def _told() -> Iterator[None]:
    """What the system refuses, as errors of ours."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise disk_full("the store of findings") from error
        raise WorldError(
            "STORAGE_FAILED",
            "the store of findings can't be read or written",
            hint="check the disk, who may write there, and that its folders are not links",
            details={"cause": str(error)},
        ) from error


class FolderStore:
    """Findings in a folder that only its owner may enter. For one thread; several processes take turns."""

    @_told()
    def __init__(self, path: Path) -> None:
        """`STORE_LAYOUT_INVALID`: it is some other folder. `STORE_TOO_NEW`."""
        self._root = path
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            _make_durable(path.parent)
        found = {*_names(path)}
        if _VERSION not in found:
            if found - _BEGUN:
                raise InputError(
                    "STORE_LAYOUT_INVALID",
                    f"`{path}` is a folder with other things in it, and no store of findings",
                    path=str(path),
                    hint="name a new folder, or an empty one",
                )
            _write(path / f"{_VERSION}.new", _readable({VERSION_KEY: STORE_SCHEMA_VERSION}))
            (path / f"{_VERSION}.new").rename(path / _VERSION)
            _make_durable(path)
        judged_document("store", self._document(path / _VERSION))
        for name in (_DOCUMENTS, _PROJECTS):
            _make_folder(path / name)

    @_told()
    def atomic_write(self, name: str, document: Mapping[str, Json]) -> None:
        """Keep a document by name."""
        body = judged_document(name, document)
        with self._alone():
            self._keep({f"{_DOCUMENTS}_{_file_of(name)}": _readable(opened(body))})

    @_told()
    def read_document(self, name: str) -> dict[str, Json] | None:
        """A copy of what was kept by name."""
        with self._alone(), suppress(FileNotFoundError):
            return self._document(self._root / _DOCUMENTS / _file_of(name))
        return None

    @_told()
    def validate_store_layout(self) -> bool:
        """Whether each file is in its place and holds what its name says, and nothing else is there."""
        with self._alone():
            try:
                return {*_names(self._root)} == _LAYOUT and self._is_valid()
            except (InputError, WorldError, NotADirectoryError):
                return False

    def _is_valid(self) -> bool:
        for file in _names(self._root / _DOCUMENTS):
            name = file.removesuffix(".json").replace(".", "/")
            judged_document(name, self._document(self._root / _DOCUMENTS / file))
            if _file_of(name) != file:
                return False
        for project in _names(self._root / _PROJECTS):
            for file in _names(self._root / _PROJECTS / project):
                one = self._finding(project, file.removesuffix(".json"))
                if (one.project_id, f"{one.id}.json") != (project, file):
                    return False
        return True

    def get_schema_version(self) -> str:
        """The version of the store's schema."""
        return STORE_SCHEMA_VERSION

    def save_finding(self, finding: Given) -> None:
        """Keep one finding."""
        self.save_findings((finding,))

    @_told()
    def save_findings(self, findings: Iterable[Given]) -> Saved:
        """Keep all of them or none."""
        given = [judged(one) for one in findings]
        coming: dict[str, Finding] = {}
        with self._alone():
            for one in given:
                there = coming.get(one.id) or self._known(one.id)
                if there is not None and there != one:
                    raise already_there(one)
                if there is None:
                    coming[one.id] = one
            self._keep(
                {f"{one.project_id}_{one.id}.json": _readable(one.to_json()) for one in coming.values()}
            )
        return Saved(new=len(coming), known=len(given) - len(coming))

    def list_findings(self, project_id: str) -> list[Finding]:
        """All findings of a project."""
        return list(self.stream(project_id, Where()))

    @_told()
    def page(self, project_id: str, where: Where, *, after: str | None = None, limit: int) -> Page:
        """The next findings after an id."""
        judged_limit(limit)
        behind = judged_after(after)
        found: list[Finding] = []
        with self._alone():
            ids = self._ids(project_id)
            for ident in ids[bisect_right(ids, behind) :]:
                one = self._finding(project_id, ident)
                if fits(one, where):
                    if len(found) == limit:
                        return Page(findings=tuple(found), next=found[-1].id)
                    found.append(one)
        return Page(findings=tuple(found), next=None)

    def stream(self, project_id: str, where: Where) -> Iterator[Finding]:
        """All findings that fit, page by page."""
        after = None
        while True:
            page = self.page(project_id, where, after=after, limit=PAGE_FINDINGS_MAX)
            yield from page.findings
            if page.next is None:
                return
            after = page.next

    @_told()
    def delete_project(self, project_id: str) -> None:
        """Remove all findings of a project."""
        with self._alone():
            if self._ids(project_id):
                (self._root / _PROJECTS / project_id).rename(self._root / "gone")
                _make_durable(self._root / _PROJECTS)
                shutil.rmtree(self._root / "gone")

    # -- files --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else is in the folder, and what was begun before is settled."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(self._root / "lock", flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for name in (_DOCUMENTS, _PROJECTS):
                os.close(os.open(self._root / name, _FOLDER))
            if "ready" in _names(self._root):
                self._move()
            for name in ("pending", "gone"):
                shutil.rmtree(self._root / name, ignore_errors=True)
            yield
        finally:
            os.close(lock)

    def _keep(self, files: Mapping[str, bytes]) -> None:
        """Have all these files or none: by `PLACE_NAME`, where the place is a project or `documents`."""
        if not files:
            return
        pending, ready = self._root / "pending", self._root / "ready"
        pending.mkdir(mode=0o700)
        for name, data in files.items():
            _write(pending / name, data)
        _make_durable(pending)
        pending.rename(ready)
        _make_durable(self._root)
        # They are kept. Whatever fails from here on is tried again, and told, by the next who comes.
        with suppress(OSError):
            self._move()

    def _move(self) -> None:
        ready = self._root / "ready"
        places = set()
        for file in _names(ready):
            place, _, name = file.partition("_")
            folder = self._root / _DOCUMENTS if place == _DOCUMENTS else self._root / _PROJECTS / place
            _make_folder(folder)
            (ready / file).rename(folder / name)
            places.add(folder)
        for folder in places:
            _make_durable(folder)
        ready.rmdir()

    def _known(self, ident: str) -> Finding | None:
        for project in _names(self._root / _PROJECTS):
            with suppress(FileNotFoundError):
                return self._finding(project, ident)
        return None

    def _ids(self, project_id: str) -> list[str]:
        if not _UUID.fullmatch(project_id):
            return []
        with suppress(FileNotFoundError):
            return sorted(name.removesuffix(".json") for name in _names(self._root / _PROJECTS / project_id))
        return []

    def _finding(self, project: str, ident: str) -> Finding:
        path = self._root / _PROJECTS / project / f"{ident}.json"
        try:
            return read_finding(_read(path))
        except InputError as error:
            raise _damaged(path, error) from error

    def _document(self, path: Path) -> dict[str, Json]:
        try:
            document = opened(_read(path))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _damaged(path, error) from error
        if type(document) is not dict:
            raise _damaged(path, "it is not an object")
        return document


def _damaged(path: Path, why: object) -> WorldError:
    return WorldError(
        "STORAGE_FAILED",
        f"a file in the store of findings is damaged: {why}",
        path=str(path),
        hint="bring the file back from a copy, or remove it",
    )


def _file_of(name: str) -> str:
    return f"{name.replace('/', '.')}.json"


def _readable(document: bytes | dict[str, Json]) -> bytes:
    body = document if isinstance(document, bytes) else msgspec.json.encode(document)
    return msgspec.json.format(body, indent=2) + b"\n"


def _names(folder: Path) -> list[str]:
    handle = os.open(folder, _FOLDER)
    try:
        return os.listdir(handle)  # noqa: PTH208 - of the very folder that was opened, and no link
    finally:
        os.close(handle)


def _read(path: Path) -> bytes:
    with os.fdopen(os.open(path, _READ), "rb") as file:
        return file.read()


def _write(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(path: Path) -> None:
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        _make_durable(path.parent)


def _make_durable(folder: Path) -> None:
    """What was made or renamed in a folder is found again after a power loss."""
    handle = os.open(folder, _FOLDER)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
