"""What a text must be, beside what its rule's pattern says, to be taken for a secret: a number that adds up, a text of chance."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64Error
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from hashlib import sha256
from math import log2
from typing import Final, NamedTuple

HEX_MIN: Final = 16
"""Hexadecimal digits that are a key where the name says so."""
NAME_ENTROPY_MAX: Final = 4.0
"""Bits per character that a name of words and short numbers does not reach."""
ENTROPY_BYTES_MAX: Final = 4096
"""Bytes of one text that are counted."""


class Kind(Enum):
    """What sort of file a text stands in: what is not quoted is an expression in code, in prose a sentence, else a value."""

    CODE = "code"
    PROSE = "prose"
    DATA = "data"


class Found(NamedTuple):
    """A text that a rule found."""

    value: bytes
    kind: Kind
    entropy: float
    """What the rule asks for, in bits per character."""


_PLACEHOLDER: Final = re.compile(
    rb"\$\{|\$\(|\{\{|%\(|\.\.\.|\*{3}|x{4}|example|placeholder|change.?me|your[-_ ]|redacted|removed:|dummy|insert"
    rb"|^\$[a-z][a-z_]*$|^\$[A-Z][A-Z0-9_]*$|^%[A-Za-z_]*%?$|^%s\b|^\{[^}]*\}$|^<|^\[|^(?:process\.)?env[.:(\[]|^os\."
    rb"|^(?:!(?:secret|env|vault|ref|sub)\b|secret://|vault:|arn:|https?://|file:|op://)|^(.)\1*$",
    re.IGNORECASE,
)
_WORDS: Final = re.compile(rb"[A-Za-z]+(?:[_\-./:@ ]+[A-Za-z]+)*[_\-./:@!?]*")
# Words and short numbers, as names of things are made of.
_NAME: Final = re.compile(
    rb"[_\-./:#]*(?:[A-Za-z]+[0-9]{0,4}|[0-9]{1,4})(?:[_\-./:#+ ]+(?:[A-Za-z]+[0-9]{0,4}|[0-9]{1,4}))*[_\-./:#]*"
)
_SENTENCE: Final = re.compile(rb"[A-Z]?[a-z]+(?:[._:-]+[A-Za-z]?[a-z]+)*[._:-]*|[A-Z_-]+")
_CALL: Final = re.compile(rb"[A-Za-z_][\w.:]*[(\[]")
_NO_PASSWORDS: Final = frozenset(
    "true false none null nil undefined string text hidden password passwd pass secret token required optional prompt default"
    " enabled disabled varchar bytes bool boolean object integer number unset empty never always invalid username value".split()
)
_IBAN_LENGTHS: Final[Mapping[str, int]] = {
    country: int(length)
    for length, countries in (
        entry.split(":")
        for entry in (
            "15:NO 16:BE 18:DK,FI,FO,GL,NL,SD,FK 19:MK,SI 20:AT,BA,EE,KZ,LT,LU,MN,XK 21:CH,HR,LI,LV"
            " 22:BG,BH,CR,DE,GB,GE,IE,ME,RS,VA"
            " 23:AE,GI,IL,IQ,OM,SO,TL 24:AD,CZ,ES,MD,PK,RO,SA,SE,SK,TN,VG 25:LY,PT,ST 26:IS,TR 27:BI,DJ,FR,GR,IT,MC,MR,SM"
            " 28:AL,AZ,BY,CY,DO,GT,HU,LB,NI,PL,SV 29:BR,EG,PS,QA,UA 30:JO,KW,MU 31:MT,SC 32:LC 33:RU"
        ).split()
    )
    for country in countries.split(",")
}
_BASE58: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def entropy(text: bytes) -> float:
    """Bits per character, by how often each of them stands there."""
    text = text[:ENTROPY_BYTES_MAX]
    return -sum(count / len(text) * log2(count / len(text)) for count in Counter(text).values())


def _is_random(found: Found) -> bool:
    return entropy(found.value) >= found.entropy


def _is_card(found: Found) -> bool:
    digits = [int(one) for one in found.value.decode() if one.isdigit()]
    doubled = [one if at % 2 == 0 else one * 2 - 9 * (one > 4) for at, one in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0 and len({*digits}) > 1


def _is_iban(found: Found) -> bool:
    text = found.value.decode().replace(" ", "")
    if len(text) != _IBAN_LENGTHS.get(text[:2]):
        return False
    return int("".join(str(int(one, 36)) for one in text[4:] + text[:4])) % 97 == 1


def _is_base58(found: Found) -> bool:
    """Base58Check: the last four bytes are the beginning of the hash of the hash of the others."""
    number = 0
    for one in found.value:
        number = number * 58 + _BASE58.index(one)
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return sha256(sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


def _is_private_key(found: Found) -> bool:
    begin = found.value.rstrip(b"=")[:96]
    return b"PRIVATE KEY" in b64decode(begin[: len(begin) // 4 * 4])


def _is_base64_text(found: Found) -> bool:
    """Base64 of something that can be read, or of so much that no name is as long."""
    try:
        data = b64decode(found.value, validate=True)
    except NotBase64Error:
        return False
    return len(found.value) >= 40 or (data.isascii() and data.decode().isprintable())


def _is_password(found: Found) -> bool:
    """Whatever is no placeholder and no plain word: in data also a word."""
    value = found.value
    if len(value) < 4 or _PLACEHOLDER.search(value) or _CALL.match(value):
        return False
    if b" " in value.strip():
        return len(value) >= 12 and value.count(b" ") <= 2 and any(map(_is_digit, value))
    if _WORDS.fullmatch(value) is None:
        return len({*value}) > 2
    if found.kind is Kind.DATA:
        return value.decode().lower() not in _NO_PASSWORDS and not {*b"./:"} & {*value}
    return len(value) >= 20 and value.count(b"-") >= 3


def _is_token(found: Found) -> bool:
    """A text of chance: no placeholder, no name, no sentence."""
    value = found.value
    if len(value) < 8 or b" " in value or _PLACEHOLDER.search(value) or _CALL.match(value):
        return False
    if len(value) < HEX_MIN - 4 and found.entropy >= 3:
        return False
    bits = entropy(value)
    if bits < found.entropy or (bits < NAME_ENTROPY_MAX and _NAME.fullmatch(value)):
        return False
    return any(map(_is_digit, value)) or len({*value} & {*b"+/="}) > 1 or bits >= NAME_ENTROPY_MAX


def _is_credentials(found: Found) -> bool:
    """What stands behind `Basic` or `Bearer` in a header, and is no placeholder and no sentence."""
    return _PLACEHOLDER.search(found.value) is None and _SENTENCE.fullmatch(found.value) is None


def _is_url_password(found: Found) -> bool:
    value = found.value
    return _PLACEHOLDER.search(value) is None and value.decode(
        errors="replace"
    ).lower() not in _NO_PASSWORDS | {"pw", "pwd"}


def _is_digit(one: int) -> bool:
    return 0x30 <= one <= 0x39


CHECKS: Final[Mapping[str, Callable[[Found], bool]]] = {
    "base58": _is_base58,
    "base64-private-key": _is_private_key,
    "base64-text": _is_base64_text,
    "credentials": _is_credentials,
    "entropy": _is_random,
    "iban": _is_iban,
    "luhn": _is_card,
    "password": _is_password,
    "token": _is_token,
    "url-password": _is_url_password,
}
"""What `check` of a rule can be."""
