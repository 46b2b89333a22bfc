"""How findings stand: suppressed ones count as suppressed and nothing else, and the trend has 30 days."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given

from assent.findings import metrics as metrics_module
from assent.findings.metrics import DAYS, NOBODY, OTHERS, metrics_of
from assent.findings.triage import ACTIVE, Reported, Status, Suppression, Triage, is_suppressed
from tests.support.reported import MANY, reported

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_each_finding_is_counted_where_it_stands() -> None:
    found = metrics_of(
        [
            reported(1, severity="high", triage=Triage(owner="ann", tags=("web",))),
            reported(2, severity="low", triage=Triage(status=Status.TRIAGED)),
            reported(
                3,
                triage=Triage(status=Status.RESOLVED, status_at="2026-11-24T09:30:00Z"),
                seen="2026-11-20T09:30:00Z",
            ),
            reported(
                4,
                triage=Triage(status=Status.RESOLVED, status_at="2026-11-22T09:30:00Z"),
                seen="2026-11-20T09:30:00Z",
            ),
            reported(5, triage=Triage(status=Status.FALSE_POSITIVE)),
            reported(6, triage=Triage(status=Status.RISK_ACCEPTED)),
            reported(
                7,
                severity="critical",
                triage=Triage(owner="bob", tags=("web",), suppression=Suppression(reason="r")),
            ),
        ],
        NOW,
    )
    assert (
        found.total,
        found.active,
        found.resolved,
        found.false_positive,
        found.risk_accepted,
        found.suppressed,
    ) == (7, 2, 2, 1, 1, 1)
    assert found.by_status == {
        "open": 2,
        "triaged": 1,
        "resolved": 2,
        "false_positive": 1,
        "risk_accepted": 1,
        "archived": 0,
    }
    assert {name: count for name, count in found.by_severity.items() if count} == {"high": 1, "low": 1}
    assert (found.by_tag, found.by_owner) == ({"web": 1}, {NOBODY: 1, "ann": 1})
    assert found.fix_time_days == 3.0


def test_the_trend_tells_what_came_went_and_stayed() -> None:
    found = metrics_of(
        [
            reported(1, seen="2026-01-01T00:00:00Z"),
            reported(2, seen="2026-11-23T00:00:00Z"),
            reported(
                3,
                seen="2026-11-22T00:00:00Z",
                triage=Triage(status=Status.RESOLVED, status_at="2026-11-24T01:00:00Z"),
            ),
            reported(
                4,
                seen="2026-01-01T00:00:00Z",
                triage=Triage(status=Status.RESOLVED, status_at="2026-02-01T00:00:00Z"),
            ),
            reported(5, seen="2026-11-23T00:00:00Z", triage=Triage(suppression=Suppression(reason="r"))),
        ],
        NOW,
    )
    days = {one.day: (one.new, one.resolved, one.active) for one in found.trend}
    assert len(days) == DAYS
    assert next(iter(days)) == "2026-10-26"
    assert days["2026-10-26"] == (0, 0, 1)
    assert days["2026-11-22"] == (1, 0, 2)
    assert days["2026-11-23"] == (1, 0, 3)
    assert days["2026-11-24"] == (0, 1, 2)


@given(findings=MANY)
def test_the_last_day_of_the_trend_is_what_is_active(findings: list[Reported]) -> None:
    found = metrics_of(findings, NOW)
    shown = [one for one in findings if not is_suppressed(one.triage, NOW)]
    assert len(found.trend) == DAYS
    assert found.trend[-1].active == found.active == sum(one.triage.status in ACTIVE for one in shown)
    assert found.suppressed == len(findings) - len(shown)
    assert sum(found.by_status.values()) == found.total == len(findings)
    assert sum(found.by_severity.values()) == sum(found.by_owner.values()) == found.active
    assert all(one.new >= 0 and one.resolved >= 0 and one.active >= 0 for one in found.trend)


def test_nothing_was_mended_has_no_mean() -> None:
    assert metrics_of([], NOW).fix_time_days is None


def test_of_very_many_tags_the_rest_is_one_number() -> None:
    many = [
        reported(number, triage=Triage(tags=(f"t{number}",)))
        for number in range(metrics_module.NAMES_MAX + 5)
    ]
    found = metrics_of(many, NOW)
    assert len(found.by_tag) == metrics_module.NAMES_MAX + 1
    assert found.by_tag[OTHERS] == 5
