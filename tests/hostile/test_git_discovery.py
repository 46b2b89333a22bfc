"""Whatever capabilities, archives and programs make, git finds no repository in it that was not one before."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shutil
import subprocess
import tarfile
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assent import Runtime
from assent.errors import AssentError
from assent.invocation import NoEffectError
from assent.sandbox import Sandbox
from tests.support.hands import Hands, Step
from tests.support.plugins import interpreter_kept
from tests.support.workers import Stage, plugin_of, staged

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

REF: Final = "ref: refs/heads/main\n"
SHA: Final = f"{'0' * 40}\n"
KEPT: Final = {"objects/keep": "", "refs/keep": ""}

EVIL: Final[tuple[dict[str, str], ...]] = (
    {f"a/{path}": text for path, text in {"HEAD": REF, **KEPT, "config": ""}.items()},
    {f"a/{path}": text for path, text in {"HEAD": SHA, **KEPT}.items()},
    {
        "a/HEAD": REF,
        "a/commondir": "../b",
        **{f"b/{path}": text for path, text in KEPT.items()},
        "b/config": "",
    },
    {"a/HEAD": SHA, "a/commondir": "../b\n", "a/config.worktree": "", **{f"b/{path}": "" for path in KEPT}},
    {
        "a/HEAD": f"  {REF}".replace("  ref:", "ref:  "),
        "a/commondir": "x/..",
        "a/x/y": "",
        "a/objects/k": "",
        "a/refs/k": "",
    },
    {"HEAD": REF, **KEPT, "config": ""},
    {f"a/.git/{path}": text for path, text in {"HEAD": REF, **KEPT, "config": ""}.items()},
    {"a/.git": "gitdir: ../b\n", "b/HEAD": REF, **{f"b/{path}": text for path, text in KEPT.items()}},
    {"a/.git": "gitdir: ../b", "b/HEAD": REF, "b/commondir": "../c", **{f"c/{path}": "" for path in KEPT}},
)
"""What git takes for a repository."""

BARE: Final = tuple(tree for tree in EVIL if not any(".git" in path for path in tree))


def found_by_git(root: Path) -> list[str]:
    """The folders in which git would go by what stands in them."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(root / "nobody"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(root.parent),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    return [
        folder
        for folder, _, _ in os.walk(root)
        if ".assent" not in folder
        and subprocess.run(
            ["git", "rev-parse", "--git-dir"], cwd=folder, env=environ, capture_output=True, check=False
        ).returncode
        == 0
    ]


def write(root: Path, tree: dict[str, str]) -> None:
    for path, text in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def packed(tree: dict[str, str]) -> bytes:
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w") as archive:
        for path, text in tree.items():
            member = tarfile.TarInfo(path)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return kept.getvalue()


@pytest.mark.parametrize("tree", EVIL)
def test_no_order_of_making_it_makes_a_repository(tmp_path: Path, tree: dict[str, str]) -> None:
    """Written, moved, copied or patched into place; the last part, whichever it is, is refused."""
    plain = tmp_path / "plain"
    write(plain, tree)
    assert found_by_git(plain), "git does not take this for a repository"
    for number, order in enumerate([*permutations(tree)][:: max(1, len(tree) * 4)]):
        root = tmp_path / f"work{number}"
        root.mkdir()
        hands = Hands.on(root)
        codes = set()
        for place, path in enumerate(order):
            made = {"path": path, "content": tree[path], "create_dirs": True}
            if place % 3 == 0:
                codes.add(str(hands.attempt("io.fs.write_file", **made)))
                continue
            (root / "part").write_text(tree[path])
            above = str(Path(path).parent)
            codes.add(str(hands.attempt("io.fs.make_dir", path=above, parents=True, exist_ok=True)))
            how = ("io.fs.copy", "io.fs.move")[place % 2]
            codes.add(str(hands.attempt(how, source="part", destination=path)))
        assert "PATH_PROTECTED" in codes, order
        assert found_by_git(root) == [], order
        hands.workspace.close()


@pytest.mark.parametrize("tree", EVIL)
def test_no_archive_and_no_patch_brings_one(tmp_path: Path, tree: dict[str, str]) -> None:
    hands = Hands.on(tmp_path)
    (tmp_path / "x.tar").write_bytes(packed(tree))
    refused = {"PATH_PROTECTED", "ARCHIVE_NAME_REFUSED"}
    assert hands.attempt("sys.archive.unpack", source="x.tar", destination="out") in refused
    diff = "".join(
        f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{text.strip() or 'x'}\n" for path, text in tree.items()
    )
    assert hands.attempt("io.fs.patch", diff=diff) == "PATH_PROTECTED"
    assert found_by_git(tmp_path) == []
    hands.workspace.close()


def part_of(path: str) -> str:
    """What of a repository's folder a path makes: `objects` and `refs` as a whole."""
    return re.sub("((?:^|/)(?:objects|refs))/.*", r"\1", path)


@pytest.mark.parametrize("tree", BARE)
def test_none_is_completed_by_calls_that_were_all_planned_before(
    tmp_path: Path, tree: dict[str, str]
) -> None:
    hands, steps, codes = Hands.on(tmp_path), list[Step](), set[str]()
    for path, text in tree.items():
        part = part_of(path)
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        making: dict[str, Any] = {"path": part} if part != path else {"path": path, "content": text}
        steps.append(hands.step("io.fs.make_dir" if part != path else "io.fs.write_file", **making).prepare())
    for step in steps:
        try:
            step.execute()
        except NoEffectError as error:
            codes.add(error.code)
    assert codes == {"PATH_PROTECTED"}
    assert found_by_git(tmp_path) == []
    hands.workspace.close()


@pytest.mark.parametrize("tree", BARE)
def test_no_undo_brings_back_what_completes_one(tmp_path: Path, tree: dict[str, str]) -> None:
    """Each part is moved away when nothing else is there yet, and comes back when all else is."""
    for number, back in enumerate(tree):
        root = tmp_path / f"work{number}"
        write(root, {back: tree[back]})
        hands = Hands.on(root)
        moved = hands.do("io.fs.move", source=part_of(back), destination="away")
        for path, text in tree.items():
            if path != back:
                hands.attempt("io.fs.write_file", path=path, content=text, create_dirs=True)
        with suppress(NoEffectError):
            moved.compensate()
        assert found_by_git(root) == []
        hands.workspace.close()


PLUGIN: Final = '''\
"""Makes files."""

from assent import LocalContext, capability


@capability("sample.make", operation="WRITE", risk="CRITICAL")
def make(context: LocalContext, path: str, text: str, how: str) -> None:
    """Make a file, and the folders on the way."""
    files, parts = context.world.files, path.split("/")
    for folder in ("/".join(parts[:length]) for length in range(1, len(parts))):
        if files.stat(folder) is None:
            files.make_dir(folder)
    if how == "write":
        files.write(path, [text.encode()], key=context.key)
    elif how == "link":
        files.make_link(path, "anything")
    else:
        files.write("part", [text.encode()], key=context.key)
        files.rename("part", path, replace=True)
'''


def test_no_plugin_makes_one(tmp_path: Path) -> None:
    hows = ("write", "rename", "link")

    async def made(stage: Stage, tree: dict[str, str], first: int) -> set[str]:
        codes = set()
        for place, (path, text) in enumerate(tree.items(), first):
            try:
                await stage.execute("sample.make", {"path": path, "text": text, "how": hows[place % 3]})
            except AssentError as error:
                codes.add(error.code)
        return codes

    with interpreter_kept(), staged(tmp_path, plugin_of(PLUGIN)) as stage:
        for number, tree in enumerate(EVIL):
            there = {f"{number}/{path}": text for path, text in tree.items()}
            assert "PATH_PROTECTED" in asyncio.run(made(stage, there, number)), tree
        assert found_by_git(stage.root) == []
        (stage.root / ".git/hooks").mkdir(parents=True)
        for first, path in enumerate(
            (".git/config", ".git/hooks/pre-commit", ".git/commondir", ".git/modules/x")
        ):
            assert asyncio.run(made(stage, {path: ""}, first)) == {"PATH_PROTECTED"}


async def test_no_program_brings_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing on this machine confines programs")
    monkeypatch.setenv("HOME", str(tmp_path))
    work = tmp_path / "work"
    work.mkdir()
    (work / "assent.toml").write_text('policy = "policy.yaml"\n[exec.rules.shell]\nprograms = ["sh"]\n')
    (work / "policy.yaml").write_text(
        'version: 1\nrules: [{id: a, when: {principal: "user:*"}, decision: ALLOW, without_approval: true, reason: none}]\n'
    )
    (work / "policy.yaml").chmod(0o600)
    async with Runtime.open(work) as rt:
        for tree in EVIL:
            line = "; ".join(
                f"mkdir -p $(dirname {path}); printf '{text}' > {path}" for path, text in tree.items()
            )
            ran = await rt.call("sys.exec.run_captured", {"argv": ["sh", "-c", line.replace("\n", "\\n")]})
            assert ran.status == "failed", tree
            assert ran.error is not None
            assert ran.error["code"] == "PATH_PROTECTED", ran.error
        assert found_by_git(work) == []


NAMES: Final = ("HEAD", "objects", "refs", "commondir", "config", "head", ".git", ".GIT", "git~1", "x")
FOLDERS: Final = (".", "a", "b", "a/b")
TEXTS: Final = (REF, SHA, "../b", "../a\n", ".", "gitdir: ../b\n", "gitdir: b", "")
places: Final = st.builds(
    lambda folder, name: f"{folder}/{name}", st.sampled_from(FOLDERS), st.sampled_from(NAMES)
)
acts: Final = st.one_of(
    st.tuples(
        st.just("io.fs.write_file"),
        st.fixed_dictionaries({"path": places, "content": st.sampled_from(TEXTS)}),
    ),
    st.tuples(st.just("io.fs.make_dir"), st.fixed_dictionaries({"path": places})),
    st.tuples(st.just("io.fs.move"), st.fixed_dictionaries({"source": places, "destination": places})),
    st.tuples(st.just("io.fs.copy"), st.fixed_dictionaries({"source": places, "destination": places})),
    st.tuples(
        st.just("io.fs.move"),
        st.fixed_dictionaries({"source": st.sampled_from(FOLDERS), "destination": places}),
    ),
    st.tuples(st.just("io.fs.delete"), st.fixed_dictionaries({"path": places})),
    st.tuples(st.just("undo"), st.fixed_dictionaries({"of": st.integers(0, 9)})),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(acts, min_size=4, max_size=24))
def test_no_story_of_calls_and_undos_makes_one(story: list[tuple[str, dict[str, Any]]]) -> None:
    """By git's own word."""
    with TemporaryDirectory() as folder:
        root = Path(folder) / "work"
        root.mkdir()
        hands, done = Hands.on(root), list[Step]()
        for capability, given_ in story:
            if capability == "undo":
                with suppress(AssentError):  # a conflict, which changes nothing
                    done.pop(given_["of"] % len(done)).compensate() if done else None
                continue
            more = {"create_dirs": True} if capability == "io.fs.write_file" else {}
            more |= {"parents": True} if capability == "io.fs.make_dir" else {}
            more |= {"recursive": True} if capability == "io.fs.delete" else {}
            step = hands.attempt(capability, **given_, **more)
            if isinstance(step, Step):
                done.append(step)
        assert found_by_git(root) == []
        hands.workspace.close()
