"""Folders for temporary files go with their program, or after the process that made them was killed, and no sooner."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assent.capabilities.area import Check
from assent.capabilities.exec.area import home_in
from assent.errors import WorldError
from assent.runtime.doctor._hands import scratch_check
from assent.sandbox import Confinement, Sandbox, Scratch, _scratch, hold
from assent.sandbox._detect import detect
from assent.sandbox._launcher import Launcher
from tests.support.bodies import Place

RUNS_A_PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from assent.sandbox import Confinement, Sandbox
from assent.sandbox._detect import detect
from assent.sandbox._launcher import Launcher

async def main():
    launcher = Launcher()
    machine, holds = detect(launcher, "native", namespaces=False)
    sandbox = Sandbox(launcher, machine, holds, unconfined=True)
    line = "cd $TMPDIR && mkdir -p a/b && mkdir -m 0 closed && echo much > a/b/c && pwd && exec cat"
    child = await sandbox.start(["sh", "-c", line], Confinement(root=Path(sys.argv[1])))
    print(os.read(child.stdout, 1000).decode(), end="", flush=True)
    await child.wait()

asyncio.run(main())
"""


REMOVES_AS_A_USER = """
import os, subprocess, sys, tempfile
from pathlib import Path
from assent.sandbox import Sandbox

if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
folder = Path(tempfile.mkdtemp())
subprocess.run(["sh", "-c", sys.argv[1]], cwd=folder, check=True)
Sandbox.discard(folder)
print("left" if folder.exists() else "removed")
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files that is this test's alone, here and in processes that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@contextmanager
def another(root: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that runs a program which ends with it, and that program's folder; killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", RUNS_A_PROGRAM, str(root)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def folders(temporary: Path) -> set[Path]:
    return {one for one in temporary.iterdir() if one.name.startswith("assent-scratch-")}


@pytest.mark.parametrize(
    "left",
    [
        "mkdir -p a/b; touch a/b/c; chmod 0 a/b; chmod 0 a",
        "mkdir -p a/b; touch a/b/c; chmod 500 a/b a .",
        "mkdir -p a; touch a/b; chmod 400 a",
        "ln -s . a; ln -s /nowhere b; mkdir c; ln -s c d; chmod 0 c",
    ],
    ids=["closed", "read-only", "not to be entered", "links"],
)
def test_what_a_program_closed_is_removed(left: str, clean_env: dict[str, str]) -> None:
    """By an ordinary user too, whom modes keep out: some tools leave folders that nothing may be removed from."""
    command = [sys.executable, "-c", REMOVES_AS_A_USER, left]
    ended = subprocess.run(command, capture_output=True, text=True, env=clean_env, check=False)
    assert ended.stdout == "removed\n", ended.stderr


async def test_what_a_killed_command_left_goes_with_the_next(temporary: Path, tmp_path: Path) -> None:
    """A real SIGKILL; what a living one uses stays, and a state in which no program was run is opened without looking."""
    place = Place(tmp_path)
    place.settings()
    with another(place.workspace) as (killed, its), another(place.workspace) as (_, used):
        assert its.parent != used.parent
        assert folders(temporary) == {its.parent, used.parent}
        assert scratch_check().seen == "2 in use"
        killed.kill()
        killed.wait()
        check = scratch_check()
        assert check.status == "warning"
        assert check.seen.startswith("1 in use, 1 left by a killed command (")
        async with place.open(box=False):
            assert its.is_dir()
        home_in(place.settings().state).mkdir(mode=0o700)
        async with place.open(box=False):
            assert folders(temporary) == {used.parent}
        assert (used / "a/b/c").read_text() == "much\n"


async def test_what_a_killed_command_left_goes_when_a_program_is_started(
    temporary: Path, tmp_path: Path
) -> None:
    with another(tmp_path) as (killed, its):
        killed.kill()
        killed.wait()
        assert folders(temporary) == {its.parent}
    launcher = Launcher()
    machine, holds = detect(launcher, "native", namespaces=False)
    with Sandbox(launcher, machine, holds, unconfined=True) as sandbox:
        ended = await sandbox.run(["sh", "-c", "echo $TMPDIR"], Confinement(root=tmp_path))
    assert ended.stdout.strip() not in {b"", os.fsencode(its)}
    assert folders(temporary) == set()
    assert scratch_check() == Check("temporary folders", "ok", "none", None)


def test_only_folders_of_this_user_are_looked_at(temporary: Path, tmp_path: Path) -> None:
    """A link with such a name leads to somebody's work, and a file is no folder."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (temporary / "assent-scratch-link").symlink_to(theirs)
    (temporary / "assent-scratch-file").touch()
    (temporary / "another").mkdir()
    if os.geteuid() == 0:
        (temporary / "assent-scratch-foreign").mkdir()
        os.chown(temporary / "assent-scratch-foreign", 65_534, -1)
    before = {*temporary.iterdir()}
    assert [*Scratch.look()] == []
    Scratch.make().remove()
    assert {*temporary.iterdir()} == before
    assert theirs.is_dir()


def test_a_folder_that_was_swept_before_it_was_held_is_made_anew(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may sweep in that very moment: it takes the new folder for one that was left."""
    ways = iter(("held by the other", "gone", "gone once it is held"))

    def raced(folder: Path) -> int | None:
        way = next(ways, "alone")
        if way == "gone":
            folder.rmdir()
        held = None if way == "held by the other" else hold(folder)
        if way == "gone once it is held":
            folder.rmdir()
        return held

    monkeypatch.setattr(_scratch, "hold", raced)
    scratch = Scratch.make()
    assert scratch.path.is_dir()
    assert folders(temporary) == {scratch.path.parent}
    scratch.remove()
    scratch.remove()
    assert folders(temporary) == set()


def test_where_no_folder_can_be_held_no_program_is_started(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_scratch, "hold", lambda _folder: None)
    with pytest.raises(WorldError) as caught:
        Scratch.make()
    assert caught.value.code == "SANDBOX_FAILED"
    assert folders(temporary) == set()


PROBES_AND_DIES = """
import os, signal
from assent.sandbox._detect import detect
from assent.sandbox._launcher import Launcher

class Killed(Launcher):
    def try_out(self, plan):
        os.kill(os.getpid(), signal.SIGKILL)

detect(Killed(), "native")
"""


def test_what_a_killed_probe_left_goes_with_the_next(temporary: Path) -> None:
    launcher = Launcher()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", PROBES_AND_DIES], env=environment, check=False)
        assert len([*temporary.iterdir()]) == 1
    try:
        detect(launcher, "native")
    finally:
        launcher.close()
    assert [*temporary.iterdir()] == []
