"""The git capabilities, described."""

from __future__ import annotations

from typing import Final

from assent.capabilities.fs._read import no_change
from assent.capabilities.git._commit import CommitEffect
from assent.capabilities.git._names import BranchEffect, TagEffect
from assent.capabilities.git._parameters import Branch, Commit, Status, Tag
from assent.capabilities.git._results import Branched, Committed, GitStatus, Tagged
from assent.capabilities.git._status import status as look
from assent.invocation import LocalContext, capability

_EFFECT: Final = "changes references of a git repository in the workspace"
_TIMEOUT_S: Final = 120

_COMMIT: Final = CommitEffect()
_TAG: Final = TagEffect()
_BRANCH: Final = BranchEffect()


@capability(
    "sys.git.status",
    operation="READ",
    risk="LOW",
    justification="reads only",
    timeout=_TIMEOUT_S,
    labels=("reads_private",),
    revision="sys.git.status/1",
)
def status(context: LocalContext, parameters: Status) -> GitStatus:
    """Branch, commit and changed files of a git repository"""
    return look(context, parameters)


status.preview(no_change)


@capability(
    "sys.git.commit",
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="filesystem",
    effect=_EFFECT,
    timeout=_TIMEOUT_S,
    labels=("reads_private",),
    revision="sys.git.commit/1",
    rehearsable=True,
)
def commit(context: LocalContext, parameters: Commit) -> Committed:
    """Commit files to the current branch of a git repository, without running a hook"""
    return _COMMIT.execute(context, parameters)


commit.prepare(_COMMIT.prepare)
commit.compensate(_COMMIT.compensate)
commit.reconcile(_COMMIT.reconcile)
commit.preview(_COMMIT.preview)


@capability(
    "sys.git.tag",
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="filesystem",
    effect=_EFFECT,
    timeout=_TIMEOUT_S,
    revision="sys.git.tag/1",
    rehearsable=True,
)
def tag(context: LocalContext, parameters: Tag) -> Tagged:
    """Tag a commit of a git repository, light or annotated"""
    return _TAG.execute(context, parameters)


tag.prepare(_TAG.prepare)
tag.compensate(_TAG.compensate)
tag.reconcile(_TAG.reconcile)
tag.preview(_TAG.preview)


@capability(
    "sys.git.branch",
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="filesystem",
    effect=_EFFECT,
    timeout=_TIMEOUT_S,
    revision="sys.git.branch/1",
    rehearsable=True,
)
def branch(context: LocalContext, parameters: Branch) -> Branched:
    """Create, delete or rename a branch of a git repository"""
    return _BRANCH.execute(context, parameters)


branch.prepare(_BRANCH.prepare)
branch.compensate(_BRANCH.compensate)
branch.reconcile(_BRANCH.reconcile)
branch.preview(_BRANCH.preview)
