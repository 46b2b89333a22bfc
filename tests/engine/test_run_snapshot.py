"""A snapshot of a run holds all that a replay needs and none of its secrets, and is good on another machine."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from assent.errors import AssentError, Json
from assent.invocation import BoundCapability, Handler, LocalContext, Snapshot, StateKey, restore_call
from assent.journal import rows_at_once
from assent.spec import create_read_capability
from assent.spec.capability import SpecModel
from assent.spec.secret_fields import SecretFields
from assent.spec.values.canonical import canonical_json, fingerprint
from assent.spec.values.json_patch import apply
from tests.support.bodies import Bench, Place, no_effect, policy, put, put_spec, rule, user, workflow

LOGIN: dict[str, Json] = {
    "type": "object",
    "properties": {
        "key": {"type": "string"},
        "token": {"type": "string", "writeOnly": True, "minLength": 8},
        "note": {"type": "string", "default": "none"},
    },
    "required": ["key", "token"],
    "additionalProperties": False,
}
SECRET = "correct-horse-battery"


async def failed(place: Place) -> tuple[str, Snapshot]:
    """A run that was rolled back, and its snapshot."""
    place.box.before["b"] = no_effect
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), put("b"), put("c")))
        return result.run_id, await rt.snapshot(result.run_id)


def elsewhere(tmp_path: Path) -> Place:
    """Another machine: another workspace, another ledger."""
    root = tmp_path / "elsewhere"
    root.mkdir(parents=True)
    return Place(root)


async def test_a_failed_run_fails_again_from_its_snapshot_on_a_machine_that_never_saw_it(
    place: Place, tmp_path: Path
) -> None:
    _, snapshot = await failed(place)
    other = elsewhere(tmp_path)
    async with other.open() as rt:
        report = await rt.replay(Snapshot.load(snapshot.dump()))
        assert await rt.unfinished() == []
        assert list(rows_at_once(rt._core.ready.journal, "runs")) == []
    assert report.is_equal, report.to_json()["differences"]
    assert (report.recorded_status, report.replayed_status) == ("rolled_back", "rolled_back")
    assert (other.box.values, other.box.log) == ({}, [])


async def test_what_a_run_called_comes_with_its_snapshot(place: Place, tmp_path: Path) -> None:
    """The other machine has none of the capabilities; specs and parts are in the document."""
    _, snapshot = await failed(place)
    async with elsewhere(tmp_path).open(box=False) as rt:
        report = await rt.replay(snapshot)
    assert report.is_equal, report.to_json()["differences"]
    assert [item["changed"] for item in report.capabilities] == ["missing"]


async def test_a_snapshot_tells_where_a_run_stands(place: Place) -> None:
    place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when={"risk_level": "HIGH"}), rule("all"))
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a"), put("b", "box.put_high")))).run_id
        waiting = await rt.snapshot(run)
        document: Any = waiting.document
        assert (document["snapshot"], document["kind"], waiting.kind) == (1, "run", "run")
        assert (document["run"], document["status"], document["phase"]) == (run, "waiting", "forward")
        assert document["state"]["steps"]["b"]["status"] == "awaiting_approval"
        assert [*document["versions"]["capabilities"]] == ["box.put@1.0.0", "box.put_high@1.0.0"]
        assert document["versions"]["policy"] == rt._core.gate.digest
        await rt.approve(run, principal=user("bob"))
        done = await rt.snapshot(run)
        assert waiting.document == document, "what came later does not show in it"
    patch = waiting.diff(done)
    assert {"op": "replace", "path": "/status", "value": "succeeded"} in patch
    assert apply(waiting.document, patch) == done.document
    assert done.diff(done) == []


async def test_two_snapshots_of_the_same_moment_are_equal(place: Place) -> None:
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a")))).run_id
        one, two = await rt.snapshot(run), await rt.snapshot(run)
    assert (one, one.content_hash, hash(one)) == (two, two.content_hash, hash(two))
    assert one != "something else"
    assert Snapshot.load(one.dump()) == one


@pytest.fixture
def earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger of an earlier version: it took a value where today only a reference to a secret may stand."""
    monkeypatch.setattr(BoundCapability, "require_references", lambda self, inputs: None)
    monkeypatch.setattr(SecretFields, "literals", lambda self, value: [])


async def logged_in(rt: Bench, place: Place, document: dict[str, Any], inputs: dict[str, Json]) -> Snapshot:
    rt.register(put_spec("box.login", parameters=LOGIN), place.box.handler(reconcile=None))
    return await rt.snapshot((await rt.run(document, inputs)).run_id)


@pytest.mark.usefixtures("earlier")
@pytest.mark.parametrize("given", ["literal", "input", "embedded"])
async def test_no_secret_is_in_a_snapshot_and_it_replays_without(
    place: Place, tmp_path: Path, given: str
) -> None:
    token = {"literal": SECRET, "input": "${{ inputs.token }}", "embedded": "for-${{ inputs.token }}"}[given]
    step = {"name": "login", "capability": "box.login", "inputs": {"key": "k", "token": token}}
    echo = put("echo", value=f"the token is {token}")
    document = workflow(step, echo, inputs={"token": {"type": "string"}})
    async with place.open() as rt:
        snapshot = await logged_in(rt, place, document, {"token": SECRET})
        text = snapshot.dump().decode()
        assert SECRET not in text
        assert snapshot.document["masked"] == ["box.login /token"]
        report = await rt.replay(snapshot)
        assert report.is_equal, report.to_json()["differences"]
        assert report.masked == ("box.login /token",), "the report says what it could not know"
    async with elsewhere(tmp_path).open(box=False) as other:
        assert (await other.replay(snapshot)).is_equal


@pytest.mark.usefixtures("earlier")
async def test_a_secret_of_a_call_and_of_a_session_is_hidden_in_what_was_asked(place: Place) -> None:
    async with place.open() as rt:
        rt.register(put_spec("box.login", parameters=LOGIN), place.box.handler())
        called = await rt.call("box.login", {"key": "k", "token": SECRET})
        session = await rt.session()
        await session.call("box.login", {"key": "k", "token": SECRET})
        await session.close()
        for run in (called.run_id, session.run_id):
            snapshot = await rt.snapshot(run)
            assert SECRET not in snapshot.dump().decode()
            assert (await rt.replay(snapshot)).is_equal


@pytest.mark.usefixtures("earlier")
async def test_without_its_schema_what_is_named_like_a_secret_is_hidden(place: Place) -> None:
    async with place.open() as rt:
        rt.register(put_spec("box.login", parameters=LOGIN), place.box.handler())
        run = (await rt.call("box.login", {"key": "k", "token": SECRET})).run_id
    async with place.open() as rt:
        snapshot = await rt.snapshot(run)
    assert SECRET not in snapshot.dump().decode()
    assert snapshot.document["masked"] == ["box.login /token"]


@pytest.mark.usefixtures("earlier")
async def test_a_snapshot_of_a_snapshots_recording_hides_the_same(place: Place) -> None:
    from assent.engine.replay import recording_of, snapshot_run

    async with place.open() as rt:
        step = {"name": "login", "capability": "box.login", "inputs": {"key": "k", "token": SECRET}}
        snapshot = await logged_in(rt, place, workflow(step), {})
        again = snapshot_run(recording_of(snapshot), rt._core.capabilities.current().exact, version="x")
    assert again.document["masked"] == snapshot.document["masked"]


def tampered(original: Snapshot, **changes: Any) -> bytes:
    """The document with changes and a hash that fits."""
    document = original.document | changes
    return canonical_json({**document, "hash": fingerprint(document)})


async def test_what_is_no_snapshot_is_refused(place: Place) -> None:
    _, snapshot = await failed(place)
    good = snapshot.dump()
    broken: Any = copy.deepcopy(snapshot.document)
    broken["payloads"].popitem()
    unknown: Any = copy.deepcopy(snapshot.document)
    unknown["events"][1]["event"]["kind"] = "step.dreamt"
    schema: Any = copy.deepcopy(snapshot.document)
    schema["versions"]["capabilities"]["box.put@1.0.0"]["spec"]["parameters"] = {"type": "no such type"}
    backwards: Any = [*reversed(snapshot.document["events"])]  # type: ignore[arg-type]  # a list, as written
    async with place.open() as rt:
        for data in (
            b"",
            b"[]",
            b"{}",
            b'{"snapshot": 1, "snapshot": 1}',
            good.replace(b"rolled_back", b"succeeded"),
            tampered(snapshot, snapshot=2),
            tampered(snapshot, kind="call"),
            tampered(snapshot, events=backwards),
            tampered(snapshot, events=[]),
            tampered(snapshot, versions={}),
            tampered(snapshot, versions=schema["versions"]),
            tampered(snapshot, kind="dream"),
            b'{"snapshot": 1}',
            tampered(snapshot, payloads=broken["payloads"]),
            tampered(snapshot, events=unknown["events"]),
        ):
            with pytest.raises(AssentError) as caught:
                await rt.replay(Snapshot.load(data))
            assert caught.value.code == "SNAPSHOT_INVALID"


async def test_a_handlers_call_can_be_frozen_and_restored(place: Place) -> None:
    taken: list[Snapshot] = []

    def freeze(call: LocalContext) -> None:
        call.state.set(StateKey("seen", int), 7)
        call.meta["note"] = "before the effect"
        taken.append(call.snapshot())

    place.box.before["a"] = freeze
    async with place.open() as rt:
        result = await rt.run(workflow(put("a")))
        bound = rt._core.capabilities.current().find("box.put")
        [snapshot] = taken
        document: Any = snapshot.document
        assert (document["run"], document["step"], document["phase"]) == (result.run_id, "a", "executing")
        assert document["tasks"] == {"part": "execute", "cleanups": 0, "is_over": False}
        assert document["prepared"] == {"had": False, "old": None}
        world = rt._core.ready.world.simulate()
        context = restore_call(Snapshot.load(snapshot.dump()), bound, world=world, blobs=rt._core.ready.blobs)
        assert context.snapshot() == snapshot
        assert (context.state.get(StateKey("seen", int)), context.meta) == (7, {"note": "before the effect"})
        assert context.world.is_simulated
        with pytest.raises(AssentError) as caught:
            await rt.replay(snapshot)
        assert caught.value.code == "SNAPSHOT_INVALID", "a call has no events of its own"


@pytest.mark.usefixtures("earlier")
async def test_defaults_of_a_type_that_is_not_here_come_from_the_record(place: Place, tmp_path: Path) -> None:
    class Greeting(SpecModel):
        name: str
        word: str = "hello"
        tokens: list[str] = Field(default_factory=list, json_schema_extra={"writeOnly": True})

    async def greet(context: LocalContext, parameters: Greeting) -> Json:
        del context
        return {"text": f"{parameters.word} {parameters.name}"}

    spec = create_read_capability("demo.greet", parameters=Greeting)
    for inputs in ({"name": "Ada"}, {"name": "Ada", "tokens": [SECRET]}):
        async with place.open() as rt:
            rt.register(spec, Handler(greet, parameters=Greeting, revision="greet/1"))
            run = (await rt.call("demo.greet", inputs)).run_id  # type: ignore[arg-type]  # text and lists of it are JSON
            snapshot = await rt.snapshot(run)
        assert SECRET not in snapshot.dump().decode()
        async with elsewhere(tmp_path / str(len(inputs))).open() as other:
            report = await other.replay(snapshot)
            assert report.is_equal, report.to_json()["differences"]
