"""The programs on the page about knowledge do what they say."""

from __future__ import annotations

import pytest

from tests.docs.pages import ROOT, examples

PROGRAMS = [
    pytest.param(example.text, id=str(number))
    for number, example in enumerate(examples(ROOT / "docs" / "knowledge.md"))
    if example.kind == "python"
    and "Runtime" not in example.text  # that one is a newcomer's: tests/docs/test_examples.py
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_the_page_runs(program: str) -> None:
    exec(compile(program, "a page", "exec"), {})
