"""Types that several threads of one program are the first to ask for."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from assent.spec.values.typed import decode

ASKED = """
import sys, threading
import msgspec
from assent.spec.values import typed

sys.setswitchinterval(1e-6)
both = threading.Barrier(2)
kinds = [
    msgspec.defstruct(f"Outer{n}", [("one", msgspec.defstruct(f"Inner{n}", [(f"f{k}", int | None, None) for k in range(20)]))])
    for n in range(400)
]

def ask():
    for kind in kinds:
        both.wait()
        assert %s.one.f1 is None

threads = [threading.Thread(target=ask) for _ in range(2)]
for one in threads:
    one.start()
for one in threads:
    one.join()
"""


@pytest.mark.parametrize(
    "asking",
    [
        "typed.convert({'one': {}}, kind)",
        "typed.decode(b'{\"one\": {}}', kind)",
        "typed.decoder(kind).decode(b'{\"one\": {}}')",
        "typed.unpacker(kind).decode(msgspec.msgpack.encode({'one': {}}))",
    ],
)
def test_two_that_are_first_to_ask_for_a_type_end_no_process(asking: str, clean_env: dict[str, str]) -> None:
    """By msgspec alone it ends with SIGSEGV: both look at the same type for the first time."""
    ended = subprocess.run([sys.executable, "-c", ASKED % asking], env=clean_env, check=False)
    assert ended.returncode == 0


def test_what_is_nested_too_deeply_is_no_text_of_the_type() -> None:
    with pytest.raises(msgspec.DecodeError, match="nested too deeply"):
        decode("[" * 100_000)
