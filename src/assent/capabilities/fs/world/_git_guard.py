"""What no capability may make, because git would start programs by it: its configuration, its hooks, a repository of one's own.

Whoever types `git status` in the workspace, or has a prompt that does, starts what the configuration found there names, outside
of every wall. Git finds it in `.git`, and in a *bare* repository: a folder with `HEAD` whose `objects` and `refs` stand beside
it, or in the folder that a file `commondir` names (`is_git_directory` and `get_common_dir` in git's `setup.c`). Only names are
looked at here, which finds every folder that git would find: what the files say can be changed later, by anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from assent.capabilities.fs.world._paths import fold, join, refusal, split
from assent.invocation import NoEffectError

_STARTS_PROGRAMS: Final = frozenset(
    {
        *("config", "config.worktree", "hooks", "modules", "worktrees", "commondir"),
        # What stands to be done of a rebase or a cherry-pick: `exec` lines, which `--continue` runs.
        *("rebase-merge", "rebase-apply", "sequencer"),
    }
)
_MAKES: Final = ("HEAD", "objects", "refs", "commondir")
"""What makes a folder a repository to git."""

_OF_BARE: Final = frozenset(map(fold, _MAKES))


class Looks(Protocol):
    """What tells whether something stands at a path."""

    def stat(self, path: str, /) -> object | None: ...


def forbid_programs_of_git(files: Looks, changed: Iterable[str], made: Iterable[str]) -> None:
    """Refuse (PATH_PROTECTED) to change what decides which programs git starts, or to make a repository that is found by git.

    `changed` are paths of which anything is made, changed or removed; `made` are those where something will stand.
    """
    changed, made = [*changed], [*made]
    for path in changed:
        if _starts_programs(path):
            raise _of_git(path)
    parts = [split(path) for path in made]
    stands = {tuple(map(fold, one[:length])) for one in parts for length in range(1, len(one) + 1)}
    for folder, paths in _suspects(parts).items():
        above = tuple(map(fold, folder))
        was = _found(files, folder)
        will = was | {name for name in _MAKES if (*above, fold(name)) in stands}
        # Git's own folder has all of them; what is forbidden in it was looked at above.
        if _is_repository(will) and not _is_own(above[-1:]):
            rules = [one for one in paths if fold(one[len(folder)]) in _STARTS_PROGRAMS]
            if rules or not _is_repository(was):
                raise _of_git("/".join(rules[0] if rules else paths[0]))
    for path in {*changed}.difference(made):
        # Without it the folder would be none, its configuration free, and an undo would make it one again.
        *within, name = split(path) or (".",)
        is_part = fold(name) in _OF_BARE and not _is_own(map(fold, within[-1:]))
        if is_part and _is_repository(_found(files, within)):
            raise _of_git(path)


def folders_of_parts(paths: Iterable[str]) -> set[str]:
    """The folders that one of these paths could make a repository: who looks at one, and then changes it, is alone there."""
    parts = [split(path) for path in paths]
    return {
        "/".join(one[:place]) or "."
        for one in parts
        for place, name in enumerate(one)
        if fold(name) in _OF_BARE and not _is_own(map(fold, one[place - 1 : place]))
    }


def _found(files: Looks, folder: Sequence[str]) -> set[str]:
    return {name for name in _MAKES if _is_there(files, folder, name)}


def _is_repository(names: set[str]) -> bool:
    return "HEAD" in names and ("commondir" in names or {"objects", "refs"} <= names)


def _suspects(parts: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], list[tuple[str, ...]]]:
    """The folders that one of these paths could make a repository, or whose rules it could be, each with the paths."""
    found: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for one in parts:
        for length, part in enumerate(one):
            if fold(part) in _OF_BARE or fold(part) in _STARTS_PROGRAMS:
                found.setdefault(one[:length], []).append(one)
    return found


def _is_there(files: Looks, folder: Sequence[str], name: str) -> bool:
    with suppress(NoEffectError):  # A folder on the way is missing, or leads elsewhere.
        return files.stat(join("/".join(folder) or ".", name)) is not None
    return False


def _starts_programs(path: str) -> bool:
    """Whether git takes from here which programs it starts: `.git` as a whole, its configuration, its hooks."""
    parts = [fold(name) for part in split(path) for name in part.split("\\")]
    for place, part in enumerate(parts):
        if _is_own([part]):
            inside = parts[place + 1 :]
            return not inside or inside[0] in _STARTS_PROGRAMS
    return False


def _is_own(folded: Iterable[str]) -> bool:
    """Whether a folder's folded name is that of git's own one, as Windows has it too: its short name, and its streams."""
    return any(name in (".git", "git~1") or name.startswith(".git:") for name in folded)


def _of_git(path: str) -> NoEffectError:
    """The refusal of a path that decides what git starts."""
    return refusal(
        "PATH_PROTECTED",
        path,
        "decides which programs git starts, and is out of reach of every capability",
        "commits, tags and branches are made with `sys.git.*`; a person edits configuration and hooks by hand",
    )
