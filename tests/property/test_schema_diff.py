"""A difference of schemas against a validator of others: what it calls harmless must be."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from assent.versions.schema_diff import Direction, diff_schemas
from tests.support.properties import holds
from tests.support.schemas import Schema, all_values, fits, pairs, roots, small_objects, values
from tests.support.seeds import examples


def is_breaking(old: Schema, new: Schema, direction: Direction) -> bool:
    return any(change.is_breaking for change in diff_schemas(old, new, direction))


def opened(schema: Any) -> Any:
    """The schema as a reader means it who passes over fields that it does not know."""
    if isinstance(schema, dict):
        return {
            key: opened(item)
            for key, item in schema.items()
            if (key, item) != ("additionalProperties", False)
        }
    return [opened(item) for item in schema] if isinstance(schema, list) else schema


def suits_reader(schema: Schema, value: Any) -> bool:
    """Whether a reader who was told this schema can take the value."""
    return fits(schema, value) or fits(opened(schema), value)


@pytest.mark.slow
@holds("breaking_change_detection")
@settings(
    max_examples=examples(400), suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(pair=pairs(), data=st.data())
def test_what_a_caller_of_the_old_may_send_is_accepted_when_no_input_change_breaks(
    pair: tuple[Schema, Schema], data: st.DataObject
) -> None:
    """Whatever the older schema allows, the newer one allows, unless the difference says that it breaks."""
    old, new = pair
    if is_breaking(old, new, "input"):
        event("breaking")
        return
    event("harmless" if old != new else "equal")
    value = data.draw(values(old))
    assume(fits(old, value))
    assert fits(new, value), (old, new, value)


@pytest.mark.slow
@holds("breaking_change_detection")
@settings(
    max_examples=examples(400), suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(pair=pairs(), data=st.data())
def test_what_the_new_may_give_suits_a_reader_of_the_old_when_no_output_change_breaks(
    pair: tuple[Schema, Schema], data: st.DataObject
) -> None:
    """Whatever the newer schema gives, the older one allows, unless the difference says that it breaks."""
    old, new = pair
    if is_breaking(old, new, "output"):
        return
    value = data.draw(values(new))
    assume(fits(new, value))
    assert suits_reader(old, value), (old, new, value)


@holds("breaking_change_detection")
@settings(max_examples=examples(500))
@given(old=small_objects(), new=small_objects(), is_closed=st.booleans())
def test_a_change_of_a_small_object_is_breaking_exactly_when_some_value_is_refused(
    old: Schema, new: Schema, *, is_closed: bool
) -> None:
    """Where every value can be tried, breaking is neither too much nor too little."""
    if is_closed:
        old, new = ({**schema, "additionalProperties": False} for schema in (old, new))
    refused = [value for value in all_values(old) if not fits(new, value)]
    assert is_breaking(old, new, "input") == bool(refused), refused[:1]
    unexpected = [value for value in all_values(new) if not suits_reader(old, value)]
    assert is_breaking(old, new, "output") == bool(unexpected), unexpected[:1]


@holds("version_diff")
@given(schema=roots)
def test_equal_schemas_have_no_difference(schema: Schema) -> None:
    """A schema does not differ from itself, nor from a copy of it."""
    assert diff_schemas(schema, copy.deepcopy(schema), "input") == []
    assert diff_schemas(schema, copy.deepcopy(schema), "output") == []


def _object(fields: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": fields}


_fields = st.dictionaries(
    st.sampled_from(["name", "size", "tags", "owner", "state"]),
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "maxLength": 5},
            {"type": "integer", "minimum": 1},
            {"type": "array", "items": {"type": "string"}},
            {"enum": ["a", "b"]},
            _object({"inner": {"type": "number"}}),
            _object({"inner": {"type": "null"}}),
        ]
    ),
)


@holds("version_diff")
@given(old=_fields, new=_fields)
def test_the_difference_names_every_changed_field_and_no_other(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    """Each field that was added, removed or changed is the path, or the beginning of the path, of a change."""
    found = {
        change.path.split(".")[1].rstrip("[]") for change in diff_schemas(_object(old), _object(new), "input")
    }
    changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
    assert found == changed


@holds("version_diff")
@given(pair=pairs())
def test_what_breaks_readers_on_the_way_back_breaks_senders_on_the_way_there(
    pair: tuple[Schema, Schema],
) -> None:
    """The two directions are one comparison, but that readers pass over what they do not know."""
    old, new = pair
    if is_breaking(new, old, "output"):
        assert is_breaking(old, new, "input")
