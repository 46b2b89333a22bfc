"""What the git capabilities do, refuse and take back, on real repositories, and what the git program says of it."""

from __future__ import annotations

import os
from pathlib import Path

import pygit2
import pytest

from assent.capabilities.git._index import left_alone, read_index
from assent.capabilities.git._layout import find_repository
from assent.invocation import NoEffectError
from assent.spec.states import Verdict
from tests.support.hands import Hands
from tests.support.repositories import commit_all, says
from tests.support.repository_hands import (
    NOW_S,
    around,
    furnish,
    git,
    needs_git,
    refusal,
)


def test_status_tells_branch_head_and_changes(hands: Hands) -> None:
    repo = pygit2.Repository(str(hands.root))
    repo.index.add("docs/new.txt")
    repo.index.write()
    found = hands.read("sys.git.status")
    assert (found["branch"], found["head"], found["is_clean"]) == ("main", str(repo.head.target), False)
    assert found["staged"] == [{"path": "docs/new.txt", "change": "new"}]
    assert found["unstaged"] == [
        {"path": "a.txt", "change": "modified"},
        {"path": "docs/c.txt", "change": "deleted"},
    ]
    assert found["untracked"] == ["docs/run.sh"]
    assert found["counts"] == {"staged": 1, "unstaged": 2, "untracked": 1, "ignored": 0}
    short = hands.read("sys.git.status", entries_max=1)
    assert (len(short["unstaged"]), short["counts"]["unstaged"], short["truncated"]) == (1, 2, True)


@needs_git
def test_status_says_what_git_says(hands: Hands) -> None:
    found = hands.read("sys.git.status")
    told = {line[3:]: line[:2] for line in git(hands.root, "status", "--porcelain", "-uall").splitlines()}
    assert {one["path"] for one in found["unstaged"]} == {
        path for path, code in told.items() if code[1] in "MD"
    }
    assert set(found["untracked"]) == {path for path, code in told.items() if code == "??"}


def test_status_of_a_new_and_of_a_detached_repository(hands: Hands, tmp_path: Path) -> None:
    pygit2.init_repository(str(hands.root / "inner"), initial_head="start")
    found = hands.read("sys.git.status", repository="inner")
    assert (found["branch"], found["head"], found["is_clean"]) == ("start", None, True)
    head = says(hands.root)["refs"]
    (hands.root / ".git/HEAD").write_text(f"{head['refs/heads/main']}\n")  # type: ignore[index]  # a mapping
    assert hands.read("sys.git.status")["branch"] is None


def test_the_state_directory_is_not_told(hands: Hands) -> None:
    (hands.root / ".assent/.gitignore").unlink()
    (hands.root / ".assent/secret").write_text("x")
    found = hands.read("sys.git.status")
    assert "assent" not in str(found)


def test_a_commit_of_what_is_tracked(hands: Hands) -> None:
    """As `git commit -a`: changed and deleted files, no new ones; author and time are those of the call."""
    before = says(hands.root)
    step = hands.do("sys.git.commit", message="change things")
    output = step.execute()
    repo = pygit2.Repository(str(hands.root))
    commit = repo[output["commit"]].peel(pygit2.Commit)
    assert (commit.message, str(commit.tree.id)) == ("change things\n", output["tree"])
    assert (commit.author.name, commit.author.email, commit.author.time) == (
        "tester",
        "tester@user.invalid",
        NOW_S,
    )
    assert (output["branch"], output["files_changed"], output["insertions"], output["deletions"]) == (
        "main",
        2,
        1,
        2,
    )
    assert sorted(entry.path for entry in repo.index) == ["a.txt", "docs/b.bin"]
    assert hands.read("sys.git.status")["untracked"] == ["docs/new.txt", "docs/run.sh"]
    assert step.reconcile().verdict is Verdict.YES
    assert step.reconcile().output == output
    step.compensate()
    assert says(hands.root) == before
    step.compensate()
    assert says(hands.root) == before


def test_a_commit_of_paths_takes_new_files_and_leaves_the_rest_staged(hands: Hands) -> None:
    repo = pygit2.Repository(str(hands.root))
    repo.index.add("docs/new.txt")
    repo.index.write()
    (hands.root / ".gitignore").write_text("*.log\n")
    (hands.root / "docs/x.log").write_text("ignored")
    (hands.root / "more/deep").mkdir(parents=True)
    (hands.root / "more/deep/y.txt").write_text("y")
    (hands.root / "more/link").symlink_to("/etc/passwd")
    before = says(hands.root)
    step = hands.do(
        "sys.git.commit", message="m\n\nbody", paths=["a.txt", "more", "docs/run.sh", "docs/c.txt"]
    )
    output = step.execute()
    tree = repo[output["tree"]]
    assert isinstance(tree, pygit2.Tree)
    files = {
        path: int(tree[path].filemode) for path in ("a.txt", "docs/run.sh", "more/deep/y.txt", "more/link")
    }
    assert files == {
        "a.txt": 0o100644,
        "docs/run.sh": 0o100755,
        "more/deep/y.txt": 0o100644,
        "more/link": 0o120000,
    }
    assert "docs/new.txt" not in tree
    assert "docs/c.txt" not in tree
    assert repo[tree["more/link"].id].read_raw() == b"/etc/passwd"
    found = hands.read("sys.git.status")
    assert found["staged"] == [{"path": "docs/new.txt", "change": "new"}]
    assert found["unstaged"] == []
    step.compensate()
    assert says(hands.root) == before


def test_the_first_commit_of_a_new_repository(hands: Hands) -> None:
    root = hands.root / "inner"
    pygit2.init_repository(str(root), initial_head="start")
    (root / "f").write_text("x")
    before = says(root)
    step = hands.do(
        "sys.git.commit",
        repository="inner",
        message="first",
        paths=["inner"],
        author_name="Ä",
        author_email="a@b",
    )
    output = step.execute()
    assert (output["parent"], output["branch"], output["files_changed"]) == (None, "start", 1)
    assert pygit2.Repository(str(root)).head.shorthand == "start"
    step.compensate()
    assert says(root) == before
    assert (
        refusal(hands, "sys.git.commit", repository="inner", message="m", paths=["a.txt"]).code
        == "PATH_ESCAPES"
    )
    assert refusal(hands, "sys.git.tag", repository="inner", name="v").code == "GIT_REF_MISSING"


def test_a_commit_on_a_detached_head(hands: Hands) -> None:
    head = says(hands.root)["refs"]["refs/heads/main"]  # type: ignore[index]  # a mapping
    (hands.root / ".git/HEAD").write_text(f"{head}\n")
    before = says(hands.root)
    step = hands.do("sys.git.commit", message="m")
    assert step.execute()["branch"] is None
    assert says(hands.root)["refs"] == before["refs"]
    step.compensate()
    assert says(hands.root) == before


def test_nothing_to_commit_is_told(hands: Hands) -> None:
    assert refusal(hands, "sys.git.commit", message="m", paths=["docs/b.bin"]).code == "GIT_NOTHING_TO_COMMIT"
    assert refusal(hands, "sys.git.commit", message="m", paths=["gone"]).code == "FILE_NOT_FOUND"
    step = hands.do("sys.git.commit", message="m", paths=["docs/b.bin"], allow_empty=True)
    assert step.execute()["files_changed"] == 0
    step.compensate()


@needs_git
def test_git_agrees_with_a_commit(hands: Hands) -> None:
    """Nothing is broken, the reflogs tell who acted, and after an undo the objects that stay harm nobody."""
    step = hands.do("sys.git.commit", message="subject\n\nbody", paths=["a.txt", "docs"])
    output = step.execute()
    assert git(hands.root, "fsck", "--strict", "--no-dangling") == ""
    assert git(hands.root, "status", "--porcelain") == ""
    assert git(hands.root, "log", "-1", "--format=%H %an %ae %at %s").split(" ", 1)[0] == output["commit"]
    told = git(hands.root, "reflog", "show", "main", "-1")
    assert "commit: subject (assent run step" in told
    assert "assent run step" in git(hands.root, "reflog", "-1")
    # Git has written the index anew meanwhile, with other times and the same content: nobody's change.
    git(hands.root, "update-index", "--refresh")
    step.compensate()
    assert git(hands.root, "fsck", "--strict", "--no-dangling") == ""
    assert "undo: commit: subject" in git(hands.root, "reflog", "show", "main", "-1")
    assert "M a.txt" in git(hands.root, "status", "--porcelain")


def test_a_hook_never_runs(hands: Hands) -> None:
    for name in ("pre-commit", "commit-msg", "post-commit", "prepare-commit-msg", "reference-transaction"):
        hook = hands.root / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {hands.root}/hooked\nexit 1\n")
        hook.chmod(0o755)
    with (hands.root / ".git/config").open("a") as config:
        config.write(f"[core]\n\tfsmonitor = touch {hands.root}/hooked\n")
    hands.read("sys.git.status")
    hands.do("sys.git.commit", message="m")
    hands.do("sys.git.tag", name="v1")
    assert not (hands.root / "hooked").exists()


def test_what_git_would_convert_is_refused(hands: Hands) -> None:
    (hands.root / ".gitattributes").write_text("*.txt text\n*.psd filter=lfs\n*.id ident\n")
    for name, data in (("crlf.txt", "a\r\nb\r\n"), ("big.psd", "x"), ("x.id", "$Id$")):
        (hands.root / name).write_bytes(data.encode())
        found = refusal(hands, "sys.git.commit", message="m", paths=[name])
        assert (found.code, found.path) == ("GIT_FILTER_REFUSED", name)
    with (hands.root / ".git/config").open("a") as config:
        config.write("[core]\n\tautocrlf = true\n")
    (hands.root / "plain").write_bytes(b"a\r\n")
    assert refusal(hands, "sys.git.commit", message="m", paths=["plain"]).code == "GIT_FILTER_REFUSED"
    hands.do("sys.git.commit", message="m", paths=["a.txt"])


def test_a_conflict_or_a_merge_under_way_is_refused(hands: Hands) -> None:
    (hands.root / ".git/MERGE_HEAD").write_text("0" * 40)
    assert refusal(hands, "sys.git.commit", message="m").code == "GIT_BUSY"
    (hands.root / ".git/MERGE_HEAD").unlink()
    repo = pygit2.Repository(str(hands.root))
    commit_all(hands.root, {"a.txt": "mine\n"}, "mine")
    repo.checkout("refs/heads/topic", strategy=pygit2.enums.CheckoutStrategy.FORCE)
    theirs = commit_all(hands.root, {"a.txt": "theirs\n"}, "theirs")
    repo.checkout("refs/heads/main", strategy=pygit2.enums.CheckoutStrategy.FORCE)
    repo.merge(pygit2.Oid(hex=theirs))
    repo.state_cleanup()
    assert refusal(hands, "sys.git.commit", message="m").code == "GIT_BUSY"
    assert hands.read("sys.git.status")["unstaged"] == [{"path": "a.txt", "change": "conflicted"}]


def test_more_than_is_kept_is_refused(tmp_path: Path) -> None:
    furnish(tmp_path / "w").workspace.close()
    small = Hands.on(tmp_path / "w", pre_image_bytes_max=1000)
    small.around = around(tmp_path / "w")
    (tmp_path / "w/large").write_bytes(os.urandom(5000))
    assert refusal(small, "sys.git.commit", message="m", paths=["large"]).code == "PRE_IMAGE_TOO_LARGE"
    small.workspace.close()


def test_a_preview_shows_the_diff_and_touches_nothing(hands: Hands) -> None:
    before = hands.tree()
    shown = hands.preview("sys.git.commit", message="m", paths=["a.txt", "docs"])
    assert shown.diff.startswith("commit on main: 4 files changed, ")
    for line in ("-one", "+two", "new file mode 100755", "deleted file mode 100644"):
        assert line in shown.diff
    assert "new annotated tag v1 -> " in hands.preview("sys.git.tag", name="v1", message="m").diff
    assert "refs/heads/topic: " in hands.preview("sys.git.branch", action="delete", name="topic").diff
    assert hands.tree() == before
    again = hands.preview("sys.git.commit", message="m", paths=["a.txt", "docs"])
    assert again.base == shown.base
    (hands.root / "a.txt").write_text("three\n")
    assert hands.preview("sys.git.commit", message="m", paths=["a.txt", "docs"]).base != shown.base


def test_previews_build_on_each_other(hands: Hands) -> None:
    """A second commit and a tag of it, in the same imaginary world."""
    world = hands.workspace.simulate()
    hands.step("sys.git.commit", message="m").on(world).preview()
    hands.step("io.fs.write_file", path="a.txt", content="three\n").on(world).preview()
    second = hands.step("sys.git.commit", message="m").on(world).preview()
    assert "-two" in second.diff
    assert "new tag v2" in hands.step("sys.git.tag", name="v2").on(world).preview().diff


@needs_git
@pytest.mark.parametrize("version", ["2", "4"])
def test_files_that_git_was_told_to_leave_alone_are_left_alone(hands: Hands, version: str) -> None:
    """A file that is not checked out was not deleted, and one that is assumed to be unchanged is committed by nobody's `-a`."""
    git(hands.root, "update-index", "--index-version", version)
    git(hands.root, "update-index", "--skip-worktree", "docs/c.txt")
    git(hands.root, "update-index", "--assume-unchanged", "a.txt")
    (hands.root / "docs/b.bin").write_bytes(b"other")
    assert hands.read("sys.git.status")["unstaged"] == [{"path": "docs/b.bin", "change": "modified"}]
    flags = git(hands.root, "ls-files", "-v")
    assert flags == "h a.txt\nH docs/b.bin\nS docs/c.txt\n"
    for number, paths in enumerate((None, ["docs/b.bin", "docs/c.txt"], ["."])):
        (hands.root / "docs/b.bin").write_bytes(b"%d" % number)
        step = hands.do("sys.git.commit", message="m", paths=paths)
        step.execute()
        told = git(hands.root, "show", "--name-status", "--format=", "HEAD").splitlines()
        assert [line for line in told if not line.startswith("A")] == ["M\tdocs/b.bin"], paths
        assert set(flags.splitlines()) <= set(git(hands.root, "ls-files", "-v").splitlines())
        step.compensate()
        assert git(hands.root, "ls-files", "-v") == flags
    hands.do("sys.git.commit", message="by its name", paths=["a.txt"]).execute()
    assert git(hands.root, "show", "--name-status", "--format=", "HEAD") == "M\ta.txt\n"


@needs_git
def test_flags_are_found_behind_names_of_every_length(hands: Hands) -> None:
    """Names are padded in one version of the index and share their beginnings in another."""
    names = ["n" * length for length in range(1, 20)] + ["x/" + "y" * 200, "x/" + "y" * 190 + "z", "x/a"]
    for name in names:
        (hands.root / name).parent.mkdir(exist_ok=True)
        (hands.root / name).touch()
    git(hands.root, "add", "-A")
    git(hands.root, "update-index", "--skip-worktree", *names[::2])
    git(hands.root, "update-index", "--assume-unchanged", *names[::3])
    repository = find_repository(hands.step("sys.git.status").context, ".")
    for version in ("3", "4"):
        git(hands.root, "update-index", "--index-version", version)
        data = read_index(repository.files, ".git")
        assert data is not None
        assert left_alone(repository, data) == {*names[::2], *names[::3]}
        with pytest.raises(NoEffectError) as caught:
            left_alone(repository, data[: len(data) // 3])
        assert caught.value.code == "GIT_UNREADABLE"
    assert left_alone(repository, None) == frozenset()


@pytest.mark.parametrize("what", ["the tree", "a folder in it", "a file in it"])
def test_an_object_that_is_missing_is_told(hands: Hands, what: str) -> None:
    """A clone may have been made without all contents, and a disk may have lost some."""
    tree = pygit2.Repository(str(hands.root)).head.peel(pygit2.Commit).tree
    name = str({"the tree": tree, "a folder in it": tree["docs"], "a file in it": tree["a.txt"]}[what].id)
    (hands.root / ".git/objects" / name[:2] / name[2:]).unlink()
    assert refusal(hands, "sys.git.commit", message="m").code == "GIT_UNREADABLE"
    with pytest.raises(NoEffectError) as caught:
        hands.preview("sys.git.commit", message="m")
    assert caught.value.code == "GIT_UNREADABLE"


@pytest.mark.parametrize(
    "name", ["refs/heads/main\n\nmore", "refs/heads/../../x", "refs/heads/a..b", "refs/"]
)
def test_a_head_that_names_what_is_no_reference_is_not_followed(hands: Hands, name: str) -> None:
    (hands.root / ".git/HEAD").write_text(f"ref: {name}\n")
    assert refusal(hands, "sys.git.commit", message="m").code == "GIT_UNREADABLE"
