"""What is wanted no more is withdrawn, tried again or erased, whatever is under way."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.notify import Endpoint, Outbox
from assent.capabilities.notify._delivery import ENDED_AGE_MS_MAX, ENDED_MAX, DeliveryFiles
from assent.capabilities.notify._outbox import PENDING_MAX
from assent.errors import AssentError, WorldError
from assent.invocation import NoEffectError
from assent.spec.events.kinds import AnyEvent
from tests.capabilities.notify.conftest import ADA, WAIT_S, Office, answering, ended, ops, state_of, until
from tests.support.web import Asked, Reply, serving


async def test_what_was_not_sent_is_withdrawn_without_a_trace(office: Office) -> None:
    with serving(answering(200)) as site:
        async with office.open(ops(site, is_paused=True)) as outbox:
            await outbox.put(office.delivery())
            found = await outbox.withdraw(office.delivery().id, asker=ADA)
            assert found is not None
            assert (found.status, found.may_have_arrived, found.by) == ("cancelled", False, "user:ada")
            again = await outbox.withdraw(found.id)
            assert again is not None
            assert again.by == "user:ada"
            assert await outbox.withdraw("msg_" + "0" * 32) is None
        assert site.asked == []
    assert state_of(office).body is None
    assert office.ledger.ended() == [(office.delivery().id, "cancelled", 0, None, None)]


async def test_an_attempt_under_way_is_broken_off_by_a_withdrawal(office: Office) -> None:
    over = threading.Event()

    def hang(asked: Asked) -> Reply:
        over.wait()
        return Reply(200)

    with serving(hang) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            await until(lambda: site.asked)
            found = await outbox.withdraw(office.delivery().id)
        over.set()
    assert found is not None
    assert (found.status, found.may_have_arrived, found.attempts) == ("cancelled", True, 1)


async def test_a_withdrawal_that_is_given_up_is_whole(office: Office) -> None:
    """Who asked goes away in the middle: the delivery has ended or it has not, in its file, the ledger and the outbox."""
    async with office.open(Endpoint("ops", "http://127.0.0.1:9/", "hooks/ops", is_paused=True)) as outbox:
        await outbox.put(office.delivery())
        append, may_go_on = office.ledger.append, asyncio.Event()

        async def slow(*events: AnyEvent) -> None:
            await may_go_on.wait()
            await append(*events)

        office.ledger.append = slow  # type: ignore[method-assign]  # so that it is given up in the middle
        asking = asyncio.ensure_future(outbox.withdraw(office.delivery().id))
        await until(lambda: state_of(office).status == "cancelled")
        asking.cancel()
        await asyncio.sleep(0)
        assert not asking.done(), "half of it would be no state"
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert len(office.ledger.ended()) == 1
        assert (office.home / "ended" / f"{office.delivery().id}.json").exists()


async def test_one_that_failed_is_tried_again_on_request(office: Office) -> None:
    with serving(answering(410, 500, 200)) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            failed = await ended(office)
            again = await outbox.retry(failed, ADA)
            assert (again.status, again.attempts, again.http_status) == ("pending", 1, 500)
            assert not (office.home / "ended" / f"{failed.id}.json").exists()
            final = await outbox.retry(again, ADA)
            assert (final.status, final.attempts) == ("delivered", 2)
    assert office.ledger.kinds().count("delivery.retried") == 2
    assert [one[1] for one in office.ledger.ended()] == ["failed", "delivered"]
    assert len({asked.headers["webhook-id"] for asked in site.asked}) == 1


async def test_asked_for_while_it_is_sent_it_is_not_sent_twice(office: Office) -> None:
    over = threading.Event()

    def hang(asked: Asked) -> Reply:
        over.wait()
        return Reply(200)

    with serving(hang) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            await until(lambda: site.asked)
            asking = asyncio.ensure_future(outbox.retry(state_of(office), ADA))
            await until(lambda: "delivery.retried" in office.ledger.kinds())
            over.set()
            assert (await asking).status == "delivered"
    assert len(site.asked) == 1


async def test_erasing_a_run_leaves_no_body_of_it(office: Office) -> None:
    async with office.open() as outbox:
        await outbox.forget("run_1")
    with serving(answering(410)) as site:
        waiting = Endpoint("waiting", site.url(), "hooks/ops", is_paused=True)
        async with office.open(ops(site), waiting) as outbox:
            await outbox.put(office.delivery(1))
            await outbox.put(office.delivery(2, endpoint="waiting"))
            await outbox.put(office.delivery(3, endpoint="waiting", run="run_2"))
            assert (await ended(office, 1)).body is not None
            await outbox.forget("run_1")
            await outbox.forget("run_1")
    assert [(one.status, one.code, one.body is None) for one in DeliveryFiles(office.home).all()] == [
        ("failed", "HTTP_STATUS", True),
        ("cancelled", "PAYLOAD_ERASED", True),
        ("pending", None, False),
    ]


async def test_a_full_outbox_takes_no_more(office: Office) -> None:
    async with office.open(Endpoint("ops", "http://127.0.0.1:9/", "hooks/ops", is_paused=True)) as outbox:
        outbox._pending = {str(number): office.delivery() for number in range(PENDING_MAX)}
        with pytest.raises(NoEffectError) as raised:
            await outbox.put(office.delivery())
    assert raised.value.code == "OUTBOX_FULL"
    assert DeliveryFiles(office.home).all() == []


def ended_at(office: Office, number: int, at_ms: int, **fields: Any) -> Path:
    files = DeliveryFiles(office.home)
    one = office.delivery(number, status="delivered", ended_ms=at_ms, **fields)
    files.write(one)
    files.put_aside(one.id)
    path = office.home / "ended" / f"{one.id}.json"
    os.utime(path, ns=(at_ms * 1_000_000,) * 2)
    return path


async def test_what_ended_is_kept_for_a_while_and_for_as_long_as_its_run_may_ask(office: Office) -> None:
    now_ms = office.clock.at_ms
    gone = ended_at(office, 101, now_ms - ENDED_AGE_MS_MAX)
    asked = ended_at(office, 102, now_ms - ENDED_AGE_MS_MAX, run="run_2")
    kept = ended_at(office, 103, now_ms - ENDED_AGE_MS_MAX + 1)
    office.ledger.unfinished = {"run_2"}
    with serving(answering(200)) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            await until(lambda: not gone.exists())
    assert asked.exists()
    assert kept.exists()


def test_the_oldest_of_too_many_go(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.capabilities.notify._delivery.ENDED_MAX", 3)
    assert ENDED_MAX == 1000
    for number in range(5):
        ended_at(office, number, office.clock.at_ms - 1000 + number)
    old = DeliveryFiles(office.home).old(office.clock.at_ms)
    assert [one.id for one in old] == [office.delivery(number).id for number in range(2)]


def test_a_disk_that_fails_is_told_of(office: Office) -> None:
    office.home.parent.rmdir()
    office.home.parent.write_text("no folder")
    files = DeliveryFiles(office.home)
    with pytest.raises(WorldError) as raised:
        files.write(office.delivery())
    assert raised.value.code == "STORAGE_FAILED"
    with pytest.raises(WorldError) as raised:
        files.put_aside("msg_1")
    assert raised.value.code == "STORAGE_FAILED"
    with pytest.raises(WorldError) as raised:
        files.all()
    assert raised.value.code == "STORAGE_FAILED"
    assert files.old(0) == []


def test_a_full_disk_is_told_of(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("assent.capabilities.fs.world._syscalls.flush", full)
    with pytest.raises(WorldError) as raised:
        DeliveryFiles(office.home).write(office.delivery())
    assert raised.value.code == "DISK_FULL"


async def test_an_unknown_endpoint_is_refused_with_the_known_ones(office: Office) -> None:
    async with office.open(Endpoint("ops", "http://127.0.0.1:9/", "hooks/ops")) as outbox:
        assert outbox.endpoint("ops").shown == "http://127.0.0.1:9/"
        with pytest.raises(NoEffectError) as raised:
            outbox.endpoint("opps")
        assert "ops" in str(raised.value.hint)
    async with office.open() as outbox:
        with pytest.raises(AssentError, match="no endpoint"):
            outbox.endpoint("ops")


def test_an_outbox_costs_nothing_before_it_is_opened(tmp_path: Path, office: Office) -> None:
    Outbox(tmp_path / "none", {}, clock=office.clock, jitter=lambda: 0.0, grace_ms=0)
    assert not (tmp_path / "none").exists()
    assert WAIT_S >= 30
