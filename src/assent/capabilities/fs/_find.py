"""`io.fs.find`, and the walk that it shares with `io.fs.search`: what a selection names, in one order, with an end.

Folders are gone through by name, a folder before what it holds, so that two calls on the same files answer the same. When a limit
ended the walk, the answer says so (`truncated`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from assent.capabilities.fs._globs import Ignored, Rules, rules_of
from assent.capabilities.fs._read import visible
from assent.capabilities.fs._shapes import Find, Found, FoundEntry, Selection, place
from assent.capabilities.fs.world._faults import missing
from assent.capabilities.fs.world._paths import escapes, join, shown
from assent.invocation import Entry, EntryKind, Files, LocalContext, NoEffectError

VISITED_MAX: Final = 200_000
"""Entries that one walk looks at."""


class Walk(msgspec.Struct):
    """The entries that a selection names; `is_cut` when the walk ended before the last of them."""

    context: LocalContext
    files: Files
    within: str
    wanted: Rules | None
    unwanted: Rules | None
    ignored: Ignored | None
    hidden: bool
    depth_max: int | None
    visited: int = 0
    is_cut: bool = False

    @classmethod
    def over(cls, context: LocalContext, selection: Selection) -> Walk:
        """The walk that a caller means."""
        files = context.world.files
        return cls(
            context,
            files,
            place(selection.path),
            rules_of(selection.globs, source="globs") if selection.globs else None,
            rules_of(selection.exclude, source="exclude") if selection.exclude else None,
            Ignored(files) if selection.gitignore else None,
            selection.include_hidden,
            selection.max_depth,
        )

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Path and entry, a folder before what it holds. A file that is named itself is taken, whatever ignores it."""
        top = self.files.stat(self.within)
        if top is None:
            raise missing(self.within)
        if top.kind is EntryKind.SYMLINK:
            raise escapes(self.within, "is a symbolic link")
        if top.kind is not EntryKind.DIRECTORY:
            yield self.within, top
            return
        yield from self._below("", 1)

    def _below(self, inner: str, depth: int) -> Iterator[tuple[str, Entry]]:
        folder = join(self.within, inner) if inner else self.within
        for name in self._names(folder):
            if self.is_cut or (name.startswith(".") and not self.hidden):
                continue
            self.visited += 1
            if self.visited > VISITED_MAX:
                self.is_cut = True
                return
            if self.context.cancel.is_cancelled:
                raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it looked through files")
            below = f"{inner}/{name}" if inner else name
            path = join(folder, name)
            entry = visible(self.files, path)
            if entry is None:
                continue
            is_directory = entry.kind is EntryKind.DIRECTORY
            if self.unwanted is not None and self.unwanted.verdict(below, is_directory=is_directory):
                continue
            if self.ignored is not None and self.ignored.leaves_out(path, is_directory=is_directory):
                continue
            if self.wanted is None or self.wanted.verdict(below, is_directory=is_directory):
                yield path, entry
            if is_directory and (self.depth_max is None or depth < self.depth_max):
                yield from self._below(below, depth + 1)

    def _names(self, folder: str) -> list[str]:
        try:
            return self.files.list(folder)
        except NoEffectError as error:
            # Gone, or made unreadable, since it was seen; the folder that was asked for itself is reported.
            if folder == self.within or error.code not in (
                "FILE_NOT_FOUND",
                "NOT_A_DIRECTORY",
                "ACCESS_DENIED",
            ):
                raise
            return []


def find(context: LocalContext, parameters: Find) -> Found:
    """The entries that a selection and its filters name. PATTERN_INVALID, IGNORE_FILE_INVALID, and the errors of paths."""
    fits = _filter(context, parameters)
    walk = Walk.over(context, parameters)
    found: list[FoundEntry] = []
    for path, entry in walk.entries():
        if not fits(entry):
            continue
        if len(found) == parameters.limit:
            return Found(entries=found, truncated=True)
        found.append(
            FoundEntry(
                path=shown(path),
                kind=entry.kind.value,
                size=entry.size if entry.kind is EntryKind.FILE else 0,
                modified_ms=entry.mtime_ns // 1_000_000,
            )
        )
    return Found(entries=found, truncated=walk.is_cut)


def _filter(context: LocalContext, parameters: Find) -> Callable[[Entry], bool]:
    kinds = frozenset(parameters.kinds)
    newest_ns = oldest_ns = None
    if parameters.older_than is not None or parameters.newer_than is not None:
        now_ns = context.app.clock.now_ms() * 1_000_000
        if parameters.older_than is not None:
            newest_ns = now_ns - int(parameters.older_than.total_seconds() * 1e9)
        if parameters.newer_than is not None:
            oldest_ns = now_ns - int(parameters.newer_than.total_seconds() * 1e9)
    smallest, largest = parameters.min_size, parameters.max_size

    def fits(entry: Entry) -> bool:
        if entry.kind.value not in kinds:
            return False
        if (smallest is not None or largest is not None) and entry.kind is not EntryKind.FILE:
            return False
        return (
            (smallest is None or entry.size >= smallest)
            and (largest is None or entry.size <= largest)
            and (newest_ns is None or entry.mtime_ns <= newest_ns)
            and (oldest_ns is None or entry.mtime_ns >= oldest_ns)
        )

    return fits
