"""A replay follows the record as far as it goes, says what differs, and touches nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from assent.errors import AssentError, Json, RefusedError
from assent.invocation import Handler, HookedCall, LocalContext, NoEffectError
from assent.spec import create_read_capability
from tests.support.bodies import (
    Bench,
    FakeClock,
    Place,
    erased,
    fail,
    interrupted,
    no_effect,
    policy,
    put,
    put_spec,
    rule,
    user,
    workflow,
)

ALLOWED = policy(rule("all", without_approval=True))


def found(report: Any) -> list[tuple[str, str | None]]:
    """Where the report sees differences."""
    return [(difference.where, difference.step) for difference in report.differences]


async def played(place: Place, document: dict[str, Any], **changes: Any) -> Any:
    """The report of a run of today, replayed under tomorrow's policy."""
    async with place.open() as rt:
        run = (await rt.run(document)).run_id
    place.policy = changes.pop("policy", place.policy)
    before = (dict(place.box.values), list(place.box.log))
    async with place.open() as rt:
        report = await rt.replay(run, **changes)
        assert (dict(place.box.values), list(place.box.log)) == before, "a replay touches nothing"
        return report


async def test_a_failed_run_fails_again_the_same_way(place: Place) -> None:
    place.box.before["b"] = no_effect
    report = await played(place, workflow(put("a"), put("b"), put("c")))
    assert report.is_equal, report.to_json()
    assert report.recorded_status == report.replayed_status == "rolled_back"


async def test_a_run_that_a_new_policy_denies_is_told_with_the_decision_and_what_follows(
    place: Place,
) -> None:
    place.policy = ALLOWED
    report = await played(
        place,
        workflow(put("a"), put("b", "box.put_high")),
        policy=policy(rule("no", "DENY", when={"risk_level": "HIGH"}), rule("all")),
    )
    [decision] = [item for item in report.differences if item.where == "decision"]
    assert (decision.step, decision.recorded, decision.replayed) == (
        "b",
        {"decision": "ALLOW", "rule": "all"},
        {"decision": "DENY", "rule": "no"},
    )
    assert (report.recorded_status, report.replayed_status) == ("succeeded", "rolled_back")
    assert report.assumed == ("a",), "nobody knows what taking it back would have come to"
    assert report.policy[0] != report.policy[1]


async def test_a_step_that_was_denied_and_is_allowed_now_ends_the_replay_where_the_record_ends(
    place: Place,
) -> None:
    place.policy = policy(rule("no", "DENY", when={"risk_level": "HIGH"}), rule("all"))
    report = await played(place, workflow(put("a"), put("b", "box.put_high"), put("c")), policy=ALLOWED)
    assert ("decision", "b") in found(report)
    assert (report.stopped, report.replayed_status) == (("b",), "running")


async def test_a_question_that_nobody_was_asked_waits_in_the_replay(place: Place) -> None:
    place.policy = ALLOWED
    asks = policy(rule("ask", "REQUIRE_APPROVAL", when={"risk_level": "HIGH"}), rule("all"))
    report = await played(place, workflow(put("a"), put("b", "box.put_high")), policy=asks)
    assert ("decision", "b") in found(report)
    assert (report.stopped, report.replayed_status) == ((), "waiting")


async def test_a_question_that_is_not_asked_any_more_goes_on_with_the_recorded_output(place: Place) -> None:
    place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when={"risk_level": "HIGH"}), rule("all"))
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), put("b", "box.put_high")))
        result = await rt.approve(result.run_id, principal=user("bob"))
    place.policy = ALLOWED
    async with place.open() as rt:
        report = await rt.replay(result.run_id)
    assert ("decision", "b") in found(report)
    assert (report.replayed_status, report.stopped) == ("succeeded", ())
    assert not any(difference.where == "output" for difference in report.differences)


async def test_off_the_record_people_give_the_answers_they_gave(place: Place) -> None:
    """The first step goes another way, so the script is off; what people said about the second is still known."""
    asks = rule("ask", "REQUIRE_APPROVAL", when={"risk_level": "HIGH"})
    place.policy = policy(asks, rule("all"))
    async with place.open() as rt:
        result = await rt.run(workflow(put("a", "box.put_high"), put("b", "box.put_high")))
        await rt.approve(result.run_id, principal=user("bob"))
        await rt.approve(result.run_id, principal=user("bob"))
    place.policy = policy(
        rule("first", **{"if": "inputs.key == 'a'"}, without_approval=True), asks, rule("all")
    )
    async with place.open() as rt:
        report = await rt.replay(result.run_id)
    assert (report.replayed_status, report.recorded_status) == ("succeeded", "succeeded")
    assert ("decision", "a") in found(report)
    assert ("decision", "b") not in found(report)


@pytest.mark.parametrize("happened", [True, False])
async def test_a_crash_is_replayed_as_a_crash(place: Place, happened: bool) -> None:
    run = await interrupted(place, workflow(put("a"), put("b")), "b", happened=happened)
    async with place.open() as rt:
        assert (await rt.replay(run)).is_equal, "also before anybody resumes it"
        [result] = await rt.resume(run)
        assert "run.recovered" in rt.kinds(run)
        report = await rt.replay(run)
        assert (report.is_equal, report.replayed_status) == (True, result.status.value), report.to_json()


async def test_what_happened_to_a_session_is_replayed_with_its_calls(place: Place) -> None:
    async with place.open() as rt:
        session = await rt.session()
        await session.call("box.put", {"key": "a"})
        place.box.before["b"] = no_effect
        await session.call("box.put", {"key": "b"})
        assert (await rt.replay(session.run_id)).is_equal
        await session.close()
        report = await rt.replay(session.run_id)
        assert report.is_equal, report.to_json()


async def test_an_expired_question_expires_again(place: Place) -> None:
    place.clock = FakeClock()
    place.policy = policy(
        rule("ask", "REQUIRE_APPROVAL", when={"risk_level": "HIGH"}, approvers={"expires": "1h"}), rule("all")
    )
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a"), put("b", "box.put_high")))).run_id
    place.clock.ms += 2 * 3600 * 1000
    async with place.open() as rt:
        await rt.resume(run)
        assert "approval.rejected" in rt.kinds(run)
        report = await rt.replay(run)
        assert report.is_equal, report.to_json()


async def test_a_handler_that_is_another_by_now_is_told_and_the_record_still_answers(place: Place) -> None:
    async with place.open(box=False) as rt:
        rt.register(put_spec(), place.box.handler(revision="box/old"))
        run = (await rt.run(workflow(put("a")))).run_id
    async with place.open() as rt:
        report = await rt.replay(run)
    assert report.is_equal
    assert report.capabilities == ({"capability": "box.put@1.0.0", "changed": "handler"},)


async def test_a_version_that_is_gone_is_replaced_by_the_one_there_is(place: Place) -> None:
    async with place.open(box=False) as rt:
        rt.register(put_spec(version="0.9.0"), place.box.handler())
        run = (await rt.run(workflow(put("a")))).run_id
    async with place.open() as rt:
        report = await rt.replay(run)
    assert report.capabilities == ({"capability": "box.put@0.9.0", "changed": "missing"},)
    assert found(report) == [("event", "a")], "the event names another version; nothing else differs"


async def test_an_unknown_run_is_refused(place: Place) -> None:
    async with place.open() as rt:
        with pytest.raises(AssentError) as caught:
            await rt.replay("run_x")
    assert caught.value.code == "RUN_UNKNOWN"


async def test_a_run_whose_data_was_erased_is_refused(place: Place) -> None:
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a")))).run_id
        await erased(rt, run)
        with pytest.raises(AssentError) as caught:
            await rt.replay(run)
    assert caught.value.code == "PAYLOAD_ERASED"


def greet(text: str) -> Handler:
    async def execute(context: LocalContext, parameters: dict[str, Json]) -> Json:
        del context
        if text == "refuse":
            raise NoEffectError("NOT_TODAY", "no greeting today")
        return {"text": f"{text} {parameters['name']}", "length": 1}

    return Handler(execute, revision=f"greet/{text}")


def greets(rt: Bench, version: str, text: str) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    rt.register(create_read_capability("demo.greet", version=version, parameters=schema), greet(text))


GREETING = {"name": "hi", "capability": "demo.greet@1.0.0", "inputs": {"name": "Ada"}}


async def test_another_version_really_runs_and_its_output_is_compared(place: Place) -> None:
    async with place.open() as rt:
        greets(rt, "1.0.0", "hello")
        greets(rt, "1.1.0", "dear")
        greets(rt, "1.2.0", "refuse")
        run = (await rt.run(workflow(GREETING))).run_id
        same = await rt.replay(run, capability_version="1.0.0")
        assert (same.is_equal, same.against) == (True, {"demo.greet": "1.0.0"})
        other = await rt.replay(run, capability_version="demo.greet@1.1.0")
        assert found(other) == [("output", "hi")], "the version is another because it was asked for"
        [output] = other.differences
        assert output.patch == [{"op": "replace", "path": "/text", "value": "dear Ada"}]
        failing = await rt.replay(run, capability_version="1.2.0")
        assert (failing.recorded_status, failing.replayed_status) == ("succeeded", "failed")


async def test_a_file_is_written_in_the_simulated_world_only(place: Place) -> None:
    document = workflow(
        {"name": "w", "capability": "io.fs.write_file", "inputs": {"path": "a.txt", "content": "one"}}
    )
    async with place.open() as rt:
        run = (await rt.run(document)).run_id
        (place.workspace / "a.txt").unlink()
        report = await rt.replay(run, capability_version="1.0.0")
        assert report.is_equal, report.to_json()
    assert not (place.workspace / "a.txt").exists()


async def test_a_capability_that_may_act_on_more_than_its_world_is_not_run_again(place: Place) -> None:
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a"), fail()))).run_id
        with pytest.raises(AssentError) as caught:
            await rt.replay(run, capability_version="box.put@1.0.0")
        assert caught.value.code == "REPLAY_NOT_SIMULABLE"
        assert place.box.count("execute", "a") == 1


@pytest.mark.parametrize("wanted", ["1.0.0", "box.other@1.0.0"])
async def test_which_capability_is_meant_must_be_clear(place: Place, wanted: str) -> None:
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a"), fail()))).run_id
        with pytest.raises(AssentError) as caught:
            await rt.replay(run, capability_version=wanted)
    assert caught.value.code == "REPLAY_AMBIGUOUS"


async def refuse(call: HookedCall) -> None:
    raise RefusedError("TOO_LATE", "not after five o'clock")


async def test_hooks_run_in_a_replay_as_in_a_run(place: Place) -> None:
    """The whole way, with all that is counted on it, is held by `test_one_pipeline.py`."""
    seen: list[str] = []

    async def look(call: HookedCall) -> None:
        seen.append(call.step)

    async with place.open() as rt:
        rt.hooks.before(look)
        run = (await rt.run(workflow(put("a"), put("b")))).run_id
        await rt.replay(run)
        assert seen == ["a", "b", "a", "b"]


async def test_what_a_hook_refused_is_refused_where_the_hook_is_not(place: Place) -> None:
    async with place.open() as rt:
        rt.hooks.before(refuse)
        run = (await rt.run(workflow(put("a"), put("b")))).run_id
        assert (await rt.replay(run)).is_equal
    async with place.open() as rt:
        report = await rt.replay(run)
    assert report.is_equal, report.to_json()["differences"]
    assert report.replayed_status == "failed"


async def test_a_hook_of_today_that_refuses_is_a_difference(place: Place) -> None:
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a")))).run_id
        rt.hooks.before(refuse)
        report = await rt.replay(run)
    assert (report.recorded_status, report.replayed_status) == ("succeeded", "failed")


async def test_a_thread_that_lived_on_is_told_of_as_it_was(place: Place) -> None:
    """The step was in doubt with its thread alive, and asking about it was refused for that."""
    go_on, place.grace_s = threading.Event(), 0.05

    def hang(context: LocalContext, parameters: dict[str, Json]) -> Json:
        del context, parameters
        go_on.wait(60)
        return {}

    async with place.open() as rt:
        rt.register(put_spec("box.hang", timeout=0.5), place.box.handler(execute=hang))
        try:
            result = await rt.run(workflow(put("a", "box.hang")))
            await rt.resume(result.run_id)
            assert any("EFFECT_ALIVE" in str(event) for event in rt.recorded(result.run_id))
        finally:
            go_on.set()
        report = await rt.replay(result.run_id)
        assert report.is_equal, report.to_json()["differences"]
