"""Outputs become what they are kept with, every record is accounted for, and a manifest means what it says."""

from __future__ import annotations

import json
import random
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from assent.errors import InputError
from assent.findings import finding_schema
from assent.findings.parsing import (
    About,
    Parser,
    Tools,
    built_in_tools,
    detect,
    finding_id,
    read_parser,
)
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


LEAST = 'tool = "t"\ntitle = "T"\nabout = "x"\nrecord = "a thing"\nkind = "setting"\nrecognise = [{ top = ["t"] }]\n'
FIELDS = '[records.fields]\ndetector = "rule"\nseverity = "level"\n"at.path" = "file"\n'


def made(text: str = "", records: str = "[[records]]\n" + FIELDS) -> Parser:
    return read_parser(f"{LEAST}{text}\n{records}".encode(), "t.toml")


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
    ("text", "said", "line"),
    [
        ("tool = ", "not TOML", 1),
        (LEAST + "[[records]]\n[records.fields]\nnone = 'a'\n", "`none` is not a field", 9),
        (LEAST + "[[records]]\n[records.fields]\n'at.none' = 'a'\n", "`at.none`", 9),
        (LEAST, "`records` is missing", 1),
        (LEAST.replace('"t"\ntitle', '"T T"\ntitle') + "[[records]]\n" + FIELDS, "`tool`", 1),
        (LEAST + "other = 1\n[[records]]\n" + FIELDS, "`other`", 7),
        (
            LEAST + "[[records]]\n[records.fields]\ntitle = '^'\nseverity = \"'x\"\n",
            "must say where a field stands",
            10,
        ),
        (LEAST + "[[records]]\nlocations = '|'\n" + FIELDS, "must say where a field stands", 8),
        (
            LEAST + "[[records]]\n" + FIELDS + "[records.facts]\na = '|'\n",
            "must say where a field stands",
            13,
        ),
        (LEAST + "required = ['|']\n[[records]]\n" + FIELDS, "must say where a field stands", 7),
        (
            LEAST + "[[records]]\nskip = [{ where = 'a', because = 'b' }]\n" + FIELDS,
            "`equals` or `unless`",
            8,
        ),
        (
            LEAST + "[[records]]\nskip = [{ where = '|', because = 'b', equals = [1] }]\n" + FIELDS,
            "must say where",
            8,
        ),
        (LEAST + "format = 'text'\n[[records]]\n" + FIELDS, "`line` is missing", 1),
        (
            LEAST + "format = 'text'\nline = '('\n[[records]]\n" + FIELDS,
            "`line` must be a regular expression",
            8,
        ),
        (
            LEAST.replace('{ top = ["t"] }', "{ text = '(' }") + "[[records]]\n" + FIELDS,
            "`recognise[0].text` must be a regular expression",
            6,
        ),
        (
            LEAST + "[[records]]\npath = 'a'\n" + FIELDS + "[[records]]\npath = 'b'\n" + FIELDS,
            "the same `path`",
            14,
        ),
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_told_with_its_line(text: str, said: str, line: int) -> None:
    with pytest.raises(InputError) as refused:
        read_parser(text.encode(), "t.toml")
    error = refused.value
    assert error.code == "TOOL_MANIFEST_INVALID"
    assert said in error.message
    assert str(error.path).startswith(f"t.toml:{line}:")


@pytest.mark.parametrize(
    ("was", "now", "hint"),
    [
        ("kind =", "knid =", "did you mean `kind`?; also: `kind` is missing"),
        ('kind = "setting"\n', "", "it must be `code`, `dependency`, `network`"),
        ("severity =", "severty =", "did you mean `severity`?"),
        ("[records.fields]", "skpi = 1\n[records.fields]", "did you mean `skip`?"),
        ('tool = "t"', "", "it must be a name of lower-case letters"),
        ('title = "T"', "title = 1\nabuot = 2", "also: `title` must be text, not `1`"),
        ('title = "T"', "title = 1", None),
    ],
)
def test_what_was_probably_meant_is_told(was: str, now: str, hint: str | None) -> None:
    text = LEAST + "[[records]]\n" + FIELDS
    assert was in text
    with pytest.raises(InputError) as refused:
        read_parser(text.replace(was, now, 1).encode(), "t.toml")
    assert (hint or "") in str(refused.value.hint or "")
    assert (refused.value.hint is None) == (hint is None)


RECORD: dict[str, Any] = {
    "a": {"b": [{"c": 1}, {"c": 2}]}, "l": [[5], [6]], "s": "x", "e": "", "@at": 3, "t": 9, "m": "the x|y is",
}  # fmt: skip
STANDS: dict[str, Any] = {
    "s": "x", "a.b": [{"c": 1}, {"c": 2}], "a.b.1.c": 2, "a.b.*.c": [1, 2], "a.b.c": 1, "a.b.9.c": None, "a.x.y": None,
    "l.*.0": [5, 6], "a.*.c": [1], "s.t": None, "e | s": "x", "none | 'text'": "text", "@1": "n", "@2": None, "@at": 3,
    "^.up": 1, "^^.out": 2, "^^^.x": None, "^": {"up": 1}, "none": None, "'a' | s": "a", "l.none": None, "#": RECORD,
    "m ~ '^the (.*) is|was$' | s": "x|y", "m ~ 'none (.)' | s": "x", "t ~ '(9)'": None, "^.up ~ '(1)' | s": "x",
}  # fmt: skip


@pytest.mark.parametrize("source", STANDS)
def test_a_field_stands_where_its_source_says(source: str) -> None:
    assert getter_of(source)(RECORD, ({"out": 2}, {"up": 1}), ("n",)) == STANDS[source]


def test_what_a_tool_writes_where_it_has_nothing_to_say_is_nothing() -> None:
    assert getter_of("m | s", ("the x|y is",))(RECORD, (), ()) == "x"
    assert getter_of("t", ("the x|y is",))(RECORD, (), ()) == 9


def test_names_that_are_looked_at_are_those_of_the_record_itself() -> None:
    assert own_names("a.b | ^.c | 'd' | @1 | @at | e | f ~ '(a|b)'") == {"a", "@at", "e", "f"}


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
    own = LEAST.replace('{ top = ["t"] }', '{ text = "^OURS" }')
    own += "format = 'text'\nline = '.*'\n[[records]]\n" + FIELDS
    lines = read_parser(own.encode(), "l")
    assert detect(b"OURS 1\n", {"lines": lines, "rows": rows}).name == "lines"
    assert detect(b"t,x\n", {"lines": lines, "rows": rows}).name == "rows"


def test_the_page_lists_every_tool_as_its_manifest_describes_it() -> None:
    assert write_findings.main(["--check"]) == 0, "run python -m tools.write_findings"


@pytest.mark.parametrize(
    ("tool", "text", "why"),
    [
        (
            "nmap",
            '<nmaprun><runstats><finished exit="error" errormsg="no route"/></runstats></nmaprun>',
            "no route",
        ),
        ("nmap", '<nmaprun><runstats><finished exit="error"/></runstats></nmaprun>', "not why"),
        ("nmap", '<nmaprun><runstats><finished exit="success"/></runstats></nmaprun>', None),
        (
            "semgrep",
            '{"results": [], "errors": [3, {"level": "warn"}, {"level": "error", "type": "Rule"}]}',
            "Rule",
        ),
        ("semgrep", '{"results": [], "errors": []}', None),
        ("nuclei", '{"errors": [{"level": "error"}]}', None),
    ],
)
def test_an_output_that_says_that_the_tool_failed_is_known_by_it(
    tool: str, text: str, why: str | None
) -> None:
    found = TOOLS[tool].failure(BytesIO(text.encode()).read)
    assert (found is None) == (why is None)
    if found is not None and why is not None:
        assert found.why.endswith(why)
        assert text[found.begin] in "<{"


def test_where_a_failure_is_told_is_checked() -> None:
    said = '[failed]\npath = "a"\nwhere = "|"\nequals = [1]\nmessage = "m"\n'
    with pytest.raises(InputError) as refused:
        read_parser((LEAST + "[[records]]\n" + FIELDS + said).encode(), "t.toml")
    assert str(refused.value.path).startswith("t.toml:14:")


def test_a_tool_is_named_by_its_name_or_by_a_manifests() -> None:
    """Of a tool's forms the one that fits is meant; a manifest's name means that one, whatever the file looks like."""
    tools = Tools(TOOLS)
    assert tools.recognise(b'{"@version": "2.1", "site": []}', "zap").name == "zap-json"
    assert tools.recognise(b"[]", "zap-json").name == "zap-json"
    with pytest.raises(InputError):
        tools.recognise(b"[]", "zap")
    assert tools.require("zap") is TOOLS["zap"]
