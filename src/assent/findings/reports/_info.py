"""What every report is made from: its form, what it says of itself, and which findings, gone through more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from assent.findings.finding import Moment, Severity
from assent.findings.merging import WORST_FIRST
from assent.findings.metrics import Metrics, MetricsFold
from assent.findings.triage import Reported, Status, is_suppressed, moment

CHUNK_BYTES: Final = 64 * 1024

Findings: TypeAlias = Callable[[], Iterable[Reported]]
"""Gives the findings anew, each time that it is called: reports go through them more than once, and keep none."""


class Format(StrEnum):
    """The forms of a report."""

    SARIF = "sarif"
    CSV = "csv"
    JSON = "json"
    HTML = "html"
    MARKDOWN = "markdown"
    PDF = "pdf"

    @property
    def media_type(self) -> str:
        """What an HTTP answer calls it."""
        return _MEDIA[self]


_MEDIA: Final = {
    Format.SARIF: "application/sarif+json",
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.JSON: "application/json",
    Format.HTML: "text/html; charset=utf-8",
    Format.MARKDOWN: "text/markdown; charset=utf-8",
    Format.PDF: "application/pdf",
}


class Info(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a report says of itself. `generated_at` also decides which suppressions have expired, and ends the trend."""

    title: str
    project: str
    generated_at: Moment
    tool_version: str

    def __post_init__(self) -> None:
        moment(self.generated_at)


def counted(findings: Findings, info: Info) -> Metrics:
    """How the findings stand: one going through."""
    fold = MetricsFold(moment(info.generated_at))
    for one in findings():
        fold.add(one)
    return fold.metrics()


def worst_first(findings: Findings) -> Iterator[Reported]:
    """All findings by severity, the worst first: one going through for each severity, so that none need be kept to sort them."""
    for severity in WORST_FIRST:
        for one in findings():
            if one.finding.severity is severity:
                yield one


def in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of about 64 KiB."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            yield b"".join(held)
            held.clear()
            size = 0
    if held:
        yield b"".join(held)


class Which(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of several statuses, severities, owners or tags, any.

    `since` and `until` are of when a finding was seen first: at `since` or later, and before `until`.
    """

    statuses: frozenset[Status] = frozenset()
    severities: frozenset[Severity] = frozenset()
    owners: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    since: Moment | None = None
    until: Moment | None = None
    with_suppressed: bool = True

    def __post_init__(self) -> None:
        for one in (self.since, self.until):
            if one is not None:
                moment(one)


def chosen(findings: Iterable[Reported], which: Which, now: datetime) -> Iterator[Reported]:
    """The findings that fit, in their order. `now` decides which suppressions have expired."""
    since = None if which.since is None else moment(which.since)
    until = None if which.until is None else moment(which.until)
    for one in findings:
        triage = one.triage
        if (
            (not which.statuses or triage.status in which.statuses)
            and (not which.severities or one.finding.severity in which.severities)
            and (not which.owners or triage.owner in which.owners)
            and (not which.tags or not which.tags.isdisjoint(triage.tags))
            and (which.with_suppressed or not is_suppressed(triage, now))
            and _is_within(one, since, until)
        ):
            yield one


def _is_within(one: Reported, since: datetime | None, until: datetime | None) -> bool:
    if since is None and until is None:
        return True
    seen = moment(one.first_seen or one.finding.created_at)
    return (since is None or seen >= since) and (until is None or seen < until)
