"""A process that delivers is killed wherever that can matter: nothing is lost, at worst a webhook comes twice under one id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assent.failpoints import VARIABLE
from tests.capabilities.notify.conftest import SECRET
from tests.support.crashing import KILLED
from tests.support.nursery import Ended, Nursery
from tests.support.own_places import own_places
from tests.support.web import Asked, Reply, Site, serving

_POLICY = """\
version: 1
rules:
  - id: everything
    when: {principal: "user:*"}
    decision: ALLOW
    without_approval: true
    reason: nobody is there to be asked while processes are killed
"""


_ASKED = """\
rules:
  - id: written
    when: {capability: io.fs.write_file}
    decision: REQUIRE_APPROVAL
    reason: a person looks at it
"""


@dataclass
class Mail:
    """A workspace whose webhooks go to a receiver that takes all of them."""

    root: Path
    env: dict[str, str]
    nursery: Nursery
    site: Site

    def assent(self, *words: str, kill: str | None = None) -> Ended:
        env = self.env if kill is None else {**self.env, VARIABLE: kill}
        return self.nursery.run(*words, "--json", cwd=self.root, env=env)

    def ask(self) -> None:
        """Let a person be asked before a file is written, and have the endpoint told of it."""
        (self.root / "policy.yaml").write_text(_POLICY.replace("rules:\n", _ASKED))
        toml = self.root / "assent.toml"
        toml.write_text(toml.read_text().replace("[notify]\n", '[notify]\napprovals = ["ops"]\n'))

    def pause(self, *, on: bool) -> None:
        """Let the endpoint be sent nothing, or everything."""
        toml = self.root / "assent.toml"
        plain = toml.read_text().replace("paused = true\n", "")
        toml.write_text(plain.replace("timeout =", "paused = true\ntimeout =") if on else plain)

    def pending(self) -> list[str]:
        return [one["id"] for one in self.assent("deliveries", "--status", "pending").json()]

    def deliver(self) -> list[dict[str, Any]]:
        """Go on, and have everything delivered, however slow the machine is; all deliveries."""
        self.assent("resume")
        for _ in range(30):
            left = self.pending()
            if not left:
                break
            for one in left:
                self.assent("deliveries", "retry", one)
        found: list[dict[str, Any]] = self.assent("deliveries").json()
        return found

    def ends(self) -> list[dict[str, Any]]:
        """Every end of a delivery that is on the record."""
        out = self.assent("audit", "log", "--kind", "delivery.ended").out
        return [json.loads(line)["event"] for line in out.splitlines()]

    def received(self) -> list[tuple[str, str]]:
        return [(asked.headers["webhook-id"], json.loads(asked.body)["type"]) for asked in self.site.asked]


@pytest.fixture
def mail(tmp_path: Path, clean_env: dict[str, str], nursery: Nursery) -> Iterator[Mail]:
    root = tmp_path / "ws"
    root.mkdir()

    def take(asked: Asked) -> Reply:
        return Reply(200)

    with own_places(tmp_path, clean_env) as env, serving(take) as site:
        (root / "policy.yaml").write_text(_POLICY)
        (root / "policy.yaml").chmod(0o600)
        (root / "assent.toml").write_text(
            f'policy = "policy.yaml"\n[notify]\ngrace = "5s"\n'
            f'[notify.endpoints.ops]\nurl = "{site.url()}"\nsecret = "secret://hooks/ops"\n'
            'timeout = "60s"\n[secrets."hooks/ops"]\ncapabilities = ["notify.webhook"]\n'
            '[net.rules.hooks]\nhosts = ["127.0.0.1"]\n'
            f'methods = ["POST"]\nschemes = ["http"]\nports = [{site.port}]\nprivate = ["127.0.0.1/32"]\n'
        )
        yield Mail(root, {**env, "ASSENT_SECRET_HOOKS_OPS": SECRET}, nursery, site)


WRITE = ("call", "io.fs.write_file", "path=a.txt", "content=x")
CALL = ("call", "notify.webhook", "endpoint=ops", "type=invoice.paid")


@pytest.mark.parametrize(
    ("point", "sent", "attempts"),
    [("delivery.before", 1, 2), ("delivery.after", 2, 2), ("delivery.ended", 1, 1)],
)
def test_a_delivery_killed_on_its_way_arrives_and_ends_once(
    mail: Mail, point: str, sent: int, attempts: int
) -> None:
    mail.pause(on=True)
    assert mail.assent(*CALL).code == 0
    mail.pause(on=False)
    (waiting,) = mail.pending()
    # It waits for the attempt, so that the point is reached however busy the machine is.
    assert mail.assent("deliveries", "retry", waiting, kill=f"{point}:1").code == KILLED
    if point != "delivery.ended":
        assert mail.assent("deliveries", "retry", waiting).code == 0
    (found,) = mail.deliver()
    assert (found["id"], found["status"], found["attempts"]) == (waiting, "delivered", attempts)
    assert mail.received() == [(waiting, "invoice.paid")] * sent
    assert [(one["delivery"], one["outcome"]) for one in mail.ends()] == [(waiting, "delivered")]
    assert mail.assent("audit", "verify").code == 0


@pytest.mark.parametrize("point", ["effect.before:1", "effect.after:1", "commit.after:2"])
def test_a_call_killed_around_its_effect_tells_under_one_id(mail: Mail, point: str) -> None:
    """Beside it the outbox may have begun to deliver, which is then done again."""
    assert mail.assent(*CALL, kill=point).code == KILLED
    (found,) = mail.deliver()
    assert found["status"] == "delivered"
    assert set(mail.received()) == {(found["id"], "invoice.paid")}
    assert len(mail.ends()) == 1
    assert [run["status"] for run in mail.assent("runs").json()] == ["succeeded"]


@pytest.mark.parametrize("point", ["compensate.before", "compensate.after"])
def test_an_undo_killed_anywhere_offsets_once(mail: Mail, point: str) -> None:
    mail.assent(*CALL)
    (first,) = mail.deliver()
    assert first["status"] == "delivered"
    assert mail.assent("undo", first["run_id"], kill=f"{point}:1").code == KILLED
    offset = next(one for one in mail.deliver() if one["undoes"])
    assert (offset["status"], offset["undoes"]) == ("delivered", first["id"])
    assert [*dict.fromkeys(mail.received())] == [
        (first["id"], "invoice.paid"),
        (offset["id"], "invoice.paid.undone"),
    ]
    assert len(mail.ends()) == 2
    assert [run["status"] for run in mail.assent("runs").json()] == ["undone"]
    assert mail.assent("audit", "verify").code == 0


@pytest.mark.parametrize(
    "point",
    [
        "commit.before:2",
        "ledger.before:4",
        "ledger.after:4",
        "commit.after:2",
        "delivery.before:1",
        "delivery.after:1",
    ],
)
def test_a_question_killed_anywhere_is_told_under_one_id(mail: Mail, point: str) -> None:
    """There is no question without its notice, whoever owns the state next, and no notice without its question."""
    mail.ask()
    mail.assent(*WRITE, kill=point)
    waiting = mail.assent("approvals").json()
    assert len(waiting) == (point not in ("commit.before:2", "ledger.before:4"))
    for _ in range(2):
        mail.deliver()
    assert {name for name, _ in mail.received()} == {one["id"] for one in mail.assent("deliveries").json()}
    told = {json.loads(asked.body)["data"]["approval_id"] for asked in mail.site.asked}
    assert told == {one["approval_id"] for one in waiting}


@pytest.mark.parametrize("point", ["ledger.after:1", "commit.after:1", "delivery.ended:1"])
def test_a_decision_killed_anywhere_withdraws_what_tells_of_the_question(mail: Mail, point: str) -> None:
    mail.ask()
    mail.pause(on=True)
    (run, step) = (mail.assent(*WRITE).json()["run_id"], "call")
    assert mail.assent("reject", run, step, kill=point).code == KILLED
    mail.pause(on=False)
    (found,) = mail.deliver()
    assert (found["status"], found["attempts"]) == ("cancelled", 0)
    assert [one["outcome"] for one in mail.ends()] == ["cancelled"]
    assert mail.received() == []


def test_a_withdrawal_killed_half_way_is_told_once(mail: Mail) -> None:
    mail.pause(on=True)
    queued = mail.assent(*CALL).json()
    assert mail.assent("undo", queued["run_id"], kill="delivery.ended:1").code == KILLED
    mail.assent("resume")
    (found,) = mail.assent("deliveries").json()
    assert (found["status"], found["attempts"]) == ("cancelled", 0)
    assert [one["outcome"] for one in mail.ends()] == ["cancelled"]
    assert [run["status"] for run in mail.assent("runs").json()] == ["undone"]
    assert mail.received() == []
