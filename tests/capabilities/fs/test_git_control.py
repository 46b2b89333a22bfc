"""What decides which programs git starts is out of reach: a person's next `git status` would run them outside of every wall."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assent.invocation import NoEffectError
from tests.support.hands import Hands, Step

OF_GIT = [
    ".git",
    ".git/config",
    ".git/config.worktree",
    ".git/hooks",
    ".git/hooks/pre-commit",
    ".Git/Hooks/pre-commit",
    ".g\u200cit/config",
    "sub/.git/config",
    "sub/.git/modules/m/config",
    ".git/worktrees/w/commondir",
    ".git/rebase-merge/git-rebase-todo",
    ".git/rebase-apply/applying",
    ".git/sequencer/todo",
]


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil.txt").write_text("[core]\nfsmonitor = touch ~/owned\n")
    hands = Hands.on(tmp_path)
    yield hands
    hands.workspace.close()


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("io.fs.write_file", {"path": "AT", "content": "x", "create_dirs": True}),
    ("io.fs.write_bytes", {"path": "AT", "content_base64": "eA==", "create_dirs": True}),
    ("io.fs.make_dir", {"path": "AT", "parents": True}),
    ("io.fs.make_dir", {"path": "AT/new", "parents": True}),
    ("io.fs.copy", {"source": "evil.txt", "destination": "AT"}),
    ("io.fs.move", {"source": "evil", "destination": "AT"}),
    ("io.fs.patch", {"diff": "--- /dev/null\n+++ b/AT\n@@ -0,0 +1 @@\n+x\n"}),
]


@pytest.mark.parametrize("path", OF_GIT)
def test_no_capability_makes_what_git_obeys(hands: Hands, path: str) -> None:
    """Written, made, copied, moved or patched there; a preview says so too. Nothing is changed."""
    for capability, given in CALLS:
        parameters = {
            name: str(value).replace("AT", path) if isinstance(value, str) else value
            for name, value in given.items()
        }
        if capability in {"io.fs.copy", "io.fs.move"}:
            Path(hands.root, path).parent.mkdir(parents=True, exist_ok=True)
        before = hands.tree()
        assert hands.attempt(capability, **parameters) == "PATH_PROTECTED", capability
        with pytest.raises(NoEffectError, match="which programs git starts"):
            hands.preview(capability, **parameters)
        assert hands.tree() == before


def test_no_capability_changes_or_removes_what_git_obeys(hands: Hands) -> None:
    """Not by taking it away either: another one could be put in its place."""
    (hands.root / ".git/hooks").mkdir(parents=True)
    (hands.root / ".git/config").write_text("[core]\n")
    before = hands.tree()
    for path in (".git", ".git/config", ".git/hooks"):
        assert hands.attempt("io.fs.delete", path=path, recursive=True) == "PATH_PROTECTED"
        assert hands.attempt("io.fs.move", source=path, destination="away") == "PATH_PROTECTED"
    assert hands.attempt("io.fs.write_file", path=".git/config", content="x") == "PATH_PROTECTED"
    assert hands.tree() == before


@pytest.mark.parametrize("last", ["HEAD", "objects", "refs", "refs/heads/main", "head"])
def test_no_capability_completes_a_bare_repository(hands: Hands, last: str) -> None:
    """Git obeys the configuration of any folder with `HEAD`, `objects` and `refs` in it; whichever comes last is refused."""
    bare = hands.root / "a/bare"
    for part in {"HEAD", "objects", "refs"} - {last.partition("/")[0].replace("head", "HEAD")}:
        (bare / part).mkdir(parents=True)
    (bare / "config").write_text("[core]\nfsmonitor = touch ~/owned\n")
    before = hands.tree()
    made = {"path": f"a/bare/{last}"}
    assert hands.attempt("io.fs.write_file", **made, content="x", create_dirs=True) == "PATH_PROTECTED"
    assert hands.attempt("io.fs.make_dir", **made, parents=True) == "PATH_PROTECTED"
    if "/" not in last:
        assert hands.attempt("io.fs.move", source="evil", destination=f"a/bare/{last}") == "PATH_PROTECTED"
    diff = f"--- /dev/null\n+++ b/a/bare/{last}\n@@ -0,0 +1 @@\n+x\n"
    assert hands.attempt("io.fs.patch", diff=diff) == "PATH_PROTECTED"
    assert hands.tree() == before


def test_a_bare_repository_that_stands_is_left_its_rules(hands: Hands) -> None:
    """What git only keeps may be written, and two of the three names are names like others."""
    root = hands.root
    for part in ("objects", "refs", "hooks"):
        (root / "shared.git" / part).mkdir(parents=True)
    (root / "shared.git/HEAD").write_text("ref: refs/heads/main\n")
    for path in ("shared.git/config", "shared.git/hooks/post-update", "shared.git/commondir"):
        assert hands.attempt("io.fs.write_file", path=path, content="x") == "PATH_PROTECTED"
    # An undo would make one of it again, with a configuration that came meanwhile.
    for path in ("shared.git/HEAD", "shared.git/refs"):
        assert hands.attempt("io.fs.delete", path=path, recursive=True) == "PATH_PROTECTED"
        assert hands.attempt("io.fs.move", source=path, destination="away") == "PATH_PROTECTED"
    hands.do("io.fs.write_file", path="shared.git/refs/main", content="x").compensate()
    hands.do("io.fs.copy", source="shared.git", destination="copy.git").compensate()
    hands.do("io.fs.write_file", path="game/objects/refs", content="x", create_dirs=True).compensate()
    hands.do("io.fs.write_file", path="game/config", content="x", create_dirs=True).compensate()


def test_the_rest_of_a_repository_is_like_any_other_folder(hands: Hands) -> None:
    """A checkout is copied, moved and deleted as a whole, and what git only keeps may be written."""
    root = hands.root
    (root / "sub/.git/hooks").mkdir(parents=True)
    (root / "sub/.git/config").write_text("[core]\n")
    steps = [
        hands.do("io.fs.copy", source="sub", destination="copy"),
        hands.do("io.fs.move", source="copy", destination="moved"),
        hands.do("io.fs.write_file", path="sub/.git/description", content="mine"),
    ]
    assert (root / "moved/.git/config").read_text() == "[core]\n"
    deleted = hands.do("io.fs.delete", path="moved", recursive=True)
    for step in (deleted, *reversed(steps)):
        assert isinstance(step, Step)
        step.compensate()
    assert sorted(path.name for path in root.iterdir()) == [".assent", "evil", "evil.txt", "sub"]
