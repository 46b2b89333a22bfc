"""The page of properties promises only what a generated test holds."""

from __future__ import annotations

from tools import write_properties

SOURCE = """
@holds("metadata")
@given(st.integers())
def test_generated(number): ...

@holds("replay")
def test_of_one_example(): ...

@holds("undo", "metrics")
class Machine(RuleBasedStateMachine): ...

@given(st.integers())
def test_of_nothing(number): ...
"""


def test_only_generated_tests_hold_a_property() -> None:
    """An example that somebody thought of looks for nothing."""
    assert [*write_properties.tests_of(SOURCE)] == [
        ("metadata", "test_generated"),
        ("undo", "Machine"),
        ("metrics", "Machine"),
    ]


def test_a_property_that_nothing_holds_is_missing() -> None:
    assert write_properties.missing({"metadata": ["test_generated"], "replay": []}) == ["replay"]
