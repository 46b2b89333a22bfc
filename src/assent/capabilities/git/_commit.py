"""`sys.git.commit`: some paths, or everything that is tracked, as a new commit on the current branch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pygit2

from assent.capabilities.fs._shapes import place
from assent.capabilities.fs.world._faults import missing
from assent.capabilities.fs.world._paths import named, shown
from assent.capabilities.git._change import GitChange, IndexEdit, RefEdit
from assent.capabilities.git._effect import GitEffect
from assent.capabilities.git._faults import conflict_state, filtered, refused_layout, unreadable
from assent.capabilities.git._index import (
    FILE,
    LINK,
    PROGRAM,
    SUBMODULE,
    Entry,
    apply_edit,
    digest_of,
    edited,
    entries_of,
    left_alone,
    read_index,
)
from assent.capabilities.git._layout import Repository, find_repository
from assent.capabilities.git._objects import Workbench, require_countable
from assent.capabilities.git._refs import HEAD, Refs
from assent.capabilities.git._shapes import Commit, Committed
from assent.capabilities.git._story import Author
from assent.errors import Json
from assent.invocation import EntryKind, LocalContext, NoEffectError
from assent.spec.words.legible import cut

PATHS_MAX: Final = 50_000
DIFF_CHARS_MAX: Final = 1 << 20
_CONVERTING: Final = ("filter", "ident", "working-tree-encoding")
_NO: Final = ("false", "no", "off", "0")
_LINE_ENDS: Final = ("text", "eol", "crlf")


class CommitEffect(GitEffect[Commit, Committed]):
    """A new commit; the index says what it says, and nothing else that was staged is lost."""

    def plan(self, context: LocalContext, parameters: Commit) -> GitChange:
        repository = find_repository(context, parameters.repository)
        under_way = repository.under_way()
        if under_way is not None:
            raise conflict_state(f"has something under way (`{under_way}`)")
        refs, bench = Refs(repository), Workbench(repository)
        # Its time before its content: a time too old only makes git look once more.
        index_entry = repository.files.stat(f"{repository.git}/index")
        old_index = read_index(repository.files, repository.git)
        staged = entries_of(repository, old_index)
        look = _Look(context, repository, bench, staged, left_alone(repository, old_index))
        edits = dict(look.edits(parameters.paths))
        new_index = edited(repository, old_index, edits.items()) if edits else old_index
        head = refs.head
        require_countable(repository, bench.repo, head)
        parent = bench.commit(head) if head is not None else None
        tree = _tree(bench, parent, edits, None if parameters.paths is not None else staged)
        old_tree = str(parent.tree.id) if parent is not None else None
        if tree == old_tree and not parameters.allow_empty:
            raise NoEffectError(
                "GIT_NOTHING_TO_COMMIT",
                f"nothing of `{shown(repository.top)}` that was named has changed since the last commit",
                path=shown(repository.top),
                hint="new files are committed when `paths` names them; `allow_empty: true` commits in any case",
            )
        author = Author(context, repository, parameters.author_name, parameters.author_email)
        commit = _commit(bench, author, parameters.message, tree, parent)
        branch = refs.branch
        subject = parameters.message.strip().splitlines()[0][:200]
        what = f"commit{'' if parent else ' (initial)'}: {subject}"
        reference = branch or HEAD
        moves = RefEdit(reference, head, commit)
        names = dict.fromkeys((reference, HEAD))
        digest = digest_of(repository.top, old_index)
        stats = _diff(bench, old_tree, tree).stats
        notes: dict[str, Json] = {
            "branch": branch.removeprefix("refs/heads/") if branch else None,
            "commit": commit,
            "tree": tree,
            "parent": head,
            "files_changed": stats.files_changed,
            "insertions": stats.insertions,
            "deletions": stats.deletions,
        }
        index = IndexEdit(
            digest,
            digest if new_index == old_index else digest_of(repository.top, new_index),
            old_index,
            new_index,
            index_entry.mtime_ns if index_entry is not None else None,
        )
        # What `HEAD` is on is held as well: after a switch the index is another branch's.
        stays = (RefEdit(HEAD, refs.get(HEAD), refs.get(HEAD)),) if branch else ()
        size = sum(map(len, bench.made.values())) + 2 * len(new_index or b"")
        if size > context.world.pre_image_bytes_max:
            raise NoEffectError(
                "PRE_IMAGE_TOO_LARGE",
                f"the commit has {size} new bytes; at most {context.world.pre_image_bytes_max} are kept for one call",
                hint="raise `max_pre_image_bytes`, or commit less at once",
            )
        logs = tuple(author.log(repository, name, head, commit, what) for name in names)
        return GitChange(
            repository.top, repository.git, (*stays, moves), index, logs, _needed(bench, commit), notes
        )

    def output(self, change: GitChange) -> Committed:
        return Committed.model_validate({"repository": change.repository, **change.notes})

    def show(self, context: LocalContext, change: GitChange) -> str:
        repository = find_repository(context, change.repository)
        bench = Workbench(repository)
        for stored in change.objects.values():
            kind, _, data = stored.partition(b"\0")
            bench.repo.odb.write(_KINDS[kind.split(b" ")[0]], data)
        parent = change.notes["parent"]
        old = str(bench.commit(str(parent)).tree.id) if parent else None
        diff = _diff(bench, old, str(change.notes["tree"]))
        notes = change.notes
        head = (
            f"commit on {shown(str(notes['branch'] or 'a detached HEAD'))}: {notes['files_changed']} files changed, "
            f"{notes['insertions']} insertions, {notes['deletions']} deletions\n"
        )
        text = diff.patch or ""
        if len(text) > DIFF_CHARS_MAX:
            names = dict.fromkeys(delta.new_file.path for delta in diff.deltas)
            head += "".join(f"{named(name)}\n" for name in names)
        return f"{head}{cut(text, DIFF_CHARS_MAX)}"


_KINDS: Final = {
    b"commit": pygit2.enums.ObjectType.COMMIT,
    b"tree": pygit2.enums.ObjectType.TREE,
    b"blob": pygit2.enums.ObjectType.BLOB,
    b"tag": pygit2.enums.ObjectType.TAG,
}


class _Look:
    """Compares the workspace's files with the index, and makes blobs of what differs."""

    def __init__(
        self,
        context: LocalContext,
        repository: Repository,
        bench: Workbench,
        staged: dict[str, Entry],
        left_alone: frozenset[str],
    ) -> None:
        """`left_alone` are paths that are looked at only where they are named themselves, and that are gone for no reason."""
        self._context = context
        self._repository = repository
        self._files = repository.files
        self._bench = bench
        self._staged = staged
        self._left_alone = left_alone
        self._attributes: pygit2.Repository | None = None
        self._count = 0

    def edits(self, paths: list[str] | None) -> Iterator[tuple[str, Entry | None]]:
        """Each path that differs, with what the index will say; None for what is gone."""
        if paths is None:
            wanted = dict.fromkeys(name for name in self._staged if name not in self._left_alone)
        else:
            wanted = {}
            for path in map(place, paths):
                wanted.update(dict.fromkeys(self._named(path)))
        for inner in sorted(wanted):
            found = self._entry(inner)
            if found != self._staged.get(inner):
                yield inner, found

    def _named(self, path: str) -> Iterator[str]:
        """What one given path stands for: itself, or what is tracked or new beneath it."""
        inner = self._repository.inside(path)
        below = f"{inner}/" if inner else ""
        entry = self._files.stat(path)
        tracked = [
            name
            for name in self._staged
            if name == inner or (name.startswith(below) and name not in self._left_alone)
        ]
        if entry is None and not tracked:
            raise missing(path)
        yield from tracked
        if entry is None:
            return
        if entry.kind is EntryKind.DIRECTORY:
            yield from self._new_below(path)
        elif inner not in self._staged:
            yield inner

    def _new_below(self, folder: str) -> Iterator[str]:
        for name in self._files.list(folder):
            path = name if folder == "." else f"{folder}/{name}"
            if name.lower() == ".git":
                if folder != self._repository.top:
                    raise refused_layout(folder, "is another one inside this one")
                continue
            inner = self._repository.inside(path)
            entry = self._files.stat(path)
            if entry is None or inner in self._staged or self._is_ignored(inner, entry.kind):
                continue
            if entry.kind is EntryKind.DIRECTORY:
                yield from self._new_below(path)
            elif entry.kind in (EntryKind.FILE, EntryKind.SYMLINK):
                yield inner

    def _is_ignored(self, inner: str, kind: EntryKind) -> bool:
        return self._opened().path_is_ignored(f"{inner}/" if kind is EntryKind.DIRECTORY else inner)

    def _opened(self) -> pygit2.Repository:
        if self._attributes is None:
            self._attributes = self._repository.opened()
        return self._attributes

    def _entry(self, inner: str) -> Entry | None:
        """What the index will say of a path; its blob is made."""
        self._count += 1
        if self._count > PATHS_MAX:
            raise NoEffectError(
                "TREE_TOO_LARGE", f"more than {PATHS_MAX} paths would be compared", hint="name `paths`"
            )
        if self._context.cancel.is_cancelled:
            raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it compared files")
        path, known = self._repository.outside(inner), self._staged.get(inner)
        if known is not None and known.mode == SUBMODULE:
            return known
        try:
            entry = self._files.stat(path)
        except NoEffectError as error:
            # A file or a link stands where a folder was: what was in it is gone.
            if error.code not in ("NOT_A_DIRECTORY", "PATH_ESCAPES"):
                raise
            entry = None
        if entry is None or entry.kind is EntryKind.DIRECTORY:
            # What was not checked out was not deleted either.
            return known if inner in self._left_alone else None
        if entry.kind is EntryKind.SYMLINK:
            target = self._files.read_link(path).encode("utf-8", "surrogateescape")
            return Entry(self._blob(target, known), LINK)
        pieces, size = [], 0
        for chunk in self._files.read(path):
            size += len(chunk)
            if size > self._context.world.pre_image_bytes_max and known is None:
                break
            pieces.append(chunk)
        data = b"".join(pieces)
        name = str(pygit2.hash(data))
        mode = PROGRAM if entry.mode & 0o100 else FILE
        if known is not None and known.id == name:
            return Entry(name, mode)
        self._check_filters(inner, data)
        return Entry(self._blob(data, known), mode)

    def _blob(self, data: bytes, known: Entry | None) -> str:
        name = str(pygit2.hash(data))
        if known is None or known.id != name:
            self._bench.repo.create_blob(data)
        return name

    def _check_filters(self, inner: str, data: bytes) -> None:
        repo = self._opened()
        for name in _CONVERTING:
            if repo.get_attr(inner, name) not in (None, False):
                raise filtered(self._repository.outside(inner), f"the attribute `{name}`")
        if b"\r\n" not in data:
            return
        said = [name for name in _LINE_ENDS if repo.get_attr(inner, name) not in (None, False)]
        if said:
            raise filtered(self._repository.outside(inner), f"its line ends, by the attribute `{said[0]}`")
        # libgit2's configuration answers `in` and `[…]`, and has no `get` of a mapping.
        if "core.autocrlf" in repo.config and str(repo.config["core.autocrlf"]).lower() not in _NO:
            raise filtered(self._repository.outside(inner), "its line ends, by `core.autocrlf`")


def _tree(
    bench: Workbench,
    parent: pygit2.Commit | None,
    edits: dict[str, Entry | None],
    staged: dict[str, Entry] | None,
) -> str:
    """The tree of the new commit: the last one with the edits (`staged` is None), or all that is staged with them."""
    index = pygit2.Index()
    if staged is None and parent is not None:
        index.read_tree(parent.tree)
    for path, entry in {**(staged or {}), **edits}.items():
        apply_edit(index, path, entry)
    try:
        return str(index.write_tree(bench.repo))
    except pygit2.GitError as error:
        raise unreadable(".", str(error)) from None


def _commit(bench: Workbench, author: Author, message: str, tree: str, parent: pygit2.Commit | None) -> str:
    person = pygit2.Signature(author.name, author.email, author.seconds, 0)
    text = message if message.endswith("\n") else f"{message}\n"
    parents = [parent.id] if parent is not None else []
    return str(bench.repo.create_commit(None, person, person, text, pygit2.Oid(hex=tree), parents))


def _diff(bench: Workbench, old: str | None, new: str) -> pygit2.Diff:
    after = bench.repo[new]
    assert isinstance(after, pygit2.Tree)
    if old is None:
        return after.diff_to_tree(swap=True)
    before = bench.repo[old]
    assert isinstance(before, pygit2.Tree)
    return before.diff_to_tree(after)


def _needed(bench: Workbench, commit: str) -> dict[str, bytes]:
    """What was made, the commit last: whoever finds it finds what it refers to. What stands already is not made again."""
    made = bench.made
    return {name: made[name] for name in sorted(made, key=lambda name: name == commit)}
