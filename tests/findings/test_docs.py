"""The programs on the pages about findings do what they say."""

from __future__ import annotations

import pytest

from tests.docs.pages import ROOT, examples

PAGES = ("findings.md", "findings-parsers.md", "findings-reports.md", "findings-risk.md")
PROGRAMS = [
    pytest.param(example.text, id=f"{page}-{number}")
    for page in PAGES
    for number, example in enumerate(examples(ROOT / "docs" / page))
    if example.kind == "python"
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_a_page_runs(program: str) -> None:
    exec(compile(program, "a page", "exec"), {})
