"""`Idempotency-Key` on every POST: the same key and body happen once, and a key means one thing only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from assent.runtime.service import _keyed
from assent.runtime.service._keyed import Keyed
from assent.runtime.service.requests import CheckPolicy, ForgetSecret
from assent.runtime.service.routes import ROUTES
from tests.support.bodies import FakeClock
from tests.support.patience import PATIENCE_S
from tests.support.serving import Serving, daemon, key_for, over_tcp

WRITE = {"capability": "io.fs.write_file", "parameters": {"path": "a.txt", "content": "hi"}}
DELETE = {"capability": "io.fs.delete", "parameters": {"path": "a.txt"}}
STEP = {"name": "one", "capability": "sys.noop", "inputs": {}}
WAITS = {"name": "w", "steps": [{"name": "one", "wait": {"signal": "go"}}]}
FLOW = {"name": "flow", "steps": [STEP]}
SCHEDULE = {"name": "nightly", "workflow": FLOW, "every": "1h"}
KEY = {"id": f"ak_{'a' * 16}", "digest": "ab" * 32, "name": "k"}

# For each POST what is sent, and another body of it, where it takes any. `{…}` in a path is filled in from what was set up.
BODIES: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "/v1/calls": (WRITE, DELETE),
    "/v1/runs": ({"workflow": FLOW}, {"workflow": WAITS}),
    "/v1/sessions": ({}, {"environment": "prod"}),
    "/v1/runs/{session}/steps": (WRITE, DELETE),
    "/v1/runs/{closing}/close": ({}, None),
    "/v1/runs/{asking}/approve": ({"unseen": True}, {"unseen": True, "step": "other"}),
    "/v1/runs/{asked}/reject": ({}, {"reason": "no"}),
    "/v1/runs/{waiting}/cancel": ({}, None),
    "/v1/runs/{done}/undo": ({}, {"partial": True}),
    "/v1/runs/{done}/resolve": ({"step": "call", "resolution": "abandon"}, None),
    "/v1/runs/{done}/resume": ({}, None),
    "/v1/runs/{heard}/signal": ({"name": "go"}, {"name": "go", "payload": 5}),
    "/v1/resume": ({}, {"run": "run_x"}),
    "/v1/erasures": ({"runs": ["{old}"]}, {"runs": ["{old}"], "compact": True}),
    "/v1/schedules": (SCHEDULE, {**SCHEDULE, "every": "2h"}),
    "/v1/schedules/{schedule}/pause": ({}, None),
    "/v1/schedules/{schedule}/resume": ({}, None),
    "/v1/runs/under_way": ({"runs": ["run_a"]}, {"runs": ["run_b"]}),
    "/v1/runs/{done}/replay": ({}, {"capability_version": "1.0.0"}),
    "/v1/plans": ({"workflow": FLOW}, {"workflow": WAITS}),
    "/v1/policy/explain": (WRITE, DELETE),
    "/v1/policy/check": ({"path": "a", "text": "version: 1"}, {"path": "b", "text": "version: 1"}),
    "/v1/policy/test": ({"path": "a", "text": "cases: []"}, {"path": "b", "text": "cases: []"}),
    "/v1/policy/simulate": ({"path": "a", "text": "version: 1"}, {"path": "b", "text": "version: 1"}),
    "/v1/capabilities/{reference}/retire": ({"dry_run": True}, {}),
    "/v1/audit/verify": ({}, {"key": "k"}),
    "/v1/audit/knowledge_proof": (
        {"repository": "r", "manifest": {}},
        {"repository": "s", "manifest": {}},
    ),
    "/v1/audit/verify_proof": ({"proof": "p", "key": "k"}, {"proof": "q", "key": "k"}),
    "/v1/deliveries/{delivery}/retry": ({}, None),
    "/v1/deliveries/{delivery}/cancel": ({}, None),
    "/v1/secrets/{secret}/forget": ({}, None),
    "/v1/secrets/{secret}/rotate": ({"value": "two"}, {"value": "three"}),
    "/v1/secrets/{secret}/confirm": ({}, None),
    "/v1/secrets/{secret}/undo": ({}, None),
    "/v1/keys": (KEY, {**KEY, "name": "other"}),
    "/v1/keys/{key}/revoke": ({}, None),
    "/v1/plugins/look": ({"plugin": "a"}, {"plugin": "b"}),
    "/v1/plugins/{plugin}/trust": ({"digest": "a"}, {"digest": "b"}),
    "/v1/plugins/{plugin}/untrust": ({}, None),
    "/v1/mcp_servers/{server}/look": ({}, None),
    "/v1/mcp_servers/{server}/trust": ({"digest": "a"}, {"digest": "b"}),
}  # fmt: skip


def test_every_post_is_tried() -> None:
    def plain(path: str) -> str:
        return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))

    assert {plain(path) for path in BODIES} == {plain(one.path) for one in ROUTES if one.method == "POST"}


@pytest.fixture
def root(root: Path) -> Path:
    (root.parent / "keys").mkdir(mode=0o700)
    with (root / "assent.toml").open("a") as file:
        file.write('[secrets.token]\nfrom = "file:../keys/token"\n')
    return root


async def test_one_key_is_one_request_of_every_post(served: Serving, root: Path) -> None:
    async def post(path: str, body: Any, key: str | None = None) -> Any:
        return await served.http.post(
            path, json=body, headers={} if key is None else {"idempotency-key": key}
        )

    async def begun(path: str, body: Any) -> str:
        return str((await post(path, body)).json()["run_id"])

    (root / "a.txt").write_text("old")
    await post("/v1/schedules", {**SCHEDULE, "name": "hourly"})
    secret = await served.http.put("/v1/secrets/token", json={"value": "one"})
    assert secret.status_code == 200, secret.text
    named = {
        "session": await begun("/v1/sessions", {}),
        "closing": await begun("/v1/sessions", {}),
        "asking": await begun("/v1/calls", DELETE),
        "asked": await begun("/v1/calls", DELETE),
        "done": await begun("/v1/calls", {**WRITE, "parameters": {"path": "b.txt", "content": "x"}}),
        "old": await begun("/v1/calls", WRITE),
        "waiting": await begun("/v1/runs", {"workflow": WAITS}),
        "heard": await begun("/v1/runs", {"workflow": WAITS}),
        "schedule": "hourly", "reference": "io.fs.write_file@1.0.0", "delivery": "msg_0", "secret": "token",
        "key": KEY["id"], "plugin": "none", "server": "none",
    }  # fmt: skip
    wrong = []
    for path, (body, other) in BODIES.items():
        place, key = path.format_map(named), f"key of {path}".replace(" ", "-")
        said = {
            name: [one.format_map(named) for one in value] if name == "runs" else value
            for name, value in body.items()
        }
        first = await post(place, said, key)
        runs = len((await served.http.get("/v1/runs", params={"limit": 500})).json())
        again = await post(place, said, key)
        now = len((await served.http.get("/v1/runs", params={"limit": 500})).json())
        ids = [one.json().get("run_id") if isinstance(one.json(), dict) else None for one in (first, again)]
        if (first.status_code, ids[0], runs) != (again.status_code, ids[1], now):
            wrong.append((path, "again", first.text[:300], again.text[:300]))
        if path.endswith("/steps"):
            steps = [[step["name"] for step in one.json()["steps"]] for one in (first, again)]
            shown = (await served.http.get(f"/v1/runs/{named['session']}")).json()["steps"]
            assert (steps, len(shown)) == ([["step_1"], ["step_1"]], 1)
        if first.is_success or path.startswith("/v1/policy"):
            for at, what in ((place, other), ("/v1/plugins/look", {"plugin": "zzz"})):
                reused = await post(at, what, key) if what is not None else None
                if reused is not None and (reused.status_code, reused.json()["error"]["code"]) != (
                    409,
                    "REQUEST_REUSED",
                ):
                    wrong.append((path, "other", first.text[:100], reused.text[:300]))
    assert wrong == []


async def test_a_step_is_added_once_also_by_the_next_owner(root: Path, env: dict[str, str]) -> None:
    """Whoever hears nothing of it asks again; that the first owner is gone tells nobody whether it was carried out."""
    steps, key, session = [], {"idempotency-key": "s1"}, ""
    for number in range(2):
        async with daemon(root, env) as served:
            if not number:
                session = (await served.http.post("/v1/sessions", json={})).json()["run_id"]
            step = await served.http.post(f"/v1/runs/{session}/steps", json=WRITE, headers=key)
            steps.append([(one["name"], one["status"]) for one in step.json()["steps"]])
            other = await served.http.post(f"/v1/runs/{session}/steps", json=DELETE, headers=key)
            assert (other.status_code, other.json()["error"]["code"]) == (409, "REQUEST_REUSED")
            shown = (await served.http.get(f"/v1/runs/{session}")).json()["steps"]
            assert [one["name"] for one in shown] == ["step_1"]
    assert steps == [[("step_1", "succeeded")]] * 2


async def test_who_asks_the_next_owner_again_waits_no_longer_than_they_said(
    root: Path, env: dict[str, str]
) -> None:
    """Nothing new may be recorded of the run for as long as its step takes, and what began it stands on record."""
    with (root / "assent.toml").open("a") as settings:
        settings.write('[serve]\ndrain = "1ms"\n')
    sleep = {"capability": "sys.sleep", "parameters": {"seconds": 50}}
    said = {"idempotency-key": "k", "prefer": "respond-async"}
    runs = []
    for _ in range(2):
        async with daemon(root, env) as served:
            answer = await served.http.post("/v1/calls", json=sleep, headers=said, timeout=PATIENCE_S)
            runs.append((answer.status_code, answer.json()["run_id"]))
            while (await served.http.get(answer.headers["location"])).json()["steps"][0][
                "status"
            ] != "running":
                pass
            if len(runs) == 2:
                await served.http.post(f"/v1/runs/{runs[0][1]}/cancel")
    assert runs == [(202, runs[0][1])] * 2


def test_what_changed_something_is_answered_once_more_for_a_day() -> None:
    clock = FakeClock()
    keyed, asked = Keyed(clock), ForgetSecret(name="a")
    assert keyed.find("k", asked, "user:ann") is None
    keyed.keep("k", asked, "done")
    assert keyed.find("k", asked, "user:ann") == "done"
    check = CheckPolicy(path="a", text="")
    assert keyed.find("c", check, "user:ann") is None
    keyed.keep("c", check, "checked")
    assert keyed.find("c", check, "user:ann") is None, "what is only looked at is looked at again"
    clock.ms += 24 * 3600 * 1000 + 1
    assert keyed.find("k", ForgetSecret(name="b"), "user:ann") is None


@pytest.mark.parametrize("others", [1, 3])
def test_nobody_makes_the_keys_of_others_be_forgotten(monkeypatch: pytest.MonkeyPatch, others: int) -> None:
    """However many they send: they lose their own, oldest first, and memory stays bounded."""
    monkeypatch.setattr(_keyed, "KEYS_MAX", 20)
    keyed, asked = Keyed(FakeClock()), ForgetSecret(name="a")
    for number in range(5):
        keyed.find(f"ann-{number}", asked, "user:ann")
        keyed.keep(f"ann-{number}", asked, number)
    for number in range(200):
        whose = f"agent:bot{number % others}"
        assert keyed.find(f"bot-{number}", asked, whose) is None
        keyed.keep(f"bot-{number}", asked, number)
    assert [keyed.find(f"ann-{number}", asked, "user:ann") for number in range(5)] == [*range(5)]
    assert keyed.find("bot-199", asked, f"agent:bot{199 % others}") == 199
    assert (len(keyed._known), sum(map(len, keyed._of.values()))) == (20, 20)
    assert keyed.find("bot-0", asked, "agent:bot0") is None


async def test_two_doors_and_one_key_are_one_request(root: Path, env: dict[str, str]) -> None:
    """The same principal, by a key over TCP and by its account at the socket: neither knows of the other's connection."""
    over_tcp(root)
    bodies = {
        "/v1/sessions": {}, "/v1/calls": {"capability": "sys.noop", "parameters": {}}, "/v1/runs": {"workflow": WAITS},
    }  # fmt: skip
    async with (
        daemon(root, env) as served,
        httpx2.AsyncClient(base_url=served.doors["http"], timeout=PATIENCE_S) as tcp,
    ):
        bearer = {"authorization": f"Bearer {key_for(root, env, scopes=['call'])}"}
        for path, body in bodies.items():
            asked = [
                door.post(path, json=body, headers={**headers, "idempotency-key": f"{path} {number}"})
                for number in range(20)
                for door, headers in ((served.http, {}), (tcp, bearer))
            ]
            told = [one.json()["run_id"] for one in await asyncio.gather(*asked)]
            assert told[::2] == told[1::2]
            assert len({*told}) == 20
        runs = (await served.http.get("/v1/runs", params={"limit": 500})).json()
        assert len(runs) == 60


async def test_who_may_only_call_is_told_of_the_call_that_goes_on(root: Path, env: dict[str, str]) -> None:
    """And of no other run: whoever asks by another credential needs the scope for it, also under the same key."""
    over_tcp(root)
    sleep = {"capability": "sys.sleep", "parameters": {"seconds": 0.3}}
    async with (
        daemon(root, env) as served,
        httpx2.AsyncClient(base_url=served.doors["http"], timeout=PATIENCE_S) as tcp,
    ):
        keys = {
            scope: {
                "authorization": f"Bearer {key_for(root, env, scopes=[scope])}",
                "prefer": "respond-async",
            }
            for scope in ("call", "read")
        }

        async def post(path: str, body: Any, scope: str = "call", key: str = "one") -> tuple[int, Any]:
            headers = {**keys[scope], "idempotency-key": key}
            told = await tcp.post(path, json=body, headers=headers)
            return told.status_code, told.json()

        code, run = await post("/v1/calls", sleep)
        assert (code, run["status"]) == (202, "running")
        assert await post("/v1/calls", sleep) == (202, run)
        code, refused = await post("/v1/calls", sleep, "read")
        assert (code, refused["error"]["code"]) == (403, "SCOPE_MISSING")
        session = (await post("/v1/sessions", {}, key="s"))[1]["run_id"]
        code, step = await post(f"/v1/runs/{session}/steps", sleep, key="step")
        assert (code, step["run_id"]) == (202, session)
        another = (await served.http.post("/v1/sessions", json={})).json()["run_id"]
        for path, body in (("steps", sleep), ("close", {})):
            code, refused = await post(f"/v1/runs/{another}/{path}", body, key=path)
            assert (code, refused["error"]["code"]) == (403, "IDENTITY_REFUSED")
