"""SARIF is what its schema says, and what is read of it again are the findings that were written."""

from __future__ import annotations

import json
import os
import re
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.findings import Finding
from assent.findings.parsing import About, built_in_tools
from assent.findings.parsing import Report as Reading
from assent.findings.reports import Format, _sarif, write_report
from assent.findings.reports._places import address_of, file_uri
from assent.findings.reports._sarif import RUNS_MAX
from assent.findings.triage import Reported, Status, Suppression, Triage, is_suppressed, moment
from tests.conftest import ROOT
from tests.support.reported import INFO, MANY, reported, written

SCHEMA: Final = (
    Path(os.environ.get("ASSENT_SAMPLES", ROOT.parent / "shared" / "samples"))
    / "findings"
    / "sarif-2.1.0.json"
)
ABOUT: Final = About(project_id="0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a11", created_at="2026-11-24T12:00:00Z")
LATER: Final = "2026-11-25T00:00:00Z"
EARLIER: Final = "2026-11-24T11:00:00Z"


def sarif(*findings: Reported) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(written(Format.SARIF, *findings))
    return found


def results(*findings: Reported) -> list[dict[str, Any]]:
    return [result for run in sarif(*findings)["runs"] for result in run["results"]]


def read_back(data: bytes) -> tuple[list[Finding], Reading]:
    parser = built_in_tools()["sarif"].prepared(BytesIO(data).read)
    report = Reading("sarif")
    found = [one.finding for one in parser.read(BytesIO(data).read, ABOUT, report) if one.finding is not None]
    return found, report


@pytest.fixture(scope="module")
def validator() -> jsonschema_rs.Draft4Validator:
    if not SCHEMA.is_file():
        pytest.skip("the schema of SARIF 2.1.0 is not here")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return jsonschema_rs.Draft4Validator(schema, validate_formats=True)


@given(findings=MANY)
def test_any_findings_are_valid_by_the_official_schema(
    validator: jsonschema_rs.Draft4Validator, findings: list[Reported]
) -> None:
    validator.validate(sarif(*findings))


@given(findings=MANY)
def test_what_was_written_is_read_again_with_its_severity(findings: list[Reported]) -> None:
    now = moment(INFO.generated_at)
    read, report = read_back(written(Format.SARIF, *findings))
    hidden = [
        one
        for one in findings
        if is_suppressed(one.triage, now)
        or one.triage.status in (Status.FALSE_POSITIVE, Status.RISK_ACCEPTED)
    ]
    told = [one for one in findings if one not in hidden]
    assert report.records == len(findings)
    assert report.skipped.total() == len(hidden)
    assert sorted(one.severity for one in read) == sorted(one.finding.severity for one in told)
    assert report.fault is None


def test_detectors_confidence_and_weaknesses_come_back() -> None:
    one = reported(
        detector_id="bandit.B602",
        cwe=["CWE-78"],
        confidence=70,
        owasp=["A03:2021"],
        locations=[{"path": "a b.py", "line": 3}],
    )
    (found,), _ = read_back(written(Format.SARIF, one))
    assert (found.detector_id, found.cwe, found.confidence, found.owasp) == (
        "bandit.B602",
        ("CWE-78",),
        70,
        ("A03:2021",),
    )
    assert (found.locations[0].path, found.locations[0].line) == ("a b.py", 3)


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"locations": [{"path": " "}, {"path": "a.py"}]}, "a.py"),
        ({"locations": [{"host": " "}], "resource": "shop.example"}, "shop.example"),
        ({"locations": [{"host": " "}], "resource": " "}, None),
    ],
)
def test_a_blank_is_no_place_and_the_finding_is_read_again(said: dict[str, Any], place: str | None) -> None:
    (found,), _ = read_back(written(Format.SARIF, reported(**said)))
    assert [one.path or None for one in found.locations] == [place]


def test_no_findings_are_one_run_without_results() -> None:
    (run,) = sarif()["runs"]
    assert (run["tool"]["driver"]["name"], run["results"]) == ("Assent", [])


def test_each_tool_has_its_run_and_its_own_names_of_rules() -> None:
    runs = sarif(
        reported(1, detector_id="nuclei.a"),
        reported(2, detector_id="bandit.B1"),
        reported(3, detector_id="nuclei.b"),
        reported(4, detector_id="x"),
    )["runs"]
    assert [(run["tool"]["driver"]["name"], [one["ruleId"] for one in run["results"]]) for run in runs] == [
        ("nuclei", ["a", "b"]),
        ("bandit", ["B1"]),
        ("Assent", ["x"]),
    ]
    assert all(
        run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] == one["ruleId"]
        for run in runs
        for one in run["results"]
    )


def test_very_many_tools_share_a_run_and_nothing_is_lost() -> None:
    findings = [reported(number, detector_id=f"tool{number}.x") for number in range(50)]
    runs = sarif(*findings)["runs"]
    assert len(runs) == RUNS_MAX + 1
    assert sum(len(run["results"]) for run in runs) == 50


def test_rules_past_the_most_that_are_described_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sarif, "RULES_MAX", 2)
    runs = sarif(*[reported(number, detector_id=f"tool{number % 2}.r{number}") for number in range(6)])[
        "runs"
    ]
    assert sum(len(run["tool"]["driver"]["rules"]) for run in runs) == 2
    assert sum("ruleIndex" in one for run in runs for one in run["results"]) == 2
    assert {one["ruleId"] for run in runs for one in run["results"]} == {f"r{number}" for number in range(6)}


def test_a_rule_is_described_shortly_and_a_result_whole() -> None:
    (run,) = sarif(reported(title="t" * 4096, poc_links=["https://a.example/" + "x" * 2000]))["runs"]
    rule = run["tool"]["driver"]["rules"][0]
    assert rule["shortDescription"]["text"] == "t" * 1000
    assert "helpUri" not in rule
    assert run["results"][0]["message"]["text"] == "t" * 4096


def test_what_comes_in_while_a_report_is_written_is_in_it_once() -> None:
    """The second going through has a tool and a rule that the first had not."""
    passes = iter(
        [
            [reported(1)],
            *[[reported(1), reported(2, detector_id="late.x"), reported(3, detector_id="nuclei.new")]] * 2,
        ]
    )
    runs = json.loads(b"".join(write_report(Format.SARIF, lambda: next(passes), INFO)))["runs"]
    assert [one["ruleId"] for run in runs for one in run["results"]] == ["git-config", "new", "late.x"]


@pytest.mark.parametrize(
    ("severity", "level", "score"),
    [
        ("critical", "error", "9.5"),
        ("high", "error", "8.0"),
        ("medium", "warning", "5.5"),
        ("low", "note", "2.0"),
        ("info", "note", "0.0"),
        ("unknown", "warning", None),
    ],
)
def test_level_and_score_follow_from_the_severity(severity: str, level: str, score: str | None) -> None:
    (result,) = results(reported(severity=severity))
    assert (result["level"], result["properties"].get("security-severity")) == (level, score)


def test_a_cvss_score_stands_for_itself_only_where_it_agrees() -> None:
    agreed, other = results(
        reported(1, severity="high", cvss={"score": 7.4}), reported(2, severity="high", cvss={"score": 3.0})
    )
    assert agreed["properties"]["security-severity"] == "7.4"
    assert other["properties"]["security-severity"] == "8.0"


def test_a_rule_is_as_bad_as_its_worst_finding() -> None:
    driver = sarif(
        reported(1, severity="low"), reported(2, severity="critical"), reported(3, severity="info")
    )["runs"][0]["tool"]["driver"]
    assert driver["rules"][0]["properties"]["security-severity"] == "9.5"


@pytest.mark.parametrize(
    ("triage", "why"),
    [
        (Triage(suppression=Suppression(reason="a test")), "a test"),
        (Triage(suppression=Suppression(reason="a test", until=LATER)), "a test"),
        (Triage(suppression=Suppression(reason="a test", until=EARLIER)), None),
        (Triage(status=Status.FALSE_POSITIVE), "false positive"),
        (Triage(status=Status.RISK_ACCEPTED), "risk accepted"),
        (Triage(status=Status.RESOLVED), None),
    ],
)
def test_what_needs_nothing_done_is_suppressed_with_its_reason(triage: Triage, why: str | None) -> None:
    (result,) = results(reported(triage=triage))
    assert [one["justification"] for one in result.get("suppressions", [])] == ([] if why is None else [why])


def test_a_message_holds_no_link() -> None:
    (result,) = results(reported(title="[click](https://evil.example)"))
    assert result["message"]["text"] == "[click] (https://evil.example)"


def test_evidence_does_not_leave_by_sarif() -> None:
    assert b"hunter2" not in written(Format.SARIF, reported(evidence={"response": "password=hunter2"}))


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("src/a b.py", "src/a%20b.py"),
        ("/etc/passwd", "file:///etc/passwd"),
        ("C:\\x.py", "C%3A/x.py"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
        ("http://evil.example", "http%3A//evil.example"),
        ("ü", "%C3%BC"),
        ("\\\\evil\\share\\x", "evil/share/x"),
        ("//evil/share/x", "evil/share/x"),
        ("/\\evil/share/x", "evil/share/x"),
        ("\\\\?\\UNC\\evil\\x", "%3F/UNC/evil/x"),
        ("/..//evil/share/x", "file:///evil/share/x"),
        ("/a/..//evil/x", "file:///evil/x"),
        ("..//evil/x", "evil/x"),
        ("../../../../etc/passwd", "etc/passwd"),
        ("src/../../../etc/passwd", "src/../etc/passwd"),
        ("src/../lib/./x.py", "src/../lib/./x.py"),
        ("..", "."),
    ],
)
def test_a_file_is_never_an_address_of_something_else(path: str, uri: str) -> None:
    assert file_uri(path) == uri


@given(path=st.lists(st.sampled_from(["/", "\\", "..", ".", "a", "%2e%2e", ":"]), max_size=9).map("".join))
def test_no_file_is_on_another_machine_or_above_where_it_is_read_from(path: str) -> None:
    whole = urljoin("file:///base/of/reader/", file_uri(path))
    assert whole.startswith("file:///")
    assert not whole.startswith("file:////")
    if not re.match(r"[/\\](?![/\\])", path):
        assert whole.startswith("file:///base/of/reader")


def test_a_path_that_leads_elsewhere_is_told_as_it_was() -> None:
    def about(path: str) -> object:
        place = results(reported(locations=[{"path": path}]))[0]["locations"][0]
        return place.get("properties", {}).get("assent", {}).get("path")

    assert about("../../etc/passwd") == "../../etc/passwd"
    assert about("src\\a.py") is None


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://shop.example/a b?q=<x>#y#z", "https://shop.example/a%20b?q=%3Cx%3E#y%23z"),
        ("http://shop.example:8080/%zz%41", "http://shop.example:8080/%25zz%41"),
        ("https://user:secret@shop.example/", None),
        ("javascript:alert(1)", None),
        ("https:///x", None),
    ],
)
def test_only_addresses_of_the_web_are_addresses(url: str, address: str | None) -> None:
    assert address_of(url) == address
