"""When a delivery that was not taken is tried again: the schedule of Standard Webhooks 1.0.0, and what the receiver asks."""

from __future__ import annotations

from typing import Final

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
