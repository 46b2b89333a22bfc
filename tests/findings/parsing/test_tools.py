"""Tools whose outputs are not at hand, in outputs made by their documentation; sites that stay apart; and SARIF."""

from __future__ import annotations

import json
from functools import partial
from io import BytesIO
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from assent.errors import InputError
from assent.findings import Finding
from assent.findings.finding import LISTED_MAX
from assent.findings.parsing import _json, _sarif, built_in_tools, detect, read_parser
from assent.findings.parsing._json import Cutter
from assent.findings.parsing._values import host, origin, port, protocol, severity_of
from tests.findings.test_finding import VALIDATOR
from tests.support.scanned import ABOUT, FORMS, parsed

TOOLS: Final = built_in_tools()

# What each record of a form comes to.
WANTED: Final[dict[str, list[tuple[str, str, str] | str]]] = {
    "burp": [("burp.1049088", "high", "https://a.example/cart"), "somebody said that it is none"],
    "cyclonedx": [
        ("cyclonedx.CVE-2026-0001", "high", "pkg:npm/%40a/b@1.2.3"),
        "somebody said that it does not hold",
    ],
    "gobuster": [("", "", "admin"), ("", "", "https://a.example/x")],
    "nikto-json": [("nikto.999100", "unknown", "a.example:8080/a")],
    "sslyze": [
        ("sslyze.heartbleed", "high", "a.example:443"),
        *["the server does not have it"] * 5,
        ("sslyze.tls-1.0", "low", "a.example:443"),
        *["the server does not have it"] * 2,
    ],
    "testssl-json": [("testssl.BREACH", "medium", "a.example:443"), "the check passed"],
    "wapiti-xml": [
        ("wapiti.SQL_Injection", "critical", "a.example/a"),
        ("wapiti.SQL_Injection", "critical", "b.example:81/a"),
    ],
    "zap-json": [("zap.10011", "low", "https://a.example")],
}


@pytest.mark.parametrize("name", WANTED)
def test_what_a_tool_writes_becomes_what_it_says(name: str) -> None:
    found, _ = parsed(TOOLS[name], FORMS[name])
    told: list[tuple[str, str, str] | str] = []
    for one in found:
        if one.finding is not None:
            VALIDATOR.validate(json.loads(one.finding.to_json()))
            told.append((one.finding.detector_id, one.finding.severity.value, one.finding.resource))
        else:
            told.append(("", "", one.resource.resource) if one.resource else str(one.skipped))
    assert told == WANTED[name]


def test_each_place_of_a_package_has_its_version_apart() -> None:
    (one, _), _ = parsed(TOOLS["cyclonedx"], FORMS["cyclonedx"])
    assert one.finding is not None
    assert [(at.package, at.version) for at in one.finding.locations or ()] == [
        ("pkg:npm/%40a/b", "1.2.3"),
        ("pkg:npm/c", "1"),
    ]
    later, _ = parsed(TOOLS["cyclonedx"], FORMS["cyclonedx"].replace(b"@1.2.3", b"@1.2.4"))
    assert later[0].finding is not None
    assert later[0].finding.id == one.finding.id


def test_a_path_on_two_sites_is_two_findings() -> None:
    for name in ("wapiti-xml", "wapiti"):
        text = FORMS["wapiti-xml"].decode()
        if name == "wapiti":
            entry = {"path": "/", "level": 1, "method": "GET", "info": "x"}
            sites = [
                {**entry, "curl_command": f'curl "http://{site}/?x=1"'} for site in ("a.example", "b.example")
            ]
            text = json.dumps({"classifications": {}, "vulnerabilities": {"CSP": sites}, "infos": {}})
        found, _ = parsed(TOOLS[name], text.encode())
        assert len({one.finding.id for one in found if one.finding}) == len(found) == 2


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (None, None),
        ("two words", None),
        ("A.example", "//a.example"),
        ("::1", "//[::1]"),
        ("https://A.example:8443/x?y", "https://a.example:8443"),
        ("curl -k 'http://a.example/' -H 'Referer: http://b.example/'", "http://a.example"),
        ("POST http://x HTTP/1.1\r\nA: b\r\nHost: a.example\r\n\r\n", "//a.example"),
    ],
)
def test_an_origin_is_found_in_what_a_tool_keeps(said: str | None, wanted: str | None) -> None:
    assert origin(said) == wanted


def test_places_are_taken_apart() -> None:
    assert [port(one) for one in ("443/tcp", "general/tcp", 80, "70000", None)] == [443, None, 80, None, None]
    assert [protocol(one) for one in ("443/tcp", "udp", "x/", None)] == ["tcp", "udp", None, None]
    assert [host(one) for one in ("https://a/", "a.example/10.0.0.1", "/10.0.0.1", "a", "/", None)] == [
        "https://a/",
        "a.example",
        "10.0.0.1",
        "a",
        None,
        None,
    ]
    assert [severity_of(one) for one in (10, 9, 8.9, 7, 4, 0.1, 0)] == [
        "critical",
        "critical",
        "high",
        "high",
        "medium",
        "low",
        "info",
    ]


@pytest.mark.parametrize(
    ("vector", "score", "severity", "version"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8, "critical", "3.1"),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:L/VA:N/SC:N/SI:N/SA:N", 6.9, "medium", "4.0"),
        ("(AV:N/AC:L/Au:N/C:P/I:P/A:P)", 7.5, "high", "2.0"),
        ("CVSS:3.1/AV:N", None, "unknown", None),
        ("CVSS:3.1/AV:N/x", None, "unknown", None),
    ],
)
def test_a_vector_alone_is_scored(
    vector: str, score: float | None, severity: str, version: str | None
) -> None:
    vulnerability = {"id": "CVE-2026-0001", "severity": [{"type": "CVSS", "score": vector}]}
    package = {"package": {"name": "a", "version": "1"}, "vulnerabilities": [vulnerability]}
    text = json.dumps({"results": [{"source": {"path": "a.lock"}, "packages": [package]}]})
    ((one,), _) = parsed(TOOLS["osv-scanner"], text.encode())
    assert one.finding is not None
    said = one.finding.cvss
    assert (one.finding.severity, said.score if said else None) == (severity, score)
    assert (said.version if said else None) == version


def test_a_path_whose_site_nobody_names_stays_as_it_is() -> None:
    entry = {"path": "/a", "level": 1, "info": "x"}
    text = json.dumps({"classifications": {}, "vulnerabilities": {"CSP": [entry]}, "infos": {}})
    ((one,), _) = parsed(TOOLS["wapiti"], text.encode())
    assert one.finding is not None
    assert one.finding.resource == "/a"


# -- Identity -----------------------------------------------------------------------------------------------------------------


def identities(tool: str, document: object) -> list[str]:
    """The ids of what a tool's JSON holds."""
    found, report = parsed(TOOLS[tool], json.dumps(document).encode())
    assert report.new_fields == {}
    return [one.finding.id for one in found if one.finding is not None]


def bandit(*code: str, number: int, last: int | None = None, path: str = "./app.py") -> dict[str, Any]:
    """What Bandit writes of the middle one of some lines, or of some from there on."""
    numbered = "".join(f"{at} {line}\n" for at, line in enumerate(code, number - 1))
    lines = [*range(number, (last or number) + 1)]
    result = {
        "code": numbered, "filename": path, "test_id": "B602", "issue_severity": "HIGH", "issue_confidence": "HIGH",
        "issue_text": "shell", "line_number": lines[-1], "line_range": lines,
    }  # fmt: skip
    return {"errors": [], "generated_at": "", "metrics": {}, "results": [result]}


def test_a_line_that_comes_in_above_changes_no_identity() -> None:
    once = identities("bandit", bandit("x = 1", "call(a, shell=True)", "", number=9))
    assert once == identities("bandit", bandit("", "call(a, shell=True)", "y = 2", number=10))
    assert once == identities("bandit", bandit("", "call(a, shell=True)", "y = 2", number=10, path="app.py"))
    assert once != identities("bandit", bandit("x = 1", "call(b, shell=True)", "", number=9))
    # What goes on over lines is known by the first, as in SARIF.
    long = identities("bandit", bandit("x = 1", "call(", "a)", number=9, last=10))
    assert long == identities("bandit", bandit("", "call(", "a)", "z", number=99, last=100))
    issue = {"rule_id": "G104", "severity": "LOW", "file": "/src/a.go"}
    go = [
        {**issue, "line": "2", "code": "1: a()\n2: \tb()\n3: c()\n"},
        {**issue, "line": "7-8", "code": "6: \n7: b()\n8: c()\n9: d()\n"},
        {**issue, "line": "7", "code": "b()"},
    ]
    assert len({*identities("gosec", {"Issues": go, "Stats": {}})}) == 1


def test_one_run_as_json_and_as_sarif_is_of_the_same_findings() -> None:
    region = {"startLine": 9, "snippet": {"text": "call(a, shell=True)\n"}}
    place = {"physicalLocation": {"artifactLocation": {"uri": "app.py"}, "region": region}}

    def sarif(name: str, rule: str) -> list[str]:
        result = {"ruleId": rule, "message": {"text": "shell"}, "locations": [place]}
        driver = {"tool": {"driver": {"name": name}}, "results": [result]}
        return identities("sarif", {"version": "2.1.0", "runs": [driver]})

    assert sarif("Bandit", "B602") == identities("bandit", bandit("", "call(a, shell=True)", "", number=9))
    result = {"check_id": "shell", "path": "./app.py", "start": {"line": 9}, "end": {"line": 9}}
    result["extra"] = {"severity": "ERROR", "message": "shell", "lines": "call(a, shell=True)"}
    assert sarif("Semgrep OSS", "shell") == identities(
        "semgrep", {"results": [result], "errors": [], "paths": {}}
    )


def test_what_a_tool_writes_without_an_account_is_no_code() -> None:
    """What its rule caught there is, where it says that."""
    caught = [{}, {"$A": {"abstract_content": "md5"}, "$B": {"abstract_content": "x"}}]
    results = [
        {
            "check_id": "hash", "path": "a.py", "start": {"line": 1}, "end": {"line": 1},
            "extra": {"severity": "ERROR", "message": "weak", "lines": "requires login", "metavars": one},
        }
        for one in caught
    ]  # fmt: skip
    found, _ = parsed(TOOLS["semgrep"], json.dumps({"results": results, "errors": [], "paths": {}}).encode())
    snippets = [one.finding.locations[0].snippet for one in found if one.finding is not None]
    assert snippets == [UNSET, "md5, x"]


WAPITI: Final = [
    ("HTTP Secure Headers", "X-Frame-Options is not set", "X-Frame-Options"),
    ("HTTP Secure Headers", "X-XSS-Protection is not set", "X-XSS-Protection"),
    ("HTTP Secure Headers", "X-Content-Type-Options is not set", "X-Content-Type-Options"),
    ("HTTP Secure Headers", "Strict-Transport-Security is not set", "Strict-Transport-Security"),
    ("Content Security Policy Configuration", "CSP is not set", "CSP"),
    ("Content Security Policy Configuration", 'CSP "script-src" value is not safe', "script-src"),
    ("Content Security Policy Configuration", 'CSP attribute "object-src" is missing', "object-src"),
    ("Secure Flag cookie", "Secure flag is not set in the cookie : sid", "sid"),
    ("Secure Flag cookie", "Secure flag is not set in the cookie: lang", "lang"),
    ("Fingerprint web technology", '{"versions": ["1.2"], "name": "jQuery", "categories": []}', "jQuery"),
    ("SQL Injection", "SQL Injection via injection in the parameter id", None),
]


@pytest.mark.parametrize("tool", ["wapiti", "wapiti-xml"])
def test_what_wapiti_misses_at_one_address_is_told_apart(tool: str) -> None:
    entries = [
        (category, {"method": "GET", "path": "/", "level": "1", "info": info}) for category, info, _ in WAPITI
    ]
    groups: dict[str, list[dict[str, str]]] = {}
    for category, entry in entries:
        groups.setdefault(category, []).append(entry)
    text = json.dumps({"classifications": {}, "vulnerabilities": groups, "infos": {}})
    if tool == "wapiti-xml":
        told = "".join(
            f"<vulnerability name={quoteattr(name)}><entries>"
            + "".join(
                f"<entry>{''.join(f'<{key}>{escape(said)}</{key}>' for key, said in one.items())}</entry>"
                for one in many
            )
            + "</entries></vulnerability>"
            for name, many in groups.items()
        )
        text = f'<report type="security"><vulnerabilities>{told}</vulnerabilities></report>'
    found, _ = parsed(TOOLS[tool], text.encode())
    named = [one.finding.locations[0].name or None for one in found if one.finding is not None]
    assert named == [name for *_, name in WAPITI]
    assert len({one.finding.id for one in found if one.finding is not None}) == len(WAPITI)
    newer, _ = parsed(TOOLS[tool], text.replace("1.2", "1.3").encode())
    assert [one.finding and one.finding.id for one in newer] == [
        one.finding and one.finding.id for one in found
    ]


def test_nikto_and_zap_have_several_matters_under_one_number() -> None:
    said = (
        "Uncommon header 'x-one' found, with contents: 1.",
        "Uncommon header 'x-two' found, with contents: 1.",
        "Retrieved x-powered-by header: PHP/8.1.",
        "Cookie sid created without the httponly flag.",
        "Cookie lang created without the httponly flag.",
    )
    items = [{"id": "999", "method": "GET", "url": "/", "msg": one} for one in said]
    host = {"host": "a.example", "ip": "10.0.0.1", "port": "80", "banner": "", "vulnerabilities": items}
    assert len({*identities("nikto-json", host)}) == len(said)
    same = {**host, "vulnerabilities": [{**one, "msg": one["msg"].replace("8.1", "8.2")} for one in items]}
    assert identities("nikto-json", same) == identities("nikto-json", host)
    alerts = [
        {"pluginid": "10055", "alertRef": f"10055-{one}", "name": f"CSP {one}", "riskcode": "2",
         "instances": [{"uri": "https://a.example/", "method": "GET", "param": ""}]}
        for one in (4, 5)
    ]  # fmt: skip
    site = {"@name": "https://a.example", "alerts": alerts}
    assert len({*identities("zap-json", {"@version": "2.15.0", "site": [site]})}) == 2


# -- SARIF --------------------------------------------------------------------------------------------------------------------

RUN: Final[dict[str, Any]] = {
    "artifacts": [{"location": {"uri": "src/a%20b.py"}}],
    "taxonomies": [{"name": "CWE"}],
    "invocations": [
        {
            "ruleConfigurationOverrides": [
                {"descriptor": {"id": "R3"}, "configuration": {"level": "none"}},
                {"descriptor": {"id": "R4"}, "configuration": {"enabled": False}},
            ]
        }
    ],
    "tool": {
        "driver": {
            "name": "My Tool!",
            "version": "1.2",
            "rules": [
                {
                    "id": "R1",
                    "defaultConfiguration": {"level": "error"},
                    "helpUri": "https://r.example/1",
                    "messageStrings": {"m": {"text": "{0} is bad, {1}"}},
                    "properties": {"security-severity": "9.8", "tags": ["external/cwe/cwe-089", "2021"]},
                },
                {"id": "R2", "relationships": [{"target": {"id": "CWE-20"}}]},
                {"id": "R3"},
                {"id": "R4"},
            ],
        },
        "extensions": [
            {"name": "none"},
            {"name": "pack", "guid": "g", "rules": [{"id": "E1", "defaultConfiguration": {"level": "note"}}]},
        ],
    },
}


def at(uri: str) -> list[dict[str, Any]]:
    return [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": 3}}}]


def sarif(*results: dict[str, Any], **more: Any) -> bytes:
    """A file whose rules stand behind its results, as many tools write it."""
    made = [{"message": {"text": "it is so"}, "locations": at("a.py"), **one} for one in results]
    return json.dumps({"runs": [{"results": made, **RUN, **more}], "version": "2.1.0"}).encode()


def result_of(said: dict[str, Any], **more: Any) -> Finding:
    found, report = parsed(TOOLS["sarif"], sarif(said, **more))
    assert (len(found), report.new_fields, report.fault) == (1, {}, None)
    assert found[0].finding is not None, found
    VALIDATOR.validate(json.loads(found[0].finding.to_json()))
    return found[0].finding


@pytest.mark.parametrize(
    ("said", "detector", "severity", "original"),
    [
        pytest.param({"ruleId": "R1"}, "R1", "critical", "9.8", id="by-id-and-score"),
        pytest.param({"ruleIndex": 1}, "R2", "medium", "warning", id="by-index-and-default"),
        pytest.param(
            {"rule": {"index": 0, "toolComponent": {"index": 1}}}, "E1", "low", "note", id="extension"
        ),
        pytest.param(
            {"rule": {"id": "E1", "toolComponent": {"name": "pack"}}}, "E1", "low", "note", id="by-name"
        ),
        pytest.param(
            {"rule": {"id": "E1", "toolComponent": {"guid": "g"}}}, "E1", "low", "note", id="by-guid"
        ),
        pytest.param(
            {"rule": {"id": "E1", "toolComponent": {"guid": "?"}}}, "E1", "low", "note", id="nobodys"
        ),
        pytest.param({"ruleId": "E1"}, "E1", "low", "note", id="by-id-in-an-extension"),
        pytest.param({"ruleId": "E1", "ruleIndex": 0}, "E1", "low", "note", id="an-index-of-another"),
        pytest.param({"ruleId": "R1/sub/2"}, "R1_sub_2", "critical", "9.8", id="below-a-rule"),
        pytest.param({"ruleId": "R1/sub", "ruleIndex": 0}, "R1_sub", "critical", "9.8", id="below-by-index"),
        pytest.param({"ruleId": "R2", "level": "note"}, "R2", "low", "note", id="own-level"),
        pytest.param(
            {"ruleId": "R1", "properties": {"security-severity": "1"}}, "R1", "low", "1", id="own-score"
        ),
        pytest.param({"ruleId": "R2", "kind": "review"}, "R2", "info", "none", id="to-be-reviewed"),
        pytest.param({"ruleId": "R3"}, "R3", "info", "none", id="by-the-invocation"),
        pytest.param({"ruleId": "R4"}, "R4", "medium", "warning", id="the-invocation-says-no-level"),
        pytest.param({"ruleId": "X", "ruleIndex": 99}, "X", "medium", "warning", id="a-rule-of-nobody"),
        pytest.param({}, "it_is_so", "medium", "warning", id="no-rule"),
        pytest.param(
            {"ruleId": "R2", "suppressions": [{"status": "underReview"}]},
            "R2",
            "medium",
            "warning",
            id="asked",
        ),
    ],
)
def test_a_result_is_of_its_rule(said: dict[str, Any], detector: str, severity: str, original: str) -> None:
    found = result_of(said)
    assert (found.detector_id, found.severity, found.original_severity) == (
        f"my-tool.{detector}",
        severity,
        original,
    )
    assert found.provenance
    assert (found.provenance.tool, found.provenance.tool_version) == ("my-tool", "1.2")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"kind": "pass"}, "the rule is kept"),
        ({"kind": "notApplicable"}, "the rule does not apply"),
        ({"suppressions": [{"kind": "inSource"}, {"status": "accepted"}]}, "it was suppressed"),
        ({"baselineState": "absent"}, "it is there no more"),
    ],
)
def test_a_result_that_says_nothing_to_keep_is_skipped(said: dict[str, Any], why: str) -> None:
    (one,), report = parsed(TOOLS["sarif"], sarif(said))
    assert (one.skipped, report.skipped) == (why, {why: 1})


def test_a_result_has_what_its_run_says_elsewhere() -> None:
    found = result_of(
        {
            "ruleId": "R1",
            "message": {"id": "m", "arguments": ["eval"]},
            "locations": [
                {"physicalLocation": {"artifactLocation": {"index": 0}}, "logicalLocations": [{"name": "f"}]}
            ],
            "taxa": [
                {"id": "79", "toolComponent": {"index": 0}},
                {"id": "T", "toolComponent": {"name": "Other"}},
            ],
        }
    )
    (place,) = found.locations or ()
    assert (found.title, found.resource, place.name) == ("eval is bad, {1}", "src/a b.py", "f")
    assert (found.cwe, found.poc_links) == (("CWE-89", "CWE-79"), ("https://r.example/1",))
    assert result_of({"ruleId": "R2"}).cwe == ("CWE-20",)


@pytest.mark.parametrize(
    ("said", "resource"),
    [
        ({"locations": at("file:///w/a.py")}, "/w/a.py"),
        ({"locations": at("https://a.example/x?y=1")}, "https://a.example/x"),
        ({"locations": [], "analysisTarget": {"uri": "b.py"}}, "b.py"),
        ({"locations": [{}]}, "my-tool"),
        ({"locations": [{"logicalLocations": [{"fullyQualifiedName": "a.b"}]}]}, "a.b"),
    ],
)
def test_a_result_is_somewhere(said: dict[str, Any], resource: str) -> None:
    assert result_of({"ruleId": "R2", **said}).resource == resource


def test_what_a_tool_counts_by_is_no_identity_and_two_sites_stay_two() -> None:
    first = result_of({"ruleId": "R2"})
    other = result_of(
        {
            "ruleId": "R2",
            "partialFingerprints": {"a": "b"},
            "guid": "c",
            "level": "note",
            "message": {"text": "more"},
        },
        originalUriBaseIds={"SRC": {"uri": "file:///w/"}},
    )
    assert first.id == other.id
    sites = {result_of({"ruleId": "R2", "locations": at(f"https://{one}.example/x")}).id for one in "ab"}
    assert len(sites) == 2


def test_results_without_a_look_at_their_runs_are_findings_too() -> None:
    (one,) = TOOLS["sarif"].read(BytesIO(sarif({"ruleId": "R1"})).read, ABOUT)
    assert one.finding is not None
    assert (one.finding.detector_id, one.finding.severity) == ("sarif.R1", "medium")


def test_a_file_whose_version_stands_far_behind_is_recognised() -> None:
    data = sarif(*[{"ruleId": "R1", "message": {"text": "x" * 100_000}}] * 12)
    assert detect(data, TOOLS).name == "sarif"


def test_what_has_very_many_places_is_a_finding_with_the_first_of_them() -> None:
    """Also where rules, overrides, extensions, tags and arguments are very many: each result costs no more for it."""
    many = range(LISTED_MAX + 5)
    found = result_of(
        {
            "rule": {"id": "R1", "toolComponent": {"guid": "nobody's"}},
            "message": {"text": "{0}" * 100_000, "arguments": ["x" * 1_000_000]},
            "locations": [at(f"f{number}.py")[0] for number in many],
        },
        tool={
            "driver": {"name": "x", "rules": [{"id": "R1", "properties": {"tags": ["cwe-1"] * 9_000}}]},
            "extensions": [{"name": f"e{number}"} for number in many],
        },
        invocations=[
            {
                "ruleConfigurationOverrides": [
                    {"descriptor": {"id": "R1"}, "configuration": {"level": "note"}}
                ]
                * 9
            }
        ],
    )
    assert (found.severity, found.resource, found.cwe) == ("low", "f0.py", ("CWE-1",))
    assert len(found.locations) == LISTED_MAX
    alerts = [{"pluginid": "1", "name": "a", "instances": [{"uri": f"https://a.example/{n}"} for n in many]}]
    zap = {"@version": "2", "site": [{"@name": "https://a.example", "alerts": alerts}]}
    ((one,), _) = parsed(TOOLS["zap-json"], json.dumps(zap).encode())
    assert one.finding is not None
    assert len(one.finding.locations) == LISTED_MAX


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "index", "text", "uri", "name", "rules", "level", "target"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
_PLACES = st.sampled_from(
    [
        "rule",
        "ruleId",
        "message",
        "locations",
        "taxa",
        "suppressions",
        "kind",
        "level",
        "properties",
        "analysisTarget",
    ]
)


@given(st.dictionaries(_PLACES, _VALUES), st.dictionaries(st.sampled_from([*RUN]), _VALUES))
def test_no_run_breaks_its_results(result: dict[str, Any], run: dict[str, Any]) -> None:
    _, report = parsed(TOOLS["sarif"], sarif(result, {"ruleId": "R1"}, **run))
    assert report.records == 2


def test_a_field_that_is_none_is_told_with_those_that_are() -> None:
    text = 'tool="x"\ntitle="X"\nabout="y"\nrecord="z"\nkind="code"\nrecognise=[]\n[[records]]\nfields={scorn="a"}\n'
    with pytest.raises(InputError, match="`scorn` is not a field"):
        read_parser(text.encode(), "x.toml")


@pytest.mark.parametrize("is_first", [True, False])
def test_results_of_any_length_leave_their_tool_readable(
    is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sarif, "Cutter", partial(Cutter, record_bytes=1000))
    monkeypatch.setattr(_json, "PIECE_BYTES", 100)
    (run,) = json.loads(sarif(*[{"ruleId": "R2", "message": {"text": "x" * 200}}] * 50))["runs"]
    tool = {"tool": {"driver": {"name": "My Tool"}}}
    results = {"results": run["results"]}
    document = {"runs": [results | tool if is_first else tool | results]}
    found, report = parsed(TOOLS["sarif"], json.dumps(document).encode())
    assert report.fault is None
    assert {one.finding.detector_id for one in found if one.finding} == {"my-tool.R2"}


def test_a_tool_that_cannot_be_read_is_the_fault_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sarif, "Cutter", partial(Cutter, record_bytes=1000))
    monkeypatch.setattr(_json, "PIECE_BYTES", 100)
    driver = {"name": "My Tool", "rules": [{"id": f"R{number}"} for number in range(500)]}
    two = [{"tool": {"driver": driver}, "results": [{"ruleId": "R2", "message": {"text": "x"}}]}] * 2
    found, report = parsed(TOOLS["sarif"], json.dumps({"runs": two}).encode())
    assert len(found) == 2
    assert report.fault is not None
    assert "longer than 1000 bytes" in report.fault.why


def test_of_several_tools_that_cannot_be_read_the_first_is_told() -> None:
    data = b'{"runs": [{"tool": {"a": \xff}}, {"tool": {"b": \xff}}]}'
    _, report = parsed(TOOLS["sarif"], data)
    assert report.fault is not None
    assert report.fault.begin == data.index(b'{"a"')
