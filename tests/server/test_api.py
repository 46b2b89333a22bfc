"""The HTTP API as a program meets it: what acts, what waits for somebody, what is watched, and what is refused."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from assent.runtime.wiring.key_store import KeyStore
from tests.support.serving import Serving, daemon, key_for, told_of

WRITE = {"capability": "io.fs.write_file", "parameters": {"path": "a.txt", "content": "hi"}}
DELETE = {"capability": "io.fs.delete", "parameters": {"path": "a.txt"}}


async def post(served: Serving, path: str, body: Any = None, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await served.http.post(path, json={} if body is None else body, headers=named)


async def test_a_call_is_carried_out_and_undone(served: Serving, root: Path) -> None:
    answer = await post(served, "/v1/calls", WRITE)
    assert answer.status_code == 200
    run = answer.json()
    assert run["status"] == "succeeded"
    assert (root / "a.txt").read_text() == "hi"
    assert (await served.http.get(f"/v1/runs/{run['run_id']}")).json()["events"]
    assert [one["run_id"] for one in (await served.http.get("/v1/runs")).json()] == [run["run_id"]]
    plan = (await served.http.get(f"/v1/runs/{run['run_id']}/undo")).json()
    assert plan["run_id"] == run["run_id"]
    undone = await post(served, f"/v1/runs/{run['run_id']}/undo")
    assert (undone.status_code, undone.json()["status"]) == (200, "undone")
    assert not (root / "a.txt").exists()


async def test_what_is_denied_is_a_run_and_forbidden(served: Serving) -> None:
    parameters = {"path": "private/a.txt", "content": "hi"}
    answer = await post(served, "/v1/calls", {**WRITE, "parameters": parameters})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["code"] == "POLICY_DENIED"
    assert answer.json()["run_id"].startswith("run_")


async def test_a_limit_that_is_past_says_when_it_opens(served: Serving) -> None:
    """Of calls that come at once, one gets the place that is left."""
    folders = [{"capability": "io.fs.make_dir", "parameters": {"path": name}} for name in "abcd"]
    found = await asyncio.gather(*(post(served, "/v1/calls", body) for body in folders))
    assert sorted(answer.status_code for answer in found) == [200, 403, 403, 403]
    refused = next(answer.json() for answer in found if answer.status_code == 403)
    assert (refused["error"]["code"], refused["error"]["details"]["rule"]) == ("LIMIT_REACHED", "one-folder")
    opens_in_ms = refused["error"]["details"]["opens_at_ms"] - time.time() * 1000
    assert 3_500_000 < opens_in_ms <= 3_600_000


async def test_what_waits_is_accepted_and_approved_by_what_was_shown(served: Serving, root: Path) -> None:
    (root / "a.txt").write_text("old")
    waiting = await post(served, "/v1/calls", DELETE)
    assert (waiting.status_code, waiting.json()["status"]) == (202, "waiting")
    place = waiting.headers["location"]
    (asked,) = (await served.http.get("/v1/approvals")).json()
    blind = await post(served, f"{place}/approve")
    assert (blind.status_code, told_of(blind)["error"]["code"]) == (422, "DIGEST_REQUIRED")
    stale = await post(served, f"{place}/approve", {"digest": "0" * 64})
    assert (stale.status_code, told_of(stale)["error"]["code"]) == (409, "APPROVAL_STALE")
    done = await post(served, f"{place}/approve", {"step": asked["step"], "digest": asked["digest"]})
    assert (done.status_code, done.json()["status"]) == (200, "succeeded")
    assert not (root / "a.txt").exists()
    again = await post(served, f"{place}/approve", {"unseen": True})
    assert (again.status_code, told_of(again)["error"]["code"]) == (409, "APPROVAL_NOT_OPEN")


async def test_a_workflow_is_planned_and_run_from_its_document(served: Serving, root: Path) -> None:
    workflow = {
        "name": "two",
        "steps": [{"name": "one", "capability": WRITE["capability"], "inputs": WRITE["parameters"]}],
    }
    plan = (await post(served, "/v1/plans", {"workflow": workflow})).json()
    assert [step["decision"] for step in plan["steps"]] == ["ALLOW"]
    ran = await post(served, "/v1/runs", {"plan": plan["plan_id"]})
    assert (ran.status_code, ran.json()["status"]) == (200, "succeeded")
    used = await post(served, "/v1/runs", {"plan": plan["plan_id"]})
    assert (used.status_code, told_of(used)["error"]["code"]) == (409, "PLAN_USED")
    # A document of elsewhere stands alone: no file here is read for it.
    (root / "other.yaml").write_text("name: other\nsteps: []\n")
    nested = {"name": "x", "steps": [{"name": "one", "workflow": "other.yaml"}]}
    refused = await post(served, "/v1/runs", {"workflow": nested})
    assert refused.status_code == 422, refused.text


async def test_one_key_is_one_run(served: Serving, root: Path) -> None:
    answers = await asyncio.gather(
        *(post(served, "/v1/calls", WRITE, idempotency_key="k1") for _ in range(5))
    )
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert len((await served.http.get("/v1/runs")).json()) == 1


async def test_a_key_that_is_under_way_means_one_thing(served: Serving) -> None:
    call = {"capability": "sys.sleep", "parameters": {"seconds": 1}}
    first = asyncio.create_task(post(served, "/v1/calls", call, idempotency_key="k2"))
    joined = await post(served, "/v1/calls", call, idempotency_key="k2", prefer="respond-async")
    assert joined.status_code == 202
    other = await post(served, "/v1/calls", WRITE, idempotency_key="k2")
    assert (other.status_code, told_of(other)["error"]["code"]) == (409, "REQUEST_REUSED")
    assert (await first).json()["run_id"] == joined.json()["run_id"]


async def test_who_does_not_wait_is_told_where_to_look(served: Serving) -> None:
    call = {"capability": "sys.sleep", "parameters": {"seconds": 0.3}}
    answer = await post(served, "/v1/calls", call, prefer="respond-async")
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    place = answer.headers["location"]
    kinds = []
    async with served.http.stream("GET", f"{place}/events") as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                kinds.append(line[7:])
    assert (kinds[0], kinds[-2:]) == ("run.created", ["run.succeeded", "end"])
    async with served.http.stream("GET", f"{place}/events", headers={"last-event-id": "0"}) as stream:
        told = [
            json.loads(line[6:]) async for line in stream.aiter_lines() if line.startswith('data: {"run"')
        ]
    assert [one["n"] for one in told] == list(range(1, len(kinds) - 1))


async def test_a_session_is_called_step_by_step_and_closed(served: Serving, root: Path) -> None:
    run = (await post(served, "/v1/sessions")).json()["run_id"]
    step = await post(served, f"/v1/runs/{run}/steps", WRITE)
    assert (step.status_code, step.json()["steps"][0]["status"]) == (200, "succeeded")
    parameters = {"path": "private/a.txt", "content": "hi"}
    denied = await post(served, f"/v1/runs/{run}/steps", {**WRITE, "parameters": parameters})
    assert denied.status_code == 403
    assert (await post(served, f"/v1/runs/{run}/close")).json()["status"] == "succeeded"
    assert (await post(served, f"/v1/runs/{run}/steps", WRITE)).status_code == 409


async def test_the_ledger_is_read_line_by_line(served: Serving) -> None:
    await post(served, "/v1/calls", WRITE)
    log = await served.http.get("/v1/audit/log", params={"kinds": ["run.created", "run.succeeded"]})
    assert log.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["kind"] for line in log.text.splitlines()] == ["run.created", "run.succeeded"]
    assert (await post(served, "/v1/audit/verify")).json()["ok"] is True


REFUSED: list[tuple[str, str, bytes, dict[str, str], int, str]] = [
    ("GET", "/v1/nothing", b"", {}, 404, "ROUTE_UNKNOWN"),
    ("DELETE", "/v1/calls", b"", {}, 405, "METHOD_NOT_ALLOWED"),
    ("POST", "/v1/calls", b"{", {}, 400, "JSON_INVALID"),
    ("POST", "/v1/calls", b'{"a": 1, "a": 2}', {}, 400, "JSON_INVALID"),
    ("POST", "/v1/calls", b"[]", {}, 400, "REQUEST_INVALID"),
    ("POST", "/v1/calls", b"{}", {"content-type": "text/plain"}, 415, "MEDIA_TYPE_UNSUPPORTED"),
    ("POST", "/v1/calls", b"{}", {}, 422, "INVALID_INPUT"),
    ("POST", "/v1/calls", b'{"capability": "no.such"}', {}, 404, "CAPABILITY_UNKNOWN"),
    ("POST", "/v1/calls", b'{"capability": "io.fs.read_file", "words": {}}', {}, 422, "INVALID_INPUT"),
    ("POST", "/v1/calls", b'{"capability": "io.fs.read_file"}', {}, 422, "INVALID_INPUT"),
    (
        "POST",
        "/v1/calls",
        b'{"capability": "sys.info"}',
        {"idempotency-key": "x" * 300},
        400,
        "REQUEST_INVALID",
    ),
    (
        "POST",
        "/v1/keys",
        b'{"id": "k", "digest": "d", "name": "", "scopes": ["read"]}',
        {},
        422,
        "INVALID_INPUT",
    ),
    ("POST", "/v1/keys/k/revoke", b"{}", {}, 422, "INVALID_INPUT"),
    ("POST", "/v1/erasures", b'{"runs": []}', {}, 422, "INVALID_INPUT"),
    ("POST", "/v1/erasures", b'{"runs": ["run_nothing"]}', {}, 404, "RUN_UNKNOWN"),
    ("POST", "/v1/erasures", b'{"runs": ["plan_nothing"]}', {}, 404, "PLAN_UNKNOWN"),
    (
        "POST",
        "/v1/schedules",
        b'{"name": "-", "every": "1h", "workflow": {"name": "w", "steps": [{"wait": "1s", "name": "a"}]}}',
        {},
        422,
        "INVALID_INPUT",
    ),
    ("POST", "/v1/schedules/-/pause", b"{}", {}, 422, "INVALID_INPUT"),
    ("POST", "/v1/schedules/-/resume", b"{}", {}, 422, "INVALID_INPUT"),
    ("DELETE", "/v1/schedules/-", b"", {}, 422, "INVALID_INPUT"),
    ("GET", "/v1/runs/a%2Fundo", b"", {}, 404, "RUN_UNKNOWN"),
    ("GET", "/v1/runs/%2e%2e/policy", b"", {}, 404, "ROUTE_UNKNOWN"),
    ("GET", "//v1/runs", b"", {}, 404, "ROUTE_UNKNOWN"),
    ("GET", "/v1/runs/%ff", b"", {}, 400, "REQUEST_INVALID"),
    ("GET", "/v1/runs/run_nothing", b"", {}, 404, "RUN_UNKNOWN"),
    ("GET", "/v1/runs?limit=none", b"", {}, 422, "INVALID_INPUT"),
    ("GET", "/v1/runs?limit=0", b"", {}, 422, "INVALID_INPUT"),
    ("GET", "/v1/runs?limit=1&limit=2", b"", {}, 422, "INVALID_INPUT"),
    ("GET", "/v1/runs?nothing=1", b"", {}, 422, "INVALID_INPUT"),
    ("GET", "/v1/runs?limit=null", b"", {}, 422, "INVALID_INPUT"),
    ("GET", "/v1/runs?" + "status=failed&" * 300, b"", {}, 400, "REQUEST_INVALID"),
    ("GET", "/v1/runs?before=%ff", b"", {}, 400, "REQUEST_INVALID"),
    ("GET", "/v1/audit/proofs/99999", b"", {}, 404, "ENTRY_UNKNOWN"),
    ("POST", "/v1/plugins/look", b'{"plugin": "%s"}' % (b"x" * 5_000), {}, 404, "PLUGIN_UNKNOWN"),
    ("POST", "/v1/plugins/look", b'{"plugin": "\\u0000"}', {}, 404, "PLUGIN_UNKNOWN"),
    *(
        ("POST", path, b'{"environment": "%s", %s}' % (name, rest), {}, 422, "INVALID_INPUT")
        for name in (b"\\u0000", b"a\\n", b"", b"\\u00fc", b'\\"', b"x" * 129)
        for path, rest in (
            ("/v1/calls", b'"capability": "sys.noop"'),
            ("/v1/sessions", b'"priority": 1'),
            ("/v1/runs", b'"workflow": {"name": "w", "steps": [{"wait": "1s", "name": "a"}]}'),
            ("/v1/plans", b'"workflow": {"name": "w", "steps": [{"wait": "1s", "name": "a"}]}'),
        )
    ),
]


@pytest.mark.parametrize("path", ["/v1/audit/log", "/v1/audit/approvals"])
@pytest.mark.parametrize("limit", [2**31, 2**63 - 1, 2**63, 10**30])
async def test_more_may_be_asked_for_than_a_machine_counts(served: Serving, path: str, limit: int) -> None:
    await served.http.post("/v1/calls", json={"capability": "sys.noop"})
    assert (await served.http.get(path, params={"limit": str(limit)})).is_success


async def test_what_is_not_admitted_is_one_problem(served: Serving) -> None:
    for method, path, content, headers, status, code in REFUSED:
        sent = {"content-type": "application/json", **headers} if content else headers
        answer = await served.http.request(method, path, content=content or None, headers=sent)
        assert (answer.status_code, told_of(answer)["error"]["code"]) == (status, code), (
            method,
            path,
            content,
        )
    assert (await served.http.get("/v1/runs")).json() == []


async def test_whoever_can_not_be_known_is_told_nothing(
    root: Path, env: dict[str, str], served: Serving
) -> None:
    answer = await served.http.get("/v1/runs", headers={"authorization": "Bearer nothing"})
    assert told_of(answer)["error"]["code"] == "NOT_IDENTIFIED"
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_description_has_every_route(served: Serving) -> None:
    from assent.runtime.service.routes import ROUTES

    document = (await served.http.get("/v1/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    shapes = {
        path: tuple(re.sub(r"{.*}", "", part) for part in path.split("/")) for path in document["paths"]
    }
    assert len(set(shapes.values())) == len(shapes)
    told = {(method.upper(), shapes[path]) for path, ways in document["paths"].items() for method in ways}
    assert told == {(route.method, tuple(part.strip("*") for part in route.shape)) for route in ROUTES}
    names = [way["operationId"] for ways in document["paths"].values() for way in ways.values()]
    assert len(names) == len(set(names))


async def test_a_daemon_that_drains_says_so_and_begins_nothing(served: Serving) -> None:
    assert (await served.http.get("/readyz")).status_code == 200
    assert (await served.http.get("/livez")).status_code == 200


async def test_a_daemon_that_can_begin_nothing_more_says_so(root: Path, env: dict[str, str]) -> None:
    """429 where the line is full, before anything is recorded; a run in line is accepted, and begins when there is room."""
    with (root / "assent.toml").open("a") as file:
        file.write("[limits]\nruns = 1\nqueue = 1\n")
    async with daemon(root, env) as found:
        http, quick = found.http, {"prefer": "respond-async"}

        async def call(seconds: float) -> httpx2.Response:
            sleep = {"capability": "sys.sleep", "parameters": {"seconds": seconds}}
            return await http.post("/v1/calls", json=sleep, headers=quick)

        first, second, third = [await call(seconds) for seconds in (60, 0, 0)]
        assert (first.status_code, second.status_code, third.status_code) == (202, 202, 429)
        assert (told_of(third)["error"]["code"], "retry-after" in third.headers) == ("QUEUE_FULL", True)
        assert [run["status"] for run in (await http.get("/v1/runs")).json()] == ["running", "pending"]
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.text) == (503, "queue full\n")
        health = (await http.get("/v1/health")).json()["admission"]
        assert (health["running"], health["queued"]) == (1, 1)
        await http.post(f"{first.headers['location']}/cancel")
        while (run := (await http.get(second.headers["location"])).json())["status"] != "succeeded":
            assert run["status"] in ("pending", "running")
        assert (await http.get("/readyz")).status_code == 200


async def test_a_run_that_the_machine_stopped_goes_on_once_it_can(
    root: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outcome could not be recorded; nobody has to start the daemon anew, or to ask."""
    monkeypatch.setattr("assent.runtime.service.daemon.LOOK_AGAIN_S", 0.1)
    ledger = root / ".assent" / "ledger.db"
    async with daemon(root, env) as served:
        sleep = {"capability": "sys.sleep", "parameters": {"seconds": 0.5}}
        place = (await post(served, "/v1/calls", sleep, prefer="respond-async")).headers["location"]
        while (await served.http.get(place)).json()["steps"][0]["status"] != "running":
            pass
        ledger.rename(root / "taken")
        await asyncio.sleep(1)
        (root / "taken").rename(ledger)
        while (run := (await served.http.get(place)).json())["status"] not in ("succeeded", "failed"):
            pass
        assert run["status"] == "succeeded"
        served.faults.clear()


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/calls"])
async def test_a_key_for_nobody_is_refused_before_a_run_begins(served: Serving, path: str) -> None:
    said = {"id": f"ak_{'a' * 16}", "digest": "ab" * 32, "name": "k", "principal": "ci", "scopes": ["read"]}
    body = said if path == "/v1/keys" else {"capability": "assent.key.create", "parameters": said}
    refused = told_of(await served.http.post(path, json=body))
    assert (refused["status"], refused["error"]["code"], refused["error"]["path"]) == (
        422,
        "INVALID_INPUT",
        "principal",
    )
    assert (await served.http.get("/v1/runs")).json() == []


async def test_what_a_key_has_begun_goes_on_when_it_is_revoked(root: Path, env: dict[str, str]) -> None:
    """It was admitted, in line or not, and the record tells which key began it: an operator cancels what should not go on."""
    with (root / "assent.toml").open("a") as file:
        file.write("[limits]\nruns = 1\n")
    async with daemon(root, env) as served:
        key = key_for(root, env)
        headers = {"authorization": f"Bearer {key}", "prefer": "respond-async"}
        sleep = {"capability": "sys.sleep", "parameters": {"seconds": 0.7}}
        runs = [
            (await served.http.post("/v1/calls", json=sleep, headers=headers)).json()["run_id"]
            for _ in range(2)
        ]
        store = KeyStore(root / ".assent")
        (found,) = [one for one in [store.presented(key)] if one is not None]
        store.write(msgspec.structs.replace(found, revoked_ms=1))
        assert (await served.http.get("/v1/runs", headers=headers)).status_code == 401
        assert (await served.http.get(f"/v1/runs/{runs[1]}")).json()["status"] == "pending"
        for run in runs:
            async with served.http.stream("GET", f"/v1/runs/{run}/events") as events:
                await events.aread()
            assert (await served.http.get(f"/v1/runs/{run}")).json()["status"] == "succeeded"
        log = (await served.http.get("/v1/audit/log", params={"kinds": "run.created"})).text
        assert log.count(f"api_key:{found.id}") == 2
