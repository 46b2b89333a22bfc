"""Ready types for parameters and results: each says in its schema what it takes, and in one sentence what it refused.

| type              | in Python         | in JSON                                                            |
|-------------------|-------------------|--------------------------------------------------------------------|
| `Email`           | `str`             | text: `name@example.org`                                           |
| `Url`             | `str`             | text: `http` or `https`, with a host, without a user name in it     |
| `Uuid`            | `str`             | text: 8-4-4-4-12 hex digits                                        |
| `WorkspacePath`   | `str`             | text: relative to the workspace's root                             |
| `Duration`        | `timedelta`       | text with a unit (`500ms`, `90s`, `1.5h`), or a number of seconds  |
| `Size`            | `int`, in bytes   | text with a unit (`10MB`, `64KiB`), or a whole number of bytes     |
| `SecretReference` | `SecretReference` | text: `secret://NAME`; the value behind it is in no document       |
| `SecretText`      | `SecretText`      | text with any number of `secret://NAME` in it: `Bearer secret://mail/token` |
| `UnkeptText`      | `str`             | text that is told and not kept: see `assent.spec.unkept_fields`     |
| `SecretJson`      | as it is          | any JSON; each text in it is a `SecretText`                        |
| `SemVer`          | `str`             | text: `1.2.3`, `2.0.0-rc.1`                                        |

Patterns are of the dialect that ECMA-262 and the linear-time engines of pydantic and jsonschema-rs share: no look-around, no
back-reference. What a value is written as never changes on the way, except that durations, sizes, paths and URLs come out in one
spelling.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Final

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from pydantic_core import Url as ParsedUrl

from assent.spec.documents.faults import EXPECTED
from assent.spec.ids import SEMVER
from assent.spec.secret_text import (
    NAME_PATTERN,
    REFERENCE_FORMAT,
    SCHEME,
    AnySecretText,
    SecretText,
    is_secret_name,
)
from assent.spec.spelled_fields import PATH_FORMAT, URL_FORMAT
from assent.spec.unkept_fields import KEPT
from assent.spec.values.canonical import INTEGER_MAX
from assent.spec.words.durations import DURATION_MAX_MS, parse_duration_ms, write_duration
from assent.spec.words.sizes import SIZE_PATTERN, read_size

EMAIL_CHARACTERS_MAX: Final = 254
URL_CHARACTERS_MAX: Final = 2048
PATH_BYTES_MAX: Final = 4096

_LABEL_OF_HOST: Final = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# The WHATWG's definition of a valid e-mail address, with one dot at least: an address without one is reachable from nowhere else.
_EMAIL: Final = rf"^[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL_OF_HOST}(?:\.{_LABEL_OF_HOST})+$"
_URL: Final = r"^https?://[^\s/?#@\\]+(?:[/?#]\S*)?$"
_UUID: Final = "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
_DURATION: Final = r"^[0-9]{1,10}(?:\.[0-9]{1,3})? *(?:ms|s|m|h|d)$"
_REFERENCE: Final = f"^{SCHEME}{NAME_PATTERN}$"


@dataclass(frozen=True)
class _Text:
    """Text that matches a pattern, and perhaps a check that no pattern can say."""

    expected: str
    pattern: str
    characters_max: int
    format: str
    check: Callable[[str], bool] | None = None

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: CoreSchema = core_schema.str_schema(pattern=self.pattern, max_length=self.characters_max)
        if self.check is not None:
            schema = core_schema.no_info_after_validator_function(self._checked, schema)
        # One sentence of ours, whichever of the rules the value broke: nobody mends an address rule by rule.
        return core_schema.custom_error_schema(
            schema,
            custom_error_type=EXPECTED,
            custom_error_message="must be {expected}",
            custom_error_context={"expected": self.expected},
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:  # `Any`: pydantic's own name for a JSON Schema
        return {**handler(schema), "format": self.format}

    def _checked(self, value: str) -> str:
        assert self.check is not None
        if not self.check(value):
            raise ValueError
        return value


def _is_url(value: str) -> bool:
    try:
        # A port beyond 65535 or a broken IPv6 address is nothing that a pattern should find.
        return ParsedUrl(value).host is not None
    except ValueError:
        return False


@dataclass(frozen=True)
class _Measure:
    """A number that people write with a unit; JSON may hold it either way, and gives it back in one."""

    expected: str
    pattern: str
    # Hashed without it: `Size | None` hashes what it is made of. `Any`: a JSON Schema
    number: dict[str, Any] = field(hash=False)
    read: Callable[[Any], object]  # `Any`: it raises TypeError or ValueError for what it can't read
    write: Callable[[Any], str | int]  # `Any`: each measure writes its own Python type

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._parse, serialization=core_schema.plain_serializer_function_ser_schema(self.write)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:  # `Any`: as above
        return {"anyOf": [{"type": "string", "pattern": self.pattern}, dict(self.number)]}

    @cached_property
    def _text(self) -> re.Pattern[str]:
        return re.compile(self.pattern.removesuffix("$") + r"\Z")

    def _parse(self, value: object) -> object:
        if isinstance(value, bool) or (isinstance(value, str) and not self._text.match(value)):
            raise self._refused()
        try:
            return self.read(value)
        except (TypeError, ValueError, OverflowError):
            raise self._refused() from None

    def _refused(self) -> PydanticCustomError:
        return PydanticCustomError(EXPECTED, "must be {expected}", {"expected": self.expected})


def _read_duration(value: str | float | timedelta) -> timedelta:
    if isinstance(value, timedelta):
        value = value / timedelta(seconds=1)
    return timedelta(milliseconds=parse_duration_ms(value))


def _write_duration(value: timedelta) -> str:
    return write_duration(round(value / timedelta(milliseconds=1)))


@dataclass(frozen=True, slots=True, repr=False)
class SecretReference:
    """The name of a secret. The value is fetched where it is used, and stands in no input, output, journal or message."""

    name: str

    def __post_init__(self) -> None:
        if not is_secret_name(self.name):
            message = "a secret's name has letters, digits, `.`, `_`, `-` and `/`"
            raise ValueError(message)

    @property
    def text(self) -> str:
        """The reference as JSON holds it."""
        return f"{SCHEME}{self.name}"

    def __repr__(self) -> str:
        return "SecretReference(***)"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._parse, serialization=core_schema.plain_serializer_function_ser_schema(_text_of)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:  # `Any`: as above
        # `writeOnly` is what `assent.spec.masking` looks for: whatever stands here, a pasted password too, is shown as `***`.
        return {"type": "string", "pattern": _REFERENCE, "format": REFERENCE_FORMAT, "writeOnly": True}

    @classmethod
    def _parse(cls, value: object) -> SecretReference:
        if isinstance(value, SecretReference):
            return value
        if isinstance(value, str) and value.startswith(SCHEME):
            try:
                return cls(value.removeprefix(SCHEME))
            except ValueError:
                pass
        expected = "a reference to a secret, like `secret://mail/token`"
        raise PydanticCustomError(EXPECTED, "must be {expected}", {"expected": expected})


def _text_of(reference: SecretReference) -> str:
    return reference.text


SecretJson = Annotated[Any, AnySecretText]  # `Any`: JSON of any form
Email = Annotated[
    str, _Text("an email address, like `name@example.org`", _EMAIL, EMAIL_CHARACTERS_MAX, "email")
]
Url = Annotated[
    str,
    _Text(
        "a web address with a host and no user name, like `https://example.org/a`",
        _URL,
        URL_CHARACTERS_MAX,
        URL_FORMAT,
        _is_url,
    ),
]
Uuid = Annotated[
    str, _Text("a UUID, like `123e4567-e89b-12d3-a456-426614174000`", _UUID, characters_max=36, format="uuid")
]
SemVer = Annotated[
    str,
    _Text(
        "a semantic version, like `1.0.0`",
        f"^{SEMVER.pattern.removesuffix(chr(92) + 'Z').replace(chr(92) + 'd', '[0-9]')}$",
        characters_max=160,
        format="semver",
    ),
]
WorkspacePath = Annotated[
    str,
    # Nothing more: whether a path leads out of the workspace is found where it is opened, with the links that stand there then.
    Field(
        min_length=1,
        max_length=PATH_BYTES_MAX,
        description="relative to the workspace's root, with `/`; `.` is the root",
        json_schema_extra={"format": PATH_FORMAT},
    ),
]
UnkeptText = Annotated[str, Field(json_schema_extra={KEPT: False})]
Duration = Annotated[
    timedelta,
    _Measure(
        "a time between 1 ms and 31 days, like `500ms`, `90s` or `2h`",
        _DURATION,
        {"type": "number", "minimum": 0.001, "maximum": DURATION_MAX_MS // 1000},
        _read_duration,
        _write_duration,
    ),
]
Size = Annotated[
    int,
    _Measure(
        "a number of bytes, like `4096`, `10MB` or `64KiB`",
        SIZE_PATTERN,
        {"type": "integer", "minimum": 0, "maximum": INTEGER_MAX},
        read_size,
        int,
    ),
]

__all__ = [
    "Duration", "Email", "SecretJson", "SecretReference", "SecretText", "SemVer", "Size", "UnkeptText", "Url",
    "Uuid", "WorkspacePath",
]  # fmt: skip
