"""No path leads out of the workspace: not by its text, not through links, not by a race."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext, suppress
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from assent.capabilities.fs import ConfinedFiles, OverlayFiles, Workspace
from assent.capabilities.fs.world import _syscalls
from assent.errors import InputError
from assent.invocation import Files, NoEffectError
from assent.secrets.redaction import Redactor
from tests.support.hands import Hands, tree_of
from tests.support.hostile_names import FACTS

ESCAPES = [
    "..",
    "../",
    "../outside.txt",
    "a/../../outside.txt",
    "a/..",
    "a/../a/in.txt",
    "./../outside.txt",
    "a/b/../../../outside.txt",
    "/etc/passwd",
    "//etc/passwd",
    "/",
    "../inside-twin/secret.txt",
    "..//..//outside.txt",
]
INVALID = ["", "a\0b", "\0", "x" * 256, "ü" * 128, "/".join(["a"] * 201), "a/" * 2100 + "a", "half\ud800"]
ODD_BUT_HONEST = [
    "...",
    "..a",
    "a..",
    "..\\outside.txt",
    "%2e%2e%2foutside.txt",
    "~",
    "C:\\x",
    "a:b",
    " ",
    "-rf",
    "\u2024\u2024",
]
LINKED = [
    "out/outside.txt",
    "deep/out/outside.txt",
    "file-link",
    "loop",
    "loop/x",
    "dir-link/in.txt",
    "self/in.txt",
]

OPERATIONS: dict[str, Callable[[Files, str], object]] = {
    "read": lambda files, path: b"".join(files.read(path)),
    "list": lambda files, path: files.list(path),
    "write": lambda files, path: files.write(path, [b"mine"], key="k"),
    "write new": lambda files, path: files.write(path, [b"mine"], key="k", replace=False),
    "make_dir": lambda files, path: files.make_dir(f"{path}/new"),
    "remove_file": lambda files, path: files.remove_file(f"{path}/x"),
    "remove_dir": lambda files, path: files.remove_dir(f"{path}/x"),
    "rename from": lambda files, path: files.rename(f"{path}/x", "taken", replace=True),
    "rename to": lambda files, path: files.rename("a/in.txt", f"{path}/x", replace=True),
    "make_link": lambda files, path: files.make_link(f"{path}/x", "y"),
    "set_attributes": lambda files, path: files.set_attributes(f"{path}/x", mode=0o777),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with neighbours that must stay untouched: one of them shares its prefix."""
    (tmp_path / "outside.txt").write_text("outside")
    (tmp_path / "inside-twin").mkdir()
    (tmp_path / "inside-twin" / "secret.txt").write_text("twin")
    inside = tmp_path / "inside"
    (inside / "a" / "b").mkdir(parents=True)
    (inside / "deep").mkdir()
    (inside / "a" / "in.txt").write_text("in")
    (inside / "out").symlink_to(tmp_path)
    (inside / "deep" / "out").symlink_to("../..")
    (inside / "file-link").symlink_to(tmp_path / "outside.txt")
    (inside / "dir-link").symlink_to("a")
    (inside / "self").symlink_to(".")
    (inside / "loop").symlink_to("loop")
    return inside


@pytest.fixture(params=["openat2", "walk", "overlay"])
def files(request: pytest.FixtureRequest, root: Path) -> Iterator[Files]:
    """The three ways to reach files: by the kernel's own confinement, by a walk of components, in imagination."""
    confined = ConfinedFiles(root, use_openat2=False if request.param == "walk" else None)
    if request.param == "openat2" and not confined.uses_openat2:
        confined.close()
        pytest.skip("this kernel, or the sandbox around this process, has no openat2")
    yield OverlayFiles(confined) if request.param == "overlay" else confined
    confined.close()


def outcomes(files: Files, root: Path, paths: Iterable[str]) -> Iterator[tuple[str, str, str | None]]:
    """Path, operation and what it is refused with, for each of both; none of them may change anything."""
    before = tree_of(root.parent)
    for path, (operation, act) in product(paths, OPERATIONS.items()):
        code = None
        try:
            act(files, path)
        except NoEffectError as error:
            code = error.code
        assert tree_of(root.parent) == before, (path, operation)
        yield path, operation, code


def test_a_path_that_names_the_outside_is_refused(files: Files, root: Path) -> None:
    assert [one for one in outcomes(files, root, ESCAPES) if one[2] != "PATH_ESCAPES"] == []


@pytest.mark.parametrize("imagined", [False, True])
def test_what_stood_there_before_goes_back_whatever_it_holds(root: Path, *, imagined: bool) -> None:
    redactor = Redactor()
    redactor.add("token", "a-value-that-was-handed-out")
    held = [b"token=a-value-that-was-", b"handed-out\n"]
    with closing(ConfinedFiles(root, redactor=redactor)) as confined:
        files: Files = OverlayFiles(confined, redactor) if imagined else confined
        with pytest.raises(NoEffectError) as caught:
            files.write("a/in.txt", held, key="k")
        assert caught.value.code == "SECRET_EXPOSED"
        files.write("a/in.txt", held, key="k", restores=True)
        assert b"".join(files.read("a/in.txt")) == b"".join(held)


def test_no_name_that_was_published_leads_outside(files: Files) -> None:
    """Hundreds of names that have led others out: each is refused, or names a place inside."""
    for fact in FACTS:
        for name in fact.names:
            climbs = name.startswith("/") or ".." in name.split("/")
            with suppress(NoEffectError):
                files.stat(name)
                assert not climbs, (fact.text, name)


@pytest.mark.parametrize("path", INVALID, ids=range(len(INVALID)))
def test_a_path_that_no_file_can_have_is_refused(files: Files, path: str) -> None:
    with pytest.raises(NoEffectError) as caught:
        files.stat(path)
    assert caught.value.code == "PATH_INVALID"
    caught.value.message.encode()  # It will be journaled: no lone surrogate may stand in it.


@pytest.mark.parametrize("path", ODD_BUT_HONEST)
def test_a_name_that_only_looks_dangerous_is_a_name(files: Files, path: str) -> None:
    """Nothing is decoded, expanded or guessed: such a name is a file of that name, inside."""
    files.write(path, [b"odd"], key="k")
    assert path in files.list(".")
    assert b"".join(files.read(path)) == b"odd"


def test_a_link_in_any_component_is_refused(files: Files, root: Path) -> None:
    """Also one that stays inside: what it points to may be another thing a moment later."""
    # "Write a new file" needs to know no more than that something stands there.
    known = {(operation, "PATH_ESCAPES") for operation in OPERATIONS} | {("write new", "FILE_EXISTS")}
    assert [one for one in outcomes(files, root, LINKED) if one[1:] not in known] == []


def test_a_link_itself_can_be_seen_and_removed(files: Files) -> None:
    assert files.read_link("file-link").endswith("outside.txt")
    files.remove_file("out")
    assert files.stat("out") is None
    assert "out" not in files.list(".")


def test_a_pipe_a_socket_and_a_device_are_refused(files: Files, root: Path) -> None:
    """And reading a pipe does not wait for a writer."""
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(root)  # A socket's path may have a hundred bytes only.
        listener.bind("socket")
        for name in ("pipe", "socket"):
            for operation in ("read", "write"):
                with pytest.raises(NoEffectError) as caught:
                    OPERATIONS[operation](files, name)
                assert caught.value.code == "FILE_KIND_UNSUPPORTED"


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("use_openat2", [None, False])
def test_a_folder_swapped_for_a_link_while_writing_leads_nowhere(
    root: Path, use_openat2: bool | None
) -> None:
    """The classic race: the path is checked, the folder becomes a link, the file is opened. Here both are one act."""
    confined = ConfinedFiles(root, use_openat2=use_openat2)
    outside = root.parent / "target"
    outside.mkdir()
    (outside / "victim.txt").write_text("untouched")
    (root / "swap").mkdir()
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            (root / "swap").rename(root / "aside")
            (root / "swap").symlink_to(outside)
            (root / "swap").unlink()
            (root / "aside").rename(root / "swap")

    attacker = threading.Thread(target=swap)
    attacker.start()
    outcomes = {"done": 0, "refused": 0}
    try:
        for number in range(3000):
            try:
                if number % 2:
                    confined.write("swap/victim.txt", [b"mine"], key="k")
                else:
                    data = b"".join(confined.read("swap/victim.txt"))
                    assert data == b"mine", "what stands outside was read"
                outcomes["done"] += 1
            except NoEffectError:
                outcomes["refused"] += 1
            if min(outcomes.values()) > 100:
                break
    finally:
        over.set()
        attacker.join()
        confined.close()
    assert outcomes["refused"] > 0, "the race was never met"
    assert [path.name for path in outside.iterdir()] == ["victim.txt"]
    assert (outside / "victim.txt").read_text() == "untouched"


def test_the_kernel_itself_confines_each_step_where_it_can(root: Path) -> None:
    """Asked for nothing, it refuses the size of what is asked; one that knows no such call, or may not, says so."""
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.syscall(437, -1, b".", None, 0)
    with closing(ConfinedFiles(root)) as files:
        assert files.uses_openat2 == (ctypes.get_errno() == errno.EINVAL)


def test_a_file_may_be_opened_under_the_first_number(files: Files) -> None:
    """As in a service whose standard input was closed."""
    held = os.dup(0)
    os.close(0)
    try:
        assert b"".join(files.read("a/in.txt")) == b"in"
    finally:
        os.dup2(held, 0)
        os.close(held)


def refusing(times: int, code: int) -> Callable[..., int]:
    """A call of the kernel that is refused so often, and then goes through."""
    call = _syscalls._libc.syscall
    refusals = iter(range(times))

    def refuse(*arguments: object) -> int:
        if next(refusals, None) is None:
            return int(call(*arguments))
        ctypes.set_errno(code)
        return -1

    return refuse


@pytest.mark.parametrize(
    ("times", "code", "refused"),
    [
        (2, errno.EAGAIN, None),
        (15, errno.EINTR, None),
        (16, errno.EAGAIN, "FILE_FAILED"),
        (1, errno.EACCES, "ACCESS_DENIED"),
    ],
)
def test_a_rename_on_the_way_is_waited_for_and_a_refusal_is_not(
    root: Path, monkeypatch: pytest.MonkeyPatch, times: int, code: int, refused: str | None
) -> None:
    with closing(ConfinedFiles(root)) as files:
        if not files.uses_openat2:
            pytest.skip("this kernel, or the sandbox around this process, has no openat2")
        monkeypatch.setattr(_syscalls, "_libc", SimpleNamespace(syscall=refusing(times, code)))
        if refused is None:
            assert files.list("a") == ["b", "in.txt"]
            return
        with pytest.raises(NoEffectError) as caught:
            files.list("a")
        assert caught.value.code == refused


def test_where_the_kernel_has_no_such_call_each_component_is_walked(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("_libc", SimpleNamespace(syscall=refusing(1, errno.ENOSYS))),
        ("sys", SimpleNamespace(platform="darwin")),
    ):
        with monkeypatch.context() as patch, closing(ConfinedFiles(root)) as before:
            patch.setattr(_syscalls, name, value)
            with closing(ConfinedFiles(root)) as files:
                assert not files.uses_openat2
                assert files.stat("a/in.txt") == before.stat("a/in.txt")


@pytest.mark.parametrize("taken", ["nothing", "file", "link"])
@pytest.mark.parametrize("refused", [None, 0, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EACCES])
def test_a_rename_onto_a_new_name_replaces_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, refused: int | None, taken: str
) -> None:
    """Without such a call (0), or where it is not known, it takes two; what is known and refused is not tried another way."""

    def refuse(*_: object) -> int:
        ctypes.set_errno(refused or 0)
        return -1

    if refused is not None:
        monkeypatch.setattr(_syscalls, "_rename_new", refuse if refused else None)
    if taken == "file":
        (root / "new").write_text("taken")
    elif taken == "link":
        (root / "new").symlink_to("nowhere")
    raised = PermissionError if refused == errno.EACCES else FileExistsError if taken != "nothing" else None
    before = tree_of(root)
    folder = os.open(root, os.O_RDONLY)
    with nullcontext() if raised is None else pytest.raises(raised):
        _syscalls.rename_new("deep", folder, "new", folder)
    os.close(folder)
    assert (tree_of(root) == before) == (raised is not None)
    assert (root / "new").is_dir() == (raised is None)


def build(files: Files) -> None:
    aside = files.temporary("tree", key="k")
    for path in (aside, f"{aside}/in"):
        files.make_dir(path)
    files.write(f"{aside}/in/file", [b"new"], key="k")
    files.rename(aside, "tree", replace=False)


def test_a_file_that_comes_while_a_new_one_is_written_stays(root: Path) -> None:
    def content() -> Iterator[bytes]:
        (root / "new").write_text("theirs")
        yield b"ours"

    with closing(ConfinedFiles(root)) as files:
        before = set(root.iterdir())
        with pytest.raises(NoEffectError) as caught:
            files.write("new", content(), key="k", replace=False)
        assert caught.value.code == "FILE_EXISTS"
    assert (root / "new").read_text() == "theirs"
    assert set(root.iterdir()) == before | {root / "new"}


# An act → the entries of the workspace flushed by then. What lies beneath a temporary name is flushed as it gets its own.
FLUSHED: dict[str, tuple[Callable[[Files], object], set[str]]] = {
    "write": (lambda files: files.write("a/new", [b"new"], key="k"), {"a", "a/new"}),
    "make_dir": (lambda files: files.make_dir("a/new"), {"a"}),
    "make_link": (lambda files: files.make_link("a/new", "b"), {"a"}),
    "remove_file": (lambda files: files.remove_file("a/in.txt"), {"a"}),
    "remove_dir": (lambda files: files.remove_dir("a/b"), {"a"}),
    "rename in place": (lambda files: files.rename("a/b", "a/new", replace=False), {"a"}),
    "rename to another folder": (lambda files: files.rename("a/b", "deep/b", replace=True), {"a", "deep"}),
    "build a tree": (build, {".", "tree", "tree/in", "tree/in/file"}),
}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a flush is another call")
@pytest.mark.parametrize("act", FLUSHED)
def test_what_is_told_as_done_outlasts_a_loss_of_power(
    root: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    do, wanted = FLUSHED[act]
    with closing(ConfinedFiles(root)) as files:
        do(files)
    assert {
        str(path.relative_to(root)) for path in (root, *root.rglob("*")) if path.lstat().st_ino in flushed
    } == wanted
    assert len(flushed) == len(wanted), "each once"


def test_a_new_folder_is_its_parents_groups_unless_its_mode_is_given(root: Path) -> None:
    (root / "a").chmod(0o2755)
    with closing(ConfinedFiles(root)) as files:
        files.make_dir("a/new")
        files.make_dir("a/given", mode=0o750)
    assert (root / "a" / "new").stat().st_mode & 0o7000 == 0o2000
    assert (root / "a" / "given").stat().st_mode & 0o7777 == 0o750


def test_the_root_may_be_reached_through_a_link_but_is_fixed_when_opened(root: Path) -> None:
    """The person who starts Assent names the root; what is inside it is nobody's to redirect."""
    entrance = root.parent / "entrance"
    entrance.symlink_to(root)
    confined = ConfinedFiles(entrance)
    entrance.unlink()
    entrance.symlink_to(root.parent / "inside-twin")
    assert confined.stat("a/in.txt") is not None
    assert confined.stat("secret.txt") is None
    confined.close()


def test_a_workspace_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", Path(__file__)):
        with pytest.raises(InputError) as caught:
            Workspace.open(path, hidden=[tmp_path / ".assent"])
        assert caught.value.code == "WORKSPACE_INVALID"


@pytest.mark.parametrize("capability", ["delete", "move", "make_dir"])
def test_the_root_itself_is_not_to_be_changed(root: Path, capability: str) -> None:
    hands = Hands.on(root)
    parameters = {"source": ".", "destination": "a/new"} if capability == "move" else {"path": "./"}
    before = hands.tree()
    assert hands.attempt(f"io.fs.{capability}", **parameters) in ("PATH_INVALID", "FILE_EXISTS")
    assert hands.tree() == before
    hands.workspace.close()
