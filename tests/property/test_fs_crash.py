"""Kill the process at every change that a file capability makes: recovery and undo must find their way from there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assent.spec.states import Verdict
from tests.support.archives import TarEntry, tar_of
from tests.support.hands import Hands, Killed, MortalFiles, PlainWorld, Step, TreeState, without_times

_TREE = tar_of(TarEntry(name=b"d/e/one", data=b"1" * 99), TarEntry(name=b"d/two", mode=0o755, data=b"2"))


def _furnish(root: Path) -> None:
    (root / "docs" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "docs" / "a.txt").write_bytes(b"alpha\n" * 5)
    (root / "docs" / "deep" / "b.bin").write_bytes(bytes(range(256)))
    (root / "docs" / "zero").write_bytes(b"")
    (root / "docs" / "link").symlink_to("deep/b.bin")
    (root / "plain.txt").write_bytes(b"plain")
    (root / "tree.tar").write_bytes(_TREE)
    (root / "docs" / "a.txt").chmod(0o640)
    (root / "docs" / "deep").chmod(0o750)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(10**18, 10**18 + number), follow_symlinks=False)
    os.utime(root, ns=(10**18, 10**18))


MAKE: dict[str, Callable[[Hands], Step]] = {
    "write a new file": lambda h: h.step(
        "io.fs.write_file", path="x/y/new.txt", content="n" * 50, create_dirs=True
    ),
    "write over a file": lambda h: h.step("io.fs.write_file", path="docs/a.txt", content="other"),
    "write bytes": lambda h: h.step(
        "io.fs.write_bytes", path="plain.txt", content_base64="AAEC", overwrite=True
    ),
    "make folders": lambda h: h.step("io.fs.make_dir", path="m/n/o", parents=True),
    "delete a file": lambda h: h.step("io.fs.delete", path="plain.txt"),
    "delete a tree": lambda h: h.step("io.fs.delete", path="docs", recursive=True),
    "delete a link": lambda h: h.step("io.fs.delete", path="docs/link"),
    "delete an empty folder": lambda h: h.step("io.fs.delete", path="empty"),
    "move a tree": lambda h: h.step("io.fs.move", source="docs", destination="empty/docs"),
    "move over a file": lambda h: h.step(
        "io.fs.move", source="plain.txt", destination="docs/a.txt", overwrite=True
    ),
    "copy a file": lambda h: h.step("io.fs.copy", source="plain.txt", destination="copy.txt"),
    "copy over a file": lambda h: h.step(
        "io.fs.copy", source="plain.txt", destination="docs/a.txt", overwrite=True
    ),
    "pack a tree": lambda h: h.step(
        "sys.archive.pack", sources=["docs/deep"], destination="x/new.tar.gz", create_dirs=True
    ),
    "pack over a file": lambda h: h.step(
        "sys.archive.pack", sources=["docs/deep"], destination="plain.txt", format="zip", overwrite=True
    ),
    "unpack a tree": lambda h: h.step(
        "sys.archive.unpack", source="tree.tar", destination="x/y", create_dirs=True
    ),
    "copy a tree": lambda h: h.step("io.fs.copy", source="docs", destination="copied"),
}
DIFF = """\
diff --git a/docs/a.txt b/docs/a.txt
--- a/docs/a.txt
+++ b/docs/a.txt
@@ -1,5 +1,4 @@
-alpha
+beta
 alpha
 alpha
 alpha
-alpha
diff --git a/new/deep/made b/new/deep/made
new file mode 100755
--- /dev/null
+++ b/new/deep/made
@@ -0,0 +1 @@
+made
diff --git a/plain.txt b/empty/moved.txt
rename from plain.txt
rename to empty/moved.txt
--- a/plain.txt
+++ b/empty/moved.txt
@@ -1 +1 @@
-plain
\\ No newline at end of file
+moved
diff --git a/docs/zero b/docs/zero
deleted file mode 100644
"""
MAKE["apply a diff"] = lambda h: h.step("io.fs.patch", diff=DIFF)
WHENS = ["before", "within", "after"]
DEATHS_MAX = 40


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[[], Hands]]:
    made: list[Hands] = []

    def make() -> Hands:
        root = tmp_path / f"w{len(made)}"
        root.mkdir()
        (root / ".assent").mkdir()
        _furnish(root)
        made.append(Hands.on(root))
        return made[-1]

    yield make
    for hands in made:
        hands.workspace.close()


def _die(hands: Hands, step: Step, part: Callable[[Step], object], at: int, when: str) -> bool:
    mortal = MortalFiles(hands.workspace.files, hands.root, dies_at=at, when=when)
    try:
        part(step.on(PlainWorld(mortal)))
    except Killed:
        return True
    return False


def _expected(fresh: Callable[[], Hands], name: str) -> TreeState:
    hands = fresh()
    MAKE[name](hands).prepare().execute()
    return hands.tree()


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("name", MAKE)
def test_killed_in_execute_it_is_completed(fresh: Callable[[], Hands], name: str, when: str) -> None:
    """Whatever a kill leaves, `reconcile` knows it as ours, and running again gives the whole effect once."""
    wanted = without_times(_expected(fresh, name))
    for at in range(1, DEATHS_MAX):
        hands = fresh()
        step = MAKE[name](hands).prepare()
        died = _die(hands, step, Step.execute, at, when)
        answer = step.reconcile()
        # What is left of it besides the two states is ours all the same, and running again completes it.
        assert answer.verdict is not Verdict.UNKNOWN or answer.is_repeatable, f"change {at}"
        assert not answer.foreign
        output = step.execute()
        if answer.verdict is Verdict.YES:
            assert answer.output == output
        assert step.reconcile().verdict is Verdict.YES
        assert without_times(hands.tree()) == wanted, f"change {at}"
        if not died:
            return
    pytest.fail("the effect never ended")


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("name", MAKE)
def test_killed_in_execute_it_is_taken_back(fresh: Callable[[], Hands], name: str, when: str) -> None:
    """Undo restores content, modes and times byte for byte from every state that a kill leaves."""
    for at in range(1, DEATHS_MAX):
        hands = fresh()
        before = hands.tree()
        step = MAKE[name](hands).prepare()
        died = _die(hands, step, Step.execute, at, when)
        step.compensate()
        assert hands.tree() == before, f"change {at}"
        step.compensate()
        assert hands.tree() == before, "a second time"
        if not died:
            return
    pytest.fail("the effect never ended")


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("name", MAKE)
def test_killed_in_compensate_it_is_taken_back(fresh: Callable[[], Hands], name: str, when: str) -> None:
    """An undo that was itself killed is completed by the next one."""
    for at in range(1, DEATHS_MAX):
        hands = fresh()
        before = hands.tree()
        step = MAKE[name](hands).prepare()
        step.execute()
        died = _die(hands, step, Step.compensate, at, when)
        step.compensate()
        assert hands.tree() == before, f"change {at}"
        if not died:
            return
    pytest.fail("the undo never ended")
