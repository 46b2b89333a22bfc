"""Documents of other versions of a schema: a table of steps, each both ways, and one way to read a document through it.

A later version of a schema is one more step at the end of its table. A step never changes what it is given, says the version
of what it makes, and tells by name what the other version has no place for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from assent.errors import InputError
from assent.spec.checked_schema import read_struct
from assent.spec.values.typed import decode

T = TypeVar("T")


class Moved(NamedTuple):
    """A document of another version, and the properties that it has no place for, in order."""

    document: dict[str, Any]  # `Any`: JSON, which the schema's reader judges
    left: tuple[str, ...]


class Step(NamedTuple):
    """The way between two versions that follow one another. `older` is None for a shape that names no version."""

    older: str | None
    newer: str
    up: Callable[[dict[str, Any]], Moved]
    down: Callable[[dict[str, Any]], Moved]


class Was(NamedTuple, Generic[T]):
    """What a document of any version is now, and what of it got lost on the way up."""

    value: T
    left: tuple[str, ...]


def migrated(document: dict[str, Any], to: str | None, steps: Sequence[Step], *, key: str) -> Moved:
    """A document in another version of its schema, up or down the table. `key`: the property that names the version.

    A document of a version that the table does not have comes back as it is: its reader says what is wrong with it.
    """
    assert all(one.newer == other.older for one, other in pairwise(steps)), "steps follow one another"
    versions = [*(one.older for one in steps[:1]), *(one.newer for one in steps)]
    if document.get(key) not in versions:
        return Moved(document, ())
    begin, end = versions.index(document.get(key)), versions.index(to)
    left: set[str] = set()
    ways = [one.up for one in steps[begin:end]] or [one.down for one in reversed(steps[end:begin])]
    for way in ways:
        document, lost = way(document)
        left.update(lost)
    assert document.get(key) == to, "a step says the version of what it makes"
    return Moved(document, tuple(sorted(left)))


@dataclass(frozen=True, slots=True)
class Schema(Generic[T]):
    """The schema of now of one kind of document, and how it is read."""

    kind: type[T]
    what: str
    version: str
    invalid: str
    """The code of what is refused."""
    too_new: str
    """The code of what is of a later version."""

    @property
    def key(self) -> str:
        """The property that names the version."""
        return f"{self.what}_schema_version"

    def read(
        self, document: Any, steps: Sequence[Step] = ()
    ) -> T:  # `Any`: outside JSON, also as bytes or text
        """A document of any version of the table as what it is now. It is refused where something would get lost on the way."""
        value, left = self.read_all(document, steps)
        if left:
            raise InputError(
                self.invalid,
                f"the {self.what} is of an older schema, and this release has no place for its `{'`, `'.join(left)}`",
            )
        return value

    def read_all(self, document: Any, steps: Sequence[Step]) -> Was[T]:  # `Any`: as above
        """The same, and whatever got lost is told."""
        if isinstance(document, bytes | str):
            try:
                document = decode(document)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise InputError(self.invalid, f"a {self.what} must be JSON: {error}") from None
        left: tuple[str, ...] = ()
        if isinstance(document, dict):
            found = document.get(self.key)
            if isinstance(found, str) and self._is_later(found):
                raise InputError(
                    self.too_new,
                    f"the {self.what} is of schema {found[:40]}, and this release knows {self.version}",
                    hint="read it with the release of Assent that wrote it, or a later one",
                )
            if found != self.version:
                document, left = migrated(document, self.version, steps, key=self.key)
        judged = read_struct(document, self.kind, code=self.invalid, what=f"the {self.what} is")
        return Was(judged, left)

    def _is_later(self, version: str) -> bool:
        numbers = version.split(".")
        if len(numbers) != 3 or not all(one.isascii() and one.isdigit() and len(one) < 9 for one in numbers):
            return False
        return [int(one) for one in numbers] > [int(one) for one in self.version.split(".")]
