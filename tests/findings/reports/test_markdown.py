"""Markdown in which nothing that a scanner wrote is markup, by a reader of CommonMark with tables."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from markdown_it import MarkdownIt

from assent.findings.reports import Format
from assent.findings.reports import _markdown as markdown_report
from assent.findings.reports._markdown import escaped
from assent.findings.triage import Reported
from tests.support.reported import MANY, TEXTS, reported, written

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
KNOWN = {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td"}


def tags(text: str) -> list[str]:
    return re.findall(r"<([a-z0-9]+)", READER.render(text))


@given(findings=MANY)
def test_no_markup_comes_from_data(findings: list[Reported]) -> None:
    found = tags(written(Format.MARKDOWN, *findings).decode())
    assert {*found} <= KNOWN
    assert found.count("table") == 1 + bool(findings)
    # The head of each table, a row for each severity, and one for each finding.
    assert found.count("tr") == 7 + (1 + len(findings) if findings else 0)
    assert found.count("td") == 2 * 6 + 6 * len(findings)


@given(text=TEXTS)
def test_an_escaped_text_is_shown_as_it_is(text: str) -> None:
    shown = READER.renderInline(f"a {escaped(text)} z")
    assert "<" not in shown
    assert "\n" not in escaped(text)


@given(text=TEXTS)
def test_no_address_and_no_name_is_left_for_a_host_to_link(text: str) -> None:
    assert not re.search(r"(?i)https?://|www\.|[@#]\w", escaped(text))


def test_a_report_without_findings_says_so() -> None:
    assert "No findings found." in written(Format.MARKDOWN).decode()
    assert "1 finding: 1 active" in written(Format.MARKDOWN, reported()).decode()


def test_what_is_not_listed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown_report, "FINDINGS_MAX", 1)
    text = written(
        Format.MARKDOWN, reported(1, title="mild"), reported(2, severity="high", title="bad")
    ).decode()
    assert "bad" in text
    assert "mild" not in text
    assert "1 more are not listed." in text
