"""Ctrl-C and SIGTERM: a run stops where it is, says how to go on, and goes on from there."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Nursery
from tests.support.own_places import own_places
from tests.support.terminals import Running, Terminals

HUGE_BYTES = 1 << 36
"""A sparse file of this size takes no room and half a minute to read: no call that reads it ends before a test ends it."""

_NAPS = """\
name: naps
steps:
  - name: note
    capability: io.fs.write_file
    inputs: {path: note.txt, content: "noted\\n"}
  - name: nap
    capability: sys.sleep
    inputs: {seconds: 600}
"""

_READS = """\
name: reads
steps:
  - name: note
    capability: io.fs.write_file
    inputs: {path: note.txt, content: "noted\\n"}
  - name: digest
    capability: io.fs.hash_file
    inputs: {path: huge.bin}
"""

# The compensation reads the huge file, so that the rollback is under way until the test ends it.
_ROLLS_BACK = """\
name: rolls_back
steps:
  - name: note
    capability: io.fs.write_file
    inputs: {path: note.txt, content: "noted\\n"}
  - name: slow
    capability: sys.noop
    compensation: {capability: io.fs.hash_file, inputs: {path: huge.bin}}
  - name: fail
    capability: sys.fail
"""

# Preparing a copy reads its source in one go, deaf to every request to stop: the worst handler there can be.
_IS_DEAF = """\
name: is_deaf
steps:
  - name: note
    capability: io.fs.write_file
    inputs: {path: note.txt, content: "noted\\n"}
  - name: copy
    capability: io.fs.copy
    inputs: {source: huge.bin, destination: copied.bin}
"""


@pytest.fixture
def terminals(tmp_path: Path, clean_env: dict[str, str], nursery: Nursery) -> Iterator[Terminals]:
    workspace = tmp_path / "ws"
    workspace.mkdir()
    with own_places(tmp_path, clean_env) as env, Terminals.at(workspace, env, nursery) as terminals:
        for text in (_NAPS, _READS, _ROLLS_BACK, _IS_DEAF):
            terminals.write(f"{text.split()[1]}.yaml", text)
        resize(terminals, HUGE_BYTES)
        yield terminals


def resize(terminals: Terminals, size: int) -> None:
    """Make the huge file as large as it has to be."""
    path = terminals.workspace / "huge.bin"
    path.touch()
    os.truncate(path, size)


def interrupted(terminals: Terminals, running: Running) -> str:
    """What every interrupt leads to: exit code 130, the command to go on with, a run that can go on, a sound ledger; its id."""
    ended = running.end()
    assert ended.code == 130, ended
    (run,) = terminals.answer("runs")
    assert f"interrupted; to go on: assent resume {run['run_id']}" in ended.err
    assert run["status"] == "interrupted"
    report = terminals.answer("audit", "verify")
    assert report["ok"] is True
    assert report["unsigned"] == 0, "a run that is stopped, not killed, leaves a signed ledger"
    return str(run["run_id"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_a_step_waits(terminals: Terminals, number: signal.Signals) -> None:
    """An async step is stopped at once; resumed, the run begins with that step, and can still be cancelled."""
    running = terminals.begin("run", "naps.yaml")
    running.wait_for("started", "nap")
    running.send(number)
    run = interrupted(terminals, running)
    resumed = terminals.begin("resume", run)
    resumed.wait_for("nap")
    resumed.send(number)
    assert interrupted(terminals, resumed) == run
    assert terminals.answer("cancel", run)["status"] == "cancelled"
    assert not (terminals.workspace / "note.txt").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_a_file_step_works(terminals: Terminals, number: signal.Signals) -> None:
    """A sync step sees its cancel token and its thread ends; resumed, the run succeeds."""
    running = terminals.begin("run", "reads.yaml")
    running.wait_for("started", "digest")
    running.send(number)
    run = interrupted(terminals, running)
    resize(terminals, 3)
    resumed = terminals.answer("resume", run)
    assert resumed["status"] == "succeeded"
    assert resumed["steps"][1]["output"]["size"] == 3


def test_interrupted_while_it_rolls_back(terminals: Terminals) -> None:
    """A rollback under way is stopped and resumed as a step is."""
    running = terminals.begin("run", "rolls_back.yaml")
    running.wait_for("rolling back")
    running.send(signal.SIGINT)
    run = interrupted(terminals, running)
    assert (terminals.workspace / "note.txt").exists()
    resize(terminals, 3)
    resumed = terminals.type("resume", run, "--json")
    assert resumed.code == 1
    assert resumed.json()["status"] == "rolled_back"
    assert not (terminals.workspace / "note.txt").exists()
    assert terminals.answer("audit", "verify")["ok"] is True


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc to see what the process does")
def test_a_second_interrupt_waits_for_nobody(terminals: Terminals) -> None:
    """The first one waits for the call under way to end; the second ends the process, and the run goes on as after a crash."""
    running = terminals.begin("run", "is_deaf.yaml")
    while not reads(running, "huge.bin"):
        assert running.process.poll() is None
    running.send(signal.SIGINT)
    running.wait_for("stopping")
    running.send(signal.SIGINT)
    ended = running.end()
    assert ended.code == 130, ended
    (run,) = terminals.answer("runs")
    assert f"assent resume {run['run_id']}" in ended.err
    assert terminals.answer("audit", "verify")["ok"] is True
    resize(terminals, 3)
    assert terminals.answer("resume", str(run["run_id"]))["status"] == "succeeded"
    assert (terminals.workspace / "copied.bin").read_bytes() == b"\0\0\0"


def reads(running: Running, name: str) -> bool:
    """Whether a process has a file open."""
    opened = Path(f"/proc/{running.process.pid}/fd")
    for descriptor in opened.iterdir():
        try:
            if descriptor.readlink().name == name:
                return True
        except FileNotFoundError:
            pass  # closed while we looked
    return False


def test_a_background_job_minds_sigterm(terminals: Terminals) -> None:
    """A shell starts its background jobs deaf to Ctrl-C; `kill` must stop them in good order all the same."""
    running = terminals.begin_in_background("run", "naps.yaml")
    running.wait_for("started", "nap")
    running.send(signal.SIGINT)
    running.send(signal.SIGTERM)
    interrupted(terminals, running)
