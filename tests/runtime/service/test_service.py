"""One service: every operation has a typed request, a typed answer and one function, and what travels is what the schema says."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import apsw
import jsonschema_rs
import msgspec
import pytest

from assent.errors import InputError, RefusedError, WorldError
from assent.journal import at_once
from assent.journal.store._schema import LEDGER_FILE
from assent.runtime.service import (
    _informed,
    _owning,
    _recorded,
    answers,
    codec,
    process,
    requests,
)
from assent.runtime.service.requests import Asker, Request, operation_of
from assent.runtime.service.schema import service_schema
from assent.runtime.service.service import Service
from assent.secrets.redaction import Redactor
from assent.spec import create_read_capability
from tests.support.bodies import Place, policy, put, rule, workflow
from tests.support.door import filled

MODULES: tuple[tuple[Any, Any], ...] = (
    ((requests.Driving, requests.Asking), _owning),
    (requests.Informed, _informed),
    (requests.Reading, _recorded),
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=policy())


def test_every_operation_has_one_function_that_takes_its_request_and_gives_its_answer() -> None:
    names = [operation_of(kind) for kind in requests.OPERATIONS]
    assert len(names) == len({*names}) > 50
    wrong = []
    for kind in requests.OPERATIONS:
        module = next(module for base, module in MODULES if issubclass(kind, base))
        hints = get_type_hints(getattr(module, f"_{operation_of(kind)}"))
        given = hints["return"].__args__[0] if issubclass(kind, requests.Stream) else hints["return"]
        answer = codec.answer_type(kind)
        if kind not in (hints["request"], *get_args(hints["request"])) or given not in (
            answer,
            *get_args(answer),
        ):
            wrong.append(operation_of(kind))
    assert wrong == []


@pytest.mark.parametrize("after", range(3))
def test_a_ctrl_c_between_two_parts_of_an_answer_is_a_ctrl_c(
    place: Place, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Also where the loop has been given the next part to draw, and has not begun to."""

    async def waiting() -> str:
        async with place.open() as rt:
            return (await rt.call("io.fs.delete", {"path": "x"})).run_id

    place.workspace.mkdir()
    (place.workspace / "x").write_text("x")
    run = asyncio.run(waiting())
    asked = 0

    def current_thread() -> threading.Thread:
        nonlocal asked
        asked += 1
        if asked == after + 1:
            raise KeyboardInterrupt
        return threading.current_thread()

    threads = SimpleNamespace(current_thread=current_thread, main_thread=threading.main_thread)
    monkeypatch.setattr("asyncio.runners.threading", threads)
    parts = process.stream(requests.Events(run=run, within_ms=60_000), place.settings())
    for _ in range(after):
        next(parts)
    with pytest.raises(KeyboardInterrupt):
        next(parts)


OF_A_RUN = [kind for kind in requests.OPERATIONS if "run" in kind.__struct_fields__]


@pytest.mark.parametrize("kind", OF_A_RUN, ids=operation_of)
async def test_every_operation_that_takes_a_run_refuses_one_that_there_is_not(
    place: Place, kind: type[Request[Any]]
) -> None:
    """So that none of them takes a beginning of an id for a run of which there is nothing to tell."""
    async with place.open() as rt:
        await rt.call("sys.noop", {})
        asked = filled(
            kind, {"run": "run_zz", **({"resolution": "happened"} if kind is requests.Resolve else {})}
        )
        service = Service(place.settings(), rt._core)
        answer = (
            anext(service.stream(asked)) if isinstance(asked, requests.Stream) else service.perform(asked)
        )
        with pytest.raises(InputError) as refused:
            await answer
        assert refused.value.code == "RUN_UNKNOWN"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"request": {"op": "no_such"}, "by": {"principal": "user:a"}}, "no_such"),
        ({"request": {"op": "show"}, "by": {"principal": "user:a"}}, "run"),
        ({"request": {"op": "show", "run": 3}, "by": {"principal": "user:a"}}, "$.request.run"),
        ({"request": {"op": "show", "run": "r", "rnu": 1}, "by": {"principal": "user:a"}}, "rnu"),
        ({"request": {"op": "show", "run": "r"}}, "by"),
        ({"op": "show", "run": "r"}, "op"),
        ({"request": {"op": "show", "run": "\ud800"}, "by": {"principal": "user:a"}}, "$.request.run"),
        (
            {"request": {"op": "inspect_plugin", "path": "a\0"}, "by": {"principal": "user:a"}},
            "$.request.path",
        ),
        ({"request": {"op": "export", "folder": "\0"}, "by": {"principal": "user:a"}}, "$.request.folder"),
        ({"request": {"op": "run", "base": "\ud800"}, "by": {"principal": "user:a"}}, "$.request.base"),
    ],
)
def test_a_bad_request_is_refused_with_what_is_wrong_and_where(body: Any, told: str) -> None:
    with pytest.raises(InputError) as refused:
        codec.decode(body, 1000)
    assert refused.value.code == "REQUEST_INVALID"
    assert told in refused.value.message


@pytest.mark.parametrize("operation", ["runs", "deliveries"])
def test_a_list_has_a_limit_or_none(operation: str) -> None:
    body: Any = {"request": {"op": operation, "limit": -1}, "by": {"principal": "user:a"}}
    with pytest.raises(InputError, match="limit"):
        codec.decode(body, 1000)


def test_what_vouches_for_an_asker_is_never_what_it_says_of_itself() -> None:
    """Whoever takes a request knows the account from the operating system, and everything else it has to check itself."""
    request = requests.Show(run="r")
    vouched: dict[str, Any] = {"os_uid": 0, "identified_by": "api_key:k", "roles": ["operator"], "scopes": []}
    assert {*vouched} == {*Asker.__struct_fields__} - {"principal", "asserted"}
    body = codec.encode(request, msgspec.convert({"principal": "user:a", **vouched}, Asker))
    assert body["by"] == {"principal": "user:a"}
    forged: Any = {**body, "by": {"principal": "user:a", **vouched}}
    assert codec.decode(forged, 1000).by == Asker(principal="user:a", os_uid=1000)


def test_a_request_is_the_same_after_its_way_over_a_wire() -> None:
    given: list[Any] = [
        requests.Call(capability="box.put", parameters={"key": [1, {"a": None}]}),
        requests.Replay(run="r", snapshot=b"\x00\xff"),
        requests.Resolve(run="r", step="s", resolution="happened", output={"a": 1}),
        requests.ExplainPolicy(capability="box.put", run_labels=("reads_private",), keeps_undo=False),
    ]
    for request in given:
        body = json.loads(json.dumps(codec.encode(request, Asker(principal="user:a"))))
        assert codec.decode(body, None).request == request


def test_a_secret_value_is_no_part_of_what_is_shown_of_a_request() -> None:
    for kind in (requests.SetSecret, requests.RotateSecret):
        assert "hunter" not in repr(kind(name="a", value="hunter2hunter2"))


def test_secrets_are_hidden_in_texts_and_in_free_json_and_counts_stay() -> None:
    redactor = Redactor()
    redactor.add("a", "hunter2hunter2")
    redactor.add("b", "12345678")
    step = answers.Step(
        name="it",
        capability=None,
        version=None,
        status="failed",
        risk_level=None,
        decision=None,
        rule=None,
        attempts=12345678,
        error=answers.Fault(code="X", message="it said hunter2hunter2", details={"hunter2hunter2": [1]}),
    )
    run = answers.Run(
        run_id="run_1",
        workflow=None,
        status="failed",
        steps=[step],
        outputs={"deep": ["hunter2hunter2", 12345678]},
        error=None,
        ledger=answers.Ledger(size=1, root="AA"),
    )
    shown = codec.hidden(run, redactor)
    assert "hunter2" not in json.dumps(codec.to_json(shown))
    assert shown.outputs == {"deep": ["***", "***"]}
    assert shown.steps[0].attempts == 12345678
    assert shown.ledger is run.ledger, "what hides nothing stays the same object"


async def test_what_is_asked_and_answered_fits_the_published_schema(place: Place) -> None:
    """Of a run, a plan, what waits, the ledger and what can be called, as they really come."""
    schema = service_schema()
    operations: Any = schema["operations"]
    seen: set[str] = set()

    def fits(request: Request[Any], answer: object) -> None:
        name = operation_of(type(request))
        data = json.loads(msgspec.json.encode(answer))
        for part, instance in (("request", msgspec.to_builtins(request)), ("answer", data)):
            wanted = {**operations[name][part], "$defs": schema["$defs"]}
            jsonschema_rs.validator_for(wanted).validate(instance)
        assert json.loads(msgspec.json.encode(codec.decode_answer(request, data))) == data
        seen.add(name)

    document = json.dumps(workflow(put("a"), {"name": "ok", "approval": {"reason": "go on?"}}))
    async with place.open() as rt:
        service = Service(rt.settings, rt._core)
        asked: list[Request[Any]] = [
            requests.Run(text=document),
            requests.Call(capability="box.burn", parameters={"key": "k"}),
            requests.Capabilities(pattern="box.*"),
            requests.Capability(reference="box.put"),
            requests.CapabilityHistory(capability="box.put"),
            requests.Parameters(reference="box.put"),
            requests.ExplainPolicy(capability="box.put", parameters={"key": "k"}),
            requests.PolicyInForce(),
            requests.Health(),
            requests.Runs(),
            requests.Approvals(),
            requests.Unfinished(),
            requests.VerifyLedger(),
            requests.Deliveries(),
            requests.Plugins(),
        ]
        for request in asked:
            fits(request, await service.perform(request))
        runs = (await service.perform(requests.Runs())).runs
        waiting = next(run.run_id for run in runs if run.status == "waiting")
        show, approve = requests.Show(run=waiting), requests.Approve(run=waiting)
        shown = await service.perform(show)
        fits(show, shown)
        approved = await service.perform(approve)
        fits(approve, approved)
        parts = [part async for part in service.stream(requests.AuditLog(run=waiting))]
        assert [part.kind for part in parts][:1] == ["run.created"]
        fits(requests.AuditLog(run=waiting), parts[0])
    assert len(seen) == len(asked) + 3


async def test_each_is_told_why_they_may_not_decide(place: Place) -> None:
    """By what vouches for who asks, an account or something else, with the roles that come from there."""
    asking = {"approval": {"reason": "go on?", "approvers": {"roles": ["editor"]}}, "name": "ok"}
    by = {
        requests.Asker(principal="user:ann", asserted=True): "one of the roles editor is needed",
        requests.Asker(principal="user:ann", identified_by="api_key:1", roles=frozenset({"editor"})): "",
        requests.Asker(
            principal="agent:bot", identified_by="api_key:2", roles=frozenset({"editor"})
        ): "kind user",
        requests.Asker(principal="user:root", os_uid=64_000): "64000",
    }
    async with place.open() as rt:
        service = Service(rt.settings, rt._core)
        await service.perform(requests.Run(text=json.dumps(workflow(asking))))
        for asker, why in by.items():
            [asked] = (await service.perform(requests.Approvals(), asker)).approvals
            assert why in (asked.refused or ""), asker
            assert (asked.refused is None) is (not why)


@pytest.mark.parametrize("kind", [requests.Approve, requests.Reject])
async def test_who_decides_under_a_name_that_is_refused_is_on_record(
    place: Place, kind: type[requests.Approve | requests.Reject]
) -> None:
    async with place.open() as rt:
        service = Service(rt.settings, rt._core)
        waiting = workflow({"name": "ok", "approval": {"reason": "go on?"}})
        run = (await service.perform(requests.Run(text=json.dumps(waiting)))).run_id
        for asked in (run, "run_0"):
            with pytest.raises(RefusedError) as refused:
                await service.perform(kind(run=asked), requests.Asker(principal="user:root", os_uid=64_000))
            assert refused.value.code == "IDENTITY_REFUSED"
        told = [line async for line in service.stream(requests.AuditApprovals())]
    [line] = told
    assert (line.run_id, line.decision, line.code) == (run, "refused", "IDENTITY_REFUSED")
    assert (line.principal, line.os_uid, line.count) == ("user:root", 64_000, 1)


async def test_an_open_runtime_is_asked_about_what_only_it_knows(place: Place) -> None:
    """A capability that a program registered is listed, shown and explained like any other."""

    async def note(_context: object, parameters: object) -> object:
        return parameters

    spec = create_read_capability("own.note", parameters={"type": "object", "required": ["text"]})
    async with place.open(box=False) as rt:
        rt.register(spec, note)
        service = Service(rt.settings, rt._core)
        [found] = (await service.perform(requests.Capabilities(pattern="own.*"))).capabilities
        assert (found.id, found.standing.latest) == ("own.note", True)
        explained = await service.perform(requests.ExplainPolicy(capability="own.note"))
        assert (explained.decision, explained.complete) == ("ALLOW", False)


def test_who_only_reads_needs_no_event_loop(place: Place) -> None:
    """Nothing was recorded yet, and nobody is started to find that out."""
    settings = place.settings()
    assert process.perform(requests.Runs(), settings).runs == []
    assert process.perform(requests.Unfinished(), settings).count == 0
    assert [*process.stream(requests.AuditLog(), settings)] == []
    with pytest.raises(InputError) as refused:
        [*process.stream(requests.Attachment(run="run_1", digest="a"), settings)]
    assert refused.value.code == "RUN_UNKNOWN"
    assert not settings.state.exists()


async def test_what_changes_the_record_is_for_an_owner(place: Place) -> None:
    with pytest.raises(InputError) as refused:
        await Service(place.settings()).perform(requests.Cancel(run="run_1"))
    assert refused.value.code == "RUNTIME_CLOSED"


def test_the_words_of_a_call_are_read_by_what_its_capability_declares(place: Place) -> None:
    """By whoever carries it out, before there is any state: `7` is text where text is declared, `true` is true where that is."""
    settings = place.settings()
    for capability, words, code in (
        ("io.fs.write_file", {"pth": "x"}, "INPUT_UNKNOWN"),
        ("io.fs.write_file", {"path": "a", "content": "x", "create_dirs": "perhaps"}, "INVALID_INPUT"),
        ("io.fs.wrote_file", {"path": "x"}, "CAPABILITY_UNKNOWN"),
    ):
        with pytest.raises(InputError) as refused:
            process.perform(requests.Call(capability=capability, words=words), settings)
        assert refused.value.code == code
    assert not settings.state.exists()
    words = {"path": "7", "create_dirs": "true"}
    request = requests.Call(capability="io.fs.write_file", parameters={"content": "5"}, words=words)
    assert process.perform(request, settings).status == "succeeded"
    assert place.workspace.joinpath("7").read_text() == "5"


async def test_an_owner_reads_the_words_of_a_call_too(place: Place) -> None:
    """However a request came, it means the same."""
    async with place.open() as rt:
        words = {"path": "deep/7", "content": "5", "create_dirs": "true"}
        request = requests.Call(capability="io.fs.write_file", words=words)
        assert (await Service(rt.settings, rt._core).perform(request)).status == "succeeded"
    counted = process.perform(requests.Unfinished(), place.settings())
    assert (counted.count, counted.of) == (0, 1)
    assert place.workspace.joinpath("deep/7").read_text() == "5"


async def test_a_request_that_is_taken_twice_is_one_run_also_by_another_owner(place: Place) -> None:
    """Whoever performs it again gives what the run has come to, and lets it go on where it was interrupted."""
    place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put_high"}))
    asked = requests.Call(capability="box.put_high", parameters={"key": "a", "value": 1})
    runs: set[str] = set()
    call = ""
    for _ in range(2):
        async with place.open() as rt:
            service = Service(rt.settings, rt._core)
            for _ in range(2):
                answer = await service.perform(asked, ident="req_1")
                call = answer.run_id
                assert answer.status == "waiting"
            session = await service.perform(requests.OpenSession(), ident="req_2")
            runs |= {call, session.run_id}
    assert len(runs) == 2, "a call and a session"
    async with place.open() as rt:
        service = Service(rt.settings, rt._core)
        await service.perform(requests.Approve(run=call))
        again = await service.perform(asked, ident="req_1")
        assert (again.run_id, again.status, place.box.count("execute", "a")) == (
            call,
            "succeeded",
            1,
        )
        other = await service.perform(asked, ident="req_3")
        assert other.run_id not in runs
        somebody = Asker(principal="user:other", asserted=True, os_uid=rt.settings.os_uid)
        with pytest.raises(InputError, match="another principal"):
            await service.perform(asked, somebody, ident="req_1")
        assert len(list(at_once(rt._core.ready.journal.rows("runs", limit=9)))) == 3
        rt.require_sound_rows()


async def test_what_a_person_said_in_a_request_is_said_once_also_by_another_owner(place: Place) -> None:
    """The same request is answered with how the run stands, and agrees to no other question; another one is refused as ever."""
    place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put_high"}))
    asks = workflow(put("a", "box.put_high"), put("b", "box.put_high"))
    somebody = Asker(principal="user:other", asserted=True)
    async with place.open() as rt:
        run = (await rt.run(asks)).run_id
        other = (await rt.run(asks)).run_id
    said: list[tuple[Request[answers.Run], str]] = [
        (requests.Approve(run=run), "waiting"),
        (requests.Reject(run=run, step="b", reason="no"), "rolled_back"),
        (requests.Cancel(run=other), "cancelled"),
    ]
    for number, (request, status) in enumerate(said):
        for _ in range(2):
            async with place.open() as rt:
                service = Service(rt.settings, rt._core)
                told = await service.perform(request, somebody, ident=f"req_{number}")
                assert told.status == status
    assert place.box.count("execute", "b") == 0
    async with place.open() as rt:
        service = Service(rt.settings, rt._core)
        with pytest.raises(InputError) as refused:
            await service.perform(said[0][0], somebody, ident="req_new")
        assert refused.value.code == "APPROVAL_NOT_OPEN"
        with pytest.raises(InputError, match="another principal"):
            await service.perform(said[0][0], ident="req_0")
        for request, number in ((requests.Cancel(run=run), 0), (requests.Approve(run=run), 1)):
            with pytest.raises(InputError, match="another request"):
                await service.perform(request, somebody, ident=f"req_{number}")
        rt.require_sound_rows()


def harm(place: Place, sql: str) -> None:
    """Do something to the rows of a ledger that nobody owns."""
    with closing(apsw.Connection(str(place.settings().state / LEDGER_FILE))) as db:
        db.execute(sql)


async def test_runs_name_what_was_called_where_it_was_refused_before_it_was_admitted(place: Place) -> None:
    """And go on listing where that can't be told."""
    async with place.open() as rt:
        refused = await rt.call("io.fs.write_file", {"path": "../x", "content": ""})
        assert refused.error is not None
        assert refused.error["code"] == "PATH_ESCAPES"
        assert [run.capability for run in (await rt.runs()).runs] == ["io.fs.write_file"]
    harm(place, "UPDATE payloads SET body = x'00'")
    (listed,) = process.perform(requests.Runs(), place.settings()).runs
    assert (listed.capability, listed.code) == (None, "PATH_ESCAPES")


async def test_a_row_of_requests_that_names_no_run_decides_nothing(place: Place) -> None:
    asked = requests.Call(capability="box.put", parameters={"key": "a", "value": 1})
    async with place.open() as rt:
        first = await Service(rt.settings, rt._core).perform(asked, ident="req_1")
    harm(place, "UPDATE run_requests SET run_id = 'run_none'")
    async with place.open() as rt:
        again = await Service(rt.settings, rt._core).perform(asked, ident="req_1")
    assert (first.status, again.status) == ("succeeded", "succeeded")
    assert again.run_id != first.run_id


@pytest.mark.parametrize(
    ("sql", "request_"),
    [
        ("UPDATE runs SET run_id = 'run_none'", requests.Show(run="run_none")),
        ("UPDATE capabilities SET registered = NULL", requests.Capabilities()),
        ("UPDATE capabilities SET version = 'newest'", requests.Capabilities()),
        ("UPDATE capabilities SET registered_at_ms = -1", requests.Capabilities()),
        (f"UPDATE capabilities SET retired = 0, retired_at_ms = {2**60}", requests.Capabilities()),
    ],
)
async def test_a_row_that_can_not_have_been_written_is_no_error_of_ours(
    place: Place, sql: str, request_: Request[Any]
) -> None:
    async with place.open() as rt:
        await rt.call("box.put", {"key": "a", "value": 1})
    harm(place, sql)
    with pytest.raises(WorldError) as caught:
        await Service(place.settings()).perform(request_)
    assert caught.value.code == "RECORD_CORRUPT"
