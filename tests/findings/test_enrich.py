"""What follows from a finding alone: its places in the OWASP Top 10, and a score of risk that more of anything never lowers."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.findings import Cvss, Finding, Severity
from assent.findings.enrich import BANDS, enriched, is_exposed, owasp_of, risk_of
from tests.support.reported import REPORTED, reported

ORDERED = [Severity.INFO, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL]
FINDINGS = REPORTED.map(lambda one: one.finding)
replace = msgspec.structs.replace


def test_the_lists_are_as_long_as_owasp_says_and_name_each_weakness_once() -> None:
    said = tomllib.loads(files("assent.findings").joinpath("owasp.toml").read_text("utf-8"))
    counts = [len(about["cwe"]) for about in said.values()]
    assert [*said] == [f"A{number:02}:2021" for number in range(1, 11)]
    assert counts == [34, 29, 33, 40, 20, 3, 22, 10, 4, 1]
    assert len({number for about in said.values() for number in about["cwe"]}) == sum(counts)


@pytest.mark.parametrize(
    ("weaknesses", "places"),
    [
        (["CWE-79"], ("A03:2021",)),
        (["CWE-918", "CWE-22", "CWE-35"], ("A01:2021", "A10:2021")),
        (["CWE-9999999"], ()),
        ([], ()),
    ],
)
def test_places_follow_from_weaknesses(weaknesses: list[str], places: tuple[str, ...]) -> None:
    assert owasp_of(weaknesses) == places


def test_what_the_tool_said_stays() -> None:
    assert enriched(reported(cwe=["CWE-79"]).finding).owasp == ("A03:2021",)
    said = reported(cwe=["CWE-79"], owasp=["A01:2017"]).finding
    assert enriched(said) is said
    unknown = reported(cwe=["CWE-9999999"]).finding
    assert enriched(unknown) is unknown


@given(finding=FINDINGS)
def test_risk_is_between_0_and_100_and_the_same_each_time(finding: Finding) -> None:
    assert 0 <= risk_of(finding) <= 100
    assert risk_of(finding) == risk_of(msgspec.json.decode(finding.to_json(), type=Finding))


@given(finding=FINDINGS)
def test_a_worse_severity_never_has_a_lower_risk(finding: Finding) -> None:
    found = [risk_of(replace(finding, severity=one)) for one in ORDERED]
    assert found == sorted(found)


@given(
    finding=FINDINGS,
    scores=st.lists(st.floats(0, 10), min_size=2, max_size=4),
    sure=st.lists(st.integers(0, 100), min_size=2),
)
def test_a_higher_score_or_a_surer_tool_never_lowers_it(
    finding: Finding, scores: list[float], sure: list[int]
) -> None:
    by_score = [risk_of(replace(finding, cvss=Cvss(score=one))) for one in sorted(scores)]
    by_sureness = [risk_of(replace(finding, confidence=one)) for one in sorted(sure)]
    assert by_score == sorted(by_score)
    assert by_sureness == sorted(by_sureness)


@pytest.mark.parametrize(
    ("said", "risk"),
    [
        ({"severity": "critical", "cvss": {"score": 10.0}}, 100),
        ({"severity": "critical"}, 90),
        ({"severity": "high", "cvss": {"score": 8.0}}, 75),
        ({"severity": "medium"}, 43),
        ({"severity": "unknown"}, 43),
        ({"severity": "medium", "confidence": 0}, 21),
        ({"severity": "high", "resource": "src/app.py"}, 61),
        ({"severity": "info", "cvss": {"score": 0.0}}, 0),
    ],
)
def test_the_formula_is_the_one_of_the_page(said: dict[str, Any], risk: int) -> None:
    assert risk_of(reported(**said).finding) == risk


@pytest.mark.parametrize(
    ("location", "is_so"),
    [
        ({"url": "https://shop.example.com/"}, True),
        ({"host": "1.1.1.1"}, True),
        ({"url": "http://localhost:8080/"}, False),
        ({"host": "10.1.2.3"}, False),
        ({"url": "http://[::1]/"}, False),
        ({"host": "db.internal"}, False),
        ({"path": "src/app.py"}, False),
        ({"package": "lodash"}, False),
    ],
)
def test_what_a_network_reaches_is_told_from_what_it_does_not(
    location: dict[str, str], *, is_so: bool
) -> None:
    assert is_exposed(reported(locations=[location]).finding) is is_so


@pytest.mark.parametrize(
    ("resource", "is_so"),
    [
        ("https://shop.example.com/a?b=1", True),
        ("shop.example.com", True),
        ("shop.example.com:8443", True),
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("[2606:4700::1111]:443", True),
        ("кто.рф", True),
        ("http://localhost/", False),
        ("10.1.2.3:80", False),
        ("::1", False),
        ("db.internal", False),
        ("localhost", False),
        ("src/app.py", False),
        ("lodash", False),
        ("lodash 4.17.4", False),
        ("org.example:core", False),
        ("4.17.4", False),
        ("shop.example.com?a=1", False),
    ],
)
def test_without_a_location_the_resource_says_it(resource: str, *, is_so: bool) -> None:
    assert is_exposed(reported(resource=resource, locations=[]).finding) is is_so


def test_bands_touch_and_do_not_overlap() -> None:
    assert [BANDS[one] for one in ORDERED] == [(0, 10), (10, 30), (30, 55), (55, 80), (80, 100)]
    assert BANDS[Severity.UNKNOWN] == BANDS[Severity.MEDIUM]
