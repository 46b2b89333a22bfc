"""The rate limits of a workspace, which also know what was called before this process: the journal tells."""

from __future__ import annotations

from collections.abc import Sequence

from assent.invocation import RateLimit, RateLimiter
from assent.journal import JournalReader
from assent.runtime.settings import Rate
from assent.spec import events as ev
from assent.spec.ids import RunId, StepKey
from assent.spec.ports import Clock


def rate_limiter(rates: Sequence[Rate], clock: Clock) -> RateLimiter:
    """What counts calls against the limits that are configured."""
    limits = [
        RateLimit(
            name=rate.name,
            calls=rate.calls,
            window_ms=rate.window_ms,
            capability=rate.capability,
            principal=rate.principal,
            per=rate.per,
        )
        for rate in rates
    ]
    return RateLimiter(limits, clock)


def remember_calls(limiter: RateLimiter | None, journal: JournalReader, now_ms: int) -> None:
    """Count the calls of the last window that the journal tells of. Each command is a process, and a limit is for all of them."""
    if limiter is None:
        return
    since_ms = now_ms - limiter.longest_ms
    found: list[tuple[int, str, str]] = []
    for row in journal.rows("runs"):
        if int(row["updated_at_ms"] or 0) > since_ms:
            principal = str(row["principal"])
            run = RunId(str(row["run_id"]))
            found += [(at, capability, principal) for at, capability in _calls(journal, run)]
    for at_ms, capability, principal in sorted(found):
        if at_ms > since_ms:
            limiter.remember(capability, principal, max(0, now_ms - at_ms))


def _calls(journal: JournalReader, run: RunId) -> list[tuple[int, str]]:
    """When each attempt of a run began, and at what; those left out that were refused for being one too many."""
    began: dict[tuple[StepKey, int], tuple[int, str]] = {}
    for leaf in journal.run_leaves(run):
        event = leaf.event
        if isinstance(event, ev.StepStarted):
            began[event.step, event.attempt] = (leaf.at_ms, event.capability)
        elif isinstance(event, ev.AttemptFailed | ev.StepFailed) and event.code == "RATE_LIMITED":
            began.pop((event.step, event.attempt), None)
    return [*began.values()]
