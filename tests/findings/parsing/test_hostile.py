"""What was made to break a parser, to fill its memory or to keep it busy costs the record that it stands in, and no more."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.findings.parsing import (
    HEAD_BYTES,
    UNFORESEEN,
    Tools,
    _rows,
    built_in_tools,
    detect,
    read_parser,
)
from assent.findings.parsing import _parser as parser_module
from assent.findings.parsing._compiled import CompiledRecords
from assent.findings.parsing._fields import pattern_of
from assent.findings.parsing._json import DEPTH_MAX, PIECE_BYTES, VALUES_MAX, Cutter
from assent.findings.parsing._rows import RowCutter
from assent.findings.parsing._sarif import read_runs
from assent.findings.parsing._xml import XmlCutter
from tests.findings.parsing.test_tools import sarif
from tests.support.scanned import FORMS, parsed, used

TOOLS: Final = built_in_tools()
GOOD: Final = {
    "template-id": "b",
    "info": {"name": "B", "severity": "low"},
    "matched-at": "https://b.example/",
}


def nest(depth: int, *, of: type = list) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if of is list else {"a": value}
    return value


HOSTILE: Final[list[Any]] = [
    10**400, -(10**400), 1.7e308, -5e-324, nest(90), nest(90, of=dict), nest(450), nest(450, of=dict), [], {}, [[]],
    [None], None, True, "", "\0", "\n", "9" * 400, "1e400", "nan", "inf", "-1", "²", "\uff11\uff12", "😀" * 5000, ["x"] * 11_000,
    {"#": {"#": 1}}, "CVSS:3.1/" + "AV:N/" * 300, "CVSS:4.0/", "AV:", "http://[::1", "http://" + "a" * 70 + ".é/", "//\\",
    "a@b@c", "pkg:@", "pkg:npm/@a/b@1@2?x#y", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00-23:59",
    "Mon, 01 Jan 0001 00:00:00 +2359", 253402300799.9999, 253402300800, 25340230079999, "GET / HTTP/1.1\nhost: [",
]  # fmt: skip


# A document of each tool that writes JSON; of many the first.
DOCUMENTS: Final[dict[str, Any]] = {
    name: json.JSONDecoder().raw_decode(data.decode())[0]
    for name, data in FORMS.items()
    if TOOLS[name].manifest.format in ("json", "sarif")
}


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict):
        for name, one in value.items():
            yield from places(one, (*at, name))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*at, 0))


def put(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    copied = value.copy()
    copied[at[0]] = put(value[at[0]], at[1:], new)
    return copied


@pytest.mark.parametrize("name", DOCUMENTS)
@given(st.data())
def test_no_value_in_any_field_breaks_a_parser(name: str, data: st.DataObject) -> None:
    """By what reads it, and not by what catches what nobody thought of."""
    document = DOCUMENTS[name]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from([*places(document)]))
        document = put(document, at, data.draw(st.sampled_from(HOSTILE)))
    found, report = parsed(TOOLS[name], json.dumps(document).encode())
    used(found, name)
    assert not [why for why in report.skipped if why.startswith("it is broken:")]


@pytest.mark.parametrize(
    "bad",
    [
        {"info": {"name": "x", "classification": {"cvss-score": 10**400}}},
        {"timestamp": 10**400},
        {"info": {"name": nest(95)}},
        {"info": {"name": nest(500)}},
    ],
    ids=["score", "moment", "deep", "too-deep"],
)
def test_a_bad_value_costs_no_other_record(bad: dict[str, Any]) -> None:
    lines = [GOOD, GOOD | bad, GOOD]
    data = "\n".join(map(json.dumps, lines)).encode()
    found, report = parsed(TOOLS["nuclei"], data)
    assert report.findings >= 2
    assert (found[0].finding is not None, found[2].finding is not None) == (True, True)


@pytest.mark.parametrize("error", UNFORESEEN)
def test_what_nobody_thought_of_is_a_skipped_record_with_its_place(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = CompiledRecords.tell

    def breaking(self: CompiledRecords, record: dict[str, Any], *more: Any) -> Any:
        if record["template-id"] == "bad":
            raise error("nobody thought of it")
        return tell(self, record, *more)

    monkeypatch.setattr(CompiledRecords, "tell", breaking)
    lines = [json.dumps(GOOD | {"template-id": one}).encode() for one in ("a", "bad", "c")]
    found, report = parsed(TOOLS["nuclei"], b"\n".join(lines))
    assert [one.skipped for one in found] == [None, "it is broken: nobody thought of it", None]
    assert (found[1].begin, found[1].end) == (len(lines[0]) + 1, len(lines[0]) + 1 + len(lines[1]))
    assert report.unread == 1


def test_reasons_are_told_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser_module, "_REASONS_MAX", 2)
    told: Iterator[int] = iter(range(5))

    def breaking(*_: Any) -> Any:
        raise ValueError(next(told))

    monkeypatch.setattr(CompiledRecords, "tell", breaking)
    _, report = parsed(TOOLS["nuclei"], b"\n".join([json.dumps(GOOD).encode()] * 5))
    assert report.skipped == {"it is broken: 0": 1, "it is broken: 1": 1, "it is broken": 3}


# -- how much one record may be -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"[" * DEPTH_MAX + b"]" * DEPTH_MAX, None),
        (b"[" * 60 + b'{"a":' * 60 + b"1" + b"}" * 60 + b"]" * 60, f"more than {DEPTH_MAX} deep"),
        (b'"' + b"[{" * 500_000 + b'"', None),
        (b"[" + b"[],{}," * (DEPTH_MAX * 2) + b"1]", None),
        (b"[" + b"[]," * (VALUES_MAX // 2 - 5) + b"1]", None),
        (b"[" + b"[]," * VALUES_MAX + b"1]", f"more than {VALUES_MAX} values"),
        (b"[" + b"1," * VALUES_MAX + b"1]", f"more than {VALUES_MAX} values"),
        (b"[" + b'"[,",' * (VALUES_MAX // 2) + b"1]", None),
    ],
    ids=["deep", "too-deep", "signs-in-a-text", "wide", "full", "too-full", "too-many", "full-of-texts"],
)
def test_a_record_is_as_deep_and_as_full_as_is_read(value: bytes, fault: str | None) -> None:
    for data, path in ((value, ()), (b'{"r":[' + value + b"]}", ("r", "*"))):
        found = list(Cutter(BytesIO(data if path else b'["", ' + value + b"]").read, path))
        assert fault is None or fault in str(found[-1].fault)
        assert (found[-1].fault is None) == (fault is None)


class Ahead:
    """A file that tells how much was read."""

    def __init__(self, block: bytes, times: int, begin: bytes = b"", end: bytes = b"") -> None:
        self._pieces = iter([begin, *[block] * times, end])
        self._left = b""
        self.taken = 0

    def read(self, size: int) -> bytes:
        while len(self._left) < size and (piece := next(self._pieces, None)) is not None:
            self._left += piece
        data, self._left = self._left[:size], self._left[size:]
        self.taken += len(data)
        return data


def test_values_without_lines_are_not_read_ahead() -> None:
    record = json.dumps(GOOD).encode()
    file = Ahead(record * 500, 60)
    ahead = [file.taken - one.end for one in Cutter(file.read) if one.fault is None]
    assert len(ahead) == 500 * 60
    assert max(ahead) <= 3 * PIECE_BYTES


def test_a_row_that_never_ends_is_told() -> None:
    file = Ahead(b"x" * 999 + b"\n", 12_000, begin=b'a,b\n1,"')
    assert next(iter(RowCutter(file.read))).fault
    assert 4 << 20 <= file.taken <= 5 << 20


def test_rows_that_never_end_are_not_looked_at_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bytes] = []

    def is_open(data: bytes) -> bool:
        looked.append(data)
        return original(data)

    original = _rows._is_open
    monkeypatch.setattr(_rows, "_is_open", is_open)
    monkeypatch.setattr(_rows, "_ROW_LINES_MAX", 50)
    count = 10_000
    file = Ahead(b'x","\n', count, begin=b"a,b\n")
    found = list(RowCutter(file.read))
    assert len(found) == count
    assert all(one.fault for one in found)
    assert len(looked) < count + 51 * (_rows._AGAIN_MAX + 1)


@pytest.mark.parametrize("begin", [b"<r><!--", b'<r x="', b"<r><", b"<r><h><?pi "])
def test_a_tag_that_never_ends_is_not_looked_at_again_and_again(begin: bytes) -> None:
    file = Ahead(b"x" * 65_536, 400, begin=begin)
    (fault,) = XmlCutter(file.read, ("r", "h"))
    assert "is longer than" in str(fault.fault)
    assert fault.is_last
    assert fault.begin <= len(begin)
    assert fault.end == file.taken


def test_many_comments_are_read() -> None:
    file = Ahead(b"<!--" + b"x" * 300_000 + b"--><h>1</h>", 20, begin=b"<r>", end=b"</r>")
    assert [one.value for one in XmlCutter(file.read, ("r", "h"))] == [{"#": "1"}] * 20


@pytest.mark.parametrize("encoding", ["utf-7", "hex", "none", "idna", "utf-32"])
def test_an_encoding_that_is_not_read_is_told(encoding: str) -> None:
    data = f'<?xml version="1.0" encoding="{encoding}"?><nmaprun></nmaprun>'.encode()
    (fault,) = XmlCutter(BytesIO(data).read, ("nmaprun", "host"))
    assert fault.is_last
    with pytest.raises(InputError) as refused:
        Tools(TOOLS).recognise(data[:HEAD_BYTES], None)
    assert refused.value.code == "TOOL_UNKNOWN"


@pytest.mark.parametrize("between", [b" ", b"\n"])
def test_spaces_before_a_colon_are_let_go_of(between: bytes) -> None:
    file = Ahead(between * 65_536, 400, begin=b'{"r"', end=b":[1]}")
    cutter = Cutter(file.read, ("r", "*"))
    assert [one.value for one in cutter] == [1]


def test_a_name_without_a_colon_is_broken_at_once() -> None:
    file = Ahead(b" " * 65_536, 400, begin=b'{"r" x')
    fault = next(iter(Cutter(file.read, ("r", "*"))))
    assert (fault.begin, fault.fault, fault.is_last) == (5, "a colon must stand there", True)


# -- runs of SARIF --------------------------------------------------------------------------------------------------------


def test_all_runs_together_are_no_more_than_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [{"id": f"R{number}", "defaultConfiguration": {"level": "note"}} for number in range(1_000)]
    result = {"ruleId": "R1", "message": {"text": "x"}}
    run = {"tool": {"driver": {"name": "x", "rules": rules}}, "results": [result]}
    data = json.dumps({"version": "2.1.0", "runs": [run] * 200}).encode()
    assert len(read_runs(BytesIO(data).read).found) < 200
    found, report = parsed(TOOLS["sarif"], data)
    assert report.findings == 200
    assert found[0].finding is not None
    assert found[0].finding.severity == "low" or found[0].finding.severity == "info"
    assert report.fault is not None
    assert "was not read" in report.fault.why
    assert data[report.fault.begin :].startswith(b'{"driver"')


def test_runs_of_documents_that_follow_one_another_are_their_own() -> None:
    both = [
        json.dumps(
            {
                "version": "2.1.0",
                "runs": [{"tool": {"driver": {"name": name, "rules": rules}}, "results": results}],
            }
        )
        for name, level in (("one", "note"), ("two", "error"))
        for rules in [[{"id": "R", "defaultConfiguration": {"level": level}}]]
        for results in [[{"ruleId": "R", "message": {"text": name}}]]
    ]
    found, report = parsed(TOOLS["sarif"], "\n".join(both).encode())
    assert [one.finding and (one.finding.title, one.finding.severity) for one in found] == [
        ("one", "low"),
        ("two", "high"),
    ]
    assert report.fault is None


def test_what_a_run_says_too_deep_is_told_and_its_results_are_read() -> None:
    _, report = parsed(TOOLS["sarif"], sarif({"ruleId": "R1"}, artifacts=[nest(500)]))
    assert (report.findings, report.fault and "deep" in report.fault.why) == (1, True)


def test_what_a_run_says_at_more_length_than_is_read_is_told() -> None:
    _, report = parsed(TOOLS["sarif"], sarif({"ruleId": "R1"}, artifacts=["x" * 100] * 130_000))
    assert (report.findings, report.fault and "is longer than" in report.fault.why) == (1, True)


# -- records within larger ones --------------------------------------------------------------------------------------------

GROUPS: Final = """
tool = "t"
title = "T"
about = "y"
record = "z"
kind = "dependency"
recognise = []
"""
INNER: Final = """
[[records]]
path = "r.*"
each = "{each}"
[records.fields]
title = "t"
"at.name" = "^.name"
"""
EACH: Final = GROUPS + INNER.format(each="v.*")


def told(text: str, document: str | dict[str, Any]) -> list[object]:
    data = document if isinstance(document, str) else json.dumps(document)
    found, _ = parsed(read_parser(text.encode(), "t.toml"), data.encode())
    return [one.skipped or (one.finding and f"{one.finding.title} {one.finding.resource}") for one in found]


def test_a_group_is_as_long_as_it_likes_and_its_records_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser_module, "RECORD_BYTES_MAX", 400)
    group = {"v": [{"t": f"{number}"} for number in range(99)], "name": "n"}
    assert told(EACH, {"r": [group]}) == [f"{number} n" for number in range(99)]
    group["v"][1] = {"t": "x" * 500}  # type: ignore[index]  # a list
    assert told(EACH, {"r": [group]})[:3] == ["0 n", "it is broken", "2 n"]
    assert told(EACH, {"r": [group | {"more": "x" * 500}]}) == ["it is broken"]


def test_a_record_of_a_group_is_held_to_what_any_record_is() -> None:
    records = [{"t": "a"}, {"t": nest(DEPTH_MAX)}, {"t": "c"}]
    assert told(EACH, {"r": [{"name": "n", "v": records}]}) == ["a n", "it is broken", "c n"]


def test_a_group_has_no_more_records_than_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser_module, "VALUES_MAX", 3)
    assert told(EACH, {"r": [{"name": "n", "v": [1, 2, 3, 4]}]}) == ["it is broken"]
    assert told(EACH, {"r": [{"name": "n", "v": [1, 2, 3]}]}) == ["it is not an object"] * 3


def test_a_group_that_is_no_group_has_no_record() -> None:
    assert told(EACH, {"r": [{"name": "n"}, None, {"v": 1}]}) == []
    assert told(EACH, {"r": [7, "x", {"name": "n", "v": [{"t": "a"}]}]}) == ["it is not an object"] * 2 + [
        "a n"
    ]
    assert told(EACH, '{"r": [{"name": nul, "v": [{"t": "a"}]}, {"name": "n", "v": [{"t": "b"}]}]}') == [
        "it is broken",
        "b n",
    ]


def test_a_name_that_stands_twice_costs_what_stands_below_it() -> None:
    twice = '{"r": [{"v": [{"t": "a"}], "name": "n", "v": 5}, {"name": "n", "v": [{"t": "b"}]}]}'
    assert told(EACH, twice) == ["it is broken", "b n"]
    inner = GROUPS + INNER.format(each="w.*.v.*")
    twice = '{"r": [{"w": [{"v": [{"t": "a"}]}], "w": [], "name": "n"}, {"w": [{"name": "n", "v": [{"t": "b"}]}]}]}'
    assert told(inner, twice) == ["it is broken", "b n"]


def test_records_and_records_within_them_may_be_of_one_tool() -> None:
    text = EACH + '[[records]]\npath = "r.*"\n[records.fields]\ntitle = "name"\n"at.name" = "name"\n'
    assert told(text, {"r": [{"name": "n", "v": [{"t": "a"}]}]}) == ["a n", "n n"]


XML: Final = GROUPS.replace("kind", 'format = "xml"\nkind') + INNER.format(each="v").replace("r.*", "r.h")
DEEPER: Final = INNER.format(each="v.w").replace("r.*", "r.h").replace("^.name", "^^.name")
WHOLE: Final = '[[records]]\npath = "r.h"\n[records.fields]\ntitle = "name"\n"at.name" = "name"\n'


@pytest.mark.parametrize(
    ("text", "titles"),
    [(XML, "ab"), (XML + DEEPER, "abc"), (XML + WHOLE, "abn"), (XML + DEEPER + WHOLE, "abcn")],
)
def test_records_of_xml_and_records_within_them_may_be_of_one_tool(text: str, titles: str) -> None:
    data = b"<r><h><name>n</name><v><t>a</t></v><v><t>b</t><w><t>c</t></w></v></h></r>"
    found, report = parsed(read_parser(text.encode(), "t.toml"), data)
    assert [one.finding and f"{one.finding.title} {one.finding.resource}" for one in found] == [
        f"{title} n" for title in titles
    ]
    assert report.records == len(titles)
    whole = data[3:-4]
    first = data[found[0].begin : found[0].end]
    assert first == (whole if "n" in titles else b"<v><t>a</t></v>")


@pytest.mark.parametrize("text", [XML, XML + DEEPER])
def test_a_record_of_xml_that_is_too_long_is_told_and_costs_no_other(text: str) -> None:
    data = (
        b"<r><h><name>n</name><v><t>a</t></v><v><t>" + b"x" * (13 << 20) + b"</t></v><v><t>c</t></v></h></r>"
    )
    found, report = parsed(read_parser(text.encode(), "t.toml"), data)
    assert [one.skipped or (one.finding and one.finding.title) for one in found] == ["a", "it is broken", "c"]
    assert report.records == 3


# -- what is never needed ----------------------------------------------------------------------------------------------------


def test_what_no_record_stands_in_may_be_of_any_length() -> None:
    data = b'{"a": [' + b'"text", ' * 5_000 + b'{"b": 1}], "r": [1], "c": "' + b"x" * 500 + b'"}'
    assert [one.value for one in Cutter(BytesIO(data).read, ("r", "*"), record_bytes=1_000)] == [1]
    for long in (b'"' + b"x" * 700_000 + b'"]', b"x" * 10):
        last = [*Cutter(BytesIO(b'{"a": [1, ' + long).read, ("r", "*"), record_bytes=1_000)][-1]
        assert last.is_last


def test_a_file_that_ends_before_its_records_has_none() -> None:
    found, report = parsed(TOOLS["bandit"], b'{"errors": [1, 2')
    assert (found, report.fault is not None) == ([], True)


# -- expressions of an own manifest ---------------------------------------------------------------------------------------------

TEXT: Final = r"""tool = "t"
title = "T"
about = "y"
record = "z"
kind = "web"
format = "text"
recognise = [{{ text = '{seen}' }}]
line = '{line}'
[[records]]
[records.fields]
title = '''t ~ '{part}' '''
"at.name" = "'n'"
"""
SLOW: Final = "^(?P<t>(a+)+)$"


def test_no_expression_takes_more_than_linear_time() -> None:
    parser = read_parser(TEXT.format(seen=SLOW, line=SLOW, part="^((?:a|a)*)$").encode(), "t.toml")
    slow = b"a" * 5_000 + b"b\n"
    found, _ = parsed(parser, slow * 20 + b"aaa\n")
    assert [one.finding.title for one in found if one.finding] == ["aaa"]
    assert detect(slow + b"aaa\n", {"t": parser}).name == "t"


@pytest.mark.parametrize(("where", "line"), [("seen", 7), ("line", 8), ("part", 11)])
@pytest.mark.parametrize("bad", ["(?=a)(b)", r"(a)\1", "(a", r"(\pL{900}\pL{900})"])
def test_an_expression_that_would_take_more_is_refused_with_its_line(where: str, line: int, bad: str) -> None:
    said = {"seen": "a", "line": "(?P<t>a)", "part": "(a)"} | {where: bad}
    with pytest.raises(InputError) as refused:
        read_parser(TEXT.format(**said).encode(), "t.toml")
    assert refused.value.code == "TOOL_MANIFEST_INVALID"
    assert "regular expression" in refused.value.message
    assert str(refused.value.path).startswith(f"t.toml:{line}:")


def test_a_part_has_one_group() -> None:
    with pytest.raises(InputError, match="one group"):
        read_parser(TEXT.format(seen="a", line="a", part="(a)(b)").encode(), "t.toml")


def test_an_expression_of_many_instructions_is_refused() -> None:
    with pytest.raises(ValueError, match="instructions"):
        pattern_of(r"[^a]{900}[^b]{900}")


def test_a_site_of_many_megabytes_is_read_whole() -> None:
    tool, data = large("site")
    found, report = parsed(
        TOOLS[tool], data[: 14 << 20] + b"</desc></alertitem></alerts></site></OWASPZAPReport>"
    )
    assert report.fault is None
    assert report.findings == len(found) - 1 > 15_000
    assert found[-1].skipped == "it says no place"


# -- memory ----------------------------------------------------------------------------------------------------------------------

_READ: Final = """
import re, sys
from assent.findings.parsing import About, Report, built_in_tools
tool, path = sys.argv[1:]
parser, report = built_in_tools()[tool], Report(tool)
with open(path, "rb") as file:
    prepared = parser.prepared(file.read)
    file.seek(0)
    for one in prepared.read(file.read, About("0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a11", "2026-11-23T09:30:00Z"), report):
        assert one.finding is None or one.finding.to_json()
# Not `ru_maxrss`: it begins with what the process had that started this one.
print(*re.findall("VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read()))
"""
_MIB: Final = 1 << 20
_WIDE: Final = "😀".encode()
_VULNERABILITY: Final = (
    b'{"VulnerabilityID":"CVE-2026-1","PkgName":"a","Description":"' + b"x" * 900 + _WIDE + b'"},'
)


def large(case: str) -> tuple[str, bytes]:
    record = b'{"template-id":"a","matched-at":"https://a.example","info":{"name":%s}}\n'
    match case:
        case "brackets":
            return "nuclei", record % (b"[" + b"[]," * 3_900_000 + b"1]")
        case "objects":
            return "nuclei", record % (
                b"[" + b'{"a":1},' * (VALUES_MAX // 2 - 9) + b'"' + b"a" * 9 * _MIB + _WIDE + b'"]'
            )
        case "group":
            return (
                "trivy",
                b'{"Results":[{"Target":"a","Vulnerabilities":[' + _VULNERABILITY * 16_000 + b"1]}]}",
            )
        case "member" | "ended":
            long = (
                b'{"Results":[{"Target":"a","Vulnerabilities":['
                + _VULNERABILITY
                + b'{"V":"'
                + b"x" * 46 * _MIB
            )
            return "trivy", long + b'"}]}]}' * (case == "member")
        case "site":
            alert = (
                b"<alertitem><pluginid>1</pluginid><name>A</name><riskcode>2</riskcode><desc>"
                + b"x" * 600
                + _WIDE
                + b"</desc><instances><instance><uri>http://a.example/</uri><method>GET</method></instance></instances></alertitem>\n"
            )
            return (
                "zap",
                b'<OWASPZAPReport version="2.9.0"><site name="http://a.example"><alerts>'
                + alert * 40_000
                + b"</alerts></site></OWASPZAPReport>",
            )
        case "tiny":
            return (
                "zap",
                b"<OWASPZAPReport><site><alerts>"
                + b"<alertitem/>" * 249_000
                + b"</alerts></site></OWASPZAPReport>",
            )
        case "runs":
            run = (
                b'{"tool":{"driver":{"name":"L","rules":[' + b'{"id":"1"},' * 60_000 + b'{}]}},"results":[]},'
            )
            return "sarif", b'{"version":"2.1.0","runs":[' + run * 15 + b"{}]}"
        case "row":
            return "testssl", b'"id","fqdn/ip","port","severity","finding","cve","cwe"\n"a","' + (
                b"x" * (_MIB - 9) + _WIDE + b"\n"
            ) * 60
        case _:
            text = (b"A" * 4_000 + _WIDE) * 2_600
            return (
                "nmap",
                b"<nmaprun><host><ports><port>"
                + text
                + b'<a b="x"/>' * 90_000
                + b"</port></ports></host></nmaprun>",
            )


@pytest.mark.parametrize(
    "case", ["brackets", "objects", "group", "member", "ended", "site", "tiny", "runs", "row", "elements"]
)
def test_memory_is_bounded_whatever_a_file_holds(case: str, tmp_path: Path) -> None:
    tool, data = large(case)
    path = tmp_path / "output"
    path.write_bytes(data)
    told = subprocess.run(
        [sys.executable, "-c", _READ, tool, str(path)], check=True, capture_output=True, text=True
    )
    assert int(told.stdout) * 1024 < 150_000_000


_READ_LONG: Final = """
import json, re, sys
from assent.findings.parsing import About, Report, built_in_tools
tool, begin, end = sys.argv[1:]
block = b"x" * (1 << 20)
pieces = iter([begin.encode(), *[block] * 1024, end.encode()])
report = Report(tool)
records = built_in_tools()[tool].read(
    lambda size: next(pieces, b""), About("0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a11", "2026-11-23T09:30:00Z"), report
)
broken = [(one.begin, one.end) for one in records if one.skipped]
(memory,) = re.findall("VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(json.dumps([int(memory), broken, report.findings + report.resources]))
"""
_LINE: Final = '{"template-id":"a","matched-at":"https://a.example","info":{"name":"%s"}}\n'
# What stands before a record of a gibibyte, the record but for that, what stands behind it, and how many others are read.
_LONG: Final = {
    "json-lines": ("nuclei", _LINE % "a", _LINE, _LINE % "b", 2),
    "json": ("bandit", '{"results":[', '"%s"', "]}", 0),
    "xml": ("nmap", "<nmaprun>", "<host>%s</host>", "</nmaprun>", 0),
    "csv": ("sqlmap", "Target URL,Parameter\nhttps://a.example,a\n", '"%s",b\n', "https://b.example,b\n", 2),
    "text": ("gobuster", "/a (Status: 200)\n", "/%s (Status: 200)\n", "/b (Status: 200)\n", 2),
}


@pytest.mark.parametrize("form", _LONG)
def test_a_record_of_a_gibibyte_is_told_with_its_place_and_nothing_of_it_is_kept(form: str) -> None:
    tool, before, record, behind, others = _LONG[form]
    begin, end = record.split("%s")
    told = subprocess.run(
        [sys.executable, "-c", _READ_LONG, tool, before + begin, end + behind],
        check=True,
        capture_output=True,
        text=True,
    )
    memory, ((first, last),), kept = json.loads(told.stdout)
    assert memory * 1024 < 150_000_000
    behind_it = len(before + begin + end) + 1024 * _MIB
    assert (first, kept) == (len(before), others)
    # A document of JSON ends with what can't be read of it.
    assert last == behind_it + len(behind) if form == "json" else last in (behind_it, behind_it - 1)
