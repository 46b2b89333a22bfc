"""Whether a repository lies in the workspace with everything that it uses, and libgit2 on it, cut off from the machine.

Libgit2 opens paths by itself, so it is let near a repository only after the `Files` port has seen that nothing in it leads
elsewhere: no link, no `.git` file, no alternates, no work tree of its own, no configuration that includes or names other files.
It never writes: what it builds is in memory (`_objects`, `_index`), and the `Files` port puts it in place. Whoever swaps a folder
for a link between the look and the use can make it read packs or a status from another place; nothing can be written there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from assent.capabilities.fs._shapes import place
from assent.capabilities.fs.world._paths import join
from assent.capabilities.git._faults import missing_repository, refused_layout, unreadable
from assent.capabilities.git._home import GitHome
from assent.invocation import EntryKind, Files, LocalContext, NoEffectError

if TYPE_CHECKING:
    import pygit2

_CONFIG_BYTES_MAX: Final = 1 << 20

# Said once too often rather than missed: a value that only looks like one of these refuses the repository as well.
_INCLUDES: Final = re.compile(r"\[\s*include", re.IGNORECASE)
_KEYS: Final = re.compile(
    r"^\s*(?:\[[^\]]*\]\s*)?(worktree|excludesfile|attributesfile|refstorage|worktreeconfig|objectformat)\s*(?:=(.*))?$",
    re.IGNORECASE | re.MULTILINE,
)
_BARE: Final = re.compile(
    r"^\s*(?:\[[^\]]*\]\s*)?bare\s*(?:=\s*(?:true|yes|on|1))?\s*$", re.IGNORECASE | re.MULTILINE
)

_ABSENT: Final = {
    "commondir": "is a linked work tree",
    "config.worktree": "has a configuration for each work tree",
    "objects/info/alternates": "borrows objects from another one (alternates)",
    "reftable": "keeps its references in tables",
}
_PLAIN: Final = (
    "HEAD", "config", "index", "packed-refs", "objects", "objects/info", "objects/pack", "refs",
    "refs/heads", "refs/tags", "logs", "info", "info/exclude", "info/attributes",
)  # fmt: skip
_UNDER_WAY: Final = (
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "rebase-merge",
    "rebase-apply",
    "BISECT_LOG",
)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository whose layout was seen to be plain. `top` is its folder, `git` the `.git` in it, as workspace paths."""

    top: str
    git: str
    files: Files
    home: GitHome

    @property
    def objects(self) -> str:
        """The object folder on the machine, for what reads packs."""
        return str(self.home.root / self.git / "objects")

    def inside(self, path: str) -> str:
        """A workspace path as the repository says it; empty for the top itself. PATH_ESCAPES when it is not in it."""
        if path == self.top:
            return ""
        if self.top == ".":
            return path
        if not path.startswith(f"{self.top}/"):
            raise NoEffectError(
                "PATH_ESCAPES", f"`{path}` is not inside the repository `{self.top}`", path=path
            )
        return path.removeprefix(f"{self.top}/")

    def outside(self, path: str) -> str:
        """The workspace path of a path in the repository."""
        return join(self.top, path)

    def under_way(self) -> str | None:
        """What somebody has begun and not ended (a merge, a rebase); None when nothing is."""
        return next((name for name in _UNDER_WAY if self.files.stat(f"{self.git}/{name}") is not None), None)

    def opened(self) -> pygit2.Repository:
        """Libgit2 on the real repository, for reading. GIT_UNREADABLE when it is damaged or another user's."""
        import pygit2

        cut_off()
        try:
            flags = pygit2.enums.RepositoryOpenFlag.NO_SEARCH
            return pygit2.Repository(str(self.home.root / self.top), flags)
        except (pygit2.GitError, OSError, KeyError) as error:
            raise unreadable(self.top, str(error)) from None


def find_repository(context: LocalContext, path: str) -> Repository:
    """The repository whose folder is `path`. Raises GIT_MISSING, GIT_LAYOUT_REFUSED, and those of paths."""
    files, top = context.world.files, place(path)
    git = join(top, ".git")
    entry = files.stat(git)
    if entry is None:
        raise missing_repository(top)
    if entry.kind is EntryKind.SYMLINK:
        raise refused_layout(top, "has a link in the place of its `.git`")
    if entry.kind is not EntryKind.DIRECTORY:
        raise refused_layout(
            top, "has a file in the place of its `.git`: it is a linked work tree or a submodule"
        )
    for name in _PLAIN:
        found = files.stat(f"{git}/{name}")
        if found is not None and found.kind not in (EntryKind.FILE, EntryKind.DIRECTORY):
            raise refused_layout(top, f"has a link in the place of its `.git/{name}`")
        if found is None and name in ("HEAD", "objects", "refs"):
            raise missing_repository(top)
    for name, why in _ABSENT.items():
        if files.stat(f"{git}/{name}") is not None:
            raise refused_layout(top, why)
    if files.stat(f"{git}/objects/pack") is not None:
        for name in files.list(f"{git}/objects/pack"):
            pack = files.stat(f"{git}/objects/pack/{name}")
            if pack is not None and pack.kind is not EntryKind.FILE:
                raise refused_layout(top, "has a link among its packs")
    _check_config(files, top, git)
    return Repository(top, git, files, context.app.get(GitHome))


def _check_config(files: Files, top: str, git: str) -> None:
    if files.stat(f"{git}/config") is None:
        return
    size, pieces = 0, []
    for chunk in files.read(f"{git}/config"):
        size += len(chunk)
        if size > _CONFIG_BYTES_MAX:
            raise refused_layout(top, "has a configuration of more than a megabyte")
        pieces.append(chunk)
    # A backslash at the end of a line joins it with the next one, wherever that helps to hide a word.
    text = b"".join(pieces).decode("utf-8", "replace").replace("\\\n", "")
    if _INCLUDES.search(text):
        raise refused_layout(top, "has a configuration that includes another file")
    for key, value in _KEYS.findall(text):
        if key.lower() == "objectformat" and value.strip().lower() == "sha1":
            continue
        raise refused_layout(
            top, f"has a configuration with `{key}`, which leads elsewhere or is not supported"
        )
    if _BARE.search(text):
        raise refused_layout(top, "is bare: it has no files to work on")


def cut_off() -> None:
    """Keep libgit2 from the configuration of the user and the machine: a result may not depend on where it is made.

    Process-wide, as libgit2 keeps it; harmless when done twice.
    """
    import pygit2

    levels = pygit2.enums.ConfigLevel
    for level in (levels.PROGRAMDATA, levels.SYSTEM, levels.XDG, levels.GLOBAL):
        pygit2.settings.search_path[level] = ""
    pygit2.settings.owner_validation = True
