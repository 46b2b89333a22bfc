"""How many calls may have an effect within a time, and what calls have used of the policy's limits: both counted by windows.

A call that is refused does not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from assent.invocation.describe.handler import NoEffectError
from assent.spec.ports import Clock
from assent.spec.values.window import Key, Window
from assent.spec.words.globs import glob_matches

if TYPE_CHECKING:
    from assent.policy import PolicyContext
    from assent.spec.events.kinds import Counted
    from assent.spec.policy import Limit

Per: TypeAlias = Literal["principal", "capability"]

BYTES: Final = "bytes_out"

WINDOWS_MAX: Final = 1000
"""Limits of which a process remembers something, those of policies before a reload included."""


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

    def key(self, capability: str, principal: str) -> Key | None:
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


class RateLimiter:
    """Counts calls against limits. To be used from one thread."""

    def __init__(self, limits: Sequence[RateLimit], clock: Clock) -> None:
        self.limits = tuple(limits)
        self._windows = [(limit, Window(limit.window_ms)) for limit in limits]
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
        found: list[tuple[Window, Key]] = []
        refused: list[tuple[int, RateLimit]] = []
        for limit, window in self._windows:
            key = limit.key(capability, principal)
            if key is None:
                continue
            excess = window.used(key, now) + 1 - limit.calls
            wait = window.wait_ms(key, now, excess) if excess > 0 else window.wait_for_room_ms(now)
            if wait > 0:
                refused.append((wait, limit))
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
        for limit, window in self._windows:
            key = limit.key(capability, principal)
            if key is not None and age_ms < limit.window_ms:
                window.add(key, now - age_ms)


Uses: TypeAlias = "Counter[tuple[str, Key]]"
"""How much, by limit and client."""

NOTHING: Final[Uses] = Counter()


class Place(msgspec.Struct, frozen=True, gc=False):
    """An attempt of a step: what room is kept for."""

    run: str
    step: str
    attempt: int


class Hold:
    """What a call takes of the policy's limits from its admission on: kept if it begins, given back if it never does."""

    __slots__ = ("_place", "_quotas", "_uses", "counted")

    def __init__(
        self,
        quotas: Quotas,
        counted: tuple[Counted, ...],
        uses: list[tuple[Window, Key, int]],
        place: Place | None = None,
    ) -> None:
        self.counted = counted
        self._uses = uses
        self._quotas = quotas
        self._place = place

    @property
    def uses(self) -> Uses:
        """What the call takes, and what is kept for all that it may lead to."""
        uses = Counter() if self._place is None else self._quotas.kept_for(self._place)
        for one, (_, key, _) in zip(self.counted, self._uses, strict=True):
            uses[one.limit, key] += one.amount
        return uses

    def keep(self, limits: Sequence[Limit], question: PolicyContext) -> tuple[Counted, ...]:
        """Keep room for another call that this one may lead to: what of each limit."""
        assert self._place is not None  # INVARIANT: it is the hold of a call that has not begun
        counted = amounts(limits, question)
        uses = self._quotas.kept_for(self._place)
        for limit, one in zip(limits, counted, strict=True):
            uses[limit.id, key_of(limit, question)] += one.amount
        self._quotas.put_by(self._place, uses)
        return counted

    def release(self) -> None:
        """The call never began, and leads to nothing."""
        for one, (window, key, at_ms) in zip(self.counted, self._uses, strict=True):
            window.take_back(key, at_ms, one.amount)
        if self._place is not None:
            self._quotas.put_by(self._place, NOTHING)

    def add_sent(self, size: int) -> None:
        """The call sent so much beside its inputs."""
        for one, (window, key, _) in zip(self.counted, self._uses, strict=True):
            if one.of == BYTES:
                self._quotas.add(window, key, size)


class Quotas:
    """What calls have used of the limits of a policy, and what is kept for those that they may lead to. For one thread.

    A use counts until its window has passed. What is kept counts for as long as it may be needed, however long ago its call was:
    the call that uses it then finds its place, and is a use like any other.
    """

    def __init__(self, clock: Clock) -> None:
        self._windows: dict[str, Window] = {}
        self._kept: Uses = Counter()
        self._places: dict[tuple[str, str], dict[int, Uses]] = {}
        self._clock = clock

    def _window(self, limit: Limit) -> Window:
        """The window of a limit. What had its id in an earlier policy counts on."""
        found = self._windows.get(limit.id)
        if found is None:
            if len(self._windows) >= WINDOWS_MAX:
                del self._windows[next(iter(self._windows))]
            found = self._windows[limit.id] = Window(limit.window_ms)
        found.length_ms = limit.window_ms
        return found

    def counted(
        self,
        limits: Sequence[Limit],
        question: PolicyContext,
        planned: Uses = NOTHING,
        *,
        own: Uses = NOTHING,
        place: Place | None = None,
    ) -> PolicyContext:
        """The question with what was used of each limit that it is held against, and when one that is past opens again.

        `planned`: what counts as used too. Of a call that another may lead to, `own` is what that one takes with all else that it
        may lead to, which is among what was used. Of a call of a run `place` is its own: what is kept for earlier attempts of its
        step counts no more once this one begins.
        """
        from assent.policy import Count, amount_of, is_past

        now, counts = self._clock.monotonic_ms(), dict[str, Count]()
        attempts = self._places.get((place.run, place.step), {}) if place is not None else {}
        mine = attempts.get(place.attempt, NOTHING) if place is not None else NOTHING
        for limit in limits:
            window, key, amount = self._window(limit), key_of(limit, question), amount_of(limit, question)
            use = limit.id, key
            others = self._kept[use] - sum(uses[use] for uses in attempts.values())
            used = window.used(key, now) + planned[use] + others + mine[use]
            full_ms = window.wait_for_room_ms(now)
            if full_ms:
                used = max(used, limit.most)  # what can't be remembered can't be let pass
            opens_at_ms = None
            # What others may need yet has no time at which it counts no more.
            if is_past(limit, used, amount) and own[use] + amount + others <= limit.most:
                excess = max(1, used + amount - limit.most)
                opens_at_ms = question.now_ms + (full_ms or window.wait_ms(key, now, excess))
            counts[limit.id] = Count(used, opens_at_ms, others, own[use], limit.of)
        return msgspec.structs.replace(question, counts=counts)

    def hold(self, limits: Sequence[Limit], question: PolicyContext, place: Place | None = None) -> Hold:
        """Count what a call takes, before it begins: of two that fit one by one, and not together, one is refused."""
        now, counted = self._clock.monotonic_ms(), amounts(limits, question)
        uses = [(self._window(limit), key_of(limit, question), now) for limit in limits]
        for one, (window, key, at_ms) in zip(counted, uses, strict=True):
            window.add(key, at_ms, one.amount)
        return Hold(self, counted, uses, place)

    def resumed(self, limits: Sequence[Limit], counted: Sequence[Counted], principal: str, run: str) -> Hold:
        """The hold of a call that an earlier process began, of which `remember` was told: what it sends yet is added."""
        known = {limit.id: limit for limit in limits}
        held = tuple(one for one in counted if one.limit in known and known[one.limit].of == one.of)
        uses = [(self._window(known[one.limit]), _key(known[one.limit], principal, run), 0) for one in held]
        return Hold(self, held, uses)

    def foresee(self, limits: Sequence[Limit], question: PolicyContext, planned: Uses) -> None:
        """Add what a call of a plan would take to what comes before the next one."""
        from assent.policy import amount_of

        for limit in limits:
            planned[limit.id, key_of(limit, question)] += amount_of(limit, question)

    def remember(self, limit: Limit, amount: int, principal: str, run: str, age_ms: int) -> None:
        """Count what a call of `age_ms` ago took. To be told of oldest first, before anything else is counted."""
        if age_ms < limit.window_ms:
            at_ms = self._clock.monotonic_ms() - age_ms
            self._window(limit).add(_key(limit, principal, run), at_ms, amount)

    def add(self, window: Window, key: Key, amount: int) -> None:
        """Count what a call that has begun takes besides."""
        window.add(key, self._clock.monotonic_ms(), amount)

    def keep(self, limits: Sequence[Limit], counted: Sequence[Counted], principal: str, place: Place) -> None:
        """Keep so much for what an attempt may lead to, as the ledger tells, and nothing for earlier attempts of its step."""
        uses: Uses = Counter()
        for limit in limits if counted else ():
            for one in counted:
                # Under another measure it is another limit, that only has the same id.
                if (one.limit, one.of) == (limit.id, limit.of):
                    uses[limit.id, _key(limit, principal, place.run)] += one.amount
        for attempt in [*self._places.get((place.run, place.step), ())]:
            if attempt < place.attempt:
                self.put_by(msgspec.structs.replace(place, attempt=attempt), NOTHING)
        self.put_by(place, uses)

    def kept_for(self, place: Place) -> Uses:
        """What is kept for what an attempt may lead to."""
        return Counter(self._places.get((place.run, place.step), {}).get(place.attempt, NOTHING))

    def put_by(self, place: Place, uses: Uses) -> None:
        """Keep this for an attempt, and not what was kept for it before."""
        attempts = self._places.setdefault((place.run, place.step), {})
        for use, amount in attempts.pop(place.attempt, NOTHING).items():
            self._kept[use] -= amount
            if not self._kept[use]:
                del self._kept[use]
        if uses:
            attempts[place.attempt] = uses
            self._kept.update(uses)
        if not attempts:
            del self._places[place.run, place.step]


def amounts(limits: Sequence[Limit], question: PolicyContext) -> tuple[Counted, ...]:
    """What a call takes of each of these limits."""
    from assent.policy import amount_of
    from assent.spec.events.kinds import Counted

    return tuple(Counted(limit.id, limit.of.value, amount_of(limit, question)) for limit in limits)


def key_of(limit: Limit, question: PolicyContext) -> Key:
    """Whose count a call belongs to."""
    return _key(limit, str(question.principal), question.run_id)


def _key(limit: Limit, principal: str, run: str) -> Key:
    return () if limit.per == "all" else (run if limit.per == "run" else principal,)


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
