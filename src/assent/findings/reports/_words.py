"""What strangers wrote, as words that people may be shown: scanners repeat what attackers sent."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, UnsetType

from assent.findings.finding import Finding, Location
from assent.findings.triage import Reported, Status
from assent.spec.words.legible import safe

STATUS_WORDS: Final = {
    Status.OPEN: "open",
    Status.TRIAGED: "triaged",
    Status.RESOLVED: "resolved",
    Status.FALSE_POSITIVE: "false positive",
    Status.RISK_ACCEPTED: "risk accepted",
    Status.ARCHIVED: "archived",
}


def legible(text: str) -> str:
    r"""A text with what can't be seen written out (`\u202e`): with it a line shows what it does not say. Lines end by `\n`."""
    return safe(text.replace("\r\n", "\n"))


def shown(text: str, characters_max: int) -> str:
    """The same, and cut with a word about it where it is too long."""
    cut = text if len(text) <= characters_max else text[:characters_max]
    seen = legible(cut)
    return seen if len(cut) == len(text) else f"{seen}… ({len(text) - len(cut)} characters more)"


def line(text: str, characters_max: int = 500) -> str:
    """A text as one line."""
    return shown(" ".join(text.split()), characters_max)


def status_of(one: Reported, *, is_suppressed: bool) -> str:
    """How far it has come, in words."""
    word = STATUS_WORDS[one.triage.status]
    return f"{word}, suppressed" if is_suppressed else word


def place_of(at: Location) -> str:
    """One place in words, as short as it is whole."""
    parts = [_first(at)]
    if at.line:
        parts.append(f":{at.line}")
    if at.version and at.package:
        parts.append(f" {at.version}")
    if at.parameter:
        parts.append(f" (parameter {at.parameter})")
    if at.name and (at.path or at.url):
        parts.append(f" in {at.name}")
    found = "".join(parts)
    return f"{at.method} {found}" if at.method else found


def _first(at: Location) -> str:
    if at.url:
        return at.url
    if at.path:
        return f"{at.path} {at.package}" if at.package else at.path
    if at.host:
        return f"{at.host}:{at.port}" if at.port is not UNSET else at.host
    return at.package or at.name or ""


def references(finding: Finding) -> list[str]:
    """Names of weaknesses and vulnerabilities that it has."""
    return [*finding.cve_ids, *finding.cwe, *finding.owasp, *finding.mitre_attack]


def said(value: str | UnsetType | None) -> str:
    """A text that may not be there; empty where it is not."""
    return value or ""
