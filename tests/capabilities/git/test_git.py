"""What the git capabilities do, refuse and take back, on real repositories, and what the git program says of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pygit2
import pytest

from assent.capabilities.git import GitHome
from assent.errors import AssentError, RefusedError
from assent.invocation import GlobalContext, NoEffectError
from assent.invocation.context import Surroundings
from assent.spec.states import Verdict
from assent.system import spawn
from tests.support.hands import Hands, Killed, MortalFiles, PlainWorld, Step, tree_of, without_times
from tests.support.repositories import GIT, commit_all, repository, says

needs_git = pytest.mark.skipif(GIT is None, reason="this machine has no git to compare with")
NOW_S = 1_800_000_000
FILES: dict[str, str | bytes] = {"a.txt": "one\n", "docs/b.bin": bytes(range(256)), "docs/c.txt": "see\n"}


class Noon:
    """A clock that stands still."""

    def now_ms(self) -> int:
        return NOW_S * 1000 + 123

    def monotonic_ms(self) -> int:
        return 0


def around(root: Path) -> Surroundings:
    made = Surroundings()
    made.app = GlobalContext(clock=Noon(), spawn=spawn)
    made.app.register(GitHome, GitHome(root))
    return made


def furnish(root: Path) -> Hands:
    """A workspace that is a repository: one commit, a branch, and a change of each kind."""
    root.mkdir(exist_ok=True)
    repo = repository(root, FILES)
    repo.branches.create("topic", repo.head.peel(pygit2.Commit))
    (root / "a.txt").write_text("two\n")
    (root / "docs/c.txt").unlink()
    (root / "docs/new.txt").write_text("new\n")
    (root / "docs/run.sh").write_text("#!/bin/sh\n")
    (root / "docs/run.sh").chmod(0o755)
    hands = Hands.on(root)
    (root / ".assent/.gitignore").write_text("*\n")
    hands.around = around(root)
    return hands


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    made = furnish(tmp_path / "w")
    yield made
    made.workspace.close()


def refusal(hands: Hands, capability: str, **parameters: Any) -> AssentError:
    before = outline(hands.root)
    with pytest.raises(NoEffectError) as caught:
        hands.read(capability, **parameters) if capability.endswith("status") else hands.do(
            capability, **parameters
        )
    assert outline(hands.root) == before
    return caught.value


def outline(root: Path) -> dict[str, tuple[str, int, bytes]]:
    """All files; objects may come and stay, for nothing refers to them."""
    found = without_times(tree_of(root))
    return {path: state for path, state in found.items() if "/objects/" not in path}


def git(root: Path, *words: str) -> str:
    """What the git program prints; it reads no configuration but the repository's."""
    assert GIT is not None
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        [GIT, "-C", root, *words],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- status -----------------------------------------------------------------------------------------------------------------


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


# -- commit -----------------------------------------------------------------------------------------------------------------


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


# -- tags and branches ------------------------------------------------------------------------------------------------------


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


# -- others in the same repository ------------------------------------------------------------------------------------------


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


# -- confinement ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[include]\n\tpath = other\n",
        "[ Include ] path = x\n",
        '[includeIf "onbranch:main"]\npath = /etc/x\n',
        "[core]\n\tworktree = ..\n",
        "[core] WorkTree = ..\n",
        "[core]\n\twork\\\ntree = ..\n",
        "[core]\n\texcludesFile = /etc/passwd\n",
        "[core]\n\tattributesfile = ~/x\n",
        "[extensions]\n\tworktreeConfig = true\n",
        "[extensions]\n\trefStorage = reftable\n",
        "[extensions]\n\tobjectFormat = sha256\n",
        "[core]\n\tbare = true\n",
        "[core] bare\n",
        "x" * ((1 << 20) + 1),
    ],
)
def test_a_configuration_that_leads_elsewhere_is_refused(hands: Hands, text: str) -> None:
    with (hands.root / ".git/config").open("a") as config:
        config.write(text)
    for capability, parameters in (
        ("sys.git.status", {}),
        ("sys.git.commit", {"message": "m"}),
        ("sys.git.tag", {"name": "v"}),
        ("sys.git.branch", {"action": "create", "name": "b"}),
    ):
        assert refusal(hands, capability, **parameters).code == "GIT_LAYOUT_REFUSED"


@pytest.mark.parametrize(
    "name",
    [
        "HEAD",
        "config",
        "index",
        "objects",
        "objects/pack",
        "objects/info",
        "refs",
        "refs/heads",
        "info/exclude",
        "info",
    ],
)
def test_a_link_in_the_place_of_a_part_is_refused(hands: Hands, tmp_path: Path, name: str) -> None:
    part = hands.root / ".git" / name
    part.parent.mkdir(exist_ok=True)
    if part.exists():
        part.rename(tmp_path / "aside")
    else:
        (tmp_path / "aside").mkdir()
    part.symlink_to(tmp_path / "aside")
    with pytest.raises(NoEffectError) as caught:
        hands.read("sys.git.status")
    assert caught.value.code in ("GIT_LAYOUT_REFUSED", "PATH_ESCAPES")


def test_other_layouts_are_refused(hands: Hands, tmp_path: Path) -> None:
    for name in ("commondir", "config.worktree", "objects/info/alternates"):
        path = hands.root / ".git" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("../elsewhere\n")
        assert refusal(hands, "sys.git.status").code == "GIT_LAYOUT_REFUSED"
        path.unlink()
    (hands.root / ".git/objects/pack").mkdir(exist_ok=True)
    (hands.root / ".git/objects/pack/x.pack").symlink_to("/etc/passwd")
    assert refusal(hands, "sys.git.status").code == "GIT_LAYOUT_REFUSED"
    (hands.root / ".git/objects/pack/x.pack").unlink()
    (hands.root / "inner").mkdir()
    assert refusal(hands, "sys.git.status", repository="inner").code == "GIT_MISSING"
    (hands.root / "inner/.git").mkdir()
    assert refusal(hands, "sys.git.status", repository="inner").code == "GIT_MISSING"
    repository(hands.root / "docs/nested", {"f": "x"})
    assert refusal(hands, "sys.git.commit", message="m", paths=["docs"]).code == "GIT_LAYOUT_REFUSED"


def test_a_submodule_stays_as_it_is_and_is_not_entered(hands: Hands) -> None:
    repo = pygit2.Repository(str(hands.root))
    repo.index.add(
        pygit2.IndexEntry("sub", pygit2.Oid(hex=str(repo.head.target)), pygit2.enums.FileMode.COMMIT)
    )
    repo.index.write()
    (hands.root / "sub").mkdir()
    output = hands.do("sys.git.commit", message="m").execute()
    tree = repo[output["tree"]]
    assert isinstance(tree, pygit2.Tree)
    assert int(tree["sub"].filemode) == 0o160000
    (hands.root / "sub/.git").write_text("gitdir: /elsewhere\n")
    assert refusal(hands, "sys.git.status").code == "GIT_LAYOUT_REFUSED"


def test_a_damaged_repository_is_told(hands: Hands) -> None:
    (hands.root / ".git/refs/heads/main").write_text("no id\n")
    assert refusal_code(hands, "sys.git.commit", message="m") == "GIT_UNREADABLE"
    (hands.root / ".git/refs/heads/main").write_text("1" * 40 + "\n")
    assert refusal_code(hands, "sys.git.commit", message="m") == "GIT_UNREADABLE"
    (hands.root / ".git/index").write_bytes(b"DIRC nothing")
    assert refusal_code(hands, "sys.git.commit", message="m") == "GIT_UNREADABLE"
    assert refusal_code(hands, "sys.git.status") == "GIT_UNREADABLE"


def refusal_code(hands: Hands, capability: str, **parameters: Any) -> str:
    with pytest.raises(NoEffectError) as caught:
        hands.read(capability, **parameters) if capability.endswith("status") else hands.do(
            capability, **parameters
        )
    return caught.value.code


def test_a_foreign_loose_object_is_not_believed(hands: Hands) -> None:
    head = says(hands.root)["refs"]["refs/heads/main"]  # type: ignore[index]  # a mapping
    path = hands.root / ".git/objects" / head[:2] / head[2:]
    path.chmod(0o644)
    path.write_bytes(b"no object")
    assert refusal_code(hands, "sys.git.commit", message="m") == "GIT_UNREADABLE"


def test_configuration_of_user_and_machine_does_not_count(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".config/git").mkdir(parents=True)
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Global\n[core]\n\tautocrlf = true\n\texcludesFile = ~/.config/git/ignore\n"
    )
    (home / "ignore").write_text("*.txt\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setattr(pygit2.settings, "homedir", str(home))
    assert "docs/new.txt" in hands.read("sys.git.status")["untracked"]
    output = hands.do("sys.git.commit", message="m").execute()
    assert pygit2.Repository(str(hands.root))[output["commit"]].peel(pygit2.Commit).author.name == "tester"


# -- killed at each change --------------------------------------------------------------------------------------------------

MAKE: dict[str, Callable[[Hands], Step]] = {
    "commit": lambda h: h.step("sys.git.commit", message="m", paths=["a.txt", "docs"]),
    "tag": lambda h: h.step("sys.git.tag", name="x/v1", message="m"),
    "create": lambda h: h.step("sys.git.branch", action="create", name="x/y"),
    "delete": lambda h: h.step("sys.git.branch", action="delete", name="topic"),
    "rename": lambda h: h.step("sys.git.branch", action="rename", name="main", new_name="trunk"),
}


def _die(hands: Hands, step: Step, part: Callable[[Step], object], at: int, when: str) -> bool:
    mortal = MortalFiles(hands.workspace.files, hands.root, dies_at=at, when=when)
    try:
        part(step.on(PlainWorld(mortal)))
    except Killed:
        return True
    return False


def _pack(root: Path) -> None:
    """Let all references be packed ones, as after a garbage collection."""
    refs = dict(sorted((name, value) for name, value in says(root)["refs"].items()))  # type: ignore[attr-defined]  # a mapping
    (root / ".git/packed-refs").write_text("".join(f"{value} {name}\n" for name, value in refs.items()))
    for name in refs:
        (root / ".git" / name).unlink()


@pytest.mark.parametrize("name", MAKE)
def test_killed_anywhere_it_is_completed_or_taken_back(tmp_path: Path, name: str) -> None:
    """Whatever a kill leaves is recognised: what is begun can be completed, and taken back, and no lock stays."""
    wanted = None
    for at in range(1, 60):
        hands = furnish(tmp_path / f"w{at}")
        if name == "delete":
            _pack(hands.root)
        before = says(hands.root)
        step = MAKE[name](hands).prepare()
        when = ("before", "within", "after")[at % 3]
        died = _die(hands, step, Step.execute, at, when)
        if at % 2:
            answer = step.reconcile()
            # A run that stops takes back what is unknown, and leaves what is answered `no` as it is.
            assert answer.is_repeatable == (answer.verdict is Verdict.UNKNOWN), f"change {at}"
            assert answer.verdict is not Verdict.NO or says(hands.root) == before, f"change {at}"
            output = step.execute()
            assert answer.output in (output, None)
            assert step.reconcile().verdict is Verdict.YES
            found = says(hands.root)
            wanted = wanted or found
            assert found == wanted, f"change {at}"
            _die(hands, step, Step.compensate, at // 2 + 1, when)
        step.compensate()
        assert says(hands.root) == before, f"change {at}"
        hands.workspace.close()
        if not died:
            return
    pytest.fail("the effect never ended")


# -- a repository that means no good ------------------------------------------------------------------------------------------


def bomb(root: Path, *, width: int, depth: int) -> None:
    """A repository whose commit holds `width ** depth` files, in a few objects, and whose index is empty."""
    repo = pygit2.init_repository(root)
    kind, name = pygit2.enums.FileMode.BLOB, repo.create_blob(b"boom")
    for _ in range(depth):
        builder = repo.TreeBuilder()
        for number in range(width):
            builder.insert(f"d{number}", name, kind)
        kind, name = pygit2.enums.FileMode.TREE, builder.write()
    me = pygit2.Signature("a", "a@example.org", 0, 0)
    repo.create_commit("refs/heads/main", me, me, "boom", name, [])
    repo.set_head("refs/heads/main")


@pytest.mark.parametrize(("width", "depth"), [(10, 11), (1, 300)])
def test_a_repository_that_unfolds_is_refused_before_it_does(tmp_path: Path, width: int, depth: int) -> None:
    """A hundred thousand million files in a dozen objects, or folders in folders: counted, and nobody walks through them."""
    bomb(tmp_path, width=width, depth=depth)
    (tmp_path / "a.txt").write_text("one\n")
    hands = Hands.on(tmp_path)
    hands.around = around(tmp_path)
    before = hands.tree()
    looking = hands.step("sys.git.status").execute
    committing = hands.step("sys.git.commit", message="m", paths=["a.txt"]).prepare
    for part in (looking, committing):
        with pytest.raises(NoEffectError, match="more than 1000000 entries") as refused:
            part()
        assert refused.value.code == "GIT_UNREADABLE"
    assert hands.tree() == before
    hands.workspace.close()
