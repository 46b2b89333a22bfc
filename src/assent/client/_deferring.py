"""Makes the calls of a spool: at once where somebody asks for it, else whenever the server can be reached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, Self, TypeAlias, TypeVar

import msgspec

from assent.client._spool import Deferred, Spool
from assent.client._wire import NOT_ADMITTED
from assent.errors import AssentError, InputError, RefusedError
from assent.failpoints import FAILPOINTS, VARIABLE
from assent.system import SystemClock, SystemEntropy, environment, spawn

if TYPE_CHECKING:
    from assent.engine import RunResult
    from assent.runtime.service.requests import Call

P = ParamSpec("P")
T = TypeVar("T")

LOGGER: Final = logging.getLogger("assent.client")

PAUSE_S: Final = 1.0
"""So long after an attempt that failed the next one is made."""
PAUSE_S_MAX: Final = 30.0
"""The same where the server says when to come again, and means later than this."""

Make: TypeAlias = "Callable[[Deferred, float], Awaitable[RunResult]]"

_NOT_ITS_FAULT: Final = frozenset({"NOT_IDENTIFIED", "HOST_REFUSED", "RUNTIME_CLOSED"})
"""Refusals of whoever asks, or of the way: the same call is taken with another key, or at another address."""


class Deferring:
    """The deferred calls to one server. One at a time, so that none overtakes another."""

    def __init__(
        self,
        spool: Spool,
        target: str,
        make: Make,
        told: Callable[[Deferred], None] | None,
        patience_s: float,
    ) -> None:
        """See `open`."""
        self._spool, self._target, self._make, self._told = spool, target, make, told
        self._patience_s = patience_s
        self._turn = asyncio.Lock()
        self._has_more = asyncio.Event()
        self._work = spawn(self._keep_making(), name="deferred calls")

    @classmethod
    async def open(
        cls,
        folder: Path,
        target: str,
        make: Make,
        told: Callable[[Deferred], None] | None,
        patience_s: float,
    ) -> Self:
        """Take the folder, and begin to make what waits in it for this server. `SPOOL_UNUSABLE`.

        `make` makes one call, and tries for so many seconds to reach the server; `patience_s` is that for who waits for it.
        """
        armed = environment().get(VARIABLE)
        if armed:
            FAILPOINTS.arm(armed)
        spool = await asyncio.to_thread(Spool.open, folder, SystemClock(), SystemEntropy())
        made = cls(spool, target, make, told, patience_s)
        made._has_more.set()
        return made

    async def close(self) -> None:
        """Make no more; what is under way is left to the next who opens the folder."""
        self._work.cancel()
        await asyncio.wait({self._work})
        async with self._turn:
            self._spool.close()

    async def defer(self, call: Call, ident: str) -> Deferred:
        """Keep a call, and make it soon."""
        entry, dropped = await asyncio.to_thread(
            self._spool.push, self._target, ident, call.capability, call.parameters, call.environment
        )
        self._tell(dropped)
        self._has_more.set()
        return entry

    async def flush(self) -> list[Deferred]:
        """Make them all now, in order. Raises what keeps the server from being reached; the rest waits on."""
        return await self._flush(self._patience_s)

    async def _flush(self, patience_s: float) -> list[Deferred]:
        settled: list[Deferred] = []
        async with self._turn:
            while True:
                entry, dropped = await _in_thread(self._spool.next, self._target)
                self._tell(dropped)
                settled += dropped
                if entry is None:
                    return settled
                settled.append(await self._made(entry, patience_s))

    async def _made(self, entry: Deferred, patience_s: float) -> Deferred:
        try:
            run = await self._make(entry, min(patience_s, self._spool.left_s(entry)))
        except (InputError, RefusedError) as error:
            if error.code in _NOT_ITS_FAULT:
                await _in_thread(self._spool.put_back, entry, was_sent=False)
                raise
            done = await _in_thread(self._spool.refused, entry, error.to_dict())
        except AssentError as error:
            began_nothing = error.code == "SERVER_UNREACHABLE" or error.code in NOT_ADMITTED
            await _in_thread(self._spool.put_back, entry, was_sent=not began_nothing)
            raise
        except asyncio.CancelledError:
            self._spool.put_back(entry, was_sent=True)
            raise
        else:
            done = msgspec.structs.replace(entry, status="DELIVERED", was_sent=True, run=run)
            self._tell([done])
            await _in_thread(self._spool.answered, entry)
            return done
        self._tell([done])
        return done

    def entries(self) -> list[Deferred]:
        """What is kept for this server."""
        return self._spool.entries(self._target)

    async def forget(self, sequence: int) -> None:
        """Remove the note of one that was not made."""
        await _in_thread(self._spool.forget, sequence)

    async def _keep_making(self) -> None:
        while True:
            await self._has_more.wait()
            self._has_more.clear()
            try:
                # It is tried again anyway, and whoever asks meanwhile should not wait for this one's patience.
                await self._flush(0.0)
            except AssentError as error:
                LOGGER.info("deferred calls wait: %s", error)
                after_ms = error.details.get("retry_after_ms")
                after_s = after_ms / 1000 if isinstance(after_ms, int) else 0.0
                await asyncio.sleep(max(PAUSE_S, min(after_s, PAUSE_S_MAX)))
                self._has_more.set()

    def _tell(self, settled: list[Deferred]) -> None:
        for one in settled:
            if self._told is None:
                if one.status != "DELIVERED":
                    LOGGER.warning("%s %s: %s", one.status, one.capability, (one.error or {}).get("message"))
                continue
            try:
                self._told(one)
            except Exception:
                LOGGER.exception("whoever is told of deferred calls failed")


async def _in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What touches the disk; who gives up waiting waits until it is done all the same."""
    done = spawn(asyncio.to_thread(work, *args, **kwargs), name="spool")
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait({done})
        raise
