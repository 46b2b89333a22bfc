"""Answers that come packed: what is in them counts, and so does how often they begin anew."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from backports import zstd

from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._unpacking import PARTS_FREE, Unpacker


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_packed_parts_that_hold_next_to_nothing_are_counted(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    """To begin a part takes thousands of times as long as to send an empty one, and nobody else is served meanwhile."""

    def given(data: bytes) -> int:
        unpacker = Unpacker(encoding, bytes_max=1 << 24, ratio=100)
        return sum(
            len(piece) for at in range(0, len(data), 4096) for piece in unpacker.feed(data[at : at + 4096])
        )

    assert given(pack(b"") * PARTS_FREE) == 0
    with pytest.raises(HttpFailure) as caught:
        given(pack(b"") * (PARTS_FREE + 1))
    assert (caught.value.code, caught.value.details["parts"]) == ("HTTP_BOMB", PARTS_FREE)
    full = pack(bytes(range(256)))
    assert given(full * (PARTS_FREE + 50)) == 256 * (PARTS_FREE + 50)
