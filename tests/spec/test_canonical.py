"""Canonical JSON, strict reading, commitments and the leaf profile."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from enum import IntEnum, StrEnum
from pathlib import Path
from types import MappingProxyType

import pytest
import rfc8785
from hypothesis import assume, example, given
from hypothesis import strategies as st

from assent.errors import InputError, InternalError, Json
from assent.spec.values.canonical import (
    DEPTH_MAX,
    INTEGER_MAX,
    canonical_json,
    commit,
    fingerprint,
    parse_json,
)
from tests.support.properties import holds

# Characters on both sides of every border that matters: escapes, ASCII, the surrogate gap, beyond the basic plane.
TEXT = (
    st.text(st.sampled_from('\x00\b\n\x1f "\\/09Azé\x7f\u2028\ud7ff\ue000\ufb33\uffff\U00010000\U0001f600'))
    | st.text()
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-INTEGER_MAX, INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=30)
PLAIN_SCALARS = st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | TEXT
PLAIN = st.recursive(
    PLAIN_SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner),
    max_leaves=30,
)


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 2


@holds("canonical_form")
@given(VALUES)
@example({"\U0001f600": 1, "\ufb33": 2})
@example([1e21, 1e20, 1e-6, 1e-7, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 333333333.33333329])
def test_canonical_bytes_are_those_of_the_reference_implementation(value: Json) -> None:
    """The published package `rfc8785` is the oracle."""
    assert canonical_json(value) == rfc8785.dumps(value)


@given(PLAIN)
def test_fast_path_writes_the_same_bytes_as_the_full_walk(value: Json) -> None:
    """`MappingProxyType` at the top forces the walk; the same value as a dict takes msgspec."""
    document = {"value": value}
    assert canonical_json(document) == canonical_json(MappingProxyType(document))


@holds("canonical_form")
@given(VALUES)
def test_parsing_canonical_bytes_gives_the_value_back(value: Json) -> None:
    data = canonical_json(value)
    assert canonical_json(parse_json(data)) == data


@holds("fingerprints")
@given(
    st.dictionaries(TEXT, SCALARS).flatmap(
        lambda value: st.tuples(st.just(value), st.permutations(list(value)))
    )
)
def test_fingerprint_does_not_depend_on_key_order(case: tuple[dict[str, Json], list[str]]) -> None:
    value, keys = case
    assert fingerprint({key: value[key] for key in keys}) == fingerprint(value)


@given(st.binary(min_size=8, max_size=8))
def test_every_double_is_written_as_ecmascript_does(raw: bytes) -> None:
    (number,) = struct.unpack(">d", raw)
    assume(math.isfinite(number))
    assert canonical_json(number) == rfc8785.dumps(number)
    assert float(canonical_json(number)) == number


def test_enums_are_written_by_value() -> None:
    """A subclass of a JSON kind is written as what it equals, not as it prints itself."""
    assert (
        canonical_json({"c": Colour.RED, "l": Level.HIGH, Colour.RED: True})
        == b'{"c":"red","l":2,"red":true}'
    )


def test_tuples_and_mappings_count_as_arrays_and_objects() -> None:
    assert canonical_json(MappingProxyType({"b": (1, 2), "a": MappingProxyType({})})) == b'{"a":{},"b":[1,2]}'


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [0, math.nan]}, "a[1]"),
        ({"a": math.inf}, "a"),
        ({"a": {"b": INTEGER_MAX + 1}}, "a.b"),
        ([-INTEGER_MAX - 1], "[0]"),
        ({"a": "\ud800"}, "a"),
        ({"a": {"\udfff": 1}}, "a.\udfff"),
        ({1: "a"}, None),
        ({"a": {"b": b"bytes"}}, "a.b"),
        ({"a": {1, 2}}, "a"),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_place(value: object, path: str | None) -> None:
    with pytest.raises(InputError) as caught:
        canonical_json(value)
    assert (caught.value.code, caught.value.path) == ("JSON_INVALID", path)


@pytest.mark.parametrize("value", [CYCLE, {"a": CYCLE}])
def test_data_that_contains_itself_is_refused(value: object) -> None:
    with pytest.raises(InputError) as caught:
        canonical_json(value)
    assert caught.value.code == "JSON_INVALID"


@pytest.mark.parametrize("leaf", [1, 1.5, {}], ids=["fast path", "full walk", "empty object"])
def test_nesting_is_limited_to_depth_max(leaf: object) -> None:
    """Exactly `DEPTH_MAX` levels pass, one more does not, whichever way the value takes."""

    def nested(levels: int) -> object:
        value: object = leaf
        for _ in range(levels - (leaf == {})):
            value = [value]
        return value

    assert canonical_json(nested(DEPTH_MAX)).startswith(b"[" * (DEPTH_MAX - 1))
    with pytest.raises(InputError):
        canonical_json(nested(DEPTH_MAX + 1))


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', '{"a":NaN}', "[-Infinity]", '{"a":1e400}', '"\\ud800"', "[9007199254740993]",
        "\ufeff{}", "{'a':1}", "[1,]", "[01]", "", "1 2", "[" * 100_000, "9" * 5_000,
    ],
)  # fmt: skip
def test_text_that_parsers_disagree_about_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_json(text)
    assert caught.value.code == "JSON_INVALID"


def test_bytes_that_are_no_utf8_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        parse_json(b'"\xff"')
    assert caught.value.code == "JSON_INVALID"


def test_commitment_is_the_documented_hash() -> None:
    salt, body = bytes(range(16)), b"payload"
    assert commit(salt, body) == hashlib.sha256(b"assent-payload-v1\x00" + salt + body).hexdigest()


@holds("commitments")
@given(
    st.binary(max_size=40),
    st.binary(min_size=16, max_size=16),
    st.binary(max_size=40),
    st.binary(min_size=16, max_size=16),
)
def test_different_payloads_or_salts_have_different_commitments(
    a: bytes, salt_a: bytes, b: bytes, salt_b: bytes
) -> None:
    """The salt's length is fixed, so no byte can move between salt and body."""
    assert (commit(salt_a, a) == commit(salt_b, b)) == ((salt_a, a) == (salt_b, b))


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_salt_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(InternalError):
        commit(bytes(size), b"")


LEAF_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))
LEAVES = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | LEAF_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(LEAF_TEXT, inner),
    max_leaves=20,
)


@given(LEAVES)
def test_any_json_library_writes_a_leaf_alike(value: Json) -> None:
    """Under the profile the standard library's sorted compact form is the canonical form."""
    assert (
        canonical_json(value)
        == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )


@pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
def test_published_pairs_agree(samples: Path, name: str) -> None:
    folder = samples / "ledger" / "rfc8785"
    value = parse_json((folder / "input" / f"{name}.json").read_bytes())
    assert canonical_json(value) == (folder / "output" / f"{name}.json").read_bytes()
    assert canonical_json(value) == bytes.fromhex((folder / "outhex" / f"{name}.txt").read_text())


def test_published_numbers_agree(samples: Path) -> None:
    lines = (samples / "ledger" / "rfc8785" / "es6-numbers-1000.txt").read_text().splitlines()
    assert len(lines) == 1000
    for line in lines:
        bits, expected = line.split(",")
        (number,) = struct.unpack(">d", int(bits, 16).to_bytes(8, "big"))
        assert canonical_json(number).decode() == expected


def test_generated_objects_agree(samples: Path) -> None:
    lines = (samples / "ledger" / "generated" / "jcs" / "objects.jsonl").read_bytes().splitlines()
    assert len(lines) == 300
    for line in lines:
        case = json.loads(line)
        assert canonical_json(parse_json(case["input"])) == base64.b64decode(case["canonical_b64"])


def test_generated_refusals_agree(samples: Path) -> None:
    lines = (samples / "ledger" / "generated" / "jcs" / "reject.jsonl").read_bytes().splitlines()
    assert lines
    for line in lines:
        with pytest.raises(InputError):
            parse_json(json.loads(line)["input"])
