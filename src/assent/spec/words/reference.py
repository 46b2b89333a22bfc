"""Which version of a capability a caller asks for: the part behind the `@`, and what it can be.

| reference                         | means                                                                         |
|-----------------------------------|-------------------------------------------------------------------------------|
| `net.mail.send`                   | the latest: the highest release                                               |
| `net.mail.send@1.2.3`             | exactly this version                                                          |
| `net.mail.send@^1.2`              | the highest version of a range, see `assent.spec.words.semver`                      |
| `net.mail.send@stable`            | what the label names now                                                      |
| `net.mail.send@2026-10-01T00:00Z` | what the bare id meant at that moment; UTC where no offset is written         |
| `net.mail.send@1790812800`        | the same in Unix seconds (10 or 11 digits) or milliseconds (12 to 16 digits)  |
| `net.mail.send@sha256:1f2e3d4c`   | the version whose fingerprint begins so: 8 hex digits at least                |

No text can be read in two ways: a moment begins with a four-digit year and a dash or has ten digits, a version has three numbers,
a range has an operator, a wildcard or fewer numbers, a fingerprint says `sha256:`, and a label begins with a letter.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec

from assent._lazy import compiled_when_asked
from assent.errors import InputError
from assent.spec.ids import CAPABILITY_ID
from assent.spec.words.semver import VersionRange, is_version

REFERENCE_LENGTH_MAX: Final = 400
"""Characters in a reference; a longer one is refused unread."""

VERSION_LABEL: Final = compiled_when_asked(r"[a-z][a-z0-9_-]{0,63}\Z")
"""What a label of a version may be called."""

RESERVED_LABELS: Final = frozenset({"latest", "x"})
"""`latest` is written by leaving the version out, and `x` is a wildcard; neither may be a label."""

FINGERPRINT_PREFIX: Final = "sha256:"

_HEX: Final = compiled_when_asked(r"[0-9a-f]{8,64}\Z")
_UNIX: Final = compiled_when_asked(r"[0-9]{10,16}\Z")
_UNIX_SECONDS_DIGITS_MAX: Final = 11
_INSTANT: Final = compiled_when_asked(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?\Z"
)
_EXPLAINED: Final = (
    "write `1.2.3`, `^1.2`, a label, a moment like `2026-10-01T00:00Z`, or `sha256:` with 8 hex digits"
)


class How(StrEnum):
    """By what a reference names its version."""

    LATEST = "latest"
    EXACT = "exact"
    RANGE = "range"
    LABEL = "label"
    MOMENT = "moment"
    FINGERPRINT = "fingerprint"


class CapabilityReference(msgspec.Struct, frozen=True):
    """A parsed reference. `wanted` is the part behind the `@`, empty for the latest."""

    id: str
    how: How
    wanted: str = ""
    range: VersionRange | None = None
    at_ms: int | None = None
    """For a moment: ms since the epoch."""

    @property
    def needs_record(self) -> bool:
        """What it means depends on what was recorded, not only on what is registered."""
        return self.how in (How.LABEL, How.MOMENT)

    @classmethod
    def parse(cls, text: str) -> CapabilityReference:
        """The reference that is written so; `InputError` CAPABILITY_UNKNOWN for no id, INVALID_VERSION for no version."""
        ident, at, wanted = text.partition("@")
        if len(text) > REFERENCE_LENGTH_MAX or not CAPABILITY_ID.match(ident):
            raise InputError(
                "CAPABILITY_UNKNOWN",
                f"`{ident[:120]}` is not a capability id",
                hint="an id is dotted, like `io.fs.write_file`; list what exists: assent capability list",
                details={"reference": text[:200]},
            )
        if not at:
            return cls(ident, How.LATEST)
        return cls._parse_version(ident, wanted, text)

    @classmethod
    def _parse_version(cls, ident: str, wanted: str, text: str) -> CapabilityReference:
        if is_version(wanted):
            return cls(ident, How.EXACT, wanted)
        if _HEX.match(wanted.removeprefix(FINGERPRINT_PREFIX)) and wanted.startswith(FINGERPRINT_PREFIX):
            return cls(ident, How.FINGERPRINT, wanted)
        if _UNIX.match(wanted) or _INSTANT.match(wanted):
            at_ms = moment_ms(wanted)
            if at_ms is not None:
                return cls(ident, How.MOMENT, wanted, at_ms=at_ms)
        elif is_label(wanted):
            return cls(ident, How.LABEL, wanted)
        else:
            allowed = VersionRange.parse(wanted)
            if allowed is not None:
                return cls(ident, How.RANGE, wanted, range=allowed)
        raise invalid_version(ident, wanted, text)


def is_label(text: str) -> bool:
    """Whether a label may be called so."""
    return VERSION_LABEL.match(text) is not None and text not in RESERVED_LABELS


def moment_ms(text: str) -> int | None:
    """A moment in ms since the epoch; None for one that no calendar has (`2026-02-30`)."""
    if _UNIX.match(text):
        return int(text) * (1000 if len(text) <= _UNIX_SECONDS_DIGITS_MAX else 1)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None:
        # INVARIANT: never the machine's own zone: a workflow must mean the same wherever it runs.
        found = found.replace(tzinfo=UTC)
    try:
        since = found - datetime(1970, 1, 1, tzinfo=UTC)
    except OverflowError:
        return None
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def invalid_version(ident: str, wanted: str, text: str) -> InputError:
    """The refusal of a version that is written in no known way."""
    hint = _EXPLAINED
    if wanted == "latest":
        hint = f"`{ident}` alone means the latest"
    elif wanted[:1] in ("v", "V", "=") and is_version(wanted[1:]):
        hint = f"did you mean `{ident}@{wanted[1:]}`?"
    elif re.fullmatch(r"[0-9a-f]{8,64}", wanted):
        hint = f"a fingerprint is written `{ident}@{FINGERPRINT_PREFIX}{wanted[:16]}`"
    return InputError(
        "INVALID_VERSION",
        f"`{wanted[:80]}` is not a version of `{ident}`",
        hint=hint,
        details={"reference": text[:200]},
    )
