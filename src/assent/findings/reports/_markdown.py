"""A report for issues, pull requests and wikis: CommonMark with tables, in which nothing that a scanner wrote is markup.

Every ASCII sign that Markdown knows is escaped, so that there are no links, pictures, tags, headings and ends of cells in
data; addresses are shown and not linked. Behind `@` and `#` stands a space that is not seen: hosts of repositories would tell
people who are named so, and refer to issues.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from assent.findings.enrich import risk_of
from assent.findings.merging import WORST_FIRST
from assent.findings.metrics import Metrics
from assent.findings.reports._info import Findings, Info, counted, worst_first
from assent.findings.reports._words import line, place_of, references, status_of
from assent.findings.triage import Reported, is_suppressed, moment
from assent.spec.words.sizes import count_text

FINDINGS_MAX: Final = 5_000
"""How many findings are listed, the worst of them: what shows Markdown ends long before."""

_SIGNS: Final = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&:@^$=\"'/])")
_CALLS: Final = re.compile(r"([@#])(?=\w)")


def write_markdown(findings: Findings, info: Info) -> Iterator[bytes]:
    """The summary, and a table of the findings with the worst first."""
    metrics = counted(findings, info)
    now = moment(info.generated_at)
    yield _head(info, metrics).encode()
    if not metrics.total:
        yield b"\nNo findings found.\n"
        return
    yield b"\n## Findings\n\n| severity | risk | title | where | status | known as |\n|---|---|---|---|---|---|\n"
    for one in islice(worst_first(findings), FINDINGS_MAX):
        yield _row(one, status_of(one, is_suppressed=is_suppressed(one.triage, now))).encode(
            "utf-8", "replace"
        )
    if metrics.total > FINDINGS_MAX:
        yield f"\n{metrics.total - FINDINGS_MAX} more are not listed.\n".encode()


def _head(info: Info, metrics: Metrics) -> str:
    severities = "".join(f"| {one.value} | {metrics.by_severity[one.value]} |\n" for one in WORST_FIRST)
    mended = "" if metrics.fix_time_days is None else f", mended in {metrics.fix_time_days} days on average"
    return (
        f"# {escaped(info.title)}\n\nProject {escaped(info.project)}, {escaped(info.generated_at)}, "
        f"Assent {escaped(info.tool_version)}.\n\n"
        f"{count_text(metrics.total, 'finding')}: {metrics.active} active, {metrics.resolved} resolved{mended}, "
        f"{metrics.false_positive} false positive, {metrics.risk_accepted} with accepted risk, "
        f"{metrics.suppressed} suppressed.\n\n"
        f"| severity | active |\n|---|---|\n{severities}"
    )


def _row(one: Reported, status: str) -> str:
    finding = one.finding
    where = place_of(finding.locations[0]) if finding.locations else finding.resource
    cells = (
        finding.severity.value,
        str(risk_of(finding)),
        finding.title,
        where,
        f"{status} ({one.triage.owner})" if one.triage.owner else status,
        ", ".join(references(finding)[:10]),
    )
    return f"| {' | '.join(map(escaped, cells))} |\n"


def escaped(text: str) -> str:
    """A text in one line that is shown as it is, wherever in a line it stands."""
    signs = _SIGNS.sub(r"\\\1", line(text))
    return _CALLS.sub("\\1\u200b", signs)
