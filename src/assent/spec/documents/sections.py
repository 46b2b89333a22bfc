"""Reading a mapping of a document key by key, so that every fault is found in one pass and each has its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from assent.errors import InputError, Json
from assent.spec.words.articles import with_article
from assent.spec.words.durations import DURATION_MAX_MS, parse_duration_ms
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from assent.spec.documents.document import Document, Path

FAULTS_MAX: Final = 100
"""Faults that are reported of one document; the rest are seen when these are mended."""

Choice = TypeVar("Choice", bound=StrEnum)


class Faults:
    """What is wrong with a document, in the order it was found."""

    def __init__(self) -> None:
        self._found: list[InputError] = []

    def add(self, error: InputError) -> None:
        """Remember one more."""
        if len(self._found) < FAULTS_MAX:
            self._found.append(error)

    def raise_if_any(self) -> None:
        """Raise the first, with all others in `details.faults`."""
        if not self._found:
            return
        first, *others = self._found
        if others:
            first.details["faults"] = [dict(other.to_dict()) for other in others]
        raise first

    def __iter__(self) -> Iterator[InputError]:
        return iter(self._found)

    def __bool__(self) -> bool:
        return bool(self._found)


class Section:
    """One mapping of a document. Reading a key that has the wrong type records a fault and yields the default."""

    def __init__(
        self, document: Document, path: Path, data: Mapping[str, Json], faults: Faults, what: str
    ) -> None:
        self.document = document
        self.path = path
        self.data = data
        self.faults = faults
        self.what = what

    @classmethod
    def of(cls, document: Document, path: Path, value: Json, faults: Faults, what: str) -> Section | None:
        """The section at `path`, or a fault when `value` is no mapping."""
        if isinstance(value, dict):
            return cls(document, path, value, faults, what)
        faults.add(document.fault("WRONG_TYPE", f"{what} must be a mapping, not {_shown(value)}", path))
        return None

    def fault(
        self,
        code: str,
        message: str,
        *keys: str | int,
        key: bool = False,
        text: str = "",
        hint: str | None = None,
    ) -> None:
        """Record a fault at a key of this mapping, or of one below it."""
        self.faults.add(
            self.document.fault(code, message, (*self.path, *keys), key=key, text=text, hint=hint)
        )

    def known_keys(self, known: Iterable[str]) -> None:
        """Record every key that is not among `known`."""
        known = tuple(known)
        for key in self.data:
            if key not in known:
                hint = did_you_mean(key, known, otherwise=f"{self.what} has: {', '.join(known)}")
                self.fault("UNKNOWN_KEY", f"{self.what} has no key `{key}`", key, key=True, hint=hint)

    def has(self, key: str) -> bool:
        """The key is there and not null."""
        return self.data.get(key) is not None

    def text(self, key: str, default: str = "") -> str:
        """A string."""
        value = self.data.get(key)
        if value is None or isinstance(value, str):
            return default if value is None else value
        hint = f'write it in quotes: "{value}"' if isinstance(value, bool | int | float) else None
        self.fault("WRONG_TYPE", f"`{key}` must be text, not {_shown(value)}", key, hint=hint)
        return default

    def matching(self, key: str, pattern: re.Pattern[str], what: str, default: str = "") -> str:
        """A string of a given form."""
        value = self.text(key, default)
        if self.has(key) and isinstance(self.data[key], str) and not pattern.match(value):
            self.fault("VALUE_INVALID", f"`{value[:80]}` is not {with_article(what)}", key)
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.data.get(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.fault("WRONG_TYPE", f"`{key}` must be true or false, not {_shown(value)}", key)
        return default

    def number(self, key: str, default: float, *, least: float, most: float, whole: bool = False) -> float:
        """A number within limits."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or (whole and value != int(value)):
            kind = "a whole number" if whole else "a number"
            self.fault("WRONG_TYPE", f"`{key}` must be {kind}, not {_shown(value)}", key)
        elif not least <= value <= most:
            self.fault("VALUE_INVALID", f"`{key}` must be between {least:g} and {most:g}", key)
        else:
            return value
        return default

    def whole(self, key: str, default: int, *, least: int, most: int) -> int:
        """A whole number within limits."""
        return int(self.number(key, default, least=least, most=most, whole=True))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; one string counts as a list of one."""
        value = self.data.get(key)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list):
            self.fault("WRONG_TYPE", f"`{key}` must be a list, not {_shown(value)}", key)
            return ()
        for index, item in enumerate(value):
            if not isinstance(item, str):
                self.fault("WRONG_TYPE", f"`{key}` must hold text only, not {_shown(item)}", key, index)
        return tuple(item for item in value if isinstance(item, str))

    def choice(self, key: str, kind: type[Choice]) -> Choice | None:
        """A member of a closed set, or None when the key is absent."""
        value = self.data.get(key)
        if value is None:
            return None
        try:
            return kind(str(value))
        except ValueError:
            allowed = [member.value for member in kind]
            near = did_you_mean(str(value).upper(), allowed, otherwise=f"one of: {', '.join(allowed)}")
            self.fault("VALUE_INVALID", f"`{key}` can't be {_shown(value)}", key, hint=near)
            return None

    def duration_ms(
        self, key: str, default: int | None = None, *, most_ms: int = DURATION_MAX_MS
    ) -> int | None:
        """A time in milliseconds, written in seconds (`30`, `0.5`) or with a unit (`500ms`, `30s`, `5m`, `2h`)."""
        value = self.data.get(key)
        if value is None:
            return default
        try:
            return parse_duration_ms(value, most_ms=most_ms)
        except ValueError as error:
            self.fault(
                "VALUE_INVALID",
                f"`{key}` {error}",
                key,
                hint="write seconds (`30`) or `500ms`, `30s`, `5m`, `2h`",
            )
            return default

    def mapping(self, key: str) -> dict[str, Json]:
        """A mapping of anything."""
        value = self.data.get(key)
        if value is None or isinstance(value, dict):
            return value or {}
        self.fault("WRONG_TYPE", f"`{key}` must be a mapping, not {_shown(value)}", key)
        return {}

    def section(self, key: str, what: str) -> Section | None:
        """The mapping under a key, to be read in turn; None when it is absent or no mapping."""
        value = self.data.get(key)
        if value is None:
            return None
        return Section.of(self.document, (*self.path, key), value, self.faults, what)


def _shown(value: Json) -> str:
    """A value for a message: short, in backticks, or its kind when it is large."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            return f"`{value[:60]}`"
        case int() | float():
            return f"`{value}`"
        case list():
            return "a list"
        case _:
            return "a mapping"
