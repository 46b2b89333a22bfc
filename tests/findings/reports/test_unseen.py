"""Whoever reads a report sees each of its characters: none drives a terminal, turns the text around, or is there unseen."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from itertools import chain
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.findings.reports import Format
from assent.findings.triage import Note, Suppression, Triage
from tests.findings.reports.test_html import Page
from tests.support.reported import INFO, reported, written

# What Unicode has shown by default though it is a format character: signs of numbers and verses, and joined hieroglyphs.
SEEN = {*map(chr, chain(range(0x600, 0x606), range(0x13430, 0x13460)))} | set(
    "\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
FILLERS = {
    *map(chr, chain(range(0xFE00, 0xFE10), range(0x180B, 0x1810), range(0xE0100, 0xE01F0))),
    *"\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0",
}
UNSEEN = sorted(
    (
        {
            one
            for one in map(chr, range(sys.maxunicode + 1))
            if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")
        }
        | FILLERS
    )
    - SEEN
    - {"\t", "\n"}
)
HOSTILE_TEXTS = st.lists(
    st.sampled_from([*UNSEEN, "=", "a", " ", "\n", ",", "\r\n"]), min_size=1, max_size=6
).map(lambda parts: f"z{''.join(parts)}")


def report(form: Format, said: str) -> bytes:
    """A report of a finding that says this wherever it can."""
    one = reported(
        title=said,
        resource=said,
        original_severity=said,
        locations=[{"url": said, "parameter": said, "method": said}, {"path": said, "name": said}],
        evidence={"request": said, "response": said, "matched": said},
        poc_links=[f"https://evil.example/{''.join(said.split())}"],
        provenance={"tool": said, "tool_version": said},
        triage=Triage(
            notes=(Note(at="2026-11-24T12:00:00Z", by="user:ann", text=said),),
            suppression=Suppression(reason=said),
        ),
    )
    return written(form, one, info=msgspec.structs.replace(INFO, title=f"Findings {said}", project=said))


def texts(form: Format, data: bytes) -> str:
    """What of a report is written for people to read."""
    if form is Format.SARIF:
        (result,) = json.loads(data)["runs"][0]["results"]
        return str(result["message"]["text"] + result["suppressions"][0]["justification"])
    return data.decode()


@pytest.mark.parametrize("form", [Format.HTML, Format.MARKDOWN, Format.CSV, Format.SARIF])
@given(said=HOSTILE_TEXTS)
def test_no_report_has_a_character_that_nobody_sees(form: Format, said: str) -> None:
    _assert_all_is_seen(form, said)


@pytest.mark.parametrize("form", [Format.HTML, Format.MARKDOWN, Format.CSV, Format.SARIF])
def test_each_such_character_is_written_out(form: Format) -> None:
    _assert_all_is_seen(form, "".join(UNSEEN))


def _assert_all_is_seen(form: Format, said: str) -> None:
    text = texts(form, report(form, said))
    if form is Format.MARKDOWN:
        text = re.sub("(?<=[@#])\u200b", "", text)  # ours: it keeps hosts from telling people
    if form is Format.CSV:
        text = text.replace("\r\n", "\n")  # the rows' ends
    assert not {*UNSEEN} & {*text}


def test_a_pdf_writes_them_out_too() -> None:
    pdf = pytest.importorskip("assent.findings.reports._pdf")
    assert not {*UNSEEN} & {*pdf.latin("".join(UNSEEN))}
    assert pdf.latin("a\u00adb") == r"a\xadb"


@pytest.mark.parametrize("unseen", ["\x1b", "\x9b", "\u202e", "\0", "\xad", "\ufe0f", "\u3164", "\U000e0041"])
def test_an_address_with_what_nobody_sees_is_told_and_no_link(unseen: str) -> None:
    def links(address: str) -> list[tuple[str, str | None]]:
        page = Page(written(Format.HTML, reported(poc_links=[address])))
        return [one for one in page.attributes if one[0] == "href"]

    assert links(f"https://evil.example/{unseen}x") == []
    assert links("https://evil.example/x") == [("href", "https://evil.example/x")]


def test_lines_of_an_answer_end_plainly_and_a_lone_return_is_written_out() -> None:
    said: dict[str, Any] = {"response": "HTTP/1.1 200 OK\r\n\r\na\rb"}
    assert "<pre>HTTP/1.1 200 OK\n\na\\x0db</pre>" in written(Format.HTML, reported(evidence=said)).decode()
