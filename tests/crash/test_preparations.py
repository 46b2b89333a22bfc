"""A process that is killed while a program runs before its step leaves no trace of it: nothing was decided, nothing in doubt."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from assent.sandbox import Sandbox
from tests.support.crashing import Scene
from tests.support.patience import PATIENCE_S
from tests.support.terminals import Terminals

_WORKFLOW = """\
name: builds
steps:
  - name: note
    capability: io.fs.write_file
    inputs: {path: note.txt, content: "noted\\n"}
  - name: build
    capability: sys.exec.run_captured
    inputs:
      argv: [sh, -c, "[ -e quick ] || { echo > begun; sleep 600; }; echo built > built.txt"]
"""


@pytest.fixture
def terminals(scene: Scene) -> Iterator[Terminals]:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing on this machine confines programs")
    settings = scene.workspace / "assent.toml"
    settings.write_text(f'{settings.read_text()}\n[exec.rules.builds]\nprograms = ["sh"]\n')
    with Terminals.at(scene.workspace, scene.env, scene.nursery) as terminals:
        terminals.write("builds.yaml", _WORKFLOW)
        yield terminals


def captures(terminals: Terminals, name: str = "*") -> list[Path]:
    """What stands in the folders of captured programs under this name."""
    with suppress(OSError):  # What is looked at may go meanwhile.
        return [*(terminals.workspace / ".assent" / "sandbox").rglob(name)]
    return []


def test_killed_while_a_program_runs_before_its_step(terminals: Terminals) -> None:
    """The step is shown as being prepared and was never begun; resumed, it is prepared afresh."""
    running = terminals.begin("run", "builds.yaml")
    running.wait_for("preparing", "build", "sys.exec.run_captured")
    pause, waited_s = threading.Event(), 0.0
    while not captures(terminals, "begun"):
        assert waited_s < PATIENCE_S, running.said
        waited_s += 0.05
        pause.wait(0.05)
    running.send(signal.SIGKILL)
    assert running.end().code == -signal.SIGKILL
    (run,) = terminals.answer("runs")
    (terminals.workspace / "quick").touch()
    resumed = terminals.answer("resume", str(run["run_id"]))
    assert resumed["status"] == "succeeded", resumed
    assert (terminals.workspace / "built.txt").read_text() == "built\n"
    assert not (terminals.workspace / "begun").exists()
    assert captures(terminals) == []
