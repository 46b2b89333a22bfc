"""What a program prints is seen in every terminal that waits for it, while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pexpect
import pytest

from tests.support.nursery import Nursery
from tests.support.patience import PATIENCE_S
from tests.support.terminals import Terminals, terminals_with_programs

# Each ends only when somebody has seen what it printed first.
_WORKFLOW = """\
name: {name}
steps:
  - name: build
    capability: sys.exec.{name}
    inputs: {{argv: [sh, -c, "echo {name} begun; while [ ! -e {gate}/{name} ]; do sleep 0.02; done; echo made > made"]}}
"""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A folder that programs see as it is now."""
    found = tmp_path / "gate"
    found.mkdir()
    return found


@pytest.fixture
def terminals(tmp_path: Path, clean_env: dict[str, str], nursery: Nursery, gate: Path) -> Iterator[Terminals]:
    config = f'[exec.rules.all]\nprograms = ["sh"]\nread_only = ["{gate}"]\n'
    with terminals_with_programs(tmp_path, clean_env, nursery, config) as terminals:
        for name in ("run", "run_captured"):
            terminals.write(f"{name}.yaml", _WORKFLOW.format(name=name, gate=gate))
        yield terminals


def test_what_a_program_prints_is_seen_while_it_runs_here_and_in_another_terminal(
    terminals: Terminals, gate: Path
) -> None:
    """A person sits at the first, whose command does the work of the second, which is no terminal; each sees its own."""
    _, *words = terminals.command("run", "run_captured.yaml")
    first = pexpect.spawn(
        sys.executable,
        words,
        cwd=str(terminals.workspace),
        env=terminals.env,
        encoding="utf-8",
        timeout=PATIENCE_S,
        dimensions=(50, 400),
    )
    first.logfile_read = shown = StringIO()
    try:
        first.expect(r" build +\| run_captured begun\r\n")
        second = terminals.begin("run", "run.yaml")
        assert second.wait_for("|").split() == ["build", "|", "run", "begun"]
        (gate / "run").touch()
        second.wait_for("run succeeded")
        (gate / "run_captured").touch()
        first.expect(r"run succeeded")
        first.expect(pexpect.EOF)
    finally:
        first.close()
    assert (first.exitstatus, "run begun" in shown.getvalue()) == (0, False)
    ended = second.end()
    assert (ended.code, "run_captured begun" in ended.err) == (0, False)
    assert (terminals.workspace / "made").read_text() == "made\n"


def test_a_program_is_told_nothing_of_it(terminals: Terminals, gate: Path) -> None:
    """With `--json` there is the answer, and nothing beside it."""
    (gate / "run").touch()
    ended = terminals.type("run", "run.yaml", "--json")
    assert (ended.code, ended.err) == (0, "")
