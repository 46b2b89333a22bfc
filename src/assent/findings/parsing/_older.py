"""Findings of the shape before schema 1.0.0, read and written: the migration between the two, both ways.

That shape names no version, has one weakness as a number (`cwe`), one place in the OWASP Top 10 as a text (`owasp`), what was
sent and what came back as `req` and `res`, and detectors like `nuclei:git-config`. Neither shape holds all that the other does:
what a migration could not take along is told by name, so that nothing is lost in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from assent.findings.finding import SCHEMA, STEPS, Finding
from assent.findings.migrations import Moved, Step, migrated
from assent.findings.parsing._values import (
    SEVERITIES,
    Form,
    confidence,
    cves,
    cwes,
    detector,
    links,
    moment,
    name,
    owasps,
    techniques,
    text,
)
from assent.spec.values.typed import decode


def _said(value: Any) -> Any:
    """What is the same in both shapes, where it is there: `read_finding` judges it."""
    return None if _is_empty(value) else value


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


_FORMS: Final[Mapping[str, Form]] = {
    "id": _said, "project_id": _said, "title": _said, "resource": _said, "run_id": _said, "created_at": moment,
    "confidence": confidence, "cwe": cwes, "owasp": owasps, "cve_ids": cves, "mitre_attack": techniques, "poc_links": links,
    "cvss": _said, "provenance": _said,
}  # fmt: skip
"""The properties that both shapes have by the same name, and the form that each has now."""

_EVIDENCE: Final[Mapping[str, str]] = {"req": "request", "res": "response"}
_KEPT: Final = frozenset(_FORMS) - {"cwe", "owasp", "confidence"}
_READ_APART: Final = frozenset({"detector_id", "severity", "evidence", SCHEMA.key})


class FromOlder(NamedTuple):
    """A finding that was of the older shape, and the properties of it that a finding has no place for, in order."""

    finding: Finding
    left: tuple[str, ...]


def read_older(document: Any) -> FromOlder:  # `Any`: outside JSON, as bytes, text or decoded
    """A document of the older shape as a finding. What is given is not changed.

    `InputError` `FINDING_INVALID`: it lacks what every finding has, or is JSON of something else. `FINDING_TOO_NEW`: it is of a
    later schema than this release knows. One of schema 1.0.0 is read as what it is.
    """
    return FromOlder(*SCHEMA.read_all(document, _STEPS))


def write_older(finding: Finding) -> Moved:
    """A finding in the older shape: `read_older` of it is the finding again, without what is told as left."""
    return migrated(decode(finding.to_json()), None, _STEPS, key=SCHEMA.key)


def _up(document: dict[str, Any]) -> Moved:
    made: dict[str, Any] = {SCHEMA.key: "1.0.0", **_severity(document.get("severity"))}
    made |= _detector(document.get("detector_id"))
    left = []
    evidence = document.get("evidence")
    seen = dict(evidence) if isinstance(evidence, dict) else {}
    for key, value in document.items():
        if key in _FORMS and (found := _FORMS[key](value)) is not None:
            made[key] = found
            if isinstance(value, list) and any(_FORMS[key]([one]) is None for one in value):
                left.append(key)
        elif key in _EVIDENCE and not _is_empty(value) and (found := text(_sent(value))) is not None:
            if seen.setdefault(_EVIDENCE[key], found) != _sent(value):
                left.append(key)
        elif key == "evidence" and isinstance(evidence, str) and evidence:
            seen["matched"] = evidence
        elif (
            key not in _READ_APART or (key == "evidence" and not isinstance(value, dict))
        ) and not _is_empty(value):
            left.append(str(key))
    if seen:
        made["evidence"] = seen
    return Moved(made, tuple(left))


def _down(now: dict[str, Any]) -> Moved:
    whole = {key: value for key, value in now.items() if key != SCHEMA.key}
    document = {key: whole.pop(key) for key in list(whole) if key in _KEPT}
    document |= {"detector_id": whole.pop("detector_id"), "severity": whole.pop("severity")}
    if now.get("cwe"):
        document["cwe"] = int(now["cwe"][0].removeprefix("CWE-"))
    if now.get("owasp"):
        document["owasp"] = now["owasp"][0]
    for key in ("cwe", "owasp"):
        if len(whole.get(key, ())) < 2:
            whole.pop(key, None)
    evidence = dict(whole.pop("evidence", {}))
    document |= {old: evidence.pop(new) for old, new in _EVIDENCE.items() if new in evidence}
    return Moved(document, (*whole, *(f"evidence.{one}" for one in evidence)))


_STEPS: Final = (Step(None, "1.0.0", _up, _down), *STEPS)


def _severity(said: Any) -> dict[str, Any]:
    """The severity in the words of all tools, and the word itself where it is another."""
    word = name(said)
    if word is None:
        return {"severity": "unknown"}
    known = word if word == "unknown" else SEVERITIES.get(word.lower(), "unknown")
    return {"severity": known} if known == word else {"severity": known, "original_severity": word}


def _detector(said: Any) -> dict[str, Any]:
    """`nuclei:x` is `nuclei.x`, and `pattern:x`, which is no tool's, `pattern_x`."""
    tool, colon, own = said.partition(":") if isinstance(said, str) else ("", "", "")
    if not tool or (colon and tool != "pattern" and not own):
        return {} if said is None else {"detector_id": said}
    if colon and tool != "pattern":
        return {"detector_id": detector(tool, own)}
    return {"detector_id": said.replace(":", "_") if colon else said}


def _sent(value: Any) -> Any:
    """What was sent, out of the envelope `{"raw": TEXT}` that some writers put it in."""
    return value["raw"] if isinstance(value, dict) and set(value) == {"raw"} else value
