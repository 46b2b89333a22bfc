"""A repository that leads elsewhere, is damaged or means no good is refused before anything is read through it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pygit2
import pytest

from assent.invocation import NoEffectError
from tests.support.hands import Hands
from tests.support.repositories import repository, says
from tests.support.repository_hands import (
    around,
    refusal,
)


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
