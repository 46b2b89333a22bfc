"""Outputs become what they are kept with, every record is accounted for, and nothing that a file holds breaks a parser."""

from __future__ import annotations

import json
import random
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.findings import finding_schema
from assent.findings.parsing import About, Parser, built_in_tools, detect, finding_id, read_manifest
from assent.findings.parsing._fields import getter_of, own_names
from tests.findings.test_finding import VALIDATOR
from tests.support.scanned import expected_of, goldens, parsed, told
from tools import write_findings

GOLDENS = {one.name: one.read_bytes() for one in goldens()}
TOOLS = built_in_tools()


@pytest.mark.parametrize("golden", goldens(), ids=lambda one: one.name)
def test_an_output_becomes_what_it_is_kept_with(golden: Path) -> None:
    wanted = json.loads(expected_of(golden).read_text())
    found = told(golden.read_bytes())
    assert json.loads(json.dumps(found)) == wanted
    for record in found["records"]:
        if "finding" in record:
            VALIDATOR.validate(record["finding"])


@pytest.mark.parametrize("name", GOLDENS)
@pytest.mark.parametrize("size", [1, 17])
def test_pieces_change_nothing(name: str, size: int) -> None:
    parser = TOOLS[detect(GOLDENS[name], TOOLS).name]
    assert parsed(parser, GOLDENS[name], size) == parsed(parser, GOLDENS[name])


@pytest.mark.parametrize("name", GOLDENS)
def test_order_changes_no_identity(name: str) -> None:
    parser = TOOLS[detect(GOLDENS[name], TOOLS).name]
    lines = GOLDENS[name].splitlines(keepends=True)
    random.Random(0).shuffle(lines)

    def identities(data: bytes) -> list[str]:
        found, _ = parsed(parser, data)
        return sorted(
            one.finding.fingerprint.value for one in found if one.finding and one.finding.fingerprint
        )

    assert identities(b"".join(lines)) == identities(GOLDENS[name])


@given(st.sampled_from(sorted(GOLDENS)), st.data())
def test_whatever_happens_to_an_output_its_records_add_up(name: str, data: st.DataObject) -> None:
    output = bytearray(GOLDENS[name])
    parser = TOOLS[detect(bytes(output), TOOLS).name]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(output) - 1)))
        length = data.draw(st.integers(0, 40))
        output[at : at + length] = data.draw(
            st.binary(max_size=12) | st.sampled_from([b"{", b"]", b'"', b"null", b"\n", b"1e999"])
        )
    found, report = parsed(parser, bytes(output))
    assert all(0 <= one.begin <= one.end <= len(output) for one in found)
    assert report.fault is None or report.fault.end <= len(output)


LEAST = 'tool = "t"\ntitle = "T"\nabout = "x"\nrecord = "a thing"\nkind = "setting"\nrecognise = [{ top = ["t"] }]\n'
FIELDS = '[records.fields]\ndetector = "rule"\nseverity = "level"\n"at.path" = "file"\n'


def made(text: str = "", records: str = "[[records]]\n" + FIELDS) -> Parser:
    return Parser(read_manifest(f"{LEAST}{text}\n{records}", "t.toml"))


def test_what_a_record_says_is_told_word_for_word_and_what_nobody_knows_is_counted() -> None:
    parser = made('required = ["rule", "level"]\nknown = ["old"]\n[severities]\ngrave = "critical"')
    lines = [
        {"rule": "a", "level": "Grave", "file": "x"}, {"rule": "b", "level": "odd", "file": "x", "new": 1, "old": 2},
        {"rule": "c", "file": "x"}, {"rule": "d", "level": "low"}, 7, [1],
    ]  # fmt: skip
    found, report = parsed(parser, "\n".join(map(json.dumps, lines)).encode())
    said = [(one.finding.severity, one.finding.original_severity) for one in found if one.finding is not None]
    assert said == [("critical", "Grave"), ("unknown", "odd"), ("unknown", msgspec.UNSET)]
    assert report.skipped == {"it says no place": 1, "it is not an object": 2}
    assert report.new_fields == {"new": 1}
    assert report.missing_fields == {"level": 1}
    assert report.by_severity == {"critical": 1, "unknown": 2}


def test_a_record_that_makes_no_finding_is_skipped_with_its_reason() -> None:
    parser = made(records='[[records]]\n[records.fields]\ntitle = "t"\n"at.url" = "u"\n"at.name" = "n"\n')
    long = {"t": "x", "u": "http://h", "n": "n"}
    about = About("no uuid", "2026-11-23T09:30:00Z")
    (skipped,) = parser.read(BytesIO(json.dumps(long).encode()).read, about)
    assert str(skipped.skipped).startswith("it makes no valid finding: ")


def test_a_record_may_need_what_it_stands_in() -> None:
    fields = 'detector = "@1"\ntitle = "^.name"\n"at.path" = "^^.file"\n"at.name" = "\'of \' | id"\n"at.line" = "lines.*.n"\n'
    parser = made(
        records='[[records]]\npath = "sets.*"\neach = "parts.*.issues.*"\nkind = "code"\n[records.fields]\n'
        + fields
    )
    document = {"sets": {"one": {"file": "a.py", "parts": [{"name": "p", "issues": [{"id": 1}, {"id": 2}]}]}}}
    data = json.dumps(document).encode()
    found, _ = parsed(parser, data)
    first = found[0].finding
    assert first is not None
    assert (first.detector_id, first.title, first.locations[0].path) == ("t.one", "p", "a.py")
    assert json.loads(data[found[1].begin : found[1].end]) == {"id": 2}


def test_one_record_with_many_places_is_one_finding() -> None:
    parser = made(
        records='[[records]]\nlocations = "at"\n[records.fields]\ndetector = "r"\n"at.url" = "u"\n"at.method" = "^.m"\n'
    )
    record = {"r": "a", "m": "GET", "at": [{"u": "http://a/1"}, {"u": "http://a/2"}, {"v": 1}, 5]}
    found, report = parsed(parser, json.dumps(record).encode())
    assert found[0].finding is not None
    assert [(one.url, one.method) for one in found[0].finding.locations] == [
        ("http://a/1", "GET"),
        ("http://a/2", "GET"),
    ]
    assert report.findings == 1


@pytest.mark.parametrize(
    ("at", "resource"),
    [
        ({"u": "https://A.example:443/x?y=1"}, "https://a.example/x"), ({"h": "A.example", "p": 22}, "a.example:22"),
        ({"h": "2001:db8::1"}, "[2001:db8::1]"), ({"k": "left-pad", "v": "1.0"}, "left-pad@1.0"), ({"k": "left-pad"}, "left-pad"),
        ({"n": "thing"}, "thing"),
    ],
)  # fmt: skip
def test_what_a_resource_is_called(at: dict[str, Any], resource: str) -> None:
    fields = {"url": "u", "host": "h", "port": "p", "package": "k", "version": "v", "name": "n"}
    rows = "".join(f'"at.{name}" = "{source}"\n' for name, source in fields.items())
    parser = made(
        records=f'[[records]]\nbecomes = "resource"\ntype = "host"\n[records.fields]\n{rows}[records.facts]\nseen = "s"\n'
    )
    found, _ = parsed(parser, json.dumps({**at, "s": [1]}).encode())
    assert found[0].resource is not None
    assert (found[0].resource.type, found[0].resource.resource, found[0].resource.facts) == (
        "host",
        resource,
        {"seen": [1]},
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tool = ", "must be TOML"), (LEAST + "[[records]]\n[records.fields]\nnone = 'a'\n", "`none` is not a field"),
        (LEAST + "[[records]]\n[records.fields]\n'at.none' = 'a'\n", "`at.none`"), (LEAST, "`records` is missing"),
        (LEAST.replace('"t"\ntitle', '"T T"\ntitle') + "[[records]]\n" + FIELDS, "`tool`"),
        (LEAST + "other = 1\n[[records]]\n" + FIELDS, "`other`"),
        (LEAST + "[[records]]\n[records.fields]\ntitle = '^'\nseverity = \"'x\"\n", "must say where a field stands"),
        (LEAST + "[[records]]\nskip = [{ where = 'a', because = 'b' }]\n" + FIELDS, "`equals` or `unless`"),
        (LEAST + "[[records]]\npath = 'a'\n" + FIELDS + "[[records]]\npath = 'b'\n" + FIELDS, "the same `path`"),
    ],
)  # fmt: skip
def test_a_manifest_that_says_what_cannot_be_is_told(text: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        Parser(read_manifest(text, "t.toml"))
    assert refused.value.code == "TOOL_MANIFEST_INVALID"
    assert said in str(refused.value)


RECORD: dict[str, Any] = {
    "a": {"b": [{"c": 1}, {"c": 2}]}, "l": [[5], [6]], "s": "x", "e": "", "@at": 3, "t": 9,
}  # fmt: skip
STANDS: dict[str, Any] = {
    "s": "x", "a.b": [{"c": 1}, {"c": 2}], "a.b.1.c": 2, "a.b.*.c": [1, 2], "a.b.c": 1, "a.b.9.c": None, "a.x.y": None,
    "l.*.0": [5, 6], "a.*.c": [1], "s.t": None, "e | s": "x", "none | 'text'": "text", "@1": "n", "@2": None, "@at": 3,
    "^.up": 1, "^^.out": 2, "^^^.x": None, "^": {"up": 1}, "none": None, "'a' | s": "a", "l.none": None, "#": RECORD,
}  # fmt: skip


@pytest.mark.parametrize("source", STANDS)
def test_a_field_stands_where_its_source_says(source: str) -> None:
    assert getter_of(source)(RECORD, ({"out": 2}, {"up": 1}), ("n",)) == STANDS[source]


def test_names_that_are_looked_at_are_those_of_the_record_itself() -> None:
    assert own_names("a.b | ^.c | 'd' | @1 | @at | e") == {"a", "@at", "e"}


def test_an_id_is_the_project_and_the_matter() -> None:
    one = finding_id("p", "f")
    assert one == finding_id("p", "f") != finding_id("q", "f")
    assert finding_schema()["$defs"]["Finding"]["properties"]["id"]["format"] == "uuid"  # type: ignore[index,call-overload]
    assert (one[14], one[19] in "89ab", len(one)) == ("8", True, 36)


UNKNOWN = {
    b"": "nothing: it is empty", b'{"x": 1}': "JSON with `x`", b"<a b='1'/>": "XML with the root `a`, `@b`",
    b'[{"y": 2}]': "records with `y`", b"one,two\n": "a text whose first row is `one`, `two`", b"[]": "no record",
}  # fmt: skip


@pytest.mark.parametrize("head", UNKNOWN)
def test_what_nobody_writes_is_told_as_it_was_seen(head: bytes) -> None:
    with pytest.raises(InputError) as refused:
        detect(head, TOOLS)
    assert refused.value.code == "TOOL_UNKNOWN"
    assert UNKNOWN[head] in str(refused.value)


def test_what_two_tools_write_alike_is_not_guessed() -> None:
    with pytest.raises(InputError, match="more than one tool writes this: it may be of a, b"):
        detect(b'{"t": 1}', {"a": made(), "b": made()})


def test_a_version_is_told_by_the_top_or_by_the_form() -> None:
    assert detect(b'{"t": 1, "v": "2.0"}', {"a": made('version = "v"')}).version == "2.0"
    assert detect(b'{"t": 1, "v": [2]}', {"a": made('version = "v"')}).version is None
    assert detect(GOLDENS["nuclei-2.5.jsonl"], TOOLS).version == "2.5"
    assert detect(b'<nmaprun version="7.93"><host/></nmaprun>', TOOLS).version == "7.93"


def test_texts_and_rows_are_read_by_manifests_too() -> None:
    text = made(
        "format = 'text'\nline = '^(?P<file>\\S+): (?P<level>\\w+)'",
        records="[[records]]\n" + FIELDS,
    )
    found, _ = parsed(text, b"a.ini: high\n\nnone\n")
    assert [one.finding.severity for one in found if one.finding] == ["high"]
    rows = made("format = 'csv'")
    found, _ = parsed(rows, b"rule,level,file\nr,low,a.ini\n")
    assert [one.finding.detector_id for one in found if one.finding] == ["t.r"]
    lines = Parser(
        read_manifest(
            LEAST.replace('{ top = ["t"] }', '{ text = "^OURS" }')
            + "format = 'text'\n[[records]]\n"
            + FIELDS,
            "l",
        )
    )
    assert detect(b"OURS 1\n", {"lines": lines, "rows": rows}).name == "lines"
    assert detect(b"t,x\n", {"lines": lines, "rows": rows}).name == "rows"


def test_the_page_lists_every_tool_as_its_manifest_describes_it() -> None:
    assert write_findings.main(["--check"]) == 0, "run python -m tools.write_findings"
