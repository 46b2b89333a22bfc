"""What was written to a layer is captured as changes, completely and with bounds, and nothing of it leads out."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from assent.errors import AssentError
from assent.sandbox import Capture, Captured, CaptureLimits, Sandbox, _layer
from assent.sandbox._capture import _leads_out, captured
from assent.sandbox._layer import Layer, LayerKind, copy_workspace, new_layer, read_layer, record
from tests.sandbox.conftest import Ground


def told(changes: tuple[Captured, ...]) -> set[tuple[str, str, str]]:
    return {(one.path, one.change, one.kind) for one in changes}


async def test_every_kind_of_change_is_captured(sandbox: Sandbox, ground: Ground) -> None:
    (ground.root / "old").mkdir()
    (ground.root / "old" / "deep.txt").write_text("deep")
    (ground.root / "swap").write_text("a file")
    (ground.root / "link").symlink_to("a.txt")
    (ground.root / "touched").write_text("same")
    program = """
        echo more >> a.txt; echo new > n; mkdir -p e/f; echo in > e/f/g
        rm -r old; mkdir old; echo fresh > old/fresh
        rm swap; mkdir swap; ln n hard; rm link; ln -s src link
        ln -s /etc/shadow out; ln -s ../../up up; ln -s src/b.txt in
        echo same > t; printf same > touched; mkfifo pipe; rm src/b.txt
    """
    ended = await sandbox.run(["sh", "-c", program], ground.confinement(layer=True))
    assert ended.is_success, ended.stderr
    capture = sandbox.captured(ground.layer)
    assert told(capture.changes) == {
        ("a.txt", "changed", "file"),
        ("n", "added", "file"),
        ("hard", "added", "file"),
        ("e", "added", "folder"),
        ("e/f", "added", "folder"),
        ("e/f/g", "added", "file"),
        ("old/deep.txt", "removed", "file"),
        ("old/fresh", "added", "file"),
        ("swap", "removed", "file"),
        ("swap", "added", "folder"),
        ("link", "changed", "link"),
        ("in", "added", "link"),
        ("t", "added", "file"),
        ("src/b.txt", "removed", "file"),
    } | ({("old", "changed", "folder")} & told(capture.changes))
    assert {one.path for one in capture.refused} == {"out", "up", "pipe"}
    changed = next(one for one in capture.changes if one.path == "a.txt")
    with capture.open(changed) as file:
        assert file.read() == b"alpha\nmore\n"
    assert (ground.root / "a.txt").read_text() == "alpha\n"


async def test_second_program_sees_what_the_first_wrote(sandbox: Sandbox, ground: Ground) -> None:
    confinement = ground.confinement(layer=True)
    await sandbox.run(["sh", "-c", "echo one > n"], confinement)
    ended = await sandbox.run(["cat", "n"], confinement)
    assert ended.stdout == b"one\n"
    sandbox.discard(ground.layer)
    assert not ground.layer.exists()
    sandbox.discard(ground.layer)


async def test_capture_is_bounded(sandbox: Sandbox, ground: Ground) -> None:
    await sandbox.run(["sh", "-c", "echo 0123456789 > n; echo > m"], ground.confinement(layer=True))
    for limits in (CaptureLimits(bytes=5), CaptureLimits(entries=1)):
        with pytest.raises(AssentError) as caught:
            sandbox.captured(ground.layer, limits=limits)
        assert caught.value.code == "SANDBOX_LAYER_FULL"


def test_empty_layer_holds_no_change(sandbox: Sandbox, ground: Ground) -> None:
    assert sandbox.captured(ground.layer).changes == ()


def test_copy_leaves_out_what_is_hidden_and_what_is_no_file(ground: Ground) -> None:
    (ground.root / "link").symlink_to("a.txt")
    os.mkfifo(ground.root / "pipe")
    layer = copy_workspace(new_layer(ground.layer, ground.root, (str(ground.state),)), bytes_max=1 << 20)
    record(layer)
    assert sorted(one.name for one in Path(layer.tree).iterdir()) == ["a.txt", "link", "src"]
    capture = captured(read_layer(ground.layer), CaptureLimits())
    assert capture.changes == ()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(f"{layer.tree}/sock"))
    assert {refused.path for refused in captured(layer, CaptureLimits()).refused} == {"sock"}
    Path(layer.tree, "src").chmod(0)
    assert ("src", "changed", "folder") in told(captured(layer, CaptureLimits()).changes)
    Sandbox.discard(ground.layer)


def test_copy_leaves_out_unfinished_work_and_what_goes_meanwhile(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another call that is writing a file right now is no change of the program's, neither by coming nor by going."""
    (ground.root / "x.part").write_text("half")
    (ground.root / "gone").write_text("")
    copy_file = _layer._copy_file

    def copy(source: str, target: str) -> None:
        assert Path(target).parent.stat().st_mode & 0o777 == 0o700, "open to others only when it is whole"
        (ground.root / "gone").unlink(missing_ok=True)
        copy_file(source, target)

    monkeypatch.setattr(_layer, "_copy_file", copy)
    layer = copy_workspace(
        new_layer(ground.layer, ground.root, (str(ground.state),), r".*\.part"), bytes_max=1 << 20
    )
    record(layer)
    assert "x.part" not in {one.name for one in Path(layer.tree).iterdir()}
    found = read_layer(ground.layer)
    assert captured(found, CaptureLimits()).changes == ()
    (ground.root / "x.part").unlink()
    assert captured(found, CaptureLimits()).changes == ()


def test_what_came_to_a_copied_workspace_since_is_not_taken_for_removed(ground: Ground) -> None:
    """The program never saw it. What does meet is told: a folder that goes with somebody's new file, the same name."""
    (ground.root / "old").mkdir()
    (ground.root / "old" / "deep.txt").write_text("deep")
    (ground.root / "swap").mkdir()
    (ground.root / "swap" / "in.txt").write_text("in")
    layer = copy_workspace(new_layer(ground.layer, ground.root, (str(ground.state),)), bytes_max=1 << 20)
    record(layer)
    theirs = ("new.txt", "src/beside.txt", "swap/theirs.txt", "old/theirs.txt", "same.txt", "dir/theirs.txt")
    (ground.root / "dir").mkdir()
    for name in theirs:
        (ground.root / name).write_text("theirs")
    (ground.root / "link").symlink_to("a.txt")
    os.mkfifo(ground.root / "pipe")
    assert captured(layer, CaptureLimits()) == Capture((), (), layer.tree)
    tree = Path(layer.tree)
    (tree / "a.txt").unlink()
    (tree / "same.txt").write_text("mine")
    (tree / "dir").mkdir()
    (tree / "dir" / "mine.txt").write_text("mine")
    shutil.rmtree(tree / "old")
    shutil.rmtree(tree / "swap")
    (tree / "swap").mkdir(mode=(ground.root / "swap").stat().st_mode & 0o777)
    found = captured(read_layer(ground.layer), CaptureLimits())
    assert told(found.changes) == {
        ("a.txt", "removed", "file"),
        ("same.txt", "changed", "file"),
        ("dir/mine.txt", "added", "file"),
        ("old/deep.txt", "removed", "file"),
        ("old/theirs.txt", "removed", "file"),
        ("old", "removed", "folder"),
        ("swap/in.txt", "removed", "file"),
    }
    assert found.refused == ()


@pytest.mark.parametrize("how", ["times tell", "times stand still", "the owner was changed"])
def test_what_somebody_changed_since_it_was_copied_is_told_by_times(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Where these tell nothing, what is not as in the workspace is a change of the program's; what it did change always is."""
    for name in ("same.txt", "mine.txt", "gone.txt"):
        (ground.root / name).write_text("before")
    (ground.root / "link").symlink_to("a.txt")
    if how == "times stand still":
        monkeypatch.setattr(_layer, "_LOOKS_MAX", 0)
    layer = copy_workspace(new_layer(ground.layer, ground.root, (str(ground.state),)), bytes_max=1 << 20)
    record(layer)
    tree = Path(layer.tree)
    if how == "the owner was changed":
        for name in ("a.txt", "src/b.txt", "gone.txt", "link"):
            os.chown(tree / name, os.geteuid(), os.getegid(), follow_symlinks=False)
    (ground.root / "a.txt").write_text("theirs")
    (ground.root / "src" / "b.txt").chmod(0o600)
    (ground.root / "gone.txt").unlink()
    (ground.root / "link").unlink()
    (ground.root / "link").symlink_to("same.txt")
    times = (tree / "mine.txt").stat()
    (tree / "mine.txt").write_text("MINE..")
    os.utime(tree / "mine.txt", ns=(times.st_atime_ns, times.st_mtime_ns))
    mine = {("mine.txt", "changed", "file")}
    theirs = {
        ("a.txt", "changed", "file"),
        ("src/b.txt", "changed", "file"),
        ("gone.txt", "added", "file"),
        ("link", "changed", "link"),
    }
    found = told(captured(read_layer(ground.layer), CaptureLimits()).changes)
    assert found == (mine if how == "times tell" else mine | theirs)


async def test_what_somebody_changed_is_no_change_of_a_confined_program(
    sandbox: Sandbox, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind each kind of wall, on a copy; as root behind Landlock alone the copy gets another owner, and so another time."""
    monkeypatch.setattr(Sandbox, "_takes_overlay", lambda _self, _layer: False)
    ended = await sandbox.run(
        ["sh", "-c", "cat a.txt; echo more >> src/b.txt; echo > n"], ground.confinement(layer=True)
    )
    assert ended.is_success, ended.stderr
    layer = read_layer(ground.layer)
    assert layer is not None
    assert layer.kind is LayerKind.COPY
    (ground.root / "a.txt").write_text("theirs")
    (ground.root / "new.txt").write_text("theirs")
    is_given = os.getuid() == 0 and not sandbox._machine.namespaces and not sandbox._machine.wrapper
    mine = {("src/b.txt", "changed", "file"), ("n", "added", "file")}
    theirs = {("a.txt", "changed", "file")} if is_given else set()
    assert told(sandbox.captured(ground.layer).changes) == mine | theirs


def test_what_stands_in_a_folder_that_somebody_removed_is_told_whole(ground: Ground) -> None:
    """Half of it would be put in place else; whoever applies it sees that it met somebody's removal."""
    layer = copy_workspace(new_layer(ground.layer, ground.root, (str(ground.state),)), bytes_max=1 << 20)
    record(layer)
    shutil.rmtree(ground.root / "src")
    Path(layer.tree, "src", "mine.txt").write_text("mine")
    assert told(captured(layer, CaptureLimits()).changes) == {
        ("src", "added", "folder"),
        ("src/b.txt", "added", "file"),
        ("src/mine.txt", "added", "file"),
    }


@pytest.mark.skipif(os.getuid() == 0, reason="modes keep root from nothing")
def test_copy_names_what_it_can_not_read(ground: Ground) -> None:
    (ground.root / "src" / "b.txt").chmod(0)
    with pytest.raises(AssentError) as caught:
        copy_workspace(new_layer(ground.layer, ground.root, ()), bytes_max=1 << 20)
    assert caught.value.code == "SANDBOX_FAILED"
    assert str(ground.root / "src" / "b.txt") in caught.value.message


def test_copy_and_capture_hold_just_what_their_bounds_say(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of folders and links the names are counted, of files the bytes too."""

    def copied(bytes_max: int, entries_max: int) -> Layer:
        monkeypatch.setattr(_layer, "COPY_ENTRIES_MAX", entries_max)
        shutil.rmtree(ground.layer)
        ground.layer.mkdir()
        return copy_workspace(new_layer(ground.layer, ground.root, (str(ground.state),)), bytes_max=bytes_max)

    (ground.root / "to").symlink_to("src")
    layer = copied(11, 4)  # `a.txt`, `src`, `src/b.txt`, `to`
    assert told(captured(layer, CaptureLimits(bytes=0, entries=0)).changes) == set()
    Path(layer.tree, "to").unlink()
    Path(layer.tree, "new").mkdir()
    Path(layer.tree, "new", "n").write_text("12345")
    Path(layer.tree, "new", "l").symlink_to("n")
    assert told(captured(layer, CaptureLimits(bytes=5, entries=4)).changes) == {
        ("to", "removed", "link"),
        ("new", "added", "folder"),
        ("new/n", "added", "file"),
        ("new/l", "added", "link"),
    }
    for looked in (
        lambda: captured(layer, CaptureLimits(bytes=4, entries=4)),
        lambda: captured(layer, CaptureLimits(bytes=5, entries=3)),
        lambda: copied(10, 4),
        lambda: copied(11, 3),
    ):
        with pytest.raises(AssentError) as caught:
            looked()
        assert caught.value.code == "SANDBOX_LAYER_FULL"


def test_layer_lies_outside_of_what_it_covers(ground: Ground, tmp_path: Path) -> None:
    for folder in (ground.root / "src", tmp_path / "nowhere"):
        with pytest.raises(AssentError) as caught:
            new_layer(folder, ground.root, ())
        assert caught.value.code == "SANDBOX_INVALID"
    assert new_layer(ground.state, ground.root, (str(ground.state),)).kind is LayerKind.OVERLAY


def test_overlays_own_marks_are_understood(tmp_path: Path) -> None:
    """A folder that was replaced shows nothing of the workspace's, and a whiteout removes what it covers."""
    root, folder = tmp_path / "root", tmp_path / "layer"
    for one in (root / "d" / "e", root / "kept", folder / "upper" / "d", folder / "upper" / "kept"):
        one.mkdir(parents=True)
    (root / "d" / "e" / "f").write_text("f")
    (root / "kept" / "f").write_text("f")
    (folder / "upper" / "d" / "new").write_text("n")
    try:
        os.setxattr(folder / "upper" / "d", "user.overlay.opaque", b"y")
    except OSError:
        pytest.skip("this file system has no user attributes")
    found = captured(Layer(folder, LayerKind.OVERLAY, root, ()), CaptureLimits())
    assert told(found.changes) == {
        ("d/new", "added", "file"),
        ("d/e/f", "removed", "file"),
        ("d/e", "removed", "folder"),
    }


@pytest.mark.parametrize(
    ("path", "target", "is_out"),
    [
        ("l", "a.txt", False),
        ("d/l", "../a.txt", False),
        ("d/l", "./x//y", False),
        ("l", "../a.txt", True),
        ("d/l", "../../a", True),
        ("d/l", "x/../../a", True),
        ("l", "/etc/passwd", True),
        ("l", "x/..", True),
    ],
)
def test_links_that_might_lead_out_are_told(path: str, target: str, is_out: bool) -> None:
    assert _leads_out(path, target) is is_out
