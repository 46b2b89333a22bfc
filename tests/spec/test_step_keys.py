"""The key of an iteration is put together and taken apart in one place, however deep it lies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assent.spec.ids import StepKey, iteration_key, iteration_of, name_of

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True).map(StepKey)


@given(name=NAMES, indices=st.lists(st.integers(0, 10**6), max_size=4))
def test_an_iteration_tells_its_step_its_index_and_the_name_in_the_workflow(
    name: StepKey, indices: list[int]
) -> None:
    key = name
    assert iteration_of(key) is None
    for index in indices:
        inner = iteration_key(key, index)
        assert iteration_of(inner) == (key, index)
        assert name_of(inner) == name
        key = inner


def test_the_key_of_an_undo_is_no_iteration() -> None:
    assert iteration_of(StepKey("@undo")) is None


def test_the_spelling_is_the_one_that_is_journaled() -> None:
    assert iteration_key(StepKey("many"), 3) == "many[3]"
    assert iteration_key(StepKey("many[3]"), 0) == "many[3][0]"
