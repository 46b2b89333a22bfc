"""Counts, sizes and durations: one way to tell each, in every command."""

from __future__ import annotations

import pytest

from assent.cli.terminal._units import duration_text
from assent.spec.words.durations import parse_duration_ms, write_duration
from assent.spec.words.sizes import count_text, size_text


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries"), (-1, "-1 entries")]
)
def test_counts_are_told_in_words(count: int, words: str) -> None:
    assert count_text(count, "entry", "entries") == words
    assert count_text(count, "line") == words.replace("entries", "lines").replace("entry", "line")


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [(500, "500ms"), (1500, "1500ms"), (30_000, "30s"), (900_000, "15m"), (604_800_000, "7d")],
)
def test_durations_are_written_as_the_file_takes_them(duration_ms: int, text: str) -> None:
    assert write_duration(duration_ms) == text
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (64 << 20, "64 MiB"),
        (1023 << 10, "1023 KiB"),
        (3 << 40, "3 TiB"),
        (5000 << 40, "5000 TiB"),
    ],
)
def test_sizes_are_told_in_the_unit_that_reads_best(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1200, "1.2 s"),
        (60_000, "1 min"),
        (200_000, "3 min 20 s"),
        (7_500_000, "2 h 5 min"),
        (604_800_000, "7 d"),
        (604_799_000, "6 d 23 h"),
    ],
)
def test_durations_are_told_in_words(ms: int, words: str) -> None:
    assert duration_text(ms) == words
