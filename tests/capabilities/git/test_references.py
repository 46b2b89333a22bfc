"""Tags and branches are made and taken back, and what others did in the same repository stays."""

from __future__ import annotations

from pathlib import Path

import pygit2
import pytest

from assent.errors import RefusedError
from assent.invocation import NoEffectError
from assent.spec.states import Verdict
from tests.support.hands import Hands
from tests.support.repositories import GIT, commit_all, says
from tests.support.repository_hands import (
    NOW_S,
    git,
    needs_git,
    refusal,
)


def test_tags_are_made_light_and_annotated(hands: Hands) -> None:
    before, repo = says(hands.root), pygit2.Repository(str(hands.root))
    light = hands.do("sys.git.tag", name="light")
    noted = hands.do(
        "sys.git.tag", name="releases/v1", message="the first", target="light", author_name="A B"
    )
    output = noted.execute()
    tag = repo[output["id"]]
    assert isinstance(tag, pygit2.Tag)
    assert (tag.name, tag.message, str(tag.target)) == ("releases/v1", "the first\n", str(repo.head.target))
    assert tag.tagger is not None
    assert (tag.tagger.name, tag.tagger.time) == ("A B", NOW_S)
    assert light.execute() == {
        "repository": ".",
        "name": "light",
        "id": output["commit"],
        "commit": output["commit"],
        "annotated": False,
    }
    again = hands.do("sys.git.tag", name="v1.1", target="releases/v1")
    assert again.execute()["id"] == output["commit"]
    for name, code in (
        ("light", "GIT_REF_EXISTS"),
        ("light/inner", "GIT_REF_EXISTS"),
        ("releases", "GIT_REF_EXISTS"),
        ("a..b", "GIT_NAME_INVALID"),
        ("-d", "GIT_NAME_INVALID"),
        ("HEAD", "GIT_NAME_INVALID"),
        ("x.lock", "GIT_NAME_INVALID"),
        ("a b", "GIT_NAME_INVALID"),
        ("../x", "GIT_NAME_INVALID"),
    ):
        assert refusal(hands, "sys.git.tag", name=name).code == code
    assert refusal(hands, "sys.git.tag", name="x", target="nowhere").code == "GIT_REF_MISSING"
    assert refusal(hands, "sys.git.tag", name="x", target="0" * 40).code == "GIT_UNREADABLE"
    if GIT:
        assert git(hands.root, "fsck", "--strict") == ""
    for step in (again, noted, light):
        step.compensate()
    assert says(hands.root) == before


def test_branches_are_made_renamed_and_deleted(hands: Hands) -> None:
    before = says(hands.root)
    made = hands.do("sys.git.branch", action="create", name="feature/x", start="topic")
    renamed = hands.do("sys.git.branch", action="rename", name="feature/x", new_name="feature/y")
    deleted = hands.do("sys.git.branch", action="delete", name="feature/y")
    assert says(hands.root) == before
    assert not (hands.root / ".git/refs/heads/feature").exists()
    assert not (hands.root / ".git/logs/refs/heads/feature").exists()
    deleted.compensate()
    log = (hands.root / ".git/logs/refs/heads/feature/y").read_text()
    assert [line.split("\t")[1].split(" (")[0] for line in log.splitlines()] == [
        "branch: Created from topic",
        "Branch: renamed refs/heads/feature/x to refs/heads/feature/y",
    ]
    renamed.compensate()
    made.compensate()
    assert says(hands.root) == before


def test_the_current_branch_is_renamed_and_not_deleted(hands: Hands) -> None:
    before = says(hands.root)
    assert refusal(hands, "sys.git.branch", action="delete", name="main").code == "GIT_BRANCH_IN_USE"
    step = hands.do("sys.git.branch", action="rename", name="main", new_name="trunk")
    assert (hands.root / ".git/HEAD").read_text() == "ref: refs/heads/trunk\n"
    assert hands.read("sys.git.status")["branch"] == "trunk"
    step.compensate()
    assert says(hands.root) == before


def test_refused_branches(hands: Hands) -> None:
    for parameters, code in (
        ({"action": "create", "name": "topic"}, "GIT_REF_EXISTS"),
        ({"action": "create", "name": "topic/x"}, "GIT_REF_EXISTS"),
        ({"action": "create", "name": "x", "start": "nowhere"}, "GIT_REF_MISSING"),
        ({"action": "delete", "name": "nowhere"}, "GIT_REF_MISSING"),
        ({"action": "rename", "name": "topic"}, "GIT_NAME_INVALID"),
        ({"action": "rename", "name": "topic", "new_name": "main"}, "GIT_REF_EXISTS"),
        ({"action": "rename", "name": "nowhere", "new_name": "x"}, "GIT_REF_MISSING"),
    ):
        assert refusal(hands, "sys.git.branch", **parameters).code == code


def test_an_unmerged_branch_needs_force(hands: Hands) -> None:
    repo = pygit2.Repository(str(hands.root))
    (hands.root / ".git/HEAD").write_text("ref: refs/heads/topic\n")
    commit_all(hands.root, {"t": "t"}, "on topic")
    (hands.root / ".git/HEAD").write_text("ref: refs/heads/main\n")
    assert refusal(hands, "sys.git.branch", action="delete", name="topic").code == "GIT_BRANCH_UNMERGED"
    before = says(hands.root)
    step = hands.do("sys.git.branch", action="delete", name="topic", force=True)
    assert "topic" not in repo.branches.local
    step.compensate()
    assert says(hands.root) == before


@needs_git
def test_packed_references_are_known_deleted_and_restored(hands: Hands) -> None:
    git(hands.root, "-c", "user.name=x", "-c", "user.email=x@y", "tag", "-a", "-m", "m", "old")
    git(hands.root, "pack-refs", "--all")
    git(hands.root, "gc", "-q")
    before = says(hands.root)
    step = hands.do("sys.git.branch", action="delete", name="topic")
    assert "topic" not in git(hands.root, "branch", "--list")
    assert git(hands.root, "rev-parse", "old^{}") == git(hands.root, "rev-parse", "main")
    commit = hands.do("sys.git.commit", message="on packed objects")
    assert refusal(hands, "sys.git.tag", name="old").code == "GIT_REF_EXISTS"
    commit.compensate()
    step.compensate()
    assert says(hands.root) == before
    assert git(hands.root, "fsck", "--strict", "--no-dangling") == ""


def test_somebody_elses_work_is_not_taken_back(hands: Hands) -> None:
    """A later commit, something staged, another branch checked out: each is a conflict, and both states are shown."""
    step = hands.do("sys.git.commit", message="mine")
    kept = {path: (hands.root / ".git" / path).read_bytes() for path in ("HEAD", "refs/heads/main", "index")}

    def theirs_commit() -> object:
        return commit_all(hands.root, {"t": "t"}, "theirs")

    def theirs_staged() -> object:
        repo = pygit2.Repository(str(hands.root))
        repo.index.add("docs/new.txt")
        return repo.index.write()

    def theirs_branch() -> object:
        return (hands.root / ".git/HEAD").write_text("ref: refs/heads/topic\n")

    for act in (theirs_commit, theirs_staged, theirs_branch):
        act()
        before = says(hands.root)
        with pytest.raises(RefusedError) as caught:
            step.compensate()
        assert caught.value.code == "COMPENSATION_CONFLICT"
        assert caught.value.details["expected"] != caught.value.details["found"]
        assert says(hands.root) == before
        for path, data in kept.items():
            (hands.root / ".git" / path).write_bytes(data)
    step.compensate()


def test_what_changed_since_the_plan_is_not_overwritten(hands: Hands) -> None:
    step = hands.step("sys.git.commit", message="mine").prepare()
    commit_all(hands.root, {"t": "t"}, "theirs")
    before = says(hands.root)
    with pytest.raises(NoEffectError) as caught:
        step.execute()
    assert caught.value.code == "FILE_CHANGED"
    assert step.reconcile().verdict is Verdict.UNKNOWN
    assert step.reconcile().foreign
    assert says(hands.root) == before


@pytest.mark.parametrize("lock", ["index.lock", "refs/heads/main.lock"])
def test_a_lock_of_somebody_else_is_respected(hands: Hands, lock: str) -> None:
    path = hands.root / ".git" / lock
    path.write_text("somebody is at work\n")
    found = refusal(hands, "sys.git.commit", message="m")
    assert (found.code, found.path) == ("GIT_LOCKED", f".git/{lock}")
    path.unlink()
    hands.do("sys.git.commit", message="m")


@needs_git
@pytest.mark.parametrize(
    "how", [{"action": "delete", "force": True}, {"action": "rename", "new_name": "next"}]
)
def test_a_branch_of_another_work_tree_stays(hands: Hands, how: dict[str, object], tmp_path: Path) -> None:
    """Its files would be of a branch that is not there any more."""
    repo = pygit2.Repository(str(hands.root))
    repo.branches.create("spare", repo.head.peel(pygit2.Commit))
    git(hands.root, "worktree", "add", "-q", str(tmp_path / "other"), "topic")
    git(hands.root, "worktree", "add", "-q", "--detach", str(tmp_path / "loose"))
    (hands.root / ".git/worktrees/stray").touch()
    found = refusal(hands, "sys.git.branch", name="topic", **how)
    assert (found.code, "`other`" in found.message) == ("GIT_BRANCH_IN_USE", True)
    hands.do("sys.git.branch", name="spare", **how).execute()
