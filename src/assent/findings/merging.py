"""Several records about one matter become one finding with all their places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from assent.findings.finding import LISTED_MAX, Finding, Severity
from assent.spec.words.severities import SEVERITIES

WORST_FIRST: Final = tuple(map(Severity, SEVERITIES))
RANK: Final = {one: rank for rank, one in enumerate(reversed(WORST_FIRST))}
"""The worse, the higher."""
_LISTED: Final = ("locations", "cwe", "owasp", "cve_ids", "mitre_attack", "poc_links")


def merged(first: Finding, others: Iterable[Finding]) -> Finding:
    """What the records of one output say together: the first one's words, the worst severity, and the places of all.

    They come in the output's order. Of a list that would be too long the beginning is kept.
    """
    worst, created_at = first, first.created_at
    lists: dict[str, dict[Any, None]] = {}  # `Any`: what one of the lists holds
    for other in others:
        if RANK[other.severity] > RANK[worst.severity]:
            worst = other
        created_at = min(created_at, other.created_at)
        for name in _LISTED:
            more = getattr(other, name)
            if name not in lists:
                own = getattr(first, name)
                if not more or more == own:
                    continue
                lists[name] = dict.fromkeys(own)
            # Each place is looked at once, however many records bring it: a matter may have as many as the output has records.
            kept = lists[name]
            for one in more:
                if len(kept) >= LISTED_MAX:
                    break
                kept[one] = None
    return msgspec.structs.replace(
        first,
        severity=worst.severity,
        original_severity=worst.original_severity,
        created_at=created_at,
        **{name: tuple(kept)[:LISTED_MAX] for name, kept in lists.items()},
    )
