"""Every parser with an output of its own: as it is, and after whatever may happen to its bytes."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.findings.parsing import built_in_tools, detect
from assent.findings.parsing._parser import BROKEN
from tests.support.scanned import FORMS, parsed, used

TOOLS: Final = built_in_tools()
SIGNS: Final = [
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\ud800", b"null", b"[]", b"{}", b'"x"', b"-1", b"1e999", b'{"a":'),
    *(b"<", b">", b"</", b"/>", b"<!--", b"<![CDATA[", b"]]>", b"&#0;", b"&x;", b"<?x ", b"<!DOCTYPE x [", b"<a b='"),
    *(b"\n", b"\r", b"\0", b"\x1b[", b"\x1e", b"\xff", b"\xef\xbb\xbf", b'""', b';"', b"(Status: 200)", b"0" * 500, b"[" * 200),
]  # fmt: skip
PLACES: Final = st.integers(0, 10_000)
CHANGES: Final = st.lists(
    st.tuples(
        st.sampled_from(["removed", "doubled", "replaced", "swapped"]),
        PLACES,
        st.integers(0, 40) | PLACES,
        PLACES,
        st.sampled_from(SIGNS) | st.binary(max_size=12),
    ),
    min_size=1,
    max_size=4,
)


def changed(data: bytes, change: tuple[str, int, int, int, bytes]) -> bytes:
    """Bytes of which some are removed, doubled, replaced by others or put elsewhere."""
    way, at, length, to, new = change
    at %= len(data) + 1
    before, part, behind = data[:at], data[at : at + length], data[at + length :]
    match way:
        case "removed":
            return before + behind
        case "doubled":
            return before + part + part + behind
        case "replaced":
            return before + new + behind
        case _:
            rest = before + behind
            to %= len(rest) + 1
            return rest[:to] + part + rest[to:]


def test_every_parser_has_a_form() -> None:
    assert FORMS.keys() == TOOLS.keys()


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_known_by_its_tool_and_something_comes_of_it(name: str) -> None:
    assert detect(FORMS[name], TOOLS).name == name
    found, report = parsed(TOOLS[name], FORMS[name])
    assert report.findings + report.resources > 0
    assert (report.missing_fields, report.fault) == ({}, None)
    # What feroxbuster says of itself is no response.
    assert name == "feroxbuster" or not report.new_fields
    for size in (1, 17):
        assert parsed(TOOLS[name], FORMS[name], size) == (found, report)


@pytest.mark.parametrize("name", FORMS)
@given(CHANGES, st.sampled_from([1, 2, 3, 7, 64, 1_000]))
def test_whatever_happens_to_an_output_its_records_add_up_in_any_pieces(
    name: str, changes: list[tuple[str, int, int, int, bytes]], size: int
) -> None:
    data = FORMS[name]
    for one in changes:
        data = changed(data, one)
    found, report = parsed(TOOLS[name], data)
    used(found, name)
    assert all(0 <= one.begin <= one.end <= len(data) for one in found)
    assert report.fault is None or 0 <= report.fault.begin <= report.fault.end <= len(data)
    unforeseen = [why for why in report.skipped if why.startswith("it is broken:")]
    assert not [why for why in unforeseen if "what it stands in ends before its" not in why]
    again, other = parsed(TOOLS[name], data, size)
    if TOOLS[name].manifest.format == "xml" and found and found[-1].skipped == BROKEN == again[-1].skipped:
        # Of what is no XML and stands outside the root, expat tells by the piece what is wrong, and where.
        assert other.fault
        assert report.fault
        other.fault = other.fault._replace(begin=report.fault.begin, why=report.fault.why)
        again[-1] = again[-1]._replace(begin=found[-1].begin)
    assert (again, other) == (found, report)
