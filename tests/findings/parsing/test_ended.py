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


def same(one: Parsed, name: str) -> object:
    # What a run of SARIF says of all its results may stand behind them, and is not in the file then.
    said = one.finding is not None if name == "sarif" else one.finding and one.finding.to_json()
    return one.begin, one.end, said, one.resource, one.skipped


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
    wanted = [same(one, name) for one in everything if one.end <= end]
    got = [same(one, name) for one in found]
    assert [one for one in got if one in wanted] == wanted
    assert report.records <= len(everything)
    others = [one for one in found if same(one, name) not in wanted]
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
AHEAD: Final = "it is broken: what it stands in ends before its `name`"


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
