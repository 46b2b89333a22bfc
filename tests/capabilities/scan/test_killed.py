"""A scan whose process is killed: its scanner dies with it, and nothing is sent twice. Every point is tried in tests/crash."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from assent.failpoints import VARIABLE
from assent.runtime.service import process, requests
from tests.capabilities.scan.conftest import Web, Yard
from tests.support.nursery import Ended, Nursery
from tests.support.patience import PATIENCE_S

KILLED = -signal.SIGKILL

POLICY = """\
version: 1
rules:
  - id: open
    when: {principal: "user:*"}
    decision: ALLOW
    without_approval: true
    reason: nobody is there to be asked
"""


class Shell:
    """Commands in the yard's workspace, each in a process of its own."""

    def __init__(self, yard: Yard, nursery: Nursery, env: Mapping[str, str]) -> None:
        (yard.work / "policy.yaml").write_text(POLICY)
        (yard.work / "policy.yaml").chmod(0o600)
        self.yard, self.nursery = yard, nursery
        root = yard.place.root
        self.env = {
            **env,
            "HOME": str(root),
            "ASSENT_STATE": str(root / "state"),
            "ASSENT_LEDGER_KEY": str(root / "ledger.key"),
        }

    def __call__(self, *words: str, kill: str | None = None) -> Ended:
        env = self.env if kill is None else {**self.env, VARIABLE: kill}
        return self.nursery.run(*words, "--json", cwd=self.yard.work, env=env)

    def datasets(self) -> int:
        return len(process.perform(requests.Datasets(), self.yard.place.settings()).datasets)


@pytest.fixture
def shell(yard: Yard, nursery: Nursery, clean_env: dict[str, str]) -> Shell:
    return Shell(yard, nursery, clean_env)


def test_an_active_scan_that_was_killed_is_in_doubt(shell: Shell, web: Web, held: None) -> None:
    """It is not begun again by itself: everything would be sent twice."""
    shell.yard.probe(f'networks = ["127.0.0.1"]\nports = [{web.port}]')
    words = ("call", "scan.active", "tool=probe", f"target={web.url}", "project=demo")
    assert shell(*words, kill="effect.after:1").code == KILLED
    assert web.paths == ["/"]
    (result,) = shell("resume").json()
    assert (result["status"], result["steps"][0]["status"]) == ("needs_attention", "in_doubt")
    assert (web.paths, shell.datasets()) == (["/"], 0)


def test_a_scanner_dies_with_whoever_runs_it(shell: Shell, web: Web, held: None) -> None:
    shell.yard.probe(f'networks = ["127.0.0.1"]\nports = [{web.port}]')
    words = ("scan", "run", "probe", web.url, "--project", "demo", "--option", "more=last")
    child = shell.nursery.start(*words, cwd=shell.yard.work, env=shell.env)
    assert child.stdout is not None
    assert child.stderr is not None
    with child.stdout, child.stderr:
        while "200" not in child.stderr.readline():
            assert child.poll() is None
        watched = watch(shell.yard.bin / "probe")
        assert watched
        child.kill()
        assert child.wait() == KILLED
    for one in watched:
        ended, _, _ = select.select([one], [], [], PATIENCE_S)
        os.close(one)
        assert ended, "the scanner lives"


def watch(place: Path) -> list[int]:
    """A descriptor for each process of a program, which can be read once that has ended."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(place).encode() in one.read_bytes():
                found.append(os.pidfd_open(int(one.parent.name)))
    return found
