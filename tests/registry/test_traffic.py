"""Versions share calls by weight, the same run always gets the same one, and one that fails too often loses its share."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.registry._traffic import (
    HealthLimits,
    Rate,
    VersionHealth,
    chosen,
    sharing,
    spoken,
    switch,
    tallies,
)
from assent.spec.ids import RunId
from assent.spec.semver import precedence
from tests.support.properties import holds

LIMITS: Final = HealthLimits(failed_percent=20, degraded_percent=5, calls_min=10, window_ms=1000)
_weights = st.dictionaries(
    st.sampled_from(["0.9.0", "1.0.0", "1.10.0", "1.9.0", "2.0.0"]), st.integers(0, 100)
)


@holds("several_versions")
@given(weights=_weights, run=st.text(min_size=1, max_size=8))
def test_a_run_is_served_by_one_version_that_has_a_share(weights: dict[str, int], run: str) -> None:
    """The order in which the weights are written does not matter."""
    found = chosen(weights, RunId(run), "a.b")
    again = chosen(dict(reversed(weights.items())), RunId(run), "a.b")
    assert found == again
    assert (found is None) == (not sharing(weights))
    if found is not None:
        assert weights[found] > 0


def test_shares_come_near_the_weights() -> None:
    """One fifth is about one fifth of many runs; each capability has its own draw."""
    runs = [RunId(f"run-{number}") for number in range(2000)]
    weights = {"1.0.0": 80, "2.0.0": 20}
    canary = {run for run in runs if chosen(weights, run, "a.b") == "2.0.0"}
    assert 300 < len(canary) < 500
    assert canary != {run for run in runs if chosen(weights, run, "a.c") == "2.0.0"}
    assert all(chosen({"1.0.0": 60, "2.0.0": 0}, run, "a.b") == "1.0.0" for run in runs)


def test_callers_speak_the_oldest_version_that_has_a_share() -> None:
    """By precedence, not by text; nothing is spoken where nothing is shared."""
    assert spoken({"1.10.0": 1, "1.9.0": 1, "1.0.0": 0}) == "1.9.0"
    assert spoken({"1.0.0": 0}) is None
    assert spoken({}) is None


@pytest.mark.parametrize(
    ("calls", "errors", "state"),
    [
        (9, 9, VersionHealth.HEALTHY),
        (10, 0, VersionHealth.HEALTHY),
        (20, 1, VersionHealth.HEALTHY),
        (20, 2, VersionHealth.DEGRADED),
        (10, 2, VersionHealth.DEGRADED),
        (10, 3, VersionHealth.FAILED),
    ],
)
def test_a_rate_counts_only_past_its_limit_and_over_enough_calls(
    calls: int, errors: int, state: VersionHealth
) -> None:
    """Exactly at a limit is still within it."""
    assert Rate(calls, errors).health(LIMITS) is state


def test_a_failed_version_gives_its_share_to_the_healthy() -> None:
    """In proportion; the degraded one keeps what it has, and gets more only where nobody is healthy."""
    bad, fair, good = Rate(100, 50), Rate(100, 10), Rate(100, 0)
    found = switch(
        {"1.0.0": 60, "1.1.0": 20, "2.0.0": 20}, {"1.0.0": good, "1.1.0": fair, "2.0.0": bad}, LIMITS
    )
    assert found is not None
    assert (found.version, found.rate) == ("2.0.0", bad)
    assert found.weights == {"1.0.0": 80, "1.1.0": 20, "2.0.0": 0}
    taken = switch({"1.1.0": 80, "2.0.0": 20}, {"1.1.0": fair, "2.0.0": bad}, LIMITS)
    assert taken is not None
    assert taken.weights == {"1.1.0": 100, "2.0.0": 0}


def test_nothing_is_switched_without_a_reason_or_without_somebody_to_take_over() -> None:
    """The last one serves on."""
    bad = Rate(100, 50)
    assert switch({"2.0.0": 20}, {"2.0.0": bad}, LIMITS) is None
    assert switch({"1.0.0": 1, "2.0.0": 20}, {"1.0.0": bad, "2.0.0": bad}, LIMITS) is None
    assert switch({"1.0.0": 1, "2.0.0": 20}, {"1.0.0": Rate(50, 1)}, LIMITS) is None
    assert switch({"1.0.0": 1, "2.0.0": 0}, {"2.0.0": bad}, LIMITS) is None


@holds("several_versions")
@given(
    weights=_weights,
    errors=st.dictionaries(st.sampled_from(["1.0.0", "1.9.0", "2.0.0"]), st.integers(0, 100)),
)
def test_a_switch_keeps_the_sum_of_all_shares(weights: dict[str, int], errors: dict[str, int]) -> None:
    """Nothing is lost, the failed one gets nothing, and nobody is added."""
    found = switch(weights, {version: Rate(100, count) for version, count in errors.items()}, LIMITS)
    if found is not None:
        assert sum(found.weights.values()) == sum(weights.values())
        assert found.weights[found.version] == 0
        assert set(sharing(found.weights)) <= set(sharing(weights))
        assert sorted(sharing(found.weights), key=precedence) == sharing(found.weights)


def test_only_what_happened_in_the_window_counts() -> None:
    """Older outcomes are forgiven."""
    found = tallies([("1.0.0", 5, True), ("1.0.0", 50, False), ("2.0.0", 60, True), ("1.0.0", 70, True)])
    assert found["1.0.0"].rate(since_ms=50) == Rate(2, 1)
    assert found["1.0.0"].rate(since_ms=0) == Rate(3, 2)
    assert found["2.0.0"].rate(since_ms=61) == Rate(0, 0)
