"""How many calls may have an effect within a time, for each principal or capability: exact, in bounded memory.

The window slides: at any moment the calls of the last `window_ms` count, so within no window of that length do more pass than the
limit. A call that is refused does not count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from assent.invocation.describe.handler import NoEffectError
from assent.spec.ports import Clock
from assent.spec.words.globs import glob_matches

Per: TypeAlias = Literal["principal", "capability"]

REMEMBERED_MAX: Final = 1_000_000
"""Calls that one limit remembers, of all clients together. When it is full of calls that count, further ones are refused."""


class RateLimit(msgspec.Struct, frozen=True):
    """At most `calls` within `window_ms`.

    `capability` and `principal` say whom it is about, as patterns in which `*` stands for any characters. `per` says who has
    a count of their own: each principal, each capability, each pair of them, or nobody (one count for all) when it is empty.
    """

    name: str
    calls: int
    window_ms: int
    capability: str = "*"
    principal: str = "*"
    per: tuple[Per, ...] = ("principal",)

    def key(self, capability: str, principal: str) -> tuple[str, ...] | None:
        """Whose count a call belongs to; None when the limit is not about it."""
        if self.capability != "*" and not glob_matches(self.capability, capability):
            return None
        if self.principal != "*" and not glob_matches(self.principal, principal):
            return None
        return tuple([principal if one == "principal" else capability for one in self.per])


class RateLimited(NoEffectError):
    """Too many calls within the window. The call had no effect, and passes later."""

    family = "world"
    retryable = True

    @property
    def retry_after_ms(self) -> int:
        """How long every limit that refused needs until it has room, if nobody else calls."""
        found = self.details.get("retry_after_ms")
        return found if isinstance(found, int) else 0


class _Window(msgspec.Struct):
    """The calls of one limit that still count, by client; the client that called last stands last."""

    limit: RateLimit
    calls: dict[tuple[str, ...], deque[int]] = msgspec.field(default_factory=dict)
    remembered: int = 0

    def wait_ms(self, key: tuple[str, ...], now_ms: int) -> int:
        """How long this client has to wait; 0 when it may call now."""
        found = self.calls.get(key)
        if found is not None:
            self._drop_old(found, now_ms)
            if len(found) >= self.limit.calls:
                return found[-self.limit.calls] + self.limit.window_ms - now_ms
        if self.remembered >= REMEMBERED_MAX:
            oldest = self._make_room(now_ms)
            if oldest is not None:
                return oldest + self.limit.window_ms - now_ms
        return 0

    def add(self, key: tuple[str, ...], at_ms: int) -> None:
        found = self.calls.pop(key, None)
        if found is None:
            self._forget_idle(at_ms)
            found = deque()
        found.append(at_ms)
        self.remembered += 1
        self.calls[key] = found

    def _drop_old(self, found: deque[int], now_ms: int) -> None:
        while found and now_ms - found[0] >= self.limit.window_ms:
            found.popleft()
            self.remembered -= 1

    def _forget_idle(self, now_ms: int) -> None:
        """Let go of the clients whose calls no longer count. They stand first, because the last to call stands last."""
        while self.calls:
            key = next(iter(self.calls))
            if self.calls[key] and now_ms - self.calls[key][-1] < self.limit.window_ms:
                return
            self.remembered -= len(self.calls.pop(key))

    def _make_room(self, now_ms: int) -> int | None:
        """Look at every client; when all that is remembered counts, the oldest of it."""
        for key in [*self.calls]:
            self._drop_old(self.calls[key], now_ms)
            if not self.calls[key]:
                del self.calls[key]
        return None if self.remembered < REMEMBERED_MAX else min(found[0] for found in self.calls.values())


class RateLimiter:
    """Counts calls against limits. To be used from one thread."""

    def __init__(self, limits: Sequence[RateLimit], clock: Clock) -> None:
        self.limits = tuple(limits)
        self._windows = [_Window(limit) for limit in limits]
        self._clock = clock

    @property
    def longest_ms(self) -> int:
        """The longest window; 0 without limits."""
        return max((limit.window_ms for limit in self.limits), default=0)

    def admit(self, capability: str, principal: str) -> None:
        """Count a call that is about to have its effect, or refuse it: `RateLimited` RATE_LIMITED.

        It counts against every limit that is about it, or, when one refuses, against none.
        """
        if not self._windows:
            return
        now = self._clock.monotonic_ms()
        found: list[tuple[_Window, tuple[str, ...]]] = []
        refused: list[tuple[int, RateLimit]] = []
        for window in self._windows:
            key = window.limit.key(capability, principal)
            if key is None:
                continue
            wait = window.wait_ms(key, now)
            if wait > 0:
                refused.append((wait, window.limit))
            found.append((window, key))
        if refused:
            raise _refusal(refused, capability)
        for window, key in found:
            window.add(key, now)

    def count(self, capability: str, principal: str) -> None:
        """Count a call that is never refused, because it takes another back: later ones wait for it."""
        self.remember(capability, principal, 0)

    def remember(self, capability: str, principal: str, age_ms: int) -> None:
        """Count a call of `age_ms` ago, which another process made. To be told of oldest first, before any is admitted."""
        now = self._clock.monotonic_ms()
        for window in self._windows:
            key = window.limit.key(capability, principal)
            if key is not None and age_ms < window.limit.window_ms:
                window.add(key, now - age_ms)


def _refusal(refused: list[tuple[int, RateLimit]], capability: str) -> RateLimited:
    wait, limit = max(refused, key=lambda one: one[0])
    return RateLimited(
        "RATE_LIMITED",
        f"limit `{limit.name}` lets {limit.calls} {'call' if limit.calls == 1 else 'calls'} pass within "
        f"{_shown(limit.window_ms)}, "
        f"and `{capability}` would be one more",
        hint=f"try again in {_shown(wait)}, or give the step a `retry` that lists `RATE_LIMITED`",
        details={"retry_after_ms": wait, "limits": [one.name for _, one in refused]},
    )


def _shown(duration_ms: int) -> str:
    """A time for people, rounded up: whoever waits so long has waited long enough."""
    for unit, length_ms in (("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if duration_ms >= 2 * length_ms or duration_ms == length_ms:
            return f"{-(-duration_ms // length_ms)} {unit}"
    return f"{duration_ms} ms"
