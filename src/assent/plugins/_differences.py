"""What is another way now than it was: of two manifests and of two sets of files, as lines for people and data for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from assent.errors import Json

SHOWN_MAX: Final = 200
"""Differences that are told one by one."""

_IDENTITY: Final = ("id", "path", "name", "kind")
"""Keys that tell entries of a list apart, wherever they stand in it."""

_NOISE: Final = frozenset({"at", "files", "size", "sha256"})
"""Keys that change with every edit: places in files, and the files themselves, which are compared by their bytes."""


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One thing that differs: where, and what stood there before and stands there now (None: nothing)."""

    path: str
    change: Literal["added", "removed", "changed"]
    before: str | None = None
    after: str | None = None

    def to_json(self) -> dict[str, Json]:
        """The same as JSON data."""
        return {"path": self.path, "change": self.change, "before": self.before, "after": self.after}

    def __str__(self) -> str:
        """One line."""
        match self.change:
            case "added":
                return f"+ {self.path}{_said(self.after)}"
            case "removed":
                return f"- {self.path}{_said(self.before)}"
            case "changed":
                return f"~ {self.path}: {self.before} → {self.after}"


def file_differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    """The files that were added, removed or changed, by their digests."""
    return _differing(
        *({f"file {name}": _short(one) for name, one in side.items()} for side in (before, after))
    )


def dependency_differences(
    before: Mapping[str, str | None], after: Mapping[str, str | None]
) -> list[Difference]:
    """The dependencies that came, went, or have another version."""
    sides = (
        {f"dependency {name}": one or "not installed" for name, one in side.items()}
        for side in (before, after)
    )
    return _differing(*sides)


def manifest_differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[Difference]:
    """What two manifests say differently; where a thing stands in its file does not count."""
    return _differing(dict(_leaves(before, "")), dict(_leaves(after, "")))


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    return [
        Difference(
            path,
            "added" if path not in before else "removed" if path not in after else "changed",
            before.get(path),
            after.get(path),
        )
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]


def _leaves(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Every plain value by its path; entries of lists are named by what identifies them."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            if key not in _NOISE:
                yield from _leaves(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        seen: dict[str, int] = {}
        for item in value:
            name = _name(item)
            seen[name] = seen.get(name, 0) + 1
            nth = f"#{seen[name]}" if seen[name] > 1 else ""
            if isinstance(item, Mapping | list | tuple):
                yield from _leaves(item, f"{path}[{name}{nth}]")
            else:
                yield f"{path}[{name}{nth}]", ""
    else:
        yield path, _plain(value)


def _name(item: object) -> str:
    if isinstance(item, Mapping):
        named = [str(item[key]) for key in _IDENTITY if item.get(key) is not None]
        return " ".join(named) if named else "…"
    return _plain(item)


def _plain(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return value if len(value) <= SHOWN_MAX else f"{value[:SHOWN_MAX]}…"
        case _:
            return str(value)


def _said(value: str | None) -> str:
    return f": {value}" if value else ""


def _short(digest: str) -> str:
    return f"sha256 {digest[:12]}…"
