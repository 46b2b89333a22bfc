"""Refused attempts to decide a question, on record: auditors ask for them, and nobody can fill the ledger with them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import msgspec

from assent.engine import Actor, Approve, Reject, Services
from assent.journal import Batch
from assent.spec.events.kinds import ApprovalRefused
from assent.spec.ids import RunId, StepKey

APART_MS: Final = 60_000
"""Of one asker and reason there is one entry in this time: the first attempt at once, then what has come since."""

ASKERS_MAX: Final = 64
"""So many askers and reasons are told apart in that time; a name is quickly made up."""

OTHERS: Final = "others"


@dataclass(slots=True)
class _Counted:
    written_ms: int
    waiting: ApprovalRefused | None = None


class Refusals:
    """Counts them in one process. What has not been written when it is killed, a minute's at most, is lost."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._counted: dict[tuple[str, str], _Counted] = {}
        self._writing: asyncio.Task[None] | None = None

    async def note(self, run: RunId, wish: Approve | Reject, code: str) -> None:
        """Somebody was refused; on record when this returns, or within the minute."""
        now_ms = self._services.clock.monotonic_ms()
        for key, known in [*self._counted.items()]:
            if known.waiting is None and now_ms - known.written_ms >= APART_MS:
                del self._counted[key]
        refused = self._refused(run, wish.step, wish.actor, code)
        key = (refused.by, code)
        if key not in self._counted and len(self._counted) >= ASKERS_MAX:
            key = (OTHERS, code)
            refused = msgspec.structs.replace(refused, by=OTHERS)
        counted = self._counted.get(key)
        if counted is None:
            self._counted[key] = _Counted(now_ms)
            await self._write(refused)
            return
        before = counted.waiting
        counted.waiting = refused if before is None else _joined(before, refused)
        if self._writing is None or self._writing.done():
            self._writing = self._services.spawn(self._write_later(), name="refused approvals")

    async def close(self) -> None:
        """Write what has been counted since."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
        await self._write_due(0)

    def _refused(self, run: RunId, step: StepKey | None, actor: Actor, code: str) -> ApprovalRefused:
        since_ms = self._services.clock.now_ms()
        return ApprovalRefused(source=run, step=step, code=code, count=1, since_ms=since_ms, **actor.who())

    async def _write_later(self) -> None:
        while any(counted.waiting is not None for counted in self._counted.values()):
            first = min(one.written_ms for one in self._counted.values() if one.waiting is not None)
            await asyncio.sleep(max(0, first + APART_MS - self._services.clock.monotonic_ms()) / 1000)
            await self._write_due(APART_MS)

    async def _write_due(self, after_ms: int) -> None:
        now_ms = self._services.clock.monotonic_ms()
        for counted in [*self._counted.values()]:
            refused = counted.waiting
            if refused is not None and now_ms - counted.written_ms >= after_ms:
                counted.waiting, counted.written_ms = None, now_ms
                await self._write(refused)

    async def _write(self, refused: ApprovalRefused) -> None:
        at_ms = self._services.clock.now_ms()
        await self._services.journal.append(Batch(run=None, expected_n=0, at_ms=at_ms, events=(refused,)))


def _joined(before: ApprovalRefused, now: ApprovalRefused) -> ApprovalRefused:
    return msgspec.structs.replace(now, count=before.count + now.count, since_ms=before.since_ms)
