"""What no capability may make, because git would start programs by it: its configuration, its hooks, a repository of one's own.

Whoever types `git status` in the workspace, or has a prompt that does, starts what the configuration found there names, outside
of every wall. Git finds it in `.git`, and in a *bare* repository: any folder that has `HEAD`, `objects` and `refs` in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from assent.capabilities.fs.world._paths import fold, join, refusal, split
from assent.invocation import Files, NoEffectError

_GIT: Final = ".git"
_STARTS_PROGRAMS: Final = frozenset(
    {"config", "config.worktree", "hooks", "modules", "worktrees", "commondir"}
)
_BARE: Final = ("HEAD", "objects", "refs")
"""What makes a folder a repository to git."""

_OF_BARE: Final = frozenset(map(fold, _BARE))


def forbid_programs_of_git(files: Files, changed: Iterable[str], made: Iterable[str]) -> None:
    """Refuse (PATH_PROTECTED) to change what decides which programs git starts, or to make a repository that is found by git.

    `changed` are paths of which anything is made, changed or removed; `made` are those where something will stand.
    """
    for path in changed:
        if _starts_programs(path):
            raise _of_git(path)
    parts = [split(path) for path in made]
    stands = {tuple(map(fold, one[:length])) for one in parts for length in range(1, len(one) + 1)}
    for folder, paths in _suspects(parts).items():
        was = [_is_there(files, folder, name) for name in _BARE]
        above = tuple(map(fold, folder))
        is_bare = all(there or (*above, fold(name)) in stands for there, name in zip(was, _BARE, strict=True))
        # Git's own folder has all three; what is forbidden in it was looked at above.
        if is_bare and above[-1:] != (_GIT,):
            rules = [one for one in paths if fold(one[len(folder)]) in _STARTS_PROGRAMS]
            if rules or not all(was):
                raise _of_git("/".join(rules[0] if rules else paths[0]))


def _suspects(parts: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], list[tuple[str, ...]]]:
    """The folders that one of these paths could make a repository, or whose rules it could be, each with the paths."""
    found: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for one in parts:
        for length, part in enumerate(one):
            if fold(part) in _OF_BARE or fold(part) in _STARTS_PROGRAMS:
                found.setdefault(one[:length], []).append(one)
    return found


def _is_there(files: Files, folder: tuple[str, ...], name: str) -> bool:
    with suppress(NoEffectError):  # A folder on the way is missing, or leads elsewhere.
        return files.stat(join("/".join(folder) or ".", name)) is not None
    return False


def _starts_programs(path: str) -> bool:
    """Whether git takes from here which programs it starts: `.git` as a whole, its configuration, its hooks."""
    parts = tuple(map(fold, split(path)))
    if _GIT not in parts:
        return False
    inside = parts[parts.index(_GIT) + 1 :]
    return not inside or inside[0] in _STARTS_PROGRAMS


def _of_git(path: str) -> NoEffectError:
    """The refusal of a path that decides what git starts."""
    return refusal(
        "PATH_PROTECTED",
        path,
        "decides which programs git starts, and is out of reach of every capability",
        "commits, tags and branches are made with `sys.git.*`; a person edits configuration and hooks by hand",
    )
