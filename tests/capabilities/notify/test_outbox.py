"""What is queued is delivered, once where nothing dies, as often as the schedule says where it is not taken, and told of."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
from typing import Any

import pytest

from assent.capabilities.net import Egress
from assent.capabilities.notify import Delivery, Endpoint
from assent.capabilities.notify._attempt import ATTEMPTS_MAX, DELAYS_MS
from assent.spec.events.kinds import DeliveryAttempted
from tests.capabilities.net.conftest import opened
from tests.capabilities.notify.conftest import SECRET, Office, answering, ended, ops, state_of, tried
from tests.capabilities.notify.test_signature import verifies
from tests.support.web import Asked, Reply, serving, talking


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


DAYS_400_MS = 400 * 24 * 3_600_000


@pytest.mark.parametrize("wrong_ms", [-DAYS_400_MS, DAYS_400_MS])
async def test_a_clock_that_is_set_changes_no_schedule_of_a_living_outbox(
    office: Office, wrong_ms: int
) -> None:
    with serving(answering(500, 200)) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            await tried(office, 1)
            office.clock.wrong_ms = wrong_ms
            office.clock.at_ms += DELAYS_MS[0] - 1
            outbox.wake()
            await asyncio.sleep(0)
            assert len(site.asked) == 1, "it is tried before its time"
            office.clock.at_ms += 1
            outbox.wake()
            assert (await ended(office)).status == "delivered"


async def test_a_clock_that_was_set_back_makes_no_delay_longer_than_it_was_set_to(office: Office) -> None:
    """The next owner knows the time of the next attempt from its file alone, and that time may be far away by then."""
    with serving(answering(500, 200)) as site:
        async with office.open(ops(site)) as outbox:
            await outbox.put(office.delivery())
            await tried(office, 1)
        office.clock.wrong_ms = -DAYS_400_MS
        async with office.open(ops(site)) as outbox:
            office.clock.at_ms += DELAYS_MS[0]
            outbox.wake()
            assert (await ended(office)).status == "delivered"


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
        async with office.open(ops(site, timeout_ms=2_000)) as outbox:
            await outbox.put(office.delivery())
            found = await tried(office, 1)
        over.set()
    assert (found.code, found.http_status, found.may_have_arrived) == ("HTTP_TIMEOUT", None, True)


async def test_a_receiver_that_has_answered_and_then_dawdles_has_it(office: Office) -> None:
    """Its status says so; sent again, it would have it twice."""
    over = threading.Event()

    def dawdle(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfo")
        over.wait()

    async def sent(port: int, number: int, timeout_ms: int) -> Delivery:
        endpoint = Endpoint("ops", f"http://127.0.0.1:{port}/in", "hooks/ops", timeout_ms=timeout_ms)
        async with office.open(endpoint) as outbox:
            await outbox.put(office.delivery(number))
            return await tried(office, 1, number)

    with talking(dawdle) as port:
        found = await sent(port, 1, 200)
        if found.http_status is None:  # A busy machine may take longer than that to answer.
            found = await sent(port, 2, 5_000)
        over.set()
    assert (found.status, found.http_status) == ("delivered", 200)


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
