"""Records are cut out of what comes in any pieces, with their bytes' places, and what is broken harms nothing else."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.findings.parsing import _json
from assent.findings.parsing._json import BROKEN_MAX, ENDED, Cut, Cutter
from assent.findings.parsing._rows import LINE_BYTES_MAX, LineCutter, RowCutter, lines
from assent.findings.parsing._xml import XmlCutter

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
    for data in (b'{"r": [{"a": 1}, }]}', b'{"r" [1]}', b"{r: 1}", b'{"\xff": 1}', b'{"r": [{"a": 1}'):
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


@pytest.mark.parametrize("passed", [b"", b'"', b'"x', b"[", b'["x', b'[1, {"a"', b"}"])
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
    assert [(first, last, is_long) for first, last, _, is_long in found] == [
        (0, 1, False), (2, end, True), (end + 1, end + 3, False), (end + 4, end + 4 + len(long), True),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 1_000])
def test_what_is_broken_ends_within_the_file_and_where_that_ends(size: int) -> None:
    data = b'{"r": [1, 2:'
    assert [(one.begin, one.end) for one in cut(data, "r", "*", size=size)] == [(7, 8), (10, 12), (12, 12)]
    data = b"<r><h>1</h><h></r>" + b" " * 50
    assert [(one.begin, one.end) for one in xml(data, "r", "h", size=size)] == [(3, 11), (11, len(data))]
