"""`sys.git.status`: where a repository stands, found by libgit2 and cut to what may be seen."""

from __future__ import annotations

from typing import Final

import pygit2

from assent.capabilities.git._faults import refused_layout, unreadable
from assent.capabilities.git._index import SUBMODULE, entries_of, left_alone, read_index
from assent.capabilities.git._layout import Repository, find_repository
from assent.capabilities.git._objects import require_countable
from assent.capabilities.git._refs import HEADS, Refs
from assent.capabilities.git._shapes import Change, GitStatus, Status
from assent.errors import AssentError
from assent.invocation import LocalContext, NoEffectError

_Flags = pygit2.enums.FileStatus

_STAGED: Final = {
    _Flags.INDEX_NEW: "new",
    _Flags.INDEX_MODIFIED: "modified",
    _Flags.INDEX_DELETED: "deleted",
    _Flags.INDEX_RENAMED: "renamed",
    _Flags.INDEX_TYPECHANGE: "type_changed",
}
_UNSTAGED: Final = {
    _Flags.WT_MODIFIED: "modified",
    _Flags.WT_DELETED: "deleted",
    _Flags.WT_TYPECHANGE: "type_changed",
    _Flags.WT_RENAMED: "renamed",
    _Flags.CONFLICTED: "conflicted",
}


def status(context: LocalContext, parameters: Status) -> GitStatus:
    """The answer for one repository. Raises GIT_MISSING, GIT_LAYOUT_REFUSED, GIT_UNREADABLE."""
    repository = find_repository(context, parameters.repository)
    _require_no_inner(repository)
    refs = Refs(repository)
    repo = repository.opened()
    require_countable(repository, repo, refs.head)
    try:
        found = repo.status(untracked_files="all", ignored=True)
    except (pygit2.GitError, OSError) as error:
        raise unreadable(repository.top, str(error)) from None
    alone = left_alone(repository, read_index(repository.files, repository.git))
    staged: list[Change] = []
    unstaged: list[Change] = []
    untracked: list[str] = []
    ignored = 0
    for path, flags in sorted(found.items()):
        if not _is_visible(repository, path):
            continue
        staged += [_change(path, word) for flag, word in _STAGED.items() if flags & flag]
        if path not in alone:
            unstaged += [_change(path, word) for flag, word in _UNSTAGED.items() if flags & flag]
        if flags & _Flags.WT_NEW:
            untracked.append(path)
        ignored += bool(flags & _Flags.IGNORED)
    most, branch = parameters.entries_max, refs.branch
    return GitStatus(
        repository=repository.top,
        branch=branch.removeprefix(HEADS) if branch else None,
        head=refs.head,
        is_clean=not (staged or unstaged or untracked),
        staged=staged[:most],
        unstaged=unstaged[:most],
        untracked=untracked[:most],
        counts={
            "staged": len(staged),
            "unstaged": len(unstaged),
            "untracked": len(untracked),
            "ignored": ignored,
        },
        truncated=max(len(staged), len(unstaged), len(untracked)) > most,
    )


def _change(path: str, word: str) -> Change:
    return Change.model_validate({"path": path, "change": word})


def _is_visible(repository: Repository, path: str) -> bool:
    """Whether a path may be told: the state directory is invisible to every capability."""
    try:
        repository.files.stat(repository.outside(path.rstrip("/")))
    except NoEffectError as error:
        return error.code != "PATH_PROTECTED"
    return True


def _require_no_inner(repository: Repository) -> None:
    """Refuse submodules that were fetched: libgit2 would open them, wherever their `.git` leads."""
    try:
        entries = entries_of(repository, read_index(repository.files, repository.git))
    except AssentError as error:
        if error.code != "GIT_BUSY":
            raise
        return
    for path, entry in entries.items():
        if entry.mode == SUBMODULE and repository.files.stat(repository.outside(f"{path}/.git")) is not None:
            raise refused_layout(
                repository.top, f"has the submodule `{path}`, which is a repository of its own"
            )
