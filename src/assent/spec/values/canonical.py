"""Canonical JSON: one value, one sequence of bytes, on every machine, and the hashes and commitments made of it.

`canonical_json` is the JSON Canonicalization Scheme (RFC 8785): UTF-16 key order, ECMAScript numbers, no white space.
`parse_json` is its strict reverse (I-JSON, RFC 7493: no duplicate keys, no NaN, no lone surrogates). Ledger leaves obey a
narrower profile, which the journal checks: no floats, and keys and text of printable ASCII. Under it every JSON library that
can sort keys writes the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Final, NoReturn

import msgspec

from assent.errors import InputError, InternalError, Json
from assent.spec.ids import Commitment, Fingerprint

INTEGER_MAX: Final = 2**53 - 1
"""The largest integer that every JSON reader, those with doubles only included, tells from its neighbours (RFC 7493 §2.2)."""

DEPTH_MAX: Final = 128
"""Levels of arrays and objects; deeper data is refused, and so is data that contains itself."""

SALT_BYTES: Final = 16

_COMMITMENT_DOMAIN: Final = b"assent-payload-v1\x00"
_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode
# The standard library's own C quoting: the short escapes, `\u00xx` in lower case, everything else as it is (RFC 8785 §3.2.2.2).
_quote: Final = json.encoder.encode_basestring


def canonical_json(value: object) -> bytes:
    """The RFC 8785 bytes of a JSON value (any `Mapping` counts as an object, a tuple as an array).

    Raises `InputError` JSON_INVALID, with the path of the offending place, for what JSON cannot say exactly: NaN, infinity,
    integers beyond 2^53 - 1, lone surrogates, keys that are no text, other types, and nesting beyond `DEPTH_MAX`.
    """
    if _is_plain(value, DEPTH_MAX):
        try:
            return _encode_sorted(value)
        except UnicodeEncodeError:
            pass  # A lone surrogate: the slow way meets it again, and knows its path.
    out: list[str] = []
    _write(value, out, "", DEPTH_MAX)
    return "".join(out).encode()


def require_json(value: object) -> None:
    """Raise what `canonical_json` raises, but for text without a UTF-8 form, which is found when it is written."""
    if not _is_plain(value, DEPTH_MAX):
        canonical_json(value)


def parse_json(text: bytes | str) -> Json:
    """The value of one I-JSON document (RFC 7493): nothing is guessed, repaired or dropped.

    Raises `InputError` JSON_INVALID for what parsers disagree about: duplicate keys, NaN and infinity (also by overflow), lone
    surrogates, a byte-order mark, bytes that are no UTF-8, nesting beyond `DEPTH_MAX`, and integers beyond 2^53 - 1 (unless they
    are how a double is written: those come back as the double).
    """
    try:
        source = text if isinstance(text, str) else text.decode()
        value: Json = _STRICT_DECODER.decode(source)
    except RecursionError:
        _refuse(f"more than {DEPTH_MAX} levels of nesting", "")
    except ValueError as error:
        raise _not_strict(error) from None
    canonical_json(value)  # Surrogates and nesting have no hook of their own in the decoder.
    return value


def require_one_reading(text: bytes | str) -> None:
    """Raise `InputError` JSON_INVALID for a JSON text that programs read differently: a key twice, NaN, bytes that are no UTF-8.

    For what another reader then takes; numbers and half characters are looked at by `parse_json`, or where values are used.
    """
    try:
        _ONE_READING_DECODER.decode(text if isinstance(text, str) else text.decode())
    except RecursionError:
        _refuse(f"more than {DEPTH_MAX} levels of nesting", "")
    except ValueError as error:
        raise _not_strict(error) from None


def _not_strict(error: ValueError) -> InputError:
    return InputError("JSON_INVALID", f"not strict JSON: {str(error)[:1].lower()}{str(error)[1:]}")


def fingerprint(value: object) -> Fingerprint:
    """64 lowercase hex digits: SHA-256 of the value's canonical JSON, so independent of key order, time and machine."""
    return Fingerprint(hashlib.sha256(canonical_json(value)).hexdigest())


def commit(salt: bytes, body: bytes) -> Commitment:
    """64 lowercase hex digits that bind `body` without revealing it, even to somebody who can guess it.

    The 16-byte `salt` is stored with the body and erased with it.
    """
    if len(salt) != SALT_BYTES:
        raise InternalError(
            "LEAF_PROFILE", f"a commitment needs a salt of {SALT_BYTES} bytes, not {len(salt)}"
        )
    digest = hashlib.sha256(_COMMITMENT_DOMAIN + salt)
    digest.update(body)  # not joined with what stands before it: a copy takes as long as the hash
    return Commitment(digest.hexdigest())


def _is_plain(value: object, depth: int) -> bool:
    """Whether msgspec's sorted encoder writes this value's RFC 8785 bytes.

    It does without floats (it writes `1.0` where ECMAScript writes `1`) and when keys are ASCII (it sorts by code point, the RFC
    by UTF-16 unit). With this check it is still several times as fast as the walk below; a property test holds the two together.
    """
    if value is None or type(value) is str or type(value) is bool:
        return True
    if type(value) is int:
        return -INTEGER_MAX <= value <= INTEGER_MAX
    if depth == 0:
        return False
    depth -= 1
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii() or not _is_plain(item, depth):
                return False
        return True
    if type(value) is list or type(value) is tuple:
        return all(_is_plain(item, depth) for item in value)
    return False


def _write(value: object, out: list[str], path: str, depth: int) -> None:
    if value is None:
        out.append("null")
    elif value is True:
        out.append("true")
    elif value is False:
        out.append("false")
    elif isinstance(value, str):
        out.append(_string(value, path))
    elif isinstance(value, int):
        if not -INTEGER_MAX <= value <= INTEGER_MAX:
            _refuse("an integer beyond 2^53 has no exact JSON form", path)
        out.append(int.__repr__(value))  # A subclass, such as an IntEnum, may print its name instead.
    elif isinstance(value, float):
        out.append(_number(value, path))
    elif depth == 0:
        _refuse(f"more than {DEPTH_MAX} levels of nesting", path)
    elif isinstance(value, Mapping):
        _write_object(value, out, path, depth - 1)
    elif isinstance(value, list | tuple):
        _write_array(value, out, path, depth - 1)
    else:
        _refuse("a value of another kind than JSON's", path)


def _write_object(value: Mapping[object, object], out: list[str], path: str, depth: int) -> None:
    members: list[tuple[bytes, str, str, object]] = []
    for key, item in value.items():
        if not isinstance(key, str):
            _refuse(f"the key `{key!r}` is not text", path)
        below = _below(path, key)
        quoted = _string(key, below)
        # RFC 8785 §3.2.3 sorts by UTF-16 code units; big-endian bytes compare as the units themselves do.
        members.append((key.encode("utf-16-be"), quoted, below, item))
    members.sort(key=_sort_key)
    separator = "{"
    for _, quoted, below, item in members:
        out.append(f"{separator}{quoted}:")
        _write(item, out, below, depth)
        separator = ","
    out.append("}" if members else "{}")


def _sort_key(member: tuple[bytes, str, str, object]) -> bytes:
    return member[0]


def _write_array(value: list[object] | tuple[object, ...], out: list[str], path: str, depth: int) -> None:
    separator = "["
    for index, item in enumerate(value):
        out.append(separator)
        _write(item, out, f"{path}[{index}]", depth)
        separator = ","
    out.append("]" if value else "[]")


def _string(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse("text with half of a surrogate pair has no UTF-8 form", path)
    return _quote(value)


def _number(value: float, path: str) -> str:
    """ECMAScript's Number::toString (ECMA-262): the shortest digits that read back equal, as `repr` finds them, laid out anew."""
    if not math.isfinite(value):
        _refuse(f"`{value}` has no JSON form", path)
    if value == 0:
        return "0"  # Also for minus zero.
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # `point` is where the decimal point stands, counted from the first digit: value = 0.DIGITS x 10^point.
    point = len(digits) - len(fraction) + int(exponent or 0)
    digits = digits.rstrip("0")
    count = len(digits)
    sign = "-" if value < 0 else ""
    if count <= point <= 21:
        return f"{sign}{digits}{'0' * (point - count)}"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"


def _refuse(what: str, path: str) -> NoReturn:
    raise InputError("JSON_INVALID", what, path=path or None)


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _unique_members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        message = "the same key twice in one object"
        raise ValueError(message)
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        message = f"`{text}` is beyond the range of numbers"
        raise ValueError(message)
    return number


def _integer(text: str) -> int | float:
    """Whole numbers stay exact up to 2^53 - 1; beyond, only what is the canonical form of a double is one (`1e20` writes so)."""
    number = float(text)
    if -INTEGER_MAX <= number <= INTEGER_MAX:
        return int(text)
    if not math.isfinite(number) or _number(number, "") != text:
        message = "an integer beyond 2^53, which some readers would change"
        raise ValueError(message)
    return number


def _no_constant(text: str) -> NoReturn:
    message = f"`{text}` is not a number"
    raise ValueError(message)


_ONE_READING_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique_members, parse_constant=_no_constant)
_STRICT_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_int=_integer, parse_float=_finite, parse_constant=_no_constant
)
