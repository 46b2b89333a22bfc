"""What hides secrets: every usual form of a value, whole and in pieces, and nothing else."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from assent.errors import InputError, Json
from assent.invocation import hide_in_error
from assent.invocation.redaction import CHUNK_VALUES, Redactor, forms_of

VALUES = (
    "hunter2-hunter2",
    'quote " and \\ backslash',
    "snow ☃ & <angle> 'apostrophe'",
    "slash/plus+equals=percent%",
    "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQ\n-----END KEY-----\n",
    "tab\tand\nnewline",
    "aaaa",
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
        json.dumps({"body": json.dumps({"a": value})}),
        f"https://host/?q={quote(value)}&r={quote(value, safe='')}&s={quote_plus(value)}",
        quote(value, safe="").lower() if value.isascii() and value.islower() else quote(value, safe=""),
        repr([value]),
        ascii([value]),
        data.hex(),
        data.hex().upper(),
        *(base64.b64encode(b"x" * before + data + b"yz").decode() for before in range(4)),
        *(base64.urlsafe_b64encode(b"x" * before + data).decode() for before in range(4)),
    ]


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
        if "***" in hidden:
            assert all(form not in hidden for form in forms_of(value))


def test_nothing_is_touched_where_nothing_stands() -> None:
    made = redactor(*VALUES)
    value: Json = {"a": ["plain", 1, None, {"b": True}], "c": "text"}
    assert made.json(value) is value
    assert made.text("plain") == "plain"
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


def test_values_that_overlap_or_hold_each_other_leave_no_rest() -> None:
    made = redactor("hunter2", "hunter2-and-more", "more-and-other")
    assert made.text("<hunter2-and-more>") == "<***>"
    assert made.text("<hunter2-and-more-and-other>") == "<***>"


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
    values = [f"value-number-{number:05d}" for number in range(3 * CHUNK_VALUES + 5)]
    made = redactor(*values, *values)
    assert len(made) == len(values)
    assert made.text(" ".join(values)) == " ".join("***" for _ in values)
    assert made.text("nothing \ud800 here") == "nothing \ud800 here"
    assert made.name_in(f"x{values[3]}") == "name-3"


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


@pytest.mark.parametrize("before", ["", "a", "ab"])
@pytest.mark.parametrize("value", ["v\"v^lG'N'>H3L9ATBG140", "a\\path\\of\\secrets", "motörhead is a sécret"])
def test_a_value_in_json_that_is_encoded_as_a_whole_is_hidden(value: str, before: str) -> None:
    """A service that echoes what it was sent escapes it first; what stands between the escapes is long enough to use."""
    redactor = Redactor()
    redactor.add("a", value)
    for ascii_only in (True, False):
        text = before + json.dumps({"said": value}, ensure_ascii=ascii_only)
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            hidden = redactor.text(encode(text.encode()).decode())
            assert "***" in hidden
