"""How many requests may come in by the doors: GCRA (ITU-T I.371), which is exact with one number for each client.

Theory of operation. A request fills the bucket of its client by one, and time empties it: `requests` in each `window`. One that
`burst` requests have filled takes no more; what is kept of it is the moment at which it will be empty. So within any time no more
pass than `burst`, and what that time empties; who comes no faster than that is never refused, and a refusal fills nothing.

A limit is held to as soon as what it speaks of is known: door and source before anybody is asked who they are, the principal once
that is found out, the capability once the request is read. A request counts for each limit that is about it; of those that are
looked at together, for none where one refuses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from heapq import heappop, heappush, heapreplace
from ipaddress import IPv6Address
from typing import Any, Final, NamedTuple, TypeAlias

from assent.errors import WorldError
from assent.runtime.service.requests import AddStep, Call, Request
from assent.runtime.settings._serve import DoorRate
from assent.spec.ports import Clock
from assent.spec.words.durations import write_duration
from assent.spec.words.globs import glob_matches

KEYS_MAX: Final = 16_384
"""Clients that one limit tells apart. Of more it forgets whose bucket is the next to be empty: that gives away the least."""

Key: TypeAlias = tuple[str, ...]

_ARRIVED, _IDENTIFIED, _ASKED = range(3)
_KNOWN: Final = {"door": _ARRIVED, "source": _ARRIVED, "principal": _IDENTIFIED, "capability": _ASKED}


class Allowance(NamedTuple):
    """What a limit leaves a client: so many requests now, and one more in so many milliseconds."""

    rate: DoorRate
    left: int
    more_in_ms: int


def allowance(rate: DoorRate, empty: int, now_ms: int) -> Allowance:
    """What is left of a bucket that will be empty at the tick `empty`.

    A millisecond has `requests` ticks, and a request takes `window_ms` of them: whole numbers, so that nothing is rounded away.
    """
    level = max(0, empty - now_ms * rate.requests)
    left = rate.burst - -(-level // rate.window_ms)
    more = level - (rate.burst - left - 1) * rate.window_ms
    return Allowance(rate, left, -(-more // rate.requests))


def filled(rate: DoorRate, empty: int, now_ms: int) -> int:
    """When the bucket will be empty once one more request is in it."""
    return max(empty, now_ms * rate.requests) + rate.window_ms


class _Limit:
    """The buckets of one limit."""

    def __init__(self, rate: DoorRate) -> None:
        self.rate = rate
        patterns = {name for name in ("principal", "capability") if getattr(rate, name) != "*"}
        self.known = max((_KNOWN[name] for name in {*rate.per, *patterns}), default=_ARRIVED)
        self._empty: dict[Key, int] = {}
        self._soonest: list[tuple[int, Key]] = []
        """A heap with one entry for each client, which may be of an earlier moment than it now is."""

    def key(self, visit: Visit) -> Key | None:
        """Whose bucket a request is for; None where this is not about it."""
        rate = self.rate
        if rate.door is not None and rate.door != visit.door:
            return None
        if self.known == _ASKED and visit.capability is None:
            return None
        if rate.principal != "*" and not glob_matches(rate.principal, visit.principal):
            return None
        if rate.capability != "*" and not glob_matches(rate.capability, visit.asked):
            return None
        return tuple([getattr(visit, name) for name in rate.per])

    def look(self, key: Key, now_ms: int) -> Allowance:
        return allowance(self.rate, self._empty.get(key, 0), now_ms)

    def fill(self, key: Key, now_ms: int) -> None:
        before = self._empty.get(key)
        empty = filled(self.rate, before or 0, now_ms)
        if before is None:
            if len(self._empty) >= KEYS_MAX:
                self._forget()
            heappush(self._soonest, (empty, key))
        self._empty[key] = empty

    def _forget(self) -> None:
        while (soonest := self._soonest[0])[0] != (empty := self._empty[soonest[1]]):
            heapreplace(self._soonest, (empty, soonest[1]))
        heappop(self._soonest)
        del self._empty[soonest[1]]


class Rates:
    """The limits of `[serve.rate]`, for all doors of one process."""

    def __init__(
        self, rates: Iterable[DoorRate], clock: Clock, is_offered: Callable[[str], bool] = bool
    ) -> None:
        """`is_offered` says whether there is a capability of an id: names that are made up share one bucket."""
        self._clock = clock
        self.is_offered = is_offered
        self._limits: list[_Limit] = []
        self.refused: Counter[str] = Counter()
        """How many requests each has refused."""
        self.hold(rates)

    @property
    def are_any(self) -> bool:
        """Whether there is a limit at all."""
        return bool(self._limits)

    def hold(self, rates: Iterable[DoorRate]) -> None:
        """From now on these hold; one that stays as it is goes on, any other begins with empty buckets."""
        before = {limit.rate: limit for limit in self._limits}
        self._limits = [before.get(rate) or _Limit(rate) for rate in rates]

    def visit(self, door: str, peer: str) -> Visit:
        """A request arrives; `peer` as doors hand it over in `Presented`."""
        return Visit(self, "http" if door == "https" else door, _source(peer))

    def require(self, visit: Visit, known: int) -> None:
        """Let a request pass every limit that can be told now. `WorldError` RATE_LIMITED."""
        if not self._limits:
            return
        now_ms = self._clock.monotonic_ms()
        found = [
            (limit, key)
            for limit in self._limits
            if limit.known == known and (key := limit.key(visit)) is not None
        ]
        refused = [told for limit, key in found if not (told := limit.look(key, now_ms)).left]
        if not refused:
            for limit, key in found:
                limit.fill(key, now_ms)
        visit.allowances += [limit.look(key, now_ms) for limit, key in found]
        if refused:
            self.refused.update(told.rate.name for told in refused)
            raise _refusal(refused)


class Visit:
    """A request on its way in. A door says what it learns of it; each step may refuse it with `WorldError` RATE_LIMITED."""

    __slots__ = ("_rates", "allowances", "asked", "capability", "door", "principal", "source")

    def __init__(self, rates: Rates, door: str, source: str) -> None:
        self._rates = rates
        self.door = door
        self.source = source
        self.principal = ""
        self.asked = ""
        """The id of a capability as it was written."""
        self.capability: str | None = None
        """Whose bucket it is: the id of a capability that there is, else empty; None where none is called."""
        self.allowances: list[Allowance] = []
        """What each limit that was looked at leaves."""

    def arrive(self) -> None:
        """It is there, and nobody knows whose it is."""
        self._rates.require(self, _ARRIVED)

    def identify(self, principal: str) -> None:
        """This is who asks."""
        self.principal = principal
        self._rates.require(self, _IDENTIFIED)

    def ask(self, request: Request[Any]) -> None:  # `Any`: each has its own answer
        """This is what it asks."""
        if isinstance(request, Call | AddStep):
            self.asked = request.capability.partition("@")[0]
            self.capability = self.asked if self._rates.is_offered(self.asked) else ""
        self._rates.require(self, _ASKED)


def _source(peer: str) -> str:
    """Where somebody comes from, as far as it costs them to come from elsewhere.

    Whoever has one address of IPv6 has its network of 64 bits, and whoever is on this machine has all of 127.0.0.0/8.
    """
    if peer.startswith("["):
        address = IPv6Address(peer[1:-1])
        mapped = address.ipv4_mapped
        peer = str(IPv6Address(int(address) >> 64 << 64) if mapped is None else mapped)
    return "127.0.0.1" if peer.startswith("127.") else peer


def _refusal(refused: list[Allowance]) -> WorldError:
    last = max(refused, key=lambda told: told.more_in_ms)
    rate = last.rate
    return WorldError(
        "RATE_LIMITED",
        f"limit `{rate.name}` has no room for this one: it lets {rate.requests} "
        f"{'request' if rate.requests == 1 else 'requests'} pass in each {write_duration(rate.window_ms)}",
        hint=f"try again in {-(-last.more_in_ms // 1000)} s",
        details={"retry_after_ms": last.more_in_ms, "limits": [told.rate.name for told in refused]},
    )
