"""Whatever one call may lead to is no second way in: asked about when the step is admitted, by the policy that holds then, and
held against that policy once more with its real inputs.

The kind: each way in which a call leads to another, each answer of a rule about that one, inputs known beforehand or not, each
way in which it comes to be, and another policy by then.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from assent.engine import RunResult
from assent.engine.steps import _admission
from assent.errors import RefusedError
from assent.runtime.service._reading import Reader
from assent.runtime.service.requests import asker_of
from assent.spec import Compensation, RiskLevel, SideEffects
from assent.spec.events import kinds as ev
from assent.spec.states import RunState
from tests.support.bodies import (
    Bench,
    Pause,
    Place,
    code,
    fail,
    no_effect,
    policy,
    put,
    put_spec,
    rule,
    states,
    user,
    workflow,
)
from tests.support.services import Web
from tests.support.web import Reply, serving

KNOWN: Final = {"capability": "box.way", "inputs": {"key": "way"}}
EARLIER: Final = {"capability": "box.way", "inputs": {"key": "${{ steps.first.output.value }}"}}
OWN: Final = {"capability": "box.way", "inputs": {"key": "${{ steps.a.output.value }}"}}
FIRST: Final = put("first", value="way")

WAYS: Final[dict[str, list[dict[str, Any]]]] = {
    "literal": [put("a", value="way", compensation=KNOWN)],
    "earlier output": [FIRST, put("a", value="way", compensation=EARLIER)],
    "own output": [put("a", value="way", compensation=OWN)],
    "iteration": [
        put(
            "a",
            value="way",
            foreach=["way"],
            compensation={"capability": "box.way", "inputs": {"key": "${{ item }}"}},
        )
    ],
    "named by the spec": [put("a", "box.charge", value="way")],
}
"""Each way to `box.way`, whose inputs are known when the step is admitted, or wait for an output."""

UNKNOWN: Final = {"own output", "named by the spec"}
TURNS: Final = ("rollback", "undo", "crash")


def rule_if(condition: str, decision: str = "ALLOW", **when: Any) -> dict[str, Any]:
    """A rule about `box.way`, or about what `when` says, with an `if`."""
    fields: dict[str, Any] = {"when": when or {"capability": "box.way"}, "if": condition}
    return rule("about", decision, **fields)


SAYS: Final[dict[str, dict[str, Any]]] = {
    "allow": rule("about", when={"capability": "box.way"}),
    "deny": rule("about", "DENY", when={"capability": "box.way"}),
    "ask": rule("about", "REQUIRE_APPROVAL", when={"capability": "box.way"}),
    # All inputs are read, so that the answer waits for those that nobody knows yet.
    "allow if": rule_if("size(inputs) < 9"),
    "deny if": rule_if("size(inputs) < 9", "DENY"),
}


def register(place: Place, rt: Bench) -> None:
    """`box.way`, which notes that it was called, and `box.charge`, which names it as its way back."""
    offset: dict[str, Any] = {
        "level": RiskLevel.HIGH,
        "side_effects": SideEffects(reversible=False),
        "compensation": Compensation(supported=True, strategy="offset", capability_id="box.way"),
    }
    rt.register(put_spec("box.charge", **offset), place.box.handler(compensate=None))

    async def go(context: Any, parameters: dict[str, Any]) -> dict[str, Any]:
        place.box.log.append("way")
        return {}

    anything = {"type": "object"}
    rt.register(
        put_spec("box.way", parameters=anything),
        place.box.handler(execute=go, prepare=None, reconcile=None, preview=None),
    )


def ruled(about: dict[str, Any]) -> dict[str, Any]:
    """A policy with this rule, which allows all else."""
    return policy(about, rule("all", without_approval=True))


@dataclass(frozen=True)
class Turned:
    """How a run ended, and its events."""

    result: RunResult
    events: list[ev.AnyEvent]

    def of(self, *kinds: type[ev.Event]) -> list[Any]:
        """Its events of these kinds."""
        return [event for event in self.events if isinstance(event, kinds)]


async def turned(place: Place, way: str, turn: str, *, then: dict[str, Any]) -> Turned:
    """A run that takes its steps back, all its questions answered with yes; `then` is the policy by the time that it does."""
    pause = Pause()
    place.box.before["end"] = no_effect if turn == "rollback" else pause
    document = workflow(*WAYS[way], *([] if turn == "undo" else [put("end")]))
    async with place.open() as rt:
        register(place, rt)
        running = asyncio.ensure_future(answered(rt, document))
        await asyncio.wait(
            {running, asyncio.ensure_future(pause.reached.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        if running.done() and (turn != "undo" or running.result().status is not RunState.SUCCEEDED):
            result = running.result()
            return Turned(result, rt.recorded(result.run_id))
        run = running.result().run_id if running.done() else (await rt.unfinished())[-1]
    await asyncio.wait({running})
    running.exception()
    place.box.before["end"], place.policy = no_effect, then
    async with place.open() as rt:
        register(place, rt)
        try:
            result = await rt.undo(run) if turn == "undo" else (await rt.resume(run))[0]
        except RefusedError as refusal:
            result = replace(await rt.show(run), error=refusal.to_dict())
        return Turned(result, rt.recorded(run))


async def answered(rt: Bench, document: dict[str, Any]) -> RunResult:
    """The run's result, every question of it answered with yes."""
    result = await rt.run(document)
    while result.status is RunState.WAITING:
        result = await rt.approve(result.run_id, principal="user:boss")
    return result


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A workspace, a state directory and a box of values."""
    return Place(tmp_path)


@pytest.mark.parametrize("is_changed", [False, True], ids=["same policy", "denied by then"])
@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("way", WAYS)
async def test_no_call_leads_to_one_that_nobody_allowed(
    place: Place, way: str, says: str, turn: str, *, is_changed: bool
) -> None:
    """A denial denies the step, a question is asked with it, and what is sent later is what the policy of that time lets go."""
    place.policy = before = ruled(SAYS[says])
    undo = rule("undo", when={"capability": "assent.undo"}, without_approval=True)
    ended = await turned(
        place,
        way,
        turn,
        then=policy(undo, rule("end", when={"capability": "box.put"}), default="DENY")
        if is_changed
        else before,
    )
    result, decided, checked = ended.result, ended.of(ev.ConsequenceDecided), ended.of(ev.ConsequenceChecked)
    sent = place.box.log.count("way")
    depends = way in UNKNOWN and says in ("allow if", "deny if")
    assert {(one.capability, one.role, bool(one.unknown)) for one in decided} == {
        ("box.way", "compensation", depends)
    }
    asked = [one.step for one in ended.of(ev.ApprovalRequested)]
    assert bool(asked) == (depends or says == "ask")
    if says == "deny" or (says == "deny if" and way not in UNKNOWN):
        assert (code(result), sent, place.box.count("execute", "a")) == ("POLICY_DENIED", 0, 0)
        return
    [last] = checked or [None]
    if says == "deny if":
        # It was asked about, because nobody could tell; now it is known, and denied.
        state = RunState.SUCCEEDED if turn == "undo" else RunState.NEEDS_ATTENTION
        assert (result.status, code(result), sent) == (state, "COMPENSATION_DENIED", 0)
        assert last is None if turn == "undo" else last.code == "COMPENSATION_DENIED"
        return
    state = RunState.UNDONE if turn == "undo" else RunState.ROLLED_BACK
    assert (result.status, sent, last.code) == (state, 1, None), states(result)
    assert (last.capability, last.policy) == ("box.way", decided[-1].policy)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("now", ["allow", "ask", "deny"])
async def test_a_run_from_before_anybody_was_asked_is_held_against_the_policy_in_force(
    place: Place, monkeypatch: pytest.MonkeyPatch, turn: str, now: str
) -> None:
    """Its ledger says nothing of what would take it back, so only an ALLOW of today lets that go."""

    async def none(*_: object) -> tuple[()]:
        return ()

    monkeypatch.setattr(_admission.Admission, "_consequences", none)
    place.policy = ruled(SAYS[now])
    ended = await turned(place, "literal", turn, then=place.policy)
    sent = place.box.log.count("way")
    if now == "allow":
        assert (ended.result.status, sent) == (RunState.UNDONE if turn == "undo" else RunState.ROLLED_BACK, 1)
    else:
        assert (code(ended.result), sent) == ("COMPENSATION_DENIED", 0)


async def test_a_denied_request_carries_nothing_out_as_the_way_back_of_another(place: Place) -> None:
    """What an agent may not send itself, a workflow of its does not send for it by failing."""
    place.workspace.mkdir()
    place.workspace.joinpath("key.txt").write_text("the private key")
    place.policy = policy(
        rule_if('"reads_private" in run.labels', "DENY", labels=["sends_external"]),
        rule("all", without_approval=True),
    )
    read = {"name": "read", "capability": "io.fs.read_file", "inputs": {"path": "key.txt"}}
    with serving(lambda _: Reply()) as site:
        way: dict[str, Any] = {
            "capability": "net.http.get",
            "inputs": {"url": site.url("/get"), "query": {"q": "${{ steps.read.output.content }}"}},
        }
        async with place.open() as rt:
            late = workflow(put("a", compensation=way), read, fail())
            for document in (
                workflow(read, put("a", compensation=way), fail()),
                workflow(read, put("a", compensation=way)),
            ):
                result = await rt.run(document)
                assert (code(result), states(result)["a"]) == ("POLICY_DENIED", "denied")
            # What was read only afterwards counts as well, when it is to be sent.
            way["inputs"]["query"] = {}
            result = await rt.run(late)
            assert (result.status, code(result)) == (RunState.NEEDS_ATTENTION, "COMPENSATION_DENIED")
        assert site.asked == []


async def test_no_provoked_rollback_runs_what_a_person_was_to_be_asked_about(place: Place) -> None:
    """By the built-in policy: HIGH asks, whoever calls it, and what is asked is shown and bound by the digest."""
    way = {"capability": "box.put_high", "inputs": {"key": "PRODUCTION", "value": "gone"}}
    async with place.open() as rt:
        [step, _] = (await rt.plan(workflow(put("a", compensation=way), fail()))).steps
        [shown] = step.consequences
        told = (shown["decision"], shown["inputs"], step.decision)
        assert told == ("REQUIRE_APPROVAL", way["inputs"], "REQUIRE_APPROVAL")
        waiting = await rt.run(workflow(put("a", compensation=way), fail()))
        assert (waiting.status, place.box.values) == (RunState.WAITING, {})
        with Reader.open(place.settings()) as reader:
            [asked] = reader.approvals(None, asker_of(place.settings()))
        assert asked["preview"]["consequences"] == [shown]  # type: ignore[index,call-overload]  # JSON
        rejected = await rt.reject(waiting.run_id)
        assert (code(rejected), place.box.values) == ("APPROVAL_REJECTED", {})
        # Without a failure the same: its undo is as dangerous as what it runs.
        run = (await answered(rt, workflow(put("a", compensation=way)))).run_id
        assert (await rt.undo(run, principal="agent:evil")).status is RunState.WAITING
        [requested] = [event for event in rt.recorded(run) if isinstance(event, ev.UndoRequested)]
        assert (requested.risk, place.box.values) == ("HIGH", {"a": "a"})


@pytest.mark.parametrize(
    ("capability", "inputs", "left"),
    [
        ("io.fs.write_file", {"path": "made", "content": "new"}, {"made": "new", "old": "kept"}),
        ("io.fs.delete", {"path": "old"}, {}),
        ("io.fs.move", {"source": "old", "destination": "moved"}, {"moved": "kept"}),
        ("io.fs.copy", {"source": "old", "destination": "twice"}, {"old": "kept", "twice": "kept"}),
    ],
)
async def test_every_capability_of_files_may_be_a_way_back(
    place: Place, capability: str, inputs: dict[str, Any], left: dict[str, str]
) -> None:
    """It is prepared like any call, and leaves entries under its own name."""
    place.policy = policy(rule("all", without_approval=True))
    place.workspace.mkdir()
    place.workspace.joinpath("old").write_text("kept")
    async with place.open() as rt:
        result = await rt.run(
            workflow(put("a", compensation={"capability": capability, "inputs": inputs}), fail())
        )
        assert (result.status, states(result)["a"]) == (RunState.ROLLED_BACK, "compensated"), result.error
        assert {path.name: path.read_text() for path in place.workspace.iterdir()} == left
        [checked] = [
            event for event in rt.recorded(result.run_id) if isinstance(event, ev.ConsequenceChecked)
        ]
        assert (checked.capability, checked.prepared is not None) == (capability, True)


@pytest.mark.parametrize(
    ("roles", "answers"),
    [(("ops", "ops"), "ok"), (("ops",), "refused"), (("sec",), "refused"), (("ops", "sec"), "ok")],
)
async def test_who_approves_is_one_whom_the_rules_of_both_name(
    place: Place, roles: tuple[str, ...], answers: str
) -> None:
    wants = ("ops", "ops") if roles == ("ops", "ops") else ("ops", "sec")
    place.policy = policy(
        rule(
            "way",
            "REQUIRE_APPROVAL",
            when={"capability": "box.way"},
            approvers={"roles": [wants[1]], "expires": "1h"},
        ),
        rule(
            "own",
            "REQUIRE_APPROVAL",
            when={"capability": "box.put"},
            approvers={"roles": [wants[0]], "count": 1},
        ),
        rule("all", without_approval=True),
    )
    async with place.open() as rt:
        register(place, rt)
        waiting = await rt.run(workflow(*WAYS["literal"]))
        [request] = [
            event for event in rt.recorded(waiting.run_id) if isinstance(event, ev.ApprovalRequested)
        ]
        assert request.expires_at_ms is not None
        if answers == "ok":
            assert (
                await rt.approve(waiting.run_id, principal=user("ann", *roles))
            ).status is RunState.SUCCEEDED
        else:
            with pytest.raises(RefusedError) as caught:
                await rt.approve(waiting.run_id, principal=user("ann", *roles))
            assert caught.value.code == "APPROVER_REFUSED"


@pytest.mark.parametrize("turn", ["known", "own output"])
@pytest.mark.parametrize("spelled", ["secret.txt", "./secret.txt", ".//secret.txt", "secret.txt/."])
async def test_a_rule_sees_one_spelling_of_what_a_call_leads_to(
    place: Place, turn: str, spelled: str
) -> None:
    """Also of a path that only an output tells, after a person has agreed to what nobody could know."""
    place.policy = policy(
        rule_if('inputs.path == "secret.txt"', "DENY", capability=["io.fs.*"]),
        rule("all", without_approval=True),
    )
    path = spelled if turn == "known" else "${{ steps.a.output.value }}"
    way = {"capability": "io.fs.write_file", "inputs": {"path": path, "content": "gone"}}
    async with place.open() as rt:
        place.workspace.joinpath("secret.txt").write_text("kept")
        place.workspace.joinpath("a").mkdir()
        result = await answered(rt, workflow(put("a", value=spelled, compensation=way), fail()))
        assert code(result) == ("POLICY_DENIED" if turn == "known" else "COMPENSATION_DENIED")
        assert place.workspace.joinpath("secret.txt").read_text() == "kept"


@pytest.mark.parametrize("turn", ["known", "own output"])
@pytest.mark.parametrize("spelled", ["hunter2", "secret://mail/token"])
async def test_a_secret_itself_is_refused_where_only_a_reference_may_stand(
    place: Place, turn: str, spelled: str
) -> None:
    """Also where an output tells it only when the step is taken back: nothing is sent, and the ledger does not quote it."""
    place.policy = policy(rule("all", without_approval=True))
    text = spelled if turn == "known" else "${{ steps.a.output.value }}"
    way = {"capability": "box.way", "inputs": {"password": text}}
    async with place.open() as rt:
        taken: list[object] = []

        async def go(context: Any, parameters: dict[str, Any]) -> dict[str, Any]:
            taken.append(parameters)
            return {}

        secret = {"type": "object", "properties": {"password": {"type": "string", "writeOnly": True}}}
        handler = place.box.handler(execute=go, prepare=None, reconcile=None, preview=None)
        rt.register(put_spec("box.way", parameters=secret), handler)
        result = await answered(rt, workflow(put("a", value=spelled, compensation=way), fail()))
        refused = spelled == "hunter2"
        assert (code(result) == "INVALID_INPUT", bool(taken)) == (refused, not refused), result.error


AT_DELETE: Final[dict[str, tuple[dict[str, Any], str | None, bool]]] = {
    "allow": (rule("about", when={"capability": "net.http.delete"}, without_approval=True), None, False),
    "deny": (rule("about", "DENY", when={"capability": "net.http.delete"}), "POLICY_DENIED", False),
    "ask": (rule("about", "REQUIRE_APPROVAL", when={"capability": "net.http.delete"}), None, True),
    "deny another": (rule_if('inputs.url.endsWith("/8")', "DENY", capability="net.http.delete"), None, True),
    "deny this": (
        rule_if('inputs.url.endsWith("/7")', "DENY", capability="net.http.delete"),
        "COMPENSATION_DENIED",
        True,
    ),
}
"""A rule about the request that offsets another: what the run's or the undo's code is, and whether a person is asked."""


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("turn", ["rollback", "undo"])
@pytest.mark.parametrize("says", AT_DELETE)
async def test_a_compensating_request_is_asked_about_as_what_it_is(
    place: Place, says: str, turn: str, *, is_restarted: bool
) -> None:
    """Its address is told by the answer to the first one: 7."""
    about, wanted, is_asked = AT_DELETE[says]
    place.policy = ruled(about)
    fixed = Reply(200, [("content-type", "application/json")], b'{"id": 7}')
    with serving(lambda _: fixed) as site:
        web = Web(place, site.port)
        offset = {"method": "DELETE", "url": web.url("/items/{id}"), "from_answer": {"id": "body.id"}}
        send = {
            "name": "a",
            "capability": "net.http.post_compensated",
            "inputs": {"url": web.url("/items"), "compensation": offset},
        }
        wait = {"name": "wait", "approval": {"reason": "wait"}}
        async with web.open() as rt:
            result = await rt.run(workflow(send, *([] if turn == "undo" else [wait])))
            asked = [
                one.capability for one in rt.recorded(result.run_id) if isinstance(one, ev.ApprovalRequested)
            ]
            assert ("net.http.post_compensated" in asked) == is_asked
            if is_asked:
                result = await rt.approve(result.run_id, step="a", principal="user:boss")
            run = result.run_id
            if wanted == "POLICY_DENIED":
                assert (code(result), site.asked) == (wanted, [])
                return
            if not is_restarted:
                result = await ended(rt, run, turn)
        if is_restarted:
            place.policy = policy(
                rule("undo", when={"capability": "assent.undo"}, without_approval=True), default="DENY"
            )
            async with web.open() as rt:
                result = await ended(rt, run, turn)
        methods = [one.method for one in site.asked]
        assert methods == (["POST"] if wanted else ["POST", "DELETE"])
        if wanted:
            assert code(result) == wanted
        async with web.open() as rt:
            checked = [one for one in rt.recorded(run) if isinstance(one, ev.ConsequenceChecked)]
            assert [one.capability for one in checked if one.code is None] == (
                [] if wanted else ["net.http.delete"]
            )


async def ended(rt: Bench, run: str, turn: str) -> RunResult:
    """The run, taken back by a refusal of what it waits for or by an undo."""
    try:
        return (
            await rt.undo(run) if turn == "undo" else await rt.reject(run, step="wait", principal="user:boss")
        )
    except RefusedError as refusal:
        return replace(await rt.show(run), error=refusal.to_dict())


async def test_the_webhook_of_an_undo_is_asked_about_with_the_first_one(place: Place) -> None:
    place.policy = ruled(rule_if('inputs.type.endsWith(".undone")', "DENY", capability="notify.webhook"))
    inputs = {"endpoint": "ops", "type": "invoice.paid"}
    async with place.open() as rt:
        result = await rt.call("notify.webhook", inputs)
        assert code(result) == "POLICY_DENIED"
        [decided] = [one for one in rt.recorded(result.run_id) if isinstance(one, ev.ConsequenceDecided)]
        assert (decided.role, decided.decision, decided.risk) == ("webhook", "DENY", "HIGH")
