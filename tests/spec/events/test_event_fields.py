"""Which fields of an event bind payloads or hold integers is read from its annotations as text; the types say the same."""

from __future__ import annotations

from typing import get_args, get_origin, get_type_hints

import pytest

from assent.spec.events.kinds import EVENT_TYPES, Event, fields_naming
from assent.spec.ids import Commitment


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_the_text_of_annotations_says_what_the_types_say(kind: str) -> None:
    event_type: type[Event] = EVENT_TYPES[kind]
    hints = get_type_hints(event_type, include_extras=True)

    def holding(wanted: object) -> tuple[str, ...]:
        return tuple(
            name
            for name in event_type.__struct_fields__
            if hints[name] is wanted or wanted in get_args(hints[name])
        )

    assert event_type.commitment_fields == fields_naming(event_type, "Commitment") == holding(Commitment)
    assert fields_naming(event_type, "int") == holding(int)
    assert fields_naming(event_type, "tuple") == tuple(
        name
        for name in event_type.__struct_fields__
        if tuple in {get_origin(one) for one in (hints[name], *get_args(hints[name]))}
    )
