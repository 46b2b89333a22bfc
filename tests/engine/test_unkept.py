"""Texts that a capability says are told and not kept: who calls has them, and nothing in the state does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from assent.engine.drive._engine import TOLD_MAX
from assent.errors import AssentError, InputError, Json
from assent.runtime.service import requests
from assent.runtime.service._reading import Reader
from assent.runtime.service.service import Service
from assent.spec import create_write_capability
from assent.spec.events import kinds as ev
from assent.spec.states import RunState
from assent.spec.unkept_fields import is_marked
from tests.support.bodies import Bench, Pause, Place, code, policy, put, rule, user, workflow
from tests.support.shelves import INPUTS, OTHER, QUERY, TEXT, Query, Shelf, find, require_unkept, told_in

HITS: Json = {
    "hits": [
        {"place": "a.md", "text": TEXT, "score": len(TEXT)},
        {"place": "b.md", "text": OTHER, "score": len(OTHER)},
    ]
}


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(autouse=True)
def _replays(every_run_replays_equal: None) -> None:
    """Every run here replays equal, as far as what was kept tells."""


@asynccontextmanager
async def opened(place: Place, shelf: Shelf) -> AsyncIterator[Bench]:
    async with place.open() as rt:
        shelf.register(rt)
        yield rt


async def interrupted(place: Place, shelf: Shelf, document: dict[str, Any], key: str) -> str:
    """The id of a run whose process ended while it put something into the box."""
    pause = Pause()
    place.box.before[key] = pause
    async with opened(place, shelf) as rt:
        running = asyncio.create_task(rt.run(document, {"q": QUERY}))
        await pause.reached.wait()
        (run,) = await rt.unfinished()
    await asyncio.wait({running})
    running.exception()
    del place.box.before[key]
    return run


async def kept_of(rt: Bench, run: str) -> Any:  # `Any`: JSON
    """The run as it is shown to whoever looks later."""
    return (await rt.show(run)).to_json()


async def test_a_call_tells_what_is_not_kept(place: Place, shelf: Shelf) -> None:
    """The ledger has what is kept, and marks."""
    async with opened(place, shelf) as rt:
        result = await rt.call("shelf.find", {"query": QUERY})
        assert result.outputs == HITS
        assert shelf.asked == [QUERY]
        require_unkept(rt, place.root)
        shown = await kept_of(rt, result.run_id)
    assert told_in(place.root / "state", QUERY, TEXT, OTHER) == []
    first = shown["steps"][0]["output"]["hits"][0]
    assert (first["place"], first["score"], is_marked(first["text"])) == ("a.md", len(TEXT), True)


async def test_a_call_of_a_session_does(place: Place, shelf: Shelf) -> None:
    async with opened(place, shelf) as rt:
        session = await rt.session()
        assert (await session.call("shelf.find", {"query": QUERY})).output == HITS
        require_unkept(rt, place.root)


@pytest.mark.parametrize(
    "parameters",
    [{"query": [QUERY]}, {"query": QUERY, "limit": "x"}, {"qeury": QUERY}, {"query": {"a": QUERY}}],
)
async def test_a_call_that_is_not_valid_keeps_none_either(
    place: Place, shelf: Shelf, parameters: dict[str, Json]
) -> None:
    async with opened(place, shelf) as rt:
        result = await rt.call("shelf.find", parameters)
        assert code(result) == "INVALID_INPUT"
        require_unkept(rt, place.root)


async def test_a_denial_quotes_none(place: Place, shelf: Shelf) -> None:
    """It names its rule, and not what would have been let go."""
    place.policy = policy(rule("no", "DENY", when={"capability": "shelf.find"}))
    async with opened(place, shelf) as rt:
        result = await rt.call("shelf.find", {"query": QUERY})
        assert (code(result), shelf.asked) == ("POLICY_DENIED", [])
        assert result.error is not None
        assert "rule `no`" in str(result.error["message"])
        require_unkept(rt, place.root)


async def test_what_is_derived_is_not_kept(place: Place, shelf: Shelf) -> None:
    """Outputs of the run, items of a `foreach` step and what it gathers; what depends on no such text stays as it is."""
    document = workflow(
        find(),
        {
            **find("each", "${{ item.text }}"),
            "foreach": "${{ steps.look.output.hits }}",
        },
        inputs=INPUTS,
        outputs={
            "all": "${{ steps.each.output }}",
            "first": "found ${{ steps.look.output.hits[0].text }}",
            "long": "${{ size(steps.look.output.hits[0].text) > 3 }}",
            "size": "${{ size(steps.look.output.hits[0].text) }}",
            "part": "${{ steps.look.output.hits[0].text + '!' }}",
            "place": "${{ steps.look.output.hits[0].place }}",
        },
    )
    async with opened(place, shelf) as rt:
        result = await rt.run(document, {"q": QUERY})
        assert result.outputs == {
            "all": [HITS, HITS],
            "first": f"found {TEXT}",
            "long": True,
            "size": len(TEXT),
            "part": f"{TEXT}!",
            "place": "a.md",
        }
        assert shelf.asked == [QUERY, TEXT, OTHER]
        require_unkept(rt, place.root)
        kept = (await kept_of(rt, result.run_id))["outputs"]
        assert {name for name, value in kept.items() if is_marked(value)} == {"all", "first", "size", "part"}
        assert (kept["long"], kept["place"]) == (True, "a.md")


READS = workflow(
    find(),
    put("held"),
    put("told", value="${{ steps.look.output.hits[0].score }}", depends_on=["held"]),
    outputs={"text": "${{ steps.look.output.hits[0].text }}"},
)


def literal(document: dict[str, Any]) -> dict[str, Any]:
    """The same, with a query that the document names: it is the author's, and kept with it."""
    steps = [
        {**one, "inputs": {"query": "public"}} if one["name"] == "look" else one for one in document["steps"]
    ]
    return {**document, "inputs": INPUTS, "steps": steps}


async def test_what_a_process_took_with_it_is_read_again(place: Place, shelf: Shelf) -> None:
    """Through the gate, and on record."""
    run = await interrupted(place, shelf, literal(READS), "held")
    async with opened(place, shelf) as rt:
        (result,) = await rt.resume(run)
        assert (result.status, result.outputs) == (RunState.SUCCEEDED, {"text": TEXT})
        assert shelf.asked == ["public", "public"]
        assert place.box.values["told"] == len(TEXT)
        recovered = [event for event in rt.recorded(run) if isinstance(event, ev.RunRecovered)]
        assert [event.again for event in recovered] == [("look",)]
        started = [
            event for event in rt.recorded(run) if isinstance(event, ev.StepStarted) and event.step == "look"
        ]
        assert [event.attempt for event in started] == [1, 2]
        require_unkept(rt, place.root)


async def test_it_has_to_be_what_it_was(place: Place, shelf: Shelf) -> None:
    run = await interrupted(place, shelf, literal(READS), "held")
    shelf.texts["a.md"] = f"{TEXT}!"
    async with opened(place, shelf) as rt:
        (result,) = await rt.resume(run)
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "READ_CHANGED")
        require_unkept(rt, place.root)


async def test_the_gate_may_say_no_by_then(place: Place, shelf: Shelf) -> None:
    run = await interrupted(place, shelf, literal(READS), "held")
    place.policy = policy(rule("no", "DENY", when={"capability": "shelf.find"}))
    async with opened(place, shelf) as rt:
        (result,) = await rt.resume(run)
        assert (code(result), len(shelf.asked)) == ("POLICY_DENIED", 1)


async def test_what_nothing_needs_is_not_read_again(place: Place, shelf: Shelf) -> None:
    document = {**literal(READS), "outputs": {}}
    document["steps"] = document["steps"][:2]
    run = await interrupted(place, shelf, document, "held")
    shelf.texts.clear()
    async with opened(place, shelf) as rt:
        (result,) = await rt.resume(run)
        assert result.status is RunState.SUCCEEDED
        assert shelf.asked == ["public"]


async def test_what_a_read_was_asked_with_is_read_again_first(place: Place, shelf: Shelf) -> None:
    """And what `foreach` goes over is made again, and is what it was."""
    each = {**find("each", "${{ item.text }}"), "foreach": "${{ steps.look.output.hits }}"}
    late = {**each, "name": "late", "depends_on": ["held"]}
    document = literal(
        workflow(
            find(),
            each,
            put("held", depends_on=["each"]),
            late,
            outputs={"all": "${{ steps.each.output }}", "late": "${{ steps.late.output }}"},
        )
    )
    run = await interrupted(place, shelf, document, "held")
    async with opened(place, shelf) as rt:
        (result,) = await rt.resume(run)
        assert result.outputs == {"all": [HITS, HITS], "late": [HITS, HITS]}
        assert shelf.asked == ["public", TEXT, OTHER, "public", TEXT, OTHER, TEXT, OTHER]
        require_unkept(rt, place.root)


async def test_iterations_go_on_with_what_is_made_again(place: Place, shelf: Shelf) -> None:
    """The process ended in the middle of them. What a step that changes something is given is kept, as ever."""
    document = literal(
        workflow(
            find(),
            {
                "name": "each",
                "capability": "box.put",
                "foreach": "${{ steps.look.output.hits }}",
                "inputs": {"key": "${{ item.place }}", "value": "${{ item.text }}"},
            },
        )
    )
    place.concurrency = 1
    run = await interrupted(place, shelf, document, "b.md")
    async with opened(place, shelf) as rt:
        (result,) = await rt.resume(run)
        assert result.status is RunState.SUCCEEDED
        assert place.box.values == shelf.texts
        assert told_in(place.root / "state", TEXT)


async def test_an_input_that_was_not_kept_ends_what_needs_it(place: Place, shelf: Shelf) -> None:
    document = workflow(put("held"), find(depends_on=["held"]), inputs=INPUTS)
    run = await interrupted(place, shelf, document, "held")
    async with opened(place, shelf) as rt:
        (result,) = await rt.resume(run)
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "TEXT_NOT_KEPT")
        assert shelf.asked == []
        require_unkept(rt, place.root)


async def test_so_does_what_a_call_was_made_with(place: Place, shelf: Shelf) -> None:
    """Nothing is lost but the answer: it only reads."""
    shelf.pause = pause = Pause()
    async with opened(place, shelf) as rt:
        running = asyncio.create_task(rt.call("shelf.find", {"query": QUERY}))
        await pause.reached.wait()
    await asyncio.wait({running})
    running.exception()
    shelf.pause = None
    async with opened(place, shelf) as rt:
        (run,) = await rt.unfinished()
        (result,) = await rt.resume(run)
        assert code(result) == "TEXT_NOT_KEPT"
        require_unkept(rt, place.root)
    assert shelf.asked == []


ASKED = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "shelf.find"}))


async def test_who_decides_sees_what_is_asked_and_not_what_is_found(place: Place, shelf: Shelf) -> None:
    """As long as the process lives that has it; the run stays in memory for that. Who asked has the answer."""
    place.policy = ASKED
    async with opened(place, shelf) as rt:
        session = await rt.session(principal="agent:anna")
        waiting = await session.call("shelf.find", {"query": QUERY})
        answer = asyncio.create_task(session.wait(waiting.name))
        service = Service(place.settings(), rt._core)
        (asked,) = (await service.perform(requests.Approvals())).approvals
        assert (asked.inputs, asked.refused) == ({"query": QUERY, "limit": 5}, None)
        done = await rt.approve(session.run_id, waiting.name, principal=user("bob"))
        assert TEXT not in json.dumps(done.to_json())
        assert (await answer).output == HITS
        require_unkept(rt, place.root)


async def test_who_agrees_to_a_call_is_not_told_what_it_found_and_who_asked_is(
    place: Place, shelf: Shelf
) -> None:
    """It was read with the rights of whoever asked; they may look until it is erased, or many others were told."""
    place.policy = policy(
        rule("ask", "REQUIRE_APPROVAL", when={"capability": "shelf.find"}), rule("all", without_approval=True)
    )
    async with opened(place, shelf) as rt:
        anna, bob = (
            requests.Asker(principal=name, identified_by="api_key:k") for name in ("user:anna", "user:bob")
        )
        service = Service(place.settings(), rt._core)

        async def asked_and_agreed() -> str:
            call = requests.Call(capability="shelf.find", parameters={"query": QUERY})
            run = (await service.perform(call, anna)).run_id
            done = await service.perform(requests.Approve(run=run), bob)
            assert (done.status, is_marked(done.outputs)) == ("succeeded", True)
            return run

        async def told_of(run: str, by: requests.Asker) -> Any:  # `Any`: JSON
            return (await service.perform(requests.Show(run=run), by)).outputs

        first, second = await asked_and_agreed(), await asked_and_agreed()
        assert is_marked(await told_of(first, bob))
        assert await told_of(first, anna) == HITS
        await service.perform(requests.Erase(runs=(first,)), bob)
        assert await told_of(first, anna) is None
        assert await told_of(second, anna) == HITS
        for _ in range(TOLD_MAX):
            await asked_and_agreed()
        assert is_marked(await told_of(second, anna))
        require_unkept(rt, place.root)


@pytest.mark.parametrize(("who", "is_told"), [("agent:anna", True), ("user:bob", False)])
async def test_who_looks_later_is_told_what_is_known_of_their_run(
    place: Place, shelf: Shelf, who: str, is_told: bool
) -> None:
    """Here and from another process, as long as the owner has the session in memory; nobody else is."""
    place.policy = ASKED
    anna, bob = (
        requests.Asker(principal=name, identified_by="api_key:k") for name in ("agent:anna", "user:bob")
    )
    async with opened(place, shelf) as rt:
        service = Service(place.settings(), rt._core)
        run = (await service.perform(requests.OpenSession(), anna)).run_id
        added = requests.AddStep(run=run, capability="shelf.find", parameters={"query": QUERY})
        (asked,) = (await service.perform(added, anna)).steps
        await service.perform(requests.Approve(run=run, step=asked.name), bob)
        by = requests.Asker(principal=who, identified_by="api_key:k")
        shown = await service.perform(requests.Show(run=run, step=asked.name), by)
        output: Any = shown.steps[0].output  # JSON
        assert (output == HITS, is_marked(output)) == (is_told, not is_told)

        def elsewhere() -> Any:  # `Any`: JSON
            asking = requests.Asker(principal=who, asserted=True)
            with Reader.open(place.settings(), by=asking) as reader:
                return reader.show(run, asked.name)["steps"]

        assert ((await asyncio.to_thread(elsewhere))[0]["output"] == HITS) == is_told


async def test_who_agrees_to_a_call_of_their_own_has_its_answer(place: Place, shelf: Shelf) -> None:
    place.policy = ASKED
    async with opened(place, shelf) as rt:
        waiting = await rt.call("shelf.find", {"query": QUERY}, principal=user("bob"))
        assert (await rt.approve(waiting.run_id, principal=user("bob"))).outputs == HITS


@pytest.mark.parametrize("ask", ["signal", "cancel", "reject", "approve", "resume", "resume all", "undo"])
async def test_only_whose_run_it_is_is_told(place: Place, shelf: Shelf, ask: str) -> None:
    """It was read with their rights: whoever has it go on, stop or be taken back is told what `show` tells."""
    held = {"name": "held", "depends_on": ["look"]}
    wait = {**held, "wait": {"signal": "go", "timeout": "1h"}}
    last = wait if ask in ("signal", "cancel", "resume", "resume all") else put("held", depends_on=["look"])
    document = workflow(
        find(), last, inputs=INPUTS, outputs={"text": "${{ steps.look.output.hits[0].text }}"}
    )
    if ask in ("approve", "reject"):
        place.policy = policy(
            rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put"}),
            rule("all", without_approval=True),
        )
    async with opened(place, shelf) as rt:
        run = (await rt.run(document, {"q": QUERY})).run_id
        asks: dict[str, requests.Request[Any]] = {
            "signal": requests.Signal(run=run, name="go"),
            "cancel": requests.Cancel(run=run),
            "reject": requests.Reject(run=run, step="held"),
            "approve": requests.Approve(run=run, step="held"),
            "resume": requests.Resume(run=run),
            "resume all": requests.Resume(),
            "undo": requests.Undo(run=run),
        }
        bob = requests.Asker(principal="user:bob", identified_by="api_key:bobs")
        answer = await Service(place.settings(), rt._core).perform(asks[ask], bob)
        told = json.dumps(msgspec.to_builtins(answer))
        assert "not kept:" in told
        assert not [text for text in (QUERY, TEXT, OTHER) if text in told]


async def test_nobody_decides_what_nobody_can_see(place: Place, shelf: Shelf) -> None:
    place.policy = ASKED
    async with opened(place, shelf) as rt:
        waiting = await rt.call("shelf.find", {"query": QUERY})
    async with opened(place, shelf) as rt:
        service = Service(place.settings(), rt._core)
        (asked,) = (await service.perform(requests.Approvals())).approvals
        assert "nobody can see what it would do" in str(asked.refused)
        assert is_marked(asked.inputs)
        result = await rt.approve(waiting.run_id, principal=user("bob"))
        assert code(result) == "TEXT_NOT_KEPT"
        require_unkept(rt, place.root)


async def test_a_way_back_that_needs_it_is_not_made_up(place: Place, shelf: Shelf) -> None:
    """What takes a step back can't be made of a mark."""
    document = literal(
        workflow(
            find(),
            put(
                "a",
                compensation={
                    "capability": "box.put",
                    "inputs": {"key": "${{ steps.look.output.hits[0].text }}"},
                },
            ),
            put("held", depends_on=["a"]),
        )
    )
    run = await interrupted(place, shelf, document, "held")
    async with opened(place, shelf) as rt:
        (result,) = await rt.resume(run)
        assert result.status is RunState.SUCCEEDED
        with pytest.raises(AssentError) as caught:
            await rt.undo(run)
        assert caught.value.code == "TEXT_NOT_KEPT"


def test_what_changes_something_keeps_what_it_takes() -> None:
    """Recovery and undo need it."""
    with pytest.raises(InputError, match="changes something") as caught:
        create_write_capability("shelf.put", parameters=Query)
    assert caught.value.code == "SPEC_INVALID"


async def test_a_plan_does_not_read_it(place: Place, shelf: Shelf) -> None:
    async with opened(place, shelf) as rt:
        plan = await rt.plan(workflow(find(query="public")))
        assert plan.steps[0].read is None
    assert shelf.asked == []


async def test_a_saved_plan_has_marks_and_can_not_be_run(place: Place, shelf: Shelf) -> None:
    """It can be shown; whoever has the text runs the workflow."""
    async with opened(place, shelf) as rt:
        document = workflow(put("held"), inputs=INPUTS)
        service = Service(place.settings(), rt._core)
        plan = await service.perform(requests.Plan(text=json.dumps(document), inputs={"q": QUERY}))
        require_unkept(rt, place.root)
        with pytest.raises(AssentError) as caught:
            await service.perform(requests.Run(plan=plan.plan_id))
        assert caught.value.code == "TEXT_NOT_KEPT"


async def test_a_schedule_takes_none(place: Place, shelf: Shelf) -> None:
    async with opened(place, shelf) as rt:
        document = workflow(put("held"), inputs={"q": {"type": "string", "kept": False, "required": False}})
        with pytest.raises(InputError) as caught:
            await rt.add_schedule(document, {"q": QUERY}, name="daily", every="1d")
        assert (caught.value.code, caught.value.path) == ("TEXT_NOT_KEPT", "inputs")
        assert (await rt.add_schedule(document, name="daily", every="1d")).status is RunState.SUCCEEDED
        require_unkept(rt, place.root)


async def test_what_only_looks_like_a_mark_is_never_done_again(place: Place, shelf: Shelf) -> None:
    """Anybody can write one: where a call does not say that it keeps less than it tells, it is what it told."""
    mark = f"not kept:{'ab' * 16}:{'cd' * 32}"
    document = workflow(
        put("forged", value=mark),
        put("held", depends_on=["forged"]),
        put("told", value="${{ steps.forged.output.value }}", depends_on=["held"]),
    )
    run = await interrupted(place, shelf, {**document, "inputs": INPUTS}, "held")
    async with opened(place, shelf) as rt:
        (result,) = await rt.resume(run)
        assert result.status is RunState.SUCCEEDED
        assert place.box.values["told"] == mark
        assert place.box.count("execute", "forged") == 1
        recovered = [event for event in rt.recorded(run) if isinstance(event, ev.RunRecovered)]
        assert [event.again for event in recovered] == [()]
