"""A call's snapshot holds all of the call, is changed by nothing that comes later, and makes an equal context again."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import AssentError, Json
from assent.invocation import (
    BoundCapability,
    CallPhase,
    Handler,
    LocalContext,
    Snapshot,
    StateKey,
    restore_call,
)
from assent.invocation.context._hook_records import HookKind, HookLevel, HookRecord
from assent.invocation.context.local import CallLife
from assent.invocation.context.snapshot import SNAPSHOT_BYTES_MAX
from assent.spec import create_read_capability
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal
from assent.spec.values.canonical import canonical_json, fingerprint
from assent.spec.values.json_patch import apply
from tests.support.properties import holds

TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
NAMES = st.text("abcxyz", min_size=1, max_size=6)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3)
HOOKS = st.builds(
    HookRecord,
    NAMES,
    st.sampled_from(HookKind),
    st.sampled_from(HookLevel),
    st.integers(1, 9),
    st.integers(0, 10**9),
    st.none() | st.just("HOOK_FAILED"),
)
LIVES = st.fixed_dictionaries(
    {
        "hooks": st.lists(HOOKS, max_size=3).map(tuple),
        "phase": st.sampled_from(CallPhase),
        "deadline_ms": st.none() | st.integers(0, 2**40),
        "state": st.dictionaries(NAMES, VALUES, max_size=5),
        "meta": st.none() | OBJECTS,
        "prepared": st.none() | OBJECTS,
        "output": VALUES,
        "flags": st.sets(NAMES, max_size=3),
    }
)


async def look(context: LocalContext, parameters: dict[str, Json]) -> Json:
    del context, parameters
    return {}


def bound(**fields: Any) -> BoundCapability:
    revision = fields.pop("revision", "look/1")
    return BoundCapability(create_read_capability("demo.look", **fields), Handler(look, revision=revision))


def call(life: CallLife | None = None) -> LocalContext:
    """A call in the middle."""
    life = life or CallLife()
    life.bound = life.bound or bound()
    return LocalContext(
        run=RunId("run_1"),
        step=StepKey("look"),
        attempt=2,
        principal=Principal.parse("user:ada", roles=frozenset({"ops", "dev"})),
        key="k",
        world=None,  # type: ignore[arg-type]  # a snapshot does not look at the world
        blobs=None,  # type: ignore[arg-type]  # nor at blobs
        request_id="req_1",
        capability="demo.look",
        version="1.0.0",
        life=life,
    )


def living(facts: dict[str, Any]) -> LocalContext:
    """A call with this life, whose every part is its own."""
    facts = copy.deepcopy(facts)
    life = CallLife()
    life.phase, life.deadline_ms = facts["phase"], facts["deadline_ms"]
    life.prepared, life.output, life.meta = facts["prepared"], facts["output"], facts["meta"]
    life.hooks_run = facts["hooks"]
    context = call(life)
    for name, value in facts["state"].items():
        context.state.set(StateKey(name, type(value)), value)
    context.flags.update(facts["flags"])
    return context


def restored(snapshot: Snapshot, of: BoundCapability | None = None, *, force: bool = False) -> LocalContext:
    return restore_call(snapshot, of or bound(), world=None, blobs=None, force=force)  # type: ignore[arg-type]  # as above


@holds("snapshot_completeness")
@given(LIVES)
def test_a_snapshot_holds_the_whole_state_and_nothing_later_changes_it(facts: dict[str, Any]) -> None:
    context = living(facts)
    snapshot = context.snapshot()
    _scribble(context)
    document: Any = snapshot.document
    assert {name: value for name, _, value in document["state"]} == facts["state"]
    for name in ("deadline_ms", "meta", "prepared", "output"):
        assert document[name] == facts[name]
    assert (document["phase"], set(document["flags"])) == (facts["phase"].value, facts["flags"])
    assert (document["omitted"], document["masked"]) == ([], [])
    assert {key: document[key] for key in ("run", "step", "attempt", "request_id", "principal")} == {
        "run": "run_1",
        "step": "look",
        "attempt": 2,
        "request_id": "req_1",
        "principal": "user:ada",
    }
    assert Snapshot.load(snapshot.dump()) == snapshot


def _scribble(context: LocalContext) -> None:
    """Change everything that the call can still reach."""
    for value in (*context.state.values(), context.meta, context.prepared, context.output):
        if isinstance(value, dict):
            value["scribbled"] = True
        elif isinstance(value, list):
            value.append("scribbled")
    context.state.set(StateKey("scribbled", int), 1)
    context.flags.add("scribbled")
    context._life.phase, context._life.deadline_ms = CallPhase.FAILED, 1


@holds("restore_fidelity")
@given(LIVES)
def test_restoring_gives_an_equal_context_however_often_it_is_done(facts: dict[str, Any]) -> None:
    snapshot = living(facts).snapshot()
    one, two = restored(snapshot), restored(snapshot)
    assert one.snapshot() == two.snapshot() == snapshot
    assert {key.name: one.state.get(key) for key in one.state} == facts["state"]
    assert one.hooks_run == facts["hooks"]
    assert (one.ids, one.principal.roles) == (living(facts).ids, frozenset({"ops", "dev"}))
    _scribble(one)
    assert two.snapshot() == restored(snapshot).snapshot() == snapshot, "restored contexts share nothing"


@given(LIVES, LIVES)
def test_the_difference_of_two_snapshots_makes_the_later_of_the_earlier(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    one, two = living(before).snapshot(), living(after).snapshot()
    patch = one.diff(two)
    assert canonical_json(apply(one.document, patch)) == canonical_json(two.document)
    assert (patch == []) == (one == two)


def test_what_json_can_not_say_exactly_is_named_and_left_out() -> None:
    context = call()
    for name, value in {
        "fine": {"a": [1]},
        "pair": (1, 2),
        "client": object(),
        "inside": [object()],
        "large": 2**53,
        "nothing": float("nan"),
        "half": "\ud800",
        "bytes": b"x",
        "mapping": {1: 2},
    }.items():
        context.state.set(StateKey(name, type(value)), value)
    context.meta["when"] = {"set": {1}}  # type: ignore[dict-item]  # exactly what a careless handler does
    context._life.output = [float("inf")]
    context._life.prepared = {"deep": (1,)}  # type: ignore[dict-item]  # as above
    document: Any = context.snapshot().document
    assert document["state"] == [["fine", "dict", {"a": [1]}]]
    assert document["omitted"] == [
        *("pair", "client", "inside", "large", "nothing", "half", "bytes", "mapping"),
        *("meta", "prepared", "output"),
    ]
    assert (document["meta"], document["prepared"], document["output"]) == (None, None, None)


def test_no_secret_is_in_it() -> None:
    secret = "correct-horse"
    life = CallLife()
    schema = {"type": "object", "properties": {"issued": {"type": "string", "writeOnly": True}}}
    life.bound = bound(returns=schema)
    life.output = {"issued": secret, "name": "x"}
    life.prepared = {"api_key": secret, "path": "p"}
    context = call(life)
    context.meta["password"] = secret
    context.state.set(StateKey("db_token", str), secret)
    snapshot = context.snapshot()
    document: Any = snapshot.document
    assert secret not in snapshot.dump().decode()
    assert document["masked"] == ["db_token", "password", "api_key", "output"]
    assert document["output"] == {"issued": "***", "name": "x"}
    assert list(restored(snapshot, life.bound).state) == []


def test_no_secret_is_anywhere_below_either() -> None:
    """A name says it at any depth: what a handler remembers has no schema to say it in its place."""
    secret = "correct-horse"
    life = CallLife()
    life.prepared = {"accounts": [{"user": "ada", "apiKey": secret}]}
    context = call(life)
    context.meta["login"] = {"user": "ada", "password": secret}
    context.state.set(StateKey("session", dict), {"token": secret, "number": 3})
    snapshot = context.snapshot()
    document: Any = snapshot.document
    assert secret not in snapshot.dump().decode()
    assert document["state"] == [["session", "dict", {"token": "***", "number": 3}]]
    assert document["meta"] == {"login": {"user": "ada", "password": "***"}}
    assert document["prepared"] == {"accounts": [{"user": "ada", "apiKey": "***"}]}
    assert document["masked"] == ["token", "password", "apiKey"]
    assert context.meta["login"] == {"user": "ada", "password": secret}, "the call itself goes on with it"


def test_it_tells_the_hook_and_what_is_open() -> None:
    life = CallLife()
    life.phase = CallPhase.EXECUTING
    life.hooks_run = (
        HookRecord("first", HookKind.BEFORE, HookLevel.GLOBAL, 1, 5),
        HookRecord("second", HookKind.BEFORE, HookLevel.LOCAL, 2, 5, code="HOOK_FAILED"),
    )
    context = call(life)
    context.on_cleanup(lambda: None)
    document = context.snapshot().document
    assert document["hook"] == {
        "run": 2,
        "last": "second",
        "level": "local",
        "kind": "before",
        "code": "HOOK_FAILED",
        "ran": [
            ["first", "before", "global", 1, 5, None],
            ["second", "before", "local", 2, 5, "HOOK_FAILED"],
        ],
    }
    assert document["tasks"] == {"part": "execute", "cleanups": 1, "is_over": False}


@pytest.mark.parametrize(
    ("other", "changed"),
    [({"description": "another"}, ["spec"]), ({"revision": "look/2"}, ["handler"])],
)
def test_another_capability_or_handler_is_refused_unless_it_is_meant(
    other: dict[str, Any], changed: list[str]
) -> None:
    snapshot = call().snapshot()
    with pytest.raises(AssentError) as caught:
        restored(snapshot, bound(**other))
    assert (caught.value.code, caught.value.details["changed"]) == ("SNAPSHOT_MISMATCH", changed)
    assert restored(snapshot, bound(**other), force=True).step == "look"


def test_the_snapshot_of_a_run_has_no_context_to_restore() -> None:
    with pytest.raises(AssentError) as caught:
        restored(Snapshot.of_document({"snapshot": 1, "kind": "run"}))
    assert caught.value.code == "SNAPSHOT_INVALID"


def test_a_document_that_lacks_something_is_refused() -> None:
    document: Any = call().snapshot().document
    lacking: list[Any] = [
        {**document, "phase": "dreaming"},
        {**document, "state": [["a"]]},
        {"snapshot": 1, "kind": "call"},
    ]
    for broken in lacking:
        with pytest.raises(AssentError) as caught:
            restored(Snapshot.of_document(broken))
        assert caught.value.code == "SNAPSHOT_INVALID"


def test_a_call_without_a_capability_has_a_snapshot_and_is_restored_by_force_only() -> None:
    context = LocalContext(
        run=RunId("r"),
        step=StepKey("s"),
        attempt=1,
        principal=Principal.parse("user:a"),
        key="k",
        world=None,  # type: ignore[arg-type]  # as above
        blobs=None,  # type: ignore[arg-type]  # as above
    )
    context._life.output = {"kept": 1}
    snapshot = context.snapshot()
    assert snapshot.document["output"] == {"kept": 1}
    with pytest.raises(AssentError):
        restored(snapshot)
    assert restored(snapshot, force=True).output == {"kept": 1}


def test_a_snapshot_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.invocation.context.snapshot.SNAPSHOT_BYTES_MAX", 100)
    context = call()
    context.state.set(StateKey("large", str), "x" * 200)
    with pytest.raises(AssentError) as caught:
        context.snapshot()
    assert caught.value.code == "SNAPSHOT_TOO_LARGE"
    assert (caught.value.details["limit"], SNAPSHOT_BYTES_MAX) == (100, 64 * 1024 * 1024)
    with pytest.raises(AssentError) as caught:
        Snapshot.load(b"x" * 300)
    assert caught.value.code == "SNAPSHOT_INVALID"


def test_the_hash_is_of_the_canonical_document() -> None:
    context = call()
    context.state.set(StateKey("float", float), 1.0)
    snapshot = context.snapshot()
    assert snapshot.content_hash == fingerprint(snapshot.document)
    assert f'"hash":"{snapshot.content_hash}"'.encode() in snapshot.dump()
    assert Snapshot.load(snapshot.dump()).content_hash == snapshot.content_hash


def test_the_call_of_a_handler_can_be_frozen_where_it_stands() -> None:
    """`context.snapshot()` in a handler: see `tests/engine` for whole runs."""
    snapshot = call().snapshot()
    assert (snapshot.kind, snapshot.document["versions"]) == (
        "call",
        {
            "capability": "demo.look",
            "version": "1.0.0",
            "spec": bound().spec.fingerprint,
            "handler": bound().handler_fingerprint,
        },
    )
