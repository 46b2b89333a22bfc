"""SARIF 2.1.0, one run for each tool, so that a reader shows who found what and a rule has the name that its tool gives it.

The findings are gone through once to learn of tools, rules and weaknesses, and then once for each run; only rules are kept.
What comes of a rule that was not there the first time names it by its id alone, which the standard allows. Section numbers are
those of the standard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec
from msgspec import UNSET

from assent.findings.enrich import risk_of
from assent.findings.finding import Finding, Severity
from assent.findings.reports._info import Findings, Info
from assent.findings.reports._places import Object, address_of, places_of
from assent.findings.reports._words import STATUS_WORDS, legible
from assent.findings.triage import Reported, Status, is_suppressed, moment

RUNS_MAX: Final = 19
"""So many tools have runs of their own; all others share one more. Each run costs a going through, and GitHub takes 20."""
RULES_MAX: Final = 10_000
"""So many rules of all runs are described, because they are kept; results of others name them."""
RULE_CHARACTERS_MAX: Final = 1_000
"""How long the description and the address of a rule may be. A result has its whole title."""
WEAKNESSES_MAX: Final = 2_000
TAGS_MAX: Final = 20
OURS: Final = "Assent"
"""The driver of what no tool's name stands before."""
FINGERPRINT: Final = "assent/v1"

LEVELS: Final = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.UNKNOWN: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
SCORES: Final = {
    Severity.CRITICAL: (9.0, 9.5, 10.0),
    Severity.HIGH: (7.0, 8.0, 8.9),
    Severity.MEDIUM: (4.0, 5.5, 6.9),
    Severity.LOW: (0.1, 2.0, 3.9),
    Severity.INFO: (0.0, 0.0, 0.0),
}
"""The least, the usual and the most of `security-severity`. A CVSS score stands for itself where it says the same severity."""

_JUSTIFIED: Final = {Status.FALSE_POSITIVE, Status.RISK_ACCEPTED}
_LINKED: Final = re.compile(r"\](?=\()")
_ENCODER: Final = msgspec.json.Encoder()


class _Run:
    """What was learned of one tool."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.versions: set[str] = set()
        self.numbers: dict[str, int] = {}
        self.rules: list[Object] = []
        self.worst: list[float | None] = []
        self.weaknesses: set[str] = set()

    def learn(self, finding: Finding, *, has_room: bool) -> None:
        """The rule, if it is new and there is room for it, and the worst of its findings."""
        ident = rule_of(finding, self.name)
        number = self.numbers.get(ident)
        if finding.provenance is not UNSET and finding.provenance.tool_version and len(self.versions) < 2:
            self.versions.add(finding.provenance.tool_version)
        if len(self.weaknesses) < WEAKNESSES_MAX:
            self.weaknesses.update(finding.cwe)
        score = score_of(finding)
        if number is not None:
            worst = self.worst[number]
            if score is not None and (worst is None or score > worst):
                self.worst[number] = score
        elif has_room:
            self.numbers[ident] = len(self.rules)
            self.rules.append(_rule(ident, finding))
            self.worst.append(score)

    def component(self, info: Info) -> Object:
        """The driver, with its rules in their order."""
        found: Object = {"name": self.name, "rules": self.rules}
        for rule, score in zip(self.rules, self.worst, strict=True):
            if score is not None:
                rule["properties"]["security-severity"] = str(score)
        if self.name == OURS:
            found["version"] = info.tool_version
        elif len(self.versions) == 1:
            (found["version"],) = self.versions
        if self.weaknesses:
            found["supportedTaxonomies"] = [{"name": "CWE", "index": 0}]
        return found

    def taxonomies(self) -> list[Object]:
        """The weaknesses that results name."""
        taxa = [{"id": one} for one in sorted(self.weaknesses, key=_number)]
        return [{"name": "CWE", "organization": "MITRE", "shortDescription": {"text": "CWE"}, "taxa": taxa}]


def write_sarif(findings: Findings, info: Info) -> Iterator[bytes]:
    """The log: its runs one after the other, each with its results, a line each."""
    runs: dict[str, _Run] = {}
    rules = 0
    for one in findings():
        name = _run_of(one.finding, runs)
        run = runs.setdefault(name, _Run(name))
        count = len(run.rules)
        run.learn(one.finding, has_room=rules < RULES_MAX)
        rules += len(run.rules) - count
    yield b'{"$schema":"https://json.schemastore.org/sarif-2.1.0.json","version":"2.1.0","runs":['
    now = moment(info.generated_at)
    before = b"\n"
    is_ours_due = not runs
    for run in runs.values():
        yield before + _head(run, info)
        before = b"\n"
        for one in findings():
            name = _tool_of(one.finding)
            if name not in runs:
                name = OURS
                is_ours_due = is_ours_due or OURS not in runs
            if name == run.name:
                yield before + _ENCODER.encode(_result(one, run, now))
                before = b",\n"
        yield b"\n]}"
        before = b",\n"
    if is_ours_due:
        yield from _late(findings, runs, info, before)
    yield b"]}\n"


def _late(findings: Findings, runs: Mapping[str, _Run], info: Info, before: bytes) -> Iterator[bytes]:
    """A run of what came in after the tools were learned; an empty one where nothing was found at all, which is an answer too."""
    run = _Run(OURS)
    yield before + _head(run, info)
    before = b"\n"
    for one in findings():
        if _tool_of(one.finding) not in runs:
            yield before + _ENCODER.encode(_result(one, run, moment(info.generated_at)))
            before = b",\n"
    yield b"\n]}"


def _head(run: _Run, info: Info) -> bytes:
    head: Object = {
        "tool": {"driver": run.component(info)},
        **({"taxonomies": run.taxonomies()} if run.weaknesses else {}),
        "properties": {
            "assent": {
                "title": info.title,
                "project": info.project,
                "generated_at": info.generated_at,
                "version": info.tool_version,
            }
        },
        "results": [],
    }
    return _ENCODER.encode(head).removesuffix(b"]}")


def _run_of(finding: Finding, runs: Mapping[str, _Run]) -> str:
    """The run that a finding is learned for: its tool's, or ours where there are too many."""
    tool = _tool_of(finding)
    return tool if tool in runs or len(runs) < RUNS_MAX else OURS


def _tool_of(finding: Finding) -> str:
    """The tool's name, which stands before the detector's; ours where none does."""
    tool, _, rule = finding.detector_id.partition(".")
    return tool if tool and rule else OURS


def rule_of(finding: Finding, run: str) -> str:
    """A detector's name in its run: without its tool, where the run is the tool's."""
    return finding.detector_id if run == OURS else finding.detector_id[len(run) + 1 :]


def _rule(ident: str, finding: Finding) -> Object:
    """A rule by the first of its findings."""
    weaknesses = [f"external/cwe/{one.lower()}" for one in finding.cwe]
    tags = _tags("security", *weaknesses, *finding.owasp, *finding.mitre_attack)
    found: Object = {
        "id": ident,
        "shortDescription": {"text": _plain(finding.title[:RULE_CHARACTERS_MAX])},
        "defaultConfiguration": {"level": LEVELS[finding.severity]},
        "properties": {"tags": tags},
    }
    address = address_of(finding.poc_links[0]) if finding.poc_links else None
    if address is not None and len(address) <= RULE_CHARACTERS_MAX:
        found["helpUri"] = address
    return found


def _result(one: Reported, run: _Run, now: datetime) -> Object:
    finding = one.finding
    ident = rule_of(finding, run.name)
    found: Object = {"ruleId": ident}
    number = run.numbers.get(ident)
    if number is not None:
        found["ruleIndex"] = number
    found["level"] = LEVELS[finding.severity]
    found["message"] = {"text": _plain(finding.title)}
    found["locations"] = places_of(finding)
    if finding.fingerprint is not UNSET:
        found["partialFingerprints"] = {FINGERPRINT: finding.fingerprint.value}
    if finding.cwe:
        found["taxa"] = [
            {"id": weakness, "toolComponent": {"name": "CWE"}} for weakness in dict.fromkeys(finding.cwe)
        ]
    found["rank"] = float(risk_of(finding))
    seen = {
        "firstDetectionTimeUtc": one.first_seen or finding.created_at,
        "lastDetectionTimeUtc": one.last_seen,
    }
    found["provenance"] = {key: value for key, value in seen.items() if value is not None}
    suppression = _suppression(one, now)
    if suppression is not None:
        found["suppressions"] = [suppression]
    found["properties"] = _properties(one)
    return found


def _suppression(one: Reported, now: datetime) -> Object | None:
    """Why a result needs nothing done (3.35): somebody suppressed it, or decided that it is none or may stay."""
    if one.triage.suppression is not None and is_suppressed(one.triage, now):
        why = one.triage.suppression.reason
    elif one.triage.status in _JUSTIFIED:
        why = STATUS_WORDS[one.triage.status]
    else:
        return None
    return {"kind": "external", "status": "accepted", "justification": _plain(why)}


def _properties(one: Reported) -> Object:
    """What the standard has no place for. Evidence stays away: a report goes to others, and an answer may hold a secret."""
    finding, triage = one.finding, one.triage
    about: Object = {
        "id": finding.id,
        "project_id": finding.project_id,
        "detector_id": finding.detector_id,
        "resource": finding.resource,
        "severity": finding.severity.value,
        "status": triage.status.value,
        "created_at": finding.created_at,
    }
    for name in ("run_id", "original_severity", "confidence"):
        value = getattr(finding, name)
        if value is not UNSET:
            about[name] = value
    for name in ("owasp", "cve_ids", "mitre_attack", "poc_links"):
        value = getattr(finding, name)
        if value:
            about[name] = value
    if finding.cvss is not UNSET:
        about["cvss"] = finding.cvss
    if finding.provenance is not UNSET:
        about["provenance"] = finding.provenance
    if triage.owner is not None:
        about["owner"] = triage.owner
    if triage.tags:
        about["triage_tags"] = triage.tags
    score = score_of(finding)
    found: Object = {"assent": about}
    if score is not None:
        found["security-severity"] = str(score)
    if finding.owasp or finding.mitre_attack:
        found["tags"] = _tags(*finding.owasp, *finding.mitre_attack)
    return found


def score_of(finding: Finding) -> float | None:
    """`security-severity` of a finding; None where its severity is unknown."""
    if finding.severity is Severity.UNKNOWN:
        return None
    least, usual, most = SCORES[finding.severity]
    own = usual if finding.cvss is UNSET else round(finding.cvss.score, 1)
    return own if least <= own <= most else usual


def _plain(text: str) -> str:
    """A text for people, in which all can be seen and nothing is a link: `[words](address)` in a message is one (3.11.6)."""
    return _LINKED.sub("] ", legible(text))


def _tags(*names: str) -> list[str]:
    """The first few, each once, as the schema asks."""
    return [*dict.fromkeys(names)][:TAGS_MAX]


def _number(weakness: str) -> int:
    return int(weakness.removeprefix("CWE-"))
