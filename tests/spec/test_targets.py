"""What a call acts on is told by the input that says most."""

from __future__ import annotations

import pytest

from assent.spec.targets import name_of, target_of


@pytest.mark.parametrize(
    ("inputs", "name", "target"),
    [
        ({"path": "a.txt", "content": "x"}, "a.txt", "a.txt"),
        ({"source": "a", "destination": "b"}, "b", "a -> b"),
        (
            {"url": "https://example.invalid", "name": "n"},
            "https://example.invalid",
            "https://example.invalid",
        ),
        ({"runs": ["run_1"]}, "run_1", "run_1"),
        ({"runs": ["run_1", "run_2", "run_2"]}, "2 runs", "2 runs"),
        ({"runs": ["run_1"], "plans": ["plan_1"]}, "1 run and 1 plan", "1 run and 1 plan"),
        ({"argv": ["git", "push"]}, "git", "git"),
        ({"runs": "run_1", "argv": []}, None, None),
        ({"path": 5}, None, None),
        ({}, None, None),
    ],
)
def test_the_most_telling_input_names_the_target(
    inputs: dict[str, object], name: str | None, target: str | None
) -> None:
    """A path before a name, both ends where something moves, nothing where nothing is named."""
    assert (name_of(inputs), target_of(inputs)) == (name, target)
