"""Who was refused, on record: auditors ask for it, and nobody can fill the ledger with it.

Of one source and reason there is one entry a minute: the first attempt at once, then how many have come since.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

from assent.engine import Services
from assent.journal import Batch
from assent.spec.events.kinds import ApprovalRefused, IdentityRefused

Refused = TypeVar("Refused", bound=ApprovalRefused | IdentityRefused)

APART_MS: Final = 60_000
"""Of one source and reason there is one entry in this time."""

ASKERS_MAX: Final = 64
"""So many askers and reasons are told apart in that time where a question is decided; a name is quickly made up."""

STRANGERS_MAX: Final = 1000
"""So many sources, doors and reasons where somebody was not let in."""

OTHERS: Final = "others"


@dataclass(slots=True)
class _Counted(Generic[Refused]):
    written_ms: int
    waiting: Refused | None = None


class Refusals(Generic[Refused]):
    """Counts them in one process. What has not been written when it is killed, a minute's at most, is lost."""

    def __init__(self, services: Services, most: int) -> None:
        self._services = services
        self._most = most
        self._counted: dict[tuple[str, ...], _Counted[Refused]] = {}
        self._writing: asyncio.Task[None] | None = None

    async def note(self, refused: Refused) -> None:
        """Somebody was refused; on record when this returns, or within the minute."""
        key, now_ms = _key(refused), self._services.clock.monotonic_ms()
        if key not in self._counted and len(self._counted) >= self._most:
            self._counted = {
                one: known for one, known in self._counted.items() if not _is_over(known, now_ms)
            }
            if len(self._counted) >= self._most:
                refused = _of_others(refused)
                key = _key(refused)
        counted = self._counted.get(key)
        if counted is None or _is_over(counted, now_ms):
            self._counted[key] = _Counted(now_ms)
            await self._write(refused)
            return
        before = counted.waiting
        counted.waiting = refused if before is None else _joined(before, refused)
        if self._writing is None or self._writing.done():
            self._writing = self._services.spawn(self._write_later(), name="refusals")

    async def close(self) -> None:
        """Write what has been counted since."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
        await self._write_due(0)

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

    async def _write(self, refused: Refused) -> None:
        at_ms = self._services.clock.now_ms()
        await self._services.journal.append(Batch(run=None, expected_n=0, at_ms=at_ms, events=(refused,)))


def _is_over(known: _Counted[Refused], now_ms: int) -> bool:
    """The next attempt is a first one."""
    return known.waiting is None and now_ms - known.written_ms >= APART_MS


def _key(refused: ApprovalRefused | IdentityRefused) -> tuple[str, ...]:
    if isinstance(refused, ApprovalRefused):
        return refused.by, refused.code
    return refused.peer, refused.door, refused.code


def _of_others(refused: Refused) -> Refused:
    """The same of nobody in particular."""
    if isinstance(refused, ApprovalRefused):
        return msgspec.structs.replace(refused, by=OTHERS)
    return msgspec.structs.replace(refused, peer=OTHERS)


def _joined(before: Refused, now: Refused) -> Refused:
    return msgspec.structs.replace(now, count=before.count + now.count, since_ms=before.since_ms)
