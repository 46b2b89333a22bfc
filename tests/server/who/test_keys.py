"""API keys: made and revoked by governed acts, kept as digests, and what each lets its bearer be and ask."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from assent.errors import RefusedError
from assent.journal import leaves_at_once
from assent.runtime.service import requests
from assent.runtime.service.requests import Asker
from assent.runtime.service.service import Service
from assent.runtime.settings.effective import own_name
from assent.server.who import Gatehouse
from tests.support.bodies import FakeClock, policy, rule
from tests.support.who import bearer, made, place_with

CI = "[identity.services.ci]\nroles = ['builder']\n"


async def test_a_key_is_its_principal_within_its_scopes_until_it_ends(tmp_path: Path) -> None:
    clock = FakeClock()
    async with place_with(tmp_path, CI).open() as rt:
        service, gate = Service(rt.settings, rt._core), Gatehouse(rt.settings, clock=clock)
        key, run = await made(
            rt, principal="service:ci", scopes=("read", "call", "approve"), expires_in_ms=3_600_000
        )
        other, _ = await made(rt, principal="service:ci")  # several of one principal
        caller = await gate.authenticate(bearer(key.text))
        assert (caller.asker.principal, caller.identified_by) == ("service:ci", f"api_key:{key.id}")
        assert caller.scopes == frozenset({"read", "call", "approve"})
        assert caller.expires_at_ms is not None
        assert (await gate.authenticate(bearer(other.text))).scopes == frozenset({"call", "plan", "read"})

        clock.ms = 3_600_001
        with pytest.raises(RefusedError):
            await gate.authenticate(bearer(key.text))
        clock.ms = 0
        revoked = await service.perform(requests.RevokeKey(id=key.id))
        with pytest.raises(RefusedError):
            await gate.authenticate(bearer(key.text))
        await service.perform(requests.Undo(run=revoked.run_id))
        assert await gate.authenticate(bearer(key.text)) == caller
        await service.perform(requests.Undo(run=run.run_id))
        with pytest.raises(RefusedError):
            await gate.authenticate(bearer(key.text))
        told = {one.id: one.status for one in (await service.perform(requests.Keys())).keys}
        events = [leaf.event for leaf in leaves_at_once(rt._core.ready.journal)]
    assert told == {key.id: "revoked", other.id: "active"}
    said = [(one.kind, getattr(one, "key", None)) for one in events if one.kind.startswith("key.")]
    assert said == [
        ("key.created", key.id),
        ("key.created", other.id),
        ("key.revoked", key.id),
        ("key.created", key.id),
        ("key.revoked", key.id),
    ]


async def test_a_key_stands_nowhere_but_with_whoever_made_it(tmp_path: Path) -> None:
    place = place_with(tmp_path)
    async with place.open() as rt:
        key, run = await made(rt)
    secret = key.text.rpartition("_")[2].encode()
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert kept == []
    assert secret.decode() not in repr((key, run, bearer(key.text)))
    (file,) = (tmp_path / "state" / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["digest"] == key.digest


CREATIONS: dict[str, tuple[Asker | None, dict[str, Any], str, Any]] = {
    "their own, on the machine": (None, {}, "", []),
    "another's, who is configured": (None, {"principal": "service:ci"}, CI, []),
    "another's, under a strict configuration that names them": (
        None, {"principal": "service:ci"}, f"[identity]\nstrict = true\n{CI}", [],
    ),
    "another's, who is not": (None, {"principal": "user:who"}, CI, ["`user:who` is not in the configuration"]),
    "another's, under a strict configuration that does not": (
        None, {"principal": "user:who"}, f"[identity]\nstrict = true\n{CI}", "KEY_REFUSED",
    ),
    "what they merely say to be": (
        Asker(principal="user:who", asserted=True), {"principal": "user:who"}, "", ["`user:who` is not"],
    ),
    "an agent's own": (Asker(principal="agent:a", asserted=True), {}, "[identity.agents.a]\n", []),
    "an agent's, to approve": (
        Asker(principal="agent:a", asserted=True), {"scopes": ("approve",)}, "[identity.agents.a]\n", "KEY_REFUSED",
    ),
    "an agent's, for a person": (
        Asker(principal="agent:a", asserted=True), {"principal": "user:ann"}, "[identity.users.ann]\n", "KEY_REFUSED",
    ),
    "by a token": (Asker(principal="user:ann", identified_by="jwt:i"), {}, "", "KEY_REFUSED"),
}  # fmt: skip


@pytest.mark.parametrize("case", CREATIONS)
async def test_nobody_gets_by_a_key_more_than_they_are(tmp_path: Path, case: str) -> None:
    by, said, configuration, expected = CREATIONS[case]
    place = place_with(tmp_path, configuration)
    place.policy = policy(rule("agents", when={"principal": "agent:*", "capability": "assent.key.create"}))
    async with place.open() as rt:
        key, run = await made(rt, by, **said)
        is_in = await _is_let_in(Gatehouse(rt.settings), key.text)
    (step,) = run.steps
    if isinstance(expected, str):
        assert (step.error.code if step.error else None, is_in) == (expected, False)
        return
    assert isinstance(step.output, dict)
    assert is_in
    warned = step.output["warnings"]
    assert isinstance(warned, list)
    assert [str(one).startswith(start) for one, start in zip(warned, expected, strict=True)] == [True] * len(
        expected
    )


async def test_a_key_makes_keys_that_open_no_more_than_itself_and_only_as_an_operator(tmp_path: Path) -> None:
    async with place_with(tmp_path).open() as rt:
        gate = Gatehouse(rt.settings)
        keys = {
            scopes: await made(rt, scopes=scopes) for scopes in (("call", "read"), ("call", "admin", "read"))
        }
        for scopes, (key, _) in keys.items():
            asker = (await gate.authenticate(bearer(key.text))).asker
            for wanted in (("read",), ("read", "approve")):
                may = "admin" in scopes and {*wanted} <= {*scopes}
                # As a plain call, too: its scope is `call`, and the capability itself knows whose keys are whose.
                called = await Service(rt.settings, rt._core).perform(
                    requests.Call(
                        capability="assent.key.create",
                        parameters={
                            "id": f"ak_{'a' * 14}{'ab'[may]}{'ab'[len(wanted) > 1]}",
                            "digest": "0" * 64,
                            "name": "x",
                            "principal": own_name(rt.settings.os_uid),
                            "scopes": [*wanted],
                        },
                    ),
                    asker,
                )
                assert called.status == ("succeeded" if may else "failed"), (scopes, wanted)
            ends = await Service(rt.settings, rt._core).perform(
                requests.Call(capability="assent.key.revoke", parameters={"id": key.id}), asker
            )
            assert ends.status == ("succeeded" if "admin" in scopes else "failed")


async def test_a_key_outlives_neither_its_principal_nor_a_looser_configuration(tmp_path: Path) -> None:
    place = place_with(tmp_path, CI)
    async with place.open() as rt:
        named, _ = await made(rt, principal="service:ci")
        unnamed, _ = await made(rt, principal="service:who")
    for configuration, expected in {
        CI: (True, True),
        "": (False, True),
        f"[identity]\nstrict = true\n{CI}": (True, False),
    }.items():
        gate = Gatehouse(place_with(tmp_path, configuration).settings())
        assert (await _is_let_in(gate, named.text), await _is_let_in(gate, unnamed.text)) == expected


async def test_a_step_is_added_to_a_session_by_who_began_it(tmp_path: Path) -> None:
    """Its steps act as who began it: nobody with a key acts so as somebody else."""
    async with place_with(tmp_path).open() as rt:
        service = Service(rt.settings, rt._core)
        ann, bob = (
            Asker(principal=f"user:{name}", identified_by=f"api_key:{name}", scopes=frozenset({"call"}))
            for name in ("ann", "bob")
        )
        session = (await service.perform(requests.OpenSession(), ann)).run_id
        step = requests.AddStep(run=session, capability="box.put", parameters={"key": "a"})
        for request in (step, requests.CloseSession(run=session)):
            with pytest.raises(RefusedError, match="somebody else"):
                await service.perform(request, bob)
        assert (await service.perform(step, ann)).steps[-1].status == "succeeded"
        assert (await service.perform(requests.CloseSession(run=session), ann)).status == "succeeded"


async def _is_let_in(gate: Gatehouse, text: str) -> bool:
    try:
        await gate.authenticate(bearer(text))
    except RefusedError:
        return False
    return True
