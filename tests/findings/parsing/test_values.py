"""What tools write becomes what a finding may hold, and never a fault."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.findings import Cvss, Finding
from assent.findings.parsing import _values as values
from tests.findings.parsing.test_cutting import PLAIN
from tests.findings.test_finding import LEAST

FORMS: dict[str, dict[Any, Any]] = {
    "text": {"a": "a", "": None, None: None, 1: "1", 1.5: "1.5", ("a", None, 2): "a, 2", "\n": "\n"},
    "name": {" a\n": "a", " ": None, None: None, ("a", "b"): "a, b"},
    "texts": {"a": ("a",), ("a", "", 1): ("a", "1"), None: None, (): None},
    "count": {3: 3, "12": 12, " 7 ": 7, 2.9: 2, -1: None, "x": None, None: None, True: None, "9" * 20: None, 1 << 60: None},
    "line": {3: 3, "12-14": 12, "12": 12, "-5": None, "": None, None: None},
    "file": {"./a//b.py": "a/b.py", "a\\b": "a/b", "C:\\x": "c:/x", ".": None, "": None, None: None, " /a ": "/a"},
    "port": {443: 443, "80": 80, 70000: None, "": None},
    "score": {9.8: 9.8, "5.3": 5.3, 11: None, "x": None, None: None, -1: None, (1,): None},
    "moment": {
        "2026-11-14T03:01:36.198693611+05:30": "2026-11-13T21:31:36.198Z", "2026-11-14T03:01:36Z": "2026-11-14T03:01:36Z",
        "2026-11-14T03:01:36.123456789Z": "2026-11-14T03:01:36.123Z", "2026-11-14 03:01:36": "2026-11-14T03:01:36Z",
        "Thu, 12 Nov 2026 20:57:30 +0000": "2026-11-12T20:57:30Z", 1789677693.5: "2026-09-17T20:41:33.500Z",
        1789677693500: "2026-09-17T20:41:33.500Z", "1789677693": "2026-09-17T20:41:33Z", "never": None, -5: None, True: None,
        None: None, float("nan"): None, "0001-01-01T00:00:00+14:00": None, "2020-04-11 16:51:43 -0700": "2020-04-11T23:51:43Z",
        "2026-02-30T00:00:00+01:00": None, "2026-11-14T03:01:60+01:00": None, "2026-11-14T03:01:36+99:00": None,
        "2026-11-14T03:01:36.000+00:00": "2026-11-14T03:01:36Z", "2026-11-14T03:01:36.5+01:00": "2026-11-14T02:01:36.500Z",
    },
    "confidence": {
        "HIGH": 90, "firm": 70, "85%": 85, 0.5: 0, 150: 100, -3: 0, "x": None, None: None, True: None, float("nan"): None,
    },
    "cwes": {
        True: None,
        79: ("CWE-79",), "79": ("CWE-79",), "cwe-079: Cross": ("CWE-79",), ("CWE-79", 89, "x"): ("CWE-79", "CWE-89"), 0: None,
        None: None, "CWE-0": None, "none": None, "NVD-CWE-noinfo": None, "CWE-79, CWE-89": ("CWE-79", "CWE-89"),
    },
    "cves": {
        "cve-2021-9544": ("CVE-2021-9544",), ("CVE-2021-44228", "CVE-XXXX"): ("CVE-2021-44228",), "CVE-20-1": None, None: None,
    },
    "owasps": {"A05:2021 - Security": ("A05:2021",), "A9: Using": None, "A1-2017": ("A01:2017",), ("A10:2021", 5): ("A10:2021",)},
    "techniques": {"T1059.001 and T1059": ("T1059.001", "T1059"), "T1": None},
    "links": {
        "See https://a.example/x?y#z. Or": ("https://a.example/x?y#z",), "http://u:p@h/": None, "ftp://a": None, None: None,
        ("https://a.example", "https://a.example"): ("https://a.example",),
    },
    "vector": {"CVSS:3.1/AV:N": "CVSS:3.1/AV:N", "AV:N/AC:L": "AV:N/AC:L", "high": None, None: None},
}  # fmt: skip


@pytest.mark.parametrize(
    ("numbered", "line", "alone"),
    [
        ("1 a\n2  b\n3 c\n", 2, " b"), ("1: a\n2:\tb\n", 2, "\tb"), ("7\n8 x", 7, ""), ("1 a\n2 b", 9, "a\nb"),
        ("1 a\n2 b", None, "a\nb"), ("a\nb", 1, "a\nb"), ("", 1, ""), ("1\ta", 1, "a"), ("10x", 10, "10x"),
    ],
)  # fmt: skip
def test_one_line_of_several_that_are_numbered(numbered: str, line: int | None, alone: str) -> None:
    assert values.line_of(numbered, line) == alone


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_brought_about(form: str) -> None:
    for said, wanted in FORMS[form].items():
        value = list(said) if isinstance(said, tuple) else said
        assert getattr(values, form)(value) == wanted, said


@given(
    st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),  # noqa: DTZ001 - its offset is below
    st.integers(-1439, 1439),
)
def test_a_moment_is_the_same_in_utc(at: datetime, minutes: int) -> None:
    there = at.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    exact = there.astimezone(UTC).isoformat(timespec="milliseconds" if at.microsecond >= 1000 else "seconds")
    assert values.moment(there.isoformat()) == exact.replace("+00:00", "Z")


def test_a_text_too_long_to_be_remembered_is_read_alike() -> None:
    link = "https://a.example/" + "x" * 300
    assert values.links([link, link]) == (link,)
    assert values.cwes(f"{'x ' * 300} CWE-79") == ("CWE-79",)


def test_names_of_detectors_have_only_what_they_may() -> None:
    said = {"a b:c": "t.a_b_c", "": "t", "../x": "t.x", "é": "t", "x" * 400: "t." + "x" * 254, "a.": "t.a"}
    assert {one: values.detector("t", one) for one in said} == said


def test_a_vector_tells_its_version() -> None:
    for written, version in {"CVSS:4.0/AV:N": "4.0", "CVSS:3.0/AV:N": "3.0", "AV:N/AC:L": "2.0"}.items():
        assert values.vector_version(written) == version
        assert msgspec.convert({"score": 1, "vector": written, "version": version}, Cvss).vector == written


PROPERTIES = {
    "title": "name", "resource": "name", "created_at": "moment", "confidence": "confidence", "cwe": "cwes", "owasp": "owasps",
    "cve_ids": "cves", "mitre_attack": "techniques", "poc_links": "links",
}  # fmt: skip
SAID = PLAIN | st.floats() | st.from_regex(r"(CWE-|CVE-20|T|A|https?://)[0-9A-Za-z:./ -]{0,12}\n?")


@given(SAID, st.sampled_from(sorted(PROPERTIES)))
def test_whatever_is_said_a_finding_may_hold_what_becomes_of_it(said: Any, name: str) -> None:
    found = getattr(values, PROPERTIES[name])(said)
    if found is not None:
        msgspec.convert({**LEAST, name: found}, Finding)
