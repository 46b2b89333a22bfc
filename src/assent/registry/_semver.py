"""The order of versions: Semantic Versioning 2.0.0 §11."""

from __future__ import annotations

from typing import TypeAlias

Precedence: TypeAlias = tuple[tuple[int, int, int], bool, tuple[tuple[bool, int, str], ...], str]


def precedence(version: str) -> Precedence:
    """A key that sorts valid versions from lowest to highest; a pre-release stands below its release.

    Build metadata has no precedence in the specification; here it breaks ties by its text, so that the order
    is total and the latest version never depends on the order of registration.
    """
    core, _, build = version.partition("+")
    numbers, _, pre = core.partition("-")
    major, minor, patch = (int(part) for part in numbers.split("."))
    # §11.4: numeric identifiers compare as numbers and stand below all others; a longer list of equals stands
    # above.
    identifiers = tuple(
        (False, int(part), "") if part.isdigit() and len(part) < 20 else (True, 0, part)
        for part in pre.split(".")
    )
    return (major, minor, patch), not pre, identifiers if pre else (), build
