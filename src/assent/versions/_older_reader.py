"""What a reader of an older version takes from an output of a newer one: the fields that it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assent.errors import Json
from assent.spec.values.frozen import thaw
from assent.versions._schema_shape import Shape


class KnownFields:
    """Leaves out of a value the fields that a schema does not name and refuses. Where a schema has alternatives nothing is."""

    def __init__(self, schema: Mapping[str, Json]) -> None:
        self._schema = thaw(schema)
        self._shape = Shape(self._schema)

    def __call__(self, value: Json) -> Json:
        """The value as the reader takes it."""
        return self._taken(value, self._schema)

    def _taken(self, value: Json, schema: Any) -> Json:
        if not isinstance(value, dict | list):
            return value
        kind = "object" if isinstance(value, dict) else "array"
        found = self._shape.alternatives(schema).get(kind, [])
        if len(found) != 1:
            return value
        keywords = found[0].keywords
        if isinstance(value, list):
            prefix = keywords.get("prefixItems", [])
            rest = keywords.get("items", True)
            return [
                self._taken(item, prefix[at] if at < len(prefix) else rest) for at, item in enumerate(value)
            ]
        properties, extra = keywords.get("properties", {}), keywords.get("additionalProperties", True)
        return {
            name: self._taken(item, properties.get(name, extra))
            for name, item in value.items()
            if name in properties or extra is not False or keywords.get("patternProperties")
        }
