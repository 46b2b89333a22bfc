"""Ctrl-C and a second terminal's cancel while a program runs: all of it dies as one, and the run can go on or is taken back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Nursery
from tests.support.patience import PATIENCE_S
from tests.support.terminals import Terminals, terminals_with_programs

_WORKFLOW = """\
name: {name}
steps:
  - name: note
    capability: io.fs.write_file
    inputs: {{path: note.txt, content: "noted\\n"}}
  - name: program
    capability: sys.exec.{name}
    inputs: {{argv: [sh, -c, "echo x > half.txt; setsid sh -c 'sleep {marker}' & sleep {marker}"]}}
"""

# Takes the terminal on its standard streams for its own, as a shell's foreground job has it.
_IN_TERMINAL = """\
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def marker() -> str:
    """A number of seconds that no other process sleeps."""
    return f"600.{os.getpid()}{time.monotonic_ns()}"


@pytest.fixture
def terminals(
    tmp_path: Path, clean_env: dict[str, str], nursery: Nursery, marker: str
) -> Iterator[Terminals]:
    config = '[exec.rules.all]\nprograms = ["sh"]\n[sandbox]\nwall = "1h"\n'
    with terminals_with_programs(tmp_path, clean_env, nursery, config) as terminals:
        for name in ("run", "run_captured"):
            terminals.write(f"{name}.yaml", _WORKFLOW.format(name=name, marker=marker))
        yield terminals


def processes_with(marker: str) -> int:
    """How many processes have this word on their command line."""
    count = 0
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if name.isdecimal():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            count += marker.encode() in words
    return count


def wait_until(condition: Callable[[], bool]) -> bool:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("name", ["run", "run_captured"])
def test_ctrl_c_ends_a_program_with_all_that_it_started_and_the_run_goes_on_later(
    terminals: Terminals, marker: str, name: str
) -> None:
    """In a terminal, by its own key. What the program was to do is done by whoever resumes, and not twice."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", _IN_TERMINAL, *terminals.command("run", f"{name}.yaml")]
    try:
        with subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=terminals.workspace, env=terminals.env
        ) as process:
            os.close(theirs)
            try:
                assert wait_until(lambda: processes_with(marker) == 2)
                os.write(ours, b"\x03")
                shown = _all_of(ours)
            finally:
                if processes_with(marker):
                    process.kill()
        assert process.returncode == 130, shown
    finally:
        os.close(ours)
    (run,) = terminals.answer("runs")
    assert f"interrupted; to go on: assent resume {run['run_id']}" in shown
    assert processes_with(marker) == 0
    assert run["status"] == "interrupted"
    resumed = terminals.begin("resume", run["run_id"])
    assert wait_until(lambda: processes_with(marker) == 2)
    assert terminals.answer("cancel", run["run_id"])["status"] == "cancelled"
    ended = resumed.end()
    assert ended.code == 1, ended
    assert processes_with(marker) == 0
    left = {one.name for one in terminals.workspace.iterdir()}
    assert left == {".assent", "assent.toml", "policy.yaml", "run.yaml", "run_captured.yaml"}
    assert [*(terminals.workspace / ".assent" / "sandbox").iterdir()] == []


def _all_of(terminal: int) -> str:
    """What a terminal shows until nobody writes to it any more."""
    shown = bytearray()
    while True:
        try:
            block = os.read(terminal, 1 << 16)
        except OSError:  # EIO: the last writer has gone
            return shown.decode(errors="replace")
        if not block:
            return shown.decode(errors="replace")
        shown += block
