"""A unified diff is applied whole or not at all, exactly where it fits, and taken back byte for byte."""

from __future__ import annotations

import difflib
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unidiff.patch import PatchSet

from assent.capabilities.fs._patch import PATCHED_BYTES_MAX
from assent.capabilities.fs._unified import apply_hunks, read_diff
from assent.errors import RefusedError, WorldError
from assent.invocation import NoEffectError
from assent.spec.states import Verdict
from tests.support.hands import Hands, PlainWorld
from tests.support.seeds import examples

POEM = "".join(f"line {number}\n" for number in range(1, 41))


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "poem.txt").write_text(POEM)
    (tmp_path / "src" / "tool.sh").write_text("#!/bin/sh\necho hi\n")
    (tmp_path / "src" / "tool.sh").chmod(0o750)
    (tmp_path / "bare").write_text("no end")
    made = Hands.on(tmp_path)
    yield made
    made.workspace.close()


def diff_of(old: str, new: str, path: str = "src/poem.txt", context: int = 3) -> str:
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{path}", f"b/{path}", n=context
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def test_a_diff_that_deletes_is_refused_where_it_may_not(hands: Hands) -> None:
    """A policy can then ask a person for what says that it may, by `inputs.deletions`."""
    gone = "--- a/bare\n+++ /dev/null\n@@ -1 +0,0 @@\n-no end\n\\ No newline at end of file\n"
    renamed = "diff --git a/bare b/new\nsimilarity index 100%\nrename from bare\nrename to new\n"
    error = refused(hands, diff=gone, deletions=False)
    assert (error.code, error.path, error.details) == ("DIFF_DELETES", "diff:1", {"files": ["bare"]})
    hands.do("io.fs.patch", diff=renamed, deletions=False).compensate()
    hands.do("io.fs.patch", diff=gone).compensate()
    assert (hands.root / "bare").read_text() == "no end"


def refused(hands: Hands, **parameters: Any) -> NoEffectError:
    """The refusal, which left the workspace as it was."""
    before = hands.tree()
    step = hands.step("io.fs.patch", **parameters)
    with pytest.raises(NoEffectError) as caught:
        step.prepare()
    assert hands.tree() == before
    with pytest.raises(NoEffectError) as previewed:
        step.on(hands.workspace.simulate()).preview()
    assert previewed.value.to_dict() == caught.value.to_dict()
    return caught.value


def test_several_files_change_at_once_and_come_back(hands: Hands) -> None:
    """Changed, added, deleted and renamed files; the output tells each, the preview shows them, undo restores every byte."""
    diff = (
        diff_of(POEM, POEM.replace("line 7\n", "seven\n").replace("line 30\n", ""))
        + "diff --git a/src/tool.sh b/bin/tool\n"
        + "similarity index 80%\nrename from src/tool.sh\nrename to bin/tool\n"
        + "--- a/src/tool.sh\n+++ b/bin/tool\n@@ -1,2 +1,2 @@\n #!/bin/sh\n-echo hi\n+echo ho\n"
        + "diff --git a/bare b/bare\ndeleted file mode 100644\nindex 1111111..0000000\n"
        + "--- a/bare\n+++ /dev/null\n@@ -1 +0,0 @@\n-no end\n\\ No newline at end of file\n"
        + "diff --git a/new/run b/new/run\nnew file mode 100755\nindex 0000000..1111111\n"
        + "--- /dev/null\n+++ b/new/run\n@@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of file\n"
        + "diff --git a/new/empty b/new/empty\nnew file mode 100644\nindex 0000000..e69de29\n"
    )
    before = hands.tree()
    preview = hands.preview("io.fs.patch", diff=diff)
    assert hands.tree() == before
    assert "-line 7\n+seven\n" in preview.diff
    assert "deleted file bare" in preview.diff
    step = hands.step("io.fs.patch", diff=diff).prepare()
    output = step.execute()
    root = hands.root
    assert (root / "src" / "poem.txt").read_text() == POEM.replace("line 7\n", "seven\n").replace(
        "line 30\n", ""
    )
    assert (root / "bin" / "tool").read_text() == "#!/bin/sh\necho ho\n"
    assert (root / "bin" / "tool").stat().st_mode & 0o777 == 0o750
    assert not (root / "src" / "tool.sh").exists()
    assert not (root / "bare").exists()
    assert (root / "new" / "run").read_text() == "one\ntwo"
    assert (root / "new" / "run").stat().st_mode & 0o111
    assert (root / "new" / "empty").read_bytes() == b""
    assert [(file["path"], file["change"]) for file in output["files"]] == [
        ("src/poem.txt", "modified"),
        ("bin/tool", "renamed"),
        ("bare", "deleted"),
        ("new/run", "added"),
        ("new/empty", "added"),
    ]
    assert output["files"][1]["source"] == "src/tool.sh"
    assert (output["files"][0]["added_lines"], output["files"][0]["removed_lines"]) == (1, 2)
    assert output["created_dirs"] == ["bin", "new"]
    assert step.reconcile().output == output
    assert step.execute() == output
    step.compensate()
    assert hands.tree() == before


def test_offsets_are_found_and_told(hands: Hands) -> None:
    """A hunk that moved is applied where it fits exactly, in the one place; the output and the preview say how far away."""
    diff = diff_of(POEM, POEM.replace("line 20\n", "twenty\n"))
    (hands.root / "src" / "poem.txt").write_text("new\n" * 5 + POEM)
    preview = hands.preview("io.fs.patch", diff=diff)
    assert "hunk found +5 lines away, at line 22\n" in preview.diff
    output = hands.step("io.fs.patch", diff=diff).prepare().execute()
    assert output["files"][0]["hunks"] == [{"line": 22, "offset": 5}]
    assert "twenty\n" in (hands.root / "src" / "poem.txt").read_text()


def test_a_hunk_is_never_guessed_into_place(hands: Hands) -> None:
    """No fuzz, no choice between several places, and nothing without context: each is refused, all of them together."""
    (hands.root / "twice").write_text("top\n" + "a\nb\nc\n" * 2)
    ambiguous = "--- a/twice\n+++ b/twice\n@@ -11,3 +11,3 @@\n a\n-b\n+B\n c\n"
    error = refused(hands, diff=ambiguous)
    assert (error.code, error.path) == ("DIFF_CONFLICT", "diff:3")
    assert "several places (lines 2, 5)" in error.message
    fuzzy = diff_of(
        POEM.replace("line 6\n", "LINE 6\n"), POEM.replace("line 6\n", "LINE 6\n").replace("line 7\n", "x\n")
    )
    error = refused(hands, diff=fuzzy + ambiguous)
    faults = error.details["faults"]
    assert isinstance(faults, list)
    assert len(faults) == 2
    assert "expects `LINE 6` in line 6, where `line 6` is" in error.message
    error = refused(hands, diff="--- a/twice\n+++ b/twice\n@@ -3,0 +4 @@\n+b2\n")
    assert "no line of context" in error.message
    past_end = diff_of(POEM + "line 41\n", POEM + "forty-one\n")
    assert "the end of the file" in refused(hands, diff=past_end).message


def test_hunks_after_one_that_moved_are_not_taken_at_their_word(hands: Hands) -> None:
    """Behind an offset the written line numbers prove nothing: a place that fits there and elsewhere is refused."""
    body = "head\n" + "x\ny\nz\n" * 3
    (hands.root / "f").write_text("extra\nextra\nextra\n" + body)
    diff = "--- a/f\n+++ b/f\n@@ -1,1 +1,1 @@\n-head\n+HEAD\n@@ -5,3 +5,3 @@\n x\n-y\n+Y\n z\n"
    error = refused(hands, diff=diff)
    assert "several places" in error.message


@pytest.mark.parametrize("strip", [0, 1, 2])
def test_prefixes_are_cut_off_as_asked(hands: Hands, strip: int) -> None:
    prefix = ("", "a/", "x/a/")[strip]
    diff = f"--- {prefix}bare\n+++ {prefix}bare\n@@ -1 +1 @@\n-no end\n\\ No newline at end of file\n+end\n"
    hands.do("io.fs.patch", diff=diff, strip=strip)
    assert (hands.root / "bare").read_text() == "end\n"


def test_a_prefix_that_is_not_there_is_explained(hands: Hands) -> None:
    error = refused(hands, diff="--- bare\n+++ bare\n@@ -1 +1 @@\n-no end\n+end\n")
    assert error.code == "DIFF_INVALID"
    assert "strip: 0" in str(error.hint)


def test_paths_are_relative_to_the_folder_that_is_named(hands: Hands) -> None:
    diff = diff_of(POEM, POEM.replace("line 1\n", ""), "poem.txt")
    output = hands.step("io.fs.patch", diff=diff, path="src").prepare().execute()
    assert output["files"][0]["path"] == "src/poem.txt"
    assert output["created_dirs"] == []


def test_quoted_names_and_modes_are_understood(hands: Hands) -> None:
    name = '\ttab "q" ü'
    (hands.root / name).write_text("x\n")
    diff = (
        'diff --git "a/\\ttab \\"q\\" \\303\\274" "b/\\ttab \\"q\\" \\303\\274"\nold mode 100644\nnew mode 100755\n'
        "diff --git a/src/tool.sh b/src/tool.sh\nold mode 100755\nnew mode 100644\n"
    )
    step = hands.step("io.fs.patch", diff=diff).prepare()
    output = step.execute()
    assert [file["path"] for file in output["files"]] == [name, "src/tool.sh"]
    assert (hands.root / name).stat().st_mode & 0o111
    assert (hands.root / "src" / "tool.sh").stat().st_mode & 0o777 == 0o640


def test_crlf_is_kept_as_it_is(hands: Hands) -> None:
    """Line breaks are content: a diff with CRLF fits a file with CRLF, and none without."""
    (hands.root / "dos").write_bytes(b"one\r\ntwo\r\n")
    diff = "--- a/dos\r\n+++ b/dos\r\n@@ -1,2 +1,2 @@\r\n one\r\n-two\r\n+three\r\n"
    hands.do("io.fs.patch", diff=diff)
    assert (hands.root / "dos").read_bytes() == b"one\r\nthree\r\n"
    assert refused(hands, diff=diff.replace("dos", "bare")).code == "DIFF_CONFLICT"


def test_words_around_a_diff_are_allowed(hands: Hands) -> None:
    """A mail with a diff in it, as `git format-patch` writes it, is applied."""
    diff = (
        "From 1 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] x\n\n---\n bare | 2 +-\n\n"
        "diff --git a/bare b/bare\nindex 1234567..89abcde 100644\n--- a/bare\n+++ b/bare\n"
        "@@ -1 +1 @@ context\n-no end\n\\ No newline at end of file\n+end\n-- \n2.39.5\n\n"
    )
    hands.do("io.fs.patch", diff=diff)
    assert (hands.root / "bare").read_text() == "end\n"


HEAD = "--- a/bare\n+++ b/bare\n"
GIT = "diff --git a/bare b/bare\n"
INVALID = {
    "nothing": "hello\n",
    "a hunk without a file": "@@ -1 +1 @@\n-a\n+b\n",
    "a target without a source": "+++ b/bare\n@@ -1 +1 @@\n-a\n+b\n",
    "a header that is none": f"{HEAD}@@ -1 +1 @\n-a\n+b\n",
    "a header with words for numbers": f"{HEAD}@@ -one +1 @@\n-a\n+b\n",
    "a combined diff": f"{HEAD}@@@ -1 -1 +1 @@@\n--a\n++b\n",
    "a number with thousands of digits": f"{HEAD}@@ -{'9' * 5000} +1 @@\n-a\n+b\n",
    "fewer lines than said": f"{HEAD}@@ -1,3 +1 @@\n-a\n+b\n",
    "more lines than said": f"{HEAD}@@ -1,2 +1 @@\n-a\n+b\n+c\n-d\n",
    "a line that is none": f"{HEAD}@@ -1 +1 @@\n*a\n+b\n",
    "line nought": f"{HEAD}@@ -0,1 +1 @@\n-a\n+b\n",
    "a hunk that changes nothing": f"{HEAD}@@ -1 +1 @@\n a\n",
    "an empty hunk": f"{HEAD}@@ -1,0 +1,0 @@\n",
    "hunks out of order": f"{HEAD}@@ -5 +5 @@\n-a\n+b\n@@ -1 +1 @@\n-a\n+b\n",
    "no hunk at all": HEAD,
    "no change at all": GIT,
    "a line without end in the middle": f"{HEAD}@@ -1,2 +1 @@\n-a\n\\ No newline at end of file\n-b\n+c\n",
    "two null names": "--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n",
    "two names": "--- a/bare\n+++ b/src/poem.txt\n@@ -1 +1 @@\n-a\n+b\n",
    "one file twice": f"{HEAD}@@ -1 +1 @@\n-no end\n+b\n{HEAD}@@ -1 +1 @@\n-b\n+c\n",
    "a file below a file": (
        "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n--- /dev/null\n+++ b/x/y\n@@ -0,0 +1 @@\n+a\n"
    ),
    "a new file with old lines": "--- /dev/null\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
    "a deleted file with new lines": "--- a/bare\n+++ /dev/null\n@@ -1 +1 @@\n-no end\n+b\n",
    "a link": "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n",
    "a submodule": "diff --git a/m b/m\nnew file mode 160000\n--- /dev/null\n+++ b/m\n@@ -0,0 +1 @@\n+Subproject commit 1\n",
    "a file that becomes a link": f"{GIT}old mode 100644\nnew mode 120000\n",
    "a setuid file": "diff --git a/s b/s\nnew file mode 104755\n",
    "a mode in the index line": f"{GIT}index 1234567..89abcde 120000\n{HEAD}@@ -1 +1 @@\n-a\n+b\n",
    "a mode that is none": f"{GIT}old mode 9\nnew mode 100755\n",
    "a binary change": f"{GIT}index 1234567..89abcde 100644\nGIT binary patch\nliteral 1\nIcmZPo000\n",
    "binary files that differ": f"{GIT}Binary files a/bare and b/bare differ\n",
    "binary files without Git": "Binary files a/bare and b/bare differ\n",
    "a copy": "diff --git a/bare b/c\nsimilarity index 100%\ncopy from bare\ncopy to c\n",
    "half a rename": "diff --git a/bare b/c\nrename from bare\n",
    "a rename of a new file": (
        "diff --git a/bare b/c\nnew file mode 100644\nrename from bare\nrename to c\n--- /dev/null\n+++ b/c\n"
        "@@ -0,0 +1 @@\n+x\n"
    ),
    "a rename whose names disagree": (
        "diff --git a/bare b/c\nrename from bare\nrename to c\n--- a/bare\n+++ b/src/poem.txt\n@@ -1 +1 @@\n-a\n+b\n"
    ),
    "a new file that has a source": f"{GIT}new file mode 100644\n{HEAD}@@ -1 +1 @@\n-a\n+b\n",
    "a deleted file that has a target": f"{GIT}deleted file mode 100644\n{HEAD}@@ -1 +1 @@\n-a\n+b\n",
    "a null target that is not said to be deleted": f"{GIT}--- a/bare\n+++ /dev/null\n@@ -1 +0,0 @@\n-no end\n",
    "a mode twice": f"{GIT}old mode 100644\nold mode 100644\nnew mode 100755\n",
    "names that can't be told apart": "diff --git a/x y b/x z\nold mode 100644\nnew mode 100755\n",
    "one name in the header": "diff --git a/x\nold mode 100644\nnew mode 100755\n",
    "a source without a target": f"{GIT}--- a/bare\n@@ -1 +1 @@\n-a\n+b\n",
    "a quoted name without an end": '--- "a/bare\n+++ "b/bare\n@@ -1 +1 @@\n-a\n+b\n',
    "an escape that is none": '--- "a/\\x41"\n+++ "b/\\x41"\n@@ -1 +1 @@\n-a\n+b\n',
    "a name that is not UTF-8": '--- "a/\\377"\n+++ "b/\\377"\n@@ -1 +1 @@\n-a\n+b\n',
    "a name with a NUL": '--- "a/\\000"\n+++ "b/\\000"\n@@ -1 +1 @@\n-a\n+b\n',
    "an empty name": "--- \n+++ \n@@ -1 +1 @@\n-a\n+b\n",
    "a diff that ends in a hunk's header": f"{HEAD}@@ -1 +1 @@",
    "a rename told outside of a file": "rename from a\nrename to b\n",
}


@pytest.mark.parametrize("name", INVALID)
def test_what_is_not_understood_is_refused(hands: Hands, name: str) -> None:
    """Nothing of a diff is skipped in silence; the place is a line of the diff where there is one."""
    error = refused(hands, diff=INVALID[name])
    assert error.code == "DIFF_INVALID", error
    assert str(error.path).startswith("diff")


ESCAPES = [
    "../out", "src/../../out", "/etc/passwd", "src/./../../../out", "src/link/out", "..", ".", "src//..//../x",
    ".assent/ledger", ".assent", "assent.toml", "src/.assent/x", "ASSENT.TOML", ".ASSENT/x", ".as\u200csent/x",
    "src/.assent-00000000000000000000000000000000.tmp",
]  # fmt: skip


@pytest.mark.parametrize("path", ESCAPES)
def test_no_diff_leads_outside_or_to_control_files(hands: Hands, path: str) -> None:
    (hands.root / "src" / "link").symlink_to("/tmp")
    for diff in (
        f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n",
        f"diff --git a/bare b/x\nrename from bare\nrename to {path}\n",
        f"diff --git a/x b/x\nrename from {path}\nrename to x\n",
        f"--- a/{path}\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
    ):
        code = refused(hands, diff=diff).code
        assert code in ("PATH_ESCAPES", "PATH_PROTECTED", "PATH_INVALID", "FILE_NOT_FOUND", "DIFF_INVALID")
        assert code != "FILE_NOT_FOUND" or "assent-" not in path


def test_what_stands_in_the_way_is_refused(hands: Hands) -> None:
    new = "--- /dev/null\n+++ b/{}\n@@ -0,0 +1 @@\n+x\n"
    assert refused(hands, diff=new.format("bare")).code == "FILE_EXISTS"
    assert refused(hands, diff=new.format("bare/x")).code == "NOT_A_DIRECTORY"
    assert refused(hands, diff=new.format("src")).code == "IS_A_DIRECTORY"
    assert refused(hands, diff=diff_of("a\n", "b\n", "gone")).code == "FILE_NOT_FOUND"
    assert (
        refused(hands, diff="diff --git a/bare b/x\nrename from bare\nrename to src/poem.txt\n").code
        == "FILE_EXISTS"
    )
    shorter = "--- a/src/poem.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-line 1\n"
    assert "more lines than the diff deletes" in refused(hands, diff=shorter).message
    with (hands.root / "large").open("wb") as file:
        file.truncate(PATCHED_BYTES_MAX + 1)
    assert refused(hands, diff=diff_of("a\n", "b\n", "large")).code == "FILE_TOO_LARGE"


def test_what_could_not_be_kept_is_not_changed(tmp_path: Path) -> None:
    hands = Hands.on(tmp_path, pre_image_bytes_max=100)
    (tmp_path / "a").write_text("a\n" * 30)
    (tmp_path / "b").write_text("b\n" * 30)
    diff = "".join(diff_of(f"{name}\n" * 30, f"{name}\n" * 29 + "x\n", name) for name in "ab")
    assert refused(hands, diff=diff).code == "PRE_IMAGE_TOO_LARGE"
    hands.workspace.close()


def test_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(NoEffectError, match="bytes"):
        read_diff(f"{HEAD}@@ -1 +1 @@\n-a\n+{'b' * (17 << 20)}\n")
    with pytest.raises(NoEffectError, match="hunks"):
        read_diff(HEAD + "".join(f"@@ -{n} +{n} @@\n-a\n+b\n" for n in range(1, 20_003)))
    with pytest.raises(NoEffectError, match="files"):
        read_diff("".join(f"--- a/{n}\n+++ b/{n}\n@@ -1 +1 @@\n-a\n+b\n" for n in range(2_002)))


BOTH = diff_of(POEM, POEM.replace("line 1\n", "")) + diff_of("no end", "end\n", "bare")


class Failing:
    """`Files` in which the n-th rename fails, and perhaps everything after it."""

    def __init__(self, files: Any, at: int, *, for_good: bool = False) -> None:
        self._files, self._left, self._for_good = files, at, for_good

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def rename(self, *args: Any, **kwargs: Any) -> None:
        self._left -= 1
        if self._left == 0 or (self._left < 0 and self._for_good):
            raise NoEffectError("DISK_FULL", "the disk is full")
        self._files.rename(*args, **kwargs)

    def write(self, path: str, *args: Any, **kwargs: Any) -> None:
        if self._left <= 0 and self._for_good:
            raise NoEffectError("DISK_FULL", "the disk is full")
        self._files.write(path, *args, **kwargs)


@pytest.mark.parametrize("at", [1, 2])
def test_a_failure_between_two_files_takes_the_first_back(hands: Hands, at: int) -> None:
    before = hands.tree()
    step = hands.step("io.fs.patch", diff=BOTH).prepare()
    with pytest.raises(NoEffectError) as caught:
        step.on(PlainWorld(Failing(hands.workspace.files, at))).execute()
    assert caught.value.code == "DISK_FULL"
    assert {path: state[3] for path, state in hands.tree().items()} == {
        path: state[3] for path, state in before.items()
    }
    assert not list(hands.root.rglob(".assent-*"))


def test_a_failure_that_cannot_be_taken_back_leaves_the_effect_open(hands: Hands) -> None:
    """Then nobody may say that nothing happened: reconcile knows the state, going on completes it, undo takes it back."""
    before = hands.tree()
    step = hands.step("io.fs.patch", diff=BOTH).prepare()
    with pytest.raises(WorldError) as caught:
        step.on(PlainWorld(Failing(hands.workspace.files, 2, for_good=True))).execute()
    assert caught.value.code == "DISK_FULL"
    answer = step.reconcile()
    assert (answer.verdict, answer.foreign) == (Verdict.UNKNOWN, False)
    step.compensate()
    assert hands.tree() == before


def test_somebody_elses_change_is_not_overwritten(hands: Hands) -> None:
    step = hands.step("io.fs.patch", diff=BOTH).prepare()
    (hands.root / "bare").write_text("theirs")
    with pytest.raises(NoEffectError) as caught:
        step.execute()
    assert caught.value.code == "FILE_CHANGED"
    assert (hands.root / "src" / "poem.txt").read_text() == POEM
    assert step.reconcile().foreign
    (hands.root / "bare").write_text("no end")
    step = hands.step("io.fs.patch", diff=BOTH).prepare()
    step.execute()
    (hands.root / "bare").write_text("theirs")
    with pytest.raises(RefusedError) as conflict:
        step.compensate()
    assert conflict.value.code == "COMPENSATION_CONFLICT"


def test_without_a_pre_image_it_is_applied_and_not_undone(hands: Hands) -> None:
    step = hands.step("io.fs.patch", keep=False, diff=BOTH).prepare()
    assert hands.blobs.kept == {}
    step.execute()
    with pytest.raises(RefusedError) as caught:
        step.compensate()
    assert caught.value.code == "UNDO_IMPOSSIBLE"


def test_the_same_diff_twice_does_not_fit(hands: Hands) -> None:
    hands.do("io.fs.patch", diff=BOTH)
    assert refused(hands, diff=BOTH).code == "DIFF_CONFLICT"


LINES = st.lists(
    st.sampled_from(["a", "b", "c", "", " ", "-", "+", "\\ x", "@@ -1 +1 @@", "--- a/f", "ü"]), max_size=12
)


@given(old=LINES, new=LINES, ends=st.tuples(st.booleans(), st.booleans()), context=st.integers(0, 4))
@settings(max_examples=examples(200), deadline=None)
def test_a_diff_of_two_texts_makes_the_one_of_the_other(
    old: list[str], new: list[str], ends: tuple[bool, bool], context: int
) -> None:
    """What `difflib` writes is read as `unidiff` reads it, and applied it gives the new text at no offset."""
    before, after = (
        "\n".join(lines) + ("\n" if end and lines else "")
        for lines, end in zip((old, new), ends, strict=True)
    )
    text = diff_of_lines(before, after, context)
    if not text:
        return
    (file,) = read_diff(text)
    judged = PatchSet(text)
    assert [len(hunk.old) for hunk in file.hunks] == [hunk.source_length for hunk in judged[0]]
    assert [hunk.added for hunk in file.hunks] == [hunk.added for hunk in judged[0]]
    done, places, misfits = apply_hunks(before.encode(), file.hunks)
    if misfits:  # only for a hunk without a line to recognise its place by
        assert any(not hunk.old for hunk in file.hunks)
        return
    assert done == after.encode()
    assert all(offset == 0 for _, offset in places)


def diff_of_lines(before: str, after: str, context: int) -> str:
    """`difflib` on lines that end with a line feed and nothing else."""

    def split(text: str) -> list[str]:
        pieces = text.split("\n")
        return [f"{piece}\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])

    lines = difflib.unified_diff(split(before), split(after), "a/f", "b/f", n=context)
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


@given(
    trees=st.lists(
        st.dictionaries(st.sampled_from(["a", "b/c", "b/d", "e f"]), LINES, max_size=4),
        min_size=2,
        max_size=2,
    )
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_git_writes_is_applied_as_git_means_it(
    tmp_path: Path, trees: list[dict[str, list[str]]]
) -> None:
    """Any two trees: `git diff` of them, renames included, applied to the first gives the second, and undo the first again."""
    base = tmp_path / os.urandom(8).hex()
    for side, tree in zip(("old", "new"), trees, strict=True):
        (base / side).mkdir(parents=True)
        for path, lines in tree.items():
            (base / side / path).parent.mkdir(parents=True, exist_ok=True)
            (base / side / path).write_text("\n".join(lines))
    diff = subprocess.run(
        ["git", "diff", "--no-index", "-M", "--src-prefix=a/", "--dst-prefix=b/", "old", "new"],
        cwd=base, capture_output=True, check=False,
    ).stdout.decode()  # fmt: skip
    if not diff:
        return
    diff = diff.replace("a/old/", "a/").replace("b/new/", "b/").replace("rename from old/", "rename from ")
    diff = diff.replace("rename to new/", "rename to ").replace("a/new/", "a/").replace("b/old/", "b/")
    hands = Hands.on(base / "old")
    before = hands.tree()
    step = hands.step("io.fs.patch", diff=diff).prepare()
    step.execute()
    found = {path: state[3] for path, state in hands.tree().items() if state[0] == "file"}
    assert found == {path: "\n".join(lines).encode() for path, lines in trees[1].items()}
    step.compensate()
    assert hands.tree() == before
    hands.workspace.close()


@given(st.text(alphabet=st.sampled_from('@-+ \\\nab/0123,dif"tgnewrml\t\r'), max_size=200))
@settings(max_examples=examples(300), deadline=None)
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    with suppress(NoEffectError):
        read_diff(HEAD + text)
