"""What every report is made from: its form, what it says of itself, and which findings, gone through more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from assent.findings.finding import Moment
from assent.findings.merging import WORST_FIRST
from assent.findings.metrics import Metrics, MetricsFold
from assent.findings.triage import Reported, moment

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


class Info(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a report says of itself. `generated_at` also decides which suppressions have expired, and ends the trend."""

    title: str
    project: str
    generated_at: Moment
    tool_version: str

    def __post_init__(self) -> None:
        moment(self.generated_at)

    @classmethod
    def of_project(cls, project: str, *, generated_at: str, tool_version: str) -> Info:
        """Of a report of a project's findings."""
        return cls(
            title=f"Findings of {project}",
            project=project,
            generated_at=generated_at,
            tool_version=tool_version,
        )


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
