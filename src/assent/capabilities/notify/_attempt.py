"""One attempt at a delivery: the secret is read, the body signed and sent once, and what came of it told. Never raises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from assent.capabilities.net import Http
from assent.capabilities.net._client import Header, Wire
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._url import parse_url
from assent.capabilities.notify._delivery import Delivery
from assent.capabilities.notify._endpoint import Endpoint
from assent.capabilities.notify._schedule import asked_ms
from assent.capabilities.notify._signature import signed_headers
from assent.errors import AssentError
from assent.invocation import SecretAccess, Secrets
from assent.spec.events.kinds import AnyEvent, DeliveryAttempted, DeliveryEnded
from assent.spec.ids import RunId, StepKey
from assent.spec.ports import Clock

CAPABILITY: Final = "notify.webhook"
"""Whom the configuration grants the secrets of endpoints to."""

ANSWER_BYTES_MAX: Final = 64 << 10
"""What is read of an answer's body, which nobody looks at."""


class Ledger(Protocol):
    """The part of the record that deliveries need."""

    async def append(self, *events: AnyEvent) -> None:
        """Make events durable that stand in no run."""
        ...

    async def size(self) -> int:
        """How many entries there are."""
        ...

    async def has_ended(self, delivery: str, since: int) -> bool:
        """Whether an entry from `since` on says that the delivery has ended."""
        ...

    async def is_finished(self, run: str) -> bool:
        """Whether a run has ended, so that nothing asks any more what became of its effects."""
        ...


class Spawn(Protocol):
    """Starts a task, which the caller keeps."""

    def __call__(self, work: Any, *, name: str) -> asyncio.Task[Any]:  # `Any`: as each task is typed
        """The running task."""
        ...


@dataclass(frozen=True, slots=True)
class Post:
    """What carries deliveries: there is one while a runtime owns the state."""

    http: Http
    secrets: Secrets
    ledger: Ledger
    spawn: Spawn


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt: the status that was answered, or the code of why there was no answer.

    `may_have_arrived`: bytes of it may have reached the receiver. `asked_ms`: for how long the receiver wants to be left alone.
    """

    status: int | None = None
    code: str | None = None
    may_have_arrived: bool = True
    asked_ms: int = 0

    @property
    def is_taken(self) -> bool:
        """The receiver has it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_unwanted(self) -> bool:
        """The receiver wants no more of it (410)."""
        return self.status == 410


async def attempt(
    delivery: Delivery, endpoint: Endpoint, post: Post, clock: Clock, reach: Callable[[], Awaitable[None]]
) -> Outcome:
    """Send it once. `reach` is awaited when everything is ready and nothing was sent."""
    try:
        target = parse_url(endpoint.url)
        post.http.egress.admit(target, "POST", delivery.principal)
        secret = await _secret(delivery, endpoint, post, target.host)
        body = (delivery.body or "").encode()
        previous = post.secrets.previous(endpoint.secret)
        headers = signed_headers(
            delivery.id,
            clock.now_ms() // 1000,
            body,
            secret,
            previous=previous.reveal() if previous is not None else None,
        )
        wire = Wire(
            "POST",
            target,
            (
                Header("content-type", "application/json"),
                *(Header(name, value, is_private=True) for name, value in headers.items()),
            ),
            body,
            endpoint.shown,
        )
    except AssentError as error:
        return Outcome(code=error.code, may_have_arrived=False)
    await reach()
    try:
        answer = await post.http.send(
            wire,
            principal=delivery.principal,
            bytes_max=ANSWER_BYTES_MAX,
            timeout_ms=endpoint.timeout_ms,
        )
    except HttpFailure as failure:
        return Outcome(code=failure.code, may_have_arrived=failure.was_sent)
    except AssentError as error:  # an address that may not be reached: found out before anything is sent
        return Outcome(code=error.code, may_have_arrived=False)
    return Outcome(
        answer.status,
        None if 200 <= answer.status < 300 else "HTTP_STATUS",
        asked_ms=asked_ms(answer.header("retry-after"), clock.now_ms()),
    )


async def _secret(delivery: Delivery, endpoint: Endpoint, post: Post, host: str) -> str:
    """The value of the endpoint's secret; that it was asked for is durable before anybody has it."""
    accesses: list[SecretAccess] = []
    try:
        secret = await post.secrets.read(
            endpoint.secret,
            capability=CAPABILITY,
            granted=(),
            ids={
                "run": delivery.run,
                "step": delivery.step,
                "attempt": f"{delivery.id}/{delivery.attempts}",
                "delivery": delivery.id,
            },
            host=host,
            told=accesses.append,
        )
    finally:
        await post.ledger.append(*(_told(delivery, access) for access in accesses))
    return secret.reveal()


def _told(delivery: Delivery, access: SecretAccess) -> DeliveryAttempted:
    return DeliveryAttempted(
        delivery=delivery.id,
        source=RunId(delivery.run),
        step=StepKey(delivery.step),
        attempt=delivery.attempts,
        secret=access.name,
        outcome=access.outcome.value,
        provider=access.provider,
        binding=access.binding,
    )


def ended(delivery: Delivery) -> DeliveryEnded:
    """The event of a delivery that has ended."""
    return DeliveryEnded(
        delivery=delivery.id,
        source=RunId(delivery.run),
        step=StepKey(delivery.step),
        outcome=delivery.status,
        attempts=delivery.attempts,
        status=delivery.http_status,
        code=delivery.code,
        by=delivery.by,
        asserted=delivery.asserted,
        os_uid=delivery.os_uid,
        identified_by=delivery.identified_by,
    )
