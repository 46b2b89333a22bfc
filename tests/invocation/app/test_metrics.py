"""Metrics are exact, bounded, and read as one moment."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from assent.invocation import Metrics
from assent.invocation.app.metrics import NAMES_MAX, OTHER
from tests.support.properties import holds

CAPABILITIES = st.sampled_from(["io.fs.read_file", "io.fs.write_file", "sys.noop"])
OUTCOMES = st.sampled_from(["succeeded", "failed", "denied", "cancelled"])
CODES = st.none() | st.sampled_from(["INVALID_INPUT", "STEP_TIMEOUT", "RATE_LIMITED"])
DURATIONS = st.integers(0, 1 << 45)
CALLS = st.lists(st.tuples(CAPABILITIES, OUTCOMES, DURATIONS, CODES))


def counts(snapshot: dict[str, Any], table: str) -> dict[str, Any]:
    found = snapshot[table]
    assert isinstance(found, dict)
    return found


@holds("metrics")
@given(CALLS, st.lists(st.tuples(st.sampled_from(["ALLOW", "DENY"]), st.booleans())))
def test_counts_equal_what_happened(
    calls: list[tuple[str, str, int, str | None]], others: list[tuple[str, bool]]
) -> None:
    """Every call, error, decision and validation is counted once, under its own name; durations are bounded from above."""
    metrics = Metrics()
    for capability, outcome, duration, code in calls:
        metrics.call(capability, outcome, duration, code)
    for effect, passed in others:
        metrics.decision(effect)
        metrics.validation("input", passed=passed)
        metrics.hook("global.before", "ok", 1)
        metrics.secret("given")
    found = metrics.snapshot()
    assert {name: one["count"] for name, one in counts(found, "calls").items()} == Counter(
        call[0] for call in calls
    )
    assert found["errors"] == Counter(call[3] for call in calls if call[3] is not None)
    assert found["decisions"] == Counter(effect for effect, _ in others)
    assert found["validations"] == Counter(
        "input.passed" if passed else "input.refused" for _, passed in others
    )
    assert sum(one["count"] for one in counts(found, "hooks").values()) == len(others)
    assert sum(counts(found, "secrets").values()) == len(others)
    for name, series in counts(found, "calls").items():
        mine = sorted(call[2] for call in calls if call[0] == name)
        assert series["outcomes"] == Counter(call[1] for call in calls if call[0] == name)
        assert series["duration_us"]["sum"] == sum(mine)
        assert series["duration_us"]["max"] == mine[-1]
        for bound, below in series["duration_us"]["under"].items():
            assert below == sum(one < int(bound) for one in mine)
        median = mine[(len(mine) - 1) // 2]
        assert median <= series["duration_us"]["p50"]
        if median < 1 << 38:
            assert series["duration_us"]["p50"] <= 2 * median + 1


@given(st.lists(st.integers(0, 3 * NAMES_MAX), max_size=50))
def test_names_are_bounded_and_totals_stay_exact(extra: list[int]) -> None:
    """A flood of names fills each table up to its limit and one more line, and loses nothing of the sum."""
    metrics = Metrics()
    names = [f"flood.n{number}" for number in (*range(NAMES_MAX + 5), *extra)]
    for name in names:
        metrics.call(name, "failed", 1, name)
    found = metrics.snapshot()
    for table in ("calls", "errors"):
        assert len(counts(found, table)) == NAMES_MAX + 1
        assert OTHER in counts(found, table)
    assert sum(one["count"] for one in counts(found, "calls").values()) == len(names)
    assert sum(counts(found, "errors").values()) == len(names)


def test_counts_of_several_threads_add_up() -> None:
    """Nothing is lost when threads count at once."""
    metrics = Metrics()

    def work() -> None:
        for _ in range(2000):
            metrics.call("a.b", "succeeded", 3)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(metrics.snapshot(), "calls")["a.b"]["count"] == 8000


def test_a_snapshot_does_not_change_afterwards() -> None:
    metrics = Metrics()
    metrics.decision("ALLOW")
    before = metrics.snapshot()
    metrics.decision("ALLOW")
    assert before["decisions"] == {"ALLOW": 1}
