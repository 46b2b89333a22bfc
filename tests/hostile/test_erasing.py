"""Nothing is erased past the gate: whoever asks, through whatever door, the policy decides, and both runs tell of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime
from assent.errors import InputError
from assent.runtime import service
from assent.runtime._ledger import open_reader
from assent.runtime.service.service import Service
from assent.spec.events.kinds import PayloadErased
from assent.spec.ids import RunId
from assent.spec.values.json_fields import mapping
from tests.support.door import Terminal

DENIED = {
    "id": "kept",
    "when": {"capability": "assent.erase"},
    "decision": "DENY",
    "reason": "kept for ten years",
}
ALLOWED = {
    "id": "swept",
    "when": {"capability": "assent.erase", "principal": "user:root"},
    "decision": "ALLOW",
    "without_approval": True,
    "reason": "nobody else works here",
}
REST = {"id": "rest", "when": {"capability": "io.fs.write_file"}, "decision": "ALLOW", "reason": "files"}


def _policy(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "default": "DENY", "rules": [*rules, REST]}


def _payloads(rt: Runtime, run: str) -> int:
    with open_reader(rt.settings.state) as journal:
        return journal.weigh(
            commitment for leaf in journal.run_leaves(RunId(run)) for commitment in leaf.event.commitments()
        )[0]


WAYS = {
    "by name": lambda rt, run, who: rt.erase([run], principal=who),
    "as a call": lambda rt, run, who: rt.call("assent.erase", {"runs": [run]}, principal=who),
    "in a workflow": lambda rt, run, who: rt.run(
        {
            "name": "w",
            "version": "1.0.0",
            "steps": [{"name": "e", "capability": "assent.erase", "inputs": {"runs": [run]}}],
        },
        principal=who,
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("rules", "who", "status"),
    [
        (None, "user:root", "waiting"),
        (None, "agent:bot", "failed"),
        ((DENIED,), "user:root", "failed"),
        ((ALLOWED,), "agent:bot", "failed"),
        ((ALLOWED,), "user:root", "succeeded"),
        ((), "user:root", "failed"),
    ],
)
async def test_whoever_erases_has_passed_the_gate(
    tmp_path: Path, way: str, rules: tuple[dict[str, Any], ...] | None, who: str, status: str
) -> None:
    """What the built-in policy asks about, an agent can't answer."""
    policy = None if rules is None else _policy(*rules)
    async with Runtime.open(tmp_path, policy=policy) as rt:
        run = (await rt.call("io.fs.write_file", {"path": "a", "content": "x"}, principal="user:root")).run_id
        before = _payloads(rt, run)
        assert before
        result = await WAYS[way](rt, run, who)
        assert result.status == status
        assert _payloads(rt, run) == (0 if status == "succeeded" else before)
        if status == "waiting":
            with pytest.raises(Exception, match="of the kind user may decide"):
                await rt.approve(result.run_id, principal="agent:other")
            assert (await rt.approve(result.run_id, principal="user:bob")).status == "succeeded"
            assert _payloads(rt, run) == 0


async def test_question_names_what_is_lost_and_answers_no_other(tmp_path: Path) -> None:
    """A run that was undone meanwhile is another one: what was approved is asked again."""
    async with Runtime.open(tmp_path) as rt:
        runs = [(await rt.call("io.fs.write_file", {"path": name, "content": "x"})).run_id for name in "ab"]
        asked = await rt.erase(runs)
        shown = await Service(rt.settings).perform(service.requests.Approvals(run=asked.run_id))
        text = str(mapping({"shown": shown.approvals[0].preview}, "shown")["diff"])
        assert text.startswith("erases 2 runs, ")
        assert "can't be undone any more: 2 runs" in text
        assert all(run in text for run in runs)
        await rt.undo(runs[0])
        again = await rt.approve(asked.run_id, principal="user:bob", digest=shown.approvals[0].digest)
        assert again.status == "waiting"
        assert _payloads(rt, runs[0])


async def test_both_runs_tell_of_the_erasure(tmp_path: Path) -> None:
    """The erased run's own log names who asked and the run in which it was decided; the ledger verifies."""
    async with Runtime.open(tmp_path) as rt:
        run = (await rt.call("io.fs.write_file", {"path": "a", "content": "x"})).run_id
        act = await rt.erase([run], principal="user:ann")
        await rt.approve(act.run_id, principal="user:bob")
        log = [line async for line in rt.events(run)]
        last = log[-1].event
        assert (last["kind"], last["by"], last["act"]) == ("run.erased", "user:ann", act.run_id)
        with open_reader(rt.settings.state) as journal:
            told = [leaf.event for leaf in journal.run_leaves(None)]
        (erased,) = [event for event in told if isinstance(event, PayloadErased)]
        assert (erased.target, erased.act, erased.by) == (run, act.run_id, "user:ann")
    assert service.process.perform(service.requests.VerifyLedger(), rt.settings).ok


PLANNED = {
    "name": "planned",
    "steps": [
        {"name": "read", "capability": "io.fs.read_file", "inputs": {"path": "secret.txt"}},
        {
            "name": "write",
            "capability": "io.fs.write_file",
            "inputs": {"path": "b", "content": "${{ steps.read.output.content }}"},
        },
    ],
}
SECRET = "what only a plan has read"
KINDS = {
    "saved": service.requests.Plan(text=json.dumps(PLANNED)),
    "saved without reads": service.requests.Plan(text=json.dumps(PLANNED), reads=False),
    "not saved": service.requests.Plan(text=json.dumps(PLANNED), keep=False),
}
SWEPT = _policy(ALLOWED, {**REST, "id": "reads", "when": {"capability": "io.fs.read_file"}})


def _holding(rt: Runtime, text: str) -> list[str]:
    files = (path for path in rt.settings.state.rglob("*") if path.is_file())
    return [path.name for path in files if text.encode() in path.read_bytes()]


async def _prunable(rt: Runtime) -> service.answers.Prunable:
    return await Service(rt.settings).perform(service.requests.Prunable(before_ms=1 << 50))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_plan_that_was_never_run_is_erased_with_all_that_it_read(tmp_path: Path, kind: str) -> None:
    """By its id and by its age alike: what it read, and the file with the inputs; and another one stays as it is."""
    (tmp_path / "secret.txt").write_text(SECRET)
    async with Runtime.open(tmp_path, policy=SWEPT) as rt:
        door = Service(rt.settings, rt._core)
        other = (await door.perform(KINDS["saved"])).plan_id
        plan = (await door.perform(KINDS[kind])).plan_id
        await rt.call("io.fs.write_file", {"path": "a", "content": "x"})
        assert {*(await _prunable(rt)).plans} == {plan, other}
        erased = await rt.erase([plan], principal="user:root")
        assert erased.status == "succeeded"
        gave = mapping({"gave": erased.outputs}, "gave")
        assert (gave["runs"], gave["plans"], gave["payloads"]) == (0, 1, 0 if "without" in kind else 2)
        assert (await _prunable(rt)).plans == [other]
        with pytest.raises(InputError) as refused:
            await rt._core.run_plan(plan, rt._core.actor(None))
        assert refused.value.code == "PLAN_UNKNOWN"
        found = await _prunable(rt)
        pruned = await rt.erase([*found.runs, *found.plans], principal="user:root", compact=True)
        assert pruned.status == "succeeded"
        assert _holding(rt, SECRET) == []
        assert (await _prunable(rt)).plans == []
    assert service.process.perform(service.requests.VerifyLedger(), rt.settings).ok


@pytest.mark.parametrize("moment", ["asked", "approved"])
async def test_a_plan_that_was_run_is_its_run_s(tmp_path: Path, moment: str) -> None:
    """Before anybody is asked, and where it was run between question and answer: nothing of either is erased."""
    (tmp_path / "secret.txt").write_text(SECRET)
    async with Runtime.open(tmp_path) as rt:
        actor = rt._core.actor(None)
        plan = (await Service(rt.settings, rt._core).perform(KINDS["saved"])).plan_id
        asked = None if moment == "asked" else await rt.erase([plan])
        run = (await rt._core.run_plan(plan, actor)).run_id
        assert plan not in (await _prunable(rt)).plans
        if asked is None:
            with pytest.raises(InputError) as refused:
                await rt.erase([plan])
            assert (refused.value.code, refused.value.hint) == ("PLAN_USED", f"`assent audit erase {run}`")
        else:
            ended = await rt.approve(asked.run_id, principal="user:bob")
            assert ended.error is not None
            assert (ended.status, ended.error["code"]) == ("failed", "PLAN_USED")
        assert _payloads(rt, plan) == 4, "those of the plan and of the look before the run"
        with rt._core._plans.claimed(plan), pytest.raises(InputError, match="is being run already"):
            await rt._core.records.erase_plan(plan, run)


async def test_run_under_way_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    async with Runtime.open(tmp_path) as rt:
        (tmp_path / "a").touch()
        waiting = await rt.call("io.fs.delete", {"path": "a"})
        known = len((await rt.runs()).runs)
        for runs, code in (
            ([waiting.run_id], "RUN_UNFINISHED"),
            (["run_none"], "RUN_UNKNOWN"),
            ([], "INVALID_INPUT"),
            (["plan_../../secret"], "INVALID_INPUT"),
            (["plan_00000000000000000000000000"], "PLAN_UNKNOWN"),
        ):
            with pytest.raises(InputError) as refused:
                await rt.erase(runs)
            assert refused.value.code == code
        assert len((await rt.runs()).runs) == known


def test_off_a_terminal_it_has_to_be_confirmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--yes` confirms, and answers no approval."""
    monkeypatch.chdir(tmp_path)
    terminal = Terminal(tmp_path, capsys, None)
    run = terminal("call", "io.fs.write_file", "path=a", "content=x", "--json").object["run_id"]
    refused = terminal("audit", "erase", str(run), "--json")
    assert (refused.code, refused.error["code"]) == (2, "USAGE_INVALID")
    waiting = terminal("audit", "erase", str(run), "--yes", "--json")
    assert (waiting.code, json.loads(waiting.out)["status"]) == (4, "waiting")
