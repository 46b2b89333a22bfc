"""Many records of one matter become what joining them one after the other gives."""

from __future__ import annotations

from functools import reduce
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.findings import merging
from assent.findings.finding import Finding, Location, Severity
from assent.findings.merging import RANK, merged

WORDS: Final = st.lists(st.sampled_from("abcde"), max_size=4).map(tuple)
FINDINGS: Final = st.builds(
    lambda severity, second, places, cwe: Finding(
        finding_schema_version="1.0.0",
        id="00000000-0000-8000-8000-000000000001",
        project_id="0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a11",
        detector_id="tool.rule",
        title="It",
        severity=severity,
        original_severity=severity.value,
        resource="a",
        created_at=f"2026-11-23T09:30:0{second}Z",
        locations=tuple(Location(path=one) for one in places),
        cwe=tuple(f"CWE-{ord(one)}" for one in cwe),
    ),
    st.sampled_from(Severity),
    st.integers(0, 9),
    WORDS,
    WORDS,
)
LISTED_MAX: Final = 3


def of_two(first: Finding, other: Finding) -> Finding:
    """The same of two records, written down plainly."""
    worse = other if RANK[other.severity] > RANK[first.severity] else first

    def both(name: str) -> Any:
        one, more = getattr(first, name), getattr(other, name)
        return one if not more or one == more else tuple(dict.fromkeys((*one, *more)))[:LISTED_MAX]

    return msgspec.structs.replace(
        first,
        severity=worse.severity,
        original_severity=worse.original_severity,
        created_at=min(first.created_at, other.created_at),
        locations=both("locations"),
        cwe=both("cwe"),
    )


@given(FINDINGS, st.lists(FINDINGS, max_size=8))
def test_many_records_say_what_they_say_one_after_the_other(first: Finding, others: list[Finding]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "LISTED_MAX", LISTED_MAX)
        assert merged(first, iter(others)) == reduce(of_two, others, first)
