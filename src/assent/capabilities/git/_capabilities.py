"""The git capabilities, described."""

from __future__ import annotations

from functools import partial
from typing import Final

from assent.capabilities.describing import changes_files, reads
from assent.capabilities.git._commit import CommitEffect
from assent.capabilities.git._names import BranchEffect, TagEffect
from assent.capabilities.git._status import status

_TIMEOUT_S: Final = 120

_changes = partial(
    changes_files, effect="changes references of a git repository in the workspace", timeout=_TIMEOUT_S
)

CAPABILITIES: Final = (
    reads(
        "sys.git.status",
        "Branch, commit and changed files of a git repository",
        status,
        timeout=_TIMEOUT_S,
        labels=("reads_private",),
    ),
    _changes(
        "sys.git.commit",
        "Commit files to the current branch of a git repository, without running a hook",
        CommitEffect(),
        labels=("reads_private",),
    ),
    _changes("sys.git.tag", "Tag a commit of a git repository, light or annotated", TagEffect()),
    _changes("sys.git.branch", "Create, delete or rename a branch of a git repository", BranchEffect()),
)
