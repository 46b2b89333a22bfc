"""A file that ends in the middle gives all records that stand whole before that, also those of a group that it ends in."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.findings.parsing import Parsed, built_in_tools, read_parser
from assent.findings.parsing._json import BEFORE, ENDED
from tests.findings.parsing.test_hostile import DEEPER, DOCUMENTS, EACH, WHOLE, XML
from tests.support.scanned import FORMS, parsed

TOOLS: Final = built_in_tools()
INDENTED: Final = {name: json.dumps(one, indent=2).encode() for name, one in DOCUMENTS.items()}
ENDS_IN_ANY_CELL: Final = ("csv", "text")


@cache
def whole(name: str, data: bytes) -> list[Parsed]:
    return parsed(TOOLS[name], data)[0]


AHEAD_OF: Final = "it is broken: what it stands in ends before its "


def same(one: Parsed) -> object:
    return one.begin, one.end, one.finding and one.finding.to_json(), one.resource, one.skipped


@pytest.mark.parametrize("forms", [FORMS, INDENTED], ids=["kept", "indented"])
@pytest.mark.parametrize("name", FORMS)
@given(st.data())
def test_a_file_that_ends_anywhere_gives_what_stands_whole_before(
    name: str, forms: dict[str, bytes], data: st.DataObject
) -> None:
    output = forms.get(name, FORMS[name])
    end = data.draw(st.integers(0, len(output)))
    found, report = parsed(TOOLS[name], output[:end], data.draw(st.sampled_from([None, 1, 7])))
    everything = whole(name, output)
    # What a run of SARIF says of its results may stand behind them, and is not in the file then.
    ahead = [one for one in found if name == "sarif" and (one.skipped or "").startswith(AHEAD_OF)]
    found = [one for one in found if one not in ahead]
    places = {(one.begin, one.end) for one in ahead}
    wanted = [same(one) for one in everything if one.end <= end and (one.begin, one.end) not in places]
    got = [same(one) for one in found]
    assert [one for one in got if one in wanted] == wanted
    assert report.records <= len(everything)
    others = [one for one in found if same(one) not in wanted]
    assert len(others) <= 1
    for last in others:
        assert last.end == end
        # Where a row or a line ends, nobody can tell but by what follows.
        assert last.skipped == BROKEN or TOOLS[name].manifest.format in ENDS_IN_ANY_CELL
        assert report.fault is not None or last.skipped != BROKEN


def told(text: str, data: bytes) -> tuple[list[object], Any]:
    found, report = parsed(read_parser(text.encode(), "t.toml"), data)
    said: list[object] = [
        one.skipped or (one.finding and f"{one.finding.title} {one.finding.resource}") for one in found
    ]
    return said, report


BROKEN: Final = "it is broken"
AHEAD: Final = AHEAD_OF + "`name`"


@pytest.mark.parametrize(
    ("data", "said", "begin"),
    [
        (b'{"r": [{"name": "n", "v": [{"t": "a"}, {"t": "b"', ["a n", BROKEN], 39),
        (b'{"r": [{"name": "n", "v": [{"t": "a"}, {"t": "b"}', ["a n", "b n"], 7),
        (b'{"r": [{"name": "n", "v": [{"t": "a"}], "w": [{"x": 1}, tru', ["a n"], 7),
        (b'{"r": [{"v": [{"t": "a"}], "name": "n', [AHEAD], 7),
        (b'{"r": [{"v": [{"t": "a"}], "name": "n", "w": {"x": {"y": 1}, "z', ["a n"], 7),
        (b'{"r": [{"v": [{"t": "a"}], "name": nul, "w": 1, "x', [BROKEN], 7),
        (b'{"r": [{"name": "n", "v": [{"t": "a"}, {"t": ], {"t": "b"', ["a n", BROKEN, BROKEN], 39),
        (b'{"r": [{"name": "n", "v": [{"t": "a"}], x: 1, {"t": "b"', ["a n"], 7),
        (b'{"r": [{"name": "n", "v": 1{}', [], 7),
        (b'{"r": [{"name": "n", "v": [{"t": "a"}], "w": 1{}', [BROKEN], 7),
        (b'{"r": [{"name": "n", "na', [], 7),
        (b'{"r": [{"name": "n", "v": [{"t": "a"}]}, {"na', ["a n"], 41),
        (b'{"r": [{"name": "n", "v": [{"t": "a"}]}], "na', ["a n"], 45),
    ],
)
def test_a_group_that_the_file_ends_in_gives_its_whole_records(
    data: bytes, said: list[str], begin: int
) -> None:
    found, report = told(EACH, data)
    assert found == said
    # The end of what is broken is where its record's is.
    assert report.fault.begin == begin
    assert report.fault.why == ENDED or BROKEN in said
    assert report.fault.end == len(data) or said.count(BROKEN) > 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<r><h><name>n</name><v><t>a</t></v><v><t>b", ["a n", BROKEN]),
        (b"<r><h><name>n</name><v><t>a</t></v><w x='1'><y>z", ["a n"]),
        (b"<r><h><name>n</name><v><t>a</t></v><w><y>", ["a n"]),
        (b"<r><h><v><t>a</t></v><name>n", [AHEAD]),
        (b"<r><h><name>n</name><v><t>a</t></v></x>", ["a n"]),
        (b"<r><h><name>n</name></h><v", []),
    ],
)
def test_an_element_that_the_file_ends_in_gives_its_whole_records(data: bytes, said: list[str]) -> None:
    found, report = told(XML, data)
    assert found == said
    assert report.fault.end == len(data)
    if said[-1:] == [BROKEN]:
        assert data[report.fault.begin :] == b"<v><t>b"


def test_records_of_several_kinds_are_told_each_where_the_file_ends_in_their_group() -> None:
    data = b'{"r": [{"name": "n", "v": [{"t": "a"}, {"t": '
    assert told(EACH + WHOLE.replace("r.h", "r.*"), data)[0] == ["a n", BROKEN, BROKEN]
    element = b"<r><h><name>n</name><v><t>a</t><w><t>c</t></w></v><v><t>b</t><w><t>d</t></w>"
    assert told(XML + DEEPER, element)[0] == ["a n", BROKEN, "c n"]
    assert told(XML + WHOLE, element)[0] == ["a n", BROKEN, BROKEN]


def sarif(run: str, more: str = "") -> list[str | None]:
    """What the results are of a file that ends in its run, by detector, severity, version and place, or why they are skipped."""
    data = ('{"runs": [' + more + run).encode()
    found, report = parsed(TOOLS["sarif"], data)
    assert report.fault is not None
    assert (report.fault.end, report.fault.why) == (len(data), ENDED)
    return [
        one.skipped
        if one.finding is None
        else f"{one.finding.detector_id} {one.finding.severity} {one.finding.locations[0].path}"
        for one in found
        if one.end < len(data)
    ]


def result(**said: object) -> str:
    said = {"message": {"text": "t"}, **said}
    said.setdefault("locations", [{"physicalLocation": {"artifactLocation": {"uri": "a.py"}}}])
    return json.dumps(said)


R1: Final = '"results": [' + result(ruleId="R1") + "]"
SCORED: Final = (
    '{"id": "R1", "defaultConfiguration": {"level": "error"}, "properties": {"security-severity": "9.8"}}'
)
TOOL: Final = '"tool": {"driver": {"name": "linter", "rules": [' + SCORED + "]}}"
BY_INDEX: Final = [{"physicalLocation": {"artifactLocation": {"index": 0}}}]


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("{" + R1, AHEAD_OF + "`tool`"),
        ("{" + R1 + ', "too', AHEAD_OF + "`tool`"),
        ("{" + R1 + ', "tool": {', AHEAD_OF + "`driver`"),
        ("{" + R1 + ', "tool": nul', AHEAD_OF + "`tool`"),
        ("{" + R1 + ', "tool": {x: 1, "y": 2', AHEAD_OF + "`tool`"),
        ("{" + R1 + ', "tool": {"driver": {"name": "lin', AHEAD_OF + "`rule`"),
        ("{" + R1 + ', "tool": {"driver": {"rules": [' + SCORED + '], "na', AHEAD_OF + "`name`"),
        ("{" + R1 + ', "tool": {"driver": {"name": "linter", "ru', AHEAD_OF + "`rule`"),
        ("{" + R1 + ", " + TOOL[: TOOL.index(', "properties"') + 5], AHEAD_OF + "`rule`"),
        ("{" + R1 + ", " + TOOL[:-3], "linter.R1 critical a.py"),
        ("{" + R1 + ", " + TOOL, "linter.R1 critical a.py"),
        ("{" + TOOL + ", " + R1, "linter.R1 critical a.py"),
        ('{"results": [' + result(ruleId="R2") + "], " + TOOL[:-3], AHEAD_OF + "`rule`"),
        ('{"results": [' + result(ruleId="R2") + "], " + TOOL, "linter.R2 medium a.py"),
        ('{"results": [' + result(ruleIndex=0) + "], " + TOOL[:-3], "linter.R1 critical a.py"),
        ('{"results": [' + result(ruleIndex=1) + "], " + TOOL[:-3], AHEAD_OF + "`rule`"),
        (
            '{"results": [' + result(rule={"id": "R1", "toolComponent": {"index": 0}}) + "], " + TOOL[:-1],
            AHEAD_OF + "`rule`",
        ),
        (
            "{" + TOOL + ', "results": [' + result(ruleId="R1", locations=BY_INDEX) + "]",
            AHEAD_OF + "`artifacts`",
        ),
        (
            "{"
            + TOOL
            + ', "artifacts": [{"location": {"uri": "b.py"}}], "results": ['
            + result(ruleId="R1", locations=BY_INDEX)
            + "]",
            "linter.R1 critical b.py",
        ),
        (
            "{"
            + TOOL
            + ', "results": ['
            + result(ruleId="R1", taxa=[{"id": "79", "toolComponent": {"index": 0}}])
            + "]",
            AHEAD_OF + "`taxonomies`",
        ),
    ],
)
@pytest.mark.parametrize("more", ["", '{"results": []}, ', "{" + TOOL + "}, "])
def test_a_result_is_read_where_what_its_run_says_of_it_stands_before_the_end(
    run: str, said: str, more: str
) -> None:
    assert sarif(run, more) == [said]


@pytest.mark.parametrize("behind", ["", ",", ", {"])
def test_a_run_that_is_whole_is_read_without_a_tool_where_the_file_ends_behind_it(behind: str) -> None:
    assert sarif("{" + R1 + "}" + behind) == ["sarif.R1 medium a.py"]


LINES: Final = EACH.replace('path = "r.*"\n', "")
GROUP: Final = b'{"name": "n", "v": [{"t": "a"},\n  {"t": "b"'


def test_groups_one_after_another_are_read_where_one_of_them_is_cut() -> None:
    assert told(LINES, GROUP)[0] == ["a n", BROKEN]
    said, report = told(LINES, GROUP + b'\n{"name": "m", "v": [{"t": "c"}]}')
    assert said == ["a n", BROKEN, "c m"]
    assert report.fault.begin == GROUP.rindex(b"{")
    assert told(LINES, b'{"name": "n"}\n7\nnull\n"x')[0] == ["it is not an object"]


@pytest.mark.parametrize("piece", [1, 3, None])
@pytest.mark.parametrize(
    ("data", "said", "is_ended"),
    [
        (b"[", [], True),
        (b'[{"n": 1},\n', [None], True),
        (b'[{"n": 1}', [None], True),
        (b'[{"n": 1}]\n[{"n": 2}, ', [None, None], True),
        (b'[{"n": 1}, {"n"', [None, BROKEN], True),
        (b'[{"n": 1},]', [None], False),
        (b'[]\n[{"n": 1}]\n{"n": 2},\n', [None, None], False),
    ],
)
def test_an_array_that_the_file_ends_in_is_told_where_it_ends(
    data: bytes, said: list[str | None], is_ended: bool, piece: int | None
) -> None:
    text = EACH.replace('path = "r.*"\neach = "v.*"\n', "").replace('"t"', '"n"').replace("^.name", "n")
    found, report = parsed(read_parser(text.encode(), "t.toml"), data, piece)
    assert [one.skipped for one in found] == said
    begin = data.rindex(b"{") if BROKEN in said else len(data)
    assert (report.fault and report.fault[:3]) == ((begin, len(data), ENDED) if is_ended else None)


def test_behind_a_broken_line_nobody_says_that_its_array_was_not_closed() -> None:
    _, report = told(LINES, b'[{"t": "a"},\n{"t": nul}]')
    assert report.fault.why.startswith("it is not JSON")


@pytest.mark.parametrize(
    ("before", "behind", "begin", "end"),
    [
        (b'"x"', b'{"r": [1]}', 0, 3),
        (b" null ", b'{"r": [1]}', 1, 5),
        (b"12 \n true", b'\n{"r": [1]}', 0, 9),
        (b"12", b"", 0, 2),
        (b"nil", b"", 0, 3),
        (b"nullnull", b"", 0, 8),
    ],
)
@pytest.mark.parametrize("piece", [1, 3, None])
def test_what_stands_before_the_first_document_is_told(
    before: bytes, behind: bytes, begin: int, end: int, piece: int | None
) -> None:
    text = EACH.replace('each = "v.*"\n', "")
    for parser in (read_parser(text.encode(), "t.toml"), TOOLS["sarif"]):
        found, report = parsed(parser, before + behind, piece)
        assert found[0].skipped == BROKEN
        assert report.fault == (begin, end, BEFORE, None)
    assert [one.skipped for one in parsed(read_parser(text.encode(), "t.toml"), before + behind)[0]][1:] == [
        "it is not an object"
    ] * bool(behind)


def test_null_alone_is_a_tool_that_found_nothing() -> None:
    _, report = parsed(TOOLS["trivy"], b" null\n")
    assert (report.records, report.fault) == (0, None)


def test_cells_beyond_the_heads_are_told() -> None:
    data = b"rule,level,file\nr,low,a,b,c\nr,low,a,,\nr,low,a,x\n"
    text = EACH.replace("[[records]]", 'format = "csv"\n[[records]]')
    text = text.replace('path = "r.*"\neach = "v.*"\n', "").replace("^.name", "file")
    _, report = told(text, data)
    assert report.findings == 3
    assert report.new_fields["beyond column 3"] == 2


def test_a_text_of_many_lines_that_the_file_ends_in_makes_no_rows() -> None:
    cut = FORMS["openvas-csv"][: FORMS["openvas-csv"].index(b'""more')]
    found, report = parsed(TOOLS["openvas-csv"], cut)
    assert [one.skipped for one in found] == [BROKEN]
    assert report.fault is not None
    assert (report.fault.end, report.fault.why) == (len(cut), ENDED)


@pytest.mark.parametrize(
    ("data", "said", "is_ended"),
    [
        (b"r,f1,low\nr,f2", ["t f1", BROKEN], True),
        (b"r,f1", [BROKEN], True),
        (b'r,f1,low\n"r\nr",f2', ["t f1", BROKEN], True),
        (b"r,f1,low\nr,\xc3", ["t f1", BROKEN], True),
        (b'r,f1,low\nr,"f2\n', ["t f1", BROKEN], True),
        (b'r,f1,low\nr,f2,"lo\r\n\n', ["t f1", BROKEN], True),
        (b"r,f1,low\nr,f2\n", ["t f1", "t f2"], False),
        (b"r,f1,low\nr,f2,lo", ["t f1", "t f2"], False),
        (b"r,f1,low\nr,f2,", ["t f1", "t f2"], False),
        (b"r,f1,low\nr,f2,low,x", ["t f1", "t f2"], False),
        (b"r,f1\nr,f2", ["t f1", "t f2"], False),
        (b"", [], False),
    ],
)
@pytest.mark.parametrize("piece", [1, None])
def test_a_row_that_the_file_ends_in_is_none(
    data: bytes, said: list[str], is_ended: bool, piece: int | None
) -> None:
    text = EACH.replace("[[records]]", 'format = "csv"\n[[records]]').replace(
        'path = "r.*"\neach = "v.*"\n', ""
    )
    text = text.replace('title = "t"', 'title = "rule"').replace("^.name", "file")
    data = b"rule,file,level\n" + data
    found, report = parsed(read_parser(text.encode(), "t.toml"), data, piece)
    assert [one.skipped or (one.finding and f"t {one.finding.resource}") for one in found] == said
    assert (report.fault and report.fault[:3]) == ((found[-1].begin, len(data), ENDED) if is_ended else None)


@pytest.mark.parametrize("data", [b"[", b'{"v": [{"t": "a"}]}\n{"v": [', GROUP, b'{"v": [{"t": "a"}, {"t"'])
def test_nothing_stands_behind_the_end_of_a_file(data: bytes) -> None:
    assert told(LINES, data)[1].fault.hint == "the records before it were read"
    assert told(EACH, b'{"r": [' + data)[1].fault.hint == "the records before it were read"


def test_behind_a_group_that_is_cut_others_were_read() -> None:
    assert told(LINES, GROUP + b'\n{"name": "m", "v": [{"t": "c"}]}')[1].fault.hint is None
