"""What each file capability does, refuses and takes back."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from assent.capabilities import builtin_capabilities
from assent.capabilities.fs._read import READ_BYTES_MAX
from assent.capabilities.fs.change import _diff
from assent.errors import AssentError, RefusedError
from assent.invocation import NoEffectError
from assent.invocation.call._bound import BoundCapability
from assent.spec.capability import OperationType, RiskLevel
from assent.spec.states import Verdict
from assent.spec.words.legible import safe
from tests.support.hands import HANDLERS, Hands, tree_of, without_times


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "docs" / "b.bin").write_bytes(b"\x00\xff" * 8)
    made = Hands.on(tmp_path)
    yield made
    made.workspace.close()


def refusal(hands: Hands, capability: str, /, **parameters: Any) -> AssentError:
    before = hands.tree()
    with pytest.raises(NoEffectError) as caught:
        hands.do(capability, **parameters) if HANDLERS[capability].prepare else hands.read(
            capability, **parameters
        )
    assert hands.tree() == before
    return caught.value


UNSEEN: Final = {"agent.shell", "agent.fetch", "agent.tool"}
"""What an agent does with tools of its own, and nobody can look at beforehand."""


def test_every_capability_is_rated_and_bound() -> None:
    """Reading is LOW, changing MEDIUM and reversible, deleting HIGH with approval; spec and handler agree on their types."""
    specs = {one.id: one.spec for one in builtin_capabilities()}
    for name in ("read_file", "hash_file", "list_dir", "exists"):
        spec = specs[f"io.fs.{name}"]
        assert (spec.operation_type, spec.risk.level) == (OperationType.READ, RiskLevel.LOW)
    for name in ("write_file", "write_bytes", "make_dir", "move", "copy"):
        spec = specs[f"io.fs.{name}"]
        assert (spec.operation_type, spec.risk.level) == (OperationType.WRITE, RiskLevel.MEDIUM)
        assert spec.side_effects.reversible
        assert not spec.needs_approval
    delete = specs["io.fs.delete"]
    assert (delete.operation_type, delete.risk.level) == (OperationType.DELETE, RiskLevel.HIGH)
    assert delete.side_effects.reversible
    assert delete.needs_approval
    assert delete.compensation.strategy == "restore_pre_image"
    for one in builtin_capabilities():
        bound = BoundCapability(one.spec, one.handler)
        assert bound._takes.is_typed
        assert bound._gives.is_typed
        assert one.handler.preview is not None or one.id in UNSEEN
    fingerprints = [one.handler.fingerprint() for one in builtin_capabilities()]
    assert len(set(fingerprints)) == len(fingerprints)


def test_every_output_fits_its_type(hands: Hands) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("io.fs.read_file", {"path": "docs/a.txt"}),
        ("io.fs.hash_file", {"path": "docs/b.bin"}),
        ("io.fs.exists", {"path": "docs"}),
        ("io.fs.exists", {"path": "nothing/here"}),
        ("io.fs.list_dir", {"recursive": True}),
        ("io.fs.write_file", {"path": "new/x.txt", "content": "x", "create_dirs": True}),
        ("io.fs.write_bytes", {"path": "y", "content_base64": "AAEC"}),
        ("io.fs.make_dir", {"path": "z"}),
        ("io.fs.move", {"source": "y", "destination": "z/y"}),
        ("io.fs.copy", {"source": "z", "destination": "zz"}),
        ("io.fs.delete", {"path": "zz", "recursive": True}),
    ]
    bound = {one.id: BoundCapability(one.spec, one.handler) for one in builtin_capabilities()}
    for name, parameters in calls:
        step = hands.step(name, **parameters)
        output = (step.prepare() if step.handler.prepare else step).execute()
        assert bound[name].result(output) == output


def test_a_file_is_read_as_it_is(hands: Hands) -> None:
    """No line end is translated and no byte-order mark dropped."""
    (hands.root / "crlf.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    answer = hands.read("io.fs.read_file", path="./crlf.txt")
    assert answer["content"] == "\ufeffa\r\nb\rc\n"
    assert (answer["path"], answer["size"]) == ("crlf.txt", 10)
    assert answer["sha256"] == hands.read("io.fs.hash_file", path="crlf.txt")["sha256"]
    assert hands.read("io.fs.read_file", path="docs/b.bin", encoding="latin-1")["content"] == "\x00\xff" * 8


@pytest.mark.parametrize(
    ("encoding", "code"),
    [
        ("utf-8", "ENCODING_FAILED"),
        ("nonsense", "ENCODING_UNKNOWN"),
        ("base64", "ENCODING_UNKNOWN"),
        ("../x", "ENCODING_UNKNOWN"),
    ],
)
def test_what_cannot_be_decoded_is_refused(hands: Hands, encoding: str, code: str) -> None:
    error = refusal(hands, "io.fs.read_file", path="docs/b.bin", encoding=encoding)
    assert error.code == code
    assert error.hint


def test_what_cannot_be_encoded_is_refused(hands: Hands) -> None:
    assert (
        refusal(hands, "io.fs.write_file", path="n", content="ü", encoding="ascii").code == "ENCODING_FAILED"
    )
    assert refusal(hands, "io.fs.write_file", path="n", content="\ud800").code == "ENCODING_FAILED"
    assert (
        refusal(hands, "io.fs.write_file", path="n", content="x", encoding="rot13").code == "ENCODING_UNKNOWN"
    )


def test_a_file_too_large_for_an_output_is_refused_but_can_be_hashed(hands: Hands) -> None:
    with (hands.root / "large").open("wb") as file:
        file.truncate(READ_BYTES_MAX + 1)
    assert refusal(hands, "io.fs.read_file", path="large").code == "FILE_TOO_LARGE"
    assert hands.read("io.fs.hash_file", path="large")["size"] == READ_BYTES_MAX + 1


def test_a_listing_shows_links_and_hides_dots_unless_asked(hands: Hands) -> None:
    (hands.root / ".hidden").mkdir()
    (hands.root / ".hidden" / "x").write_text("")
    (hands.root / "link").symlink_to("docs")
    os.close(os.open(os.fsencode(hands.root) + b"/bad\xff", os.O_CREAT | os.O_WRONLY))

    def paths(**parameters: Any) -> dict[str, str]:
        return {
            entry["path"]: entry["kind"] for entry in hands.read("io.fs.list_dir", **parameters)["entries"]
        }

    assert paths() == {"bad\\udcff": "file", "docs": "directory", "link": "symlink"}
    assert list(paths(path="docs")) == ["a.txt", "b.bin"]
    assert paths(recursive=True, include_hidden=True) == {
        ".hidden": "directory",
        ".hidden/x": "file",
        "bad\\udcff": "file",
        "docs": "directory",
        "docs/a.txt": "file",
        "docs/b.bin": "file",
        "link": "symlink",
    }
    assert refusal(hands, "io.fs.list_dir", path="docs/a.txt").code == "NOT_A_DIRECTORY"
    assert refusal(hands, "io.fs.list_dir", path="link").code == "PATH_ESCAPES"
    assert refusal(hands, "io.fs.list_dir", path="gone").code == "FILE_NOT_FOUND"


def test_existence_is_an_answer_not_an_error(hands: Hands) -> None:
    assert hands.read("io.fs.exists", path="docs/a.txt/below") == {
        "path": "docs/a.txt/below",
        "exists": False,
        "kind": None,
    }
    assert hands.read("io.fs.exists", path="docs")["kind"] == "directory"


def test_writing_keeps_the_mode_and_undo_brings_everything_back(hands: Hands) -> None:
    target = hands.root / "docs" / "a.txt"
    target.chmod(0o751)
    before = hands.tree()
    step = hands.do("io.fs.write_file", path="docs/a.txt", content="new")
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", 0o751)
    step.compensate()
    assert hands.tree() == before


def test_writing_the_same_bytes_touches_nothing(hands: Hands) -> None:
    before = hands.tree()
    step = hands.step("io.fs.write_file", path="docs/a.txt", content="one\ntwo\nthree\n").prepare()
    assert step.execute()["changed"] is False
    step.compensate()
    assert hands.tree() == before
    assert hands.preview("io.fs.write_file", path="docs/a.txt", content="one\ntwo\nthree\n").changes is False


@pytest.mark.parametrize("later", [0o002, 0o077])
def test_a_new_file_obeys_the_umask(tmp_path: Path, later: int) -> None:
    """The mask is taken once, when the workspace is opened: what is made later has the modes that a plan promised."""
    old = os.umask(0o027)
    try:
        made = Hands.on(tmp_path)
        os.umask(later)
        made.do("io.fs.write_file", path="d/f", content="", create_dirs=True)
    finally:
        os.umask(old)
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "d/f").stat().st_mode & 0o777 == 0o640
    made.workspace.close()


def test_bytes_are_written_and_bad_base64_is_refused(hands: Hands) -> None:
    data = bytes(range(256))
    hands.do("io.fs.write_bytes", path="x", content_base64=base64.b64encode(data).decode())
    assert (hands.root / "x").read_bytes() == data
    for bad in ("a", "====", "AAE C", "AAé="):
        assert refusal(hands, "io.fs.write_bytes", path="y", content_base64=bad).code == "CONTENT_INVALID"
    error = refusal(hands, "io.fs.write_bytes", path="x", content_base64="")
    assert error.code == "FILE_EXISTS"
    assert "overwrite" in (error.hint or "")


def test_missing_folders_are_made_only_when_asked_for(hands: Hands) -> None:
    error = refusal(hands, "io.fs.write_file", path="p/q/r", content="")
    assert error.code == "FILE_NOT_FOUND"
    assert "create_dirs" in (error.hint or "")
    assert refusal(hands, "io.fs.make_dir", path="p/q").code == "FILE_NOT_FOUND"
    assert (
        refusal(hands, "io.fs.write_file", path="docs/a.txt/x", content="", create_dirs=True).code
        == "NOT_A_DIRECTORY"
    )
    assert refusal(hands, "io.fs.write_file", path="docs", content="").code == "IS_A_DIRECTORY"
    assert refusal(hands, "io.fs.make_dir", path="docs").code == "FILE_EXISTS"
    assert hands.step("io.fs.make_dir", path="docs", exist_ok=True).prepare().execute()["created"] is False


def test_folders_that_siblings_made_together_go_with_the_last_of_them(hands: Hands) -> None:
    """Two parallel steps both found the folder missing; whichever is taken back first, none is left over."""
    before = hands.tree()
    for order in (1, -1):
        steps = [
            hands.step("io.fs.write_file", path=f"made/{name}", content=name, create_dirs=True).prepare()
            for name in ("x", "y")
        ]
        for step in steps:
            step.execute()
        for step in steps[::order]:
            step.compensate()
        assert hands.tree() == before


def test_a_folder_that_somebody_uses_stays(hands: Hands) -> None:
    """The file is taken back, the folder made for it is not: what stands in it is not ours."""
    step = hands.do("io.fs.write_file", path="made/x", content="x", create_dirs=True)
    (hands.root / "made" / "theirs").write_text("theirs")
    step.compensate()
    assert [path.name for path in (hands.root / "made").iterdir()] == ["theirs"]


def test_a_made_folder_that_was_filled_is_a_conflict(hands: Hands) -> None:
    step = hands.do("io.fs.make_dir", path="made")
    (hands.root / "made" / "theirs").write_text("theirs")
    with pytest.raises(RefusedError) as caught:
        step.compensate()
    assert caught.value.code == "COMPENSATION_CONFLICT"
    assert (hands.root / "made" / "theirs").read_text() == "theirs"


@pytest.mark.parametrize(
    ("capability", "parameters", "key"),
    [
        ("io.fs.write_file", {"path": "docs/a.txt", "content": "new"}, "{}"),
        ("io.fs.write_file", {"path": "new/deep/a.txt", "content": "new", "create_dirs": True}, None),
        ("io.fs.delete", {"path": "docs/a.txt"}, "{}#aside"),
    ],
)
def test_what_an_interrupted_attempt_left_is_an_effect(
    hands: Hands, capability: str, parameters: dict[str, Any], key: str | None
) -> None:
    """Something beside the target, a folder on the way, a file set aside: after `no`, a run that stops would leave it."""
    before = hands.tree()
    step = hands.step(capability, **parameters).prepare()
    assert step.reconcile().verdict is Verdict.NO
    files = step.context.world.files
    if key is None:
        files.make_dir("new")
    else:
        aside = files.temporary("docs/a.txt", key=key.format(step.context.key))
        (hands.root / "docs" / "a.txt").rename(hands.root / aside)
        if capability == "io.fs.write_file":
            (hands.root / "docs" / "a.txt").write_bytes((hands.root / aside).read_bytes())
    answer = step.reconcile()
    assert (answer.verdict, answer.foreign, answer.is_repeatable) == (Verdict.UNKNOWN, False, True)
    step.compensate()
    assert without_times(hands.tree()) == without_times(before)


def test_a_conflict_shows_both_states(hands: Hands) -> None:
    step = hands.do("io.fs.write_file", path="docs/a.txt", content="ours")
    (hands.root / "docs" / "a.txt").write_text("theirs")
    before = hands.tree()
    assert step.reconcile().verdict is Verdict.UNKNOWN
    assert step.reconcile().foreign
    with pytest.raises(RefusedError) as caught:
        step.compensate()
    error = caught.value
    assert error.code == "COMPENSATION_CONFLICT"
    assert error.path == "docs/a.txt"
    assert error.details["expected"] != error.details["found"]
    assert "4 bytes" in str(error.details["expected"])
    assert "6 bytes" in str(error.details["found"])
    assert hands.tree() == before
    with pytest.raises(NoEffectError) as again:
        step.execute()
    assert again.value.code == "FILE_CHANGED"


def test_a_folders_time_is_left_alone_when_others_came(hands: Hands) -> None:
    step = hands.do("io.fs.write_file", path="docs/new", content="")
    (hands.root / "docs" / "theirs").write_text("")
    os.utime(hands.root / "docs", ns=(5, 5))
    step.compensate()
    assert (hands.root / "docs").stat().st_mtime_ns != 5
    assert (hands.root / "docs" / "theirs").exists()


def test_a_move_never_replaces_a_folder_nor_goes_into_itself(hands: Hands) -> None:
    (hands.root / "other").mkdir()
    assert (
        refusal(hands, "io.fs.move", source="docs", destination="other", overwrite=True).code == "FILE_EXISTS"
    )
    assert (
        refusal(hands, "io.fs.move", source="docs/a.txt", destination="other", overwrite=True).code
        == "FILE_EXISTS"
    )
    assert (
        refusal(hands, "io.fs.move", source="other", destination="docs/a.txt", overwrite=True).code
        == "FILE_EXISTS"
    )
    assert refusal(hands, "io.fs.move", source="docs", destination="docs/inner").code == "PATH_INVALID"
    assert refusal(hands, "io.fs.move", source="docs", destination="./docs").code == "PATH_INVALID"
    assert refusal(hands, "io.fs.copy", source="docs", destination="docs/inner").code == "PATH_INVALID"
    assert refusal(hands, "io.fs.move", source="docs/a.txt", destination="docs/b.bin").code == "FILE_EXISTS"
    assert refusal(hands, "io.fs.move", source="gone", destination="x").code == "FILE_NOT_FOUND"
    assert refusal(hands, "io.fs.copy", source="gone", destination="x").code == "FILE_NOT_FOUND"
    assert refusal(hands, "io.fs.copy", source="docs", destination="gone/x").code == "FILE_NOT_FOUND"
    # `docs2` only shares a prefix with `docs`: it is not inside it.
    hands.do("io.fs.move", source="docs", destination="docs2")


def test_a_moved_tree_that_was_changed_meanwhile_is_a_conflict(hands: Hands) -> None:
    step = hands.do("io.fs.move", source="docs", destination="moved")
    (hands.root / "moved" / "a.txt").write_text("theirs")
    with pytest.raises(RefusedError) as caught:
        step.compensate()
    assert caught.value.code == "COMPENSATION_CONFLICT"
    assert (hands.root / "moved" / "a.txt").read_text() == "theirs"


def test_a_place_that_was_taken_meanwhile_is_a_conflict(hands: Hands) -> None:
    step = hands.do("io.fs.move", source="docs", destination="moved")
    (hands.root / "docs").write_text("theirs")
    with pytest.raises(RefusedError) as caught:
        step.compensate()
    assert caught.value.code == "COMPENSATION_CONFLICT"
    assert (hands.root / "docs").read_text() == "theirs"


def test_a_tree_is_deleted_only_when_asked_for_and_comes_back_whole(hands: Hands) -> None:
    """Odd modes, links that lead nowhere or outside, empty folders and names that are no UTF-8 included."""
    docs = hands.root / "docs"
    (docs / "locked").mkdir()
    (docs / "locked" / "inner").write_text("inner")
    (docs / "empty" / "emptier").mkdir(parents=True)
    (docs / "dangling").symlink_to("nowhere")
    (docs / "outside").symlink_to("/")
    os.close(os.open(os.fsencode(docs) + b"/bad\xff", os.O_CREAT | os.O_WRONLY))
    for number in range(30):
        (docs / f"many{number}").write_bytes(bytes([number]) * number)
    (docs / "locked").chmod(0o500)
    (docs / "a.txt").chmod(0o4751)
    os.utime(docs / "dangling", ns=(7, 7), follow_symlinks=False)
    before = hands.tree()
    assert refusal(hands, "io.fs.delete", path="docs").code == "DIRECTORY_NOT_EMPTY"
    step = hands.do("io.fs.delete", path="docs", recursive=True)
    assert not docs.exists()
    step.compensate()
    assert hands.tree() == before


def test_a_file_saved_while_it_is_being_deleted_is_not_lost(hands: Hands) -> None:
    step = hands.step("io.fs.delete", path="docs", recursive=True).prepare()
    (hands.root / "docs" / "new.txt").write_text("saved a moment ago")
    with pytest.raises(NoEffectError) as caught:
        step.execute()
    assert caught.value.code == "FILE_CHANGED"
    assert (hands.root / "docs" / "new.txt").read_text() == "saved a moment ago"
    assert (hands.root / "docs" / "a.txt").exists()


def test_a_copy_of_what_changed_meanwhile_is_refused(hands: Hands) -> None:
    """What was approved is what is copied, or nothing is."""
    for source in ("docs/a.txt", "docs"):
        step = hands.step("io.fs.copy", source=source, destination="copy").prepare()
        (hands.root / "docs" / "a.txt").write_text(f"changed before copying {source}")
        before = hands.tree()
        with pytest.raises(NoEffectError) as caught:
            step.execute()
        assert caught.value.code == "FILE_CHANGED"
        assert {path: state for path, state in hands.tree().items() if path != "."} == {
            path: state for path, state in before.items() if path != "."
        }


def test_a_cancelled_copy_leaves_nothing(hands: Hands) -> None:
    step = hands.step("io.fs.copy", source="docs", destination="copy").prepare()
    step.context.cancel.cancel()
    with pytest.raises(NoEffectError) as caught:
        step.execute()
    assert caught.value.code == "CALL_CANCELLED"
    assert [path.name for path in hands.root.iterdir() if path.name != ".assent"] == ["docs"]


def test_a_pre_image_over_the_limit_is_refused_unless_none_is_kept(tmp_path: Path) -> None:
    made = Hands.on(tmp_path, pre_image_bytes_max=100)
    (tmp_path / "large").write_bytes(b"x" * 101)
    for part in ("prepare", "preview"):
        step = made.step("io.fs.delete", path="large").on(made.workspace.simulate())
        with pytest.raises(NoEffectError) as caught:
            getattr(step, part)()
        assert caught.value.code == "PRE_IMAGE_TOO_LARGE"
        assert caught.value.details == {"size": 101, "limit": 100}
    step = made.step("io.fs.delete", keep=False, path="large").prepare()
    assert made.blobs.kept == {}
    step.execute()
    assert not (tmp_path / "large").exists()
    assert step.reconcile().verdict is Verdict.YES
    with pytest.raises(RefusedError) as impossible:
        step.compensate()
    assert impossible.value.code == "UNDO_IMPOSSIBLE"
    made.workspace.close()


@pytest.mark.parametrize("capability", ["write_file", "move", "copy"])
def test_without_a_pre_image_overwriting_works_and_is_recognised(hands: Hands, capability: str) -> None:
    parameters: dict[str, Any] = {"source": "docs/b.bin", "destination": "docs/a.txt", "overwrite": True}
    if capability == "write_file":
        parameters = {"path": "docs/a.txt", "content": "new"}
    step = hands.step(f"io.fs.{capability}", keep=False, **parameters).prepare()
    assert hands.blobs.kept == {}
    assert step.reconcile().verdict is Verdict.NO
    step.execute()
    assert step.reconcile().verdict is Verdict.YES


def test_a_hard_linked_file_is_not_replaced_silently(hands: Hands) -> None:
    (hands.root / "other").hardlink_to(hands.root / "docs" / "a.txt")
    for capability, parameters in (
        ("io.fs.write_file", {"path": "docs/a.txt", "content": "new"}),
        ("io.fs.delete", {"path": "docs", "recursive": True}),
        ("io.fs.copy", {"source": "docs/b.bin", "destination": "docs/a.txt", "overwrite": True}),
    ):
        assert refusal(hands, capability, **parameters).code == "FILE_HARD_LINKED"
    hands.do("io.fs.move", source="other", destination="moved").compensate()
    assert (hands.root / "other").samefile(hands.root / "docs" / "a.txt")


def test_a_tree_with_a_pipe_in_it_is_refused(hands: Hands) -> None:
    os.mkfifo(hands.root / "docs" / "pipe")
    for capability, parameters in (
        ("io.fs.delete", {"path": "docs", "recursive": True}),
        ("io.fs.copy", {"source": "docs", "destination": "copy"}),
    ):
        assert refusal(hands, capability, **parameters).code == "FILE_KIND_UNSUPPORTED"


_LIMITED = """
import os, resource, sys
from pathlib import Path
from assent.capabilities.fs import Workspace
from assent.errors import AssentError
root, limit = Path(sys.argv[1]), sys.argv[2]
files = Workspace.open(root, hidden=[root / ".assent"]).files
if limit == "size":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
elif os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    files.write("docs/new.txt", [b"x" * 5000], key="k")
except AssentError as error:
    print(type(error).__name__, error.code, error.hint)
"""


@pytest.mark.parametrize(("limit", "answer"), [("size", "FILE_TOO_LARGE"), ("user", "ACCESS_DENIED")])
def test_what_the_system_refuses_leaves_nothing_and_says_why(hands: Hands, limit: str, answer: str) -> None:
    """A real limit on file sizes, a real user without permission."""
    hands.root.chmod(0o755)
    (hands.root / "docs").chmod(0o755 if limit == "size" else 0o555)
    command = [sys.executable, "-c", _LIMITED, str(hands.root), limit]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.stdout.startswith(f"NoEffectError {answer}"), ran.stderr
    assert sorted(path.name for path in (hands.root / "docs").iterdir()) == ["a.txt", "b.bin"]


def test_a_preview_is_a_unified_diff(hands: Hands) -> None:
    shown = hands.preview("io.fs.write_file", path="docs/a.txt", content="one\n2\nthree")
    assert shown.kind == "unified"
    assert shown.changes
    assert shown.diff == (
        "--- a/docs/a.txt\n+++ b/docs/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n-three\n+2\n+three\n\\ No newline at end of file\n"
    )


def test_a_preview_of_what_is_no_text_is_a_summary(hands: Hands) -> None:
    shown = hands.preview("io.fs.write_bytes", path="docs/b.bin", content_base64="AAEC", overwrite=True)
    assert shown.diff.startswith("binary or large file docs/b.bin: 16 bytes, mode 0644, sha256 ")
    assert shown.diff.count("\n") == 1


def test_a_preview_of_a_move_shows_names_and_what_is_replaced(hands: Hands) -> None:
    assert (
        hands.preview("io.fs.move", source="docs", destination="d").diff == "rename from docs\nrename to d\n"
    )
    (hands.root / "c.txt").write_text("old\n")
    shown = hands.preview("io.fs.move", source="docs/a.txt", destination="c.txt", overwrite=True)
    assert "-old\n+one\n" in shown.diff


def test_a_preview_of_a_delete_lists_everything(hands: Hands) -> None:
    (hands.root / "docs" / "link").symlink_to("a.txt")
    diff = hands.preview("io.fs.delete", path="docs", recursive=True).diff
    assert "directory (mode 0755) -> nothing: docs\n" in diff
    assert "link to a.txt -> nothing: docs/link\n" in diff
    assert "--- a/docs/a.txt\n+++ /dev/null\n" in diff
    assert "docs/b.bin" in diff


def test_a_preview_names_each_path_however_much_differs(hands: Hands) -> None:
    """Past a limit the lines of a file are left out, and its digest stands for them."""
    content = "".join(f"{line}\n" for line in range(4000))
    for number in range(70):
        (hands.root / "docs" / f"{number:02}.txt").write_text(content)
    diff = hands.preview("io.fs.delete", path="docs", recursive=True).diff
    assert len(diff) < 1_200_000
    last = f"file (its lines are not shown here) docs/69.txt: {len(content)} bytes, mode 0644, sha256 "
    assert f"{last}{hashlib.sha256(content.encode()).hexdigest()} -> nothing\n" in diff
    assert all(f"docs/{number:02}.txt" in diff for number in range(70))


def test_a_preview_counts_what_it_does_not_name(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_diff, "DIFF_CHARS_MAX", 40)
    monkeypatch.setattr(_diff, "HEADS_CHARS_MAX", 100)
    for number in range(9):
        (hands.root / "docs" / f"c{number}").write_text("x\n")
    diff = hands.preview("io.fs.delete", path="docs", recursive=True).diff
    named = sum(f"docs/{name}" in diff for name in ("a.txt", "b.bin", *(f"c{number}" for number in range(9))))
    assert 0 < named < 11
    assert diff.endswith(f"… and {11 - named} more paths\n")


@pytest.mark.parametrize("content", ["#!/bin/sh\n", "#!/bin/sh\0"], ids=["text", "binary"])
def test_a_preview_begins_with_what_wants_a_look(hands: Hands, content: str) -> None:
    """A new program, a name that hides something: not behind whatever else is there."""
    for name, mode in (("a", 0o644), ("sly\u200b", 0o644), ("zz.sh", 0o755)):
        (hands.root / "docs" / name).write_text(content)
        (hands.root / "docs" / name).chmod(mode)
    heads = _heads(hands.preview("io.fs.copy", source="docs", destination="d").diff)
    assert "d/sly\\u200b" in heads[0]
    assert "d/zz.sh" in heads[1]
    assert "mode 0755 (executable)" in heads[1]


HOSTILE_NAMES = [
    "a.txt\nnew file b.txt, mode 0644, 2 bytes",
    "\n--- a/other\n+++ /dev/null",
    "\r\x1b[2K",
    "\u202egnp.exe",
    "sly\u2028line",
    *(f"a{hidden}b" for hidden in "\xad\u034f\u180e\u200b\u2060\u3164\ufe0f\U000e0041\U000e0100"),
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
@pytest.mark.parametrize("shape", ["text", "binary", "link", "target", "folder"])
def test_no_name_forges_a_line_of_a_preview_or_hides_in_it(hands: Hands, name: str, shape: str) -> None:
    path = hands.root / "docs" / name.replace("/", "_")
    match shape:
        case "link":
            path.symlink_to("a.txt")
        case "target":
            (hands.root / "docs" / "link").symlink_to(name)
        case "folder":
            path.mkdir()
        case _:
            path.write_text("x\n" if shape == "text" else "\0")
    ends: dict[str, Any] = {"source": "docs", "destination": "d" + name.replace("/", "_")}
    calls: list[tuple[str, dict[str, Any], int]] = [
        ("io.fs.delete", {"path": "docs", "recursive": True}, 4),
        ("io.fs.copy", ends, 4),
        ("io.fs.move", ends, 2),
    ]
    for capability, given, entries in calls:
        diff = hands.preview(capability, **given).diff
        assert safe(diff) == diff
        assert len(_heads(diff)) == entries


def _heads(diff: str) -> list[str]:
    """The lines of a preview that name what differs; the others are of a file, and have a sign before them."""
    return [line for line in diff.split("\n") if line and line[0] not in " +-@\\"]


def test_a_base_changes_with_what_the_call_would_meet(hands: Hands) -> None:
    """An approval is bound to it: also a copy's source, which is only read, counts."""
    parameters = {"source": "docs/a.txt", "destination": "copy.txt"}
    first = hands.preview("io.fs.copy", **parameters).base
    assert hands.preview("io.fs.copy", **parameters).base == first
    (hands.root / "docs" / "a.txt").write_text("changed")
    assert hands.preview("io.fs.copy", **parameters).base != first


def test_what_changed_nothing_takes_nothing_back(hands: Hands) -> None:
    """A file that already was as the call wants it is not the call's: its end meanwhile is nobody's conflict."""
    step = hands.do("io.fs.write_file", path="docs/a.txt", content=(hands.root / "docs/a.txt").read_text())
    (hands.root / "docs" / "a.txt").unlink()
    after = tree_of(hands.root)
    assert step.compensate() == {"restored": []}
    assert tree_of(hands.root) == after


def test_nothing_is_left_behind_in_an_ordinary_life(hands: Hands) -> None:
    """No temporary name survives a call or its undo."""
    before = tree_of(hands.root)
    steps = [
        hands.do("io.fs.write_file", path="n/x", content="x", create_dirs=True),
        hands.do("io.fs.copy", source="docs", destination="n/docs"),
        hands.do("io.fs.delete", path="docs", recursive=True),
    ]
    for step in reversed(steps):
        step.compensate()
    assert tree_of(hands.root) == before
