"""What packing and unpacking do, refuse and take back when nobody means harm."""

from __future__ import annotations

import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.archive._limits import go_on
from assent.errors import RefusedError
from assent.invocation import CancelToken, NoEffectError
from assent.spec.states import Verdict
from tests.support.archives import TarEntry, ZipEntry, tar_of, zip_of
from tests.support.hands import Hands, Step, without_times

FORMATS = ["zip", "tar", "tar.gz", "tar.zst", "tgz", "tzst"]


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    (tmp_path / "docs" / "inner").mkdir(parents=True)
    (tmp_path / "docs" / "empty").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("alpha\n" * 100)
    (tmp_path / "docs" / ("n" * 150)).write_text("a long name\n")
    (tmp_path / "docs" / "inner" / "ü.bin").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "docs" / "inner" / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "docs" / "inner" / "run.sh").chmod(0o6755)
    made = Hands.on(tmp_path)
    yield made
    made.workspace.close()


def refusal(hands: Hands, capability: str, **parameters: Any) -> NoEffectError:
    before = hands.tree()
    with pytest.raises(NoEffectError) as caught:
        hands.do(capability, **parameters)
    assert hands.tree() == before
    return caught.value


def below(hands: Hands, top: str) -> dict[str, tuple[str, int, bytes]]:
    found = without_times(hands.tree())
    return {path.removeprefix(top): state for path, state in found.items() if path.startswith(f"{top}/")}


@pytest.mark.parametrize("ending", FORMATS)
def test_what_is_packed_is_unpacked(hands: Hands, ending: str) -> None:
    before, archive = hands.tree(), f"made/{'deep/' * (ending == 'tar')}out.{ending}"
    pack = hands.do("sys.archive.pack", sources=["docs"], destination=archive, create_dirs=True)
    packed = pack.execute()
    assert (packed["entries"], packed["replaced"], packed["changed"]) == (7, False, True)
    assert packed["size"] == (hands.root / archive).stat().st_size
    unpack = hands.do("sys.archive.unpack", source=archive, destination="x/y", create_dirs=True)
    assert unpack.execute() == {
        "path": "x/y",
        "format": packed["format"],
        "files": 4,
        "folders": 3,
        "size": packed["bytes_in"],
    }
    wanted = below(hands, "docs")
    mode = wanted["/a.txt"][1] | (wanted["/inner"][1] & 0o111)
    # Of a mode only "may be executed" travels; bits that change who runs it do not.
    wanted["/inner/run.sh"] = ("file", mode, b"#!/bin/sh\n")
    assert below(hands, "x/y/docs") == wanted
    assert unpack.reconcile().output == unpack.execute()
    unpack.compensate()
    pack.compensate()
    assert hands.tree() == before


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_one_file_is_packed_and_unpacked(hands: Hands, ending: str) -> None:
    before = hands.tree()
    pack = hands.do("sys.archive.pack", sources=["docs/a.txt"], destination=f"a.{ending}")
    unpack = hands.do("sys.archive.unpack", source=f"a.{ending}", destination="b.txt")
    assert (hands.root / "b.txt").read_bytes() == (hands.root / "docs/a.txt").read_bytes()
    assert unpack.execute()["files"] == 1
    assert unpack.reconcile().verdict is Verdict.YES
    unpack.compensate()
    pack.compensate()
    assert hands.tree() == before
    for sources in (["docs"], ["docs/a.txt", "docs/inner/run.sh"], ["docs/empty"]):
        found = refusal(hands, "sys.archive.pack", sources=sources, destination=f"x.{ending}")
        assert found.code == "ARCHIVE_UNSUPPORTED"


@pytest.mark.parametrize("ending", [*FORMATS, "gz", "zst"])
def test_packing_again_gives_the_same_bytes(hands: Hands, ending: str, tmp_path: Path) -> None:
    """Neither times nor the order of sources nor the folder's own order count; an unchanged archive is not written again."""
    one_file = ending in ("gz", "zst")
    sources = ["docs/a.txt"] if one_file else ["docs", "docs/a.txt"]
    hands.do("sys.archive.pack", sources=sources, destination=f"one.{ending}")
    for path in (tmp_path / "docs").rglob("*"):
        os.utime(path, ns=(5, 5))
    step = hands.do("sys.archive.pack", sources=sources[::-1], destination=f"two.{ending}")
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
    again = hands.do("sys.archive.pack", sources=sources, destination=f"two.{ending}", overwrite=True)
    assert again.execute()["changed"] is False
    assert step.reconcile().verdict is Verdict.YES


def test_other_programs_read_what_is_packed(hands: Hands, tmp_path: Path) -> None:
    for ending in ("zip", "tar.gz"):
        hands.do("sys.archive.pack", sources=["docs"], destination=f"out.{ending}")
    with zipfile.ZipFile(tmp_path / "out.zip") as made:
        assert made.testzip() is None
        names = [name.rstrip("/") for name in made.namelist()]
    with tarfile.open(tmp_path / "out.tar.gz") as made_tar:
        assert (
            [member.name for member in made_tar] == names == sorted(names, key=lambda name: name.split("/"))
        )
        assert {(member.uid, member.uname, member.mtime) for member in made_tar} == {(0, "", 0)}
    listed = subprocess.run(
        ["tar", "tzf", tmp_path / "out.tar.gz"], check=True, capture_output=True, text=True
    ).stdout
    assert len(listed.splitlines()) == len(names)


def test_names_are_relative_to_the_base(hands: Hands, tmp_path: Path) -> None:
    hands.do("sys.archive.pack", sources=["docs/inner", "docs"], base="docs", destination="out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as made:
        assert "inner/run.sh" in made.namelist()
    found = refusal(hands, "sys.archive.pack", sources=["docs"], base="docs/inner", destination="x.zip")
    assert found.code == "PATH_INVALID"


def test_the_whole_workspace_is_packed_without_the_state_and_the_archive_itself(
    hands: Hands, tmp_path: Path
) -> None:
    (tmp_path / ".assent" / "secret").write_text("state")
    for _ in range(2):
        hands.do("sys.archive.pack", sources=["."], destination="docs/all.zip", overwrite=True)
        with zipfile.ZipFile(tmp_path / "docs/all.zip") as made:
            names = made.namelist()
        assert "docs/a.txt" in names
        assert not [name for name in names if "assent" in name or name.endswith(".zip")]


def test_links_are_refused_and_not_followed(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "docs" / "link").symlink_to("/etc/passwd")
    found = refusal(hands, "sys.archive.pack", sources=["docs"], destination="x.zip")
    assert (found.code, found.path) == ("ARCHIVE_KIND_REFUSED", "docs/link")
    assert refusal(hands, "sys.archive.pack", sources=["docs/link"], destination="x.zip").code == found.code
    (tmp_path / "x.zip").symlink_to("/etc/passwd")
    for parameters in ({"source": "x.zip", "destination": "n"}, {"source": "ok.zip", "destination": "x.zip"}):
        assert refusal(hands, "sys.archive.unpack", **parameters).code == "PATH_ESCAPES"


def test_a_target_that_exists_is_refused(hands: Hands, tmp_path: Path) -> None:
    """Whatever stands there: an archive never mixes with files that it did not bring."""
    (tmp_path / "x.zip").write_bytes(zip_of(ZipEntry(name=b"f")))
    for target in ("docs", "docs/a.txt", "docs/empty"):
        assert refusal(hands, "sys.archive.unpack", source="x.zip", destination=target).code == "FILE_EXISTS"
    assert refusal(hands, "sys.archive.unpack", source="x.zip", destination=".").code == "PATH_INVALID"
    assert refusal(hands, "sys.archive.unpack", source="x.zip", destination="n/m").code == "FILE_NOT_FOUND"
    assert refusal(hands, "sys.archive.unpack", source="gone.zip", destination="n").code == "FILE_NOT_FOUND"
    assert (
        refusal(hands, "sys.archive.unpack", source="docs", destination="n", format="zip").code
        == "IS_A_DIRECTORY"
    )
    assert refusal(hands, "sys.archive.pack", sources=["docs"], destination="x.zip").code == "FILE_EXISTS"
    assert refusal(hands, "sys.archive.pack", sources=["gone"], destination="y.zip").code == "FILE_NOT_FOUND"


def test_the_name_or_the_caller_says_the_format(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(zip_of(ZipEntry(name=b"f")))
    found = refusal(hands, "sys.archive.unpack", source="data", destination="n")
    assert found.code == "ARCHIVE_FORMAT_UNKNOWN"
    assert "tar.zst" in (found.hint or "")
    assert (
        refusal(hands, "sys.archive.unpack", source="data", destination="n", format="tar").code
        == "ARCHIVE_INVALID"
    )
    hands.do("sys.archive.unpack", source="data", destination="n", format="zip").compensate()
    (tmp_path / "D.ZIP").write_bytes((tmp_path / "data").read_bytes())
    hands.do("sys.archive.unpack", source="D.ZIP", destination="n")


@pytest.mark.parametrize("data", [zip_of(), tar_of(), tar_of(TarEntry(name=b"./", kind=b"5"))])
def test_an_archive_of_nothing_is_an_empty_folder(hands: Hands, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    before = hands.tree()
    form = "zip" if data[:2] == b"PK" else "tar"
    step = hands.do("sys.archive.unpack", source="x", destination="n", format=form)
    assert list((tmp_path / "n").iterdir()) == []
    step.compensate()
    assert hands.tree() == before


def test_folders_are_made_once_whoever_names_them(hands: Hands, tmp_path: Path) -> None:
    """Some archives name a folder after what is in it, or never."""
    folder = ZipEntry(name=b"d/", mode=0o40755, method=0)
    (tmp_path / "x.zip").write_bytes(zip_of(ZipEntry(name=b"d/e/f", data=b"x"), folder))
    hands.do("sys.archive.unpack", source="x.zip", destination="n")
    assert hands.preview("sys.archive.unpack", source="x.zip", destination="m").diff.startswith(
        "unpack into m: 1 file, 2 folders, 1 byte\n"
    )
    assert set(below(hands, "n")) == {"/d", "/d/e", "/d/e/f"}


def test_the_preview_lists_what_would_appear(hands: Hands, tmp_path: Path) -> None:
    hands.do("sys.archive.pack", sources=["docs"], destination="out.zip")
    before = hands.tree()
    shown = hands.preview("sys.archive.unpack", source="out.zip", destination="n")
    assert shown.diff.startswith("unpack into n: 4 files, 3 folders, ")
    for name in ("n/docs/inner/run.sh", "n/docs/empty", "+alpha"):
        assert name in shown.diff
    packed = hands.preview("sys.archive.pack", sources=["docs"], destination="new.zip")
    assert packed.diff.startswith("pack 7 entries, ")
    assert hands.tree() == before
    # The state that the previews were made on: another archive, other sources.
    (tmp_path / "docs/a.txt").write_text("changed")
    hands.do("sys.archive.pack", sources=["docs"], destination="out.zip", overwrite=True)
    assert hands.preview("sys.archive.unpack", source="out.zip", destination="n").base != shown.base
    assert hands.preview("sys.archive.pack", sources=["docs"], destination="new.zip").base != packed.base


def test_what_changed_since_the_plan_is_not_done(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zip_of(ZipEntry(name=b"f", data=b"planned")))
    unpack = hands.step("sys.archive.unpack", source="x.zip", destination="n").prepare()
    pack = hands.step("sys.archive.pack", sources=["docs"], destination="y.zip").prepare()
    (tmp_path / "x.zip").write_bytes(zip_of(ZipEntry(name=b"f", data=b"another")))
    (tmp_path / "docs/a.txt").write_text("another")
    before = hands.tree()
    for step in (unpack, pack):
        with pytest.raises(NoEffectError) as caught:
            step.execute()
        assert caught.value.code == "FILE_CHANGED"
    assert hands.tree() == before


def test_somebody_elses_change_is_not_taken_back(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zip_of(ZipEntry(name=b"f", data=b"x"), ZipEntry(name=b"g", data=b"y")))
    unpack = hands.do("sys.archive.unpack", source="x.zip", destination="n")
    pack = hands.do("sys.archive.pack", sources=["docs"], destination="y.zip")
    (tmp_path / "n/f").write_text("mine now")
    (tmp_path / "y.zip").write_text("mine now")
    before = hands.tree()
    for step in (unpack, pack):
        with pytest.raises(RefusedError) as caught:
            step.compensate()
        assert caught.value.code == "COMPENSATION_CONFLICT"
    assert hands.tree() == before


def ended(step: Step) -> str:
    """The code that a call was refused with; empty when it succeeded."""
    try:
        step.execute()
    except NoEffectError as error:
        return error.code
    return ""


@pytest.mark.parametrize("capability", ["sys.archive.pack", "sys.archive.unpack"])
def test_a_cancelled_call_leaves_nothing(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capability: str
) -> None:
    """Wherever it is told to stop: the step's time limit works the same way."""
    (tmp_path / "x.zip").write_bytes(
        zip_of(*(ZipEntry(name=b"%d" % number, data=b"x" * 99) for number in range(5)))
    )
    before = without_times(hands.tree())
    for count in range(1, 40):
        parameters: dict[str, Any] = (
            {"sources": ["docs"], "destination": "y.zip"}
            if capability.endswith(".pack")
            else {"source": "x.zip", "destination": "n"}
        )
        step = hands.step(capability, **parameters).prepare()
        left = [count]

        def stop(cancel: CancelToken, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                cancel.cancel()
            go_on(cancel)

        with monkeypatch.context() as patch:
            for module in ("_limits", "_formats", "_pack"):
                patch.setattr(f"assent.capabilities.archive.{module}.go_on", stop)
            code = ended(step)
        if not code:
            step.compensate()
            assert count > 3
            return
        assert code == "CALL_CANCELLED"
        assert without_times(hands.tree()) == before
    pytest.fail("the call never ended")


def test_larger_archives_than_allowed_are_neither_read_nor_written(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.zip").write_bytes(zip_of(ZipEntry(name=b"f", data=bytes(range(256)), method=0)))
    for module in ("_formats", "_pack"):
        monkeypatch.setattr(f"assent.capabilities.archive.{module}.ARCHIVE_BYTES_MAX", 100)
    found = refusal(hands, "sys.archive.unpack", source="x.zip", destination="n")
    assert found.code == "FILE_TOO_LARGE"
    assert refusal(hands, "sys.archive.pack", sources=["docs"], destination="y.zip").code == "FILE_TOO_LARGE"
    monkeypatch.setattr("assent.capabilities.archive._pack.NODES_MAX", 2)
    assert refusal(hands, "sys.archive.pack", sources=["docs"], destination="y.zip").code == "TREE_TOO_LARGE"


def test_a_file_that_changes_while_it_is_packed_is_told(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = type(hands.workspace.files)
    read = files.read
    monkeypatch.setattr(files, "read", lambda self, path: [*read(self, path), b"more"])
    assert refusal(hands, "sys.archive.pack", sources=["docs"], destination="y.tar").code == "FILE_CHANGED"


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_a_name_that_is_no_utf_8_is_not_packed(hands: Hands, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path / "docs") + b"/\xff")).write_text("x")
    for ending in ("zip", "tar"):
        found = refusal(hands, "sys.archive.pack", sources=["docs"], destination=f"x.{ending}")
        assert found.code == "ARCHIVE_NAME_REFUSED"


def test_without_a_pre_image_a_replaced_archive_is_not_restored(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("stood before")
    step = hands.step(
        "sys.archive.pack", keep=False, sources=["docs"], destination="x.zip", overwrite=True
    ).prepare()
    step.execute()
    with pytest.raises(RefusedError) as caught:
        step.compensate()
    assert caught.value.code == "UNDO_IMPOSSIBLE"
