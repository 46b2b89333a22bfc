"""A webhook through the whole runtime: called, delivered, on the record, withdrawn or offset, retried, cancelled, erased."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime
from assent.capabilities.notify import DeliveryFiles
from assent.capabilities.notify._attempt import signed_headers
from assent.cli import main
from assent.errors import InputError, Json
from assent.invocation import LocalContext
from assent.journal import EventFilter, leaves_at_once
from assent.runtime.service import requests, secret_admin
from assent.runtime.service._audit_log import entries
from assent.runtime.service._reading import Reader
from assent.runtime.service.service import Service
from assent.runtime.settings.effective import Settings
from assent.spec.events.kinds import DeliveryEnded
from tests.capabilities.notify.conftest import SECRET, until
from tests.support.own_places import own_places
from tests.support.web import Asked, Reply, Site, serving

POLICY = """\
version: 1
rules:
  - id: everything
    when: {principal: "user:*"}
    decision: ALLOW
    without_approval: true
    reason: the deliveries are tried here
"""


@dataclass
class Post:
    """A workspace with one endpoint, and its receiver, which answers `status`."""

    root: Path
    env: dict[str, str]
    site: Site = field(init=False)
    status: int = 200

    def answer(self, asked: Asked) -> Reply:
        return Reply(self.status)

    @property
    def settings(self) -> Settings:
        return Settings.resolve(environ=self.env, cwd=self.root)

    def configure(
        self, *, grace: str = "5s", endpoint: str = "", granted: str = "notify.webhook", kept: str = ""
    ) -> None:
        (self.root / "policy.yaml").write_text(POLICY)
        (self.root / "policy.yaml").chmod(0o600)
        (self.root / "assent.toml").write_text(
            f'policy = "policy.yaml"\n[notify]\ngrace = "{grace}"\n'
            f'[notify.endpoints.ops]\nurl = "{self.site.url("/in?token=8a1f")}"\nsecret = "secret://hooks/ops"\n'
            f'{endpoint}\n[secrets."hooks/ops"]\n{kept}\ncapabilities = ["{granted}"]\n[net.rules.hooks]\n'
            f'hosts = ["127.0.0.1"]\nmethods = ["POST"]\nschemes = ["http"]\nports = [{self.site.port}]\n'
            'private = ["127.0.0.1/32"]\n'
        )

    def types(self) -> list[str]:
        return [json.loads(asked.body)["type"] for asked in self.site.asked]


@pytest.fixture
def post(tmp_path: Path, clean_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    root = tmp_path / "ws"
    root.mkdir()
    with own_places(tmp_path, clean_env) as env:
        made = Post(root, {**env, "ASSENT_SECRET_HOOKS_OPS": SECRET})
        for name, value in made.env.items():
            monkeypatch.setenv(name, value)
        with serving(made.answer) as made.site:
            made.configure()
            yield made


async def told(rt: Runtime, **data: Json) -> dict[str, Any]:
    """A webhook that was queued: the call's output."""
    result = await rt.call("notify.webhook", {"endpoint": "ops", "type": "invoice.paid", "data": {**data}})
    assert result.status == "succeeded", result
    output = result.to_json()["outputs"]
    assert isinstance(output, dict)
    return {**output, "run": result.run_id}


def one(rt: Runtime, delivery: str) -> dict[str, Any]:
    (found,) = [found for found in rt.deliveries.list() if found["id"] == delivery]
    return found


def has(rt: Runtime, delivery: str, status: str) -> Callable[[], bool]:
    return lambda: one(rt, delivery)["status"] == status


@pytest.mark.parametrize(
    "asked", [{"limit": "x"}, {"limit": 0}, {"limit": -1}, {"limit": 1.5}, {"status": "gone"}, {"status": 5}]
)
def test_a_list_of_deliveries_refuses_what_no_list_is_of(tmp_path: Path, asked: dict[str, Any]) -> None:
    """Also where nothing was ever queued."""
    with pytest.raises(InputError, match=next(iter(asked))) as caught:
        Runtime.open(tmp_path).deliveries.list(**asked)
    assert caught.value.code == "INVALID_INPUT"


async def test_a_call_is_delivered_and_its_end_is_on_the_record(post: Post) -> None:
    async with Runtime(post.settings) as rt:
        queued = await told(rt, id=7)
        await until(has(rt, queued["id"], "delivered"))
        # The file is moved once the ledger has it, and read wherever it stands.
        await until(
            lambda: any(
                isinstance(leaf.event, DeliveryEnded) for leaf in leaves_at_once(rt._core.ready.journal)
            )
        )
        assert rt.deliveries.list(status="pending") == []
        assert len(rt.deliveries.list(limit=1)) == 1
    (asked,) = post.site.asked
    assert json.loads(asked.body) == {
        "type": "invoice.paid",
        "timestamp": queued["queued_at"],
        "data": {"id": 7},
    }
    with Reader.open(post.settings) as reader:
        log = reader.log(EventFilter(run=queued["run"]))
        assert log is not None
        lines = [*log.more(entries())]
        assert [line["kind"] for line in lines][-2:] == ["delivery.attempted", "delivery.ended"]
        assert {line["capability"] for line in lines[-2:]} == {"notify.webhook"}
        assert lines[-1]["principal"] == lines[0]["principal"]
        assert "token" not in json.dumps(lines)
        assert reader.verify()["ok"]
        (found,) = reader.deliveries()
        assert (found["status"], found["http_status"], found["run_id"]) == ("delivered", 200, queued["run"])


async def test_who_uses_the_secret_is_told_of_each_attempt(post: Post) -> None:
    async with Runtime(post.settings) as rt:
        queued = await told(rt)
        await until(has(rt, queued["id"], "delivered"))
    (access,) = (await secret_admin.users(post.settings, "hooks/ops", {})).accesses
    assert (access.capability, access.outcome, access.is_current) == (
        "notify.webhook",
        "fetched",
        True,
    )


async def test_while_a_secret_is_replaced_receivers_with_either_value_verify(post: Post) -> None:
    """The overlap begins with `rotate` and ends with `--confirm`, also for an owner that lives on."""
    new = "whsec_" + base64.b64encode(b"n" * 32).decode()
    post.configure(kept='from = "file:../hook-key"')
    path = post.root.parent / "hook-key"
    path.write_text(SECRET)
    path.chmod(0o600)

    def signed_by(asked: Asked) -> list[bool]:
        at_s, name = int(asked.headers["webhook-timestamp"]), asked.headers["webhook-id"]
        given = asked.headers["webhook-signature"].split(" ")
        wanted = (signed_headers(name, at_s, asked.body, key)["webhook-signature"] for key in (SECRET, new))
        return [one in given for one in wanted]

    found: list[list[bool]] = []
    async with Runtime(post.settings) as rt:

        async def deliver() -> None:
            queued = await told(rt)
            await until(has(rt, queued["id"], "delivered"))
            found.append(signed_by(post.site.asked[-1]))

        await deliver()
        tell = partial(secret_admin.tell_owner, post.settings)
        # As a command would tell the owner.
        service, forget = Service(post.settings, rt._core), requests.ForgetSecret(name="hooks/ops")
        await asyncio.to_thread(asyncio.run, secret_admin.rotate(post.settings, "hooks/ops", new, tell))
        await service.perform(forget)
        await deliver()
        confirmed = await asyncio.to_thread(secret_admin.confirm, post.settings, "hooks/ops", tell)
        assert confirmed.state == "confirmed"
        await service.perform(forget)
        await deliver()
        # Both are known, and neither is shown.
        assert {rt.secrets.redactor.name_in(value) for value in (SECRET, new)} == {"hooks/ops"}
    assert found == [[True, False], [True, True], [False, True]]


async def test_undo_withdraws_what_has_not_left(post: Post) -> None:
    post.configure(endpoint="paused = true")
    async with Runtime(post.settings) as rt:
        queued = await told(rt)
        undone = await rt.undo(queued["run"])
        assert undone.status == "undone"
        assert [(found["status"], found["attempts"]) for found in rt.deliveries.list()] == [("cancelled", 0)]
    assert post.site.asked == []


async def test_undo_offsets_what_has_arrived(post: Post) -> None:
    async with Runtime(post.settings) as rt:
        queued = await told(rt)
        await until(has(rt, queued["id"], "delivered"))
        assert (await rt.undo(queued["run"])).status == "undone"
        offset = next(found for found in rt.deliveries.list() if found["undoes"] == queued["id"])
        await until(has(rt, str(offset["id"]), "delivered"))
    assert post.types() == ["invoice.paid", "invoice.paid.undone"]
    data = json.loads(post.site.asked[1].body)["data"]
    assert data == {"id": queued["id"], "type": "invoice.paid"}


async def test_undo_of_what_is_not_kept_any_more_offsets_it(post: Post) -> None:
    async with Runtime(post.settings) as rt:
        queued = await told(rt)
        await until((post.root / ".assent/outbox/ended").is_dir)
        await until((post.root / f".assent/outbox/ended/{queued['id']}.json").exists)
        DeliveryFiles(post.root / ".assent" / "outbox").drop(queued["id"])
        assert (await rt.undo(queued["run"])).status == "undone"
        (offset,) = rt.deliveries.list()
        assert offset["type"] == "invoice.paid.undone"


async def test_what_may_have_arrived_is_attempted_no_more_once_it_is_undone(post: Post) -> None:
    post.status = 503
    async with Runtime(post.settings) as rt:
        queued = await told(rt)
        await until(lambda: one(rt, queued["id"])["http_status"] == 503)
        assert (await rt.undo(queued["run"])).status == "undone"
        first = one(rt, queued["id"])
        assert first["status"] == "cancelled"
        post.status = 200
        offset = next(found for found in rt.deliveries.list() if found["undoes"] == queued["id"])
        await rt.deliveries.retry(str(offset["id"]))
        await until(has(rt, str(offset["id"]), "delivered"))
    assert post.types()[-1] == "invoice.paid.undone"
    assert post.types().count("invoice.paid") == first["attempts"]


async def test_people_retry_and_cancel_through_the_owner(post: Post) -> None:
    post.status = 500
    async with Runtime(post.settings) as rt:
        queued = await told(rt)
        await until(lambda: one(rt, queued["id"])["http_status"] == 500)
        service, ada = Service(post.settings, rt._core), requests.Asker(principal="user:ada", asserted=True)
        again = await service.perform(requests.RetryDelivery(delivery=queued["id"]), ada)
        assert again.status == "pending"
        assert again.attempts == len(post.site.asked) >= 2
        ended = await service.perform(requests.CancelDelivery(delivery=queued["id"]), ada)
        assert (ended.status, ended.by) == ("cancelled", "user:ada")
        assert (await rt.deliveries.cancel(queued["id"]))["by"] == "user:ada", "once is enough"
        with pytest.raises(InputError) as caught:
            await rt.deliveries.retry(queued["id"])
        assert caught.value.code == "DELIVERY_ENDED"
        for change in (rt.deliveries.retry, rt.deliveries.cancel):
            with pytest.raises(InputError) as caught:
                await change("msg_none")
            assert caught.value.code == "DELIVERY_UNKNOWN"
        post.status = 200
        other = await told(rt)
        await until(has(rt, other["id"], "delivered"))
        with pytest.raises(InputError) as caught:
            await rt.deliveries.cancel(other["id"])
        assert caught.value.code == "DELIVERY_ENDED"
    closed = Runtime(post.settings)
    with pytest.raises(InputError) as caught:
        await closed.deliveries.retry(queued["id"])
    assert caught.value.code == "RUNTIME_CLOSED"
    await closed.close()


async def test_an_erased_run_leaves_no_body(post: Post) -> None:
    post.configure(endpoint="paused = true")
    async with Runtime(post.settings) as rt:
        queued = await told(rt, name="Ada Lovelace")
        assert (await rt.erase([queued["run"]])).status == "succeeded"
        assert one(rt, queued["id"])["code"] == "PAYLOAD_ERASED"
        fresh = await rt.call("sys.noop")
        await rt.erase([fresh.run_id])
    held = [path.read_bytes() for path in (post.root / ".assent" / "outbox").rglob("*") if path.is_file()]
    assert held
    assert not any(b"Lovelace" in data for data in held)


async def test_the_next_owner_delivers_what_the_last_one_left(post: Post) -> None:
    post.configure(endpoint="paused = true")
    async with Runtime(post.settings) as rt:
        queued = await told(rt)
    post.configure()
    async with Runtime(post.settings) as rt:
        await until(has(rt, queued["id"], "delivered"))
    assert len(post.site.asked) == 1


async def test_a_secret_that_was_handed_out_is_told_nobody(post: Post) -> None:
    """Inputs that hold one are refused; what turns out to be one later is masked, in the outbox and at the receiver."""
    value = "correct horse battery"
    async with Runtime(post.settings) as rt:

        @rt.hooks.before
        def learn(context: LocalContext) -> None:
            rt.secrets.redactor.add("other", value)

        queued = await told(rt, note=f"it is {value}, twice", list=[value])
        await until(has(rt, queued["id"], "delivered"))
        with pytest.raises(InputError) as caught:
            await told(rt, note=value)
        assert caught.value.code == "SECRET_EXPOSED"
    (asked,) = post.site.asked
    assert json.loads(asked.body)["data"] == {"note": "it is ***, twice", "list": ["***"]}


async def test_a_plan_shows_where_it_would_go_and_binds_the_address(post: Post) -> None:
    spec: dict[str, Json] = {
        "name": "w",
        "version": "1.0.0",
        "steps": [
            {
                "name": "tell",
                "capability": "notify.webhook",
                "inputs": {"endpoint": "ops", "type": "a.b", "data": {"id": 7}},
            }
        ],
    }
    digests = []
    for endpoint in ("", "paused = true"):
        post.configure(endpoint=endpoint)
        rt = Runtime(post.settings)
        rt._core.prepare_to_plan()
        plan = await rt.plan(spec)
        await rt.close()
        (step,) = plan.steps
        assert step.preview is not None
        shown = step.preview.diff
        assert f"POST {post.site.url('/in')}\n" in shown
        assert "8a1f" not in shown
        assert ("paused" in shown) == bool(endpoint)
        assert '"id": 7' in shown
        digests.append(step.preview.base)
    assert digests[0] == digests[1] is not None
    assert not (post.root / ".assent").exists()


async def test_doctor_shows_endpoints_and_what_failed(
    post: Post, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(post.root)

    def checks() -> dict[str, tuple[str, str]]:
        main(["doctor", "--json"])
        found = json.loads(capsys.readouterr().out)["checks"]
        return {check["name"]: (check["status"], check["seen"]) for check in found}

    assert (await asyncio.to_thread(checks))["endpoint: ops"][0] == "ok"
    post.configure(endpoint="paused = true")
    assert "paused" in (await asyncio.to_thread(checks))["endpoint: ops"][1]
    post.configure(granted="other.*")
    assert "not granted" in (await asyncio.to_thread(checks))["endpoint: ops"][1]
    post.configure(granted='notify.webhook"]\nhosts = ["hooks.example.org')
    assert "other hosts" in (await asyncio.to_thread(checks))["endpoint: ops"][1]
    post.configure()
    assert "deliveries" not in await asyncio.to_thread(checks)
    post.status = 410
    async with Runtime(post.settings) as rt:
        queued = await told(rt)
        await until(has(rt, queued["id"], "failed"))
    found = await asyncio.to_thread(checks)
    assert found["deliveries"] == ("warning", "0 pending, 1 failed")
    assert "8a1f" not in str(found)


def test_a_run_that_tells_nobody_imports_nothing_of_it(post: Post) -> None:
    program = (
        "import asyncio, sys\nfrom assent import Runtime\n"
        "async def go():\n    async with Runtime.open() as rt:\n        await rt.call('sys.noop')\n"
        "asyncio.run(go())\nprint([name for name in sys.modules if 'notify._o' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=post.root,
        env=post.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
