"""Rules of the engine 8, 9 and 10: control files out of reach, the policy present or not, absence opens nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from assent.errors import InputError
from assent.spec.states import RunState
from tests.support.bodies import Pause, Place, code, policy, put, rule, states, workflow

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
