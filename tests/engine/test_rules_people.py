"""Rules of the engine 4, 5 and 6: undo, cancel, reject and resolve; what an approval binds; who may decide."""

from __future__ import annotations

from typing import Any

import pytest

from assent.errors import AssentError, InputError, RefusedError
from assent.invocation import Reconciliation
from assent.spec.events import kinds as ev
from assent.spec.principal import Principal
from assent.spec.states import RunState, Verdict
from tests.support.bodies import (
    FakeClock,
    Place,
    boom,
    code,
    erased,
    fail,
    policy,
    put,
    rule,
    states,
    user,
    workflow,
)

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

HIGH = workflow(put("a"), put("b", "box.put_high"), put("c"))


def asking(**approvers: Any) -> dict[str, Any]:
    """A policy that asks these approvers about HIGH."""
    return policy(rule("ask", "REQUIRE_APPROVAL", when={"risk_level": "HIGH"}, approvers=approvers))


async def digest_of(rt: Any, run: str) -> str:
    asked = [event for event in rt.recorded(run) if isinstance(event, ev.ApprovalRequested)]
    return str(asked[-1].digest)


async def test_rule_4_undo_is_a_phase_of_the_same_run_gated_once(place: Place) -> None:
    """The gate is asked once, as `assent.undo`, with the highest risk of the undone steps and the asker as requester."""
    place.policy = policy(
        rule("ask", "REQUIRE_APPROVAL", when={"capability": "assent.undo", "risk_level": "HIGH"}),
        rule("all", without_approval=True),
    )
    async with place.open() as rt:
        result = await rt.run(HIGH)
        assert result.status is RunState.SUCCEEDED
        waiting = await rt.undo(result.run_id, principal="user:bob")
        assert (waiting.status, place.box.count("compensate", "c")) == (RunState.WAITING, 0)
        [asked] = [event for event in rt.recorded(result.run_id) if isinstance(event, ev.UndoRequested)]
        assert (asked.by, asked.risk, asked.rule) == ("user:bob", "HIGH", "ask")
        undone = await rt.approve(result.run_id)
        assert (undone.status, place.box.values) == (RunState.UNDONE, {})
        backwards = [entry for entry in place.box.log if entry.startswith("compensate")]
        assert backwards[-3:] == ["compensate c", "compensate b", "compensate a"]
        rt.require_sound_rows()


@pytest.mark.parametrize(
    "of",
    [{}, {"environment": "prod"}, {"workflow": "w"}, {"principal": "user:bob"}, {"risk_level": "MEDIUM"}],
    ids=["any", "environment", "workflow", "principal", "risk"],
)
async def test_rule_4_a_denied_undo_touches_nothing(place: Place, of: dict[str, str]) -> None:
    """The gate is told of the run that is to be undone, and by whom."""
    place.policy = policy(rule("no", "DENY", when={"capability": "assent.undo", **of}), rule("all"))
    async with place.open() as rt:
        result = await rt.run(workflow(put("a")), environment="prod")
        with pytest.raises(RefusedError) as caught:
            await rt.undo(result.run_id, principal="user:bob")
        assert caught.value.code == "POLICY_DENIED"
        assert (await rt.show(result.run_id)).status is RunState.SUCCEEDED
        assert place.box.values == {"a": "a"}


async def test_rule_4_all_conflicts_are_looked_for_before_the_first_compensation(place: Place) -> None:
    """A later step could be taken back, an earlier one could not: neither is touched."""
    steps = [
        {"name": name, "capability": "io.fs.write_file", "inputs": {"path": name, "content": name}}
        for name in ("one", "two")
    ]
    async with place.open() as rt:
        result = await rt.run(workflow(*steps))
        (place.workspace / "one").write_text("theirs")
        with pytest.raises(RefusedError) as caught:
            await rt.undo(result.run_id)
        assert caught.value.code == "COMPENSATION_CONFLICT"
        assert (place.workspace / "two").read_text() == "two"
        assert "compensation.started" not in rt.kinds(result.run_id)
        (place.workspace / "one").write_text("one")


async def test_rule_4_a_step_without_undo_makes_the_whole_undo_impossible_unless_partial(
    place: Place,
) -> None:
    place.policy = policy(rule("all", without_approval=True))
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), put("b", "box.burn"), put("c")))
        with pytest.raises(RefusedError) as caught:
            await rt.undo(result.run_id)
        assert (caught.value.code, caught.value.path) == ("UNDO_IMPOSSIBLE", "b")
        undone = await rt.undo(result.run_id, partial=True)
        assert states(undone) == {"a": "compensated", "b": "succeeded", "c": "compensated"}
        assert (undone.status, place.box.values) == (RunState.UNDONE, {"b": "b"})


async def test_rule_4_an_offsetting_call_that_can_not_be_made_stops_an_undo_before_it_begins(
    place: Place,
) -> None:
    """The later step could be taken back; it is not, because the earlier one could not."""
    offset = {"capability": "box.put", "inputs": {"key": "${{ steps.a.output.value }}"}}
    async with place.open() as rt:
        result = await rt.run(workflow(put("a", value=7, compensation=offset), put("b")))
        with pytest.raises(RefusedError) as caught:
            await rt.undo(result.run_id)
        assert caught.value.code == "INVALID_INPUT"
        assert place.box.values == {"a": 7, "b": "b"}
        assert "compensation.started" not in rt.kinds(result.run_id)


@pytest.mark.parametrize("end", ["rejected", "expired", "conflict"])
async def test_rule_4_every_question_about_an_undo_stays_on_record(place: Place, end: str) -> None:
    """However the first one ended and whatever is asked later, its row follows from the entries alone."""
    place.policy = policy(
        rule("ask", "REQUIRE_APPROVAL", when={"capability": "assent.undo"}, approvers={"expires": "1h"}),
        rule("all"),
    )
    clock = place.clock = FakeClock()
    note = place.workspace / "note"
    step = {"name": "note", "capability": "io.fs.write_file", "inputs": {"path": "note", "content": "ours"}}
    async with place.open() as rt:
        run = (await rt.run(workflow(step))).run_id
        await rt.undo(run)
        with pytest.raises(InputError) as caught:
            await rt.cancel(run)
        assert (caught.value.code, f"assent reject {run}" in str(caught.value.hint)) == ("RUN_FINISHED", True)
        if end == "rejected":
            await rt.reject(run)
        elif end == "expired":
            clock.ms += 3_600_000
            with pytest.raises(RefusedError):
                await rt.approve(run)
        else:
            note.write_text("theirs")
            with pytest.raises(RefusedError):
                await rt.approve(run)
            note.write_text("ours")
        assert (await rt.undo(run)).status is RunState.WAITING
        rt.require_sound_rows()
        assert (await rt.approve(run)).status is RunState.UNDONE
        rt.require_sound_rows()


async def test_rule_4_an_erased_run_can_not_be_undone(place: Place) -> None:
    """Any other word about it is refused as about a run that has ended: that needs none of its data."""
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a")))).run_id
        await erased(rt, run)
        for asked, code in (
            (rt.undo(run), "UNDO_ERASED"),
            (rt.cancel(run), "RUN_FINISHED"),
            (rt.resolve(run, "a", "happened"), "RESOLUTION_INVALID"),
            (rt.approve(run), "APPROVAL_NOT_OPEN"),
            (rt.engine.drive(run), "PAYLOAD_ERASED"),
        ):
            with pytest.raises(AssentError) as caught:
                await asked
            assert caught.value.code == code


@pytest.mark.parametrize("ending", ["failed", "undone"])
async def test_rule_4_only_a_succeeded_run_can_be_undone(place: Place, ending: str) -> None:
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), *([fail()] if ending == "failed" else [])))
        if ending == "undone":
            await rt.undo(result.run_id)
        with pytest.raises(InputError) as caught:
            await rt.undo(result.run_id)
        assert caught.value.code == "RUN_NOT_UNDOABLE"


async def test_rule_4_rollback_is_never_gated(place: Place) -> None:
    """A policy that denies everything from now on does not keep a failed run from being taken back."""
    place.policy = policy(
        rule("no", "DENY", when={"capability": "box.put_low"}),
        rule("undo", "DENY", when={"capability": "assent.undo"}),
    )
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), put("b", "box.put_low")))
        assert (result.status, code(result), place.box.values) == (RunState.ROLLED_BACK, "POLICY_DENIED", {})


async def test_rule_4_cancel_ends_cancelled(place: Place) -> None:
    async with place.open() as rt:
        waiting = await rt.run(HIGH)
        result = await rt.cancel(waiting.run_id)
        assert (result.status, code(result), place.box.values) == (RunState.CANCELLED, "RUN_CANCELLED", {})
        with pytest.raises(InputError) as caught:
            await rt.cancel(waiting.run_id)
        assert caught.value.code == "RUN_FINISHED"


async def test_rule_4_a_rejection_without_a_reason_is_told_by_its_code(place: Place) -> None:
    async with place.open() as rt:
        waiting = await rt.run(HIGH)
        step = (await rt.reject(waiting.run_id)).step("b")
        assert step.error is not None
        assert (step.error["code"], step.error["message"]) == ("APPROVAL_REJECTED", "approval rejected")


async def test_rule_4_reject_ends_like_a_denial(place: Place) -> None:
    """The step is denied, the run fails with APPROVAL_REJECTED, earlier effects are taken back, the reason is kept."""
    async with place.open() as rt:
        waiting = await rt.run(HIGH)
        result = await rt.reject(waiting.run_id, reason="not today")
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "APPROVAL_REJECTED")
        assert states(result) == {"a": "compensated", "b": "denied", "c": "pending"}
        assert result.error is not None
        assert result.error["message"] == "not today"
        rt.require_sound_rows()


async def doubtful(place: Place, rt: Any) -> str:
    place.box.after["b"] = boom
    place.box.on_reconcile["b"] = Reconciliation(Verdict.UNKNOWN)
    steps = [put("a"), put("b"), put("c", value="${{ steps.b.output.value }}")]
    result = await rt.run(workflow(*steps))
    assert result.status is RunState.NEEDS_ATTENTION
    del place.box.after["b"]
    return str(result.run_id)


async def test_rule_4_resolve_happened_goes_on_with_the_output_that_was_named(place: Place) -> None:
    async with place.open() as rt:
        run = await doubtful(place, rt)
        result = await rt.resolve(run, "b", "happened", output={"value": "told"})
        assert (result.status, place.box.values["c"]) == (RunState.SUCCEEDED, "told")
        assert place.box.count("execute", "b") == 1


async def test_rule_4_resolve_not_happened_runs_the_intent_once_more(place: Place) -> None:
    async with place.open() as rt:
        run = await doubtful(place, rt)
        result = await rt.resolve(run, "b", "not_happened")
        assert (result.status, place.box.count("execute", "b")) == (RunState.SUCCEEDED, 2)


async def test_rule_4_resolve_compensated_takes_the_rest_back(place: Place) -> None:
    async with place.open() as rt:
        run = await doubtful(place, rt)
        result = await rt.resolve(run, "b", "compensated")
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "STEP_TAKEN_BACK")
        assert states(result) == {"a": "compensated", "b": "compensated", "c": "pending"}
        assert place.box.count("compensate", "b") == 0


async def test_rule_4_resolve_abandon_leaves_the_step_as_it_is_and_says_so(place: Place) -> None:
    """The run cannot say that it is rolled back: it failed."""
    async with place.open() as rt:
        run = await doubtful(place, rt)
        result = await rt.resolve(run, "b", "abandon")
        assert (result.status, code(result)) == (RunState.FAILED, "STEP_ABANDONED")
        assert (states(result)["a"], place.box.values) == ("compensated", {"b": "b"})


async def test_rule_4_resolve_settles_a_compensation_that_failed(place: Place) -> None:
    place.box.on_compensate["a"] = boom
    async with place.open() as rt:
        parked = await rt.run(workflow(put("a"), fail()))
        result = await rt.resolve(parked.run_id, "a", "compensated")
        assert (result.status, states(result)["a"]) == (RunState.ROLLED_BACK, "compensated")


async def test_rule_4_a_word_that_does_not_fit_is_refused_and_changes_nothing(place: Place) -> None:
    """Not even what later steps would read as the step's output."""
    async with place.open() as rt:
        waiting = await rt.run(
            workflow(put("a"), put("b", "box.put_high", value="${{ steps.a.output.value }}"))
        )
        with pytest.raises(InputError) as caught:
            await rt.resolve(waiting.run_id, "a", "happened", output={"value": "forged"})
        assert caught.value.code == "RESOLUTION_INVALID"
        await rt.approve(waiting.run_id)
        assert place.box.values["b"] == "a"


async def test_rule_5_approving_runs_exactly_that_call_once(place: Place) -> None:
    """Nothing is prepared before; the grant is named in the intent and is used once."""
    async with place.open() as rt:
        waiting = await rt.run(HIGH)
        assert (waiting.status, place.box.count("prepare", "b")) == (RunState.WAITING, 0)
        digest = await digest_of(rt, waiting.run_id)
        result = await rt.approve(waiting.run_id, digest=digest)
        assert (result.status, place.box.count("execute", "b")) == (RunState.SUCCEEDED, 1)
        [granted] = [event for event in rt.recorded(result.run_id) if isinstance(event, ev.ApprovalGranted)]
        intents = [event for event in rt.recorded(result.run_id) if isinstance(event, ev.StepStarted)]
        assert (granted.confirmed, [intent.grant for intent in intents]) == (True, [None, digest, None])
        with pytest.raises(InputError) as caught:
            await rt.approve(waiting.run_id)
        assert caught.value.code == "APPROVAL_NOT_OPEN"
        rt.require_sound_rows()


async def test_rule_5_without_a_digest_it_is_recorded_that_it_was_not_confirmed(place: Place) -> None:
    async with place.open() as rt:
        waiting = await rt.run(HIGH)
        await rt.approve(waiting.run_id)
        [granted] = [event for event in rt.recorded(waiting.run_id) if isinstance(event, ev.ApprovalGranted)]
        assert not granted.confirmed


async def test_rule_5_another_digest_is_refused(place: Place) -> None:
    async with place.open() as rt:
        waiting = await rt.run(HIGH)
        with pytest.raises(RefusedError) as caught:
            await rt.approve(waiting.run_id, digest="0" * 64)
        assert caught.value.code == "APPROVAL_STALE"
        # The way on is to look, and not a digest to type unseen.
        hint = caught.value.hint or ""
        assert "approvals --diff" in hint
        assert (await digest_of(rt, waiting.run_id))[:12] not in hint
        assert (await rt.show(waiting.run_id)).status is RunState.WAITING


async def test_rule_5_twelve_digits_name_a_digest_and_fewer_or_others_do_not(place: Place) -> None:
    async with place.open() as rt:
        waiting = await rt.run(HIGH)
        digest = await digest_of(rt, waiting.run_id)
        other = "0" if digest[11] != "0" else "1"
        for given in (digest[:11], digest[:11] + other, digest + "0", digest[:11] + " "):
            with pytest.raises(RefusedError) as caught:
                await rt.approve(waiting.run_id, digest=given)
            assert caught.value.code == "APPROVAL_STALE"
        await rt.approve(waiting.run_id, digest=digest[:12])
        [granted] = [event for event in rt.recorded(waiting.run_id) if isinstance(event, ev.ApprovalGranted)]
        assert (granted.confirmed, granted.digest) == (True, digest)


async def test_rule_5_another_base_state_voids_the_grant_and_asks_again(place: Place) -> None:
    """What the person saw is not what would be changed now."""
    async with place.open() as rt:
        waiting = await rt.run(HIGH)
        first = await digest_of(rt, waiting.run_id)
        place.box.values["b"] = "somebody else"
        again = await rt.approve(waiting.run_id, digest=first)
        assert (again.status, place.box.count("execute", "b")) == (RunState.WAITING, 0)
        [voided] = [event for event in rt.recorded(again.run_id) if isinstance(event, ev.ApprovalVoided)]
        assert (voided.code, voided.digest) == ("APPROVAL_STALE", first)
        assert await digest_of(rt, again.run_id) != first
        assert (await rt.approve(again.run_id)).status is RunState.SUCCEEDED
        rt.require_sound_rows()


@pytest.mark.parametrize(
    ("later", "status"),
    [
        (policy(rule("other", "REQUIRE_APPROVAL", when={"risk_level": "HIGH"})), RunState.WAITING),
        (policy(rule("no", "DENY", when={"risk_level": "HIGH"})), RunState.ROLLED_BACK),
    ],
    ids=["another-rule", "deny"],
)
async def test_rule_5_another_policy_voids_the_grant(
    place: Place, later: dict[str, Any], status: RunState
) -> None:
    """The second question is answered by the grant only while the same rule of the same policy asks it."""
    place.policy = asking()
    async with place.open() as rt:
        waiting = await rt.run(HIGH)
    place.policy = later
    async with place.open() as rt:
        result = await rt.approve(waiting.run_id)
        assert (result.status, place.box.count("execute", "b")) == (status, 0)
        assert "approval.voided" in rt.kinds(result.run_id)
        rt.require_sound_rows()


async def test_rule_5_expires_bounds_deciding(place: Place) -> None:
    """Too late counts as a refusal."""
    place.policy, place.clock = asking(expires="1h"), FakeClock()
    async with place.open() as rt:
        waiting = await rt.run(HIGH)
        place.clock.ms += 3_600_000
        result = await rt.approve(waiting.run_id)
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "APPROVAL_EXPIRED")
        assert place.box.count("execute", "b") == 0


async def test_rule_5_expires_bounds_using(place: Place) -> None:
    """Granted in time and not used in time: a refusal as well, also when the first use failed and is tried again."""
    place.policy, place.clock = asking(expires="1h"), FakeClock()
    clock = place.clock

    def late(call: Any) -> None:
        clock.ms += 3_600_000
        boom(call)

    place.box.before["b"] = late
    async with place.open() as rt:
        step = put("b", "box.put_high", retry={"max_attempts": 3, "backoff": {"initial": "1ms"}})
        waiting = await rt.run(workflow(step))
        result = await rt.approve(waiting.run_id)
        assert (result.status, code(result)) == (RunState.FAILED, "APPROVAL_EXPIRED")
        assert place.box.count("execute", "b") == 1


async def test_rule_5_count_needs_that_many_distinct_principals(place: Place) -> None:
    place.policy = asking(count=2)
    async with place.open() as rt:
        waiting = await rt.run(HIGH)
        once = await rt.approve(waiting.run_id, principal=user("ann"))
        assert once.status is RunState.WAITING
        with pytest.raises(RefusedError) as caught:
            await rt.approve(waiting.run_id, principal=user("ann"))
        assert caught.value.code == "APPROVER_REFUSED"
        assert place.box.count("execute", "b") == 0
        assert (await rt.approve(waiting.run_id, principal=user("ben"))).status is RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("capability", "fields", "risk"),
    [
        ("box.put", {"risk_level": "HIGH"}, "HIGH"),
        ("box.put", {"undo": "none"}, "CRITICAL"),
        ("box.put_low", {"risk_level": "CRITICAL"}, "CRITICAL"),
    ],
)
async def test_rule_5_the_risk_that_is_asked_about_is_the_steps_own(
    place: Place, capability: str, fields: dict[str, Any], risk: str
) -> None:
    """An author may raise the risk; `undo: none` makes it CRITICAL; the built-in policy then asks."""
    async with place.open() as rt:
        waiting = await rt.run(workflow(put("a", capability, **fields)))
        assert (waiting.status, waiting.step("a").risk_level) == (RunState.WAITING, risk)


@pytest.mark.parametrize(
    ("approvers", "refused", "accepted"),
    [
        ({}, "agent:bot", "user:ann"),
        ({"kinds": ["agent"]}, "user:ann", "agent:bot"),
        ({"not_requester": True}, "user:asks", "user:ann"),
    ],
    ids=["only-users", "unless-the-rule-names-another-kind", "not-the-requester"],
)
async def test_rule_6_who_may_decide(
    place: Place, approvers: dict[str, Any], refused: str, accepted: str
) -> None:
    place.policy = asking(**approvers)
    async with place.open() as rt:
        waiting = await rt.run(HIGH, principal="user:asks")
        with pytest.raises(RefusedError) as caught:
            await rt.approve(waiting.run_id, principal=refused)
        assert caught.value.code == "APPROVER_REFUSED"
        assert "`assent approvals --diff`" in str(caught.value.hint), "the list alone does not name them"
        assert (await rt.approve(waiting.run_id, principal=accepted)).status is RunState.SUCCEEDED


async def test_rule_6_one_of_the_roles_is_needed(place: Place) -> None:
    place.policy = asking(roles=["lead", "ops"])
    async with place.open() as rt:
        waiting = await rt.run(HIGH)
        with pytest.raises(RefusedError):
            await rt.approve(waiting.run_id, principal=user("ann", "dev"))
        assert (await rt.approve(waiting.run_id, principal=user("ann", "ops"))).status is RunState.SUCCEEDED


async def test_rule_6_an_asserted_identity_is_recorded_as_asserted_beside_the_user_id(place: Place) -> None:
    async with place.open() as rt:
        result = await rt.run(workflow(put("a")), principal="agent:bot")
        created = rt.recorded(result.run_id)[0]
        assert isinstance(created, ev.RunCreated)
        assert (created.principal, created.asserted, created.os_uid) == (
            "agent:bot",
            True,
            rt.settings.os_uid,
        )


async def test_rule_6_a_run_goes_on_as_its_requester_whoever_approves(place: Place) -> None:
    seen: list[Principal] = []
    place.box.before["b"] = lambda call: seen.append(call.principal)
    async with place.open() as rt:
        waiting = await rt.run(HIGH, principal="user:asks")
        await rt.approve(waiting.run_id, principal="user:ann")
        assert [str(principal) for principal in seen] == ["user:asks"]


async def test_whoever_asked_may_take_the_question_back_and_not_answer_it(place: Place) -> None:
    """Also where the rule names others to decide, and whatever kind of principal asked."""
    place.policy = policy(
        rule(
            "asks",
            "REQUIRE_APPROVAL",
            approvers={"roles": ["lead"], "not_requester": True, "kinds": ["user"]},
        )
    )
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a")), principal="agent:helper")).run_id
        for who in ("agent:helper", "agent:other", "user:bob"):
            with pytest.raises(RefusedError):
                await rt.approve(run, principal=who)
        for who in ("agent:other", "user:bob"):
            with pytest.raises(RefusedError):
                await rt.reject(run, principal=who)
        result = await rt.reject(run, principal="agent:helper", reason="nobody came")
        assert (result.status, place.box.values) == (RunState.FAILED, {})
