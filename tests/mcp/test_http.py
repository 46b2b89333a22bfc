"""`/mcp` of a daemon: agents in both eras over Streamable HTTP, each as itself, none in another's visit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.streamable_http import EventMessage
from mcp_types import JSONRPCResponse

from assent import system
from assent.errors import InternalError
from assent.mcp import _http, _kept
from assent.runtime.service import process, requests
from assent.runtime.service.requests import Asker
from assent.runtime.settings.effective import Settings
from tests.support.patience import PATIENCE_S
from tests.support.serving import Serving, daemon, key_for, over_tcp, told_of

ERAS = ("legacy", "2026-07-28")
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


@asynccontextmanager
async def agent(served: Serving, key: str, era: str, **more: Any) -> AsyncIterator[Client]:
    """An agent that has come in with a key; `more` is said of its client."""
    headers = {"authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as http,
        Client(
            streamable_http_client(f"{served.doors['http']}/mcp", http_client=http), mode=era, **more
        ) as client,
    ):
        yield client


async def written(client: Client, path: str, session: str | None = None) -> str:
    """The session in which a file was written."""
    meta: Any = None if session is None else {"assent/session": session}
    result = await client.call_tool("io_fs_write_file", {"path": path, "content": ""}, meta=meta)
    assert not result.is_error, result.content
    assert result.meta is not None
    return str(result.meta["assent/run"])


@pytest.mark.parametrize("era", ERAS)
async def test_an_agent_works_and_takes_its_visit_back(root: Path, env: dict[str, str], era: str) -> None:
    over_tcp(root)
    async with daemon(root, env) as served, agent(served, key_for(root, env, "agent:bot"), era) as client:
        assert len((await client.list_tools()).tools) > 50
        run = await written(client, "a.txt")
        assert await written(client, "b.txt") == run
        told = (await served.http.get(f"/v1/runs/{run}")).json()
        assert (told["principal"], len(told["steps"])) == ("agent:bot", 2)
        undone = await client.call_tool("assent_undo", {"scope": "session"})
        assert undone.structured_content["status"] == "cancelled"
        assert not [*root.glob("?.txt")]


async def test_a_named_visit_goes_on_after_a_restart_and_is_its_owners_alone(
    root: Path, env: dict[str, str]
) -> None:
    over_tcp(root)
    async with daemon(root, env) as served:
        ann, bob = key_for(root, env, "agent:ann"), key_for(root, env, "agent:bob")
        async with agent(served, ann, ERAS[1]) as client, agent(served, bob, ERAS[1]) as stranger:
            run = await written(client, "a.txt", "mine")
            assert await written(client, "b.txt", "other") != run
            assert await written(stranger, "c.txt", "mine") != run
    async with daemon(root, env) as served, agent(served, ann, ERAS[1]) as client:
        assert await written(client, "d.txt", "mine") == run
        await served.http.post(f"/v1/runs/{run}/cancel", json={})
        assert (
            await written(client, "e.txt", "mine")
        ) != run  # what somebody has ended is not begun in again


async def test_a_session_of_the_transport_is_its_callers_and_ends_with_it(
    root: Path, env: dict[str, str]
) -> None:
    over_tcp(root)
    async with (
        daemon(root, env) as served,
        httpx2.AsyncClient(base_url=served.doors["http"], timeout=PATIENCE_S) as http,
    ):
        ann, bob = key_for(root, env, "agent:ann"), key_for(root, env, "agent:bob")

        async def ask(method: str, key: str, session: str | None, body: Mapping[str, Any]) -> httpx2.Response:
            headers = {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}
            if session is not None:
                headers["mcp-session-id"] = session
            return await http.request(method, "/mcp", json=body, headers=headers)

        begun = await ask("POST", ann, None, HELLO)
        session = begun.headers["mcp-session-id"]
        assert (await ask("POST", ann, session, LIST)).status_code == 200
        for method, key, name in (("POST", bob, session), ("DELETE", bob, session), ("POST", ann, "0" * 32)):
            assert (await ask(method, key, name, LIST)).status_code == 404
        call = {"name": "io_fs_write_file", "arguments": {"path": "a.txt", "content": ""}}
        assert (
            await ask("POST", ann, session, {**LIST, "method": "tools/call", "params": call})
        ).status_code == 200
        assert (await ask("DELETE", ann, session, {})).status_code == 200
        (run,) = (await served.http.get("/v1/runs")).json()
        assert run["status"] == "succeeded"  # the visit is closed with the session, and can be undone


async def test_a_stream_that_was_cut_off_is_gone_on_with_in_its_own_session(
    root: Path, env: dict[str, str]
) -> None:
    over_tcp(root)
    (root / "a.txt").write_text("")
    async with daemon(root, env) as served:
        headers = {
            "authorization": f"Bearer {key_for(root, env, 'agent:bot')}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-11-25",
        }
        async with httpx2.AsyncClient(
            base_url=served.doors["http"], headers=headers, timeout=PATIENCE_S
        ) as http:

            async def begun() -> dict[str, str]:
                return {"mcp-session-id": (await http.post("/mcp", json=HELLO)).headers["mcp-session-id"]}

            own, other = await begun(), await begun()
            meta = {"assent/patience_ms": 300}
            params = {"name": "io_fs_delete", "arguments": {"path": "a.txt"}, "_meta": meta}
            call = {**LIST, "method": "tools/call", "params": params}
            async with http.stream("POST", "/mcp", json=call, headers=own) as cut:
                lines = cut.aiter_lines()
                first = dict([(await anext(lines)).split(": ") for _ in range(3)])
                assert first == {"id": first["id"], "data": "", "retry": "1000"}

            async def read(session: dict[str, str], last: str) -> str:
                async with http.stream("GET", "/mcp", headers={**session, "last-event-id": last}) as stream:
                    async for line in stream.aiter_lines():
                        if line.startswith("data: {"):
                            return line
                return ""

            async with asyncio.timeout(10):
                # Until the daemon knows that the stream was cut off, there is nothing more to send.
                while "APPROVAL_REQUIRED" not in await read(own, first["id"]):  # noqa: ASYNC110  # as the client would
                    await asyncio.sleep(0.05)
            for session, last in ((other, first["id"]), (own, "4711")):
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        assert "APPROVAL_REQUIRED" not in await read(session, last)


async def test_who_was_cut_off_can_listen_again(root: Path, env: dict[str, str]) -> None:
    """A session has one stream of its own: it is soon known that nobody reads it any more."""
    over_tcp(root)
    async with daemon(root, env) as served:
        headers = {
            "authorization": f"Bearer {key_for(root, env, 'agent:bot')}",
            "accept": "application/json, text/event-stream",
        }
        async with httpx2.AsyncClient(
            base_url=served.doors["http"], headers=headers, timeout=PATIENCE_S
        ) as http:
            http.headers["mcp-session-id"] = (await http.post("/mcp", json=HELLO)).headers["mcp-session-id"]

            async def listen() -> int:
                async with http.stream("GET", "/mcp") as stream:
                    return int(stream.status_code)

            assert await listen() == 200
            async with asyncio.timeout(6):
                while await listen() != 200:  # noqa: ASYNC110  # as the client would
                    await asyncio.sleep(0.2)


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_daemon_that_ends_lets_the_calls_of_agents_come_to_their_end(
    root: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    """As it lets everything else for `drain`: whoever waits is told, and what nobody waits for is done as well."""
    monkeypatch.setattr("assent.server._serve.CLOSING_S", 0.1)
    over_tcp(root)
    with (root / "assent.toml").open("a") as file:
        file.write('[limits]\ngrace = "100ms"\n')
    settings = Settings.resolve(workspace=root, environ=env, cwd=root)
    async with (
        daemon(root, env) as served,
        agent(served, key_for(root, env, "agent:ann"), "2026-07-28") as client,
    ):
        run = await written(client, "a.txt")
        asked = system.spawn(client.call_tool("sys_sleep", {"seconds": 1.5}), name="a call")
        while (shown := process.perform(requests.Show(run=run), settings)).steps[-1].status != "running":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        if not is_there:
            asked.cancel()
            await asyncio.wait({asked})
        served.told.stop.set()
        if is_there:
            assert not (await asked).is_error
    shown = process.perform(requests.Show(run=run), settings)
    assert [one.status for one in shown.steps] == ["succeeded"] * 2


async def test_what_is_kept_of_a_session_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kept, "KEPT_BYTES_MAX", 1000)
    kept = _kept.Kept()
    first = await kept.store_event("1", None)
    sent: list[EventMessage] = []

    async def send(event: EventMessage) -> None:
        sent.append(event)

    for number, length in enumerate((10, 900, 200)):
        result = {"text": "x" * length}
        await kept.store_event("1", JSONRPCResponse(jsonrpc="2.0", id=number, result=result))
    assert await kept.replay_events_after(first, send) is None
    assert await kept.replay_events_after("4", send) == "1"
    assert sent == []
    for _ in range(2 * _kept.KEPT_MAX):
        await kept.store_event("2", None)
    assert await kept.replay_events_after("4", send) is None


async def test_sessions_of_one_caller_take_no_room_of_others(
    root: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_http, "SESSIONS_OF_ONE_MAX", 2)
    over_tcp(root)
    async with (
        daemon(root, env) as served,
        httpx2.AsyncClient(base_url=served.doors["http"], timeout=PATIENCE_S) as http,
    ):
        keys = [key_for(root, env, f"agent:{name}") for name in ("ann", "bob")]

        async def ask(key: str, session: str | None, body: Mapping[str, Any]) -> httpx2.Response:
            headers = {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}
            headers |= {} if session is None else {"mcp-session-id": session}
            return await http.post("/mcp", json=body, headers=headers)

        async def begun(key: str) -> str:
            return str((await ask(key, None, HELLO)).headers["mcp-session-id"])

        others, oldest, used = await begun(keys[1]), await begun(keys[0]), await begun(keys[0])
        assert (await ask(keys[0], oldest, LIST)).status_code == 200  # and so the other one is the oldest
        newest = await begun(keys[0])
        for key, session, status in (
            (keys[1], others, 200),
            (keys[0], oldest, 200),
            (keys[0], used, 404),
            (keys[0], newest, 200),
        ):
            assert (await ask(key, session, LIST)).status_code == status


async def test_who_is_not_let_in(root: Path, env: dict[str, str]) -> None:
    over_tcp(root)
    async with (
        daemon(root, env) as served,
        httpx2.AsyncClient(base_url=served.doors["http"], timeout=PATIENCE_S) as http,
    ):
        user, agent_key = key_for(root, env), key_for(root, env, "agent:ann")
        for headers, status, code in (
            ({}, 401, "NOT_IDENTIFIED"),
            ({"authorization": f"Bearer {user}"}, 403, "IDENTITY_REFUSED"),
            (
                {"authorization": f"Bearer {agent_key}", "origin": "https://evil.example"},
                403,
                "ORIGIN_REFUSED",
            ),
        ):
            response = await http.post("/mcp", json=HELLO, headers=headers)
            assert (response.status_code, told_of(response)["error"]["code"]) == (status, code)


async def test_what_two_programs_read_differently_is_no_request(root: Path, env: dict[str, str]) -> None:
    """A proxy in between that took the first of two keys would have let another call pass than is made."""
    over_tcp(root)
    async with (
        daemon(root, env) as served,
        httpx2.AsyncClient(base_url=served.doors["http"], timeout=PATIENCE_S) as http,
    ):
        headers = {
            "authorization": f"Bearer {key_for(root, env, 'agent:ann')}",
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
        }
        honest = json.dumps(HELLO)
        for body, status in ((honest, 200), (honest.replace("{", '{"method": "ping", ', 1), 400), ("", 400)):
            response = await http.post("/mcp", content=body.encode(), headers=headers)
            assert response.status_code == status, body
            assert status == 200 or response.json()["error"]["code"] == -32700


async def test_a_daemon_ends_while_agents_are_there(root: Path, env: dict[str, str]) -> None:
    over_tcp(root)
    async with daemon(root, env) as served:
        key = key_for(root, env, "agent:ann")
        left = system.spawn(_stay(served, key), name="an agent that stays")
        while not (root / "a.txt").exists():  # noqa: ASYNC110  # another task writes it
            await asyncio.sleep(0.01)
    left.cancel()
    await asyncio.wait({left})


async def _stay(served: Serving, key: str) -> None:
    async with agent(served, key, "legacy") as client:
        await written(client, "a.txt")
        await asyncio.Event().wait()


async def test_a_visit_is_of_one_callers_scopes_and_nobody_keeps_others_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two tokens of one issuer name the same principal and may not ask the same; whoever names many visits loses their own."""
    monkeypatch.setattr(_http, "VISITS_MAX", 3)
    agents = _http.Agents(
        cast("Any", None), lambda error: InternalError("INTERNAL_ERROR", str(error)), body_bytes=1
    )
    may = Asker(principal="agent:ann", identified_by="jwt:issuer", scopes=frozenset({"call", "read"}))
    looks = Asker(principal="agent:ann", identified_by="jwt:issuer", scopes=frozenset({"read"}))
    bob = Asker(principal="agent:bob", identified_by="jwt:issuer", scopes=frozenset({"call"}))
    first = agents._visit(may, "=mine", is_named=True)
    assert agents._visit(may, "=mine", is_named=True) is first
    other = agents._visit(looks, "=mine", is_named=True)
    assert (first.by, other.by) == (may, looks)
    bobs = agents._visit(bob, "=mine", is_named=True)
    agents._visit(may, "=more", is_named=True)
    assert agents._visit(bob, "=mine", is_named=True) is bobs
    assert agents._visit(may, "=mine", is_named=True) is not first
    await agents.close()


def test_a_named_visit_with_other_roles_leads_to_another_session() -> None:
    """Also after a restart: its steps act with the roles that it began with, and the next token may have lost one."""

    def request(*roles: str) -> str:
        ann = Asker(principal="agent:ann", identified_by="jwt:issuer", roles=frozenset(roles))
        return _http._request_of(_http._Whose(ann, "=mine"))

    assert request("hr", "staff") == request("staff", "hr")
    assert len({request(), request("hr"), request("hr", "staff")}) == 3


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_of_a_tool_counts_for_the_limits_on_its_capability(
    root: Path, env: dict[str, str], era: str
) -> None:
    over_tcp(root)
    with (root / "assent.toml").open("a") as file:
        file.write('[serve.rate.noop]\nrequests = 2\nwindow = "1h"\ncapability = "sys.*"\n')
    async with daemon(root, env) as served, agent(served, key_for(root, env, "agent:bot"), era) as client:
        told = [await client.call_tool("sys_noop", {}) for _ in range(3)]
        assert [one.is_error for one in told] == [False, False, True]
        assert "RATE_LIMITED" in str(told[2].content)
        await written(client, "a.txt")


async def test_what_an_agent_listens_to_is_a_stream(root: Path, env: dict[str, str]) -> None:
    over_tcp(root, streams="1")
    async with daemon(root, env) as served:
        headers = {
            "authorization": f"Bearer {key_for(root, env, 'agent:bot')}",
            "accept": "text/event-stream, application/json",
        }
        async with httpx2.AsyncClient(
            base_url=served.doors["http"], headers=headers, timeout=PATIENCE_S
        ) as http:
            hello = await http.post("/mcp", json=HELLO)
            session = {"mcp-session-id": hello.headers["mcp-session-id"]}
            async with http.stream("GET", "/mcp", headers=session) as listening:
                assert listening.status_code == 200
                run = (await served.http.post("/v1/sessions", json={})).json()["run_id"]
                assert (
                    told_of(await served.http.get(f"/v1/runs/{run}/events"))["error"]["code"]
                    == "STREAMS_FULL"
                )
                assert told_of(await http.get("/mcp", headers=session))["error"]["code"] == "STREAMS_FULL"
