"""The rate limits of a workspace, which also know what was called before this process: the journal tells."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from assent.invocation import RateLimit, RateLimiter
from assent.journal import PAGE, JournalReader
from assent.runtime._find_run import get_run
from assent.runtime.settings.effective import Rate
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId, StepKey
from assent.spec.ports import Clock

CORRECTION_MS_MAX: Final = 1000
"""How far ahead a recorded call may be and still counts, as one of now: clocks are corrected by so much."""


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


async def remember_calls(limiter: RateLimiter | None, journal: JournalReader, now_ms: int) -> None:
    """Count the calls of the last window that the journal tells of. Each command is a process, and a limit is for all of them.

    What was recorded under a clock that stood in the future does not count: nobody can say how long ago it was, and each process
    would take it for a call of now, so that the limit stayed shut until that time comes.
    """
    if limiter is None:
        return
    since_ms = now_ms - limiter.longest_ms
    calls = _Calls()
    end = (await journal.head()).size
    while end > 0:
        start = max(0, end - PAGE)
        leaves = await journal.leaves(start=start, limit=end - start)
        for leaf in reversed(leaves):
            calls.take(leaf)
        # Entries are in no order of time where a clock was set: the first whole page of earlier ones is the end.
        if all(leaf.at_ms <= since_ms for leaf in leaves):
            break
        end = start
    for run, at_ms, capability in sorted(calls.began.values(), key=itemgetter(1)):
        if since_ms < at_ms <= now_ms + CORRECTION_MS_MAX:
            principal = calls.principals.get(run)
            if principal is None:
                row = await get_run(journal, run)
                principal = calls.principals[run] = str(row["principal"]) if row is not None else ""
            limiter.remember(capability, principal, max(0, now_ms - at_ms))


class _Calls:
    """The attempts that entries tell of, taken from the newest back to older ones."""

    def __init__(self) -> None:
        self.principals: dict[RunId, str] = {}
        self.began: dict[tuple[RunId, StepKey, int], tuple[RunId, int, str]] = {}
        self._refused: set[tuple[RunId, StepKey, int]] = set()

    def take(self, leaf: ev.Leaf) -> None:
        """Take in an entry. Attempts are left out that were refused for being one too many."""
        event, run = leaf.event, leaf.run
        if run is None:
            return
        if isinstance(event, ev.RunCreated):
            self.principals[run] = event.principal
        elif isinstance(event, ev.AttemptFailed | ev.StepFailed) and event.code == "RATE_LIMITED":
            self._refused.add((run, event.step, event.attempt))
        elif isinstance(event, ev.PlanRead):
            self.principals[run] = event.by
            self.began[run, event.step, leaf.n or 0] = (run, leaf.at_ms, event.capability)
        elif isinstance(event, ev.ConsequenceChecked) and event.code is None:
            # A number that no attempt has: it is another call than the one that it takes back.
            self.began[run, event.step, -(leaf.n or 1)] = (run, leaf.at_ms, event.capability)
        elif isinstance(event, ev.StepStarted) and (run, event.step, event.attempt) not in self._refused:
            self.began.setdefault((run, event.step, event.attempt), (run, leaf.at_ms, event.capability))
