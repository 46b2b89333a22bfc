"""The Grand Unified Test: the law, the gate, the body, the hands and the record, in one run on real files."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assent.runtime.service._reading import Reader
from assent.spec.events import kinds as ev
from assent.spec.states import RunState
from tests.support.bodies import Place, code, policy, put, rule, states, workflow
from tests.support.hands import tree_of

RELEASE = workflow(
    {
        "name": "one",
        "capability": "io.fs.write_file",
        "inputs": {"path": "new/one.txt", "content": "1", "create_dirs": True},
    },
    {"name": "two", "capability": "io.fs.write_file", "inputs": {"path": "kept.txt", "content": "changed"}},
    put("danger", "box.put_high"),
)

DENY = policy(rule("no-high", "DENY", when={"risk_level": "HIGH"}))
ASK = policy(rule("ask-high", "REQUIRE_APPROVAL", when={"risk_level": "HIGH"}))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A workspace with a file in it that the workflow changes."""
    place = Place(tmp_path)
    place.workspace.mkdir()
    (place.workspace / "kept.txt").write_text("before")
    (place.workspace / "kept.txt").chmod(0o640)
    return place


def require_verified(place: Place) -> None:
    """The ledger verifies: every leaf, signature, payload and projection."""
    with Reader.open(place.settings()) as reader:
        report = reader.verify()
    assert report["ok"] is True, report


async def test_a_denied_step_never_runs_and_everything_before_it_is_taken_back(place: Place) -> None:
    """HIGH → DENY: blocked before execution, the run fails, both steps are compensated, the ledger names the rule."""
    before = tree_of(place.workspace)
    place.policy = DENY
    async with place.open() as rt:
        result = await rt.run(RELEASE)
        assert states(result) == {"one": "compensated", "two": "compensated", "danger": "denied"}
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "POLICY_DENIED")
        assert result.step("danger").rule == "no-high"
        [denied] = [event for event in rt.recorded(result.run_id) if isinstance(event, ev.StepDenied)]
        assert (denied.rule, denied.decision, denied.risk) == ("no-high", "DENY", "HIGH")
        rt.require_sound_rows()
    assert place.box.log == [], "not even prepared"
    assert tree_of(place.workspace) == before, "byte for byte, with modes and times"
    require_verified(place)


async def test_an_approved_step_is_executed_exactly_once(place: Place) -> None:
    """HIGH → REQUIRE_APPROVAL → approve: the run waits durably, and goes on with exactly that call."""
    place.policy = ASK
    async with place.open() as rt:
        waiting = await rt.run(RELEASE)
        assert (waiting.status, place.box.log) == (RunState.WAITING, [])
        result = await rt.approve(waiting.run_id)
        assert (result.status, place.box.count("execute", "danger")) == (RunState.SUCCEEDED, 1)
        assert [*await rt.resume()] == []
        rt.require_sound_rows()
    assert (place.workspace / "kept.txt").read_text() == "changed"
    require_verified(place)


async def test_a_rejected_step_rolls_the_run_back(place: Place) -> None:
    """HIGH → REQUIRE_APPROVAL → reject: as by a denial, and the workspace is as it was."""
    before = tree_of(place.workspace)
    place.policy = ASK
    async with place.open() as rt:
        waiting = await rt.run(RELEASE)
        result = await rt.reject(waiting.run_id, reason="no")
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "APPROVAL_REJECTED")
    assert (place.box.log, tree_of(place.workspace)) == ([], before)
    require_verified(place)


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.e2e.test_grand_unified import ASK, RELEASE
from tests.support.bodies import Place

async def main():
    async with Place(Path(sys.argv[1]), policy=ASK).open() as rt:
        print((await rt.run(RELEASE)).run_id, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def killed_while_waiting(place: Place, repository: Path) -> str:
    """A process of its own runs the workflow, waits for a person, and dies of SIGKILL; the run's id."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(place.root)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(repository), os.environ["PYTHONPATH"]))},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        run = child.stdout.readline().strip()
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    return run


@pytest.mark.parametrize("answer", ["approve", "reject"])
async def test_a_process_killed_while_waiting_leaves_the_question_where_it_is(
    place: Place, repository: Path, answer: str
) -> None:
    """The next process finds the run waiting, and a person's answer moves it as if nothing had happened."""
    before = tree_of(place.workspace)
    run = await asyncio.to_thread(killed_while_waiting, place, repository)
    written = (place.workspace / "new/one.txt").stat().st_mtime_ns
    place.policy = ASK
    async with place.open() as rt:
        shown = await rt.show(run)
        assert shown.status is RunState.WAITING
        assert states(shown) == {"one": "succeeded", "two": "succeeded", "danger": "awaiting_approval"}
        result = await (rt.approve(run) if answer == "approve" else rt.reject(run))
        rt.require_sound_rows()
    if answer == "approve":
        assert (result.status, place.box.log.count("execute danger")) == (RunState.SUCCEEDED, 1)
        assert (place.workspace / "new/one.txt").stat().st_mtime_ns == written, "not written a second time"
    else:
        assert (result.status, place.box.log, tree_of(place.workspace)) == (RunState.ROLLED_BACK, [], before)
    require_verified(place)
