"""A page on which nothing that a scanner wrote is markup, and that loads and runs nothing."""

from __future__ import annotations

import re
from base64 import b64decode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from hypothesis import given

from assent.findings.merging import WORST_FIRST
from assent.findings.reports import Format
from assent.findings.reports import _html as html_report
from assent.findings.triage import Reported
from tests.support.reported import HOSTILE, MANY, reported, written

KNOWN = {
    "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "ul", "li", "span", "table", "caption",
    "thead", "tbody", "tr", "th", "td", "details", "summary", "strong", "br", "code", "dl", "dt", "dd", "pre", "a",
}  # fmt: skip
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "scope", "href", "rel"}


class Page(HTMLParser):
    """What a reader of HTML sees."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.others: list[str] = []
        self.text: list[str] = []
        self.feed(data.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)


@given(findings=MANY)
def test_no_tag_attribute_or_comment_comes_from_data(findings: list[Reported]) -> None:
    page = Page(written(Format.HTML, *findings))
    assert {*page.tags} <= KNOWN
    assert {name for name, _ in page.attributes} <= ATTRIBUTES
    assert page.others == []
    for tag in ("html", "head", "title", "style", "body", "main", "h1", "h2"):
        assert page.tags.count(tag) == 1
    assert page.tags.count("details") == page.tags.count("strong") == len(findings)
    for name, value in page.attributes:
        if name == "href":
            assert re.fullmatch(r"https?://\S+", value or "")


@pytest.mark.parametrize("text", HOSTILE)
def test_the_same_tags_whatever_a_finding_says(text: str) -> None:
    """A hostile finding and a harmless one of the same shape are the same page but for its words."""

    def tags(said: str) -> list[str]:
        one = reported(
            title=said, resource=said, evidence={"response": said, "matched": said}, locations=[{"url": said}]
        )
        return Page(written(Format.HTML, one)).tags

    assert tags(text) == tags("harmless")


def test_the_policy_allows_the_pages_own_style_and_nothing_else() -> None:
    data = written(Format.HTML, reported()).decode()
    (policy,) = [
        value
        for name, value in Page(data.encode()).attributes
        if name == "content" and "default-src" in (value or "")
    ]
    style = re.search(r"<style>(.*?)</style>", data, re.DOTALL)
    assert style is not None
    assert policy is not None
    digest = re.search(r"style-src 'sha256-([^']+)'", policy)
    assert digest is not None
    assert b64decode(digest[1]) == sha256(style[1].encode()).digest()
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_what_turns_the_direction_of_text_is_written_out() -> None:
    text = written(Format.HTML, reported(title="\u202egnp.exe")).decode()
    assert "\u202e" not in text
    assert r"\u202egnp.exe" in text


def test_worst_comes_first_and_severities_are_words() -> None:
    findings = [
        reported(number, severity=one.value, title=f"T-{one.value}")
        for number, one in enumerate(reversed(WORST_FIRST))
    ]
    text = " ".join(Page(written(Format.HTML, *findings)).text)
    assert re.findall(r"T-(\w+)", text) == [one.value for one in WORST_FIRST]
    assert "No findings found." in written(Format.HTML).decode()


def test_a_page_lists_the_worst_and_tells_how_many_more_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_report, "FINDINGS_MAX", 1)
    text = written(
        Format.HTML, reported(1, title="mild"), reported(2, severity="critical", title="bad")
    ).decode()
    assert "bad" in text
    assert "mild" not in text
    assert "1 more are not listed." in text


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_every_text_has_the_contrast_that_wcag_aa_asks_for() -> None:
    style = re.search(r"<style>(.*?)</style>", written(Format.HTML).decode(), re.DOTALL)
    assert style is not None
    themes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style[1])
    ]
    assert len(themes) == 2
    for theme in themes:
        for ink in ("ink", "soft", "link"):
            for paper in ("paper", "ground"):
                assert _contrast(theme[ink], theme[paper]) >= 4.5, (ink, paper)
    grounds = re.findall(r"\.severity\.\w+ \{ background: (#[0-9a-f]{6})", style[1])
    assert len(grounds) == 6
    assert all(_contrast("#ffffff", one) >= 4.5 for one in grounds)
