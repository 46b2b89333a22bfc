"""One file for people: no script, nothing from elsewhere, and nothing that a scanner wrote is markup.

The policy in its head forbids everything but its own style, so that a mistake of ours could load and run nothing either. Only the
links that a finding names are links, and only to `http` and `https`, where all of their characters can be seen.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape
from importlib.resources import files
from itertools import islice
from typing import Final

from msgspec import UNSET

from assent.findings.enrich import risk_of
from assent.findings.finding import Finding
from assent.findings.merging import WORST_FIRST
from assent.findings.metrics import Metrics
from assent.findings.reports._info import Findings, Info, counted, worst_first
from assent.findings.reports._words import line, place_of, references, shown, status_of
from assent.findings.triage import Reported, is_suppressed, moment
from assent.spec.words.legible import safe
from assent.spec.words.sizes import count_text

FINDINGS_MAX: Final = 10_000
"""How many findings are listed, the worst of them: browsers become slow at larger tables."""
PLACES_MAX: Final = 20
EVIDENCE_CHARACTERS_MAX: Final = 4_000
_LINK: Final = re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?")


def write_html(findings: Findings, info: Info) -> Iterator[bytes]:
    """The page: how findings stand, and then each, the worst first, with what is known of it folded away."""
    metrics = counted(findings, info)
    now = moment(info.generated_at)
    yield _head(info, metrics).encode("utf-8", "replace")
    if not metrics.total:
        yield b"<p>No findings found.</p>\n</main>\n</body>\n</html>\n"
        return
    yield (
        b"<table>\n<caption>Findings, the worst first</caption>\n"
        b'<thead><tr><th scope="col">Severity</th><th scope="col">Risk</th>'
        b'<th scope="col">What and where</th><th scope="col">Status</th></tr></thead>\n<tbody>\n'
    )
    for one in islice(worst_first(findings), FINDINGS_MAX):
        status = status_of(one, is_suppressed=is_suppressed(one.triage, now))
        yield _row(one, status).encode("utf-8", "replace")
    yield b"</tbody>\n</table>\n"
    if metrics.total > FINDINGS_MAX:
        yield f"<p>{metrics.total - FINDINGS_MAX} more are not listed.</p>\n".encode()
    yield b"</main>\n</body>\n</html>\n"


def _head(info: Info, metrics: Metrics) -> str:
    style = files("assent.findings.reports").joinpath("report.css").read_text("utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    counts = {
        "active": metrics.active,
        "resolved": metrics.resolved,
        "false positive": metrics.false_positive,
        "risk accepted": metrics.risk_accepted,
        "suppressed": metrics.suppressed,
    }
    mended = "" if metrics.fix_time_days is None else f" Mended in {metrics.fix_time_days} days on average."
    severities = "".join(
        f'<li><span class="severity {one.value}">{one.value}</span> {metrics.by_severity[one.value]}</li>'
        for one in WORST_FIRST
    )
    told = ", ".join(f"{count} {word}" for word, count in counts.items())
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(info.title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n<h1>{_text(info.title)}</h1>\n"
        f"<p>Project {_text(info.project)}, {_text(info.generated_at)}, Assent {_text(info.tool_version)}.</p>\n"
        f"<p>{count_text(metrics.total, 'finding')}: {told}.{mended}</p>\n"
        f'<h2>Active, by severity</h2>\n<ul class="counts">{severities}</ul>\n'
    )


def _row(one: Reported, status: str) -> str:
    finding = one.finding
    severity = finding.severity.value
    where = place_of(finding.locations[0]) if finding.locations else finding.resource
    owner = f"<br>{_text(one.triage.owner)}" if one.triage.owner else ""
    tags = "".join(f' <span class="tag">{_text(tag)}</span>' for tag in one.triage.tags)
    return (
        f'<tr><td><span class="severity {severity}">{severity}</span></td><td>{risk_of(finding)}</td>'
        f"<td><details><summary><strong>{_text(finding.title)}</strong><br><code>{_text(where)}</code></summary>\n"
        f"<dl>{''.join(_facts(one))}</dl>\n{''.join(_evidence(finding))}</details></td><td>{status}{owner}{tags}</td></tr>\n"
    )


def _facts(one: Reported) -> Iterator[str]:
    finding, triage = one.finding, one.triage
    yield _fact("Detector", [finding.detector_id])
    if finding.resource:
        yield _fact("Resource", [finding.resource])
    if len(finding.locations) > 1:
        more = len(finding.locations) - PLACES_MAX
        yield _fact(
            "Places",
            [*map(place_of, finding.locations[:PLACES_MAX]), *([f"{more} more"] if more > 0 else [])],
        )
    if known := references(finding):
        yield _fact("Known as", [", ".join(known)])
    if finding.cvss is not UNSET:
        yield _fact("CVSS", [f"{finding.cvss.score} {finding.cvss.vector or ''}"])
    if finding.confidence is not UNSET:
        yield _fact("Confidence", [f"{finding.confidence} %"])
    if finding.original_severity:
        yield _fact("The tool's severity", [finding.original_severity])
    if finding.provenance is not UNSET:
        yield _fact("Tool", [f"{finding.provenance.tool} {finding.provenance.tool_version or ''}"])
    yield _fact("Seen first", [one.first_seen or finding.created_at])
    if one.last_seen is not None:
        yield _fact("Seen last", [one.last_seen])
    if triage.suppression is not None:
        until = triage.suppression.until
        yield _fact("Suppressed", [f"until {until}" if until else "for good", triage.suppression.reason])
    if triage.notes:
        yield _fact("Notes", [f"{note.at} {note.by}: {note.text}" for note in triage.notes[-PLACES_MAX:]])
    if finding.poc_links:
        yield f"<dt>Links</dt>{''.join(f'<dd>{_link(link)}</dd>' for link in finding.poc_links[:PLACES_MAX])}"
    yield _fact("Id", [finding.id])


def _fact(name: str, said: Iterable[str]) -> str:
    return f"<dt>{name}</dt>{''.join(f'<dd>{_text(one)}</dd>' for one in said)}"


def _evidence(finding: Finding) -> Iterator[str]:
    if finding.evidence is UNSET:
        return
    for name in ("matched", "request", "response"):
        text = getattr(finding.evidence, name)
        if text:
            yield f"<h3>{name.capitalize()}</h3><pre>{escape(shown(text, EVIDENCE_CHARACTERS_MAX))}</pre>\n"


def _link(address: str) -> str:
    if _LINK.fullmatch(address) is None or safe(address) != address:
        return _text(address)
    return f'<a href="{escape(address)}" rel="noopener noreferrer nofollow">{_text(address)}</a>'


def _text(text: str) -> str:
    return escape(line(text))
