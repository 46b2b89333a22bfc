"""Times of day as moments of a clock that nobody can set: what was set to three seconds lasts no longer."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from assent.spec.moments import Moments

JUMPS = st.integers(-400 * 86_400_000, 400 * 86_400_000)
SPANS = st.integers(0, 30 * 86_400_000)


@dataclass
class Clocks:
    """A wall clock that jumps and one that does not."""

    wall_ms: int = 2_000_000_000_000
    steady_ms: int = 5_000

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_ms(self) -> int:
        return self.steady_ms


@given(span=SPANS, jump=JUMPS)
def test_a_jump_of_the_clock_moves_nothing_that_is_known(span: int, jump: int) -> None:
    clocks = Clocks()
    moments = Moments[str](clocks)
    set_ms = clocks.wall_ms
    assert moments.at_ms("a", set_ms=set_ms, due_ms=set_ms + span) == 5_000 + span
    clocks.wall_ms += jump
    assert moments.at_ms("a", set_ms=set_ms, due_ms=set_ms + span) == 5_000 + span


@given(span=SPANS, jump=JUMPS, later=SPANS)
def test_what_is_learned_from_a_record_lasts_at_most_as_long_as_was_set(
    span: int, jump: int, later: int
) -> None:
    """And no longer than until its time of day, when the clock is right."""
    clocks = Clocks()
    set_ms = clocks.wall_ms
    clocks.wall_ms += jump + later
    left = Moments[str](clocks).at_ms("a", set_ms=set_ms, due_ms=set_ms + span) - 5_000
    assert 0 <= left <= span
    if jump == 0:
        assert left == max(0, span - later)


def test_another_time_is_another_moment_and_what_is_forgotten_is_computed_anew() -> None:
    clocks = Clocks()
    moments = Moments[str](clocks)
    now = clocks.wall_ms
    assert moments.at_ms("a", set_ms=now, due_ms=now + 10) == 5_010
    assert moments.at_ms("a", set_ms=now, due_ms=now + 20) == 5_020
    clocks.wall_ms += 5
    moments.forget("a")
    moments.forget("b")
    assert moments.at_ms("a", set_ms=now, due_ms=now + 20) == 5_015


def test_a_time_before_it_was_set_is_waited_for_by_the_clock() -> None:
    """Somebody set it under another clock; nothing bounds it then but the time itself."""
    clocks = Clocks()
    now = clocks.wall_ms
    assert Moments[str](clocks).at_ms("a", set_ms=now + 99, due_ms=now + 60) == 5_060
