"""Questions to people are told to the endpoints that `[notify] approvals` names, as long as they are open, and once each."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from assent import Runtime
from assent.capabilities.notify import Delivery, Outbox
from assent.capabilities.notify._attempt import signed_headers
from assent.cli import main
from assent.errors import InputError, Json
from assent.invocation import NoEffectError
from assent.runtime.service._reading import Reader
from assent.runtime.service.requests import asker_of
from assent.runtime.settings.effective import Settings
from assent.spec.states import RunState
from tests.capabilities.notify.conftest import SECRET, until
from tests.runtime.runs.test_deliveries import Post

pytest_plugins = ["tests.runtime.runs.test_deliveries"]

ASKING = """\
version: 1
rules:
  - id: written
    when: {capability: io.fs.write_file}
    decision: REQUIRE_APPROVAL
    approvers: {kinds: [user], expires: EXPIRES}
    reason: a person looks at it
  - id: undone
    when: {capability: assent.undo}
    decision: REQUIRE_APPROVAL
    reason: a person looks at it
  - id: everything
    when: {principal: "user:*"}
    decision: ALLOW
    without_approval: true
    reason: the rest is free
"""
WRITE = {"path": "a.txt", "content": "hello"}
PAUSED = "paused = true"


def asking(post: Post, *, endpoint: str = "", notify: bool = True, expires: str = "1h") -> Settings:
    post.configure(endpoint=endpoint)
    (post.root / "policy.yaml").write_text(ASKING.replace("EXPIRES", expires))
    toml = post.root / "assent.toml"
    if notify:
        toml.write_text(toml.read_text().replace("[notify]\n", '[notify]\napprovals = ["ops"]\n'))
    return post.settings


def told(post: Post) -> list[dict[str, Any]]:
    return [json.loads(asked.body)["data"] for asked in post.site.asked]


def states(rt: Runtime) -> list[str]:
    return [str(one["status"]) for one in rt.deliveries.list()]


async def of_a_call(rt: Runtime) -> str:
    return (await rt.call("io.fs.write_file", WRITE)).run_id


async def of_an_undo(rt: Runtime) -> str:
    run = (await rt.call("io.fs.copy", {"source": "policy.yaml", "destination": "copied"})).run_id
    assert (await rt.undo(run)).status == RunState.WAITING
    return run


async def of_a_session(rt: Runtime) -> str:
    session = await rt.session()
    await session.call("io.fs.write_file", WRITE)
    return session.run_id


Asks: TypeAlias = Callable[[Runtime], Awaitable[str]]


@pytest.mark.parametrize("ask", [of_a_call, of_an_undo, of_a_session])
async def test_each_question_is_told_once_with_what_it_is_about(post: Post, ask: Asks) -> None:
    async with Runtime(asking(post)) as rt:
        run = await ask(rt)
        await until(lambda: states(rt) == ["delivered"])
    (asked,) = post.site.asked
    name, at_s = asked.headers["webhook-id"], int(asked.headers["webhook-timestamp"])
    assert (
        asked.headers["webhook-signature"]
        == (signed_headers(name, at_s, asked.body, SECRET)["webhook-signature"])
    )
    with Reader.open(post.settings) as reader:
        (waiting,) = reader.approvals(None, asker_of(post.settings))
    (said,) = told(post)
    assert json.loads(asked.body)["type"] == "approval_required"
    assert said == {key: waiting[key] for key in said if key in waiting} | {
        "workflow": None,
        "decide": {word: ["assent", word, run, waiting["step"]] for word in ("approve", "reject")},
    }
    assert {"approval_id", "run_id", "step", "capability", "inputs", "risk_level", "digest"} <= {*said}
    assert waiting["notified"] == ["ops"]


async def test_what_names_a_secret_is_masked_and_what_is_too_long_left_out(post: Post) -> None:
    settings = asking(post)
    (post.root / "policy.yaml").write_text(
        ASKING.replace("io.fs.write_file", "notify.webhook").replace("EXPIRES", "1h")
    )
    async with Runtime(settings) as rt:
        said: list[dict[str, Json]] = [{"api_key": "sk-1", "note": "x"}, {"note": "x" * 300_000}]
        for data in said:
            await rt.call("notify.webhook", {"endpoint": "ops", "type": "a.b", "data": data})
        await until(lambda: states(rt) == ["delivered", "delivered"])
    assert {json.dumps(one["inputs"] and one["inputs"]["data"]) for one in told(post)} == {
        '{"api_key": "***", "note": "x"}',
        "null",
    }


async def decided(rt: Runtime, run: str, how: str) -> None:
    if how == "expired":
        await until(lambda: states(rt) == ["cancelled"])
    elif how == "erased":
        await rt.cancel(run)
        await rt.erase([run])
    else:
        await getattr(rt, how)(run)


@pytest.mark.parametrize("how", ["approve", "reject", "cancel", "expired", "erased"])
async def test_a_question_that_is_settled_is_told_no_more(post: Post, how: str) -> None:
    async with Runtime(asking(post, endpoint=PAUSED, expires="300ms" if how == "expired" else "1h")) as rt:
        run = await of_a_call(rt)
        if how != "expired":
            assert states(rt) == ["pending"]
        await decided(rt, run, how)
        assert states(rt) == ["cancelled"]
    assert post.site.asked == []


async def test_one_that_expires_while_nobody_lives_is_not_told(post: Post) -> None:
    async with Runtime(asking(post, endpoint=PAUSED, expires="1ms")) as rt:
        await rt.call("io.fs.write_file", WRITE)
    toml = post.root / "assent.toml"
    toml.write_text(toml.read_text().replace(PAUSED, ""))
    async with Runtime(post.settings) as rt:
        await until(lambda: "pending" not in states(rt))
    assert post.site.asked == []


async def test_what_is_asked_again_is_told_under_another_id(post: Post) -> None:
    (post.root / "a.txt").write_text("before")
    async with Runtime(asking(post)) as rt:
        run = (await rt.call("io.fs.write_file", WRITE)).run_id
        await until(lambda: states(rt) == ["delivered"])
        (post.root / "a.txt").write_text("meanwhile")
        assert (await rt.approve(run)).status == RunState.WAITING
        await until(lambda: states(rt) == ["delivered", "delivered"])
    assert len({asked.headers["webhook-id"] for asked in post.site.asked}) == 2
    first, second = told(post)
    assert first["step"] == second["step"]
    assert first["approval_id"] != second["approval_id"]


async def test_what_could_not_be_queued_is_told_by_the_next_owner(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what was asked before anybody was to be told; what is much of it beside everything else."""

    async def full(outbox: Outbox, delivery: object) -> None:
        raise NoEffectError("OUTBOX_FULL", "10000 deliveries wait already")

    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "put", full)
        async with Runtime(asking(post)) as rt:
            assert (await rt.call("io.fs.write_file", WRITE)).status == RunState.WAITING
            assert states(rt) == []
    async with Runtime(asking(post, notify=False)) as rt:
        await rt.call("io.fs.write_file", {"path": "b.txt", "content": "x"})
    monkeypatch.setattr("assent.runtime.runs._notices.AT_ONCE_MAX", 1)
    for _ in range(2):
        async with Runtime(asking(post)) as rt:
            await until(lambda: states(rt) == ["delivered", "delivered"])
    assert sorted(one["inputs"]["path"] for one in told(post)) == ["a.txt", "b.txt"]


async def test_what_could_not_be_queued_is_told_by_the_same_owner_later(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    put = Outbox.put

    async def full_at_first(outbox: Outbox, delivery: Delivery) -> Delivery:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise NoEffectError("OUTBOX_FULL", "10000 deliveries wait already")
        return await put(outbox, delivery)

    monkeypatch.setattr(Outbox, "put", full_at_first)
    monkeypatch.setattr("assent.runtime.runs._notices.AGAIN_S", 0.01)
    async with Runtime(asking(post)) as rt:
        await of_a_call(rt)
        await until(lambda: states(rt) == ["delivered"])
    assert tries == 3


@pytest.mark.parametrize("notify", [True, False])
def test_a_run_waits_also_where_nobody_is_told_which_is_said(
    post: Post, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, notify: bool
) -> None:
    asking(post, notify=notify)
    monkeypatch.chdir(post.root)
    assert main(["call", "io.fs.write_file", "path=a.txt", "content=x"]) == 4
    assert ("nobody is told" in capsys.readouterr().err) is not notify
    main(["doctor", "--json"])
    checks = {one["name"]: one["status"] for one in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["approvals"] == ("ok" if notify else "warning")


@pytest.mark.parametrize(
    ("said", "why"), [('["opps"]', "[notify.endpoints.opps]"), ('"ops"', "must be a list of endpoints")]
)
def test_whoever_is_named_has_to_be_there(post: Post, said: str, why: str) -> None:
    asking(post)
    toml = post.root / "assent.toml"
    toml.write_text(toml.read_text().replace('approvals = ["ops"]', f"approvals = {said}"))
    with pytest.raises(InputError, match="approvals") as caught:
        _ = post.settings
    assert caught.value.code == "CONFIG_INVALID"
    assert why in caught.value.message
