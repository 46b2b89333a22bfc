"""The limits of a workspace and of its policy, which also know what was called before this process: the journal tells."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

import msgspec

from assent.engine import RunRecord, fold, kept_for
from assent.invocation import Place, Quotas, RateLimit, RateLimiter
from assent.journal import PAGE, JournalReader, each_row
from assent.runtime._find_run import UNFINISHED, get_run
from assent.runtime.settings.effective import Rate
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId, StepKey
from assent.spec.policy import Limit, Measure
from assent.spec.ports import Clock
from assent.spec.states import UNBEGUN

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


async def remember_calls(
    rates: RateLimiter | None, quotas: Quotas, limits: Sequence[Limit], journal: JournalReader, now_ms: int
) -> None:
    """Count the calls of the last window that the journal tells of. Each command is a process, and a limit is for all of them.

    Against `rates` counts who called what, and against the policy's `limits` what was counted of each when the call was admitted.
    What was recorded under a clock that stood in the future does not count: nobody can say how long ago it was, and each process
    would take it for a call of now, so that the limit stayed shut until that time comes.
    """
    windows = [limit.window_ms for limit in limits] + ([rates.longest_ms] if rates is not None else [])
    if not windows:
        return
    since_ms = now_ms - max(windows)
    calls = _Calls(with_rates=rates is not None)
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
    await _keep_room(quotas, limits, journal)
    by_id = {limit.id: limit for limit in limits}
    for call in sorted(calls.began.values(), key=attrgetter("at_ms")):
        if not since_ms < call.at_ms <= now_ms + CORRECTION_MS_MAX:
            continue
        principal = calls.principals.get(call.run)
        if principal is None:
            row = await get_run(journal, call.run)
            principal = calls.principals[call.run] = str(row["principal"]) if row is not None else ""
        age_ms = max(0, now_ms - call.at_ms)
        if rates is not None and call.capability is not None:
            rates.remember(call.capability, principal, age_ms)
        for one in call.counted:
            limit = by_id.get(one.limit)
            # Under another measure it is another limit, that only has the same id.
            if limit is not None and limit.of == one.of:
                amount = one.amount + (call.sent if limit.of is Measure.BYTES_OUT else 0)
                quotas.remember(limit, amount, principal, call.run, age_ms)


async def _keep_room(quotas: Quotas, limits: Sequence[Limit], journal: JournalReader) -> None:
    """Keep what calls of runs under way may lead to yet, however long ago they were made."""
    if not limits:
        return
    async for row in each_row(journal, "runs", {"status": UNFINISHED}):
        run = RunId(str(row["run_id"]))
        record: RunRecord | None = None
        for leaf in await journal.events(run):
            record = fold(record, leaf)
        assert record is not None  # INVARIANT: its row says that it has begun
        for step in record.steps.values():
            if counted := kept_for(record, step):
                place = Place(run, step.key, step.attempt)
                quotas.keep(limits, counted, record.created.principal, place)


class _Call(msgspec.Struct, gc=False):
    """An attempt: when it began, what it takes of limits, and what it sent beside its inputs."""

    run: RunId
    at_ms: int
    capability: str | None
    counted: tuple[ev.Counted, ...]
    sent: int = 0


class _Calls:
    """The attempts that entries tell of, taken from the newest back to older ones."""

    def __init__(self, *, with_rates: bool) -> None:
        """Without rates, what takes nothing of the policy's limits is left out."""
        self.principals: dict[RunId, str] = {}
        self.began: dict[tuple[RunId, StepKey, int], _Call] = {}
        self._with_rates = with_rates
        self._unbegun: set[tuple[RunId, StepKey, int]] = set()
        self._sent: dict[tuple[RunId, StepKey, int], int] = {}

    def take(self, leaf: ev.Leaf) -> None:
        """Take in an entry. Attempts are left out that never began, as those that were refused for being one too many."""
        event, run = leaf.event, leaf.run
        if run is None:
            return
        match event:
            case ev.RunCreated():
                self.principals[run] = event.principal
            case ev.AttemptFailed() | ev.StepFailed() | ev.StepUnsettled() | ev.StepSucceeded():
                attempt = (run, event.step, event.attempt)
                if event.sent:
                    self._sent[attempt] = event.sent
                ended = event if isinstance(event, ev.AttemptFailed | ev.StepFailed) else None
                if ended is not None and ended.code in UNBEGUN and not ended.begun:
                    self._unbegun.add(attempt)
            case ev.PlanRead():
                self.principals[run] = event.by
                self._begin((run, event.step, leaf.n or 0), leaf, event)
            case ev.ConsequenceChecked() if event.code is None:
                # A number that no attempt has: it is another call than the one that it takes back.
                self._begin((run, event.step, -(leaf.n or 1)), leaf, event)
            case ev.StepCompensated() | ev.CompensationFailed() if event.counted:
                # It is part of a call that counts by itself.
                sent = _Call(run, leaf.at_ms, None, event.counted)
                self.began[run, event.step, -(leaf.n or 1)] = sent
            case ev.StepStarted():
                attempt = (run, event.step, event.attempt)
                if attempt not in self._unbegun:
                    self._begin(attempt, leaf, event)
            case _:
                pass

    def _begin(
        self,
        attempt: tuple[RunId, StepKey, int],
        leaf: ev.Leaf,
        event: ev.PlanRead | ev.ConsequenceChecked | ev.StepStarted,
    ) -> None:
        if self._with_rates or event.counted:
            call = _Call(attempt[0], leaf.at_ms, event.capability, event.counted, self._sent.get(attempt, 0))
            self.began.setdefault(attempt, call)
