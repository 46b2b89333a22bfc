"""Records are cut out of what comes in any pieces, with their bytes' places, and what is broken harms nothing else."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.findings.parsing import _json
from assent.findings.parsing._json import BEHIND, BROKEN_MAX, ENDED, Cut, Cutter
from assent.findings.parsing._rows import LINE_BYTES_MAX, LineCutter, RowCutter, lines
from assent.findings.parsing._xml import Aside, XmlCutter

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def pieces(data: bytes, size: int) -> Any:
    file = BytesIO(data)
    return lambda _: file.read(size)


def cut(data: bytes, *path: str, size: int = 1 << 20, **said: Any) -> list[Cut]:
    return list(Cutter(pieces(data, size), path, **said))


def well(cuts: list[Cut], data: bytes) -> list[Any]:
    """The values, each of which is what stands at its place."""
    for one in cuts:
        assert one.fault is None
        assert json.loads(data[one.begin : one.end]) == one.value
    return [one.value for one in cuts]


@given(
    st.lists(PLAIN.filter(lambda one: isinstance(one, dict)), max_size=5), st.sampled_from([1, 2, 3, 7, 1000])
)
def test_records_are_the_same_in_any_pieces_and_in_any_form(records: list[Any], size: int) -> None:
    lines = "".join(json.dumps(one) + "\n" for one in records).encode()
    forms = {
        "lines": (lines, ()),
        "commas": (lines.replace(b"\n", b",\r\n"), ()),
        "array": (json.dumps(records).encode(), ()),
        "indented": (json.dumps(records, indent=1).encode(), ()),
        "one after another": (b" ".join(json.dumps(one).encode() for one in records), ()),
        "document": (
            json.dumps({"a": [{"x": 1}], "found": {"r": records}, "z": records}).encode(),
            ("found", "r", "*"),
        ),
        "mark": (b"\xef\xbb\xbf" + lines, ()),
    }
    for name, (data, path) in forms.items():
        assert well(cut(data, *path, size=size), data) == records, name


def test_a_path_names_what_it_passes() -> None:
    data = b'{"a": {"x": [1, {"k": 2}], "y": []}, "b": {"z": [3]}, "c": {"q": [9]}, "a2": 1}'
    assert [(one.value, one.names) for one in cut(data, "a|b", "*", "*")] == [
        (1, ("a", "x", 0)), ({"k": 2}, ("a", "x", 1)), (3, ("b", "z", 0)),
    ]  # fmt: skip
    assert (
        cut(data, "none", "*") == cut(data, "a2", "*") == cut(b"[1]", "a") == cut(b"", "a") == cut(b" ") == []
    )
    assert cut(b'{"a": {"b": 1}}', "a", decodes=False)[0].value == b'{"b": 1}'
    assert (
        cut(b'{"b": 1}\n', decodes=False)[0].value
        == cut(b'[{"b": 1}]', decodes=False)[0].value
        == b'{"b": 1}'
    )


@pytest.mark.parametrize(
    ("data", "values", "faults"),
    [
        (b'{"a":1}\n{"a":\n{"a":2}\n', [{"a": 1}, {"a": 2}], 1),
        (b'{"a":1}\n{a}\n{"a":2}', [{"a": 1}, {"a": 2}], 1),
        (b'{"a":1}\n{"a":NaN}\n{"a":2}', [{"a": 1}, {"a": 2}], 1),
        (b'{"a":1}\n{"a":"\xff"}\n{"a":2}', [{"a": 1}, {"a": 2}], 1),
        (b'{"a":1}\n' + b"[" * 100_000 + b'\n{"a":2}', [{"a": 1}, {"a": 2}], 1),
        (b'{"a":1}\n"\x00\n{"a":2}', [{"a": 1}, {"a": 2}], 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [3, 1 << 20])
def test_what_is_broken_is_told_and_the_others_come_through(
    data: bytes, values: list[Any], faults: int, size: int
) -> None:
    found = cut(data, size=size)
    assert [one.value for one in found if one.fault is None] == values
    assert len([one for one in found if one.fault is not None]) >= faults
    assert all(0 <= one.begin <= one.end <= len(data) for one in found)


@pytest.mark.parametrize("path", [(), ("r", "*")])
def test_a_file_that_is_cut_gives_all_before_the_cut(path: tuple[str, ...]) -> None:
    data = b'{"r": [{"a": 1}, {"b": "x"}, {"c": [2]}]}' if path else b'{"a": 1}\n{"b": "x"}\n{"c": [2]}'
    whole = cut(data, *path)
    for end in range(1, len(data)):
        *found, last = cut(data[:end], *path) or [Cut(0, 0, None, fault="")]
        if last.fault is None:
            found.append(last)
        else:
            assert last.is_last or last.fault == "", last
            assert last.fault in (ENDED, ""), data[:end]
        assert found == whole[: len(found)]
        assert len(found) == len([one for one in whole if one.end <= end])


def test_what_is_broken_in_a_document_ends_it() -> None:
    for data in (
        b'{"r": [{"a": 1}, }]}',
        b'{"p": }',
        b'{"p": ], "r": [1]}',
        b'{"r" [1]}',
        b"{r: 1}",
        b'{"\xff": 1}',
        b'{"r": [{"a": 1}',
    ):
        last = cut(data, "r", "*")[-1]
        assert last.is_last
        assert last.fault
    (fault,) = cut(b'{"r": [{"a": \xff}, 2]}', "r", "*")[:1]
    assert fault.fault
    assert not fault.is_last


def test_nothing_too_long_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_json, "PIECE_BYTES", 100)
    for long in (b'{"a":"' + b"x" * 5000 + b'"}', b'"' + b"x" * 5000 + b'"', b"1" * 5000, b"[" * 5000):
        data = b'{"a":1}\n' + long + b'\n{"a":2}\n'
        found = cut(data, size=100, record_bytes=1000)
        assert found[0].value == {"a": 1}
        assert any(one.fault for one in found)
        document = b'{"r":[' + long
        assert cut(document, "r", "*", size=100, record_bytes=1000)[-1].is_last


@given(
    st.lists(st.lists(PLAIN, max_size=3), min_size=1, max_size=4),
    st.sampled_from(["", " ", "\n", ",\r\n"]),
    st.sampled_from([1, 2, 3, 7, 1000]),
)
def test_documents_behind_the_first_are_read_as_it_was(
    documents: list[list[Any]], between: str, size: int
) -> None:
    for path, wrap in ((("r", "*"), lambda one: {"z": 1, "r": one}), (("*",), list)):
        data = between.join(json.dumps(wrap(one)) for one in documents).encode() + between.encode()
        found = cut(data, *path, size=size)
        assert well(found, data) == [one for document in documents for one in document]
        assert [one.document for one in found] == [n for n, one in enumerate(documents) for _ in one]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    "behind",
    [b"GARBAGE", b"}", b"]", b'"x"', b"12", b"null", b": {}", b"\xef\xbb\xbf{}", b'{"r": [5', b"[", b"{]"],
)
def test_what_follows_a_document_and_is_none_is_told_with_its_place(behind: bytes, size: int) -> None:
    data = b'{"r": [1, 2]}\n {"r": [3]}'
    *found, last = cut(data + b" " + behind + b' {"r": [4]}', "r", "*", size=size)
    assert [one.value for one in found][:3] == [1, 2, 3]
    assert last.is_last
    assert last.end == len(data + behind) + 12
    if not behind.startswith((b"{", b"[")):
        assert (last.begin, last.fault, len(found)) == (len(data) + 1, BEHIND, 3)


@given(st.binary(max_size=30), st.sampled_from([1, 2, 3, 7]))
def test_a_document_of_anything_is_the_same_in_any_pieces(behind: bytes, size: int) -> None:
    for data in (b'{"r": [1, ' + behind, b'{"r": [1]}' + behind, b'{"a' + behind + b'": 1, "r": [1]}'):
        whole = cut(data, "r", "*")
        assert cut(data, "r", "*", size=size) == whole
        places = [place for one in whole for place in (one.begin, one.end)]
        assert places == sorted(places)
        assert all(place <= len(data) for place in places)


@pytest.mark.parametrize(
    "data", [b'{"r": [1234', b'{"r": [{"a": 1}, 12', b'{"r": [1, "x"  ', b'{"p": 1234567']
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_value_at_the_end_of_the_file_ends_there(data: bytes, size: int) -> None:
    last = cut(data, "r", "*", size=size)[-1]
    assert (last.fault, last.begin, last.end) == (ENDED, len(data), len(data))


@given(PLAIN, st.sampled_from([1, 2, 3, 7, 1000]))
def test_what_is_passed_is_passed_whole_in_any_pieces(passed: Any, size: int) -> None:
    data = json.dumps({"p": passed, "q": [passed, {"x": [1]}], "r": [{"a": 1}]}).encode()
    assert well(cut(data, "r", "*", size=size), data) == [{"a": 1}]


@pytest.mark.parametrize(
    "passed",
    [b'["' + b'\\"]' * 5000 + b'"]', b'"' + b"}x" * 5000 + b'"', b"[" + b'{"a":[1]},' * 5000 + b"3]", b"[" + b"1" * 5000 + b"]"],
    ids=["escaped", "string", "brackets", "number"],
)  # fmt: skip
def test_what_is_passed_may_be_of_any_length_and_nothing_of_it_is_kept(
    passed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_json, "PIECE_BYTES", 100)
    data = b'{"p":' + passed + b',"r":[{"a":1}]}'
    asked: list[int] = []
    file = BytesIO(data)

    def read(size: int) -> bytes:
        asked.append(size)
        return file.read(size)

    assert well([*Cutter(read, ("r", "*"), record_bytes=1000)], data) == [{"a": 1}]
    assert max(asked) <= 200, "what waits grows with what is passed"


@pytest.mark.parametrize("passed", [b"", b'"', b'"x', b"[", b'["x', b'[1, {"a"'])
def test_a_file_that_ends_in_what_is_passed_says_so(passed: bytes) -> None:
    (last,) = cut(b'{"p":' + passed, "r", "*", size=1)
    assert (last.fault, last.is_last) == (ENDED, True)


def test_a_file_of_nothing_but_faults_ends() -> None:
    found = cut(b"}\n" * (3 * BROKEN_MAX))
    assert len(found) == BROKEN_MAX + 2
    assert found[-1].is_last
    assert found[-1].end == 6 * BROKEN_MAX


XML = b"""<?xml version="1.0"?><!DOCTYPE r><r v="1" xmlns:x="u"><x:h n="1"><p i="1">t</p><p i="2"><q>a</q><q>b</q> u </p></x:h>
<h><p/></h><other><h/></other></r>"""


def xml(data: bytes, *path: str, size: int = 1 << 20, **said: Any) -> list[Cut]:
    return list(XmlCutter(pieces(data, size), path, **said))


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_elements_are_cut_as_json(size: int) -> None:
    found = xml(XML, "r", "h", size=size)
    assert [one.value for one in found] == [
        {"@n": "1", "p": [{"@i": "1", "#": "t"}, {"@i": "2", "q": ["a", "b"], "#": "u"}]},
        {"p": ""},
    ]
    assert XML[found[0].begin : found[0].end].endswith(b" u </p></x:h>")
    assert XML[found[1].begin : found[1].end] == b"<h><p/></h>"
    assert [one.value for one in xml(XML, "*", "h|other", "p|h")] == [
        {"@i": "1", "#": "t"}, {"@i": "2", "q": ["a", "b"], "#": "u"}, {}, {},
    ]  # fmt: skip
    assert xml(XML, "none", "h") == xml(b"", "r") == []


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_records_in_a_larger_element_are_set_aside(size: int) -> None:
    inner = [b'<i a="1"><i/></i>', b"<x:i>t</x:i >", b"<i/>"]
    data = b'<r xmlns:x="u"><h><v>' + b" ".join(inner) + b"<j/></v><w><i/></w>t</h><h><v/></h></r>"
    first, second = xml(data, "r", "h", size=size, each=(("v|u", "i"), ("k",)))
    aside = first.value["v"]["i"]
    assert [(json.loads(one.data), data[one.begin : one.end]) for one in aside] == [
        ({"@a": "1", "i": ""}, inner[0]), ("t", inner[1]), ("", inner[2]),
    ]  # fmt: skip
    assert all(isinstance(one, Aside) for one in aside)
    assert first.value == {"v": {"i": aside, "j": ""}, "w": {"i": ""}, "#": "t"}
    assert second.value == {"v": ""}


@pytest.mark.parametrize(
    ("long", "fault"),
    [
        (b"<o>" + b"x" * 900 + b"</o>", "longer than 400 bytes"),
        (b"<i/>" * 12, "records take more than 2000 bytes"),
        (b"<o>" + b"<a/>" * 250_001 + b"</o>", "elements"),
    ],
)
def test_a_group_that_is_too_long_costs_itself(long: bytes, fault: str) -> None:
    group = b"<h>" + b"<i>x</i>" * 5 + b"</h>"
    data = b"<r>" + group + b"<h>" + long + b"<i/></h>" + group + b"</r>"
    size = 100 if len(long) < 1000 else 1 << 20
    found = xml(
        data,
        "r",
        "h",
        size=size,
        each=(("i",),),
        record_bytes=400 if size == 100 else 1 << 26,
        group_bytes=2000,
    )
    assert [one.fault is not None for one in found] == [False, True, False]
    assert fault in str(found[1].fault)
    assert not found[1].is_last
    assert data[found[1].begin : found[1].end] == b"<h>" + long + b"<i/></h>"
    assert [len(one.value["i"]) for one in (found[0], found[2])] == [5, 5]


@pytest.mark.parametrize(
    ("inner", "fault"),
    [
        (b"x" * 900, "longer than 400 bytes"),
        (b"<a>x</a>" * 250_001, "elements"),
        (b"<a>" * 50 + b"x" * 900 + b"</a>" * 50, "longer"),
    ],
)
def test_a_record_in_a_larger_element_that_is_too_long_costs_itself(inner: bytes, fault: str) -> None:
    long = b"<x:i>" + inner + b"</x:i >"
    data = b'<r xmlns:x="u"><h>t<i/>' + long + b"u<i>y</i></h><h/></r>"
    size, most = (100, 400) if len(inner) < 2000 else (1 << 20, 1 << 26)
    first, second = xml(data, "r", "h", size=size, each=(("i",),), record_bytes=most)
    said = [(data[one.begin : one.end], one.data, one.fault is not None) for one in first.value["i"]]
    assert said == [(b"<i/>", b'""', False), (long, b"", True), (b"<i>y</i>", b'"y"', False)]
    assert fault in first.value["i"][1].fault
    assert (first.value["#"], second.value) == ("tu", {})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    "behind", ["", " t ", "\n", "é", "&#65;", "<!-- c -->", "<?pi x?>", "<![CDATA[x]]>", "<o/>", "<h/>"]
)
@pytest.mark.parametrize(
    "record",
    [
        "<h/>",
        "<h />",
        '<h a="/>"/>',
        "<h></h>",
        "<h>t</h >",
        "<x:h>&lt;</x:h\n>",
        '<x:h a="é"/>',
        "<h><h/></h>",
    ],
)
def test_an_element_ends_where_it_ends(record: str, behind: str, size: int, encoding: str) -> None:
    text = f'<r xmlns:x="u">{record}{behind}{record}</r>'
    data = text.encode(encoding)
    found = xml(data, "r", "h", size=size)
    said = [data[one.begin : one.end].decode(encoding + "-le" * (encoding == "utf-16")) for one in found]
    assert said == [record, *(["<h/>"] if behind == "<h/>" else []), record]


@pytest.mark.parametrize(
    ("data", "end"),
    [(b"<h></h >", 8), (b"<h/>\n", 4), (b"<h/><!-- -->", 4), (b"<h/>x", 4)],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_root_ends_where_it_ends(data: bytes, end: int, size: int) -> None:
    first, *behind = xml(data, "h", size=size)
    assert (first.begin, first.end, first.value) == (0, end, {})
    assert len(behind) == data.endswith(b"x")


def test_a_record_that_the_file_ends_behind_ends_there() -> None:
    found = xml(b"<r><h/><h>1</h >", "r", "h")
    assert [(one.begin, one.end, one.fault) for one in found] == [
        (3, 7, None),
        (7, 16, None),
        (16, 16, ENDED),
    ]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (XML[:80], ENDED),
        (b"<r><h></r>", "it is not XML"),
        (b'<!DOCTYPE r [<!ENTITY a "b">]><r><h>&a;</h></r>', "entities"),
        (b'<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><r><h>&a;</h></r>', "entities"),
        (b"<r><h>&unknown;</h></r>", "it is not XML"),
        (b"<r>" + b"<h>" * 300, "deep"),
        (b"<r><h>" + b"<a/>" * 1_000_001, "elements"),
        (b"<r><h>" + b"x" * 300_000, "longer"),
        (b'<?xml version="1.0" encoding="none"?><r/>', ""),
    ],
)
def test_xml_that_is_not_read_is_told(data: bytes, fault: str) -> None:
    last = xml(data, "r", "h", record_bytes=200_000 if fault == "longer" else 1 << 26)[-1]
    assert last.is_last
    assert fault in str(last.fault)


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_rows_are_objects_by_their_heads(size: int) -> None:
    data = b'\xef\xbb\xbfa, b ,c\r\n1,"two\nlines",3\n\n4,,"say ""x"""\n7\n'
    found = list(RowCutter(pieces(data, size)))
    assert [one.value for one in found] == [
        {"a": "1", "b": "two\nlines", "c": "3"},
        {"a": "4", "c": 'say "x"'},
        {"a": "7"},
    ]
    assert data[found[1].begin : found[1].end] == b'4,,"say ""x"""'
    faults = list(RowCutter(pieces(b'a,b\n1,\xff\n2,"x"y\n3,"open\n', size)))
    assert [one.fault is not None for one in faults] == [True] * len(faults)
    assert faults[-1].is_last


ROWS = b"a,b\n1,x\n%s\n2,y\n3,z\n"


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("line", [b'9,5" disk', b'9,a "b', b'9, "b', b'9,x"y"z"'])
def test_a_quote_within_a_cell_is_a_quote(line: bytes, size: int) -> None:
    found = list(RowCutter(pieces(ROWS % line, size)))
    a, b = line.decode().split(",", 1)
    assert [one.value for one in found] == [
        {"a": "1", "b": "x"}, {"a": a, "b": b}, {"a": "2", "b": "y"}, {"a": "3", "b": "z"},
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize(
    ("line", "behind"),
    [
        (b'9,"b', b""),
        (b'9,"b', b'4,"w"\n'),
        (b'9,"b', b'4,"w\nw"\n'),
        (b'9,"b', b"4," + b"w" * (LINE_BYTES_MAX + 9)),
        (b'9,"b"c', b""),
    ],
)
def test_a_quote_that_is_not_closed_costs_its_line(line: bytes, behind: bytes, size: int) -> None:
    data = ROWS % line + behind
    if len(behind) > LINE_BYTES_MAX:
        size *= 10_000
    found = list(RowCutter(pieces(data, size)))
    assert [one.value for one in found[:4]] == [
        {"a": "1", "b": "x"}, None, {"a": "2", "b": "y"}, {"a": "3", "b": "z"},
    ]  # fmt: skip
    assert data[found[1].begin : found[1].end] == line
    assert found[1].fault
    assert not found[1].is_last
    if len(behind) > LINE_BYTES_MAX:
        assert found[4].fault == "the line is too long"
    elif behind:
        assert found[4].value == {"a": "4", "b": behind[3:-2].decode()}


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_row_is_a_fault_where_one_of_its_lines_is_not_utf8(size: int) -> None:
    data = ROWS % b'9,"b\n\xff\nc"'
    found = list(RowCutter(pieces(data, size)))
    assert [one.fault for one in found] == [None, "it is not UTF-8", None, None]
    assert data[found[1].begin : found[1].end] == b'9,"b\n\xff\nc"'


@given(
    st.lists(
        st.lists(st.sampled_from(['"', "\n", "x", ",", " ", "\r\n"]), max_size=12).map("".join),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([1, 3]),
)
def test_rows_of_anything_are_the_same_in_any_pieces(lines: list[str], size: int) -> None:
    data = ("a,b\n" + "\n".join(lines)).encode()
    whole = list(RowCutter(BytesIO(data).read))
    assert list(RowCutter(pieces(data, size))) == whole
    places = [place for one in whole for place in (one.begin, one.end)]
    assert places == sorted(places)
    assert all(place <= len(data) for place in places)
    covered = b"".join(data[one.begin : one.end] for one in whole)
    assert covered.count(b"x") == data.count(b"x")


@given(
    st.lists(st.lists(st.text('"\nx, é', max_size=4), min_size=2, max_size=2), max_size=5),
    st.sampled_from([1, 3, 1000]),
)
def test_rows_that_were_written_are_read(rows: list[list[str]], size: int) -> None:
    import csv
    from io import StringIO

    file = StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    found = list(RowCutter(pieces(file.getvalue().encode(), size)))
    assert [one.value for one in found] == [
        {head: cell for head, cell in zip("ab", row, strict=True) if cell} for row in rows
    ]


def test_lines_are_objects_by_a_pattern() -> None:
    import re

    data = b"\x1b[2K/a (200)\nnone\n\xff\n" + b"x" * (2 * LINE_BYTES_MAX) + b"\n/b (301)"
    found = list(LineCutter(BytesIO(data).read, re.compile(r"^(?P<path>/\S+)\s+\((?P<status>\d+)\)")))
    assert [one.value for one in found if one.fault is None] == [
        {"path": "/a", "status": "200"}, {"path": "/b", "status": "301"},
    ]  # fmt: skip
    assert [one.fault for one in found if one.fault] == ["it is not UTF-8", "the line is too long"]
    assert data[found[-1].begin : found[-1].end] == b"/b (301)"


@pytest.mark.parametrize("size", [1 << 16, 1 << 20, 1 << 22])
def test_a_line_that_is_too_long_has_its_whole_place(size: int) -> None:
    long = b"x" * (2 * LINE_BYTES_MAX)
    found = [*lines(pieces(b"a\n" + long + b"\nb\r\n" + long, size))]
    end = 2 + len(long)
    assert [(first, last, is_long) for first, last, _, is_long, _ in found] == [
        (0, 1, False), (2, end, True), (end + 1, end + 3, False), (end + 4, end + 4 + len(long), True),
    ]  # fmt: skip
    assert [one.is_ended for one in found] == [True, True, True, False]


@pytest.mark.parametrize("size", [1, 1_000])
def test_what_is_broken_ends_within_the_file_and_where_that_ends(size: int) -> None:
    data = b'{"r": [1, 2:'
    assert [(one.begin, one.end) for one in cut(data, "r", "*", size=size)] == [(7, 8), (10, 12), (12, 12)]
    data = b"<r><h>1</h><h></r>" + b" " * 50
    assert [(one.begin, one.end) for one in xml(data, "r", "h", size=size)] == [(3, 11), (11, len(data))]
