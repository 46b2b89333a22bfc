"""The report for programs holds every finding whole."""

from __future__ import annotations

import msgspec
from hypothesis import given

from assent.findings import read_finding
from assent.findings.metrics import DAYS, Metrics, metrics_of
from assent.findings.reports import Format
from assent.findings.triage import Reported, Triage, moment
from tests.support.reported import INFO, MANY, written


@given(findings=MANY)
def test_every_finding_comes_back_whole_with_what_was_decided(findings: list[Reported]) -> None:
    report = msgspec.json.decode(written(Format.JSON, *findings))
    assert {*report} == {"export_info", "metrics", "findings"}
    assert report["export_info"]["project"] == INFO.project
    assert [read_finding(one["finding"]) for one in report["findings"]] == [one.finding for one in findings]
    assert [msgspec.convert(one["triage"], Triage) for one in report["findings"]] == [
        one.triage for one in findings
    ]
    metrics = msgspec.convert(report["metrics"], Metrics)
    assert metrics == metrics_of(findings, moment(INFO.generated_at))
    assert len(metrics.trend) == DAYS
