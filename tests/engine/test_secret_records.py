"""Accesses to secrets in the ledger: before the value is handed out, bound to it, and telling nothing of it."""

from __future__ import annotations

import asyncio
import hmac
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime
from assent.errors import InputError
from assent.invocation import Fetched, Handler, LocalContext, Secret, SecretAccess, secret_binding
from assent.journal import Ed25519FileSigner, SqliteReader, at_once, rows_at_once
from assent.journal.store import _reader
from assent.runtime.service import answers, requests, secret_admin
from assent.runtime.service._reading import Reader
from assent.runtime.service.service import Service
from assent.runtime.wiring._secrets import SECRET_BINDING
from assent.spec import create_read_capability, create_write_capability
from assent.spec.events.kinds import SecretAccessed
from assent.spec.ids import RunId
from assent.spec.secret_text import SecretText
from tests.support.bodies import Place, code, policy
from tests.support.patience import PATIENCE_S

VALUE = "correct horse battery staple"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=policy())


class Vault:
    """A provider of every secret but the missing one."""

    name = "vault"
    value = VALUE

    async def fetch(self, name: str) -> Fetched | None:
        return None if name == "missing" else Fetched(Secret(self.value), ttl_ms=3_600_000)


def accesses(rt: Runtime, run: RunId) -> list[SecretAccessed]:
    leaves = at_once(rt._core.ready.journal.events(run))  # the record itself
    return [leaf.event for leaf in leaves if isinstance(leaf.event, SecretAccessed)]


def brief(events: list[SecretAccessed]) -> list[tuple[str, str, str, int, str | None]]:
    return [(one.step, one.secret, one.outcome, one.attempt, one.provider) for one in events]


async def test_each_access_is_in_the_ledger_before_the_value_is_handed_out(place: Place) -> None:
    """Each name once for a call, however often it is asked for; what was refused as well."""
    seen: list[list[str]] = []

    async def send(context: LocalContext, parameters: dict[str, Any]) -> Any:
        await context.reveal([SecretText("secret://a secret://b"), SecretText("secret://a")])
        seen.append([one.secret for one in accesses(rt, context.run)])
        await context.secret("a")
        await context.reveal(SecretText("secret://b"))
        seen.append([one.secret for one in accesses(rt, context.run)])
        await context.secret(parameters["then"])

    spec = create_read_capability("mail.send", secrets=("a", "b", "missing"), parameters={"type": "object"})
    async with place.open() as rt:
        rt.register(spec, send)
        rt.secrets.add(Vault())
        missing = await rt.call("mail.send", {"then": "missing"})
        refused = await rt.call("mail.send", {"then": "other"})
        odd = await rt.call("mail.send", {"then": 'no "name" of a secret'})
        assert [code(one) for one in (missing, refused, odd)] == [
            "SECRET_MISSING",
            "SECRET_NOT_GRANTED",
            "SECRET_NOT_GRANTED",
        ]
        assert seen == [["a", "b"]] * 6
        both = [("call", "a", "fetched", 1, "vault"), ("call", "b", "fetched", 1, "vault")]
        assert brief(accesses(rt, missing.run_id)) == [*both, ("call", "missing", "missing", 1, None)]
        again = [(step, name, "cached", attempt, by) for step, name, _, attempt, by in both]
        assert brief(accesses(rt, refused.run_id)) == [*again, ("call", "other", "refused", 1, None)]
        assert brief(accesses(rt, odd.run_id)) == again
        verified = await rt.show(missing.run_id)
        assert verified.status == "failed"


async def test_a_binding_proves_the_value_to_who_has_the_key_and_tells_nobody_else(place: Place) -> None:
    vault = Vault()
    spec = create_read_capability("mail.send", secrets=("a",), parameters={"type": "object"})

    async def send(context: LocalContext, parameters: Any) -> None:
        await context.secret("a", fresh=True)

    async with place.open() as rt:
        rt.register(spec, send)
        rt.secrets.add(vault)
        first, second = await rt.call("mail.send", {}), await rt.call("mail.send", {})
        vault.value = "another value altogether"
        third = await rt.call("mail.send", {})
        found = [accesses(rt, run.run_id)[0] for run in (first, second, third)]
    key = Ed25519FileSigner.open(place.settings().key_path).derive(SECRET_BINDING)
    for run, access, value in zip((first, second, third), found, (VALUE, VALUE, vault.value), strict=True):
        of = (run.run_id, access.step, str(access.attempt), "a")
        assert access.binding == secret_binding(key, of, Secret(value))
        assert access.binding != secret_binding(key, of, Secret("a guess"))
        assert access.binding != secret_binding(bytes(32), of, Secret(value))
        assert access.binding != hmac.new(key, value.encode(), "sha256").hexdigest()
    assert len({one.binding for one in found}) == 3, "equal values can't be told apart without the key"


async def test_a_compensation_asks_and_is_recorded_like_any_call(place: Place) -> None:
    async def act(context: LocalContext, parameters: Any) -> dict[str, str]:
        return {"said": await context.reveal(SecretText("secret://a"))}

    spec = create_write_capability(
        "mail.put",
        secrets=("a",),
        parameters={"type": "object"},
        returns={"type": "object"},
        reversible=True,
        strategy="sends another one",
    )
    async with place.open() as rt:
        rt.register(spec, Handler(act, compensate=act))
        rt.secrets.add(Vault())
        done = await rt.call("mail.put", {})
        assert (done.status, done.steps[0].output) == ("succeeded", {"said": "***"})
        undone = await rt.undo(done.run_id)
        assert undone.status == "undone"
        assert brief(accesses(rt, done.run_id)) == [
            ("call", "a", "fetched", 1, "vault"),
            ("call", "a", "cached", 1, "vault"),
        ]


async def test_a_call_that_outlives_its_step_or_its_runtime_gets_nothing_more(place: Place) -> None:
    kept: list[LocalContext] = []

    async def send(context: LocalContext, parameters: Any) -> None:
        kept.append(context)

    spec = create_read_capability("mail.send", secrets=("a",), parameters={"type": "object"})
    async with place.open() as rt:
        rt.register(spec, send)
        rt.secrets.add(Vault())
        await rt.call("mail.send", {})
        with pytest.raises(Exception, match="SECRET_TOO_EARLY"):
            await kept[0].secret("a")
        journal = kept[0]._life.journal  # as a part that is still running has it
        assert journal is not None
        access: list[SecretAccess] = []
        await rt.secrets.read("a", capability="x", granted=["a"], ids=kept[0].ids, told=access.append)
        with pytest.raises(InputError, match="has ended and gets no secret"):
            await journal(tuple(access))


async def test_a_thread_that_asks_while_its_runtime_closes_is_refused_and_not_left_waiting(
    place: Place,
) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    ended: list[str] = []

    def send(context: LocalContext, parameters: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        assert context.cancel.wait(30)
        try:
            context.secret_in_thread("a")
        except InputError as error:
            ended.append(error.code)
            raise

    spec = create_read_capability("mail.send", secrets=("a",), parameters={"type": "object"})
    async with place.open() as rt:
        rt.register(spec, send)
        rt.secrets.add(Vault())
        call = asyncio.create_task(rt.call("mail.send", {}))
        async with asyncio.timeout(PATIENCE_S):
            await begun.wait()
    assert ended == ["RUNTIME_CLOSED"]
    call.cancel()
    await asyncio.wait({call}, timeout=PATIENCE_S)


CRASHING = """
import asyncio, os, sys
from pathlib import Path
from assent import Runtime
from assent.invocation import Fetched, Secret
from assent.spec import create_read_capability
from assent.spec.secret_text import SecretText

async def send(context, parameters):
    value = await context.reveal(SecretText("secret://a"))
    assert value == "correct horse battery staple"
    os.kill(os.getpid(), 9)

class Vault:
    name = "vault"
    async def fetch(self, name):
        return Fetched(Secret("correct horse battery staple"))

async def main():
    async with Runtime.open(workspace=sys.argv[1], state=sys.argv[2]) as rt:
        rt.register(create_read_capability("mail.send", secrets=("a",), parameters={"type": "object"}), send)
        rt.secrets.add(Vault())
        await rt.call("mail.send", {})

asyncio.run(main())
"""


def test_a_kill_right_after_the_value_was_handed_out_leaves_the_access_and_not_the_value(
    tmp_path: Path,
) -> None:
    workspace, state = tmp_path / "workspace", tmp_path / "state"
    workspace.mkdir()
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        [sys.executable, "-c", CRASHING, str(workspace), str(state)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == -9, ended.stderr
    with SqliteReader.open(state) as reader:
        [row] = list(rows_at_once(reader, "runs"))
        leaves = at_once(reader.events(RunId(str(row["run_id"]))))
    kinds = [leaf.event.kind for leaf in leaves]
    assert kinds == ["run.created", "step.started", "secret.accessed"]
    assert "correct horse" not in json.dumps([leaf.encode().decode() for leaf in leaves])
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"correct horse" not in path.read_bytes()


async def test_an_owner_that_is_told_to_forget_fetches_the_secret_anew(place: Place) -> None:
    """What `assent secrets rotate` asks of a living process; no answer of it shows a value that was handed out."""
    vault, seen = Vault(), []

    async def send(context: LocalContext, parameters: Any) -> None:
        seen.append((await context.secret("a")).reveal())

    spec = create_read_capability("mail.send", secrets=("a",), parameters={"type": "object"})
    async with place.open() as rt:
        rt.register(spec, send)
        rt.secrets.add(vault)
        service = Service(rt.settings, rt._core)
        await service.perform(requests.Call(capability="mail.send"))
        vault.value = "another value altogether"
        await service.perform(requests.Call(capability="mail.send"))
        assert await service.perform(requests.ForgetSecret(name="a")) == answers.Forgotten(forgotten=True)
        await service.perform(requests.Call(capability="mail.send"))
        assert seen == [VALUE, VALUE, vault.value]
        with pytest.raises(InputError) as unknown:
            await service.perform(requests.Call(capability=f"mail.{VALUE}"))
        assert VALUE not in str(unknown.value.to_dict())


async def test_a_run_that_used_secrets_replays_verifies_and_snapshots_like_any_other(place: Place) -> None:
    async def send(context: LocalContext, parameters: Any) -> dict[str, str]:
        return {"said": await context.reveal(SecretText("secret://a"))}

    spec = create_read_capability(
        "mail.send", secrets=("a",), parameters={"type": "object"}, returns={"type": "object"}
    )
    settings = place.settings()
    async with place.open() as rt:
        rt.register(spec, send)
        rt.secrets.add(Vault())
        done = await rt.call("mail.send", {})
        for report in (await rt.replay(done.run_id), await rt.replay(await rt.snapshot(done.run_id))):
            assert report.is_equal, report.to_json()["differences"]
        assert len(accesses(rt, done.run_id)) == 1, "a replay asks for none"
    with Reader.open(settings) as reader:
        assert reader.verify()["ok"] is True
        assert "secret.accessed" in json.dumps(reader.show(done.run_id)["events"])


async def test_who_used_a_secret_is_found_without_decoding_every_entry(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each access names what was called, in the order of the ledger."""

    async def send(context: LocalContext, parameters: Any) -> None:
        await context.secret("a")

    spec = create_read_capability("mail.send", secrets=("a",), parameters={"type": "object"})
    async with place.open() as rt:
        rt.register(spec, send)
        rt.secrets.add(Vault())
        for _ in range(3):
            await rt.call("sys.noop")
            await rt.call("mail.send")
    decoded: list[object] = []
    decode = _reader.decode_entry

    def counted(entry: Any) -> Any:  # as it is stored, and the leaf of it
        decoded.append(entry)
        return decode(entry)

    monkeypatch.setattr(_reader, "decode_entry", counted)
    found = await secret_admin.users(place.settings(), "a", {})
    assert [one.capability for one in found.accesses] == ["mail.send"] * 3
    assert len(decoded) == 3
