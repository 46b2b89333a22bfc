"""Versions and ranges of versions: Semantic Versioning 2.0.0, and which versions `^1.2` or `>=1.2 <2` allow.

A range is written as npm and Cargo users know it. Every comparator of it narrows one interval, so a range is an interval, and
the highest version in it is found by bisection.

| written            | allows                                    |
|--------------------|-------------------------------------------|
| `^1.2.3`           | `>=1.2.3 <2.0.0`                          |
| `^0.2.3`, `^0.0.3` | `>=0.2.3 <0.3.0`, `>=0.0.3 <0.0.4`        |
| `~1.2.3`, `~1`     | `>=1.2.3 <1.3.0`, `>=1.0.0 <2.0.0`        |
| `1.x`, `1`, `1.2.*`| `>=1.0.0 <2.0.0`, the same, `>=1.2.0 <1.3.0` |
| `>=1.2 <2`         | both hold; a part left out is 0           |
| `>1.2`, `<=1.2`    | `>=1.3.0`, `<1.3.0`: `1.2` means all of it |
| `*`                | every release                             |

A pre-release is allowed only where the range names a pre-release of the very same version: `>=2.0.0-rc.1` allows `2.0.0-rc.2`
and `2.0.0`, and not `2.1.0-beta`. Build metadata says nothing about order and is ignored in a range.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Self, TypeAlias

import msgspec

from assent._lazy import compiled_when_asked
from assent.spec.ids import SEMVER

Core: TypeAlias = tuple[int, int, int]
Precedence: TypeAlias = tuple[Core, bool, tuple[tuple[bool, int, str], ...], str]

COMPARATORS_MAX: Final = 8
"""Comparators in one range."""

_BUILD_LAST: Final = "\U0010ffff"
"""Sorts behind every build metadata, which is ASCII."""

_HIGHEST: Final[Precedence] = ((10**9, 0, 0), False, (), "")
"""Above every version: a number in a version has at most nine digits."""

_COMPARATOR: Final = compiled_when_asked(
    r"(?P<operator>\^|~|>=|<=|>|<)?"
    r"(?P<major>0|[1-9][0-9]{0,8}|\*)(?:\.(?P<minor>0|[1-9][0-9]{0,8}|[x*]))?(?:\.(?P<patch>0|[1-9][0-9]{0,8}|[x*]))?"
    r"(?P<pre>-[0-9A-Za-z][0-9A-Za-z.-]{0,63})?\Z"
)


@lru_cache(maxsize=4096)
def precedence(version: str) -> Precedence:
    """A key that sorts valid versions from lowest to highest (§11); a pre-release stands below its release.

    Build metadata has no precedence in the specification; here it breaks ties by its text, so that the order
    is total and the latest version never depends on the order of registration.
    """
    core, _, build = version.partition("+")
    numbers, _, pre = core.partition("-")
    major, minor, patch = (int(part) for part in numbers.split("."))
    return (major, minor, patch), not pre, _identifiers(pre), build


def _identifiers(pre: str) -> tuple[tuple[bool, int, str], ...]:
    # §11.4: numeric identifiers compare as numbers and stand below all others; a longer list of equals stands
    # above.
    if not pre:
        return ()
    return tuple(
        (False, int(part), "") if part.isdigit() and len(part) < 20 else (True, 0, part)
        for part in pre.split(".")
    )


def is_version(text: str) -> bool:
    """Whether this is one whole version, such as `1.2.3` or `2.0.0-rc.1`."""
    return SEMVER.match(text) is not None


def is_release(key: Precedence) -> bool:
    """Whether a version is no pre-release."""
    return key[1]


class VersionRange(msgspec.Struct, frozen=True):
    """The versions from `low`, included, to `high`, not included; pre-releases only of the versions in `pre_releases_of`."""

    low: Precedence
    high: Precedence
    pre_releases_of: frozenset[Core] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The range that is written so; None when it is none. See the module for the grammar."""
        parts = [part for part in text.split(" ") if part]
        if not 0 < len(parts) <= COMPARATORS_MAX:
            return None
        low, high, pre_releases = _release((0, 0, 0)), _HIGHEST, set[Core]()
        for part in parts:
            bounds = _bounds(part)
            if bounds is None:
                return None
            low, high = max(low, bounds[0]), min(high, bounds[1])
            if bounds[2] is not None:
                pre_releases.add(bounds[2])
        return cls(low, high, frozenset(pre_releases))

    def allows(self, version: Precedence) -> bool:
        """Whether this version is one of the range."""
        if not self.low <= version < self.high:
            return False
        return is_release(version) or version[0] in self.pre_releases_of


def _release(core: Core) -> Precedence:
    return core, True, (), ""


def _first_of(core: Core) -> Precedence:
    """Not above any version with this core, its pre-releases included."""
    return core, False, (), ""


def _bounds(text: str) -> tuple[Precedence, Precedence, Core | None] | None:
    """What one comparator allows: from, to, and the version whose pre-releases it names."""
    match = _COMPARATOR.match(text)
    if match is None:
        return None
    operator, pre = match["operator"] or "", match["pre"]
    numbers = _numbers(match)
    if numbers is None or (pre and len(numbers) < 3) or (not numbers and operator):
        return None
    if len(numbers) == 3 and not operator:
        return None  # One whole version is no range.
    core = _core(numbers)
    lowest: Precedence = (core, not pre, _identifiers(pre[1:]) if pre else (), "")
    # What lies behind everything that the numbers can mean: behind `1.2` is 1.3.0, behind `1.2.3` only its builds.
    behind = _first_of(_next(numbers, len(numbers))) if len(numbers) < 3 else (*lowest[:3], _BUILD_LAST)
    names = core if pre else None
    match operator:
        case ">=":
            return lowest, _HIGHEST, names
        case ">":
            return behind, _HIGHEST, names
        case "<":
            return _first_of((0, 0, 0)), lowest, names
        case "<=":
            return _first_of((0, 0, 0)), behind, names
        case "~":
            return lowest, _first_of(_next(numbers, min(len(numbers), 2))), names
        case "^":
            return lowest, _first_of(_next(numbers, _kept_by_caret(numbers))), names
        case _:
            return lowest, behind if numbers else _HIGHEST, None


def _numbers(match: re.Match[str]) -> list[int] | None:
    """The numbers that were written, up to the first wildcard; None when a number stands behind a wildcard."""
    parts = [match["major"], match["minor"], match["patch"]]
    numbers: list[int] = []
    is_open = False
    for part in parts:
        if part is None or part in "x*":
            is_open = True
        elif is_open:
            return None
        else:
            numbers.append(int(part))
    return numbers


def _core(numbers: list[int]) -> Core:
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return major, minor, patch


def _next(numbers: list[int], kept: int) -> Core:
    """The first version behind all that begin with the first `kept` numbers."""
    if not kept:
        return _HIGHEST[0]
    return _core([*numbers[: kept - 1], numbers[kept - 1] + 1])


def _kept_by_caret(numbers: list[int]) -> int:
    """How many numbers a caret holds fast: up to the first that is not 0."""
    for index, number in enumerate(numbers):
        if number:
            return index + 1
    return len(numbers)
