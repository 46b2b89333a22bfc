"""Findings as reports are given them: one by hand, and any by Hypothesis, with texts as attackers write them."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from assent.findings import Finding, Severity
from assent.findings.reports import Format, Info, write_report
from assent.findings.triage import Reported, Scope, Status, Suppression, Triage

INFO = Info(title="Findings", project="shop", generated_at="2026-11-24T12:00:00Z", tool_version="0.2.0")

HOSTILE = (
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "a\n=1", "a;=1", 'a";=1', " =1", "\uff1d1", "'=1",
    "<script>alert(1)</script>", "</style><img src=x onerror=alert(1)>", "</details></td></tr></table><h1>", "<!--", "]]>",
    "&lt;b&gt;", "javascript:alert(1)", "[x](javascript:alert(1))", "![x](http://evil.example/x.png)", "<http://evil.example>",
    "https://evil.example/", "www.evil.example", "me@evil.example", "@everyone", "#1", "| a | b |", "\n\n# Head", "\n---\n",
    "```\n", "`code`", "**bold**", "~~gone~~", "[x]: http://evil.example", "{0}", "\\", "\\|", "* a", "1. a", "> a", "$x$",
    "\u202egnp.exe", "\x00", "\x1b[31m", "\u2028", "中文", "עברית", "🙂",
)  # fmt: skip

TEXTS = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=40),
    st.lists(st.sampled_from([*HOSTILE, " ", '"', "'", "a"]), min_size=1, max_size=4).map("".join),
)
NAMES = TEXTS.filter(bool)
MOMENTS = st.sampled_from(["2026-11-01T00:00:00Z", "2026-11-23T09:30:00.125Z", "2025-01-01T00:00:00Z"])
PLAIN = {
    "finding_schema_version": "1.0.0",
    "project_id": "0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a11",
    "created_at": "2026-11-23T09:30:00Z",
}


def reported(
    number: int = 1, *, triage: Triage | None = None, seen: str | None = None, **said: Any
) -> Reported:
    """A finding with what is said of it."""
    document = {
        **PLAIN,
        "id": f"00000000-0000-4000-8000-{number:012x}",
        "detector_id": "nuclei.git-config",
        "title": "Git",
        "severity": "low",
        "resource": "https://shop.example/.git/config",
        **said,
    }
    return Reported(finding=msgspec.convert(document, Finding), triage=triage or Triage(), first_seen=seen)


def written(form: Format, *findings: Reported, info: Info = INFO) -> bytes:
    """A report of these."""
    return b"".join(write_report(form, lambda: findings, info))


@st.composite
def _locations(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.sets(st.sampled_from(["url", "host", "path", "package", "name"]), min_size=1))
    found: dict[str, Any] = {name: draw(NAMES) for name in names}
    if "url" in found and draw(st.booleans()):
        found["url"] = "https://shop.example/" + found["url"]
    for name in ("method", "parameter", "protocol", "snippet", "version"):
        if draw(st.booleans()):
            found[name] = draw(NAMES)
    for name, most in (("port", 65535), ("line", 50), ("end_line", 50), ("column", 50)):
        if draw(st.booleans()):
            found[name] = draw(st.integers(0, most))
    return found


@st.composite
def _findings(draw: st.DrawFn) -> Finding:
    document: dict[str, Any] = {
        **PLAIN,
        "id": f"00000000-0000-4000-8000-{draw(st.integers(0, 1 << 40)):012x}",
        "detector_id": draw(
            st.one_of(
                st.from_regex(r"[a-z]{1,3}\.[A-Za-z0-9_.-]{1,5}", fullmatch=True),
                st.from_regex(r"[A-Za-z0-9_.-]{1,6}", fullmatch=True),
                st.just("Assent.x"),
            )
        ),
        "title": draw(NAMES),
        "severity": draw(st.sampled_from(Severity)).value,
        "resource": draw(NAMES),
    }
    some = {
        "original_severity": NAMES,
        "confidence": st.integers(0, 100),
        "locations": st.lists(_locations(), max_size=3),
        "evidence": st.fixed_dictionaries({"request": TEXTS, "response": TEXTS, "matched": TEXTS}),
        "cwe": st.lists(st.sampled_from(["CWE-79", "CWE-22", "CWE-9999999"]), max_size=2),
        "owasp": st.lists(st.just("A03:2021"), max_size=1),
        "cve_ids": st.lists(st.just("CVE-2021-44228"), max_size=1),
        "mitre_attack": st.lists(st.just("T1059.001"), max_size=1),
        "cvss": st.fixed_dictionaries({"score": st.floats(0, 10)}),
        "poc_links": st.lists(
            st.sampled_from(
                ["https://a.example/?q=\"><script>'", "http://b.example/[x](y)|%zz", "https://[::1]/"]
            ),
            max_size=2,
        ),
        "fingerprint": st.just({"recipe": 1, "value": "0" * 64}),
        "provenance": st.fixed_dictionaries({"tool": NAMES, "tool_version": NAMES}),
    }
    for name, values in some.items():
        if draw(st.booleans()):
            document[name] = draw(values)
    return msgspec.convert(document, Finding)


_SUPPRESSIONS = st.builds(
    Suppression,
    reason=NAMES.filter(lambda text: bool(text.strip())),
    until=st.none() | MOMENTS,
    scope=st.sampled_from(Scope),
)
TRIAGES = st.builds(
    Triage,
    status=st.sampled_from(Status),
    status_at=st.none() | MOMENTS,
    owner=st.none() | st.sampled_from(["ann", "=cmd()", "<b>bob</b>"]),
    tags=st.lists(st.sampled_from(["=tag", "<i>", "[a](b)", "plain"]), unique=True).map(tuple),
    suppression=st.none() | _SUPPRESSIONS,
)
REPORTED = st.builds(
    Reported,
    finding=_findings(),
    triage=TRIAGES,
    first_seen=st.none() | MOMENTS,
    last_seen=st.none() | MOMENTS,
)
MANY = st.lists(REPORTED, max_size=6)
