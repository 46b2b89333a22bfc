"""Canonical JSON: the bytes of RFC 8785, whatever way they were reached, and nothing for what JSON cannot say."""

from __future__ import annotations

import json
import math
import string
import struct
from base64 import b64decode
from enum import IntEnum, StrEnum
from pathlib import Path
from types import MappingProxyType

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import AssentError, InputError, InternalError
from assent.spec.canonical import (
    DEPTH_MAX,
    INTEGER_MAX,
    _is_plain,
    _write,
    canonical_json,
    commit,
    fingerprint,
    parse_json,
    require_leaf_profile,
)

_text = st.text(st.characters(codec="utf-8"), max_size=12)
_awkward_text = _text | st.sampled_from(
    ["\u007f", "\u2028", "\u20ac", "\U0001f600", "\ufb33", '"\\/\b\f\n\r\t\x00\x1f', ""]
)
_numbers = st.integers(-INTEGER_MAX, INTEGER_MAX) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | _numbers | _awkward_text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_awkward_text, inner, max_size=5),
    max_leaves=20,
)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | _awkward_text,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(string.printable, max_size=8), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(json_values)
def test_canonical_json_equals_an_independent_implementation(value: object) -> None:
    """The `rfc8785` package is the oracle for any JSON value."""
    oracle = rfc8785.dumps(value)  # type: ignore[arg-type]  # its alias of JSON is recursive; ours here is `object`
    assert canonical_json(value) == oracle


@given(plain_values)
def test_the_fast_path_writes_what_the_full_walk_writes(value: object) -> None:
    """msgspec's sorted encoding is canonical on all data that the fast path lets through."""
    assert _is_plain(value, DEPTH_MAX)
    parts: list[str] = []
    _write(value, parts, "", DEPTH_MAX)
    assert canonical_json(value) == "".join(parts).encode()


@given(json_values)
def test_canonical_form_round_trips(value: object) -> None:
    """Reading canonical JSON and writing it again changes no byte."""
    data = canonical_json(value)
    assert canonical_json(parse_json(data)) == data


@given(st.dictionaries(_awkward_text, json_values, min_size=2, max_size=6), st.randoms())
def test_key_order_of_the_source_does_not_show(value: dict[str, object], random: object) -> None:
    """A fingerprint depends on the members, not on the order they were written in."""
    assert fingerprint(dict(reversed(value.items()))) == fingerprint(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back_as_the_same_double(value: float) -> None:
    """ECMAScript's shortest digits lose nothing."""
    assert float(canonical_json(value)) == value


def test_keys_are_sorted_by_utf16_units() -> None:
    """RFC 8785 §3.2.3: an astral character (a surrogate pair) stands before U+FB33 although its code point is larger."""
    assert canonical_json({"\ufb33": 1, "\U0001f600": 2, "\u20ac": 3}) == '{"€":3,"😀":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.0, "0"),
        (1.0, "1"),
        (1e16, "10000000000000000"),
        (1e21, "1e+21"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-1.5e300, "-1.5e+300"),
        (5e-324, "5e-324"),
        (333333333.3333333, "333333333.3333333"),
    ],
)
def test_numbers_are_laid_out_as_ecmascript_does(value: float, text: str) -> None:
    assert canonical_json([value]) == f"[{text}]".encode()


class _Colour(StrEnum):
    RED = "red"


class _Rank(IntEnum):
    LOW = 1


def test_frozen_mappings_tuples_and_enums_count_as_the_json_they_stand_for() -> None:
    value = MappingProxyType({"colour": _Colour.RED, "ranks": (_Rank.LOW, 2)})
    assert canonical_json(value) == b'{"colour":"red","ranks":[1,2]}'


def _deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, math.nan]}, "a[1]"),
        ({"a": {"b": math.inf}}, "a.b"),
        ([2**53], "[0]"),
        ([-(2**53)], "[0]"),
        ({"a": "\ud800"}, "a"),
        ({"\udfff": 1}, "\udfff"),
        ({1: 2}, None),
        ({"a": {1, 2}}, "a"),
        ({"a": b"bytes"}, "a"),
    ],
)
def test_what_json_cannot_say_exactly_is_refused_with_its_place(value: object, path: str | None) -> None:
    with pytest.raises(InputError) as caught:
        canonical_json(value)
    assert (caught.value.code, caught.value.path) == ("JSON_INVALID", path)


def test_nesting_is_limited_and_a_value_that_holds_itself_is_refused() -> None:
    assert canonical_json(_deep(DEPTH_MAX)) == b"[" * DEPTH_MAX + b"1" + b"]" * DEPTH_MAX
    loop: list[object] = []
    loop.append(loop)
    for value in (_deep(DEPTH_MAX + 1), loop):
        with pytest.raises(InputError) as caught:
            canonical_json(value)
        assert caught.value.code == "JSON_INVALID"


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b"\xff", b'{"a":1}x', b"", b"[9007199254740993]", b"1" * 5000]
)
def test_hostile_text_ends_in_an_error_with_a_code(text: bytes) -> None:
    with pytest.raises(InputError) as caught:
        parse_json(text)
    assert caught.value.code == "JSON_INVALID"


# -- commitments --------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=40), st.binary(max_size=40))
def test_a_commitment_binds_salt_and_body(salt: bytes, body: bytes, other: bytes) -> None:
    """Another body or another salt gives another commitment."""
    commitment = commit(salt, body)
    assert len(commitment) == 64
    assert (commit(salt, other) == commitment) == (other == body)
    assert commit(bytes([salt[0] ^ 1]) + salt[1:], body) != commitment


def test_a_commitment_without_a_full_salt_is_refused() -> None:
    """A short salt would let salt and body be split in two ways, and could be guessed."""
    with pytest.raises(InternalError):
        commit(b"short", b"body")


# -- the leaf profile ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{"a": [1, "x", None, True, {"b": INTEGER_MAX}]}, {}, "text ~", 0])
def test_ids_codes_and_integers_may_stand_in_a_leaf(value: object) -> None:
    require_leaf_profile(value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [0, 1.0]}, "a[1]"),
        ({"a": "é"}, "a"),
        ({"a": "two\nlines"}, "a"),
        ({"é": 1}, None),
        ({"a": {"b": 2**53 + 1}}, "a.b"),
        ({"a": b""}, "a"),
        (_deep(DEPTH_MAX + 1), "[0]" * DEPTH_MAX),
    ],
)
def test_everything_else_may_not_stand_in_a_leaf(value: object, path: str | None) -> None:
    with pytest.raises(AssentError) as caught:
        require_leaf_profile(value)
    assert (caught.value.code, caught.value.path) == ("LEAF_PROFILE", path)


@given(json_values)
def test_leaf_data_is_written_alike_by_the_standard_library(value: object) -> None:
    """The reason for the profile: on it, any JSON library with sorted keys writes the canonical bytes."""
    try:
        require_leaf_profile(value)
    except AssentError:
        return
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    assert canonical_json(value) == plain.encode()


# -- published vectors --------------------------------------------------------------------------------------------------


def test_rfc8785_pairs(samples: Path) -> None:
    """The published input and output files, byte for byte."""
    folder = samples / "ledger" / "rfc8785"
    names = sorted(path.name for path in (folder / "input").iterdir())
    assert len(names) == 6
    for name in names:
        data = canonical_json(json.loads((folder / "input" / name).read_bytes()))
        assert data == (folder / "output" / name).read_bytes(), name
        hexadecimal = (folder / "outhex" / name).with_suffix(".txt").read_text()
        assert data == bytes.fromhex(hexadecimal), name


def test_published_es6_numbers(samples: Path) -> None:
    """The first 1000 numbers of the published list."""
    lines = (samples / "ledger" / "rfc8785" / "es6-numbers-1000.txt").read_text().split()
    assert len(lines) == 1000
    for line in lines:
        bits, _, text = line.partition(",")
        (value,) = struct.unpack(">d", bytes.fromhex(bits.zfill(16)))
        assert canonical_json(value) == text.encode(), line


def test_random_objects_on_which_two_implementations_agree(samples: Path) -> None:
    lines = (samples / "ledger" / "generated" / "jcs" / "objects.jsonl").read_bytes().splitlines()
    assert len(lines) == 300
    for line in lines:
        case = json.loads(line)
        assert canonical_json(parse_json(case["input"])) == b64decode(case["canonical_b64"])


def test_texts_that_parsers_disagree_about_are_refused(samples: Path) -> None:
    lines = (samples / "ledger" / "generated" / "jcs" / "reject.jsonl").read_bytes().splitlines()
    assert len(lines) == 9
    for line in lines:
        case = json.loads(line)
        with pytest.raises(InputError):
            parse_json(case["input"].encode("utf-8", "surrogatepass"))
