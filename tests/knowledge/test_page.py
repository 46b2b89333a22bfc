"""The examples of `docs/knowledge.md` do what the page says."""

import pytest

from tests.docs.pages import ROOT, Example, examples


@pytest.mark.parametrize(
    "example", [one for one in examples(ROOT / "docs" / "knowledge.md") if one.kind == "python"]
)
def test_an_example_runs(example: Example) -> None:
    exec(compile(example.text, "docs/knowledge.md", "exec"), {"__name__": "example"})
