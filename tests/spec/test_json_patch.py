"""RFC 6902: a patch makes one value of another, all of it or nothing, and touches neither."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError, Json
from assent.spec.values.canonical import DEPTH_MAX, canonical_json
from assent.spec.values.json_patch import OPERATIONS_MAX, _parts, apply, diff, is_equal, pointer

SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(alphabet="ab/~é", max_size=3)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)


@given(VALUES, VALUES)
def test_applying_the_difference_to_the_old_value_gives_the_new_one(before: Json, after: Json) -> None:
    patch = diff(before, after)
    assert canonical_json(apply(before, patch)) == canonical_json(after)
    assert (patch == []) == (canonical_json(before) == canonical_json(after))


@given(VALUES, VALUES)
def test_neither_function_touches_what_it_is_given(before: Json, after: Json) -> None:
    kept = copy.deepcopy((before, after))
    patch = diff(before, after)
    of_patch = copy.deepcopy(patch)
    result = apply(before, patch)
    _scribble(result)
    assert (before, after, patch) == (*kept, of_patch)


def _scribble(value: Json) -> None:
    if isinstance(value, dict):
        for item in value.values():
            _scribble(item)
        value["scribbled"] = True
    elif isinstance(value, list):
        for item in value:
            _scribble(item)
        value.append("scribbled")


@given(st.lists(TEXTS, max_size=4))
def test_a_pointer_reads_back_as_its_parts(parts: list[str]) -> None:
    assert _parts(pointer(parts)) == tuple(parts)


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [{"op": "replace", "path": "/a", "value": True}]),
        ({"a": 1}, {"b": 1}, [{"op": "remove", "path": "/a"}, {"op": "add", "path": "/b", "value": 1}]),
        ([1, 2, 3], [1, 9, 3], [{"op": "replace", "path": "/1", "value": 9}]),
        ([1, 2, 3], [1, 3], [{"op": "remove", "path": "/1"}]),
        ([1, 3], [1, 2, 3], [{"op": "add", "path": "/1", "value": 2}]),
        (
            {"a": {"b/c": [{"~": 1}]}},
            {"a": {"b/c": [{"~": 2}]}},
            [{"op": "replace", "path": "/a/b~1c/0/~0", "value": 2}],
        ),
        ({}, [], [{"op": "replace", "path": "", "value": []}]),
    ],
)
def test_the_difference_names_the_places_that_changed(before: Json, after: Json, patch: list[Any]) -> None:
    assert diff(before, after) == patch


# The examples of RFC 6902, appendix A.
@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        (
            {"foo": ["bar", "baz"]},
            [{"op": "add", "path": "/foo/1", "value": "qux"}],
            {"foo": ["bar", "qux", "baz"]},
        ),
        ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
        (
            {"baz": "qux", "foo": "bar"},
            [{"op": "replace", "path": "/baz", "value": "boo"}],
            {"baz": "boo", "foo": "bar"},
        ),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        (
            {"foo": ["all", "grass", "cows", "eat"]},
            [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
            {"foo": ["all", "cows", "eat", "grass"]},
        ),
        ({"baz": "qux"}, [{"op": "test", "path": "/baz", "value": "qux"}], {"baz": "qux"}),
        (
            {"foo": "bar"},
            [{"op": "add", "path": "/child", "value": {"g": {}}}],
            {"foo": "bar", "child": {"g": {}}},
        ),
        (
            {"foo": "bar"},
            [{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}],
            {"foo": "bar", "baz": "qux"},
        ),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
        ({"foo": 1}, [{"op": "add", "path": "", "value": [1]}], [1]),
        ({"foo": 1}, [{"op": "replace", "path": "", "value": None}], None),
        ({"foo": 1}, [{"op": "remove", "path": ""}], None),
        (
            {"a": [1]},
            [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/b/0", "value": 0}],
            {"a": [1], "b": [0, 1]},
        ),
        ({"a": 1}, [{"op": "copy", "from": "", "path": "/b"}], {"a": 1, "b": {"a": 1}}),
        ({"a": 1}, [{"op": "move", "from": "/a", "path": "/a"}], {"a": 1}),
        ({"a": 1}, [{"op": "move", "from": "/a", "path": "/ab"}], {"ab": 1}),
    ],
)
def test_every_operation_does_what_the_rfc_says(document: Json, patch: list[Any], result: Json) -> None:
    assert apply(document, patch) == result


@pytest.mark.parametrize(
    ("patch", "place"),
    [
        ({"op": "test", "path": "/baz", "value": "bar"}, "/baz"),
        ({"op": "test", "path": "/count", "value": True}, "/count"),
        ({"op": "add", "path": "/no/such", "value": 1}, "/no/such"),
        ({"op": "add", "path": "/baz/deeper", "value": 1}, "/baz/deeper"),
        ({"op": "remove", "path": "/missing"}, "/missing"),
        ({"op": "replace", "path": "/list/2", "value": 1}, "/list/2"),
        ({"op": "add", "path": "/list/3", "value": 1}, "/list/3"),
        ({"op": "add", "path": "/list/01", "value": 1}, "/list/01"),
        ({"op": "remove", "path": "/list/-"}, "/list/-"),
        ({"op": "replace", "path": "/list/9/deeper", "value": 1}, "/list/9/deeper"),
        ({"op": "copy", "from": "/missing", "path": "/there"}, "/missing"),
        ({"op": "move", "from": "/list/-1", "path": "/there"}, "/list/-1"),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(patch: Any, place: str) -> None:
    document: Json = {"baz": "qux", "count": 1, "list": [1, 2]}
    before = copy.deepcopy(document)
    with pytest.raises(InputError) as caught:
        apply(document, [{"op": "add", "path": "/first", "value": 1}, patch])
    assert caught.value.code == "PATCH_CONFLICT"
    assert (caught.value.path, caught.value.details["place"]) == ("[1]", place)
    assert document == before


@pytest.mark.parametrize(
    "operation",
    [
        "add",
        {},
        {"op": "spam", "path": ""},
        {"op": ["add"], "path": ""},
        {"op": "add", "path": "/a"},
        {"op": "add", "value": 1},
        {"op": "remove", "path": "a"},
        {"op": "remove", "path": "/~2"},
        {"op": "remove", "path": 3},
        {"op": "move", "path": "/a"},
        {"op": "copy", "from": "a", "path": "/a"},
        {"op": "move", "from": "/a", "path": "/a/b"},
        {"op": "move", "from": "", "path": "/a"},
    ],
)
def test_what_is_no_patch_is_refused_before_anything_is_applied(operation: Any) -> None:
    with pytest.raises(InputError) as caught:
        apply({"a": {}}, [{"op": "test", "path": "/b", "value": 1}, operation])
    assert (caught.value.code, caught.value.path) == ("PATCH_INVALID", "[1]")


def test_every_fault_of_a_patch_is_listed() -> None:
    with pytest.raises(InputError) as caught:
        apply({}, [{"op": "add"}, {"op": "spam"}])
    faults: Any = caught.value.details["faults"]
    assert [fault["path"] for fault in faults] == ["[0]", "[0]", "[1]"]


def test_a_patch_is_a_list_of_bounded_length() -> None:
    with pytest.raises(InputError) as caught:
        apply({}, {"op": "add"})  # type: ignore[arg-type]
    assert caught.value.code == "PATCH_INVALID"
    with pytest.raises(InputError) as caught:
        apply({}, [{"op": "test", "path": "", "value": {}}] * (OPERATIONS_MAX + 1))
    assert caught.value.code == "PATCH_INVALID"


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: Json = 1
    for _ in range(DEPTH_MAX + 1):
        deep = [deep]
    for work in (
        lambda: diff(deep, 1),
        lambda: diff(1, deep),
        lambda: apply(deep, []),
        lambda: apply(1, [{"op": "add", "path": "", "value": deep}]),
    ):
        with pytest.raises(InputError) as caught:
            work()
        assert caught.value.code == "JSON_INVALID"


def test_equal_is_what_json_calls_equal() -> None:
    assert is_equal({"a": [1, -0.0]}, {"a": [1.0, 0]})
    assert not is_equal([0], [False])
    assert not is_equal({"a": 1}, {"a": 1, "b": 2})
    assert not is_equal([1], [1, 1])
    assert not is_equal(math.pi, "pi")
