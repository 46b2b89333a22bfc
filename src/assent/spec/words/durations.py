"""Lengths of time as people write them: read in one way everywhere, and written back; moments as programs read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from assent._lazy import compiled_when_asked
from assent.errors import Json

DAY_MS: Final = 24 * 3600 * 1000

DURATION_MAX_MS: Final = 31 * DAY_MS
"""The longest timeout or pause: 31 days."""

_UNITS_MS: Final = {"d": DAY_MS, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_INSTANT: Final = compiled_when_asked(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)
_WRITTEN: Final = compiled_when_asked(r"([0-9]{1,10}(?:\.[0-9]{1,3})?)\s*(ms|s|m|h|d)\Z")


def parse_duration_ms(value: Json, *, most_ms: int = DURATION_MAX_MS) -> int:
    """Whole milliseconds, more than none; ValueError says what is wrong."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        milliseconds = value * 1000.0
    elif isinstance(value, str) and (found := _WRITTEN.match(value.strip())):
        milliseconds = float(found[1]) * _UNITS_MS[found[2]]
    else:
        shown = f"`{value[:60]}`" if isinstance(value, str) else "it is none"
        message = f"is not a duration: {shown}"
        raise ValueError(message)
    if not 1 <= milliseconds <= most_ms:
        message = f"must be between `1ms` and `{write_duration(most_ms)}`"
        raise ValueError(message)
    return round(milliseconds)


def write_duration(duration_ms: int) -> str:
    """In the largest unit of which it is a whole number: `1500ms`, `30s`, `7d`; none is `0ms`."""
    unit = next(
        unit
        for unit, length in _UNITS_MS.items()
        if length == 1 or (duration_ms and not duration_ms % length)
    )
    return f"{duration_ms // _UNITS_MS[unit]}{unit}"


def parse_instant_ms(value: Json) -> int:
    """A moment in ms since 1970, from how RFC 3339 writes it; ValueError says what is wrong."""
    text = value if isinstance(value, str) else ""
    try:
        moment = datetime.fromisoformat(text) if _INSTANT.match(text) else None
    except ValueError:
        moment = None
    if moment is None:
        message = f"is not a moment: `{text[:60]}`" if text else "is not a moment, which is written as text"
        raise ValueError(message)
    return round(moment.timestamp() * 1000)


def instant(at_ms: int) -> str:
    """A moment in ms since 1970, as RFC 3339 writes it in UTC: `2026-11-21T07:00:00.000Z`."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
