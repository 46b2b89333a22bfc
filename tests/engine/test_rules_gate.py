"""Rules of the engine 8, 9 and 10: control files out of reach, the policy present or not, absence opens nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assent.errors import InputError
from assent.spec.events import kinds as ev
from assent.spec.states import RunState
from tests.support.bodies import Pause, Place, code, fail, policy, put, rule, states, workflow

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

ALLOW_ALL = (
    "version: 1\ndefault: DENY\nrules:\n- {id: all, decision: ALLOW, reason: test, without_approval: true}\n"
)


async def test_rule_8_control_files_are_out_of_reach_whatever_the_policy_says(place: Place) -> None:
    """`PATH_PROTECTED` is no decision of the gate: a policy that allows everything cannot allow it."""
    place.policy = policy(rule("all", without_approval=True))
    place.workspace.mkdir()
    (place.workspace / "assent.toml").write_text("")
    async with place.open() as rt:
        result = await rt.call("io.fs.write_file", {"path": "assent.toml", "content": "policy = 'mine'"})
        assert (result.status, code(result)) == (RunState.FAILED, "PATH_PROTECTED")
    assert (place.workspace / "assent.toml").read_text() == ""


@dataclass(frozen=True)
class PolicyFile:
    """The policy file that a place is configured with."""

    path: Path

    def write(self, text: str = ALLOW_ALL) -> None:
        self.path.write_text(text)
        self.path.chmod(0o600)

    def damage(self) -> None:
        self.write("rules: [")

    def remove(self) -> None:
        self.path.unlink()


@pytest.fixture
def written(place: Place) -> PolicyFile:
    """A policy file that allows everything."""
    place.policy = place.root / "policy.yaml"
    file = PolicyFile(place.policy)
    file.write()
    return file


@pytest.mark.parametrize(
    ("spoil", "expected"), [(PolicyFile.remove, "POLICY_MISSING"), (PolicyFile.damage, "POLICY_INVALID")]
)
async def test_rule_9_a_configured_policy_that_is_missing_or_broken_stops_everything(
    place: Place, written: PolicyFile, spoil: Callable[[PolicyFile], None], expected: str
) -> None:
    """Nothing starts and nothing is recorded; an unfinished run stays as it is."""
    async with place.open() as rt:
        waiting = await rt.run(workflow({"name": "ask", "approval": "sure?"}, put("b")))
        size = waiting.ledger["size"]
    spoil(written)
    with pytest.raises(InputError) as caught:
        async with place.open():
            pass
    assert caught.value.code == expected
    assert caught.value.hint
    written.write()
    async with place.open() as rt:
        shown = await rt.show(waiting.run_id)
        assert (shown.status, shown.ledger["size"]) == (RunState.WAITING, size)


async def test_rule_9_a_failed_reload_denies_new_runs_and_pauses_those_under_way(
    place: Place, written: PolicyFile
) -> None:
    """A workflow under way begins no further step and loses nothing; when the policy can be read again it goes on."""
    pause = Pause()
    place.box.after["a"] = pause
    async with place.open() as rt:
        running = asyncio.ensure_future(rt.run(workflow(put("a"), put("b"))))
        await pause.reached.wait()
        written.damage()
        with pytest.raises(InputError):
            rt.reload_policy()
        pause.go_on.set()
        paused = await running
        assert (paused.status, states(paused)) == (RunState.RUNNING, {"a": "succeeded", "b": "pending"})
        assert paused.error is not None
        assert paused.error["code"] == "RUN_PAUSED"
        assert paused.error["hint"] == f"mend the policy, then `assent resume {paused.run_id}`"
        denied = await rt.run(workflow(put("new")))
        assert (denied.status, code(denied)) == (RunState.FAILED, "POLICY_ERROR")
        written.write()
        rt.reload_policy()
        [result] = await rt.resume(paused.run_id)
        assert (result.status, states(result)) == (RunState.SUCCEEDED, {"a": "succeeded", "b": "succeeded"})
        rt.require_sound_rows()


async def test_rule_9_an_approval_given_during_the_pause_is_used_after_it(
    place: Place, written: PolicyFile
) -> None:
    async with place.open() as rt:
        waiting = await rt.run(workflow({"name": "ask", "approval": "sure?"}, put("b")))
        written.damage()
        with pytest.raises(InputError):
            rt.reload_policy()
        paused = await rt.approve(waiting.run_id)
        assert code(paused) == "RUN_PAUSED"
        assert (paused.status, place.box.log) == (RunState.RUNNING, [])
        written.write()
        rt.reload_policy()
        [result] = await rt.resume(waiting.run_id)
        assert result.status is RunState.SUCCEEDED


async def test_rule_9_a_session_is_answered_with_a_denial_and_goes_on(
    place: Place, written: PolicyFile
) -> None:
    async with place.open() as rt:
        session = await rt.session()
        written.damage()
        with pytest.raises(InputError):
            rt.reload_policy()
        denied = await session.call("box.put", {"key": "x"})
        assert (denied.name, denied.status) == ("step_1", "denied")
        assert denied.error is not None
        written.write()
        rt.reload_policy()
        assert (await session.call("box.put", {"key": "y"})).status == "succeeded"


async def test_rule_9_rollback_and_cancel_need_no_policy(place: Place, written: PolicyFile) -> None:
    async with place.open() as rt:
        waiting = await rt.run(workflow(put("a"), {"name": "ask", "approval": "sure?"}))
        written.damage()
        with pytest.raises(InputError):
            rt.reload_policy()
        result = await rt.cancel(waiting.run_id)
        assert (result.status, place.box.values) == (RunState.CANCELLED, {})


async def test_rule_9_a_policy_that_the_program_handed_in_is_not_replaced_by_a_reload(place: Place) -> None:
    place.policy = policy(rule("no", "DENY"))
    async with place.open() as rt:
        rt.reload_policy()
        assert code(await rt.call("sys.noop", {})) == "POLICY_DENIED"


@pytest.mark.parametrize(
    "condition", ["inputs.absent == 1", "has(inputs.absent) && inputs.absent.x", "inputs.value > 3"]
)
async def test_rule_10_what_can_not_be_decided_is_denied(place: Place, condition: str) -> None:
    """An error or a type that does not fit denies with POLICY_ERROR, unless the author asked `has()`; nothing runs."""
    place.policy = policy(rule("r", **{"if": condition}), default="DENY")
    async with place.open() as rt:
        result = await rt.run(workflow(put("a")))
        expected = "POLICY_DENIED" if "has(" in condition else "POLICY_ERROR"
        assert (result.status, code(result), place.box.log) == (RunState.FAILED, expected, [])


@pytest.mark.parametrize(
    ("pattern", "denied"),
    [
        ("each", {"each[0]"}),
        ("*a*", {"each[0]", "call", "way"}),
        (["way", "call"], {"call", "way"}),
        ("step_*", {"step_1"}),
        ("each*0*", set()),
    ],
)
async def test_a_rule_matches_a_step_by_its_name(place: Place, pattern: Any, denied: set[str]) -> None:
    """Of an iteration by that of its `foreach`, of what takes a step back by that of the step; plans say the same."""
    place.policy = policy(rule("named", "DENY", when={"step": pattern}))
    back = {"capability": "box.put_low", "inputs": {"key": "back"}}
    flows = [
        workflow(put("each", foreach="${{ [1] }}")),
        workflow(put("way", "box.put_medium", compensation=back)),
    ]
    found: set[str] = set()
    async with place.open() as rt:
        session = await rt.session()
        await session.call("box.put", {"key": "s"})
        runs = [session.run_id, (await rt.call("box.put", {"key": "c"})).run_id]
        for flow in flows:
            planned = {one.name for one in (await rt.plan(flow)).steps if one.decision == "DENY"}
            runs.append((await rt.run(flow)).run_id)
            assert planned == {one.step for one in rt.recorded(runs[-1]) if isinstance(one, ev.StepDenied)}
        for run in runs:
            found |= {one.step for one in rt.recorded(run) if isinstance(one, ev.StepDenied)}
        await session.close()
    assert found == denied


async def test_what_takes_a_step_back_is_asked_about_under_the_name_of_the_step(place: Place) -> None:
    """An iteration's as well, also right before it is called."""
    when = {"step": "each", "capability": "box.put_low"}
    place.policy = policy(rule("back", when=when), rule("low", "DENY", when={"capability": "box.put_low"}))
    back = {"capability": "box.put_low", "inputs": {"key": "back"}}
    async with place.open() as rt:
        result = await rt.run(
            workflow(put("each", "box.put_medium", foreach="${{ [1] }}", compensation=back), fail())
        )
        asked = [
            (type(one), one.decision, one.rule)
            for one in rt.recorded(result.run_id)
            if isinstance(one, ev.ConsequenceDecided | ev.ConsequenceChecked)
        ]
    assert asked == [(ev.ConsequenceDecided, "ALLOW", "back"), (ev.ConsequenceChecked, "ALLOW", "back")]
