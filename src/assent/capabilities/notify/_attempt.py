"""One attempt at a delivery: the secret is read, the body signed and sent once, and what came of it told. Never raises."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from assent.capabilities.net import Http
from assent.capabilities.net._client import Header, Wire
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._url import parse_url
from assent.capabilities.notify._delivery import Delivery
from assent.capabilities.notify._endpoint import Endpoint
from assent.errors import AssentError, InputError
from assent.invocation import SecretAccess, Secrets, Spawn
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


# The schedule of Standard Webhooks 1.0.0, and what the receiver asks for.

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS

DELAYS_MS: Final = (
    5_000,
    5 * _MINUTE_MS,
    30 * _MINUTE_MS,
    2 * _HOUR_MS,
    5 * _HOUR_MS,
    10 * _HOUR_MS,
    14 * _HOUR_MS,
    20 * _HOUR_MS,
    24 * _HOUR_MS,
)
"""What is waited after the first attempt, the second, and so on. After the one behind the last of them a delivery has failed."""

ATTEMPTS_MAX: Final = len(DELAYS_MS) + 1
ASKED_MS_MAX: Final = 24 * _HOUR_MS
"""A receiver that asks for more time than this is tried all the same."""

JITTER: Final = 0.1
"""The part of a delay that chance may add, so that what failed together does not come back together."""

_DIGITS_MAX: Final = 15


def delay_ms(attempts: int, *, asked_ms: int = 0, jitter: float = 0.0) -> int | None:
    """How long to wait after so many attempts, the last of which was not taken; None when that was the last one.

    `asked_ms` is what the receiver wants to be left alone for; `jitter`, in [0, 1), is the chance.
    """
    assert attempts >= 1
    if attempts >= ATTEMPTS_MAX:
        return None
    planned = DELAYS_MS[attempts - 1]
    return max(planned + int(planned * JITTER * jitter), min(asked_ms, ASKED_MS_MAX))


def asked_ms(retry_after: str, now_ms: int) -> int:
    """What a `Retry-After` header asks for (RFC 9110 §10.2.3: seconds, or a date); 0 for none, or one that can't be read."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return int(text[:_DIGITS_MAX]) * 1000
    from email.utils import parsedate_to_datetime  # most receivers ask for nothing

    try:
        return max(0, int(parsedate_to_datetime(text).timestamp() * 1000) - now_ms)
    except (ValueError, TypeError, OverflowError):
        return 0


# HMAC-SHA256 over `ID.TIMESTAMP.BODY`, as Standard Webhooks 1.0.0 says ("Signature scheme").

PREFIX: Final = "whsec_"
KEY_BYTES_MIN: Final = 24
"""What the specification asks of a signing secret at least (192 bits)."""


def signed_headers(
    delivery: str, at_s: int, body: bytes, secret: str, *, previous: str | None = None
) -> dict[str, str]:
    """The three headers of one attempt; `at_s` is its time in whole seconds since 1970. WEBHOOK_SECRET_INVALID.

    `previous` is the secret that was replaced: until the receiver has the new one, it verifies the second signature.
    """
    content = b".".join((delivery.encode("ascii"), str(at_s).encode(), body))
    keys = [key_of(secret)]
    if previous is not None:
        # One that is no key has never signed anything, and nobody waits for it.
        with suppress(InputError):
            keys.append(key_of(previous))
    digests = (hmac.new(key, content, hashlib.sha256).digest() for key in dict.fromkeys(keys))
    return {
        "webhook-id": delivery,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }


def key_of(secret: str) -> bytes:
    """The key that a secret's text stands for: behind `whsec_` base64, otherwise its UTF-8 bytes. WEBHOOK_SECRET_INVALID."""
    secret = secret.strip()
    if secret.startswith(PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            # The text is told nobody, and neither is what the library found wrong with it.
            raise _invalid("is not base64 behind `whsec_`") from None
    else:
        key = secret.encode()
    if len(key) < KEY_BYTES_MIN:
        raise _invalid(f"is shorter than {KEY_BYTES_MIN} bytes")
    return key


def _invalid(why: str) -> InputError:
    return InputError(
        "WEBHOOK_SECRET_INVALID",
        f"the secret that signs the webhook {why}",
        hint="take `whsec_` and the base64 of 32 random bytes, the same as the receiver has",
    )
