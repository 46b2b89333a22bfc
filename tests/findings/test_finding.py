"""A finding's document: read strictly, written as it was read, and as its published schema says."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import msgspec
import pytest

from assent.errors import InputError
from assent.findings import Finding, Location, Provenance, finding_schema, read_finding

LEAST: dict[str, Any] = {
    "finding_schema_version": "1.0.0",
    "id": "6f1c3c9e-2a55-4b0e-9a53-0c7d1c2f8a10",
    "project_id": "0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a11",
    "detector_id": "nuclei.git-config",
    "title": "a title",
    "severity": "unknown",
    "resource": "shop.example",
    "created_at": "2026-11-23T09:30:00Z",
}
WHOLE: dict[str, Any] = {
    **LEAST,
    "created_at": "2026-11-23T09:30:00.125Z",
    "run_id": "run_1",
    "original_severity": "Sehr hoch\n",
    "confidence": 100,
    "locations": [{"url": "https://shop.example/", "method": "GET"}, {"path": "a.py", "line": 0}],
    "evidence": {"request": "GET / HTTP/1.1\r\n\r\n", "extracted": ["", "x\n"]},
    "cwe": ["CWE-79"],
    "owasp": ["A10:2021"],
    "cve_ids": ["CVE-2021-44228"],
    "cvss": {"score": 9.8, "vector": "CVSS:3.1/AV:N", "version": "3.1"},
    "mitre_attack": ["T1059", "T1059.001"],
    "poc_links": ["https://shop.example/a?b#c"],
    "fingerprint": {"recipe": 1, "value": "0" * 64},
    "provenance": {"tool": "nuclei", "raw_sha256": "f" * 64, "begin": 0, "end": 0},
}
VALIDATOR = jsonschema_rs.Draft202012Validator(finding_schema(), validate_formats=True)


@pytest.mark.parametrize("document", [LEAST, WHOLE], ids=["least", "whole"])
def test_a_finding_comes_back_as_it_was(document: dict[str, Any]) -> None:
    found = read_finding(document)
    assert msgspec.json.decode(found.to_json()) == document
    assert read_finding(found.to_json()) == read_finding(found.to_json().decode()) == found
    VALIDATOR.validate(document)


@pytest.mark.parametrize("name", LEAST)
def test_what_must_be_there_must(name: str) -> None:
    document = {key: value for key, value in LEAST.items() if key != name}
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(InputError, match=f"`{name}` is missing") as refused:
        read_finding(document)
    assert refused.value.code == "FINDING_INVALID"


WRONG: list[tuple[str, Any]] = [
    *(
        ("id", one)
        for one in ("", "x", LEAST["id"].upper(), LEAST["id"] + "0", "{" + LEAST["id"] + "}", None)
    ),
    *(("detector_id", one) for one in ("", "a:b", "a@b", "a b", "a" * 257, "é", 1)),
    *(("title", one) for one in ("", "a" * 4097, None)),
    *(("severity", one) for one in ("HIGH", "", "none", "moderate", None)),
    *(
        ("created_at", one)
        for one in (
            "2026-11-23 09:30:00Z",
            "2026/11/23T09:30:00Z",
            "2026-11-23T09:30:00",
            "2026-11-23T09:30:00+00:00",
            "2026-11-23T09:30:00.12Z",
            "2026-11-23T25:30:00Z",
            "2026-02-29T09:30:00Z",
            "٢026-11-23T09:30:00Z",
            0,
        )
    ),
    *(("confidence", one) for one in (-1, 101, 0.5, "high", True)),
    *(("cwe", one) for one in ([79], ["79"], ["CWE-0"], ["cwe-79"], "CWE-79")),
    *(("owasp", one) for one in (["A05:2021 Misconfiguration"], ["A11:2021"], ["A5:2021"])),
    *(("cve_ids", one) for one in (["CVE-2021-123"], ["CVE-2021-XXXX"], ["cve-2021-44228"])),
    *(("cvss", one) for one in ({}, {"score": 10.1}, {"score": "9.8"}, {"score": 1, "version": "3.2"})),
    *(("mitre_attack", one) for one in (["T1"], ["T1059.1"], ["1059"])),
    *(("poc_links", one) for one in (["shop.example"], ["javascript:x"], ["http://"], ["http://u@h/"])),
    *(
        ("locations", one)
        for one in ([{"line": -1, "path": "a"}], [{"url": "u", "at": 1}], [{"port": 65536, "host": "a"}])
    ),
    *(("fingerprint", one) for one in ({"recipe": 0, "value": "0" * 64}, {"recipe": 1, "value": "F" * 64})),
    ("provenance", {"tool": "a", "begin": -1, "end": 0}),
    ("cvss", None),
    ("cwe", None),
    ("more", 1),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_is_of_another_form_is_refused(name: str, value: Any) -> None:
    document = {**LEAST, name: value}
    with pytest.raises(InputError, match=name) as refused:
        read_finding(document)
    assert refused.value.code == "FINDING_INVALID"
    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("locations", [{"line": 1}]),
        ("provenance", {"tool": "a", "begin": 1}),
        ("provenance", {"tool": "a", "begin": 2, "end": 1}),
        *((one, LEAST[one] + "\n") for one in ("id", "created_at", "detector_id")),
        *((one, [f"{WHOLE[one][0]}\n"]) for one in ("cwe", "owasp", "cve_ids", "mitre_attack", "poc_links")),
    ],
)
def test_what_a_schema_cannot_say_is_refused_too(name: str, value: Any) -> None:
    """In Python a `$` also stands before a last line's end; what two fields say together no pattern says."""
    with pytest.raises(InputError) as refused:
        read_finding({**LEAST, name: value})
    assert refused.value.code == "FINDING_INVALID"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"[" * 10_000, b'{"a":NaN}', b"null", b"[]", '"x"', "\ud800"]
)
def test_what_is_no_object_is_refused(data: bytes | str) -> None:
    with pytest.raises(InputError) as refused:
        read_finding(data)
    assert refused.value.code == "FINDING_INVALID"


@pytest.mark.parametrize("version", ["1.0.1", "1.10.0", "2.0.0"])
def test_a_later_schema_is_said_to_be_later(version: str) -> None:
    with pytest.raises(InputError) as refused:
        read_finding({**LEAST, "finding_schema_version": version, "more": 1})
    assert refused.value.code == "FINDING_TOO_NEW"
    assert version in refused.value.message


@pytest.mark.parametrize("version", ["0.9.0", "1.0", "1", "", "x.y.z", "1.0.²", "9" * 5000 + ".0.0", 2, None])
def test_a_version_that_is_none_is_no_later_one(version: Any) -> None:
    with pytest.raises(InputError) as refused:
        read_finding({**LEAST, "finding_schema_version": version})
    assert refused.value.code == "FINDING_INVALID"


def test_a_finding_cannot_be_changed() -> None:
    found: Finding = read_finding(LEAST)
    with pytest.raises(AttributeError):
        found.title = "another"  # type: ignore[misc]  # what the test is about


def test_parts_that_code_makes_are_held_to_what_no_schema_says() -> None:
    with pytest.raises(ValueError, match="a location must have"):
        Location(line=3)
    with pytest.raises(ValueError, match="must stand together"):
        Provenance(tool="a", end=3)
