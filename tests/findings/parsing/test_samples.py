"""Every output of a real tool that is at hand: as many records, of such severities, as it was counted to hold."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from assent.findings.finding import Finding
from assent.findings.parsing import built_in_tools, detect
from assent.findings.parsing._values import SEVERITIES
from tests.conftest import ROOT
from tests.findings.test_finding import VALIDATOR
from tests.support.scanned import parsed

SAMPLES: Final = Path(os.environ.get("ASSENT_SAMPLES", ROOT.parent / "shared" / "samples")) / "findings"
TOOLS: Final = built_in_tools()
NAMES: Final = {"npm_audit_7_plus": "npm-audit"}

# What nobody counted beforehand: records, and the severities of those that are findings.
COUNTED: Final[dict[str, tuple[int, dict[str, int]]]] = {
    "brakeman/two_findings.json": (2, {"unknown": 2}),
    "eslint/scan.json": (2, {"medium": 1, "low": 1}),
    "njsscan/njsscan_one_vuln.json": (1, {"medium": 1}),
    "npm_audit_7_plus/issue_10801.json": (1, {"medium": 1}),
    "npm_audit_7_plus/multiple_cwes_fabricated.json": (2, {"medium": 1}),
    "retirejs/latest.json": (26, {"medium": 24, "low": 2}),
    "tfsec/many_findings_legacy.json": (4, {"high": 2, "medium": 1}),
    "tfsec/one_finding_legacy.json": (1, {"medium": 1}),
    "whatweb/whatweb_one_vuln.json": (1, {}),
    "cyclonedx/multiple_cwes_fabricated.xml": (1, {"critical": 1}),
    "cyclonedx/no-severity.json": (1, {"critical": 1}),
    "dependency_check/multiple_vulnerabilities_has_multiple_findings.xml": (9, {"high": 6, "low": 1}),
    "dependency_check/single_vuln.xml": (1, {"medium": 1}),
    "gobuster/gobuster_one_vuln.txt": (1, {}),
    "nikto/nikto-report-old-format.xml": (1, {"unknown": 1}),
    "nikto/nikto-report-one-vuln.xml": (1, {"unknown": 1}),
    "openvas/one_vuln.csv": (1, {"medium": 1}),
    "openvas/one_vuln.xml": (1, {"high": 1}),
    "sarif/gitleaks_7.5.0.sarif": (8, {"medium": 8}),
    "sarif/taint-python-report.sarif": (11, {"high": 8, "low": 2, "medium": 1}),
    "sqlmap/sqlmap_many_vuln.csv": (2, {"high": 2}),
    "sqlmap/sqlmap_one_vuln.csv": (1, {"high": 1}),
    "testssl/defectdojo_one_vuln.csv": (1, {"info": 1}),
    "testssl/many_cves.csv": (1, {"high": 1}),
    "wapiti/cwe.xml": (1, {"low": 1}),
    "wapiti/example.xml": (5, {"low": 5}),
    "wfuzz/issue_7863.json": (1, {}),
    "wfuzz/one_finding_responsecode_missing.json": (1, {}),
    "real-runs/bandit.sarif": (10, {"low": 3, "medium": 5, "high": 2}),
    "real-runs/checkov.sarif": (11, {"high": 11}),
    "real-runs/eslint.sarif": (3, {"medium": 2, "high": 1}),
    "real-runs/semgrep.sarif": (2, {"high": 1, "medium": 1}),
    "real-runs/gobuster.txt": (3, {}),
    "real-runs/bandit.json": (10, {"low": 3, "medium": 5, "high": 2}),
    "real-runs/semgrep.json": (2, {"high": 1, "medium": 1}),
    "real-runs/detect_secrets.json": (2, {"high": 2}),
    "real-runs/eslint.json": (3, {"low": 2, "medium": 1}),
    "real-runs/nmap.xml": (2, {}),
    "real-runs/ffuf.json": (3, {}),
    "real-runs/whatweb.json": (1, {}),
    "real-runs/wapiti.json": (5, {"low": 5}),
    "real-runs/checkov.json": (11, {"unknown": 11}),
}


def _outputs() -> list[str]:
    if not SAMPLES.is_dir():
        return ["none"]
    named = {name.replace("-", "_") for name in TOOLS} | {"npm_audit_7_plus"}
    files = [one.relative_to(SAMPLES) for one in sorted(SAMPLES.rglob("*.*")) if one.is_file()]
    return [
        str(one)
        for one in files
        if str(one) in COUNTED or (one.parts[0] == "synthetic" and len(one.parts) > 2) or _is_ours(one, named)
    ]


def _is_ours(one: Path, named: set[str]) -> bool:
    tool = NAMES.get(one.parts[0], one.parts[0].replace("_", "-"))
    formats = {
        "json": (".json", ".jsonl"),
        "xml": (".xml",),
        "csv": (".csv",),
        "text": (".txt",),
        "sarif": (".sarif",),
    }
    return one.parts[0] in named and tool in TOOLS and one.suffix in formats[TOOLS[tool].manifest.format]


def _expected() -> dict[str, Any]:
    if not SAMPLES.is_dir():
        return {}
    manifest = json.loads((SAMPLES / "MANIFEST.json").read_text())["files"]
    made = json.loads((SAMPLES / "synthetic" / "EXPECTED.json").read_text())
    return {name: said["records_in_file"] for name, said in manifest.items()} | {
        f"synthetic/{name}": said for name, said in made.items()
    }


EXPECTED: Final = _expected()


@pytest.mark.parametrize("name", _outputs())
def test_a_sample_holds_what_was_counted(name: str) -> None:
    if not SAMPLES.is_dir():
        pytest.skip("the samples of tools' outputs are not on this machine")
    data = (SAMPLES / name).read_bytes()
    folder = Path(name).parts[1 if name.startswith("synthetic") else 0]
    tool = NAMES.get(folder, folder.replace("_", "-"))
    if b"".join(data.split()) not in (b"", b"[]", b"null"):
        tool = detect(data, TOOLS).name
    found, report = parsed(TOOLS[tool], data)
    assert report.new_fields == {} or tool in ("feroxbuster", "katana", "trivy"), report.new_fields
    assert report.missing_fields == {}
    for one in found[:50]:
        if one.finding is not None:
            VALIDATOR.validate(json.loads(one.finding.to_json()))
    if name in COUNTED:
        assert (report.records, report.by_severity) == COUNTED[name]
        return
    wanted = EXPECTED[name]
    kept = report.findings + report.resources
    if "complete_lines" in wanted:
        assert (report.records, report.skipped["it is broken"]) == (wanted["lines"], 1)
        assert report.fault is not None
        return
    resources = [one.resource for one in found if one.resource is not None]
    skipped = "somebody said that it is no secret"
    assert kept + report.skipped[skipped] == wanted["records"]
    if "matcher_status_false" in wanted:
        assert report.skipped.total() == wanted["matcher_status_false"]
    if "status_codes" in wanted:
        codes = Counter(str(one.facts["status"]) for one in resources if one.facts.get("status"))
        assert codes == wanted["status_codes"]
        assert sum("error" in one.facts for one in resources) == wanted.get("with_error", 0)
        assert sum(one.facts.get("wildcard") is True for one in resources) == wanted.get("wildcards", 0)
        return
    severities = Counter[str]()
    for word, number in (wanted.get("severities") or wanted.get("levels") or {}).items():
        severities[SEVERITIES.get(word.lower(), "unknown")] += number
    assert not severities or report.by_severity == severities


def _read(name: str) -> list[Finding]:
    if not SAMPLES.is_dir():
        pytest.skip("the samples of tools' outputs are not on this machine")
    data = (SAMPLES / "real-runs" / name).read_bytes()
    found, _ = parsed(TOOLS[detect(data, TOOLS).name], data)
    return [one.finding for one in found if one.finding is not None]


def test_a_real_run_of_bandit_is_of_the_same_findings_as_json_and_as_sarif() -> None:
    assert {one.id for one in _read("bandit.json")} == {one.id for one in _read("bandit.sarif")}
    assert [one.resource for one in _read("bandit.json")] == [one.resource for one in _read("bandit.sarif")]


def test_a_real_run_tells_apart_what_is_missing_at_one_address_and_takes_no_placeholder_for_code() -> None:
    assert len({one.id for one in _read("wapiti.json")}) == 5
    assert not any(at.snippet for one in _read("semgrep.json") for at in one.locations)
