"""The client: the runtime's own methods over HTTP, whatever becomes of the connection meanwhile."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from assent import Runtime, sync
from assent.client import Client, Deferred, connect
from assent.client._http import Http
from assent.errors import AssentError, InputError, RefusedError
from assent.runtime.service import requests
from assent.runtime.service.routes import ROUTES
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring.key_store import new_key
from assent.system import SystemEntropy
from tests.support.serving import Serving, daemon

WRITE: dict[str, Any] = {"path": "a.txt", "content": "hi"}
WORKFLOW: dict[str, Any] = {
    "name": "drops",
    "inputs": {"path": {"type": "string"}},
    "steps": [{"name": "drop", "capability": "io.fs.delete", "inputs": {"path": "${{ inputs.path }}"}}],
}


@pytest.fixture
async def rt(served: Serving) -> AsyncIterator[Client]:
    async with connect(served.doors["socket"], patience_s=5) as client:
        yield client


async def _tells_the_same(rt: Runtime | Client, root: Path) -> list[object]:
    """What one program meets, whichever it opened."""
    told: list[object] = []
    made = await rt.call("io.fs.write_file", WRITE)
    told.append((made.status, made.step("call").output, (root / "a.txt").read_text()))
    told.append([(event.n, event.event["kind"]) async for event in rt.events(made.run_id)])
    told.append((await rt.undo(made.run_id)).status)
    (root / "a.txt").write_text("old")
    plan = await rt.plan(WORKFLOW, {"path": "a.txt"})
    told.append([(step.name, step.decision) for step in plan.steps])
    waiting = await rt.run(WORKFLOW, {"path": "a.txt"}, id="drop-1")
    told.append(
        (waiting.status, (await rt.run(WORKFLOW, {"path": "a.txt"}, id="drop-1")).run_id == waiting.run_id)
    )
    told.append((await rt.approve(waiting.run_id)).status)
    told.append((await rt.wait(waiting.run_id)) == await rt.show(waiting.run_id))
    denied = await rt.call("io.fs.write_file", {**WRITE, "path": "private/a.txt"})
    told.append((denied.status, (denied.error or {})["code"]))
    session = await rt.session()
    told.append((await session.call("io.fs.write_file", WRITE)).status)
    told.append((await session.call("io.fs.write_file", {**WRITE, "path": "private/a.txt"})).status)
    asked = await session.call("io.fs.delete", {"path": "a.txt"})
    told.append((asked.status, (await rt.reject(session.run_id, asked.name, reason="no")).status))
    told.append((await session.wait(asked.name)).status)
    again = await rt.session(session.run_id)
    told.append((await again.close()).status)
    told.append([one.status for one in (await rt.runs(limit=2)).runs])
    for work in (
        rt.show("run_nothing"),
        rt.call("io.fs.wirte_file", {}),
        rt.run({"name": "x"}),
        rt.undo(denied.run_id),
        rt.approve(waiting.run_id),
        session.call("sys.noop"),
        rt.show(1),  # type: ignore[arg-type]
    ):
        with pytest.raises(AssentError) as caught:
            await work
        error = caught.value
        told.append((type(error), error.code, error.path))
    return told


async def test_it_gives_what_the_runtime_gives(rt: Client, root: Path, tmp_path: Path) -> None:
    """One line changes: results, events, and errors with their families are the same."""
    other = tmp_path / "other"
    other.mkdir()
    for name in ("assent.toml", "policy.yaml"):
        (other / name).write_text((root / name).read_text())
        (other / name).chmod(0o600)
    async with Runtime.open(other) as runtime:
        embedded = await _tells_the_same(runtime, other)
    assert await _tells_the_same(rt, root) == embedded


async def test_what_has_no_method_is_asked_with_its_request(rt: Client) -> None:
    """And the server says what it is."""
    assert rt.server is not None
    assert rt.server.version
    assert {"call", "health"} <= rt.server.operations
    assert abs(rt.server.clock_offset_ms) < 10_000
    made = await rt.call("io.fs.write_file", WRITE)
    shown = await rt.perform(requests.Show(run=made.run_id, step="call"))
    assert [step.name for step in shown.steps] == ["call"]
    (waiting,) = [(await rt.call("io.fs.delete", {"path": "a.txt"})).run_id]
    assert [one.run_id for one in (await rt.perform(requests.Approvals())).approvals] == [waiting]
    found = await rt.perform(requests.Runs(limit=1))
    assert ([one.run_id for one in found.runs], found.before) == ([waiting], waiting)
    some = await rt.runs(status=["waiting", "succeeded"])
    assert [one.run_id for one in some.runs] == [made.run_id, waiting]
    history = await rt.perform(requests.CapabilityHistory(capability="io.fs.delete"))
    assert history.versions
    with pytest.raises(AssentError) as refused:
        await rt.call("sys.noop", principal="user:eve")
    assert refused.value.code == "IDENTITY_REFUSED"


Cut: TypeAlias = "Callable[[bytes], int | None]"


class Line:
    """Connections to a daemon that break as a test says: `cut` sees each answer go by, and says after how many bytes of it."""

    def __init__(self, cut: Cut) -> None:
        self.cut, self.broken = cut, 0

    async def carry(self, place: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(place)

        async def copy(source: asyncio.StreamReader, to: asyncio.StreamWriter, *, is_answer: bool) -> None:
            while data := await source.read(65536):
                most = self.cut(data) if is_answer else None
                to.write(data[:most])
                await to.drain()
                if most is not None:
                    self.broken += 1
                    break
            for end in (writer, far_writer):
                end.close()

        await asyncio.gather(
            copy(reader, far_writer, is_answer=False),
            copy(far_reader, writer, is_answer=True),
            return_exceptions=True,
        )


@asynccontextmanager
async def broken_line(served: Serving, path: Path, cut: Cut) -> AsyncIterator[Line]:
    line = Line(cut)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await line.carry(served.doors["socket"], reader, writer)

    server = await asyncio.start_unix_server(carry, path)
    try:
        yield line
    finally:
        server.close()
        await server.wait_closed()


async def test_a_call_whose_answer_is_lost_is_asked_for_again_and_made_once(
    served: Serving, tmp_path: Path
) -> None:
    left = [b"run_id", b"run_id"]

    def cut(data: bytes) -> int | None:
        return 0 if left and left[0] in data and left.pop() else None

    async with (
        broken_line(served, tmp_path / "line", cut) as line,
        connect(tmp_path / "line", patience_s=5) as rt,
    ):
        made = await rt.call("io.fs.write_file", WRITE)
        assert (made.status, line.broken) == ("succeeded", 2)
        assert [one.run_id for one in (await rt.runs()).runs] == [made.run_id]
        # Nothing keeps a session's step from being made twice, so it is not asked for again.
        session = await rt.session()
        left.append(b"steps")
        with pytest.raises(AssentError) as lost:
            await session.call("io.fs.write_file", WRITE)
        assert lost.value.code == "SERVER_LOST"
        assert len((await rt.show(session.run_id)).steps) == 1


async def test_events_go_on_where_the_connection_broke(served: Serving, tmp_path: Path) -> None:
    """Each is told once, and the end is told by the server and no broken line."""
    lengths = [0, 700, 60, 1400, 900]

    def cut(data: bytes) -> int | None:
        return lengths.pop() if b"event: " in data and lengths else None

    async with (
        broken_line(served, tmp_path / "line", cut) as line,
        connect(tmp_path / "line", patience_s=5) as rt,
    ):
        made = await rt.call("io.fs.write_file", WRITE)
        told = [event.n async for event in rt.events(made.run_id)]
        assert told == [*range(len(told))]
        assert told == [event.n async for event in rt.events(made.run_id)]
        assert line.broken == 5


async def test_patience_begins_when_the_connection_breaks(served: Serving, tmp_path: Path) -> None:
    """However long an answer was waited for before: the step takes longer than the client is patient."""
    left = [b"run_id"]

    def cut(data: bytes) -> int | None:
        return 0 if left and left[0] in data and left.pop() else None

    async with broken_line(served, tmp_path / "line", cut) as line:
        async with connect(tmp_path / "line", patience_s=0.5) as rt:
            assert (await rt.call("sys.sleep", {"seconds": 1})).status == "succeeded"
        assert line.broken == 1


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[str, asyncio.Queue[bytes]]]:
    """A server that is none of Assent's: what it answers one request after the other, the last one to all further ones.

    `|` in an answer is half a second. Its address, and what it was asked.
    """
    left, asked = [*answers], asyncio.Queue[bytes]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.put_nowait(await reader.readuntil(b"\r\n\r\n"))
        for part in (left.pop(0) if len(left) > 1 else left[0]).split(b"|"):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.5 if part.endswith(b":\n\n") else 0)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        await server.wait_closed()


def said(body: bytes, status: int = 200, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n"
    return head.encode() + body


EVENT = b'event: run.created\ndata: {"run":"run_1","n":%d,"at_ms":1,"event":{"kind":"run.created"}}\n\n'
END = b"event: end\ndata: {}\n\n"


@pytest.mark.parametrize(
    ("patience_s", "answers"),
    [
        (0.8, (EVENT % 0 + b":\n\n|:\n\n|", EVENT % 1 + END)),
        (5, (EVENT % 0, 502, 503, 504, EVENT % 1 + END)),
        (5, (502, EVENT % 0 + EVENT % 1 + END)),
    ],
    ids=["silent for longer than patience", "behind a proxy", "a proxy alone"],
)
async def test_events_go_on_where_somebody_else_answers(
    patience_s: float, answers: tuple[bytes | int, ...]
) -> None:
    """A stream that said for long only that it is there, and what a proxy says of a server that is away."""
    told = [
        said(one, kind="text/event-stream") if isinstance(one, bytes) else said(b"<html>", one, "text/html")
        for one in answers
    ]
    async with answering(*told) as (place, asked):
        http = Http(place, None, None)
        events = [event.n async for event in http.events(requests.Events(run="run_1"), patience_s)]
        await http.close()
    assert (events, asked.qsize()) == ([0, 1], len(answers))


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"null", b'{"version": 1}', b'{"run_id": "x"}', b"\xff", b"<html>"]
)
async def test_what_is_no_answer_is_told(body: bytes, tmp_path: Path, no_keychain: None) -> None:
    """Also to a call, and to one that was deferred: that one waits, and is tried again."""
    async with answering(said(body)) as (place, asked):
        with pytest.raises(AssentError, match="SERVER_UNREADABLE"):
            await connect(place, patience_s=0).__aenter__()
        async with connect(place, patience_s=0, spool=tmp_path / "spool") as rt:
            for ask in (
                lambda: rt.call("sys.noop"),
                lambda: rt.show("run_1"),
                lambda: rt.perform(requests.Health()),
            ):
                with pytest.raises(AssentError, match="SERVER_UNREADABLE"):
                    await ask()
            await rt.defer("sys.noop")
            with pytest.raises(AssentError, match="SERVER_UNREADABLE"):
                await rt.flush()
            while not asked.empty():
                asked.get_nowait()
            await asked.get()  # it is tried again
            assert [one.status for one in rt.deferred()] == ["WAITING"]


@pytest.mark.parametrize("key", ["ak_secret\n", " ak_secret", "ak_\u00fcsecret", "ak_\0secret", ""])
def test_a_key_with_something_around_it_is_refused_and_not_told(key: str) -> None:
    with pytest.raises(InputError) as refused:
        connect("http://127.0.0.1:1", key=key)
    assert (refused.value.code, refused.value.path) == ("INVALID_INPUT", "key")
    assert "secret" not in f"{refused.value.to_dict()}"


async def test_what_can_be_no_id_is_refused_before_it_is_sent(rt: Client) -> None:
    for ident in ("", "\u00fc", "a\nb", " a ", "a" * 256, 5):
        with pytest.raises(InputError, match="REQUEST_INVALID"):
            await rt.call("sys.noop", id=ident)  # type: ignore[arg-type]  # what else programs may give
    assert (await rt.call("sys.noop", id="a b")).status == "succeeded"


async def test_a_client_that_is_closed_lets_go_of_what_waits(rt: Client) -> None:
    """What was sent may be carried out, and is told so; events just end."""
    session = await rt.session()
    begun = asyncio.ensure_future(rt.call("sys.sleep", {"seconds": 2}))
    heard = asyncio.ensure_future(rt.wait(session.run_id))
    await asyncio.sleep(0.3)
    await rt.close()
    for work, code in ((begun, "SERVER_LOST"), (heard, "RUNTIME_CLOSED")):
        with pytest.raises(AssentError) as told:
            await work
        assert told.value.code == code


async def test_a_refusal_says_nothing_of_what_was_sent_before(
    root: Path, env: dict[str, str], tmp_path: Path, no_keychain: None
) -> None:
    """A call whose answer was lost may have been made, also where it is refused for its rate when it is asked again."""
    with (root / "assent.toml").open("a") as file:
        file.write('[serve.rate.each]\nrequests = 2\nwindow = "1h"\n')

    def cut(data: bytes) -> int | None:
        return 0 if b"run_id" in data else None

    async with daemon(root, env) as served, broken_line(served, tmp_path / "line", cut):
        async with connect(tmp_path / "line", patience_s=1) as rt:
            for code in ("SERVER_LOST", "RATE_LIMITED"):
                with pytest.raises(AssentError) as caught:
                    await rt.call("io.fs.write_file", WRITE)
                assert caught.value.code == code
        async with connect(served.doors["socket"], patience_s=1, spool=tmp_path / "spool") as rt:
            await rt.defer("io.fs.write_file", WRITE)
            with pytest.raises(AssentError, match="RATE_LIMITED"):
                await rt.flush()
            assert [(one.status, one.was_sent) for one in rt.deferred()] == [("WAITING", False)]


async def test_a_server_that_restarts_is_waited_for_and_one_that_is_away_is_told(
    root: Path, env: dict[str, str]
) -> None:
    async with daemon(root, env) as first:
        place = first.doors["socket"]
        rt = await connect(place, patience_s=10).__aenter__()
        begun = asyncio.ensure_future(rt.call("sys.sleep", {"seconds": 1}))
        while not (found := (await first.http.get("/v1/runs")).json()):
            pass
        (run,) = found
        watched = asyncio.ensure_future(rt.wait(run["run_id"]))
        await asyncio.sleep(0.1)
    async with daemon(root, env):
        assert (await begun).status == "succeeded"
        assert (await begun).run_id == run["run_id"] == (await watched).run_id
        assert (await watched).status == "succeeded"
        assert len((await rt.runs()).runs) == 1
    await rt.close()
    with pytest.raises(AssentError) as away:
        await connect(place, patience_s=0).__aenter__()
    assert away.value.code == "SERVER_UNREACHABLE"
    with pytest.raises(AssentError) as closed:
        await rt.call("sys.noop")
    assert closed.value.code == "RUNTIME_CLOSED"


async def test_programs_without_a_loop_have_it_too(served: Serving) -> None:
    def program() -> list[str]:
        with sync.connect(served.doors["socket"]) as rt:
            made = rt.call("io.fs.write_file", WRITE)
            with pytest.raises(AssentError):
                rt.show("run_nothing")
            kinds = [event.event["kind"] for event in rt.events(made.run_id)]
            session = rt.session()
            session.call("sys.noop")
            return [made.status, str(kinds[-1]), session.close().status, str(rt.server is not None)]

    assert await asyncio.to_thread(program) == ["succeeded", "run.succeeded", "succeeded", "True"]


async def test_what_a_runtime_calls_can_not_wait_for_it(
    served: Serving, tmp_path: Path, no_keychain: None
) -> None:
    """It would wait for itself for ever."""

    def program() -> list[str]:
        told: list[str] = []

        def tell(one: Deferred) -> None:
            with pytest.raises(RuntimeError, match="wait for itself"):
                client.call("sys.noop")
            told.append(one.status)

        client = sync.connect(served.doors["socket"], spool=tmp_path / "spool", told=tell)
        with client:
            client.defer("sys.noop")
            client.flush()
        return told

    assert await asyncio.to_thread(program) == ["DELIVERED"]


@pytest.mark.parametrize("where", ["ftp://host", "https//:x://"])
def test_only_an_address_or_a_socket_is_connected_to(where: str) -> None:
    with pytest.raises(AssentError) as refused:
        connect(where)
    assert refused.value.code == "INVALID_INPUT"


async def test_a_key_says_who_asks_over_http(root: Path, env: dict[str, str]) -> None:
    """Also what it may not ask is told as the error that it is, and a wrong one at once."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    with (root / "assent.toml").open("a") as file:
        file.write(f'[serve]\nhttp = "{place}"\n')
    key = new_key(SystemEntropy())
    async with daemon(root, env) as served:
        async with connect(served.doors["socket"]) as local:
            said = requests.CreateKey(id=key.id, digest=key.digest, name="test", scopes=("call",))
            assert (await local.perform(said)).status == "succeeded"
        async with connect(f"http://{place}/", key=key.text) as rt:
            made = await rt.call("io.fs.write_file", WRITE, id="once")
            assert (made.status, rt.server) == ("succeeded", None)
            with pytest.raises(RefusedError, match="SCOPE_MISSING"):
                await rt.show(made.run_id)
            with pytest.raises(InputError, match="REQUEST_REUSED"):
                await rt.call("io.fs.write_file", {**WRITE, "content": "other"}, id="once")
        with pytest.raises(RefusedError, match="NOT_IDENTIFIED"):
            await connect(f"http://{place}", key="ak_wrong").__aenter__()


OF_THE_PROCESS = frozenset(
    "open settings app hooks lifecycle metrics plugins secrets register registry telling reload_policy"
    " reload_configuration".split()
)
"""Functions, files and objects of the process that has the runtime: none of it travels."""

ASKED_WITH: dict[str, tuple[type[requests.Request[Any]], ...]] = {
    "explain": (requests.ExplainPolicy,),
    "plan_undo": (requests.PlanUndo,),
    "replay": (requests.Replay,),
    "snapshot": (requests.Snapshot,),
    "unfinished": (requests.Runs, requests.Unfinished),
    "versions": (
        requests.CapabilityHistory,
        requests.CapabilityDiff,
        requests.Label,
        requests.Unlabel,
        requests.Retire,
    ),
    "deliveries": (requests.Deliveries, requests.RetryDelivery, requests.CancelDelivery),
}
"""What a runtime gives holds what is in its process, such as the policy that decided: a client asks for what of it travels."""


def test_what_a_runtime_has_a_client_has_or_asks_for(root: Path, env: dict[str, str]) -> None:
    runtime = Runtime(Settings.resolve(workspace=root, environ=env, cwd=root))
    lacking = {name for name in dir(runtime) if not name.startswith("_")} - {*dir(Client)}
    assert lacking == OF_THE_PROCESS | ASKED_WITH.keys()
    routed = {route.kind for route in ROUTES}
    assert {kind for kinds in ASKED_WITH.values() for kind in kinds} <= routed
