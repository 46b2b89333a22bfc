"""What hides secrets: a value as it is and in the forms that the page names, whole and in pieces, and nothing else."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from assent.errors import InputError, Json
from assent.invocation import hide_in_error
from assent.secrets._needles import (
    AUTOMATON_NEEDLES,
    ENCODED_BYTES_MIN,
    FORM_CHARACTERS_MIN,
    LOOPED_MAX,
    RUN_MIN,
)
from assent.secrets.redaction import ENCODED_TIMES_MAX, Redactor

VALUES = (
    "hunter2-hunter2",
    'quote " and \\ backslash',
    "snow ☃ & <angle> 'apostrophe'",
    "slash/plus+equals=percent%",
    "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQ\n-----END KEY-----\n",
    "tab\tand\nnewline",
    "per%41cent and \\u0041 backslash",
    "aaaa",
    'é"%41\\%42',
)


def redactor(*values: str) -> Redactor:
    made = Redactor()
    for number, value in enumerate(values):
        assert made.add(f"name-{number}", value)
    return made


def embedded(value: str) -> list[str]:
    """The value as programs write it when they quote it in something longer."""
    data = value.encode()
    return [
        value,
        json.dumps({"a": value}),
        json.dumps({"a": value}, ensure_ascii=False),
        json.dumps({"a": value}).replace("/", "\\/"),
        f"https://host/?q={quote(value)}&r={quote(value, safe='')}&s={quote_plus(value)}",
        quote(value, safe="").lower() if value.isascii() and value.islower() else quote(value, safe=""),
        repr([value]),
        data.hex(),
        data.hex().upper(),
        *(base64.b64encode(b"x" * before + data + b"yz").decode() for before in range(4)),
        *(base64.urlsafe_b64encode(b"x" * before + data).decode() for before in range(4)),
    ]


@pytest.mark.parametrize("value", VALUES)
def test_nothing_is_left_of_a_value_that_json_quotes(value: str) -> None:
    made = redactor(value)
    for text in (json.dumps({"a": value}), json.dumps({"a": value}, ensure_ascii=False)):
        assert made.text(text) == '{"a": "***"}'


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_hidden_in_every_form_that_programs_write_it_in(value: str) -> None:
    made = redactor(value)
    for text in embedded(value):
        hidden = made.text(f"before {text} after")
        # A four-letter value is too short to be told from chance inside of a longer base64 text.
        if value != "aaaa":
            assert "***" in hidden, text
        assert hidden.startswith("before ")
        assert hidden.endswith(" after")
        assert value not in hidden
        assert not any(made.name_in(part) for part in hidden.split("***")), text


@pytest.mark.parametrize(
    "value", ['d"9/4g>c&%87~', '9*=60> j\\"$g', "8c'%/j/(\\#g38e=%", ">0%a\\~i%$9\\=", "&lt;&%3c'\\x41\"/"]
)
def test_a_value_with_what_looks_like_an_escape_is_hidden_where_it_was_escaped(value: str) -> None:
    """Neither an escape of its own nor one that it makes with what follows it keeps a value from being found."""
    made = redactor(value)
    for text in (
        json.dumps(f"x{value}B1 x"),
        json.dumps({"a": f"{value}41"}).replace("/", "\\/"),
        repr([f"{value}41"]),
    ):
        hidden = made.text(text)
        assert "***" in hidden, text
        assert made.name_in(hidden) is None


def test_nothing_is_touched_where_nothing_stands() -> None:
    made = redactor(*VALUES)
    value: Json = {"a": ["plain", 1, None, {"b": True}], "c": "text"}
    assert made.json(value) is value
    plain = " plain ".strip()  # an object of its own
    assert made.text(plain) is plain
    assert made.text("-----BEGIN KEY-----") == "-----BEGIN KEY-----", "what all keys begin with tells nothing"
    assert Redactor().name_in("plain") is None
    assert Redactor().name_in_bytes(b"plain") is None
    assert Redactor().name_in_json(value) is None
    assert made.data(b"\xff\x00plain") == b"\xff\x00plain"
    assert made.name_in_json(value) is None
    assert Redactor().json(value) is value
    assert Redactor().data(b"plain") == b"plain"


def test_json_is_hidden_in_texts_and_keys_at_any_depth() -> None:
    made = redactor("hunter2-hunter2")
    value: Json = {"a": ["x hunter2-hunter2 y", 1], "hunter2-hunter2": {"b": "plain"}}
    assert made.json(value) == {"a": ["x *** y", 1], "***": {"b": "plain"}}
    assert made.name_in_json(value) == "name-0"
    assert made.name_in_json({"hunter2-hunter2": 1}) == "name-0"


def test_of_json_only_what_holds_a_value_is_made_anew() -> None:
    made = redactor("hunter2-hunter2")
    plain: dict[str, Json] = {"b": 1}
    several: list[Json] = [1, "b"]
    hidden = made.json({"hunter2-hunter2": 1, "plain": plain, "several": several})
    assert isinstance(hidden, dict)
    assert hidden == {"***": 1, "plain": {"b": 1}, "several": [1, "b"]}
    assert hidden["plain"] is plain
    assert hidden["several"] is several
    assert made.json({"hunter2-hunter2": 1, "***": 2}) == {"***": 2}, "keys that are the same without it"
    assert made.json({"hunter2-hunter2": plain}) == {"***": plain}, "values alike, a key that tells"
    assert made.json([["x hunter2-hunter2"]]) == [["x ***"]], "in lists alone"
    assert redactor("12345678").json([[12345678, 1]]) == [["***", 1]]


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (r"50% \u0068unter2-hunter2 off", "50% *** off"),
        (r"\u0041 hunter2-hunter2 \u0041", r"\u0041 *** \u0041"),
        (r"hunter2-hunter2 \u0041", r"*** \u0041"),
        (r"\u0041\u0041 and \u0068unter2-\u0068unter2!", r"\u0041\u0041 and ***!"),
        (r"hunter2%2Dhunter2%21", "***%21"),
        (r"\u0041hunter2%2Dhunter2", r"\u0041***"),
        (r"%41%41 hunter2%2Dhunter2", "%41%41 ***"),
        (r"\u0068unter2-hunter2, hunter2%2Dhunter2 and \u0041", r"***, *** and \u0041"),
    ],
)
def test_exactly_the_value_is_hidden_among_other_escapes(text: str, hidden: str) -> None:
    assert redactor("hunter2-hunter2").text(text) == hidden


def inverted(data: bytes) -> bytes:
    return bytes(255 - byte for byte in data)


WRITTEN: dict[str, Callable[[bytes], str]] = {
    "base64": lambda data: base64.b64encode(data).decode(),
    "base64 of urls": lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
    "base64 in lines": lambda data: _lines(base64.b64encode(data).decode(), 16, "\r\n  "),
    "hex": bytes.hex,
    "hex in lines": lambda data: _lines(data.hex().upper(), 16, "\n"),
}


@pytest.mark.parametrize("encoding", WRITTEN)
@pytest.mark.parametrize("size", [12, 13, 14, 20])
def test_every_character_with_a_bit_of_a_value_is_hidden_and_no_other(size: int, encoding: str) -> None:
    """Those that would be others if each bit of the value were."""
    value = b"q7Kd?x~zV2mY9sTbW4nL"[:size]
    for before in (b"", b"k", b"ke", b"some more words:"):
        for after in (b"", b"y", b"yz", b"and so on and on"):
            text, other = (WRITTEN[encoding](before + inner + after) for inner in (value, inverted(value)))
            differs = [at for at, (a, b) in enumerate(zip(text, other, strict=True)) if a != b]
            hidden = f"{text[: differs[0]]}***{text[differs[-1] + 1 :]}"
            assert redactor(value.decode()).text(text) == hidden, text


@pytest.mark.parametrize("encoding", ["base64", "base64 of urls", "hex"])
@pytest.mark.parametrize("size", range(4, ENCODED_BYTES_MIN))
def test_of_a_short_value_the_characters_that_it_alone_decides_are_hidden(size: int, encoding: str) -> None:
    """Those that stay whatever stands around it, in a text too short to be decoded; too few might stand there by chance."""
    value = b"q7Kd?x~zV2mY"[:size]
    for before in (b"", b"k", b"ke"):
        for after in (b"", b"y", b"yz"):
            text = WRITTEN[encoding](before + value + after)
            if len(text.rstrip("=")) < RUN_MIN:
                other = WRITTEN[encoding](inverted(before) + value + (inverted(after) or b"\xff"))
                same = [at for at, (a, b) in enumerate(zip(text, other, strict=False)) if a == b != "="]
                told = len(same) >= FORM_CHARACTERS_MIN
                hidden = f"{text[: same[0]]}***{text[same[-1] + 1 :]}" if told else text
                assert redactor(value.decode()).text(text) == hidden, text


@pytest.mark.parametrize("value", ["~|s~|s~|s~|s", "evYevYevYevY", "h!4h!5h!6h!7"])
def test_a_long_text_of_one_case_or_of_hex_digits_is_not_decoded_and_searched_all_the_same(
    value: str,
) -> None:
    """It is a path or a digest: in so much base64 stand letters of both cases, and others than hex digits."""
    made, long = redactor(value), _plain64(value * 2)
    assert long.isupper() or long.islower() or not long.strip("0123456789abcdefABCDEF")
    assert made.text(f"- {long} -") == "- *** -"


@pytest.mark.parametrize("held", [11 * 2, 12, 13])
def test_a_stream_holds_back_what_the_longest_form_of_a_value_may_take(held: int) -> None:
    """Of a short value that is its hex digits; a long one is found by decoding."""
    value = "q7Kd0xPzV2mY9sTbW4nL"[: held if held < 20 else 11]
    assert len(redactor(value).stream().feed(b"x" * 1000)) == 1000 - ENCODED_TIMES_MAX * held


def test_each_long_line_of_a_value_is_hidden_on_its_own() -> None:
    for end in ("\n", "\r", "\r\n"):
        made = redactor(end.join(("abcdefghijkl", "mnopqrstuvw", "-----BEGIN KEY-----")))
        assert made.text("(abcdefghijkl) (mnopqrstuvw)") == "(***) (mnopqrstuvw)"


def test_a_value_with_escapes_is_hidden_where_they_were_read_if_it_is_then_long_enough() -> None:
    assert redactor("ab%2Fcd%2Fef").text("(ab/cd/ef)") == "(***)"
    assert redactor("ab%2Fcd%2Fe").text("(ab/cd/e)") == "(ab/cd/e)"


@pytest.mark.parametrize("others", [0, 2 * LOOPED_MAX])
def test_a_value_that_overlaps_itself_leaves_no_rest(others: int) -> None:
    made = redactor("abab", *(f"value-number-{number:05d}" for number in range(others)))
    assert made.text("<abababab>") == "<***>"
    assert (
        redactor("aaaa", *(f"value-number-{number:05d}" for number in range(others))).text("aaaaaaa") == "***"
    )


def test_values_that_overlap_or_hold_each_other_leave_no_rest() -> None:
    made = redactor("hunter2", "hunter2-and-more", "more-and-other")
    assert made.text("<hunter2-and-more>") == "<***>"
    assert made.text("<hunter2-and-more-and-other>") == "<***>"
    assert made.text("<hunter2more-and-other>") == "<***>", "they touch"


def test_an_output_is_hidden_by_the_names_of_its_fields_too() -> None:
    made = Redactor()
    value: Json = {
        "password": "p",
        "token_count": 3,
        "api_key": {"live": "k", "pin": 7},
        "headers": [{"Authorization": "Bearer x"}],
        "token": "secret://mail/token",
        "plain": "q",
    }
    assert made.output(value) == {
        "password": "***",
        "token_count": 3,
        "api_key": {"live": "***", "pin": 7},
        "headers": [{"Authorization": "***"}],
        "token": "secret://mail/token",
        "plain": "q",
    }
    plain: Json = {"a": ["b", {"c": ""}], "secret": ""}
    assert made.output(plain) is plain


def test_a_value_that_is_too_short_is_told_and_left_alone() -> None:
    made = Redactor()
    assert not made.add("pin", "123")
    assert not made.add("pin", " 12 \n")
    assert not made.is_active
    assert made.text("123") == "123"


@pytest.mark.parametrize("piece", [1, 2, 7, 64, 10_000])
def test_a_stream_hides_a_value_that_lies_across_pieces(piece: int) -> None:
    made = redactor("hunter2-hunter2", "snow ☃ man")
    data = ("a" * 200 + "hunter2-hunter2" + "b" * 200 + "snow ☃ man" + "c").encode()
    stream = made.stream()
    out = b"".join(stream.feed(data[at : at + piece]) for at in range(0, len(data), piece)) + stream.end()
    assert out == b"a" * 200 + b"***" + b"b" * 200 + b"***" + b"c"
    idle = Redactor().stream()
    assert idle.feed(b"piece") == b"piece"
    assert idle.end() == b""


def test_many_values_are_found_as_surely_as_few() -> None:
    values = [f"value-number-{number:05d}" for number in range(2 * AUTOMATON_NEEDLES + 3 * LOOPED_MAX)]
    made = redactor(*values, *values)
    assert len(made) == len(values)
    assert made.text(" ".join(values)) == " ".join("***" for _ in values)
    assert made.text("nothing \ud800 here") == "nothing \ud800 here"
    assert made.name_in(f"x{values[3]}") == "name-3"
    needles = made._needles
    assert needles is not None
    for texts in (needles._whole, needles._spread):
        searched = [*texts._looped, *(one for _, words in texts._automata for one in words)]
        assert sorted(searched) == sorted(texts.names), "each is looked for once"
        assert len(texts._looped) <= LOOPED_MAX
        assert AUTOMATON_NEEDLES <= len(texts._automata[0][1]) <= AUTOMATON_NEEDLES + LOOPED_MAX
    few = redactor(*values[:LOOPED_MAX])._needles
    assert few is not None
    assert not few._whole._automata, "few are looked for one by one"


def test_an_error_is_hidden_with_everything_that_led_to_it() -> None:
    made = redactor("hunter2-hunter2")
    first = OSError(2, "no hunter2-hunter2")
    second = InputError(
        "X", "got hunter2-hunter2", hint="hunter2-hunter2", details={"a": ["hunter2-hunter2"]}
    )
    last = ValueError("hunter2-hunter2", 7)
    last.__cause__, second.__context__, first.__context__ = second, first, last
    hide_in_error(last, Redactor())
    assert "hunter2" in str(last)
    hide_in_error(last, made)
    assert (last.args, first.args) == (("***", 7), (2, "no ***"))
    assert (str(second), second.hint, second.details) == ("got *** [X]", "***", {"a": ["***"]})


LETTERS = "".join(chr(ord("a") + number * 7 % 26) for number in range(26))
ENCODED = (
    "motörhead is a sécret",
    "v\"v^lG'N'>H3L9ATBG140",
    "a\\path\\of%41secrets&amp;",
    "q7Kd0xPzV2mY9sTbW4nL",
)


def _lines(text: str, width: int, end: str) -> str:
    return end.join(text[at : at + width] for at in range(0, len(text), width))


def _plain64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "json": lambda text: json.dumps({"a": text}),
    "json, no ascii": lambda text: json.dumps([text], ensure_ascii=False).replace("/", "\\/"),
    "url": lambda text: f"https://h/?q={quote(text, safe='')}&r=1",
    "url, lower case": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "form": lambda text: f"a=b&q={quote_plus(text)}",
    "url, every byte": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "repr": lambda text: repr([text, b"x"]),
    "bytes": lambda text: repr(text.encode()),
    "base64": _plain64,
    "base64, within": lambda text: f"Basic/{_plain64(f'user:{text}')}and more",
    "base64, of urls": lambda text: base64.urlsafe_b64encode(f"xy{text}".encode()).decode().rstrip("="),
    "base64, in lines": lambda text: f"-\n{_lines(_plain64(f'k: {text};'), 20, chr(10))}\n-",
    "base64, in windows' lines": lambda text: _lines(_plain64(f"key: {text}"), 76, "\r\n  "),
    "hex": lambda text: text.encode().hex(),
    "hex, upper case": lambda text: f"id-{text.encode().hex().upper()}",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("value", ENCODED)
def test_a_value_is_hidden_however_it_was_encoded(value: str, encoding: str) -> None:
    """What stands around it stays."""
    made = redactor(value)
    hidden = made.text(f"before {ENCODINGS[encoding](value)} after")
    assert "***" in hidden
    assert made.name_in(hidden) is None
    assert (hidden[:7], hidden[-6:]) == ("before ", " after")


@pytest.mark.parametrize("outer", ENCODINGS)
def test_a_value_that_was_quoted_is_hidden_in_what_encodes_that_once_more(outer: str) -> None:
    """A service escapes what it was sent, and the next one writes that into its log or packs it into a token."""
    value = 'q7Kd0x"PzV2 mY9s/TbW4=nL'
    made = redactor(value)
    for inner in ("json", "json, no ascii", "url", "form"):
        text = ENCODINGS[outer](ENCODINGS[inner](value))
        hidden = made.text(f"before {text} after")
        assert "***" in hidden, (inner, text)
        assert made.name_in(hidden) is None, inner
        assert made.name_in_bytes(text.encode()) == "name-0"


def test_of_a_long_encoded_text_only_the_part_with_the_value_is_hidden() -> None:
    made = redactor("q7Kd0xPzV2mY9sTbW4nL")
    before, after = LETTERS.encode() * 30, LETTERS.encode() * 30
    text = base64.b64encode(before + b"q7Kd0xPzV2mY9sTbW4nL" + after).decode()
    for shown in (text, _lines(text, 76, "\n")):
        head, tail = made.text(shown).split("***")
        assert shown.startswith(head)
        assert shown.endswith(tail)
        assert len(shown) - len(head) - len(tail) <= 32


def test_bytes_that_are_no_text_are_looked_into() -> None:
    made = redactor("q7Kd0xPzV2mY9sTbW4nL", "motörhead")
    noise = bytes(range(256)) * 40
    for found in (b"q7Kd0xPzV2mY9sTbW4nL", "motörhead".encode(), b'mot\\u00f6rhead"'):
        hidden = made.data(noise + found + noise)
        assert hidden.count(b"***") == 1
        assert hidden.startswith(noise[:-1])
    assert made.data(noise) == noise


@pytest.mark.parametrize("value", ["aB3!", "xy-9Kp"])
def test_a_short_value_is_hidden_in_one_encoding(value: str) -> None:
    made = redactor(value)
    for encoding in ("json", "url", "repr", "base64, within", "hex", "hex, upper case"):
        assert "***" in made.text(ENCODINGS[encoding](value)), encoding


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("31415926535", 31415926535),
        ("31415926535", 31415926535.0),
        ("-271828.1828", -271828.1828),
        ("0012345678", 12345678),
        ("6.02214076e23", 6.02214076e23),
        ("12345678901234567891", 12345678901234567891),
        ("123456", 123456),
    ],
)
def test_a_number_that_is_a_secret_is_hidden_without_its_quotes(value: str, number: float) -> None:
    made = redactor(value)
    assert made.json({"a": [number, 7, True], "b": "c"}) == {"a": ["***", 7, True], "b": "c"}
    assert made.name_in_json({"a": [{"b": number}]}) == "name-0"
    assert made.name_in_json({"a": [number * 2, None, "text"]}) is None
    assert made.name_in_json({"a": [number * 2, f"text {value}"]}) == "name-0"


def test_a_number_that_may_be_any_is_left_alone() -> None:
    made = redactor("12345", "1e999", "123-456-789")
    value: Json = {"size": 12345, "is": True, "other": 123456789}
    assert made.json(value) is value
    assert made.json({"pin": "12345"}) == {"pin": "***"}
