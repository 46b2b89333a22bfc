"""`sys.git.*` on a real repository; observed is what it says: references, `HEAD` and the index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pygit2

from tests.conformance.case import Case, Escape, Stage
from tests.conformance.fs import way_out
from tests.support.hands import tree_of, without_times
from tests.support.repositories import repository, says

_FILES: Final[dict[str, str | bytes]] = {
    "a.txt": "one\n",
    "docs/b.bin": bytes(range(256)),
    "docs/deep/c.txt": "",
}


def _furnish(stage: Stage) -> None:
    """One commit, one more branch, a changed file, a new one and one that is gone."""
    repo = repository(stage.workspace, _FILES)
    repo.branches.create("topic", repo.head.peel(pygit2.Commit))
    (stage.workspace / "a.txt").write_text("two\n")
    (stage.workspace / "docs/new.txt").write_text("new\n")
    (stage.workspace / "docs/deep/c.txt").unlink()


def _observe(stage: Stage) -> object:
    files = {
        path: state for path, state in without_times(tree_of(stage.workspace)).items() if ".git" not in path
    }
    # Ids of commits and tags hold the time of the call, which differs from world to world; what they say does not.
    repo = pygit2.Repository(str(stage.workspace))
    refs = {name: _told(repo, repo.lookup_reference(name).target) for name in repo.references}
    logs = sorted(str(path) for path in stage.workspace.glob(".git/logs/**/*") if path.is_file())
    logs = [path.removeprefix(str(stage.workspace)) for path in logs]
    return {**says(stage.workspace), "refs": refs, "logs": logs}, files


def _told(repo: pygit2.Repository, target: pygit2.Oid | str) -> object:
    found = repo[str(target)]
    if isinstance(found, pygit2.Tag):
        return found.name, found.message, _told(repo, found.target)
    commit = found.peel(pygit2.Commit)
    return str(commit.tree.id), commit.message, [_told(repo, parent) for parent in commit.parent_ids]


def _repository(name: str, change: Callable[[Stage, str], object]) -> Callable[[Stage], object]:
    def arrange(stage: Stage) -> None:
        repository(stage.workspace / name, {"f": "x\n"})
        change(stage, name)

    return arrange


def _outside(stage: Stage) -> str:
    if not (stage.outside / ".git").exists():
        repository(stage.outside, {"canary.txt": (stage.outside / "canary.txt").read_text()})
    return str(stage.outside / ".git")


def _gitfile(stage: Stage, name: str) -> None:
    (stage.workspace / name / ".git").rename(stage.workspace / name / "moved")
    (stage.workspace / name / ".git").write_text(f"gitdir: {_outside(stage)}\n")


def _linked(stage: Stage, name: str) -> None:
    (stage.workspace / name / ".git").rename(stage.workspace / name / "moved")
    (stage.workspace / name / ".git").symlink_to(_outside(stage))


def _alternates(stage: Stage, name: str) -> None:
    info = stage.workspace / name / ".git/objects/info"
    info.mkdir(exist_ok=True)
    (info / "alternates").write_text(f"{_outside(stage)}/objects\n")


def _config(text: str) -> Callable[[Stage, str], object]:
    def change(stage: Stage, name: str) -> None:
        with (stage.workspace / name / ".git/config").open("a") as config:
            config.write(text)

    return change


def _objects(stage: Stage, name: str) -> None:
    objects = stage.workspace / name / ".git/objects"
    objects.rename(stage.workspace / name / "objects")
    objects.symlink_to(f"{_outside(stage)}/objects")


_WAYS: Final[tuple[tuple[str, Callable[[Stage, str], object]], ...]] = (
    ("gitfile", _gitfile),
    ("linked", _linked),
    ("alternates", _alternates),
    ("worktree", _config("[core]\n\tworktree = ../../../outside\n")),
    ("include", _config("[include]\n\tpath = ../../../outside/config\n")),
    ("include_if", _config('[includeIf "gitdir:/"]\n\tpath = /etc/gitconfig\n')),
    ("excludes", _config("[core] excludesFile = /etc/passwd\n")),
    ("attributes", _config("[core]\n\tattributesFile = /etc/passwd\n")),
    ("objects", _objects),
)


def _escapes(**inputs: object) -> list[Escape]:
    layouts = [
        Escape({**inputs, "repository": name}, "GIT_LAYOUT_REFUSED", arrange=_repository(name, change))  # type: ignore[dict-item]  # JSON
        for name, change in _WAYS
    ]
    places = [
        Escape({**inputs, "repository": path}, codes, arrange=way_out)  # type: ignore[dict-item]  # JSON
        for path, codes in (
            ("../outside", ("PATH_ESCAPES",)),
            ("/etc", ("PATH_ESCAPES",)),
            ("way_out", ("PATH_ESCAPES",)),
            (".assent", ("PATH_PROTECTED",)),
            ("docs", ("GIT_MISSING",)),
        )
    ]
    return layouts + places


CASES: Final = (
    Case("sys.git.status", {}, arrange=_furnish, escapes=_escapes(), bad=[{"entries_max": -1}]),
    Case(
        "sys.git.commit",
        {"message": "what changed", "paths": ["a.txt", "docs"]},
        arrange=_furnish,
        observe=_observe,
        bad=[{"message": " "}, {"message": "m", "paths": []}, {"message": "m", "author_email": "a <b>"}],
        escapes=[
            *_escapes(message="m"),
            Escape({"message": "m", "paths": ["../outside/canary.txt"]}, "PATH_ESCAPES"),
            Escape({"message": "m", "paths": ["way_out/canary.txt"]}, "PATH_ESCAPES", arrange=way_out),
            Escape({"message": "m", "paths": [".assent/ledger.db"]}, "PATH_PROTECTED"),
        ],
    ),
    Case(
        "sys.git.tag",
        {"name": "v1.0", "message": "the first one"},
        arrange=_furnish,
        observe=_observe,
        bad=[{"name": ""}],
        escapes=[*_escapes(name="v1"), Escape({"name": "../../../../outside/evil"}, "GIT_NAME_INVALID")],
    ),
    Case(
        "sys.git.branch",
        {"action": "rename", "name": "main", "new_name": "trunk/main"},
        arrange=_furnish,
        observe=_observe,
        bad=[{"action": "switch", "name": "topic"}],
        escapes=[
            *_escapes(action="create", name="b"),
            Escape({"action": "create", "name": "../../../../outside/evil"}, "GIT_NAME_INVALID"),
        ],
    ),
)
