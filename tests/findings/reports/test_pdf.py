"""A PDF is made of any findings, the same bytes of the same ones, and says what it needs where it is not installed."""

from __future__ import annotations

import importlib
import re
import sys
import zlib

import pytest
from hypothesis import given, settings

from assent.errors import InputError
from assent.findings.reports import Format, write_report
from assent.findings.reports import _pdf as pdf_report
from assent.findings.triage import Reported
from tests.support.reported import HOSTILE, INFO, MANY, reported, written


def words(data: bytes) -> str:
    """The texts on the pages."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", data, re.DOTALL)
    pages = b"".join(zlib.decompress(one) for one in streams if one[:1] == b"\x78")
    return b" ".join(re.findall(rb"\((.*?)\) Tj", pages, re.DOTALL)).decode("latin-1")


@settings(max_examples=25)
@given(findings=MANY)
def test_any_findings_make_a_pdf(findings: list[Reported]) -> None:
    data = written(Format.PDF, *findings)
    assert data.startswith(b"%PDF-")
    assert len(data) > 1_000
    assert data.rstrip().endswith(b"%%EOF")


def test_findings_are_in_it_the_worst_first() -> None:
    text = words(
        written(Format.PDF, reported(1, title="Mild"), reported(2, severity="critical", title="Terrible"))
    )
    assert 0 < text.index("Terrible") < text.index("Mild")
    assert "shop.example" in text
    assert "No findings found." in words(written(Format.PDF))


def test_same_findings_make_the_same_bytes() -> None:
    findings = [reported(number, title=text) for number, text in enumerate(HOSTILE)]
    assert written(Format.PDF, *findings) == written(Format.PDF, *findings)


def test_characters_that_the_fonts_lack_are_written_out() -> None:
    assert pdf_report.latin("ü 中") == "ü \\u4e2d"


def test_very_many_findings_are_told_and_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_report, "FINDINGS_MAX", 1)
    assert "1 more are not listed." in words(written(Format.PDF, reported(1), reported(2)))


def test_without_its_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fpdf", None)
    monkeypatch.delitem(sys.modules, "assent.findings.reports._pdf")
    monkeypatch.delattr(importlib.import_module("assent.findings.reports"), "_pdf")
    with pytest.raises(InputError) as refused:
        write_report(Format.PDF, list, INFO)
    assert refused.value.code == "REPORT_EXTRA_MISSING"
    assert refused.value.hint == "pip install 'assent[pdf]'"
