"""Pruning takes what ended runs hold and nothing else, and a process that is killed on the way leaves a whole ledger."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import apsw
import pytest

from assent.errors import WorldError
from assent.invocation import Reconciliation
from assent.journal.store._schema import LEDGER_FILE
from assent.runtime._ledger import open_reader
from assent.runtime.service import answers, process, requests
from assent.spec.ids import RunId
from assent.spec.states import Verdict
from tests.support.bodies import Bench, Place, boom, policy, put, rule, workflow

RULES = policy(
    rule("swept", when={"capability": "assent.erase"}, without_approval=True),
    rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put_high"}),
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=RULES)


async def lived(place: Place, rt: Bench) -> tuple[list[str], dict[str, str]]:
    """Two runs that have ended; and those that have not, with how they stand."""
    place.box.before["d"] = boom
    place.box.on_reconcile["d"] = Reconciliation(Verdict.UNKNOWN)
    ended: list[str] = [(await rt.run(workflow(put(key, value=key * 40_000)))).run_id for key in "ac"]
    left: list[str] = [(await rt.run(workflow(step))).run_id for step in (put("b", "box.put_high"), put("d"))]
    return ended, dict(zip(left, ("waiting", "needs_attention"), strict=True))


def prunable(place: Place, before_ms: int = 1 << 50) -> answers.Prunable:
    return process.perform(requests.Prunable(before_ms=before_ms), place.settings())


def payloads(place: Place, run: str) -> int:
    with open_reader(place.settings().state) as journal:
        bound = [one for leaf in journal.run_leaves(RunId(run)) for one in leaf.event.commitments()]
        return journal.weigh(bound)[0]


def leaves(place: Place) -> list[tuple[object, ...]]:
    """What no pruning may touch: entries, checkpoints, and the payloads of no run, as the policy's are."""
    with open_reader(place.settings().state) as journal:
        kept = journal.select(
            "SELECT commitment, salt, body FROM payloads JOIN events USING (seq) WHERE run IS NULL ORDER BY seq"
        )
        return [*journal.select("SELECT seq, leaf FROM events ORDER BY seq"), *kept]


async def test_what_has_ended_and_is_old_is_chosen_the_rest_is_named(place: Place) -> None:
    async with place.open() as rt:
        ended, left = await lived(place, rt)
    found = prunable(place)
    assert (found.runs, found.more) == (ended, 0)
    assert {one.run_id: one.status for one in found.left} == left
    nothing = prunable(place, before_ms=1)
    assert (nothing.runs, nothing.left) == ([], [])


async def test_pruning_erases_those_alone_and_gives_the_room_back(place: Place) -> None:
    async with place.open() as rt:
        ended, left = await lived(place, rt)
        before = leaves(place)
        told = await rt._core.erase(prunable(place).runs, compact=True)
        assert told.status.value == "succeeded"
        gave = told.outputs
        assert isinstance(gave, dict)
        freed = gave["freed"]
        assert isinstance(freed, int)
        assert (gave["runs"], freed > 80_000) == (2, True)
    assert {*before} <= {*leaves(place)}, "no entry and no policy is gone"
    assert [payloads(place, run) for run in ended] == [0, 0]
    assert all(payloads(place, run) for run in left)
    assert process.perform(requests.VerifyLedger(), place.settings()).ok
    assert prunable(place).runs == [told.run_id], (
        "what was erased is not chosen again; the run that erased it will be"
    )


@pytest.mark.parametrize("fails", range(3))
async def test_a_failure_half_way_tells_how_far_it_came_and_the_same_run_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    """Where nothing was erased it has failed; else it is in doubt, and never told as if nothing had happened."""
    async with place.open() as rt:
        runs = [(await rt.run(workflow(put(key)))).run_id for key in "abc"]
        erase, left = rt._core.running.erase, [fails]

        async def full(run: RunId, act: RunId) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise WorldError("DISK_FULL", "the disk is full", hint="free some space")
            await erase(run, act)

        monkeypatch.setattr(rt._core.running, "erase", full)
        told = await rt.erase(runs)
        error = told.step("call").error
        assert error is not None
        assert (
            error["message"] == f"{fails} of 3 erased, and `{runs[fails]}` perhaps in part: the disk is full"
        )
        assert error["hint"] == f"free some space; then go on: `assent resume {told.run_id}`"
        assert [payloads(place, run) > 0 for run in runs] == [number >= fails for number in range(3)]
        if not fails:
            assert (told.status.value, told.step("call").status.value) == ("failed", "failed")
            return
        assert (told.status.value, told.step("call").status.value) == ("needs_attention", "in_doubt")
        [told] = await rt.resume(told.run_id)
        assert (told.status.value, [payloads(place, run) for run in runs]) == ("succeeded", [0, 0, 0])


async def test_a_kill_while_the_file_is_written_anew_leaves_a_whole_ledger(place: Place) -> None:
    """At every few thousand instructions of the database, until it gets through."""
    async with place.open() as rt:
        for number in range(20):
            await rt.run(workflow(put(f"k{number}", value="y" * 20_000)))
        await rt._core.erase(prunable(place).runs)
    path = place.settings().state / LEDGER_FILE
    before = leaves(place)
    kills = 0
    for steps in range(1, 400, 23):
        child = multiprocessing.get_context("fork").Process(target=_vacuum, args=(path, steps))
        child.start()
        child.join(60)
        assert child.exitcode in (0, -signal.SIGKILL)
        kills += child.exitcode != 0
        assert leaves(place) == before
    assert kills > 3
    report = process.perform(requests.VerifyLedger(), place.settings())
    assert report.ok, report.faults
    async with place.open() as rt:
        assert (await rt.run(workflow(put("after")))).status.value == "succeeded"


def _vacuum(path: Path, steps: int) -> None:
    connection = apsw.Connection(str(path))
    left = [steps]

    def count() -> bool:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    connection.set_progress_handler(count, 50)
    connection.execute("VACUUM")
    os._exit(0)
