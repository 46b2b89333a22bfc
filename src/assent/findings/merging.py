"""Several records about one matter become one finding with all their places."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from assent.findings.finding import LISTED_MAX, Finding, Severity

T = TypeVar("T")

RANK: Final = {
    one: rank
    for rank, one in enumerate(
        (Severity.INFO, Severity.LOW, Severity.UNKNOWN, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
    )
}
"""How severities are ordered: what nobody rated stands between what is low and what is medium, so that it is looked at."""


def merged(first: Finding, other: Finding) -> Finding:
    """What two records of one output say together: the first one's words, the worse severity, and the places of both.

    `other` comes behind `first` in the output. Of a list that would be too long the beginning is kept.
    """
    worse = other if RANK[other.severity] > RANK[first.severity] else first
    return msgspec.structs.replace(
        first,
        severity=worse.severity,
        original_severity=worse.original_severity,
        created_at=min(first.created_at, other.created_at),
        locations=_both(first.locations, other.locations),
        cwe=_both(first.cwe, other.cwe),
        owasp=_both(first.owasp, other.owasp),
        cve_ids=_both(first.cve_ids, other.cve_ids),
        mitre_attack=_both(first.mitre_attack, other.mitre_attack),
        poc_links=_both(first.poc_links, other.poc_links),
    )


def _both(one: tuple[T, ...], other: tuple[T, ...]) -> tuple[T, ...]:
    if not other or one == other:
        return one
    return tuple(dict.fromkeys((*one, *other)))[:LISTED_MAX]
