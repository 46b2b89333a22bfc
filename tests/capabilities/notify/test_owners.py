"""Deliveries outlive the process that queued them: the next owner goes on, and nothing is told twice."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from assent.capabilities.notify import Delivery, Endpoint
from assent.capabilities.notify._attempt import DELAYS_MS
from assent.capabilities.notify._delivery import DeliveryFiles
from assent.errors import WorldError
from assent.spec.events.kinds import DeliveryAttempted
from tests.capabilities.notify.conftest import ADA, Office, answering, ended, ops, state_of, tried, until
from tests.support.web import Asked, Reply, serving


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


async def test_one_that_was_queued_again_has_no_end_left_from_before(office: Office) -> None:
    """A kill may come between the two files; which one counts is not told by where it stands."""
    files, delivery = DeliveryFiles(office.home), office.delivery()
    files.write(structs.replace(delivery, status="failed", ended_ms=1))
    files.put_aside(delivery.id)
    files.write(delivery)
    with serving(answering(200)) as site:
        async with office.open(ops(site, is_paused=True)):
            assert [one.status for one in files.all()] == ["pending"]


async def test_of_each_free_endpoint_the_first_that_is_due_is_sent(office: Office) -> None:
    with serving(answering(200)) as site:
        paused = ops(site, is_paused=True)
        async with office.open(paused, replace(paused, name="a"), replace(paused, name="b")) as outbox:
            at_ms = office.clock.at_ms
            for number, (endpoint, next_ms) in enumerate(
                [("a", at_ms + 2), ("a", at_ms + 1), ("b", at_ms + 3), ("gone", at_ms + 9), ("ops", at_ms)]
            ):
                await outbox.put(structs.replace(office.delivery(number, endpoint=endpoint), next_ms=next_ms))
            free = {name: replace(one, is_paused=name == "ops") for name, one in outbox.endpoints.items()}
            outbox.endpoints = free  # type: ignore[misc]  # as if nobody had paused the others
            assert [one.id[-1] for one in outbox._next_of_each()] == ["1", "2", "3"]


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
