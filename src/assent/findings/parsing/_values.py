"""What tools write, in the form that a finding has it: texts, moments, severities, names of weaknesses. Nothing here fails.

None: nothing was said, or nothing that has such a form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from assent.findings.finding import LISTED_MAX, NAME_CHARACTERS_MAX, TEXT_CHARACTERS_MAX
from assent.findings.identity import normal_file, place_of

Form: TypeAlias = Callable[[Any], Any]  # `Any`: JSON in, a property of a finding out

SEVERITIES: Final[Mapping[str, str]] = {
    "none": "info", "info": "info", "information": "info", "informational": "info", "note": "info", "log": "info",
    "style": "info", "ok": "info", "debug": "info",
    "low": "low", "minor": "low", "negligible": "low", "optional": "low",
    "medium": "medium", "moderate": "medium", "warning": "medium", "warn": "medium", "average": "medium",
    "high": "high", "error": "high", "important": "high", "major": "high", "serious": "high",
    "critical": "critical", "crit": "critical", "fatal": "critical", "blocker": "critical",
}  # fmt: skip
"""Words that mean the same in most tools. A manifest says what others mean, or what one of these means in its tool."""

_NUMBERED: Final = re.compile(r"\s*([0-9]{1,9})(?:: ?|[ \t]|$)(.*)")
_SCORES: Final = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low"), (0.0, "info"))

_CONFIDENCES: Final[Mapping[str, int]] = {
    "certain": 100, "confirmed": 100, "very high": 95, "high": 90, "strong": 90, "firm": 70, "medium": 60, "moderate": 60,
    "low": 30, "weak": 30, "tentative": 30, "very low": 10, "false positive": 0,
}  # fmt: skip
_CWE: Final = re.compile(r"(?:CWE[-_: ]*)([0-9]{1,7})\b", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\s*0*([1-9][0-9]{0,6})\s*")
_CVE: Final = re.compile(r"\bCVE-([0-9]{4})-([0-9]{4,19})\b", re.IGNORECASE)
_OWASP: Final = re.compile(r"\bA(0?[1-9]|10)\s*[:_-]\s*(20[0-9]{2})\b", re.IGNORECASE)
_TECHNIQUE: Final = re.compile(r"\bT([0-9]{4})(\.[0-9]{3})?\b")
_LINK: Final = re.compile(r"""https?://[^\s/?#@<>"'`]++(?!@)(?:[/?#][^\s<>"'`]*)?""")
_REQUEST: Final = re.compile(
    r"[A-Z]+ [^\r\n]* HTTP/[0-9.]+\r?\n(?:[^\r\n]+\r?\n)*?host:[ \t]*([^\s]+)", re.IGNORECASE
)
_NOT_IN_ID: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_MOMENT: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(:\d{2})(\.\d{3})?\d*(?:Z|([+-]\d{2}:\d{2}))", re.ASCII
)
_VECTOR: Final = re.compile(r"CVSS:(3\.0|3\.1|4\.0)/")
_LATEST_S: Final = 253_402_300_799
_MILLISECONDS_FROM: Final = 100_000_000_000
_ID_CHARACTERS_MAX: Final = 256
_REMEMBERED_CHARACTERS_MAX: Final = 256


_Find: TypeAlias = Callable[[str], tuple[str, ...]]


def _remembered(find: _Find) -> _Find:
    """What was found in a short text is kept: the records of one detector mostly say the same of it."""
    short = lru_cache(maxsize=1024)(find)
    return lambda said: short(said) if len(said) <= _REMEMBERED_CHARACTERS_MAX else find(said)


def text(value: Any) -> str | None:
    """A text, also of what is a number or a list."""
    if type(value) is not str:
        match value:
            case None:
                return None
            case bool() | int() | float():
                value = msgspec.json.encode(value).decode()
            case {"#": str(said)}:  # an element of XML that has attributes, too
                value = said
            case list():
                value = ", ".join(one for one in map(text, value[:LISTED_MAX]) if one)
            case _:
                value = msgspec.json.encode(value).decode()
    return value[:TEXT_CHARACTERS_MAX] or None


def name(value: Any) -> str | None:
    """A short text in one piece, without white space around it."""
    found = value if type(value) is str else text(value)
    if found is None:
        return None
    found = found.strip()
    return found[:NAME_CHARACTERS_MAX].rstrip() if len(found) > NAME_CHARACTERS_MAX else found or None


def line_of(numbered: str, line: int | None) -> str:
    """A line of a text whose lines begin with their numbers, or all of them; without the numbers."""
    found = [(_NUMBERED.fullmatch(one), one) for one in numbered.splitlines()]
    alone = [there[2] for there, _ in found if there is not None and int(there[1]) == line]
    return alone[0] if alone else "\n".join(there[2] if there is not None else one for there, one in found)


def texts(value: Any) -> tuple[str, ...] | None:
    """Texts, one or many."""
    many = value if isinstance(value, list) else [value]
    return tuple(one for one in map(text, many[:LISTED_MAX]) if one) or None


def count(value: Any) -> int | None:
    """A whole number from 0, also from its text."""
    if type(value) is int:
        return value if 0 <= value < 1 << 53 else None
    if isinstance(value, float):
        return int(value) if 0 <= value < 1 << 53 else None
    return int(value) if isinstance(value, str) and value.strip().isdecimal() and len(value) < 16 else None


def line(value: Any) -> int | None:
    """The number of a line, also the first of `12-14`."""
    return count(value.partition("-")[0] if isinstance(value, str) else value)


def file(value: Any) -> str | None:
    """A file's path in its normal form."""
    found = name(value)
    return normal_file(found) or None if found is not None else None


def port(value: Any) -> int | None:
    """A port, also of `443/tcp`."""
    found = count(value.partition("/")[0] if isinstance(value, str) else value)
    return found if found is not None and found < 1 << 16 else None


def protocol(value: Any) -> str | None:
    """What a port speaks, also of `443/tcp`."""
    found = name(value)
    return found.rpartition("/")[2] or None if found is not None else None


def host(value: Any) -> str | None:
    """A host, also of `name/address`; what is an address with its scheme stays one."""
    found = name(value)
    if found is None or "://" in found:
        return found
    first, _, second = found.partition("/")
    return first or second or None


def origin(value: Any) -> str | None:
    """Scheme, host and port: of an address, of a command that has one, of a request with its `Host`, of a host alone."""
    found = text(value)
    if found is None:
        return None
    request = _REQUEST.match(found)
    if request is not None:
        return f"//{place_of(request[1]).origin}"
    address = _LINK.search(found)
    if address is not None:
        return place_of(address[0]).origin
    return None if found.split() != [found] else f"//{place_of(found).origin}"


def score(value: Any) -> float | None:
    """A score from 0 to 10, also from its text."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if 0 <= found <= 10 else None


def severity_of(found: float) -> str:
    """The word for a score, as CVSS 3 and 4 have it."""
    return next(word for least, word in _SCORES if found >= least)


def moment(value: Any) -> str | None:
    """RFC 3339 in UTC: of a date and time with its offset, or of seconds or milliseconds since 1970."""
    if type(value) is str:
        found = _MOMENT.fullmatch(value)
        if found is not None:
            day, minute, second, thousandth, offset = found.groups(default="")
            if not offset:
                return f"{day}T{minute}{second}{thousandth}Z"
            if second < ":60" and (there := _in_utc(day, minute, offset)) is not None:
                return f"{there}{second}{thousandth if thousandth != '.000' else ''}Z"
        value = value.strip()
        if value.isdecimal() and len(value) < 15:
            return moment(int(value))
        return _moment_of(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= _LATEST_S * 1000:
        return None
    seconds = value / 1000 if value >= _MILLISECONDS_FROM else value
    return _written(datetime.fromtimestamp(seconds, UTC))


@lru_cache(maxsize=1024)
def _in_utc(day: str, minute: str, offset: str) -> str | None:
    """A minute elsewhere: offsets are of whole minutes, and many records are of the same one."""
    try:
        return (
            datetime.fromisoformat(f"{day}T{minute}{offset}").astimezone(UTC).isoformat("T", "minutes")[:16]
        )
    except (ValueError, OverflowError):
        return None


def _moment_of(said: str) -> str | None:
    for form in (None, "%a, %d %b %Y %H:%M:%S %z", "%a %b %d %H:%M:%S %Y", "%Y-%m-%d %H:%M:%S %z"):
        try:
            found = datetime.fromisoformat(said) if form is None else datetime.strptime(said, form)  # noqa: DTZ007 - below
            return _written(found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC))
        except (ValueError, OverflowError):
            continue
    return None


def _written(at: datetime) -> str:
    exact = at.isoformat(timespec="milliseconds" if at.microsecond >= 1000 else "seconds")
    return f"{exact.removesuffix('+00:00')}Z"


def confidence(value: Any) -> int | None:
    """Per cent: of a number, or of the words that tools have."""
    if isinstance(value, str):
        word = value.strip().lower().removesuffix("%").replace("-", " ")
        if word in _CONFIDENCES:
            return _CONFIDENCES[word]
        try:
            value = float(word)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - not a number
        return None
    return round(min(100, max(0, value)))


def cwes(value: Any) -> tuple[str, ...] | None:
    """Weaknesses: of numbers, `CWE-79`, or texts that speak of them."""
    return _listed(
        one for said in _leaves(value) for one in (_cwes_in(said) if isinstance(said, str) else _cwe_of(said))
    )


def _cwe_of(number: Any) -> tuple[str, ...]:
    return (f"CWE-{number}",) if type(number) is int and 0 < number < 10_000_000 else ()


@_remembered
def _cwes_in(said: str) -> tuple[str, ...]:
    alone = _NUMBER.fullmatch(said)
    numbers = (alone[1],) if alone else _CWE.findall(said)
    return tuple(f"CWE-{bare}" for one in numbers if (bare := one.lstrip("0")))


def cves(value: Any) -> tuple[str, ...] | None:
    """Vulnerabilities that have a number. What only looks like one is none."""
    return _listed(one for said in _said(value) for one in _cves_in(said))


@_remembered
def _cves_in(said: str) -> tuple[str, ...]:
    return tuple(f"CVE-{year}-{number}" for year, number in _CVE.findall(said))


def owasps(value: Any) -> tuple[str, ...] | None:
    """Places in the OWASP Top 10 that name their year."""
    return _listed(one for said in _said(value) for one in _owasps_in(said))


@_remembered
def _owasps_in(said: str) -> tuple[str, ...]:
    return tuple(f"A{int(number):02}:{year}" for number, year in _OWASP.findall(said))


def techniques(value: Any) -> tuple[str, ...] | None:
    """Techniques of MITRE ATT&CK."""
    return _listed(one for said in _said(value) for one in _techniques_in(said))


@_remembered
def _techniques_in(said: str) -> tuple[str, ...]:
    return tuple(f"T{number}{sub}" for number, sub in _TECHNIQUE.findall(said))


def links(value: Any) -> tuple[str, ...] | None:
    """URLs, one or many, also where texts stand around them."""
    return _listed(one for said in _said(value) for one in _links_in(said))


@_remembered
def _links_in(said: str) -> tuple[str, ...]:
    found = _LINK.findall(said)
    return tuple(one.rstrip(".,;)]") for one in found if len(one) <= NAME_CHARACTERS_MAX)


def _listed(many: Iterable[str]) -> tuple[str, ...] | None:
    """Each once."""
    return tuple(dict.fromkeys(many))[:LISTED_MAX] or None


@lru_cache(maxsize=4096)
def score_of(written: str) -> float | None:
    """The base score that a vector stands for; None for what is no whole vector."""
    import cvss  # type: ignore[import-untyped]  # it has no types

    kinds = {"2.0": cvss.CVSS2, "4.0": cvss.CVSS4}
    try:
        found = kinds.get(vector_version(written), cvss.CVSS3)(written.strip("()"))
    except cvss.exceptions.CVSSError:
        return None
    return float(found.base_score)


def vector(value: Any) -> str | None:
    """A vector of CVSS 3 or 4, which names its version, or one of 2, which has none."""
    found = name(value)
    if found is None:
        return None
    return found if _VECTOR.match(found) or found.startswith(("AV:", "(AV:")) else None


def vector_version(written: str) -> str:
    """The version of CVSS that a vector is of."""
    found = _VECTOR.match(written)
    return found[1] if found else "2.0"


@lru_cache(maxsize=4096)
def detector(tool: str, said: str) -> str:
    """A detector's name: its tool and its own, with `_` for what may not stand there."""
    own = _NOT_IN_ID.sub("_", said).strip("_.")
    return f"{tool}.{own}"[:_ID_CHARACTERS_MAX].rstrip("._") if own else tool


def _said(value: Any) -> list[str]:
    return [one for one in _leaves(value) if isinstance(one, str)]


def _leaves(value: Any, depth: int = 4) -> list[Any]:
    if isinstance(value, list) and depth:
        many = value[:LISTED_MAX]
    elif isinstance(value, dict) and depth:
        many = [*value.values()]
    else:
        return [value]
    # Most lists are of texts alone: a call for each would be most of the work.
    if all(type(one) is str for one in many):
        return many
    return [leaf for one in many for leaf in _leaves(one, depth - 1)]
