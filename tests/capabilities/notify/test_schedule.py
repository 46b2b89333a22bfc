"""A webhook is tried again as the specification's schedule says, later where the receiver asks for it, and not for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.capabilities.notify._attempt import ASKED_MS_MAX, ATTEMPTS_MAX, asked_ms, delay_ms

NOW_MS = 1_700_000_000_000


def test_the_schedule_is_that_of_the_specification() -> None:
    """Its column "Time since start", to the second."""
    since_start, table = 0, []
    for attempts in range(1, ATTEMPTS_MAX):
        waited = delay_ms(attempts)
        assert waited is not None
        since_start += waited
        table.append(str(timedelta(milliseconds=since_start)))
    assert table == [
        "0:00:05",
        "0:05:05",
        "0:35:05",
        "2:35:05",
        "7:35:05",
        "17:35:05",
        "1 day, 7:35:05",
        "2 days, 3:35:05",
        "3 days, 3:35:05",
    ]
    assert delay_ms(ATTEMPTS_MAX) is None


@given(
    attempts=st.integers(min_value=1, max_value=ATTEMPTS_MAX + 5),
    asked=st.integers(min_value=0, max_value=1 << 60),
    jitter=st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_a_delay_keeps_within_its_bounds(attempts: int, asked: int, jitter: float) -> None:
    """Never before the schedule, never much behind it, unless the receiver asks; never more than a day of what it asks."""
    planned = delay_ms(attempts)
    waited = delay_ms(attempts, asked_ms=asked, jitter=jitter)
    if planned is None:
        assert waited is None
        return
    assert waited is not None
    assert max(planned, min(asked, ASKED_MS_MAX)) <= waited <= max(planned * 1.1, min(asked, ASKED_MS_MAX))


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", 0),
        ("0", 0),
        ("120", 120_000),
        (" 7 ", 7_000),
        ("9" * 400, 999_999_999_999_999_000),
        ("-5", 0),
        ("1.5", 0),
        ("٣", 0),
        ("soon", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799_000 - NOW_MS),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Fri, 99 Xyz 2023 25:61:61 GMT", 0),
        (format_datetime(datetime.fromtimestamp(NOW_MS / 1000 + 90, UTC), usegmt=True), 90_000),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str, wanted: int) -> None:
    assert asked_ms(header, NOW_MS) == wanted
