"""`sys.git.tag` and `sys.git.branch`: names for commits."""

from __future__ import annotations

from dataclasses import replace

import pygit2

from assent.capabilities.fs.world._paths import shown
from assent.capabilities.git._change import GitChange, LogEdit, RefEdit
from assent.capabilities.git._effect import GitEffect
from assent.capabilities.git._faults import ref_missing
from assent.capabilities.git._layout import Repository, find_repository
from assent.capabilities.git._objects import Workbench
from assent.capabilities.git._refs import HEAD, HEADS, TAGS, Refs, full_name
from assent.capabilities.git._shapes import Branch, Branched, Tag, Tagged
from assent.capabilities.git._story import Author, log_of
from assent.errors import Json
from assent.invocation import EntryKind, LocalContext, NoEffectError


class TagEffect(GitEffect[Tag, Tagged]):
    """A tag, light or annotated."""

    def plan(self, context: LocalContext, parameters: Tag) -> GitChange:
        repository = find_repository(context, parameters.repository)
        refs, bench = Refs(repository), Workbench(repository)
        full = full_name(parameters.name, TAGS)
        refs.require_free(full)
        commit = str(bench.commit(refs.resolve(parameters.target)).id)
        found = commit
        if parameters.message is not None:
            author = Author(context, repository, parameters.author_name, parameters.author_email)
            text = parameters.message if parameters.message.endswith("\n") else f"{parameters.message}\n"
            body = f"object {commit}\ntype commit\ntag {parameters.name}\ntagger {author.signature}\n\n{text}"
            found = str(bench.repo.odb.write(pygit2.enums.ObjectType.TAG, body.encode()))
        notes: dict[str, Json] = {
            "name": parameters.name,
            "id": found,
            "commit": commit,
            "annotated": parameters.message is not None,
        }
        edits = (RefEdit(full, None, found),)
        return GitChange(repository.top, repository.git, edits, objects=bench.made, notes=notes)

    def output(self, change: GitChange) -> Tagged:
        return Tagged.model_validate({"repository": change.repository, **change.notes})

    def show(self, context: LocalContext, change: GitChange) -> str:
        del context
        notes = change.notes
        kind = "annotated tag" if notes["annotated"] else "tag"
        return f"new {kind} {notes['name']} -> {notes['commit']}\n"


class BranchEffect(GitEffect[Branch, Branched]):
    """A branch made, deleted or renamed; the files of the workspace stay as they are."""

    def plan(self, context: LocalContext, parameters: Branch) -> GitChange:
        repository = find_repository(context, parameters.repository)
        refs = Refs(repository)
        full = full_name(parameters.name, HEADS)
        author = Author(context, repository)
        match parameters.action:
            case "create":
                return self._create(repository, refs, full, parameters, author)
            case "delete":
                return self._delete(repository, refs, full, parameters)
            case "rename":
                return self._rename(repository, refs, full, parameters, author)

    def _create(
        self, repository: Repository, refs: Refs, full: str, parameters: Branch, author: Author
    ) -> GitChange:
        refs.require_free(full)
        commit = str(Workbench(repository).commit(refs.resolve(parameters.start)).id)
        log = author.log(repository, full, None, commit, f"branch: Created from {parameters.start}")
        return _changed(repository, parameters, commit, (RefEdit(full, None, commit),), (log,))

    def _delete(self, repository: Repository, refs: Refs, full: str, parameters: Branch) -> GitChange:
        commit, head = _existing(refs, full), refs.get(HEAD)
        if refs.branch == full:
            raise NoEffectError(
                "GIT_BRANCH_IN_USE",
                f"`{parameters.name}` is the branch that the files are of",
                hint="switch to another branch first, with git itself",
            )
        _require_free_of_others(repository, full, parameters.name)
        if not parameters.force and not _holds(repository, refs.head, commit):
            raise NoEffectError(
                "GIT_BRANCH_UNMERGED",
                f"`{parameters.name}` has commits that the current branch does not hold",
                hint="pass `force: true`; the deletion can be undone as long as the ledger is kept",
            )
        edits = (RefEdit(HEAD, head, head), RefEdit(full, commit, None))
        return _changed(
            repository, parameters, commit, edits, (LogEdit(full, None, kept=log_of(repository, full)),)
        )

    def _rename(
        self, repository: Repository, refs: Refs, full: str, parameters: Branch, author: Author
    ) -> GitChange:
        commit, head = _existing(refs, full), refs.get(HEAD)
        if parameters.new_name is None:
            raise NoEffectError(
                "GIT_NAME_INVALID", "a rename needs a `new_name`", path="new_name", hint="pass `new_name`"
            )
        _require_free_of_others(repository, full, parameters.name)
        new = full_name(parameters.new_name, HEADS)
        refs.require_free(new)
        story = log_of(repository, full)
        line = author.log(repository, new, commit, commit, f"Branch: renamed {full} to {new}")
        logs = [
            LogEdit(new, line.line, base=story or b"", is_new=True),
            LogEdit(full, None, kept=story),
        ]
        head_after = f"ref: {new}" if refs.branch == full else head
        edits = (RefEdit(new, None, commit), RefEdit(HEAD, head, head_after), RefEdit(full, commit, None))
        return _changed(repository, parameters, commit, edits, tuple(logs))

    def output(self, change: GitChange) -> Branched:
        return Branched.model_validate({"repository": change.repository, **change.notes})

    def show(self, context: LocalContext, change: GitChange) -> str:
        del context
        lines = [
            f"{edit.name}: {edit.old or 'nothing'} -> {edit.new or 'nothing'}\n"
            for edit in change.edits
            if edit.moves
        ]
        return "".join(lines)


def _changed(
    repository: Repository,
    parameters: Branch,
    commit: str,
    edits: tuple[RefEdit, ...],
    logs: tuple[LogEdit, ...],
) -> GitChange:
    notes: dict[str, Json] = {
        "action": parameters.action,
        "name": parameters.name,
        "commit": commit,
        "new_name": parameters.new_name if parameters.action == "rename" else None,
    }
    return GitChange(repository.top, repository.git, edits, logs=logs, notes=notes)


def _existing(refs: Refs, full: str) -> str:
    said = refs.get(full)
    if said is None or said.startswith("ref: "):
        raise ref_missing(full)
    return said


def _require_free_of_others(repository: Repository, full: str, name: str) -> None:
    """Do nothing, or raise GIT_BRANCH_IN_USE: the files of another work tree of this repository are of the branch."""
    files, folder = repository.files, f"{repository.git}/worktrees"
    if files.stat(folder) is None:
        return
    for other in files.list(folder):
        entry = files.stat(f"{folder}/{other}")
        if entry is None or entry.kind is not EntryKind.DIRECTORY:
            continue
        if Refs(replace(repository, git=f"{folder}/{other}")).get(HEAD) == f"ref: {full}":
            raise NoEffectError(
                "GIT_BRANCH_IN_USE",
                f"`{name}` is the branch that the files of the work tree `{shown(other)}` are of",
                hint="switch that one to another branch first, with git itself; `git worktree list` tells where it is",
            )


def _holds(repository: Repository, head: str | None, commit: str) -> bool:
    """Whether `commit` is the current commit or one before it."""
    if head is None:
        return False
    bench = Workbench(repository)
    return head == commit or bool(bench.repo.descendant_of(bench.commit(head).id, bench.commit(commit).id))
