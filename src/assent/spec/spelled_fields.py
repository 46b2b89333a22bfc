"""The fields of a schema that hold paths, URLs and names of projects, which rules, people and the ledger see in one spelling.

| `format`                                                  | what the text is                                             |
|-----------------------------------------------------------|--------------------------------------------------------------|
| `workspace-path`, `path`, `file-path`, `directory-path`   | a path in the workspace                                      |
| `host-path`                                               | a path of the machine: in full where it is outside           |
| `uri`                                                     | a URL                                                        |
| `url-template`                                            | a URL with `{NAME}` where something goes behind its host     |
| `project`                                                 | a project of findings: its name, or a UUID for want of one   |

What a normal form is says whoever reads such texts (`Spellings`); here is only where they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from assent.errors import Json
from assent.spec.masking import places
from assent.spec.schemas.references import subschemas

PATH_FORMAT: Final = "workspace-path"
HOST_PATH_FORMAT: Final = "host-path"
URL_FORMAT: Final = "uri"
TEMPLATE_FORMAT: Final = "url-template"
PROJECT_FORMAT: Final = "project"

_KINDS: Final = {
    URL_FORMAT: URL_FORMAT,
    TEMPLATE_FORMAT: TEMPLATE_FORMAT,
    HOST_PATH_FORMAT: HOST_PATH_FORMAT,
    PROJECT_FORMAT: PROJECT_FORMAT,
    # The others are what pydantic writes for `pathlib.Path` and its like.
    **dict.fromkeys((PATH_FORMAT, "path", "file-path", "directory-path"), PATH_FORMAT),
}
"""The kind of text by the `format` that a schema gives it."""

_ANNOTATIONS: Final = frozenset({PATH_FORMAT, HOST_PATH_FORMAT, TEMPLATE_FORMAT, PROJECT_FORMAT})
_IN_PLACE: Final = ("anyOf", "oneOf", "allOf")

Spellings: TypeAlias = Mapping[str, Callable[[str], str]]
"""What makes the normal form of a text, by its kind. It raises what the text is refused with; a normal form stays as it is."""


class SpelledFields:
    """What one schema says about paths, URLs and projects; looked at once, because every call is asked."""

    def __init__(self, schema: Mapping[str, Json]) -> None:
        self._schema = schema
        properties = schema.get("properties")
        members = properties if isinstance(properties, Mapping) else {}
        self.flat: Final = {
            name: kind for name, one in members.items() if (kind := _plainly(one)) is not None
        }
        """The kinds of the members that are plainly one of them."""
        rest = {name: one for name, one in members.items() if name not in self.flat}
        whole = {**schema, "properties": rest}
        self._deep: Final = {kind for one in subschemas(whole) if (kind := kind_of(one)) is not None}
        """The kinds of which something stands deeper than in a member, in a list, or behind a reference."""

    def normal(self, value: dict[str, Json], spellings: Spellings) -> dict[str, Json]:
        """The same object with each of them in its normal form; `value` itself when all are. Raises as `spellings` do."""
        for name, kind in self.flat.items():
            text = value.get(name)
            if isinstance(text, str) and (spelled := spellings[kind](text)) != text:
                value = {**value, name: spelled}
        for kind in self._deep:
            of_kind = partial(_is_of, kind)
            for place in [*places(value, self._schema, of_kind)]:
                value = respelled(value, place, spellings[kind])
        return value


def respelled(value: Any, place: tuple[str | int, ...], spell: Callable[[str], str]) -> Any:  # `Any`: JSON
    """The value with what `spell` makes of the text at a place, if it is one."""
    if not place:
        return spell(value) if isinstance(value, str) else value
    step, *below = place
    spelled = respelled(value[step], tuple(below), spell)
    if spelled == value[step]:
        return value
    copy: Any = dict(value) if isinstance(value, Mapping) else list(value)  # `Any`: as above
    copy[step] = spelled
    return copy


def forget_spelling(schema: Json) -> None:
    """Take from a schema what only says where they are: it changes nothing that a capability takes, or does."""
    for one in subschemas(schema):
        if one.get("format") in _ANNOTATIONS:
            del one["format"]


def kind_of(schema: Mapping[str, object]) -> str | None:
    """The kind of text that a schema says a value is; None for anything else."""
    said = schema.get("format")
    return _KINDS.get(said) if isinstance(said, str) else None


def _is_of(kind: str, schema: Mapping[str, object]) -> bool:
    return kind_of(schema) == kind


def _plainly(schema: object) -> str | None:
    """The kind of a member that is a text of one kind, or something that holds none; None for anything less plain."""
    found = [*subschemas(schema)]
    kinds = {kind for one in found if (kind := kind_of(one)) is not None}
    depth_one = isinstance(schema, Mapping) and 1 + sum(len(_branches(schema, key)) for key in _IN_PLACE)
    return kinds.pop() if len(kinds) == 1 and len(found) == depth_one and not _refers(found) else None


def _branches(schema: Mapping[str, object], key: str) -> list[object] | tuple[object, ...]:
    branches = schema.get(key)
    return branches if isinstance(branches, list | tuple) else ()


def _refers(schemas: list[Mapping[str, object]]) -> bool:
    return any("$ref" in one for one in schemas)
