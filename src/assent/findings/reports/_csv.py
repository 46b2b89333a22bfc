"""A table for spreadsheets: RFC 4180, UTF-8, one row for each finding.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula and carries it out, and scanners repeat what
attackers wrote. Each such cell gets an apostrophe before it. So does what stands behind a separator or a line's end inside a
cell, because a program that splits at another separator than ours makes a cell of its own of it. What can't be seen is
written out, so that it hides no formula behind it. Every cell is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import UNSET

from assent.findings.enrich import risk_of
from assent.findings.reports._info import Findings, Info
from assent.findings.reports._words import legible, place_of, said
from assent.findings.triage import Reported, is_suppressed, moment

NONE_FOUND: Final = "No findings found"
COLUMNS: Final = (
    "severity", "risk", "title", "resource", "location", "status", "suppressed", "owner", "tags", "detector", "cwe", "cve",
    "owasp", "mitre_attack", "cvss", "confidence", "original_severity", "first_seen", "last_seen", "created_at", "links",
    "fingerprint", "id",
)  # fmt: skip

_FORMULA: Final = re.compile(r"""(^|[\t\n,;|"'])([^\S\n]*)([=+\-@\uff1d\uff0b\uff0d\uff20])""")
"""The last four are the full-width forms, which some spreadsheets take for the plain ones."""
_PLAIN: Final = re.compile(r"""[^=+\-@,;|"'\0-\x20\x7f-\U0010ffff][^,;|"'\0-\x1f\x7f-\U0010ffff]*""")
"""What nearly all cells are, found at a quarter of the cost: no formula at the begin, nothing that a cell could begin behind."""
_LEADING: Final = ("\t", "\n")


def write_csv(findings: Findings, info: Info) -> Iterator[bytes]:
    """The head, and a row for each finding, or one that says that there is none."""
    now = moment(info.generated_at)
    yield _row(COLUMNS)
    is_empty = True
    for one in findings():
        is_empty = False
        yield _row(_cells(one, "yes" if is_suppressed(one.triage, now) else "no"))
    if is_empty:
        yield _row((NONE_FOUND, *[""] * (len(COLUMNS) - 1)))


def _cells(one: Reported, suppressed: str) -> tuple[str, ...]:
    finding, triage = one.finding, one.triage
    return (
        finding.severity.value,
        str(risk_of(finding)),
        finding.title,
        finding.resource,
        place_of(finding.locations[0]) if finding.locations else "",
        triage.status.value,
        suppressed,
        triage.owner or "",
        " ".join(triage.tags),
        finding.detector_id,
        " ".join(finding.cwe),
        " ".join(finding.cve_ids),
        " ".join(finding.owasp),
        " ".join(finding.mitre_attack),
        "" if finding.cvss is UNSET else str(finding.cvss.score),
        "" if finding.confidence is UNSET else str(finding.confidence),
        said(finding.original_severity),
        one.first_seen or "",
        one.last_seen or "",
        finding.created_at,
        " ".join(finding.poc_links),
        "" if finding.fingerprint is UNSET else finding.fingerprint.value,
        finding.id,
    )


def guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    if not cell or _PLAIN.fullmatch(cell):
        return cell
    found = _FORMULA.sub(r"\1\2'\3", legible(cell))
    return f"'{found}" if found.startswith(_LEADING) else found


def _row(cells: tuple[str, ...]) -> bytes:
    quoted = ('"' + guarded(cell).replace('"', '""') + '"' for cell in cells)
    return (",".join(quoted) + "\r\n").encode("utf-8", "replace")
