"""Where in a value pydantic found a fault, and in which branch of which union: its locations mix the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

Place = tuple[str | int, ...]

# Nodes that stand around another one and leave no trace in a location; in strict JSON mode those of the given key are followed.
_THROUGH: Final[Mapping[str, str]] = {
    "model": "schema",
    "dataclass": "schema",
    "default": "schema",
    "nullable": "schema",
    "custom-error": "schema",
    "function-before": "schema",
    "function-after": "schema",
    "function-wrap": "schema",
    "definitions": "schema",
    "lax-or-strict": "strict_schema",
    "json-or-python": "json_schema",
}
_LISTS: Final = frozenset({"list", "set", "frozenset", "generator"})
_HAS_BRANCHES: Final = frozenset({"union", "tagged-union"})


class Branch(msgspec.Struct, frozen=True):
    """One branch of a union, as a step of a location."""

    name: str


Steps = tuple[str | int | Branch, ...]
Node = Mapping[str, Any]  # `Any`: a core schema is nested data of pydantic's own making


class FaultPlaces:
    """Reads locations of one type's faults. Built from the type's core schema, which is the documented form of a validator."""

    def __init__(self, schema: Node) -> None:
        self._schema = schema
        self._definitions = _definitions(schema)
        self._branches: dict[int, dict[str, Node]] = {}
        self.has_branches = _mentions_branches(schema)

    def steps(self, location: Place) -> Steps:
        """The names and indexes of a location, with the branches that were taken among them."""
        node: Node | None = self._schema
        found: list[str | int | Branch] = []
        for part in location:
            node = self._inner(node)
            kind = None if node is None else node["type"]
            if node is not None and kind in _HAS_BRANCHES:
                found.append(Branch(str(part)))
                node = self._branches_of(node).get(str(part))
            elif part != "[key]":
                found.append(part)
                node = _member(node, part) if node is not None else None
        return tuple(found)

    def _inner(self, node: Node | None) -> Node | None:
        while node is not None:
            kind = node["type"]
            if kind == "definition-ref":
                node = self._definitions.get(node["schema_ref"])
            elif kind == "chain":
                node = node["steps"][0]
            elif kind in _THROUGH:
                node = node[_THROUGH[kind]]
            else:
                return node
        return None

    def _branches_of(self, union: Node) -> dict[str, Node]:
        known = self._branches.get(id(union))
        if known is None:
            choices = union["choices"]
            if isinstance(choices, Mapping):
                known = {str(tag): choice for tag, choice in choices.items()}
            else:
                known = dict(map(self._named, choices))
            self._branches[id(union)] = known
        return known

    def _named(
        self, choice: Any
    ) -> tuple[str, Node]:  # `Any`: a core schema, or a pair of one with its label
        from pydantic_core import SchemaError, SchemaValidator  # who has no faults to tell of does without it

        if isinstance(choice, tuple):
            return str(choice[1]), choice[0]
        node: Node = choice
        whole: Any = {"type": "definitions", "schema": node, "definitions": [*self._definitions.values()]}
        try:
            # A branch is called by the name of its validator, which only the validator knows.
            return SchemaValidator(whole if self._definitions else node).title, node
        except SchemaError:
            return str(node.get("ref", node["type"])), node


def _member(node: Node, part: str | int) -> Node | None:
    kind = node["type"]
    if kind in _LISTS:
        found = node.get("items_schema")
    elif kind == "dict":
        found = node.get("values_schema")
    elif kind == "tuple":
        items, rest = node["items_schema"], node.get("variadic_item_index")
        index = part if isinstance(part, int) else 0
        found = items[min(index, len(items) - 1) if rest is None else min(index, rest)] if items else None
    elif "fields" in node:
        fields = node["fields"]
        every = fields.items() if isinstance(fields, Mapping) else ((one["name"], one) for one in fields)
        found = next(
            (one["schema"] for name, one in every if part in (name, one.get("validation_alias"))),
            node.get("extras_schema"),
        )
    else:
        found = None
    return found if isinstance(found, Mapping) else None


def _definitions(schema: Node) -> dict[str, Node]:
    found: dict[str, Node] = {}
    waiting: list[object] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            if node.get("type") == "definitions":
                found |= {one["ref"]: one for one in node["definitions"]}
            waiting += [value for key, value in node.items() if key not in {"cls", "metadata"}]
        elif isinstance(node, list | tuple):
            waiting += node
    return found


def _mentions_branches(schema: object) -> bool:
    if isinstance(schema, Mapping):
        kind = schema.get("type")  # in a table of fields: the field of that name, which is no text
        return (isinstance(kind, str) and kind in _HAS_BRANCHES) or any(
            _mentions_branches(value) for key, value in schema.items() if key not in {"cls", "metadata"}
        )
    return isinstance(schema, list | tuple) and any(map(_mentions_branches, schema))
