"""Labels of files: each names the roles that may see what its patterns of paths fit."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec

from assent.errors import Json
from assent.knowledge.sources import MEMBERS, ROOT, shown
from assent.spec.documents.settings import listed, tables
from assent.spec.words.globs import glob_matches

LOOKED_AT_MAX: Final = 200_000
"""Files and folders that are looked at to tell which pattern fits none."""


class Label(msgspec.Struct, frozen=True):
    """Files that not everybody may see."""

    name: str
    paths: tuple[str, ...]
    """Patterns, as they are said and as paths that can't be shown as they are stand in the store; and of what is below."""
    roles: frozenset[str]


def labels_from(said: Mapping[str, Json]) -> list[Label]:
    """The labels of `[knowledge]`."""
    return [
        Label(
            name,
            tuple(dict.fromkeys(each for path in listed(one, "paths") for each in _meant(path))),
            frozenset(listed(one, "roles")),
        )
        for name, one in tables(said, "labels").items()
    ]


def labels_of(labels: Iterable[Label], path: str) -> list[Label]:
    """Those that a file has; one in an archive has those of the archive, too. Who may see it has one role of each."""
    places = [_composed(one) for one in with_archives(path)]
    return [one for one in labels if _fits(one.paths, places)]


def with_archives(path: str) -> list[str]:
    """A path, and those of the archives that it may be in: folders have names that end with `!`, too."""
    return [*accumulate(path.split(f"{MEMBERS}/"), f"{{}}{MEMBERS}/{{}}".format)]


def fit_nothing(said: Mapping[str, Json], workspace: Path, unread: Iterable[Path]) -> list[tuple[str, str]]:
    """Names of labels, each with a pattern that nothing in the workspace fits; none where that is too much to look at.

    What is in `unread`, and in archives, is not looked at, and so nothing is told of patterns for the files in them.
    """
    left = [
        (name, path, (*_meant(path),))
        for name, one in tables(said, "labels").items()
        for path in listed(one, "paths")
        if f"{MEMBERS}/" not in path
    ]
    for at, path in enumerate(_names(workspace, frozenset(unread))):
        if not left or at == LOOKED_AT_MAX:
            return []
        left = [one for one in left if not _fits(one[2], (path,))]
    return [(name, path) for name, path, _ in left]


def _names(workspace: Path, unread: frozenset[Path]) -> Iterator[str]:
    for folder, folders, files in os.walk(workspace):
        folders[:] = [one for one in folders if one != ".git" and Path(folder, one) not in unread]
        below = Path(folder).relative_to(workspace).as_posix()
        inside = "" if below == ROOT else f"{below}/"
        for name in (*files, *(f"{one}/" for one in folders)):
            yield _composed(shown(f"{inside}{name}"))


def _fits(patterns: Sequence[str], places: Iterable[str]) -> bool:
    return any(glob_matches(pattern, each) for pattern in patterns for each in places)


def _meant(pattern: str) -> Iterable[str]:
    """A pattern as paths stand in the store; of a folder all that is in it, too.

    `people` and `people/`, as an ignore file has them, hide what `people/*` does.
    """
    for each in dict.fromkeys((pattern, shown(pattern))):
        place = _composed(each).removesuffix("/")
        yield place
        if not place.endswith("*"):
            yield f"{place}/*"


def _composed(text: str) -> str:
    """What looks the same is the same: macOS writes `ü` as two characters, and a label must hide it all the same."""
    return unicodedata.normalize("NFC", text)
