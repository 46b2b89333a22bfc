"""Rate limits: exact within any window, a count for each client, bounded in memory."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.invocation import RateLimit, RateLimited, RateLimiter
from assent.invocation.call.limits import Per
from tests.support.properties import holds

CAPABILITIES = ("io.fs.read_file", "io.fs.write_file", "net.http.get")
PRINCIPALS = ("user:ann", "agent:bot", "agent:crawler")


@dataclass
class Clock:
    """Time that only the test moves."""

    ms: int = 1_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms


LIMITS = st.builds(
    RateLimit,
    name=st.just("x"),
    calls=st.integers(1, 4),
    window_ms=st.integers(1, 60),
    capability=st.sampled_from(["*", "io.fs.*", "net.http.get"]),
    principal=st.sampled_from(["*", "agent:*", "user:ann"]),
    per=st.lists(st.sampled_from(["principal", "capability"]), unique=True).map(tuple),
)
CALLS = st.lists(
    st.tuples(st.integers(0, 25), st.sampled_from(CAPABILITIES), st.sampled_from(PRINCIPALS)), max_size=60
)


def client(limit: RateLimit, capability: str, principal: str) -> tuple[str, ...] | None:
    """Whose count a call belongs to, said plainly."""
    prefixes = (limit.capability.rstrip("*"), limit.principal.rstrip("*"))
    if not capability.startswith(prefixes[0]) or not principal.startswith(prefixes[1]):
        return None
    return tuple(capability if one == "capability" else principal for one in limit.per)


@holds("rate_limit")
@given(st.lists(LIMITS, max_size=3), CALLS)
def test_within_any_window_no_more_pass_and_no_fewer(
    limits: list[RateLimit], calls: list[tuple[int, str, str]]
) -> None:
    """A call passes exactly when every limit about it has had fewer calls of that client within its window before it."""
    clock = Clock()
    limiter = RateLimiter(limits, clock)
    passed: list[tuple[int, str, str]] = []

    def has_room(limit: RateLimit, capability: str, principal: str, now: int) -> bool:
        mine = client(limit, capability, principal)
        if mine is None:
            return True
        within = [at for at, *who in passed if client(limit, *who) == mine and now - at < limit.window_ms]
        return len(within) < limit.calls

    for pause, capability, principal in calls:
        clock.ms += pause
        expected = all(has_room(limit, capability, principal, clock.ms) for limit in limits)
        refused: RateLimited | None = None
        try:
            limiter.admit(capability, principal)
            passed.append((clock.ms, capability, principal))
        except RateLimited as error:
            refused = error
        assert (refused is None) == expected
        if refused is not None:
            wait = refused.retry_after_ms
            rooms = [
                all(has_room(limit, capability, principal, clock.ms + later) for limit in limits)
                for later in (wait - 1, wait)
            ]
            assert rooms == [False, True], "the hint is the first moment at which it would pass"


@given(LIMITS, CALLS)
def test_what_another_process_did_counts(limit: RateLimit, calls: list[tuple[int, str, str]]) -> None:
    """A limiter that is told of the calls before it decides as one that saw them."""
    clock = Clock()
    first, passed = RateLimiter([limit], clock), list[tuple[int, str, str]]()
    for pause, capability, principal in calls:
        clock.ms += pause
        try:
            first.admit(capability, principal)
        except RateLimited:
            continue
        passed.append((clock.ms, capability, principal))
    second = RateLimiter([limit], clock)
    for at, capability, principal in passed:
        second.remember(capability, principal, clock.ms - at)
    for _ in range(5):
        for capability in CAPABILITIES:
            for principal in PRINCIPALS:
                answers = []
                for limiter in (first, second):
                    try:
                        limiter.admit(capability, principal)
                        answers.append(0)
                    except RateLimited as error:
                        answers.append(error.retry_after_ms)
                assert answers[0] == answers[1]
        clock.ms += 13


def refused(limiter: RateLimiter, capability: str, principal: str) -> RateLimited:
    with pytest.raises(RateLimited) as raised:
        limiter.admit(capability, principal)
    return raised.value


def test_a_refusal_names_the_limit_and_when_to_come_back() -> None:
    clock = Clock()
    limiter = RateLimiter([RateLimit("writes", 2, 60_000, "io.fs.*")], clock)
    for _ in range(2):
        limiter.admit("io.fs.write_file", "user:ann")
    clock.ms += 15_000
    error = refused(limiter, "io.fs.write_file", "user:ann")
    assert error.code == "RATE_LIMITED"
    assert error.retryable
    assert error.hint == "try again in 45 s, or give the step a `retry` that lists `RATE_LIMITED`"
    assert error.details == {"retry_after_ms": 45_000, "limits": ["writes"]}
    assert RateLimited("RATE_LIMITED", "x").retry_after_ms == 0


@pytest.mark.parametrize(
    ("window_ms", "said"),
    [
        (500, "500 ms"),
        (1500, "1500 ms"),
        (2500, "3 s"),
        (60_000, "1 min"),
        (5_400_000, "90 min"),
        (7_200_001, "3 h"),
    ],
)
def test_a_time_is_told_in_a_unit_that_fits_and_rounded_up(window_ms: int, said: str) -> None:
    limiter = RateLimiter([RateLimit("x", 1, window_ms)], Clock())
    limiter.admit("a.b", "user:ann")
    error = refused(limiter, "a.b", "user:ann")
    assert error.message == f"limit `x` lets 1 call pass within {said}, and `a.b` would be one more"
    assert str(error.hint).startswith(f"try again in {said}, ")


def test_a_refused_call_counts_nowhere() -> None:
    """One limit has room, the other has none: the first keeps its room."""
    clock = Clock()
    per: tuple[Per, ...] = ()
    limiter = RateLimiter([RateLimit("all", 3, 100, per=per), RateLimit("each", 1, 100)], clock)
    limiter.admit("a.b", "user:ann")
    for _ in range(5):
        refused(limiter, "a.b", "user:ann")
    limiter.admit("a.b", "user:ben")
    limiter.admit("a.b", "user:cas")
    assert refused(limiter, "a.b", "user:dan").details["limits"] == ["all"]


def test_clients_that_went_away_are_forgotten() -> None:
    """A flood of clients leaves nothing behind once its window has passed."""
    clock = Clock()
    limiter = RateLimiter([RateLimit("x", 2, 100)], clock)
    for number in range(500):
        limiter.admit("a.b", f"agent:n{number}")
    clock.ms += 100
    limiter.admit("a.b", "agent:last")
    _, window = limiter._windows[0]
    assert len(window.clients) == window.remembered == 1


def test_memory_is_bounded_and_a_full_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all that is remembered still counts, a further client is refused rather than let through uncounted."""
    monkeypatch.setattr("assent.spec.values.window.REMEMBERED_MAX", 4)
    clock = Clock()
    limiter = RateLimiter([RateLimit("x", 2, 100)], clock)
    limiter.admit("a.b", "agent:n0")
    clock.ms += 40
    limiter.admit("a.b", "agent:n0")
    for number in (1, 2):
        limiter.admit("a.b", f"agent:n{number}")
    assert refused(limiter, "a.b", "agent:n3").retry_after_ms == 60
    clock.ms += 60
    limiter.admit("a.b", "agent:n3")
    assert limiter._windows[0][1].remembered == 4
    clock.ms += 100
    limiter.admit("a.b", "agent:n4")
    assert limiter._windows[0][1].remembered == 1


def test_without_limits_everything_passes() -> None:
    limiter = RateLimiter([], Clock())
    limiter.admit("a.b", "user:ann")
    limiter.remember("a.b", "user:ann", 5)
    assert limiter.longest_ms == 0
