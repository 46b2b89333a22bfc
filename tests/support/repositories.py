"""Git repositories made by libgit2 in a workspace, and what they say."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pygit2

GIT: Final = shutil.which("git")
"""The git program, where the machine has one: what it says is compared."""

_WHO: Final = pygit2.Signature("Somebody", "somebody@example.org", 1_700_000_000, 0)


def repository(root: Path, files: dict[str, str | bytes], message: str = "first") -> pygit2.Repository:
    """A repository at `root` with one commit of these files."""
    repo = pygit2.init_repository(str(root), initial_head="main")
    commit_all(root, files, message)
    return repo


def commit_all(root: Path, files: dict[str, str | bytes], message: str) -> str:
    """Write files and commit them, as somebody else's git would."""
    repo = pygit2.Repository(str(root))
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        repo.index.add(path)
    repo.index.write()
    tree = repo.index.write_tree()
    parents = [] if repo.head_is_unborn else [repo.head.target]
    return str(repo.create_commit("HEAD", _WHO, _WHO, f"{message}\n", tree, parents))


def says(root: Path) -> dict[str, object]:
    """Everything that counts in a repository: references, `HEAD`, the index; objects that nothing refers to do not."""
    repo = pygit2.Repository(str(root))
    head = (root / ".git" / "HEAD").read_text()
    refs = {name: str(repo.lookup_reference(name).target) for name in repo.references}
    index = [(entry.path, str(entry.id), int(entry.mode)) for entry in repo.index]
    locks = sorted(str(path.relative_to(root)) for path in (root / ".git").rglob("*.lock"))
    hidden = sorted(str(path.relative_to(root)) for path in (root / ".git").rglob(".assent-*"))
    return {"head": head, "refs": refs, "index": index, "locks": locks, "hidden": hidden}
