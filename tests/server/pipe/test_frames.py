"""The frames of `assent pipe`: what comes out is what went in, and what is bad costs what its length says."""

from __future__ import annotations

import random
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import AssentError
from assent.server.pipe._frames import Decoder, Frame, encode
from assent.server.pipe._messages import Ask, Unreadable, read

MOST = 4096
GOOD = encode(Frame(b"{}"))
FRAMES = st.builds(Frame, st.binary(max_size=200), st.binary(max_size=40))
PAGE = Path(__file__).parents[3] / "docs" / "pipe.md"


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames: list[Frame], cuts: list[int]) -> None:
    data = b"".join(map(encode, frames))
    decoder, at = Decoder(MOST), 0
    found: list[Frame | AssentError] = []
    while at < len(data):
        size = cuts[at % len(cuts)]
        found += decoder.feed(data[at : at + size])
        at += size
    assert found == frames
    assert decoder.end() is None


@given(FRAMES, st.integers(4), st.integers(1, 255))
def test_a_changed_byte_behind_the_length_costs_one_frame(frame: Frame, at: int, by: int) -> None:
    bad = bytearray(encode(frame))
    bad[4 + at % (len(bad) - 4)] ^= by
    fault, after = Decoder(MOST).feed(bytes(bad) + GOOD)
    assert isinstance(fault, AssentError)
    assert fault.code == "FRAME_INVALID"
    assert after == Frame(b"{}")


@pytest.mark.parametrize("length", [0, 1, 17, MOST + 1, 100_000])
def test_a_length_that_is_not_taken_is_skipped_as_it_says(length: int) -> None:
    decoder = Decoder(MOST)
    fault, after = decoder.feed(length.to_bytes(4, "big") + b"x" * length + GOOD)
    assert isinstance(fault, AssentError)
    assert fault.code == ("FRAME_INVALID" if length < 18 else "FRAME_TOO_LARGE")
    assert after == Frame(b"{}")


@pytest.mark.parametrize("kept", [1, 4, 10, len(GOOD) - 1])
def test_an_input_that_ends_within_a_frame_is_told(kept: int) -> None:
    decoder = Decoder(MOST)
    assert [*decoder.feed(GOOD[:kept])] == []
    fault = decoder.end()
    assert fault is not None
    assert fault.code == "FRAME_INVALID"


def test_noise_is_taken_for_frames_and_keeps_no_more_than_one() -> None:
    dice, decoder = random.Random(5), Decoder(MOST)
    for _ in range(500):
        for found in decoder.feed(dice.randbytes(dice.randrange(1, 300))):
            assert not isinstance(found, Frame)
        assert len(decoder._kept) <= MOST + 4


def test_what_has_no_length_in_its_field_is_no_frame() -> None:
    with pytest.raises(ValueError, match="as large"):
        encode(Frame(b"", b"x" * 65536))


def test_the_vectors_of_the_page_are_what_is_written_and_read() -> None:
    rows = re.findall(
        r"^\| `([^`]*)` \| (?:`([^`]*)`|empty) \| `([0-9a-f ]+)` \|$", PAGE.read_text(), re.MULTILINE
    )
    assert len(rows) == 3
    for message, token, written in rows:
        frame = Frame(message.encode(), token.encode())
        assert encode(frame) == bytes.fromhex(written)
        assert [*Decoder(MOST).feed(bytes.fromhex(written))] == [frame]


UNREADABLE = {
    b"": (None, "JSON_INVALID", True),
    b"{": (None, "JSON_INVALID", True),
    b"\xff": (None, "JSON_INVALID", True),
    b'{"id":1,"id":2}': (None, "JSON_INVALID", True),
    b"[" * 10_000: (None, "JSON_INVALID", True),
    b"[]": (None, "REQUEST_INVALID", True),
    b"{}": (None, "REQUEST_INVALID", True),
    b'{"id":7}': (7, "REQUEST_INVALID", True),
    b'{"jsonrpc":"2.0","id":null,"method":"runs"}': (None, "REQUEST_INVALID", True),
    b'{"jsonrpc":"2.0","id":true,"method":"runs"}': (None, "REQUEST_INVALID", True),
    b'{"jsonrpc":"2.0","id":1.5,"method":"runs"}': (None, "REQUEST_INVALID", True),
    b'{"jsonrpc":"2.0","id":"","method":"runs"}': (None, "REQUEST_INVALID", True),
    b'{"jsonrpc":"1.0","id":1,"method":"runs"}': (1, "REQUEST_INVALID", True),
    b'{"jsonrpc":"2.0","id":1,"method":"runs","more":1}': (1, "REQUEST_INVALID", True),
    b'{"jsonrpc":"2.0","id":1,"method":3}': (1, "REQUEST_INVALID", True),
    b'{"jsonrpc":"2.0","id":"a","method":"rnus"}': ("a", "OPERATION_UNKNOWN", True),
    b'{"jsonrpc":"2.0","id":1,"method":"runs","params":[]}': (1, "INVALID_INPUT", True),
    b'{"jsonrpc":"2.0","id":1,"method":"runs","params":{"no":1}}': (1, "INVALID_INPUT", True),
    b'{"jsonrpc":"2.0","id":1,"method":"call","params":{}}': (1, "INVALID_INPUT", True),
    b'{"jsonrpc":"2.0","id":1,"method":"call","params":{"capability":"a","words":{}}}': (1, "INVALID_INPUT", True),
    b'{"jsonrpc":"2.0","id":1,"method":"approve","params":{"run":"run_1"}}': (1, "DIGEST_REQUIRED", True),
    b'{"jsonrpc":"2.0","id":1,"method":"$/cancel","params":{}}': (1, "INVALID_INPUT", True),
    b'{"jsonrpc":"2.0","method":"rnus"}': (None, "OPERATION_UNKNOWN", False),
}  # fmt: skip


@pytest.mark.parametrize("message", UNREADABLE, ids=lambda message: message[:60].decode("latin-1"))
def test_a_message_that_asks_nothing_is_refused_under_its_id(message: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        read(message)
    assert (caught.value.id, caught.value.error.code, caught.value.is_told) == UNREADABLE[message]


@given(
    st.binary(max_size=80)
    | st.text(alphabet='{}[]":,0123456789 idmethodparamsjsonrpc', max_size=80).map(str.encode)
)
def test_any_message_is_read_or_refused(message: bytes) -> None:
    with suppress(Unreadable):
        assert isinstance(read(message), Ask)
