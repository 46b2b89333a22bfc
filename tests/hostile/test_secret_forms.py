"""No program gets a secret past the redactor by the length of its lines, by what stands between bytes, or by what is not seen."""

from __future__ import annotations

import base64
from collections.abc import Callable
from itertools import product

import pytest

from assent.secrets.redaction import Redactor

VALUE = "hunter2-Tr0ub4dor&3~xyz"
BYTES = VALUE.encode()
ENCODINGS: dict[str, Callable[[bytes], str]] = {
    "base64": lambda data: base64.b64encode(data).decode(),
    "base64url": lambda data: base64.urlsafe_b64encode(data).decode(),
    "base32": lambda data: base64.b32encode(data).decode(),
    "base32, small": lambda data: base64.b32encode(data).decode().lower(),
    "hex": bytes.hex,
    "HEX": lambda data: data.hex().upper(),
}
INVISIBLE = [
    "\x1b[01;31m\x1b[K", "\x1b[m\x1b[K", "\x1b[38;5;196m", "\x1b]8;;http://x\x07", "\x1b(B",
    "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u180e", "\u202e", "\u2066", "\ufe0f",
]  # fmt: skip


def redactor() -> Redactor:
    made = Redactor()
    made.add("name", VALUE)
    return made


def groups(text: str, size: int, between: str) -> str:
    return between.join(text[at : at + size] for at in range(0, len(text), size))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_length_of_lines_or_groups_and_no_separator_hides_a_value(encoding: str) -> None:
    made = redactor()
    for before, size, between in product(
        range(6), [*range(1, 17), 20, 76], ["\n", "\r\n", "\n    ", " ", ":", ", ", ": ", " \n", ":\n\t"]
    ):
        encoded = ENCODINGS[encoding](b"x" * before + BYTES + b"the rest")
        text = f"it is:\n{groups(encoded, size, between)}\nand that was it"
        hidden = made.text(text)
        assert "***" in hidden, (before, size, between)
        assert hidden.startswith("it is:\n")
        assert hidden.endswith("\nand that was it")
        # None is left of the characters that the value alone decides: the others, at its ends, it shares with its neighbours.
        assert sum(map(len, hidden.split("***"))) <= len(text) - len(BYTES) * 8 // 6, (before, size, between)


@pytest.mark.parametrize("mark", INVISIBLE, ids=ascii)
def test_nothing_invisible_splits_a_value(mark: str) -> None:
    made = redactor()
    for at in range(1, len(VALUE)):
        assert made.text(f"a {VALUE[:at]}{mark}{VALUE[at:]} b") == "a *** b"
    for encoding in ENCODINGS.values():
        text = encoding(BYTES)
        assert "***" in made.text(f"a {text[:9]}{mark}{text[9:]} b")
    assert made.text(f"a {mark.join(VALUE)} b") == "a *** b"


@pytest.mark.parametrize("size", [1, 7, 15])
def test_a_stream_hides_what_lies_across_its_pieces(size: int) -> None:
    text = f"before\n{groups(base64.b64encode(BYTES).decode(), 4, chr(10))}\nafter".encode()
    stream = redactor().stream()
    pieces = [stream.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert b"".join([*pieces, stream.end()]) == redactor().data(text)


def test_what_only_looks_so_is_left_as_it_is() -> None:
    made = redactor()
    for text in (
        "\n".join(map(str, range(3000))), " ".join(f"{n % 256:02x}" for n in range(5000)), f"\x1b[1m{'bold ' * 500}\x1b[m",
        "".join(f"{chr(97 + n % 26)}\n" for n in range(3000)),
        "\n".join(groups("abcdefghijkl" * 50, n, " ") for n in range(1, 16)),
    ):  # fmt: skip
        assert made.text(text) is text
