"""Reading is strict and says where, writing is read back as it was, and nothing hostile takes long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assent.capabilities.data._formats import (
    read_json,
    read_toml,
    read_yaml,
    write_json,
    write_toml,
    write_yaml,
)
from assent.invocation import NoEffectError
from tests.support.hands import Hands
from tests.support.seeds import examples

FORMATS = ("json", "yaml", "toml")


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hands]:
    made = Hands.on(tmp_path_factory.mktemp("w"))
    yield made
    made.workspace.close()


def refused(hands: Hands, capability: str, **parameters: Any) -> NoEffectError:
    with pytest.raises(NoEffectError) as caught:
        hands.read(capability, **parameters)
    return caught.value


TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "yes",
        "no",
        "on",
        "null",
        "~",
        "1e3",
        "0x10",
        "0o7",
        ".inf",
        "1_000",
        "2001-01-01",
        "- a",
        "a: b",
        "#",
        "",
        " ",
        "=",
        "<<",
        "\u2028x",
        "a\r\nb\n",
        "c\rd",
        "'",
        '"',
        "1.0",
        "{a}",
        "!x",
        "&x",
        "*x",
        "%",
        "@",
    ]
)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=examples(150), deadline=None)
def test_json_is_read_back(value: Any) -> None:
    assert write_json(read_json(write_json(value), "t").value) == write_json(value)


@given(VALUES)
@settings(max_examples=examples(150), deadline=None)
def test_yaml_is_read_back(value: Any) -> None:
    """Also texts that older readers take for numbers, dates or truth."""
    found = read_yaml(write_yaml(value), "t").value
    assert found == value
    assert type(found) is type(value)


def without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_null(one) for key, one in value.items() if one is not None}
    return [without_null(one) for one in value if one is not None] if isinstance(value, list) else value


@given(st.dictionaries(TEXTS, VALUES, max_size=4).map(without_null))
@settings(max_examples=examples(150), deadline=None)
def test_toml_is_read_back(value: Any) -> None:
    # TOML reads every line break of a text alike.
    if "\r" not in json.dumps(value).replace("\\r", "\r"):
        assert read_toml(write_toml(value), "t").value == value


@given(st.text(max_size=60))
@settings(max_examples=examples(150), deadline=None)
def test_no_text_makes_a_reader_fail_otherwise(text: str) -> None:
    for read in (read_json, read_yaml, read_toml):
        with suppress(NoEffectError):
            read(text, "t")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('{"a": 1,\n "a": 2}', "text:2:2", "twice"),
        ('{"a": {"b": [1, NaN]}}', "text:1:17", "not a number"),
        ("[1,\n-Infinity]", "text:2:1", "not a number"),
        ("[9007199254740993]", "text:1:2", "beyond 2^53"),
        ("[1e999]", "text:1:2", "range"),
        ('["\\ud800"]', "text:1:2", "surrogate"),
        ("[1,\n 2,]", "text:2:4", "expecting value"),
        ("[" * 200 + "]" * 200, "text:1:129", "levels"),
        ("[" * 100_000, "text:1:129", "levels"),
        ("", "text:1:1", "expecting value"),
        ("\ufeff[]", "text:1:1", ""),
        ("{'a': 1}", "text:1:2", "double quotes"),
        ("[01]", "text:1:3", ""),
        ("1 2", "text:1:3", "extra data"),
        ('{"a": "\t"}', "text:1:8", "control character"),
        ("9" * 5000, "text:1:1", ""),
        ('{"\\u0061": 1, "a": 2}', "text:1:15", "twice"),
    ],
)
def test_json_is_read_strictly(hands: Hands, text: str, place: str, words: str) -> None:
    error = refused(hands, "data.json.parse", text=text)
    assert (error.code, error.path) == ("DATA_INVALID", place)
    assert words in error.message.lower()


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("a: 1\na: 2\n", "DATA_INVALID", "text:2:1"),
        (BOMB, "DATA_TOO_LARGE", "text:"),
        ("a: &a [*a]", "DATA_INVALID", "text:1:8"),
        ("!!python/object/apply:os.system [id]", "DATA_INVALID", "text:1:1"),
        ("!!python/name:os.system", "DATA_INVALID", "text:1:1"),
        ("a: .nan", "DATA_INVALID", "text:1:4"),
        ("a: 9007199254740993", "DATA_INVALID", "text:1:4"),
        ("1: a", "DATA_INVALID", "text:1:1"),
        ("a: b: c", "DATA_INVALID", "text:1:5"),
        ("[" * 100, "DATA_TOO_LARGE", "text:1:65"),
        ("a\n---\nb", "DATA_INVALID", "text:2:1"),
        ("? [a]\n: b", "DATA_INVALID", "text:1:3"),
        ("\tx: 1", "DATA_INVALID", "text:1:1"),
        ("x" * (1 << 21), "DATA_TOO_LARGE", "text:1:1"),
    ],
    ids=range(14),
)
def test_yaml_is_read_strictly(hands: Hands, text: str, code: str, place: str) -> None:
    error = refused(hands, "data.yaml.parse", text=text)
    assert error.code == code
    assert str(error.path).startswith(place)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a = 1\na = 2\n", "text:2:", "overwrite"),
        ("a = nan", "text:1:1", "finite"),
        ("[t]\nb = inf", "text:2:1", "finite"),
        ("a = 9007199254740993", "text:1:1", "2^53"),
        ("a = ", "text:1:5", "invalid value"),
        ("a = " + "[" * 5000, "text:1:", "nested"),
        (".".join(["a"] * 3000) + " = 1", "text:1:1", "64 parts"),
        ("a = 2001-13-45", "text:1:", ""),
        ("a = " + "9" * 5000, "text:1:1", ""),
    ],
    ids=range(9),
)
def test_toml_is_read_strictly(hands: Hands, text: str, place: str, words: str) -> None:
    error = refused(hands, "data.toml.parse", text=text)
    assert (error.code, str(error.path).startswith(place)) == ("DATA_INVALID", True), error
    assert words in error.message.lower()
    assert refused(hands, "data.toml.parse", text="#" * (2 << 20)).code == "DATA_TOO_LARGE"


def test_dates_become_text_and_null_is_refused(hands: Hands) -> None:
    text = "a = 2001-02-03T04:05:06Z\nb = 2001-02-03\nc = 04:05:06\n"
    assert hands.read("data.toml.parse", text=text)["value"] == {
        "a": "2001-02-03T04:05:06+00:00",
        "b": "2001-02-03",
        "c": "04:05:06",
    }
    error = refused(hands, "data.toml.render", value={"a": [{"b": None}]})
    assert (error.code, error.path) == ("DATA_INVALID", "value.a[0].b")
    assert (
        refused(
            hands, "data.toml.patch", value={"a": 1}, patch=[{"op": "replace", "path": "", "value": 1}]
        ).path
        == "value"
    )


def test_files_are_read_where_texts_are(hands: Hands) -> None:
    (hands.root / "d.json").write_text('{"a": [1, {"b": 2}]}')
    (hands.root / "bad.json").write_text('{"a": 1,\n}')
    (hands.root / "latin").write_bytes(b"a\n\xff")
    assert hands.read("data.json.parse", path="d.json")["value"] == {"a": [1, {"b": 2}]}
    assert refused(hands, "data.json.parse", path="bad.json").path == "bad.json:2:1"
    for form in FORMATS:
        assert refused(hands, f"data.{form}.parse", path="../x").code == "PATH_ESCAPES"
        assert refused(hands, f"data.{form}.parse", path=".assent/x").code == "PATH_PROTECTED"
        assert refused(hands, f"data.{form}.parse", path="latin").path == "latin:2:1"
    with (hands.root / "huge").open("wb") as file:
        file.truncate(17 << 20)
    assert refused(hands, "data.csv.parse", path="huge").code == "FILE_TOO_LARGE"


def test_exactly_one_source_is_needed() -> None:
    from assent.capabilities.data._shapes import CsvPlace, Place, QueryData

    for model, given_values in (
        (Place, {}),
        (CsvPlace, {"text": "", "path": "a"}),
        (QueryData, {"query": "a"}),
    ):
        with pytest.raises(ValueError, match="needed"):
            model(**given_values)
    with pytest.raises(ValueError, match="exactly one"):
        QueryData(query="a", value=None, text="")
    assert QueryData(query="a", value=None).value is None


def test_rendering_is_as_asked(hands: Hands) -> None:
    value = {"b": [1, {"ü": None}], "a": "x"}
    assert hands.read("data.json.render", value=value)["text"] == '{"b": [1, {"ü": null}], "a": "x"}'
    text = hands.read("data.json.render", value=value, indent=1, sort_keys=True, ascii_only=True)["text"]
    assert text == json.dumps(value, indent=1, sort_keys=True) + "\n"
    assert hands.read("data.yaml.render", value=value, sort_keys=True)["text"] == "a: x\nb:\n- 1\n- ü: null\n"
    assert hands.read("data.toml.render", value={"a": {"b": 1}})["text"] == "[a]\nb = 1\n"
    deep: Any = 1
    for _ in range(129):
        deep = [deep]
    assert refused(hands, "data.yaml.render", value=deep).code == "DATA_TOO_LARGE"


def test_records_become_rows_of_their_types(hands: Hands) -> None:
    text = 'name,age,ok,"x,y"\r\nAda,36,TRUE,1.5\r\n"B ""b""",,false,\r\n\r\n'
    answer = hands.read(
        "data.csv.parse", text=text, types={"age": "integer", "ok": "boolean", "x,y": "number"}
    )
    assert answer["columns"] == ["name", "age", "ok", "x,y"]
    assert answer["rows"] == [
        {"name": "Ada", "age": 36, "ok": True, "x,y": 1.5},
        {"name": 'B "b"', "age": None, "ok": False, "x,y": None},
    ]
    answer = hands.read(
        "data.csv.parse", text="1;'a;b'\n2;c", delimiter=";", quote="'", header=False, types={"1": "integer"}
    )
    assert answer == {"columns": ["1", "2"], "rows": [[1, "a;b"], [2, "c"]]}
    assert hands.read("data.csv.parse", text="", header=False) == {"columns": [], "rows": []}


@pytest.mark.parametrize(
    ("text", "place", "more"),
    [
        ("", "text:1:1", {}),
        ("a,a\n", "text:1:1", {}),
        ("a,b\n1,2\n1\n", "text:3:1", {}),
        ('a\n"x\ny', "text:2:1", {}),
        ('a\n"x"y', "text:2:1", {}),
        ("a\nx\n", "text:2:1", {"types": {"a": "integer"}}),
        ("a\n1e999\n", "text:2:1", {"types": {"a": "number"}}),
        ("a\n9007199254740993\n", "text:2:1", {"types": {"a": "integer"}}),
        ("a\nyes\n", "text:2:1", {"types": {"a": "boolean"}}),
        ('b,a\n"x\n,",yes\n', "text:3:4", {"types": {"a": "boolean"}}),
        ("a\n1\n", "text:1:1", {"types": {"b": "integer"}}),
        ("a\n1\n", "delimiter", {"delimiter": "\n"}),
        ("a\n1\n", "quote", {"quote": ","}),
        ("a\n" + "x" * 200_000, "text:2:1", {}),
    ],
    ids=range(14),
)
def test_csv_is_read_strictly(hands: Hands, text: str, place: str, more: dict[str, Any]) -> None:
    error = refused(hands, "data.csv.parse", text=text, **more)
    assert (error.code, error.path) == ("DATA_INVALID", place)


def test_csv_has_an_end(hands: Hands) -> None:
    assert refused(hands, "data.csv.parse", text="," * 1001).code == "DATA_TOO_LARGE"
    assert refused(hands, "data.csv.parse", text="a\n" * 200_002).code == "DATA_TOO_LARGE"


FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://x")',
    "\t=1",
    "\r=1",
    '=DDE("cmd";"/C calc";"x")',
    "+cmd|' /C x'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@cmd",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20A",
    "=IMPORTXML(A1)",
    '=WEBSERVICE("http://x")',
    "-",
    "+",
    "=",
    "@",
    "-1e",
    "+-1",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_written_as_text(hands: Hands, text: str) -> None:
    """What a spreadsheet would execute gets a `'` before it, in the header as well; numbers do not."""
    written = hands.read("data.csv.render", rows=[{text: text}])["text"]
    rows = hands.read("data.csv.parse", text=written)
    assert rows["columns"] == [f"'{text}"]
    assert list(rows["rows"][0].values()) == [f"'{text}"]
    plain = hands.read("data.csv.render", rows=[{"a": text}], guard_formulas=False)["text"]
    assert hands.read("data.csv.parse", text=plain)["rows"] == [{"a": text}]
    assert hands.read("data.csv.render", rows=[[-1, "-1.5e3"]], header=False)["text"] == "-1,-1.5e3\n"


def test_rows_are_of_one_shape(hands: Hands) -> None:
    assert hands.read(
        "data.csv.render", rows=[{"a": 1}, {"a": None}, {}], columns=["a", "b"], line_break="\r\n"
    )["text"] == ("a,b\r\n1,\r\n,\r\n,\r\n")
    assert (
        hands.read("data.csv.render", rows=[[True, 1.5], [False, "x"]])["text"] == "1,2\ntrue,1.5\nfalse,x\n"
    )
    assert hands.read("data.csv.render", rows=[])["text"] == "\n"
    shapes: list[Any] = [[{"a": 1}, {"b": 1}], [[1], [1, 2]], [{"a": []}]]
    for rows in shapes:
        assert refused(hands, "data.csv.render", rows=rows).code == "DATA_INVALID"


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), min_size=1, max_size=6))
@settings(max_examples=examples(100), deadline=None)
def test_csv_is_read_back(rows: list[list[str]]) -> None:
    from assent.capabilities.data._csv import read_csv, write_csv
    from assent.capabilities.data._shapes import CsvPlace, RenderCsv

    text = write_csv(RenderCsv(rows=[[*row] for row in rows], header=False, guard_formulas=False)).text
    # The reader of the standard library takes a lone carriage return for the end of a record only outside of quotes.
    found = read_csv(text, "t", CsvPlace(text=text, header=False)).rows
    assert found == rows
