"""What follows from a finding without asking anybody: places in the OWASP Top 10 from its weaknesses, and one score of risk.

The score's formula is told in `docs/findings-risk.md`. It is worked out in whole numbers, so that it is the same everywhere.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from ipaddress import ip_address
from typing import Final

import msgspec
from msgspec import UNSET

from assent.findings.finding import Finding, Severity
from assent.findings.identity import place_of

BANDS: Final[Mapping[Severity, tuple[int, int]]] = {
    Severity.INFO: (0, 10),
    Severity.LOW: (10, 30),
    Severity.MEDIUM: (30, 55),
    Severity.UNKNOWN: (30, 55),
    Severity.HIGH: (55, 80),
    Severity.CRITICAL: (80, 100),
}
"""The least and the most that a severity alone makes. What nobody judged is taken for medium, so that it is looked at."""

_MIDDLE: Final = 50
"""The place in its band of what has no CVSS score, in hundredths."""
_LEAST_SURE: Final = 50
"""What remains of the score where a tool is not sure at all, in per cent."""
_INSIDE: Final = 90
"""What remains of the score of what no network reaches from outside, in per cent."""
_HOST: Final = re.compile(r"\[[0-9a-f:.]+\]|\d+(?:\.\d+){3}|(?:[\w-]+\.)+[a-z][\w-]+")
"""An address, or a name with a dot in it: a name without one is rather that of a package."""
_NAMES_INSIDE: Final = (".internal", ".intranet", ".lan", ".local", ".localhost", ".test")


def risk_of(finding: Finding) -> int:
    """How much it matters, 0 to 100: by severity, CVSS, how sure the tool is, and whether a network reaches it."""
    least, most = BANDS[finding.severity]
    place = _MIDDLE if finding.cvss is UNSET else round(finding.cvss.score * 10)
    sure = 100 if finding.confidence is UNSET else finding.confidence
    base = least * 100 + (most - least) * place
    weight = (_LEAST_SURE * 100 + (100 - _LEAST_SURE) * sure) * (100 if is_exposed(finding) else _INSIDE)
    return (base * weight + 50_000_000) // 100_000_000


def is_exposed(finding: Finding) -> bool:
    """Whether it is at a URL or host that is not plainly of a private network or of the machine itself."""
    if finding.locations:
        at = finding.locations[0]
        host = at.host or (place_of(at.url).host if at.url else "")
    else:
        host = _host_of(finding.resource)
    return bool(host) and not _is_inside(host)


def _host_of(resource: str) -> str:
    """The host of a text that may name anything; empty of what is neither a URL nor a host."""
    place = place_of(resource)
    is_host = not place.path and not place.names and _HOST.fullmatch(place.host) is not None
    return place.host if is_host or "://" in resource else ""


def _is_inside(host: str) -> bool:
    name = host.strip("[]").rstrip(".").lower()
    try:
        return not ip_address(name).is_global
    except ValueError:
        return name == "localhost" or name.endswith(_NAMES_INSIDE)


def owasp_of(weaknesses: Iterable[str]) -> tuple[str, ...]:
    """The places in the OWASP Top 10 of 2021 that weaknesses like `CWE-79` have, in order, each once; none for what has none."""
    known = _owasp()
    return tuple(sorted({known[one] for one in weaknesses if one in known}))


def enriched(finding: Finding) -> Finding:
    """The finding with the places in the OWASP Top 10 that follow from its weaknesses. What its tool said stays as it is."""
    if finding.owasp:
        return finding
    found = owasp_of(finding.cwe)
    return msgspec.structs.replace(finding, owasp=found) if found else finding


@cache
def _owasp() -> Mapping[str, str]:
    said = tomllib.loads(files("assent.findings").joinpath("owasp.toml").read_text("utf-8"))
    return {f"CWE-{number}": place for place, about in said.items() for number in about["cwe"]}
