"""Fields that take references to secrets: a literal value where only a reference may stand is refused and not repeated."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from assent.errors import InputError, Json
from assent.invocation import BoundCapability, Handler
from assent.invocation.call._shape import Shape
from assent.spec import create_read_capability
from assent.spec.schemas.schema import schema_of
from assent.spec.secret_fields import STORE_IT, SecretFields
from assent.spec.secret_text import SecretText
from assent.spec.types import SecretReference

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "password": {"type": "string", "writeOnly": True},
        "many": {"type": "array", "items": {"$ref": "#/$defs/login"}},
        "header": {"type": "string", "format": "secret-text"},
        "key": {
            "anyOf": [{"type": "null"}, {"type": "string", "format": "secret-reference", "writeOnly": True}]
        },
        "body": {"format": "secret-text"},
        "note": {"type": "string"},
    },
    "$defs": {"login": {"type": "object", "writeOnly": True}},
}


def refused_by(schema: dict[str, Any], value: dict[str, Json]) -> InputError:
    with pytest.raises(InputError) as refused:
        SecretFields(schema).require_references(value, "demo.login")
    assert "hunter2" not in str(refused.value.to_dict())
    return refused.value


def untyped() -> Shape:
    return Shape(SCHEMA, None, code="INVALID_INPUT", of="the inputs", shows_values=True)


def refusal(shape: Shape, value: dict[str, Json]) -> InputError:
    with pytest.raises(InputError) as refused:
        shape.read(value)
    assert "hunter2" not in str(refused.value.to_dict())
    return refused.value


def test_a_value_in_place_of_a_reference_is_refused_with_what_to_do() -> None:
    error = refused_by(
        SCHEMA,
        {"password": "hunter2", "many": [{"user": "secret://a", "pass": ["hunter2", 7]}], "key": "hunter2"},
    )
    assert error.code == "INVALID_INPUT"
    faults: Any = error.details["faults"]
    assert [fault["path"] for fault in faults] == [
        ["password"],
        ["many", 0, "pass", 0],
        ["many", 0, "pass", 1],
        ["key"],
    ]
    assert "`password` must be a reference to a secret, like `secret://mail/token`" in error.message
    assert "assent secrets set NAME" in str(error.hint)


def test_references_and_nothing_at_all_are_taken() -> None:
    value: dict[str, Json] = {
        "password": "secret://a",
        "many": [{"user": "x secret://{b} y", "on": True, "none": None}],
        "key": None,
        "note": "hunter2",
    }
    SecretFields(SCHEMA).require_references(value, "demo.login")
    assert SecretFields(SCHEMA).are_references(value)
    assert SecretFields({"type": "object"}).are_references({"password": "hunter2"})


def test_a_handler_without_types_gets_marked_texts_where_its_schema_says_so() -> None:
    value: dict[str, Json] = {
        "header": "Bearer secret://a",
        "key": "secret://b",
        "body": {"deep": ["secret://c"]},
        "note": "secret://d",
    }
    python, plain = untyped().read(value)
    assert plain == value
    assert python == value
    assert [type(text) for text in (python["header"], python["key"], python["body"]["deep"][0])] == [
        SecretText
    ] * 3
    assert type(python["note"]) is str
    assert type(plain["header"]) is str
    assert "must be followed by" in refusal(untyped(), {"header": "secret://"}).message


def test_typed_parameters_are_held_to_the_same() -> None:
    class Login(BaseModel):
        """A login."""

        key: SecretReference
        password: str = Field(default="", json_schema_extra={"writeOnly": True})

    schema: Any = schema_of(Login)
    assert "`password`" in refused_by(schema, {"key": "secret://a", "password": "hunter2"}).message
    bound = BoundCapability(
        create_read_capability("demo.login", parameters=Login),
        Handler(lambda context, parameters: None, parameters=Login),
    )
    assert bound.parse({"key": "secret://a"})[0].key == SecretReference("a")
    with pytest.raises(InputError, match="must be a reference to a secret") as refused:
        bound.parse({"key": "hunter2"})
    assert "hunter2" not in str(refused.value.to_dict())
    assert refused.value.hint == STORE_IT
    with pytest.raises(InputError) as other:
        bound.parse({"key": "secret://a", "more": 1})
    assert other.value.hint != STORE_IT


def test_the_length_of_a_text_with_references_is_told_in_characters() -> None:
    class Sent(BaseModel):
        short: Annotated[SecretText, Field(max_length=5)] = SecretText("")
        long: Annotated[SecretText, Field(min_length=30)] = SecretText("x" * 30)
        many: Annotated[list[SecretText], Field(max_length=1)] = Field(default_factory=list)

    schema: Any = schema_of(Sent)
    for shape in (
        Shape(schema, Sent, code="INVALID_INPUT", of="the inputs", shows_values=True),
        Shape(schema, None, code="INVALID_INPUT", of="the inputs", shows_values=True),
    ):
        assert "`short` must have at most 5 characters" in refusal(shape, {"short": "secret://a"}).message
        assert "`long` must have at least 30 characters" in refusal(shape, {"long": "secret://a"}).message
        assert "`many` must have at most 1 entries" in refusal(shape, {"many": ["a", "b"]}).message
