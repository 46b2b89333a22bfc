"""Patterns with `*`: what fits, and that no value makes matching dear."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from assent.spec.words.globs import glob_matches


@given(pattern=st.text("ab*", max_size=8), value=st.text("ab*\n", max_size=8))
def test_a_star_stands_for_any_characters(pattern: str, value: str) -> None:
    """The same as a regular expression with `.*` in the place of each star."""
    expected = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    assert glob_matches(pattern, value) is (expected.fullmatch(value) is not None)


def test_many_stars_are_matched_without_trying_all_ways() -> None:
    """With a regular expression this would not end: the number of ways to lay 40 pieces over the value is beyond counting."""
    assert not glob_matches("*a" * 40 + "*b", "a" * 100)
    assert glob_matches("*a" * 40 + "*b", "a" * 100 + "b")
