"""Text that refers to secrets: what counts as a reference, and that nothing else does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from assent.errors import InputError
from assent.invocation.call._shape import Shape
from assent.spec.schemas.schema import schema_of
from assent.spec.secret_text import SecretText, is_secret_name
from assent.spec.types import SecretJson
from assent.spec.types import SecretText as FromTypes


class Request(BaseModel):
    """A request whose header and body may refer to secrets."""

    url: str
    header: SecretText = SecretText("")
    body: SecretJson = None


def shape() -> Shape:
    schema: Any = schema_of(Request)
    return Shape(schema, Request, code="INVALID_INPUT", of="it", shows_values=True)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("plain", ()),
        ("Bearer secret://mail/token", ("mail/token",)),
        ("secret://a:secret://b@host", ("a", "b")),
        ("secret://a secret://a", ("a",)),
        ("see secret://a.b. Then", ("a.b",)),
        ("secret://{a}bc", ("a",)),
        ("secret://{a.}", ("a.",)),
    ],
)
def test_a_reference_ends_where_its_name_does(text: str, names: tuple[str, ...]) -> None:
    assert SecretText.parse(text).names == names


@pytest.mark.parametrize(
    "text", ["secret://", "x secret://-a", "secret://{a", "secret://{}", "secret://a secret:// b"]
)
def test_a_reference_without_a_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be followed by"):
        SecretText.parse(text)
    with pytest.raises(InputError, match="is followed by a secret's name"):
        shape().read({"url": "a", "header": text})


def test_what_a_value_holds_is_not_looked_at_again() -> None:
    assert (
        SecretText("<secret://a|secret://{b}>").filled({"a": "secret://b", "b": "1"}.__getitem__)
        == "<secret://b|1>"
    )


def test_only_declared_fields_are_marked_and_json_shows_no_marks() -> None:
    python, plain = shape().read(
        {"url": "secret://a", "header": "secret://b", "body": {"k": ["secret://c", 1]}}
    )
    assert not isinstance(python.url, SecretText)
    assert isinstance(python.header, SecretText)
    assert isinstance(python.body["k"][0], SecretText)
    assert plain == {"url": "secret://a", "header": "secret://b", "body": {"k": ["secret://c", 1]}}
    assert msgspec.json.decode(msgspec.json.encode(plain)) == plain
    assert FromTypes is SecretText


def test_a_handler_without_types_may_return_its_marked_texts() -> None:
    free = Shape({}, None, code="INVALID_OUTPUT", of="it", shows_values=False)
    assert free.write({"a": SecretText("secret://b")}) == {"a": "secret://b"}
    with pytest.raises(InputError):
        free.write({"a": object()})


def test_a_secret_has_a_name_of_letters_digits_and_a_few_signs() -> None:
    assert all(map(is_secret_name, ("a", "mail/token", "A.b_c-d/1")))
    assert not any(map(is_secret_name, ("", "/a", "a b", "a\n", "é", "a" * 129)))
