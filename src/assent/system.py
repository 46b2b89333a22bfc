"""The system's own clock, ids, randomness, tasks and environment: what `assent.spec.ports` asks for, from the real world.

Only the roof and the doors import this module, and only here may the names it wraps be used (`tools/check_bans.py`): every
other part is handed these, so that a simulation can hand it others and replay a whole runtime from one seed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

from assent.spec.ids import PlanId, RunId
from assent.spec.ports import Clock

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

SALT_BYTES: Final = 16
_SALTS_TOGETHER: Final = 256
_LASTING: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux stops the monotonic clock in suspend, and has this one; elsewhere that clock goes on."""
_CROCKFORD: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_ULID_LENGTH: Final = 26
_RANDOM_BITS: Final = 80
_TIME_BITS: Final = 48


class SystemClock:
    """The machine's clocks, in whole milliseconds."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Wall-clock time since the Unix epoch; steps when the machine's clock is set."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Time that never steps backwards, from an arbitrary start. It goes on while the machine sleeps: what lasts, lasts."""
        return time.clock_gettime_ns(_LASTING) // 1_000_000

    def monotonic_us(self) -> int:
        """Time for what is short, in microseconds, from another start; it may stand still while the machine sleeps."""
        return time.monotonic_ns() // 1_000


_SALTS: Final[list[bytes]] = []
"""Fetched, and not handed out yet.

A call of the kernel lets go of the interpreter's lock. Beside a busy ledger thread getting it back takes a hundred times as long
as the call, and a run draws fourteen salts: so they are fetched together.
"""


class SystemEntropy:
    """Randomness of the kernel. A fork gives the child none of its parent's numbers."""

    __slots__ = ()

    def some(self, count: int) -> bytes:
        """`count` unpredictable bytes, at most 16."""
        return self.salt()[:count]

    def salt(self) -> bytes:
        """16 unpredictable bytes. May be called from several threads."""
        try:
            return _SALTS.pop()
        except IndexError:
            block = os.urandom(_SALTS_TOGETHER * SALT_BYTES)
            salts = [block[at : at + SALT_BYTES] for at in range(0, len(block), SALT_BYTES)]
            salt = salts.pop()
            _SALTS.extend(salts)
            return salt

    def jitter(self) -> float:
        """A number in [0, 1)."""
        # 53 bits are what a float holds exactly. The `random` module would cost every start several milliseconds.
        return (int.from_bytes(os.urandom(7), "big") >> 3) / (1 << 53)


_MAKERS: Final[WeakSet[SystemIds]] = WeakSet()
"""Makers of ids by which something may be named still."""


class SystemIds:
    """ULIDs in lower case (Crockford's base 32): 48 bits of time in ms, then 80 bits of randomness.

    Ids of one maker rise strictly, also within a millisecond and after the clock was set back, and above what it was told to
    `rise_above`, so that sorting by id is sorting by creation. May be called from several threads.
    """

    __slots__ = ("__weakref__", "_clock", "_last", "_lock", "_numbers", "_random_bytes", "_requests")

    def __init__(
        self, clock: Clock | None = None, *, random_bytes: Callable[[int], bytes] | None = None
    ) -> None:
        self._clock = clock or SystemClock()
        self._random_bytes = random_bytes or SystemEntropy().some
        self._lock = threading.Lock()
        self._last = -1
        # What all request ids begin with, once there is one. A fork's child begins anew: it counts on where its parent stands.
        self._requests: list[str] = []
        self._numbers = count(1)
        _MAKERS.add(self)

    def run_id(self) -> RunId:
        """`run_` and 26 characters."""
        return RunId(f"run_{self._ulid()}")

    def plan_id(self) -> PlanId:
        """`plan_` and 26 characters."""
        return PlanId(f"plan_{self._ulid()}")

    def rise_above(self, newest: RunId) -> None:
        """Let later ids sort after this one, which another maker made: the clock may have been set back since.

        What is no id made here is none to rise above.
        """
        digits, value = newest.removeprefix("run_"), 0
        if len(digits) != _ULID_LENGTH or not set(digits) <= set(_CROCKFORD) or digits[0] > "7":
            return
        for digit in digits:
            value = value << 5 | _CROCKFORD.index(digit)
        with self._lock:
            self._last = max(self._last, value)

    def request_id(self) -> str:
        """`req_`, 26 characters that this maker's ids share, and a number that rises.

        There is one for each call, so it must cost next to nothing: a ULID of its own would cost more than the rest of the call's
        context.
        """
        try:
            return f"{self._requests[0]}{next(self._numbers):08x}"
        except IndexError:
            self._requests.append(f"req_{self._ulid()}_")
            return self.request_id()

    def begin_anew(self) -> None:
        """Share no request ids with the process that this one was forked from."""
        self._requests.clear()

    def _ulid(self) -> str:
        with self._lock:
            now = self._clock.now_ms()
            assert 0 <= now < 1 << _TIME_BITS, "the clock must stand between the years 1970 and 10889"
            if now > self._last >> _RANDOM_BITS:
                value = now << _RANDOM_BITS | int.from_bytes(self._random_bytes(_RANDOM_BITS // 8), "big")
            else:
                # The ULID specification adds one. A random stride keeps two forks of one process, which share the last
                # value, from making the same next one; a carry into the time only borrows from the next millisecond.
                value = self._last + 1 + int.from_bytes(self._random_bytes(4), "big")
            self._last = value
        shifts = range(5 * (_ULID_LENGTH - 1), -1, -5)
        return "".join(_CROCKFORD[value >> shift & 31] for shift in shifts)


def _begin_anew() -> None:
    """Have a fork's child share nothing with its parent."""
    _SALTS.clear()
    for maker in _MAKERS:
        maker.begin_anew()


# Once, and not by each maker for itself: what is told of forks is told of them for ever, and some makers serve one call.
os.register_at_fork(after_in_child=_begin_anew)


# `Any`: what a coroutine yields to its loop and is sent by it is asyncio's own affair.
def spawn(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """A task that runs `work` on the running loop.

    The caller keeps the task and awaits or cancels it: the loop itself holds it only weakly.
    """
    # Every command asks this module for its environment; only one that drives runs has a loop, which costs 40 ms to load.
    import asyncio

    return asyncio.create_task(work, name=name)


def cpu_seconds() -> float:
    """Processor time that this process has used, in seconds."""
    return time.process_time()


def environment() -> Mapping[str, str]:
    """The process's environment variables as they are now; later changes do not show."""
    return MappingProxyType(dict(os.environ))
