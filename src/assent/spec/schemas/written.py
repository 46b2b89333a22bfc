"""The shape of a file that people write, said once: the JSON Schema that editors read, and the reference that people read.

A schema here names every key with its meaning. It is never stricter than the reader of the file, which alone decides and
knows more: what names refer to, what expressions mean, what a capability takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from assent.errors import Json

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

ANYTHING: Final[dict[str, Json]] = {"title": "anything"}

DURATION: Final[dict[str, Json]] = {
    "title": "a time, like `30s`",
    "type": ["number", "string"],
}


class Key(NamedTuple):
    """One row of the reference: a key, what may stand behind it, what it means."""

    name: str
    form: str
    meaning: str


def document(name: str, title: str, root: str, parts: Mapping[str, Json]) -> dict[str, Json]:
    """A whole schema: `root` names the part that the file is, `parts` are the mappings that stand in it, in reading order."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:assent:{name}",
        "title": title,
        "$ref": f"#/$defs/{root}",
        "$defs": dict(parts),
    }


def mapping(meaning: str, keys: Mapping[str, Json], *required: str) -> dict[str, Json]:
    """A mapping with these keys and no others."""
    must: dict[str, Json] = {"required": list(required)} if required else {}
    return {
        "description": meaning,
        "type": "object",
        "additionalProperties": False,
        **must,
        "properties": dict(keys),
    }


def key(shape: Mapping[str, Json], meaning: str, default: Json = None) -> dict[str, Json]:
    """What may stand behind a key, what it means, and what holds where it is left out."""
    told: dict[str, Json] = {**shape, "description": meaning}
    if default is not None:
        told["default"] = default
    return told


def part(name: str, title: str | None = None) -> dict[str, Json]:
    """Another mapping of the same file."""
    return {"$ref": f"#/$defs/{name}", **({} if title is None else {"title": title})}


def text(
    pattern: re.Pattern[str] | None = None, title: str = "text", *, longest: int | None = None
) -> dict[str, Json]:
    """Text, of a form or of any."""
    form: dict[str, Json] = {"title": title, "type": "string"}
    if pattern is not None:
        form["pattern"] = f"^(?:{pattern.pattern.removesuffix(chr(92) + 'Z')})$"
    if longest is not None:
        form["maxLength"] = longest
    return form


def number(least: float, most: float, *, whole: bool = True) -> dict[str, Json]:
    """A number within limits."""
    kind = "a whole number" if whole else "a number"
    form = {"title": f"{kind}, {least:g} to {most:g}", "type": "integer" if whole else "number"}
    return {**form, "minimum": least, "maximum": most}


def choice(*words: str) -> dict[str, Json]:
    """One of some words."""
    return {"enum": list(words)}


def flag() -> dict[str, Json]:
    """True or false."""
    return {"title": "`true` or `false`", "type": "boolean"}


def listed(item: Mapping[str, Json], title: str) -> dict[str, Json]:
    """A list."""
    return {"title": title, "type": "array", "items": dict(item)}


def one_or_more(item: Mapping[str, Json], title: str, *, least: int = 0) -> dict[str, Json]:
    """A value, or a list of such values: a list of one and its value say the same."""
    return {"title": title, "anyOf": [dict(item), {"type": "array", "minItems": least, "items": dict(item)}]}


def reference(schema: Mapping[str, Json]) -> Iterator[tuple[str, str, list[Key]]]:
    """Each mapping of the file in reading order: its name, its meaning and its keys. One without a meaning repeats another."""
    parts = schema["$defs"]
    assert isinstance(parts, dict), "`document` made it"
    for name, body in parts.items():
        if (
            isinstance(body, dict)
            and isinstance(found := body.get("properties"), dict)
            and body["description"]
        ):
            must = body.get("required", [])
            assert isinstance(must, list), "`mapping` made it"
            keys = [
                _row(one, shape, must=one in must) for one, shape in found.items() if isinstance(shape, dict)
            ]
            yield name, str(body.get("description", "")), keys


def _row(name: str, shape: Mapping[str, Json], *, must: bool) -> Key:
    meaning = str(shape.get("description", ""))
    if must:
        meaning = f"**required.** {meaning}"
    elif "default" in shape:
        default = shape["default"]
        shown = (
            default
            if isinstance(default, str)
            else str(default).lower()
            if isinstance(default, bool)
            else f"{default}"
        )
        meaning = f"{meaning} (default `{shown}`)"
    return Key(name, _form(shape), meaning)


def _form(shape: Mapping[str, Json]) -> str:
    words = shape.get("enum")
    if "title" in shape or not isinstance(words, list):
        return str(
            shape.get(
                "title", f"the keys of {str(shape.get('$ref', '')).rpartition('/')[2].replace('_', ' ')}"
            )
        )
    return ", ".join(f"`{word}`" for word in words)
