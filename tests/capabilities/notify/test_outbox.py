"""What is queued is delivered, once where nothing dies, as often as the schedule says where it is not taken, and told of."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.net import Egress
from assent.capabilities.notify import Asker, Delivery, Endpoint, Outbox
from assent.capabilities.notify._delivery import ENDED_AGE_MS_MAX, ENDED_MAX, DeliveryFiles
from assent.capabilities.notify._outbox import PENDING_MAX
from assent.capabilities.notify._schedule import ATTEMPTS_MAX, DELAYS_MS
from assent.errors import AssentError, WorldError
from assent.invocation import NoEffectError
from assent.spec.events import AnyEvent, DeliveryAttempted
from tests.capabilities.net.conftest import opened
from tests.capabilities.notify.conftest import SECRET, WAIT_S, Office, until
from tests.capabilities.notify.test_signature import verifies
from tests.support.web import Asked, Reply, Site, serving

ADA = Asker("user:ada", asserted=True, os_uid=1000)


def answering(*statuses: int, headers: list[tuple[str, str]] | None = None) -> Any:
    """A receiver that gives these answers in turn, the last one for ever."""
    left = list(statuses)

    def answer(asked: Asked) -> Reply:
        return Reply(left.pop(0) if len(left) > 1 else left[0], headers or [])

    return answer


def ops(site: Site, **fields: Any) -> Endpoint:
    return Endpoint("ops", site.url("/in?token=8a1f"), "hooks/ops", **fields)


def state_of(office: Office, number: int = 1) -> Delivery:
    found = DeliveryFiles(office.home).find(f"msg_{number:032x}")
    assert found is not None
    return found


async def tried(office: Office, times: int, number: int = 1) -> Delivery:
    """The delivery after so many attempts, none of them under way."""
    await until(
        lambda: state_of(office, number).attempts == times and not state_of(office, number).is_under_way
    )
    return state_of(office, number)


async def ended(office: Office, number: int = 1) -> Delivery:
    await until((office.home / "ended" / f"msg_{number:032x}.json").exists)
    return state_of(office, number)


# -- sending -----------------------------------------------------------------------------------------------------------------


async def test_a_webhook_arrives_signed_and_its_end_is_told(office: Office) -> None:
    with serving(answering(204)) as site:
        async with office.open(ops(site)) as outbox:
            queued = office.delivery()
            assert await outbox.put(queued) == queued
            found = await ended(office)
    (asked,) = site.asked
    assert (asked.method, asked.path) == ("POST", "/in?token=8a1f")
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["webhook-id"] == queued.id
    assert asked.headers["webhook-timestamp"] == str(office.clock.at_ms // 1000)
    assert verifies(dict(asked.headers), asked.body, base64.b64decode(SECRET.removeprefix("whsec_")))
    assert json.loads(asked.body) == {"type": "invoice.paid", "data": {"number": 1}}
    assert (found.status, found.http_status, found.attempts, found.body) == ("delivered", 204, 1, None)
    assert office.ledger.ended() == [(queued.id, "delivered", 1, 204, None)]
    (first, _) = office.ledger.events
    assert isinstance(first, DeliveryAttempted)
    assert (first.secret, first.outcome, first.source) == ("hooks/ops", "fetched", "run_1")


async def test_what_stands_in_the_outbox_is_its_owners_alone(office: Office) -> None:
    async with office.open(Endpoint("ops", "http://127.0.0.1:9/", "hooks/ops", is_paused=True)) as outbox:
        await outbox.put(office.delivery())
    (path,) = office.home.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert office.home.stat().st_mode & 0o777 == 0o700
    assert "whsec" not in path.read_text()
    assert "8a1f" not in path.read_text()


async def test_queued_again_it_is_the_same(office: Office) -> None:
    """A call that is repeated after a crash sends no second webhook, also where the first has ended."""
    with serving(answering(200)) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            await ended(office)
            again = await outbox.put(office.delivery())
    assert again.status == "delivered"
    assert len(site.asked) == 1
    assert len(office.ledger.ended()) == 1


async def test_the_schedule_is_kept_and_then_it_has_failed(office: Office) -> None:
    with serving(answering(500)) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            for attempts in range(1, ATTEMPTS_MAX):
                found = await tried(office, attempts)
                assert len(site.asked) == attempts
                assert (found.http_status, found.code) == (500, "HTTP_STATUS")
                assert found.next_ms == office.clock.at_ms + DELAYS_MS[attempts - 1]
                office.clock.at_ms = found.next_ms - 1
                outbox.wake()
                await asyncio.sleep(0)
                assert len(site.asked) == attempts, "it is tried before its time"
                office.clock.at_ms = found.next_ms
                outbox.wake()
            final = await ended(office)
    assert len(site.asked) == ATTEMPTS_MAX
    assert len({asked.headers["webhook-id"] for asked in site.asked}) == 1
    assert len({asked.headers["webhook-timestamp"] for asked in site.asked}) == ATTEMPTS_MAX
    assert (final.status, final.attempts, final.code) == ("failed", ATTEMPTS_MAX, "HTTP_STATUS")
    assert final.body is not None, "it may be tried again"
    assert office.ledger.ended() == [(final.id, "failed", ATTEMPTS_MAX, 500, "HTTP_STATUS")]


async def test_410_ends_it_at_once(office: Office) -> None:
    with serving(answering(410)) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            found = await ended(office)
    assert (found.status, found.attempts, found.http_status) == ("failed", 1, 410)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 502, 503])
async def test_everything_else_is_tried_again_and_no_redirect_followed(office: Office, status: int) -> None:
    with serving(answering(status, 200, headers=[("location", "http://169.254.169.254/")])) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            found = await tried(office, 1)
            assert (found.status, found.http_status) == ("pending", status)
            office.clock.at_ms = found.next_ms
            outbox.wake()
            assert (await ended(office)).status == "delivered"
    assert [asked.path for asked in site.asked] == ["/in?token=8a1f"] * 2


async def test_a_receiver_is_left_alone_as_long_as_it_asks(office: Office) -> None:
    with serving(answering(503, headers=[("retry-after", "3600")])) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            found = await tried(office, 1)
    assert found.next_ms == office.clock.at_ms + 3_600_000


# -- what keeps it from being sent -----------------------------------------------------------------------------------------


async def test_nobody_there_is_no_trace_at_the_receiver(office: Office) -> None:
    with serving(answering(200)) as site:
        endpoint = ops(site)
    async with office.open(endpoint) as outbox:
        await outbox.put(office.delivery())
        found = await tried(office, 1)
    assert (found.code, found.http_status, found.may_have_arrived) == ("HTTP_CONNECT_FAILED", None, False)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ({"environ": {}}, "SECRET_MISSING"),
        ({"environ": {"ASSENT_SECRET_HOOKS_OPS": "short"}}, "WEBHOOK_SECRET_INVALID"),
        ({"capabilities": ()}, "SECRET_NOT_GRANTED"),
    ],
)
async def test_without_its_secret_nothing_is_sent(office: Office, spoil: dict[str, Any], code: str) -> None:
    for name, value in spoil.items():
        setattr(office, name, value)
    with serving(answering(200)) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            found = await tried(office, 1)
    assert (found.code, found.may_have_arrived, found.is_pending) == (code, False, True)
    assert site.asked == []
    assert office.ledger.kinds() == ["delivery.attempted"], "that it was asked for is on the record"


async def test_the_egress_rules_hold_at_each_attempt(office: Office) -> None:
    """Also where they were widened when it was queued, and where a name leads to a private address."""
    with serving(answering(200)) as site:
        async with office.open(ops(site), egress=Egress([opened(private=())])) as outbox:
            await outbox.put(office.delivery())
            found = await tried(office, 1)
            assert (found.code, found.may_have_arrived) == ("EGRESS_DENIED", False)
        named = Endpoint("ops", site.url(host="localhost"), "hooks/ops")
        office.clock.at_ms = found.next_ms
        async with office.open(named, egress=Egress([opened(private=())])):
            found = await tried(office, 2)
            assert (found.code, found.may_have_arrived) == ("EGRESS_DENIED", False)
        office.clock.at_ms = found.next_ms
        async with office.open(named, egress=Egress([opened(methods=frozenset({"GET"}))])):
            found = await tried(office, 3)
    assert (found.code, site.asked) == ("EGRESS_DENIED", [])
    assert office.ledger.kinds() == ["delivery.attempted"] * 2, "a refusal by rule asks for no secret"


async def test_an_endpoint_that_is_gone_is_told_of(office: Office) -> None:
    async with office.open() as outbox:
        await outbox.put(office.delivery())
        found = await tried(office, 1)
    assert (found.code, found.is_pending) == ("ENDPOINT_UNKNOWN", True)


async def test_a_receiver_that_hangs_is_given_up_and_may_have_it(office: Office) -> None:
    over = threading.Event()

    def hang(asked: Asked) -> Reply:
        over.wait()
        return Reply(200)

    with serving(hang) as site:
        async with office.open(ops(site, timeout_ms=100)) as outbox:
            await outbox.put(office.delivery())
            found = await tried(office, 1)
        over.set()
    assert (found.code, found.http_status, found.may_have_arrived) == ("HTTP_TIMEOUT", None, True)


async def test_a_paused_endpoint_is_sent_nothing(office: Office) -> None:
    with serving(answering(200)) as site:
        async with office.open(ops(site, is_paused=True), grace_ms=60_000) as outbox:
            await outbox.put(office.delivery())
            outbox.wake()
        assert (state_of(office).attempts, site.asked) == (0, [])
        async with office.open(ops(site)):
            assert (await ended(office)).status == "delivered"


async def test_a_slow_endpoint_keeps_no_other_waiting_and_gets_one_at_a_time(office: Office) -> None:
    busy, most, over = 0, 0, threading.Event()

    def slow(asked: Asked) -> Reply:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        over.wait()
        busy -= 1
        return Reply(200)

    with serving(slow) as site, serving(answering(200)) as quick:
        other = Endpoint("other", quick.url(), "hooks/ops")
        async with office.open(ops(site), other, grace_ms=30_000) as outbox:
            await outbox.put(office.delivery(1))
            await outbox.put(office.delivery(2))
            await outbox.put(office.delivery(3, endpoint="other"))
            await ended(office, 3)
            assert len(site.asked) == 1
            over.set()
            await ended(office, 1)
            await ended(office, 2)
    assert most == 1
    assert [json.loads(one.body)["data"]["number"] for one in site.asked] == [1, 2]


# -- owners come and go ------------------------------------------------------------------------------------------------------


async def test_the_next_owner_delivers_what_was_left(office: Office) -> None:
    with serving(answering(503, 200)) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            await tried(office, 1)
        async with office.open(ops(site)):
            await asyncio.sleep(0)
            assert len(site.asked) == 1, "it is not due yet"
        office.clock.at_ms += DELAYS_MS[0]
        async with office.open(ops(site)):
            assert (await ended(office)).attempts == 2


async def test_the_grace_is_for_what_is_due(office: Office) -> None:
    with serving(answering(200)) as site:
        async with office.open(ops(site), grace_ms=30_000) as outbox:
            await outbox.put(office.delivery())
        assert state_of(office).status == "delivered"
        assert not outbox.is_open
        await outbox.close()


async def test_a_close_without_grace_breaks_off_and_the_next_owner_goes_on(office: Office) -> None:
    over = threading.Event()

    def hang(asked: Asked) -> Reply:
        over.wait()
        return Reply(200)

    with serving(hang) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            await until(lambda: site.asked)
        found = state_of(office)
        assert (found.code, found.may_have_arrived, found.is_under_way) == (
            "DELIVERY_BROKEN_OFF",
            True,
            False,
        )
        over.set()
        office.clock.at_ms = found.next_ms
        async with office.open(ops(site)):
            await ended(office)
    assert len({asked.headers["webhook-id"] for asked in site.asked}) == 1


async def test_an_attempt_whose_process_died_is_made_again_at_once(office: Office) -> None:
    """Under the same id, whatever the schedule says; what was torn is removed."""
    files = DeliveryFiles(office.home)
    begun = office.delivery(attempts=1, is_under_way=True, may_have_arrived=True)
    files.write(begun)
    torn = office.home / f".{begun.id}.tmp"
    torn.write_bytes(b'{"half')
    (office.home / "msg_no.json").write_bytes(b"{}")
    (office.home / f"msg_{7:032x}.json").write_bytes(b"{torn")
    with serving(answering(200)) as site:
        async with office.open(ops(site)):
            found = await ended(office)
    assert (found.attempts, len(site.asked)) == (2, 1)
    assert not torn.exists()
    assert (office.home / f"msg_{7:032x}.json").exists(), "what can't be read is left for people"


@pytest.mark.parametrize("was_told", [False, True])
async def test_an_end_that_was_not_put_aside_is_told_once(office: Office, was_told: bool) -> None:
    """The process died between the file, the ledger and the move."""
    with serving(answering(200)) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            await ended(office)
        final = state_of(office)
        (office.home / "ended" / f"{final.id}.json").rename(office.home / f"{final.id}.json")
        if not was_told:
            office.ledger.events.pop()
        async with office.open(ops(site)):
            assert (await ended(office)).status == "delivered"
    assert len(office.ledger.ended()) == 1
    assert len(site.asked) == 1


async def test_a_full_ledger_keeps_the_end_for_later_and_sends_nothing_twice(office: Office) -> None:
    with serving(answering(200)) as site:
        async with office.open(ops(site)) as outbox:
            original = office.ledger.append

            async def full(*events: Any) -> None:
                office.ledger.is_full = not isinstance(events[0], DeliveryAttempted)
                await original(*events)

            office.ledger.append = full  # type: ignore[method-assign]  # a disk that fills up in between
            await outbox.put(office.delivery())
            await until(lambda: state_of(office).status == "delivered" and not outbox._attempts)
            assert office.ledger.ended() == []
            outbox.wake()
        async with office.open(ops(site)):
            assert office.ledger.ended() == [], "still full, and the runtime opens all the same"
        office.ledger.append, office.ledger.is_full = original, False  # type: ignore[method-assign]
        async with office.open(ops(site)):
            pass
    assert [one[1] for one in office.ledger.ended()] == ["delivered"]
    assert len(site.asked) == 1


async def test_a_ledger_that_takes_nothing_is_not_asked_without_end(office: Office) -> None:
    office.ledger.is_full = True
    with serving(answering(200)) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            await until(lambda: any(one.next_ms > office.clock.at_ms for one in outbox._pending.values()))
        assert site.asked == []
    assert state_of(office).is_pending


async def test_a_disk_that_takes_nothing_keeps_it_from_being_sent(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That something may have arrived has to be on the disk first."""
    write = DeliveryFiles.write

    def full(files: DeliveryFiles, delivery: Delivery) -> None:
        if delivery.is_under_way:
            raise WorldError("DISK_FULL", "the outbox can't be written")
        write(files, delivery)

    monkeypatch.setattr(DeliveryFiles, "write", full)
    with serving(answering(200)) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            await until(lambda: any(one.next_ms > office.clock.at_ms for one in outbox._pending.values()))
            assert not outbox._attempts
        assert site.asked == []
    assert (state_of(office).attempts, state_of(office).is_pending) == (0, True)


async def test_one_whose_file_is_gone_is_forgotten(office: Office) -> None:
    with serving(answering(200)) as site:
        async with office.open(ops(site, is_paused=True)) as outbox:
            await outbox.put(office.delivery())
            (office.home / f"{office.delivery().id}.json").unlink()
            outbox.endpoints = {"ops": ops(site)}  # type: ignore[misc]  # as if nobody had paused it
            outbox.wake()
            await until(lambda: not outbox._pending)
        assert site.asked == []


async def test_one_that_is_unwanted_before_it_is_sent_leaves_no_trace(office: Office) -> None:
    with serving(answering(200)) as site:
        async with office.open(ops(site)) as outbox:
            outbox._is_closing = True
            await outbox.put(office.delivery())
            found = await tried(office, 1)
        assert site.asked == []
    assert (found.code, found.may_have_arrived) == ("DELIVERY_BROKEN_OFF", False)


async def test_a_retry_while_the_endpoint_is_paused_waits_for_nothing(office: Office) -> None:
    async with office.open(Endpoint("ops", "http://127.0.0.1:9/", "hooks/ops", is_paused=True)) as outbox:
        queued = await outbox.put(office.delivery())
        assert (await outbox.retry(queued, ADA)).attempts == 0


# -- people and undo ---------------------------------------------------------------------------------------------------------


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


# -- limits ------------------------------------------------------------------------------------------------------------------


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
    assert files.all() == []
    assert files.old(0) == []


def test_a_full_disk_is_told_of(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("assent.capabilities.fs._syscalls.flush", full)
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
