"""Queries, merges, patches and checks of data: by their specifications, bounded, and with every fault told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assent.capabilities.data import _query, _sizes
from assent.capabilities.data._merge import deep_merge, merge_patch
from assent.errors import Json
from assent.invocation import NoEffectError
from assent.spec.language import schema_work
from assent.spec.schemas import _foreign
from tests.support.hands import Hands
from tests.support.seeds import examples


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hands]:
    made = Hands.on(tmp_path_factory.mktemp("w"))
    yield made
    made.workspace.close()


def refused(hands: Hands, capability: str, **parameters: Any) -> NoEffectError:
    with pytest.raises(NoEffectError) as caught:
        hands.read(capability, **parameters)
    return caught.value


PEOPLE = {"people": [{"name": "a", "age": 30}, {"name": "b", "age": 50}], "n": 1}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("people[?age > `40`].name", ["b"]),
        ("people[*].{n: name}", [{"n": "a"}, {"n": "b"}]),
        ("length(people)", 2),
        ("missing.thing", None),
        ("sort_by(people, &age)[-1].name | @", "b"),
        ("join('-', people[].name)", "a-b"),
        ("max(people[].age)", 50),
        ("keys(@)", ["people", "n"]),
        ("to_string(people[0])", '{"name":"a","age":30}'),
    ],
)
def test_queries_find_what_they_name(hands: Hands, query: str, wanted: object) -> None:
    assert hands.read("data.json.query", value=PEOPLE, query=query)["result"] == wanted


def test_every_format_can_be_queried(hands: Hands) -> None:
    assert hands.read("data.yaml.query", text="a: [1, 2]", query="a[1]")["result"] == 2
    assert hands.read("data.toml.query", text="a = [1, 2]", query="a[1]")["result"] == 2
    assert hands.read("data.csv.query", text="a,b\n1,2\n3,4", query="[?a == '3'].b")["result"] == ["4"]


@pytest.mark.parametrize(
    "query",
    [
        "a[",
        "a.",
        "foo(",
        "'x",
        "a[?",
        "{a: }",
        "&",
        "[::0",
        "a b",
        "(" * 3000 + "a",
        "." * 10,
        "`NaN` ~",
        "a" + "[" * 500,
    ],
)
def test_a_query_that_is_none_is_refused_with_its_place(hands: Hands, query: str) -> None:
    error = refused(hands, "data.json.query", value={}, query=query)
    assert error.code == "QUERY_INVALID"
    assert str(error.path).startswith("query:1:")


@pytest.mark.parametrize(
    "query",
    [
        "abs('x')",
        "nothing(@)",
        "length(`1`)",
        'sum(`[1, "a"]`)',
        "`NaN`",
        "`1e999`",
        "to_number('1e999')",
        "`9007199254740993`",
        "join('', `[1]`)",
        "[1,2,3][::0]",
        "sort_by(people, &name.x.y)",
        'avg(`["x"]`)',
        "sum([`1e308`, `1e308`])",
    ],
)
def test_a_query_that_does_not_fit_the_data_fails(hands: Hands, query: str) -> None:
    assert refused(hands, "data.json.query", value=PEOPLE, query=query).code in (
        "QUERY_FAILED",
        "QUERY_INVALID",
    )


@pytest.mark.parametrize(
    "query",
    [
        " | ".join(["[@, @]"] * 50),
        " | ".join(["{a: @, b: @}"] * 50),
        " | ".join(["[@, @]"] * 50) + " | to_string(@)",
        " | ".join(["[to_string(@), to_string(@)]"] * 50),
        " | ".join(["[@, @]"] * 18) + " | @ == @",
        "a" + ".a" * 500,
        "@" + "[*]" * 200,
        " || ".join(["a"] * 500),
        "[" * 100 + "@" + "]" * 100,
        " | ".join(["join('', [@, @])"] * 50),
    ],
    ids=range(10),
)
def test_a_query_that_would_not_end_is_ended(
    hands: Hands, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The limits themselves stop them too, later.
    monkeypatch.setattr(_query, "STEPS_MAX", 100_000)
    monkeypatch.setattr(_sizes, "NODES_MAX", 20_000)
    monkeypatch.setattr(_sizes, "CHARACTERS_MAX", 100_000)
    value = "xxxxxxxx" if query.startswith("join") else {"a": 1}
    with suppress(NoEffectError):
        hands.read("data.json.query", value=value, query=query)


def test_a_query_that_nobody_waits_for_ends(hands: Hands) -> None:
    step = hands.step("data.json.query", value={}, query="a")
    step.context.cancel.cancel()
    with pytest.raises(NoEffectError) as caught:
        step.execute()
    assert caught.value.code == "CALL_CANCELLED"


RFC_7386: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "wanted"), RFC_7386)
def test_the_cases_of_rfc_7386_hold(hands: Hands, target: Any, patch: Any, wanted: Any) -> None:
    answer = hands.read("data.json.merge", value=target, overlays=[{"value": patch}])
    assert answer["value"] == wanted


@pytest.mark.parametrize(
    ("lists", "wanted"),
    [
        ("replace", [2, {"y": 2}, "c"]),
        ("append", [1, {"x": 1}, "c", 2, {"y": 2}, "c"]),
        ("unique", [1, {"x": 1}, "c", 2, {"y": 2}]),
        ("by_index", [2, {"x": 1, "y": 2}, "c"]),
    ],
)
def test_lists_are_merged_by_their_rule(hands: Hands, lists: str, wanted: Any) -> None:
    answer = hands.read(
        "data.json.merge",
        value={"l": [1, {"x": 1}, "c"], "n": 1},
        overlays=[{"value": {"l": [2, {"y": 2}, "c"]}}, {"value": {"n": None}}],
        strategy="deep",
        lists=lists,
    )
    assert answer["value"] == {"l": wanted, "n": None}


def test_overlays_come_from_text_and_files_and_the_answer_is_text_too(hands: Hands) -> None:
    (hands.root / "over.yaml").write_text("b: 2\n")
    answer = hands.read(
        "data.yaml.merge", text="a: 1\nb: 1\n", overlays=[{"path": "over.yaml"}, {"text": "c: 3"}]
    )
    assert answer == {"value": {"a": 1, "b": 2, "c": 3}, "text": "a: 1\nb: 2\nc: 3\n"}
    answer = hands.read("data.toml.merge", text="a = 1", overlays=[{"value": {"a": None, "b": {"c": 1}}}])
    assert answer["text"] == "[b]\nc = 1\n"


JSON = st.recursive(
    st.none() | st.integers(-3, 3) | st.sampled_from(["a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def test_what_stands_in_both_lists_is_kept_once() -> None:
    """Equal is what JSON takes for equal, and a long list takes no longer for each of its entries."""
    base: list[Any] = [1, True, None, {"a": [1, {}]}, [[]], "1"]
    same: list[Any] = [1.0, True, None, {"a": [1.0, {}]}, [[]], "1"]
    other: list[Any] = [False, 0, {"a": [True, {}]}, [{}], [], {}, "true", {"a": None}]
    assert deep_merge(base, [*same, *other, *other], "unique") == [*base, *other]
    many: list[Any] = list(range(100_000))
    assert deep_merge(many, [*many, -1], "unique") == [*many, -1]


@given(JSON, JSON)
@settings(max_examples=examples(150), deadline=None)
def test_merging_twice_is_merging_once(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    for lists in ("replace", "unique", "by_index"):
        merged = deep_merge(target, patch, lists)
        assert deep_merge(merged, patch, lists) == merged


def test_a_patch_changes_every_format(hands: Hands) -> None:
    patch = [
        {"op": "add", "path": "/b", "value": [1]},
        {"op": "test", "path": "/a", "value": 1},
        {"op": "remove", "path": "/a"},
    ]
    assert hands.read("data.json.patch", text='{"a": 1}', patch=patch) == {
        "value": {"b": [1]},
        "text": '{"b": [1]}',
    }
    assert hands.read("data.yaml.patch", text="a: 1\n", patch=patch)["text"] == "b:\n- 1\n"
    assert hands.read("data.toml.patch", text="a = 1", patch=patch)["text"] == "b = [\n    1,\n]\n"
    assert (
        refused(hands, "data.json.patch", value={}, patch=[{"op": "remove", "path": "/x"}]).code
        == "PATCH_CONFLICT"
    )
    assert refused(hands, "data.json.patch", value={}, patch=[{"op": "fly"}]).code == "PATCH_INVALID"


def test_a_patch_that_would_not_end_is_ended(hands: Hands) -> None:
    """Copying the whole into itself doubles it; moving it below something new deepens it."""
    doubling = [{"op": "copy", "from": "", "path": f"/k{n}"} for n in range(60)]
    assert refused(hands, "data.json.patch", value={"a": [1] * 10}, patch=doubling).code == "PATCH_INVALID"
    deepening: list[dict[str, Any]] = []
    for _ in range(3000):
        deepening += [
            {"op": "add", "path": "/n", "value": {}},
            {"op": "move", "from": "/r", "path": "/n/c"},
            {"op": "move", "from": "/n", "path": "/r"},
        ]
    deepening.append({"op": "test", "path": "/r", "value": 1})
    deepening.append({"op": "copy", "from": "/r", "path": "/s"})
    assert refused(hands, "data.json.patch", value={"r": 1}, patch=deepening).code in (
        "DATA_TOO_LARGE",
        "PATCH_CONFLICT",
    )
    assert refused(hands, "data.json.patch", value={"r": 1}, patch=deepening[:-2]).code == "DATA_TOO_LARGE"


SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}, "l": {"items": {"type": "string"}}},
    "required": ["n", "m"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("form", "text", "places"),
    [
        ("json", '{"n": 0,\n "l": ["a", 1],\n "x": 1}', ["text:1:7", "text:2:13", "text:3:7", "text:1:1"]),
        ("yaml", "n: 0\nl: [a, 1]\nx: 1\n", ["text:1:4", "text:2:8", "text:3:4", "text:1:1"]),
        ("toml", 'n = 0\nl = ["a", 1]\nx = 1\n', ["text:1:1", "text:2:1", "text:3:1", "text:1:1"]),
    ],
)
def test_every_fault_is_told_with_its_place(hands: Hands, form: str, text: str, places: list[str]) -> None:
    answer = hands.read(f"data.{form}.validate", text=text, json_schema=SCHEMA)
    assert not answer["valid"]
    found = {".".join(map(str, fault["path"])): fault["place"] for fault in answer["faults"]}
    assert found == dict(zip(("n", "l.1", "x", "m"), places, strict=True))


@pytest.mark.parametrize(
    ("text", "more", "path", "place"),
    [
        ("name,born\nAda,1815\n\nBob,\n", {}, [1, "born"], "text:4:5"),
        ("\ufeffname,born\nBob,\n", {}, [0, "born"], "text:2:5"),
        ('name,born\r\n"B\r\n""o"",b",\r\n', {}, [0, "born"], "text:3:10"),
        ("name;born\rAda;1815\r'B;b';''", {"delimiter": ";", "quote": "'"}, [1, "born"], "text:3:7"),
        ("Ada,1815\nBob,\n", {"header": False}, [1, 1], "text:2:5"),
        ("name\nAda\n", {}, [0, "born"], "text:2:1"),
    ],
)
def test_a_fault_in_csv_is_told_with_its_line_and_the_column_of_its_field(
    hands: Hands, text: str, more: dict[str, Any], path: list[str | int], place: str
) -> None:
    filled = {"minLength": 1}
    row = {"properties": {"born": filled}, "required": ["born"], "prefixItems": [filled, filled]}
    answer = hands.read("data.csv.validate", text=text, json_schema={"items": row}, **more)
    assert [(fault["path"], fault["place"]) for fault in answer["faults"]] == [(path, place)]


def test_what_fits_is_valid_and_what_is_no_schema_is_refused(hands: Hands) -> None:
    good = {"n": 1, "m": 1}
    assert hands.read("data.json.validate", value={"n": 1}, json_schema={}) == {"valid": True, "faults": []}
    schema = {**SCHEMA, "additionalProperties": True}
    assert hands.read("data.yaml.validate", value=good, json_schema=schema)["valid"]
    assert hands.read("data.csv.validate", text="a\n1\n", json_schema={"items": {"required": ["a"]}})["valid"]
    (fault,) = hands.read("data.csv.validate", text="a\n1\n", json_schema={"maxItems": 0})["faults"]
    assert fault["place"] == "text:1:1"
    (fault,) = hands.read("data.json.validate", value=[1], json_schema={"maxItems": 0})["faults"]
    assert fault["place"] is None
    for wrong in (
        {"type": "fish"},
        {"$ref": "http://127.0.0.1/x"},
        {"$ref": "file:///etc/passwd"},
        {"pattern": "(?=a)"},
        {"$ref": "#/nowhere"},
    ):
        assert refused(hands, "data.json.validate", value="a", json_schema=wrong).code == "SCHEMA_INVALID"


def chained(width: int, depth: int) -> dict[str, Any]:
    parts: dict[str, Any] = {
        f"n{n}": {"anyOf": [{"$ref": f"#/$defs/n{n + 1}"}] * width} for n in range(depth)
    }
    return {"$ref": "#/$defs/n0", "$defs": {**parts, f"n{depth}": {"type": "string"}}}


TWICE = {"properties": {"c": {"$ref": "#/$defs/n"}}}
DEAR: list[dict[str, Any]] = [
    {"$ref": "#/$defs/n", "$defs": {"n": {"allOf": [TWICE, TWICE]}}},
    {
        "$ref": "#/$defs/n",
        "$defs": {
            "n": {"allOf": [{"additionalProperties": {"$ref": "#"}}, {"properties": {"c": {"$ref": "#"}}}]}
        },
    },
    {
        "allOf": [
            {"properties": {"c": {"$ref": "#foo"}}},
            {"properties": {"c": {"$ref": "#"}}},
            {"$anchor": "foo"},
        ]
    },
    {
        "allOf": [{"properties": {"c": {"$dynamicRef": "#x"}}}, {"properties": {"c": {"$dynamicRef": "#x"}}}],
        "$dynamicAnchor": "x",
    },
    chained(3, 40),
    {"if": chained(2, 60), "$defs": chained(2, 60)["$defs"]},
]


@pytest.mark.parametrize("schema", DEAR, ids=range(len(DEAR)))
def test_a_schema_that_would_take_for_ever_is_refused(hands: Hands, schema: dict[str, Any]) -> None:
    value: Any = 1
    for _ in range(60):
        value = {"c": value}
    error = refused(hands, "data.json.validate", value=value, json_schema=schema)
    assert error.code == "SCHEMA_INVALID"
    assert "too long" in error.message


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"properties": {"c": {"$ref": "#"}}},
        {"not": {"$ref": "#/not"}},
    ],
)
def test_circles_are_no_harm(hands: Hands, schema: dict[str, Any]) -> None:
    value: Any = 1
    for _ in range(60):
        value = {"c": value}
    hands.read("data.json.validate", value=value, json_schema=schema)


def test_faults_beyond_what_can_be_made_are_told_by_their_first(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand names that a thousand objects lack would be a million faults, and a hundred of them are told."""
    schema = {"items": {"required": [str(number) for number in range(20)]}}
    whole = hands.read("data.json.validate", value=[{}] * 20, json_schema=schema)
    monkeypatch.setattr(_foreign, "FAULTS_MADE_MAX", 400)
    first = hands.read("data.json.validate", value=[{}] * 20, json_schema=schema)
    assert (whole["valid"], len(whole["faults"])) == (False, 100)
    assert (first["valid"], first["faults"]) == (False, whole["faults"][:1])
    assert hands.read("data.json.validate", value=[1] * 1000, json_schema=schema) == {
        "valid": True,
        "faults": [],
    }


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ([{}] * 300, {"items": {"required": ["x" * number for number in range(300)]}}),
        (
            [{"a": 1}] * 300,
            {"items": {"dependentRequired": {"a": ["x" * number for number in range(300)]}}},
        ),
        ("x" * 100_000, {"allOf": [{"pattern": "b|c$"}] * 20}),
        ({"x" * 100_000: 1}, {"patternProperties": {f"{number}$": {} for number in range(20)}}),
        ({"x" * 100_000: 1}, {"propertyNames": {"allOf": [{"pattern": "b|c$"}] * 20}}),
    ],
    ids=["required", "dependentRequired", "pattern", "patternProperties", "propertyNames"],
)
def test_names_and_patterns_are_work_that_is_counted(
    hands: Hands, value: object, schema: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checking can't be stopped, so what costs much in few lines is refused before it begins."""
    monkeypatch.setattr(schema_work, "VISITS_MAX", 50_000)
    assert refused(hands, "data.json.validate", value=value, json_schema=schema).code == "SCHEMA_INVALID"


TABLE = "id;name;note\r\n1;Ada;=1+1\r\n007;'Bob';-x\r\n"
TABLE_AT = {"text": TABLE, "delimiter": ";"}


@pytest.mark.parametrize(
    ("overlays", "text"),
    [
        (["id;name\n1;Eve"], "id;name;note\r\n1;Eve;=1+1\r\n007;'Bob';-x\r\n"),
        (["id;name\n2;Kim"], TABLE + "2;Kim;\r\n"),
        (["note;id\n+y;1", "id;age\n007;8"], "id;name;note;age\r\n1;Ada;'+y;\r\n007;'Bob';-x;8\r\n"),
        (["id\n007"], TABLE),
    ],
)
def test_rows_are_merged_by_their_keys_and_nothing_else_of_the_text_changes(
    hands: Hands, overlays: list[str], text: str
) -> None:
    """Separators, line breaks, zeros in front and what looks like a formula stay; only what is new is guarded."""
    over = [{"text": one, "delimiter": ";"} for one in overlays]
    answer = hands.read("data.csv.merge", **TABLE_AT, on=["id"], overlays=over)
    assert answer["text"] == text
    read = hands.read("data.csv.parse", text=text, delimiter=";")
    assert read["columns"] == answer["columns"]
    if "'+y" not in text:
        assert read["rows"] == answer["rows"]


@pytest.mark.parametrize(
    ("patch", "more", "text"),
    [
        ([{"op": "replace", "path": "/0/name", "value": "Eve"}], {}, TABLE.replace("Ada", "Eve")),
        ([{"op": "remove", "path": "/1"}], {}, "id;name;note\r\n1;Ada;=1+1\r\n"),
        (
            [{"op": "add", "path": "/0/age", "value": 36}],
            {},
            TABLE.replace("note\r", "note;age\r").replace("1\r", "1;36\r").replace("x\r", "x;\r"),
        ),
        ([{"op": "add", "path": "/0", "value": ["a", "=b", None]}], {"header": False}, "a;'=b;\r\n" + TABLE),
        ([], {}, TABLE),
    ],
)
def test_rows_are_patched_and_the_rest_of_the_text_stays(
    hands: Hands, patch: list[dict[str, Json]], more: dict[str, Json], text: str
) -> None:
    assert hands.read("data.csv.patch", **TABLE_AT, patch=patch, **more)["text"] == text


@pytest.mark.parametrize(
    ("verb", "inputs", "code"),
    [
        ("merge", {"on": ["no"], "overlays": [TABLE_AT]}, "DATA_INVALID"),
        ("merge", {"on": ["id"], "overlays": [{"text": "name\nAda"}]}, "DATA_INVALID"),
        ("merge", {"text": "id\n1\n1", "on": ["id"], "overlays": [{"text": "id\n1"}]}, "DATA_INVALID"),
        ("patch", {"patch": [{"op": "replace", "path": "", "value": {}}]}, "DATA_INVALID"),
        ("patch", {"patch": [{"op": "add", "path": "/0", "value": 1}]}, "DATA_INVALID"),
        ("patch", {"patch": [{"op": "add", "path": "/0/name", "value": [1]}]}, "DATA_INVALID"),
        ("patch", {"header": False, "patch": [{"op": "add", "path": "/0/0", "value": 1}]}, "DATA_INVALID"),
    ],
)
def test_what_leaves_no_table_is_refused(hands: Hands, verb: str, inputs: dict[str, Any], code: str) -> None:
    """No guess which of two rows is meant, and no cell of several values."""
    assert refused(hands, f"data.csv.{verb}", **{**TABLE_AT, **inputs}).code == code
