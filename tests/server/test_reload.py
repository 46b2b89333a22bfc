"""What a daemon reads anew while it lives: who is who, whose tokens count, the policy. A wrong file leaves all else as it was."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from assent.cli import main
from assent.runtime.service import process, requests
from assent.runtime.settings.effective import Settings, own_name
from assent.spec.events.kinds import PolicyRecorded
from tests.support.patience import PATIENCE_S
from tests.support.serving import Serving, daemon, over_tcp

ME = own_name(os.getuid())
POLICY = (
    "version: 1\nrules:\n  - id: crew\n    when: {roles: [crew]}\n    decision: ALLOW\n    reason: theirs\n"
    "  - id: rest\n    decision: DENY\n    reason: not theirs\n"
)
CREW = f'[identity.users.{ME.partition(":")[2]}]\nroles = ["crew"]\n'
ISSUER = '[serve.issuers.corp]\nissuer = "https://id.example.org"\naudience = "a"\njwks = "https://id.example.org/jwks"\n'
NOOP = {"capability": "sys.noop", "parameters": {}}


class Living:
    """A daemon whose files a test changes."""

    def __init__(self, root: Path, env: dict[str, str], served: Serving) -> None:
        self.root, self.env, self.served = root, env, served
        self.head = (root / "assent.toml").read_text()

    async def read(self, configuration: str | None, policy: str = POLICY) -> str:
        """Have it read these anew, None where there is no file any more; what it says of that."""
        if configuration is None:
            (self.root / "assent.toml").unlink()
        else:
            (self.root / "assent.toml").write_text(self.head + configuration)
        (self.root / "policy.yaml").write_text(policy)
        count = len(self.served.notes)
        self.served.told.reload.set()
        async with asyncio.timeout(PATIENCE_S):
            while len(self.served.notes) == count:  # noqa: ASYNC110 - a note is all that tells of it
                await asyncio.sleep(0.005)
        return self.served.notes[count]

    async def called(self, path: str = "/v1/calls") -> int:
        return (await self.served.http.post(path, json=NOOP)).status_code


@pytest.fixture
async def living(root: Path, env: dict[str, str]) -> AsyncIterator[Living]:
    (root / "policy.yaml").write_text(POLICY)
    async with daemon(root, env) as served:
        yield Living(root, env, served)


async def test_roles_hold_from_then_on_also_for_what_is_under_way(living: Living) -> None:
    """A session in memory asks with the roles of today; what they were is on record beside the policy."""
    session = (await living.served.http.post("/v1/sessions", json={})).json()["run_id"]
    steps = f"/v1/runs/{session}/steps"
    assert (await living.called(), await living.called(steps)) == (403, 403)
    assert (
        await living.read(CREW)
        == "reloaded the policy, `[identity]`, `[serve.issuers]`, `[serve.rate]`, `[mcp]`, `[app]`"
    )
    assert (await living.called(), await living.called(steps)) == (200, 200)
    await living.read("")
    assert (await living.called(), await living.called(steps)) == (403, 403)
    settings = Settings.resolve(workspace=living.root, environ=living.env, cwd=living.root)
    recorded = process.at_once(_kinds(settings))
    assert recorded == [PolicyRecorded.__struct_config__.tag] * 2


async def _kinds(settings: Settings) -> list[Any]:
    from assent.runtime.service.service import Service

    asked = requests.AuditLog(kinds=frozenset({"policy.recorded"}))
    return [line.kind async for line in Service(settings).stream(asked)]


async def test_issuers_count_from_then_on(root: Path, env: dict[str, str]) -> None:
    over_tcp(root)
    async with daemon(root, env) as served:
        living = Living(root, env, served)

        async def known() -> list[str]:
            base = served.doors["http"]
            async with httpx2.AsyncClient(base_url=base, timeout=PATIENCE_S) as http:
                return list(
                    (await http.get("/.well-known/oauth-protected-resource")).json()["authorization_servers"]
                )

        assert await known() == []
        await living.read(ISSUER)
        assert await known() == ["https://id.example.org"]
        await living.read("")
        assert await known() == []


WRONG: dict[str, tuple[str | None, str, list[str]]] = {
    "not TOML": (
        "[identity",
        POLICY,
        ["`[identity]`, `[serve.issuers]`, `[serve.rate]` not reloaded", "assent.toml"],
    ),
    "an unknown key": (
        "[identity]\nstrikt = true\n",
        POLICY,
        ["`[identity]`, `[serve.issuers]`, `[serve.rate]` not reloaded", "strikt"],
    ),
    "an issuer without keys": (
        '[serve.issuers.corp]\nissuer = "https://id"\n',
        POLICY,
        ["not reloaded"],
    ),
    "gone": (
        None,
        POLICY,
        ["`[identity]`, `[serve.issuers]`, `[serve.rate]` not reloaded", "not there any more"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_wrong_file_leaves_who_is_who_as_it_was(case: str, living: Living) -> None:
    configuration, policy, said = WRONG[case]
    await living.read(CREW)
    note = await living.read(configuration, policy)
    assert all(word in note for word in said), note
    assert "reloaded the policy" in note
    assert await living.called() == 200


async def test_roles_are_taken_away_although_the_policy_is_wrong(living: Living) -> None:
    await living.read(CREW)
    note = await living.read("", "rules: [")
    assert note.startswith("reloaded `[identity]`")
    assert "policy not reloaded" in note
    assert await living.called() == 403
    await living.read("")
    denied = (await living.served.http.post("/v1/calls", json=NOOP)).json()["error"]["code"]
    assert denied == "POLICY_DENIED"


OLDER = {
    "nothing": ("", POLICY, "ok", "what the files say now", None),
    "the policy": ("", POLICY.replace("theirs", "ours"), "warning", "another policy than", "kill -HUP"),
    "roles": (CREW, POLICY, "warning", "another `[identity]` than", "kill -HUP"),
    "issuers": (ISSUER, POLICY, "warning", "other `[serve.issuers]` or `[serve.rate]` than", "kill -HUP"),
    "rates": (
        '[serve.rate.slow]\nrequests = 1\nwindow = "1h"\n',
        POLICY,
        "warning",
        "other `[serve.issuers]`",
        "kill -HUP",
    ),
    "a limit": ("[limits]\nruns = 7\n", POLICY, "warning", "other settings than", "anew"),
}


async def test_doctor_says_what_of_the_files_a_living_daemon_has_not_read(
    living: Living, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in living.env.items():
        monkeypatch.setenv(name, value)
    for configuration, policy, status, seen, to_do in OLDER.values():
        (living.root / "assent.toml").write_text(living.head + configuration)
        (living.root / "policy.yaml").write_text(policy)
        await asyncio.to_thread(main, ["--workspace", str(living.root), "doctor", "--json"])
        (check,) = [one for one in json.loads(capsys.readouterr().out)["checks"] if one["name"] == "in force"]
        assert (check["status"], seen in check["seen"], to_do is None or to_do in check["hint"]) == (
            status,
            True,
            True,
        )
    await living.read(CREW + ISSUER)
    await asyncio.to_thread(main, ["--workspace", str(living.root), "doctor", "--json"])
    (check,) = [one for one in json.loads(capsys.readouterr().out)["checks"] if one["name"] == "in force"]
    assert check["status"] == "ok"
