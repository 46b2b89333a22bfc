"""What `show` tells of a step: its inputs, what was shown and answered, each attempt; in JSON and on the screen alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent.cli.runs._step_text import step_text
from assent.cli.terminal._style import Paint
from assent.errors import InputError
from assent.runtime.service import answers, process, requests
from tests.support.bodies import Place, erased, fail, no_effect, policy, put, rule, user, workflow

ASKS = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put"}))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=ASKS)


def step_of(place: Place, run: str, step: str) -> answers.ShownStep:
    shown = process.perform(requests.Show(run=run, step=step), place.settings())
    (only,) = [*shown.steps, *([] if shown.undo is None else [shown.undo])]
    assert only.name == step
    whole = process.perform(requests.Show(run=run), place.settings())
    assert only in [*whole.steps, whole.undo], "one step is told as among all of them"
    assert {event["event"].get("step", step) for event in shown.events} == {step}  # type: ignore[union-attr]
    return only


def text_of(step: answers.ShownStep) -> str:
    return step_text("run_1", step, paint=Paint(enabled=False))


async def test_an_approved_step_tells_what_was_shown_and_who_agreed(place: Place) -> None:
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a", value="x\x1b[2J")))).run_id
        (waiting,) = process.perform(requests.Approvals(), rt.settings).approvals
        await rt.approve(run, "a", principal=user("bob"), digest=waiting.digest)
    step = step_of(place, run, "a")
    assert step.inputs == {"key": "a", "value": "x\x1b[2J"}
    (asked,) = step.approvals
    assert (asked.digest, asked.status, asked.preview) == (waiting.digest, "granted", waiting.preview)
    assert (step.policy, asked.policy, step.rule) == (asked.policy, step.policy, "ask")
    (said,) = asked.decisions
    assert (said.decision, said.by, said.confirmed, said.asserted) == ("granted", "user:bob", True, True)
    assert [(one.attempt, one.outcome, one.effect) for one in step.tries] == [(1, "succeeded", "done")]
    text = text_of(step)
    assert "\x1b" not in text
    shown = (
        r"value: x\x1b[2J",
        "None -> x",
        "granted",
        "user:bob (asserted",
        "digest seen",
        waiting.digest[:12],
    )
    for part in (*shown, str(step.policy)[:12]):
        assert part in text


@pytest.mark.parametrize(
    ("digest", "confirmed", "words"), [(True, True, "digest seen"), (False, False, "digest not seen")]
)
async def test_whether_the_digest_was_seen_is_told(
    place: Place, digest: bool, confirmed: bool, words: str
) -> None:
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a")))).run_id
        (waiting,) = process.perform(requests.Approvals(), rt.settings).approvals
        await rt.approve(run, principal=user("bob"), digest=waiting.digest if digest else None)
    step = step_of(place, run, "a")
    assert step.approvals[0].decisions[0].confirmed is confirmed
    assert words in text_of(step)


async def test_a_rejection_tells_its_reason_and_an_expired_question_nobody(tmp_path: Path) -> None:
    asks = rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put"}, approvers={"expires": "1s"})
    place = Place(tmp_path, policy=policy(asks))
    async with place.open() as rt:
        rejected = (await rt.run(workflow(put("a")))).run_id
        await rt.reject(rejected, "a", principal=user("bob"), reason="too \x07loud")
        expired = (await rt.run(workflow(put("a")))).run_id
        await rt.wait(expired)
    step = step_of(place, rejected, "a")
    (said,) = step.approvals[0].decisions
    assert (said.decision, said.by, said.reason, said.confirmed) == (
        "rejected",
        "user:bob",
        "too \x07loud",
        None,
    )
    assert r"because: too \x07loud" in text_of(step)
    late = step_of(place, expired, "a")
    assert (late.approvals[0].status, late.approvals[0].decisions[0].by) == ("expired", None)
    assert "expired" in text_of(late)


async def test_each_attempt_and_a_failed_one_first_of_all(tmp_path: Path) -> None:
    """The error and what the step was given stand before everything else, in the run's page and in the step's."""
    place = Place(tmp_path, policy=policy())
    place.box.before["a"] = no_effect
    retry = {"max_attempts": 2, "backoff": {"initial": "1ms"}}
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a", value=[1, 2], retry=retry)))).run_id
    step = step_of(place, run, "a")
    assert [(one.attempt, one.outcome, one.code) for one in step.tries] == [
        (1, "failed", "TRY_AGAIN"),
        (2, "failed", "TRY_AGAIN"),
    ]
    lines = text_of(step).splitlines()
    assert "not now" in lines[1]
    assert lines[3:6] == ["inputs", "  key: a", "  value: [1,2]"]


async def test_the_undo_and_iterations_are_steps_to_be_shown(tmp_path: Path) -> None:
    asks = rule("undoing", "REQUIRE_APPROVAL", when={"capability": "assent.undo"})
    place = Place(tmp_path, policy=policy(asks))
    each = {
        "name": "s",
        "capability": "box.put",
        "foreach": '${{ ["p", "q"] }}',
        "inputs": {"key": "${{ item }}"},
    }
    async with place.open() as rt:
        run = (await rt.run(workflow(each))).run_id
        assert process.perform(requests.Show(run=run), rt.settings).undo is None
        await rt.undo(run)
        assert step_of(place, run, "@undo").status == "awaiting_approval"
        await rt.approve(run, "@undo", principal=user("bob"))
    assert step_of(place, run, "s[1]").inputs == {"key": "q"}
    undo = step_of(place, run, "@undo")
    assert (undo.capability, undo.status, undo.rule) == ("assent.undo", "succeeded", "undoing")
    assert [said.by for said in undo.approvals[0].decisions] == ["user:bob"]


async def test_a_step_that_there_is_not_is_refused_with_those_that_there_are(place: Place) -> None:
    async with place.open() as rt:
        run = (await rt.run(workflow(fail()))).run_id
    for step in ("none", "@undo", "end[0]", ""):
        with pytest.raises(InputError) as caught:
            process.perform(requests.Show(run=run, step=step), place.settings())
        assert (caught.value.code, "`end`" in str(caught.value.hint)) == ("STEP_UNKNOWN", True)


async def test_what_was_erased_is_told_as_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path, policy=policy())
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a")))).run_id
        await erased(rt, run)
    step = step_of(place, run, "a")
    assert (step.inputs, step.status) == (None, "succeeded")
    assert "none on record" in text_of(step)
