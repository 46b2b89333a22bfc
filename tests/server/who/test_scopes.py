"""What a key or a token lets its bearer ask: every operation needs one scope, and the service holds to it behind each door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from assent.errors import RefusedError
from assent.runtime.service import requests
from assent.runtime.service.requests import Asker, operation_of
from assent.runtime.service.scopes import SCOPE_OF
from assent.runtime.service.service import Service
from assent.spec.events.kinds import RunCreated
from assent.spec.ids import RunId
from assent.spec.scopes import SCOPES
from tests.support.bodies import Place, policy, rule
from tests.support.patience import PATIENCE_S
from tests.support.serving import daemon, key_for, over_tcp, told_of

TEXT = "quartz"
LOOKS = {"name": "look", "capability": "io.fs.read_file", "inputs": {"path": "a.txt"}}
WAITS = {"name": "last", "wait": {"signal": "go"}, "depends_on": ["look"]}
DROPS = {"name": "last", "capability": "io.fs.delete", "inputs": {"path": "b.txt"}, "depends_on": ["look"]}


def test_every_operation_needs_one_scope_and_every_scope_opens_something() -> None:
    assert [operation_of(kind) for kind in requests.OPERATIONS if kind not in SCOPE_OF] == []
    assert {*SCOPE_OF} == {*requests.OPERATIONS}
    assert {*SCOPE_OF.values()} == {*SCOPES}


async def test_no_operation_is_done_for_who_lacks_its_scope(tmp_path: Path) -> None:
    """Refused before anything is looked at: the requests name runs, plugins and secrets that are not there."""
    async with Place(tmp_path, policy=policy()).open() as rt:
        service = Service(rt.settings, rt._core)
        for kind, needed in SCOPE_OF.items():
            by = Asker(principal="user:ann", identified_by="api_key:k1", scopes=frozenset(SCOPES) - {needed})
            request = kind(**{field.name: "" for field in msgspec.structs.fields(kind) if field.required})
            with pytest.raises(RefusedError) as refused:
                await _asked(service, request, by)
            assert (refused.value.code, refused.value.details["scope"]) == ("SCOPE_MISSING", needed), kind


async def _asked(service: Service, request: Any, by: Asker) -> None:
    if not isinstance(request, requests.Stream):
        await service.perform(request, by)
    elif [one async for one in service.stream(request, by)]:
        pytest.fail("it was answered")


async def test_who_has_a_scope_acts_as_what_vouches_for_it_says(tmp_path: Path) -> None:
    """The record has the key, and never that the name is merely asserted; roles that came with it count."""
    builders = policy(rule("built", "ALLOW", when={"roles": ["builder"]}))
    async with Place(tmp_path, policy=builders).open() as rt:
        service = Service(rt.settings, rt._core)
        by = Asker(
            principal="service:ci",
            identified_by="api_key:k1",
            roles=frozenset({"builder"}),
            scopes=frozenset({"call"}),
        )
        ran = await service.perform(
            requests.Call(capability="box.put", parameters={"key": "a", "value": "1"}), by
        )
        created = (await rt._core.ready.journal.events(RunId(ran.run_id), limit=1))[0].event
    assert isinstance(created, RunCreated)
    assert (created.principal, created.asserted, created.identified_by) == ("service:ci", False, "api_key:k1")


async def test_a_session_is_gone_on_with_by_who_still_has_the_roles_that_it_began_with(
    tmp_path: Path,
) -> None:
    """Its steps act with them; the next token of the same issuer may have fewer."""
    async with Place(
        tmp_path, policy=policy(rule("built", "ALLOW", when={"roles": ["builder"]}))
    ).open() as rt:
        service = Service(rt.settings, rt._core)

        def with_roles(*roles: str) -> Asker:
            scopes = frozenset({"call"})
            return Asker(principal="user:ann", identified_by="jwt:a", roles=frozenset(roles), scopes=scopes)

        session = await service.perform(requests.OpenSession(), with_roles("builder"))
        step = requests.AddStep(
            run=session.run_id, capability="box.put", parameters={"key": "a", "value": "1"}
        )
        with pytest.raises(RefusedError, match="IDENTITY_REFUSED"):
            await service.perform(step, with_roles("painter"))
        added = await service.perform(step, with_roles("builder", "painter"))
        assert [one.status for one in added.steps] == ["succeeded"]


@pytest.mark.parametrize("prefer", ["wait=600", "respond-async"])
@pytest.mark.parametrize(
    "asked",
    [
        ("call", "signal", {"name": "go"}, [WAITS]),
        ("call", "resume", {}, [WAITS]),
        ("approve", "approve", {"unseen": True}, [DROPS]),
        ("approve", "reject", {}, [DROPS]),
        ("undo", "cancel", {}, [WAITS]),
        ("undo", "undo", {}, []),
    ],
)
async def test_who_may_not_read_is_told_how_others_runs_stand_and_no_more(
    root: Path, env: dict[str, str], asked: tuple[str, str, Any, list[Any]], prefer: str
) -> None:
    """Whatever they may do with a run whose id they know: what is on record of others is what `read` opens."""
    scope, ask, body, last = asked
    (root / "a.txt").write_text(f"{TEXT} stands here")
    (root / "b.txt").touch()
    over_tcp(root)
    document = {"name": "w", "steps": [LOOKS, *last], "outputs": {"it": "${{ steps.look.output.content }}"}}
    async with (
        daemon(root, env) as served,
        httpx2.AsyncClient(base_url=served.doors["http"], timeout=PATIENCE_S) as tcp,
    ):
        begun = (await served.http.post("/v1/runs", json={"workflow": document})).json()
        assert TEXT in str(begun)
        run = begun["run_id"]
        bearer = {"authorization": f"Bearer {key_for(root, env, 'user:bob', [scope])}", "prefer": prefer}
        for _ in range(2):  # the second time it is looked up what was answered
            told = await tcp.post(
                f"/v1/runs/{run}/{ask}", json=body, headers={**bearer, "idempotency-key": "one"}
            )
            (one,) = answer if isinstance(answer := told.json(), list) else [answer]
            assert (one["run_id"], one["steps"], one["outputs"]) == (run, [], None)
            assert TEXT not in told.text
        await served.http.post("/v1/runs", json={"workflow": document})
        ambiguous = await tcp.post(f"/v1/runs/run_/{ask}", json=body, headers=bearer)
        assert told_of(ambiguous)["error"]["code"] == "RUN_AMBIGUOUS"
        assert run not in ambiguous.text
        every = await tcp.post("/v1/resume", json={}, headers=bearer)
        missing = "read" if scope == "call" else "call"
        assert (every.status_code, told_of(every)["error"]["details"]["scope"]) == (403, missing)


async def test_who_may_not_read_plans_an_undo_of_others_runs_without_their_contents(
    root: Path, env: dict[str, str]
) -> None:
    """What an undo would restore is what the run has changed, and that is what `read` opens. Of their own they are shown it."""
    over_tcp(root)
    async with (
        daemon(root, env) as served,
        httpx2.AsyncClient(base_url=served.doors["http"], timeout=PATIENCE_S) as tcp,
    ):
        runs = []
        for name, scopes in (("ann", ["call"]), ("bob", ["call", "plan"]), ("eve", ["plan", "read"])):
            bearer = {"authorization": f"Bearer {key_for(root, env, f'user:{name}', scopes)}"}
            if "call" in scopes:
                write = {"path": f"{name}.txt", "content": TEXT}
                call = {"capability": "io.fs.write_file", "parameters": write}
                runs.append((await tcp.post("/v1/calls", json=call, headers=bearer)).json()["run_id"])
            if "plan" in scopes:
                plans = [await tcp.get(f"/v1/runs/{run}/undo", headers=bearer) for run in runs]
                assert [one.json()["possible"] for one in plans] == [True, True]
                assert [TEXT in one.text for one in plans] == [name == "eve", True]
                assert [bool(one.json()["steps"]) for one in plans] == [name == "eve", True]


async def test_who_may_not_read_is_told_the_code_alone_of_what_keeps_others_runs(
    root: Path, env: dict[str, str]
) -> None:
    """Neither which steps it has, nor which files it changed and what is there now."""
    over_tcp(root)
    (root / "b.txt").touch()
    asks = {"name": TEXT, "capability": "io.fs.delete", "inputs": {"path": "b.txt"}}
    writes = {"name": TEXT, "capability": "io.fs.write_file", "inputs": {"path": TEXT, "content": "x"}}
    async with (
        daemon(root, env) as served,
        httpx2.AsyncClient(base_url=served.doors["http"], timeout=PATIENCE_S) as tcp,
    ):
        bearer = {"authorization": f"Bearer {key_for(root, env, 'user:bob', ['undo', 'approve'])}"}
        runs = {}
        for name, step in (("writes", writes), ("asks", asks)):
            document = {"name": "w", "steps": [step]}
            runs[name] = (await served.http.post("/v1/runs", json={"workflow": document})).json()["run_id"]
        (root / TEXT).write_text("somebody else's")
        for name, ask, body, code in (
            ("writes", "undo", {}, "COMPENSATION_CONFLICT"),
            ("asks", "approve", {"unseen": True, "step": "other"}, "APPROVAL_NOT_OPEN"),
            ("asks", "approve", {"digest": "0" * 64}, "APPROVAL_STALE"),
            ("asks", "approve", {}, "DIGEST_REQUIRED"),
        ):
            told = await tcp.post(f"/v1/runs/{runs[name]}/{ask}", json=body, headers=bearer)
            error = told_of(told)["error"]
            assert (error["code"], error["details"]) == (code, {})
            assert error["path"] == ("digest" if code == "DIGEST_REQUIRED" else None)
            assert TEXT not in told.text
