"""Validators of schemas that somebody else wrote: data, which must not reach the network or burn the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator


def validator_of(schema: dict[str, Any]) -> Draft202012Validator:  # `Any`: a JSON Schema
    """The validator: offline, and with patterns run in linear time, so without look-around and back-references.

    Raises what jsonschema-rs does for what is no schema.
    """
    import jsonschema_rs  # 40 ms to load, and plain declarations need none

    return jsonschema_rs.Draft202012Validator(
        schema, offline=True, pattern_options=jsonschema_rs.RegexOptions()
    )
