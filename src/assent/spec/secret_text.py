"""References to secrets inside of text: `Bearer secret://mail/token`. What stands for a value, and never the value.

A reference counts only where a field was declared to take it (`SecretText`, `SecretJson`, `SecretReference`). In every other
text, in files and in answers from outside, `secret://` is four letters of somebody else's: whoever wrote them gets no secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from assent._lazy import compiled_when_asked

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

TEXT_FORMAT: Final = "secret-text"
REFERENCE_FORMAT: Final = "secret-reference"
SCHEME: Final = "secret://"
NAME_PATTERN: Final = "[A-Za-z0-9][A-Za-z0-9._/-]{0,127}"

_EXPECTED: Final = "text in which `secret://` is followed by a secret's name, like `secret://mail/token`"
_NAME: Final = compiled_when_asked(NAME_PATTERN)
# Bare, a name ends with a letter or digit, so that a sentence's full stop is no part of it; in braces it is whatever they hold.
_IN_TEXT: Final = compiled_when_asked(
    rf"secret://(?:\{{({NAME_PATTERN})\}}|([A-Za-z0-9](?:[A-Za-z0-9._/-]{{0,126}}[A-Za-z0-9])?))"
)


def is_secret_name(text: str) -> bool:
    """Whether a secret can be called so: letters, digits and `._/-`, at most 128, starting with a letter or digit."""
    return _NAME.fullmatch(text) is not None


def variable_of(name: str) -> str:
    """The part of an environment variable's name that stands for a secret: `mail/token` is `MAIL_TOKEN`."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


class SecretText(str):
    """Text in which `secret://NAME` and `secret://{NAME}` stand for secrets. Only `context.reveal` puts the values in.

    It is a text like any other, and shows the names: they are no secrets. In JSON Schema it has the format `secret-text`.
    """

    __slots__ = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The secrets that it refers to, each once, in the order they stand there."""
        return tuple(dict.fromkeys(_references(self)))

    def filled(self, value_of: Callable[[str], str]) -> str:
        """The text with each reference replaced by what `value_of` gives for its name; what a value holds is not looked at."""
        return _IN_TEXT.sub(lambda found: value_of(found[1] or found[2]), self)

    @classmethod
    def parse(cls, text: str) -> SecretText:
        """A text from outside. `ValueError` for a `secret://` that no name follows: sent as it is, it would be a mistake."""
        if text.count(SCHEME) != sum(1 for _ in _IN_TEXT.finditer(text)):
            message = "`secret://` must be followed by a secret's name"
            raise ValueError(message)
        return cls(text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _schema_of({"type": "str"})

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:  # `Any`: pydantic's own name for a JSON Schema
        return {"type": "string", "format": TEXT_FORMAT}


class AnySecretText:
    """Marks a type of any JSON in which every text is a `SecretText`; keys are not."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _schema_of({"type": "any"})

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:  # `Any`: as above
        return {"format": TEXT_FORMAT}


def marked(value: Any) -> Any:  # `Any`: JSON in, the same with marked texts out
    """The JSON value with every text in it as a `SecretText`; `ValueError` as `SecretText.parse`."""
    if isinstance(value, str):
        return SecretText.parse(value)
    if isinstance(value, Mapping):
        return {key: marked(item) for key, item in value.items()}
    return [marked(item) for item in value] if isinstance(value, list | tuple) else value


def _references(text: str) -> Iterator[str]:
    return (found[1] or found[2] for found in _IN_TEXT.finditer(text))


def _marked(value: Any) -> Any:  # `Any`: as above
    from pydantic_core import PydanticCustomError

    from assent.spec.documents.faults import EXPECTED

    try:
        return marked(value)
    except ValueError:
        raise PydanticCustomError(EXPECTED, "must be {expected}", {"expected": _EXPECTED}) from None


def _plain(value: Any) -> Any:  # `Any`: as above
    """Without the marks: the type that a text has does not show in JSON."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _schema_of(inner: CoreSchema) -> CoreSchema:
    from pydantic_core import core_schema

    written = core_schema.plain_serializer_function_ser_schema(_plain)
    return core_schema.no_info_after_validator_function(_marked, inner, serialization=written)
