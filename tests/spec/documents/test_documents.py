"""Reading YAML with one meaning, the place of every part, and one kind of error whatever the bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assent.errors import AssentError, InputError, Json
from assent.spec.documents.document import (
    CHARACTERS_MAX,
    DEPTH_MAX,
    SIZE_MAX_BYTES,
    Document,
    load_yaml,
    render_snippet,
)
from assent.spec.values.canonical import canonical_json
from assent.spec.words.suggestions import suggest
from tests.support.properties import holds


def read(text: str | bytes) -> Json:
    return load_yaml(text, source="f.yaml").data


def refusal(text: str | bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        load_yaml(text, source="f.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("2020-01-01", "2020-01-01"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("0o17", 15),
        ("0x1F", 31),
        ("-12", -12),
        ("0644", 644),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("9007199254740991", 2**53 - 1),
    ],
)
def test_plain_scalars_mean_what_yaml_1_2_says(text: str, value: Json) -> None:
    """The core schema of YAML 1.2: words such as `yes` and dates stay text."""
    got = read(f"a: {text}\n")
    assert got == {"a": value}
    assert isinstance(got, dict)
    assert type(got["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("a: [1\nb: 2\n", "DOCUMENT_SYNTAX", "f.yaml:2:2"),
        ("a: 1\n\tb: 2\n", "DOCUMENT_SYNTAX", "f.yaml:2:1"),
        ("a: \x01", "DOCUMENT_SYNTAX", "f.yaml:1:4"),
        (b"a: ok\nb: \xff\n", "DOCUMENT_SYNTAX", "f.yaml:2:4"),
        ("a: 'x\x85y'", "DOCUMENT_SYNTAX", "f.yaml:1:6"),
        ("a: 1\n# \u2028\n", "DOCUMENT_SYNTAX", "f.yaml:2:3"),
        ("a: \ud800", "DOCUMENT_SYNTAX", "f.yaml:1:1"),
        ("--- 1\n--- 2\n", "DOCUMENT_SYNTAX", "f.yaml:2:1"),
        ("a: &x [*x]", "DOCUMENT_SYNTAX", "f.yaml:1:8"),
        ("a: *nobody", "DOCUMENT_SYNTAX", "f.yaml:1:4"),
        ("a: 1\nb: 2\na: 3\n", "DUPLICATE_KEY", "f.yaml:3:1"),
        ("1: 2", "DOCUMENT_VALUE", "f.yaml:1:1"),
        ("true: 2", "DOCUMENT_VALUE", "f.yaml:1:1"),
        ("? [a]\n: 1", "DOCUMENT_VALUE", "f.yaml:1:3"),
        ("a: .nan", "DOCUMENT_VALUE", "f.yaml:1:4"),
        ("a: -.inf", "DOCUMENT_VALUE", "f.yaml:1:4"),
        ("a: 1e999", "DOCUMENT_VALUE", "f.yaml:1:4"),
        ("a: 9007199254740992", "DOCUMENT_VALUE", "f.yaml:1:4"),
        ("a: " + "9" * 5000, "DOCUMENT_VALUE", "f.yaml:1:4"),
        ("a: !!python/object:os.system x", "DOCUMENT_VALUE", "f.yaml:1:4"),
        ("a: !own {}", "DOCUMENT_VALUE", "f.yaml:1:4"),
    ],
)
def test_what_has_no_single_json_reading_is_refused_with_its_place(
    text: str | bytes, code: str, place: str
) -> None:
    """Syntax, encoding, tags, odd keys, numbers that JSON cannot hold: each has its code, line and column."""
    error = refusal(text)
    assert (error.code, error.path) == (code, place)


def test_a_duplicate_key_names_both_places() -> None:
    """The first place stands in the message and both in the details."""
    error = refusal("a:\n  x: 1\n  x: 2\n")
    assert "f.yaml:2:3" in error.message
    assert error.details == {"first": "f.yaml:2:3", "second": "f.yaml:3:3"}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_ends_in_an_error_and_not_in_a_crash(opening: str) -> None:
    """Half a megabyte of openings is refused at the limit, without recursion."""
    error = refusal(opening * (SIZE_MAX_BYTES // 2 // len(opening)))
    assert error.code in ("DOCUMENT_TOO_COMPLEX", "DOCUMENT_VALUE")
    assert read("[" * DEPTH_MAX + "]" * DEPTH_MAX) is not None


def test_a_yaml_bomb_is_refused_before_it_expands() -> None:
    """Aliases are counted as what they expand to: nodes, characters and depth alike."""
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 10))
    assert refusal("l0: &l0 [x, x]\n" + levels).code == "DOCUMENT_TOO_COMPLEX"
    long = "x" * (SIZE_MAX_BYTES // 2)
    many = ", ".join(["*t"] * (CHARACTERS_MAX // len(long) + 1))
    assert refusal(f"t: &t {long}\nu: [{many}]").code == "DOCUMENT_TOO_COMPLEX"
    deep = (
        "a0: &a0 "
        + "[" * 30
        + "]" * 30
        + "\n"
        + "a1: &a1 "
        + "[" * 30
        + "*a0"
        + "]" * 30
        + "\na2: [[[[[*a1]]]]]\n"
    )
    assert refusal(deep).code == "DOCUMENT_TOO_COMPLEX"


def test_ten_megabytes_are_refused_unread() -> None:
    """Size is checked first, in bytes, for text as for bytes."""
    assert refusal("a: 1\n" * 2_000_000).code == "DOCUMENT_TOO_LARGE"
    assert refusal(b"\xff" * (SIZE_MAX_BYTES + 1)).code == "DOCUMENT_TOO_LARGE"
    assert refusal("é" * (SIZE_MAX_BYTES // 2 + 1)).code == "DOCUMENT_TOO_LARGE"


def test_aliases_give_values_of_their_own() -> None:
    """Two uses of an anchor are equal and never the same mutable object."""
    data = read("a: &x {k: [1]}\nb: *x\n")
    assert data == {"a": {"k": [1]}, "b": {"k": [1]}}
    assert isinstance(data, dict)
    assert data["a"] is not data["b"]


def test_every_part_has_a_place() -> None:
    """Keys, values, text inside values; what is missing has the place of what should hold it."""
    text = "a: 1\nb: [x, {c: 'y ${{ z }}'}]\nt: |\n  first\n  then ${{ here }} on\n"
    document = load_yaml(text, source="f.yaml")
    assert document.position(("b",)) == "f.yaml:2:4"
    assert document.position(("b",), key=True) == "f.yaml:2:1"
    assert document.position(("b", 1, "c")) == "f.yaml:2:12"
    assert document.position(("b", 1, "c"), text="z") == "f.yaml:2:19"
    assert document.position(("t",), text="here") == "f.yaml:5:12"
    assert document.position(("b", 7, "q")) == "f.yaml:2:4"
    assert Document.of({"a": 1}).position(("a", 0, "b")) == "a[0].b"


def test_lines_are_counted_as_editors_do() -> None:
    """Windows line ends and a byte-order mark do not shift a place."""
    document = load_yaml("\ufeffa: 1\r\nb:\r\n  c: ü${{ x }}\r\n".encode(), source="f.yaml")
    assert document.position(("a",)) == "f.yaml:1:4"
    assert document.position(("b", "c"), text="${{") == "f.yaml:3:7"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53 - 1), 2**53 - 1)
    | st.floats(-1e15, 1e15)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="ascii")), inner, max_size=4)
    ),
    max_leaves=20,
)


@holds("documents")
@given(JSON)
def test_json_is_read_as_itself(value: Any) -> None:
    """Canonical JSON within the limits is YAML, and reads back equal."""
    text = canonical_json(value)
    try:
        got = read(text)
    except InputError as error:
        # YAML 1.1 parsers refuse some characters that JSON allows raw, such as U+007F.
        assert error.code == "DOCUMENT_SYNTAX"  # noqa: PT017  # only characters may be refused, nothing else
        return
    assert canonical_json(got) == text


PIECES = (
    *(
        "a: ",
        "- ",
        "\n",
        "  ",
        "\t",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "&x ",
        "*x",
        "'",
        '"',
        "|\n",
        ">",
        "!!",
        "!",
        "? ",
        ": ",
    ),
    *("---", "#", "%YAML", "\x00", "\ud800", "\u2028", "<<", ".nan", "1e9", "0x", "key", "é", "\\", "...\n"),
)
FRAGMENTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@holds("documents")
@given(FRAGMENTS | st.text() | st.binary())
@example("\x85a: [")
@example("%YAML 1")
@example("? ? ? [")
def test_nothing_but_our_own_errors_comes_out(text: str | bytes) -> None:
    """Whatever the input, reading yields JSON data or an error with a place; a snippet can be drawn of it."""
    try:
        document = load_yaml(text, source="f.yaml")
    except AssentError as error:
        assert error.path is not None  # noqa: PT017  # either outcome is right; each has its own assertion
        line, column = (int(part) for part in error.path.split(":")[1:])
        assert line >= 1
        assert column >= 1
        render_snippet(text if isinstance(text, str) else "", line, column)
    else:
        canonical_json(document.data)


def test_a_suggestion_is_the_nearest_name_or_none() -> None:
    """Deterministic, and silent when nothing is close."""
    assert suggest("depend_on", ["depends_on", "description", "inputs"]) == "depends_on"
    assert suggest("zzz", ["depends_on"]) is None


def test_a_snippet_shows_the_line_and_underlines_the_fault() -> None:
    """The number, the line and carets of the given length; control characters cannot reach the terminal."""
    assert render_snippet("a: 1\nb: oops here\n", 2, 4, 4, "not a number") == (
        "  |\n2 | b: oops here\n  |    ^^^^ not a number"
    )
    assert "\x1b" not in render_snippet("a: \x1b[2J", 1, 4)
    assert render_snippet("a", 7, 1) == ""
    wide = render_snippet("x" * 500 + "HERE" + "y" * 500, 1, 501, 4)
    assert "HERE" in wide
    assert max(map(len, wide.splitlines())) < 120
