"""Messages come out of bytes as they went in, however these are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.plugins.upstream import _frames
from assent.plugins.upstream._frames import Bounds, events, field, lines

ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted({one % (len(data) + 1) for one in at}), len(data)]
    return [data[begin:end] for begin, end in pairwise(places)]


@given(
    st.lists(st.lists(st.binary(min_size=1).map(bytes.hex), min_size=1), min_size=1),
    ENDS,
    st.lists(st.integers(0)),
)
def test_events_are_whole_whatever_ends_their_lines(said: list[list[str]], end: bytes, at: list[int]) -> None:
    told = [end.join(b"data: " + one.encode() for one in event) for event in said]
    buffer = bytearray()
    found = [
        one for piece in cut(b"".join(one + end + end for one in told), at) for one in events(buffer, piece)
    ]
    # A line feed after a carriage return may come with the next event: it ends nothing any more.
    assert [field(one, b"data") for one in found] == ["\n".join(one).encode() for one in said]
    assert bytes(buffer).strip() == b""


@given(st.lists(st.binary().map(lambda one: one.replace(b"\n", b"")), min_size=1), st.lists(st.integers(0)))
def test_lines_are_whole(said: list[bytes], at: list[int]) -> None:
    buffer = bytearray()
    assert [one for piece in cut(b"\n".join([*said, b"half"]), at) for one in lines(buffer, piece)] == said
    assert buffer == b"half"


def test_a_field_is_read_as_it_is_said() -> None:
    event = b": data: no\nid: 7\ndata:one\ndata\ndatas: no\ndata:  two\r\n\r\n"
    assert (field(event, b"data"), field(event, b"id"), field(event, b"retry")) == (b"one\n\n two", b"7", b"")


def test_what_nobody_asked_for_counts_until_something_is_answered_or_a_minute_has_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_frames, "UNASKED_MAX", 2)
    bounds = Bounds(frame_bytes=10, frame_values=3)
    assert [bounds.fault_of_unasked(100.0) is None for _ in range(3)] == [True, True, False]
    bounds.answered()
    assert [bounds.fault_of_unasked(120.0) is None for _ in range(3)] == [True, True, False]
    assert bounds.fault_of_unasked(161.0) is None
    assert bounds.fault_of(b'[[",,,"]]') is None
    assert "more than 3 values" in str(bounds.fault_of(b"[[[["))
    assert "more than 10 bytes" in str(bounds.fault_of(b'"' + b"x" * 10))
