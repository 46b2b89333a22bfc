"""When a failed attempt may be tried again: exponential backoff with jitter, within the step's own policy."""

from __future__ import annotations

from assent.spec.ports import Clock, Entropy
from assent.spec.workflow.definition import Retry


def retry_at(policy: Retry, attempt: int, code: str, clock: Clock, entropy: Entropy) -> int | None:
    """The earliest moment of the next attempt in milliseconds since the epoch; None when there is to be none.

    A policy without codes covers every failure. The share `jitter` of each pause is random, so that failures that came together
    do not return together.
    """
    if attempt >= policy.max_attempts:
        return None
    if policy.on and code not in policy.on:
        return None
    backoff = policy.backoff
    pause_ms = min(backoff.initial_ms * backoff.factor ** (attempt - 1), backoff.max_ms)
    pause_ms *= 1 - backoff.jitter * entropy.jitter()
    return clock.now_ms() + round(pause_ms)
