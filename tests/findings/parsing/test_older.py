"""The shape before schema 1.0.0 is read and written, and whatever the other shape can't hold is told."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from assent.errors import InputError
from assent.findings import Finding, read_finding
from assent.findings.finding import TEXT_CHARACTERS_MAX
from assent.findings.parsing import read_older, write_older
from tests.findings.test_finding import LEAST, WHOLE

OLDER: dict[str, Any] = {
    **{key: value for key, value in LEAST.items() if key != "finding_schema_version"},
    "severity": "high",
    "cwe": 79,
    "owasp": "A05:2021",
    "req": "GET / HTTP/1.1",
    "res": "HTTP/1.1 200 OK",
}


def read(**other: Any) -> Finding:
    return read_older({**OLDER, **other}).finding


def test_an_older_document_is_a_finding_and_comes_back_as_it_was() -> None:
    given = copy.deepcopy(OLDER)
    finding, left = read_older(given)
    assert given == OLDER
    assert (finding.cwe, finding.owasp, left) == (("CWE-79",), ("A05:2021",), ())
    assert msgspec.to_builtins(finding.evidence) == {"request": OLDER["req"], "response": OLDER["res"]}
    assert write_older(finding) == (OLDER, ())
    encoded = msgspec.json.encode(OLDER)
    assert read_older(encoded).finding == read_older(encoded.decode()).finding == finding


@pytest.mark.parametrize("document", [LEAST, WHOLE, {**WHOLE, "cwe": ["CWE-1", "CWE-2"]}])
def test_whatever_is_not_told_as_left_survives_the_way_there_and_back(document: dict[str, Any]) -> None:
    finding = read_finding(document)
    older, left = write_older(finding)
    kept = {key: value for key, value in document.items() if key not in left}
    for part in (one.partition(".") for one in left):
        if part[1]:
            kept[part[0]] = {key: value for key, value in kept[part[0]].items() if key != part[2]}
    back = msgspec.json.decode(read_older(older).finding.to_json())
    if "cwe" in left:
        assert back.pop("cwe") == document["cwe"][:1]
    assert back == kept


def test_the_way_back_tells_all_that_the_older_shape_lacks() -> None:
    told = ("confidence", "evidence.extracted", "fingerprint", "locations", "original_severity")
    assert write_older(read_finding(WHOLE)).left == told
    assert write_older(read_finding({**WHOLE, "owasp": ["A01:2021", "A02:2021"]})).left == (*told, "owasp")


@pytest.mark.parametrize(
    ("given", "now"),
    [
        ("pattern:x", "pattern_x"),
        ("nuclei:x", "nuclei.x"),
        ("nuclei:a b@c", "nuclei.a_b_c"),
        ("plain", "plain"),
    ],
)
def test_a_detector_has_its_name_of_now(given: str, now: str) -> None:
    assert read(detector_id=given).detector_id == now


@pytest.mark.parametrize("given", [79, "79", "CWE-79", ["cwe-79"]])
def test_a_weakness_is_named(given: Any) -> None:
    assert read(cwe=given).cwe == ("CWE-79",)


def test_what_has_no_form_is_told_and_not_kept() -> None:
    finding, left = read_older(
        {
            **OLDER,
            "owasp": "A5",
            "cve_ids": ["CVE-XXXX-YYYY"],
            "status": 3,
            "run_id": None,
            "evidence": "the line",
            "confidence": "certain",
        }
    )
    assert (finding.owasp, finding.cve_ids, finding.confidence) == ((), (), 100)
    assert left == ("cve_ids", "owasp", "status")
    assert msgspec.to_builtins(finding.evidence)["matched"] == "the line"


def test_evidence_that_is_there_already_wins() -> None:
    finding = read(evidence={"request": "the whole"}, res={"raw": "the answer"})
    assert msgspec.to_builtins(finding.evidence) == {"request": "the whole", "response": "the answer"}


@pytest.mark.parametrize(
    ("other", "left"),
    [
        ({"cwe": [79, "none"]}, "cwe"),
        ({"cve_ids": ["CVE-2021-44228", "CVE-1"]}, "cve_ids"),
        ({"req": "x" * (TEXT_CHARACTERS_MAX + 1)}, "req"),
        ({"res": {"status": 200, "body": ""}}, "res"),
        ({"req": "one", "evidence": {"request": "other"}}, "req"),
        ({"evidence": ["a", "b"]}, "evidence"),
        ({"original_severity": "HIGH"}, "original_severity"),
    ],
)
def test_what_is_taken_along_in_part_is_told(other: dict[str, Any], left: str) -> None:
    assert read_older({**OLDER, **other}).left == (left,)


@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_what_is_empty_is_nothing(empty: Any) -> None:
    keys = ("cwe", "owasp", "req", "evidence", "cvss", "run_id", "status")
    assert read_older({**OLDER, **dict.fromkeys(keys, empty)}).left == ()


@pytest.mark.parametrize(
    ("given", "severity", "original"),
    [
        ("High", "high", "High"),
        ("odd", "unknown", "odd"),
        ("unknown", "unknown", None),
        (None, "unknown", None),
    ],
)
def test_a_severity_is_one_of_now_and_keeps_its_word(given: Any, severity: str, original: str | None) -> None:
    finding = read(severity=given)
    assert (finding.severity, finding.original_severity or None) == (severity, original)


@pytest.mark.parametrize("given", [1795426200, 1795426200000, "2026-11-23T09:30:00+00:00"])
def test_a_moment_is_one_of_now(given: Any) -> None:
    assert read(created_at=given).created_at == "2026-11-23T09:30:00Z"


@pytest.mark.parametrize("given", ["", 5, "nuclei:", ":x", None])
def test_a_detector_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(InputError) as refused:
        read(detector_id=given)
    assert refused.value.code == "FINDING_INVALID"


@pytest.mark.parametrize("document", [b"{", b"\xff", [], {}, {"evidence": {"request": 1}}, {1: 2}])
def test_what_is_no_finding_is_refused(document: Any) -> None:
    with pytest.raises(InputError) as refused:
        read_older(document)
    assert refused.value.code == "FINDING_INVALID"


def test_a_finding_of_now_is_read_as_it_is_and_a_later_one_refused() -> None:
    assert read_older(WHOLE) == (read_finding(WHOLE), ())
    with pytest.raises(InputError) as refused:
        read_older({**WHOLE, "finding_schema_version": "2.0.0"})
    assert refused.value.code == "FINDING_TOO_NEW"
