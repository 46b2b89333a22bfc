"""An outbox on a real folder and a real network, with a clock and a ledger of the test's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from assent import system
from assent.capabilities.net import Egress, Http, NetLimits
from assent.capabilities.notify import Asker, Delivery, Endpoint, Outbox, Post
from assent.capabilities.notify._delivery import DeliveryFiles
from assent.errors import WorldError
from assent.invocation import EnvironmentSecrets, SecretGrant, Secrets
from assent.spec.events.kinds import AnyEvent, DeliveryEnded
from tests.capabilities.net.conftest import opened
from tests.support.web import Asked, Reply, Site

WAIT_S = 30.0
NOW_MS = 1_700_000_000_000
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class FakeClock:
    """The time that a test says it is; `wrong_ms` is by how much the clock that people can set is off."""

    at_ms: int = NOW_MS
    wrong_ms: int = 0

    def now_ms(self) -> int:
        return self.at_ms + self.wrong_ms

    def monotonic_ms(self) -> int:
        return self.at_ms


@dataclass
class FakeLedger:
    """A ledger in memory, which may be full."""

    events: list[AnyEvent] = field(default_factory=list)
    unfinished: set[str] = field(default_factory=set)
    is_full: bool = False

    async def append(self, *events: AnyEvent) -> None:
        await asyncio.sleep(0)
        if self.is_full:
            raise WorldError("DISK_FULL", "the disk that holds the ledger is full")
        self.events += events

    async def size(self) -> int:
        return len(self.events)

    async def has_ended(self, delivery: str, since: int) -> bool:
        return any(isinstance(one, DeliveryEnded) and one.delivery == delivery for one in self.events[since:])

    async def is_finished(self, run: str) -> bool:
        return run not in self.unfinished

    def ended(self) -> list[tuple[str, str, int, int | None, str | None]]:
        """Each end that was told: delivery, outcome, attempts, status, code."""
        return [
            (one.delivery, one.outcome, one.attempts, one.status, one.code)
            for one in self.events
            if isinstance(one, DeliveryEnded)
        ]

    def kinds(self) -> list[str]:
        return [one.kind for one in self.events]


@dataclass
class Office:
    """One outbox after another over the same folder, as processes come and go."""

    home: Path
    clock: FakeClock = field(default_factory=FakeClock)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    environ: dict[str, str] = field(default_factory=lambda: {"ASSENT_SECRET_HOOKS_OPS": SECRET})
    capabilities: tuple[str, ...] = ("notify.webhook",)

    @asynccontextmanager
    async def open(
        self, *endpoints: Endpoint, grace_ms: int = 0, egress: Egress | None = None
    ) -> AsyncIterator[Outbox]:
        """An outbox while somebody owns the state. Without a grace nothing is waited for at its end."""
        secrets = Secrets(
            [EnvironmentSecrets(self.environ)],
            clock=self.clock,
            record=lambda access: None,
            grants={"hooks/ops": SecretGrant(self.capabilities)},
        )
        http = Http(egress or Egress([opened()]), NetLimits())
        outbox = Outbox(
            self.home,
            {one.name: one for one in endpoints},
            clock=self.clock,
            jitter=lambda: 0.0,
            grace_ms=grace_ms,
        )
        outbox.equip(Post(http, secrets, self.ledger, system.spawn))
        await outbox.take_up()
        try:
            yield outbox
        finally:
            await outbox.close()
            await http.close()

    def delivery(self, number: int = 1, **fields: Any) -> Delivery:
        """A webhook that nobody has tried to send."""
        given = {"endpoint": "ops", "run": "run_1", "type": "invoice.paid"} | fields
        return Delivery(
            format=1,
            id=f"msg_{number:032x}",
            step="call",
            principal="user:ada",
            queued_ms=self.clock.at_ms,
            next_ms=self.clock.at_ms,
            body=json.dumps({"type": given["type"], "data": {"number": number}}),
            **given,
        )


@pytest.fixture
def office(tmp_path: Path) -> Office:
    (tmp_path / "state").mkdir(mode=0o700)
    return Office(tmp_path / "state" / "outbox")


async def until(said: Callable[[], object]) -> None:
    """Wait for a condition, however busy the machine is."""
    async with asyncio.timeout(WAIT_S):
        while not said():  # noqa: ASYNC110 - what is waited for is a file, or a receiver in its thread
            await asyncio.sleep(0.005)


ADA = Asker("user:ada", asserted=True, os_uid=1000)


def answering(*statuses: int, headers: list[tuple[str, str]] | None = None) -> Any:
    """A receiver that gives these answers in turn, the last one for ever."""
    left = list(statuses)

    def answer(asked: Asked) -> Reply:
        return Reply(left.pop(0) if len(left) > 1 else left[0], headers or [])

    return answer


def ops(site: Site, **fields: Any) -> Endpoint:
    """The endpoint of a site."""
    return Endpoint("ops", site.url("/in?token=8a1f"), "hooks/ops", **fields)


def state_of(office: Office, number: int = 1) -> Delivery:
    """How a delivery stands on the disk."""
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
    """The delivery once it was put aside."""
    await until((office.home / "ended" / f"msg_{number:032x}.json").exists)
    return state_of(office, number)
