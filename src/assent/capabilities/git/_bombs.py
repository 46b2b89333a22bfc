"""Trees that share their parts: ten small ones, each of them ten times in the next, stand for ten thousand million files.

Whoever compares such a tree with an index or another tree goes through each of these files. So they are counted before, each
tree once, however often it stands in others.
"""

from __future__ import annotations

from typing import Final

import pygit2

from assent.capabilities.git._faults import unreadable
from assent.capabilities.git._layout import Repository

ENTRIES_MAX: Final = 1_000_000
DEPTH_MAX: Final = 200


def require_countable(repository: Repository, repo: pygit2.Repository, commit: str | None) -> None:
    """Do nothing, or raise GIT_UNREADABLE: the commit's tree holds too many files, or too many folders in folders."""
    if commit is None:
        return
    try:
        top = repo[commit].peel(pygit2.Tree)
        assert isinstance(top, pygit2.Tree)
        count = _count(repo, top, 0, {})
    except (KeyError, ValueError, pygit2.GitError):
        return  # what is missing or damaged is told by whoever needs it
    if count > ENTRIES_MAX:
        raise unreadable(repository.top, f"a tree in it holds more than {ENTRIES_MAX} entries")


def _count(repo: pygit2.Repository, tree: pygit2.Tree, depth: int, counted: dict[pygit2.Oid, int]) -> int:
    """The entries of a tree with all that is in it; more than are allowed for one that is too deep."""
    known = counted.get(tree.id)
    if known is not None:
        return known
    if depth > DEPTH_MAX:
        return ENTRIES_MAX + 1
    total = len(tree)
    for entry in tree:
        if entry.filemode == pygit2.enums.FileMode.TREE:
            inner = repo[entry.id]
            total += _count(repo, inner, depth + 1, counted) if isinstance(inner, pygit2.Tree) else 0
    counted[tree.id] = total
    return total
