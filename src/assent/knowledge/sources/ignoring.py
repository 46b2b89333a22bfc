"""What is left out of a folder on purpose: a stack of lists, each with a name.

Each list is judged by itself, and what one leaves out is out: its `!` takes back what it left out itself, never what another did.
So a repository can't take in what the one who set up the stack left out. `repository` is the list that the folder brings along,
its `.gitignore` files, in git's own meaning: what git tracks is in, ignored or not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from assent.errors import AssentError
from assent.knowledge.sources.ports import ROOT, Compile, Folder, Listed, Rules

GLOBAL: Final = (".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv")
"""The list `global` where nobody says otherwise."""

REPOSITORY: Final = "repository"
IGNORE_FILE: Final = ".gitignore"
IGNORE_FILE_BYTES_MAX: Final = 256 << 10
GIT: Final = ".git"


class Level(msgspec.Struct, frozen=True):
    """What holds in one folder: the repository's rules, innermost first, and what it tracks."""

    rules: tuple[tuple[str, Rules], ...] = ()
    top: str = ROOT
    tracked: Sequence[bytes] | None = None
    inherited: str | None = None
    """Why everything here is left out that is not tracked."""
    unlisted: str | None = None
    """Why git's own list can't be used."""

    def tracks(self, path: str, *, is_directory: bool) -> bool:
        """Whether git has the file, or one in the folder."""
        if self.tracked is None:
            return False
        wanted = below(path, self.top).encode("utf-8", "surrogateescape") + b"/" * is_directory
        at = bisect_left(self.tracked, wanted)
        return at < len(self.tracked) and (
            self.tracked[at].startswith(wanted) if is_directory else self.tracked[at] == wanted
        )


class Ignores:
    """The stack over one folder. `sources` are patterns by the name of their list, all of them about the folder's own root."""

    def __init__(
        self,
        compile_rules: Compile,
        sources: Mapping[str, Sequence[str]] | None = None,
        *,
        listed: Listed = lambda _: None,
    ) -> None:
        lists = {"global": GLOBAL} if sources is None else sources
        self._compile = compile_rules
        self._lists = [(name, compile_rules(lines, name)) for name, lines in lists.items()][::-1]
        self._listed = listed

    def level(self, folder: Folder, path: str, above: Level) -> Level:
        """What holds in the folder at `path`. `AssentError` where its ignore file can't be used."""
        level = above
        try:
            tracked = self._listed(path)
        except AssentError as error:
            level = Level(unlisted=error.message, top=path)
        else:
            # One repository's rules say nothing of another one that stands in it.
            if tracked is not None:
                level = Level(tracked=tracked, top=path)
            elif above.unlisted is not None:
                level = msgspec.structs.replace(above, unlisted=None)
        files = [joined(path, IGNORE_FILE)]
        if level is not above:
            files.insert(0, joined(path, f"{GIT}/info/exclude"))
        for file in files:
            lines = _lines(folder, file)
            if lines:
                rules = ((file, self._compile(lines, file)), *level.rules)
                level = msgspec.structs.replace(level, rules=rules)
        return level

    def why(self, path: str, level: Level, *, is_directory: bool) -> tuple[str | None, Level]:
        """Why an entry is left out, None where it is not; and what holds in it where it is a folder."""
        said = level.inherited or self._of_repository(path, level, is_directory=is_directory)
        if said is not None:
            if not level.tracks(path, is_directory=is_directory):
                return said, level
            level = msgspec.structs.replace(level, inherited=said)
        for name, rules in self._lists:
            fits = rules.fitting(path, is_directory=is_directory)
            if fits is not None and fits[1]:
                return f"ignored by {name}:{fits[0]}", level
        return None, level

    @staticmethod
    def _of_repository(path: str, level: Level, *, is_directory: bool) -> str | None:
        if path.rpartition("/")[2] == GIT:
            unlisted = f"; git's list can't be used: {level.unlisted}" if level.unlisted else ""
            return f"ignored by {REPOSITORY}:{GIT}{unlisted}"
        for file, rules in level.rules:
            base = file.removesuffix(f"{GIT}/info/exclude").rpartition("/")[0] or ROOT
            fits = rules.fitting(below(path, base), is_directory=is_directory)
            if fits is not None:
                return f"ignored by {REPOSITORY}:{fits[0]} ({file})" if fits[1] else None
        return None


def joined(folder: str, name: str) -> str:
    """The path of what stands in a folder."""
    return name if folder == ROOT else f"{folder}/{name}"


def below(path: str, folder: str) -> str:
    """The path as it is said in a folder above it."""
    return path if folder == ROOT else path[len(folder) + 1 :]


def _lines(folder: Folder, path: str) -> list[str]:
    try:
        data = folder.read(path, IGNORE_FILE_BYTES_MAX).data
    except AssentError as error:
        # Nothing there, or what git does not read either: a link, a folder.
        if error.code in ("FILE_NOT_FOUND", "NOT_A_DIRECTORY", "IS_A_DIRECTORY", "PATH_ESCAPES"):
            return []
        raise
    return data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
