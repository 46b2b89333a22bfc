"""Requests that are written before their values are known: `{NAME}` in an address, in a header and in a body.

Only the names that were declared are placeholders; other braces are what they are. A value becomes nothing but a value: in an
address it is percent-encoded and stands behind the host, and no value is looked at for secrets or further placeholders.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from assent.errors import Json, RefusedError
from assent.invocation import CancelToken, NoEffectError
from assent.spec.values.frozen import thaw

KEY: Final = "idempotency_key"
Values: TypeAlias = Mapping[str, Json]

_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def require_expressions(expressions: Mapping[str, str]) -> None:
    """Do nothing, or raise `NoEffectError` HTTP_REQUEST_INVALID for the first text that is no JMESPath."""
    from assent.capabilities.data._query import parse

    for name, expression in expressions.items():
        try:
            parse(expression)
        except NoEffectError as error:
            raise NoEffectError(
                "HTTP_REQUEST_INVALID", f"`{name}` is not a JMESPath expression: {error.message}", path=name
            ) from None


def require_fixed_host(url: str) -> None:
    """Do nothing, or raise `NoEffectError` HTTP_REQUEST_INVALID: where a request goes is known before anything is sent."""
    host = _AUTHORITY.match(url)
    if host is None or "{" in host[0]:
        raise NoEffectError(
            "HTTP_REQUEST_INVALID",
            "the address has a placeholder in its host, so nobody could have allowed it beforehand",
            path="url",
            hint="write scheme, host and port out; placeholders stand behind them",
        )


async def searched(expression: str, answer: Json, cancel: CancelToken) -> Json:
    """What a JMESPath expression finds in an answer; null when it can't be evaluated on this one, or only with too much work.

    Answer and expression are both a stranger's: the work is counted, and done in a thread.
    """
    from assent.capabilities.data._query import search

    try:
        return await asyncio.to_thread(search, thaw(answer), expression, cancel)
    except NoEffectError as error:
        if error.code == "CALL_CANCELLED":
            raise
        return None


def in_url(url: str, values: Values) -> str:
    """The address with its values in place. Raises `RefusedError` UNDO_IMPOSSIBLE for one that can't stand in an address."""

    def value_of(found: re.Match[str]) -> str:
        name = found[1]
        text = _text(name, values[name])
        if text in ("", ".", ".."):
            # `/items/` and `/items/..` are other things than an item, and worse ones to delete.
            raise unusable(name)
        return quote(text, safe="")

    return _placeholders(values).sub(value_of, url)


def in_text(text: str, values: Values) -> str:
    """A text with its values in place."""
    return _placeholders(values).sub(lambda found: _text(found[1], values[found[1]]), text)


def in_json(value: Any, values: Values) -> Any:  # `Any`: JSON in, JSON out
    """JSON with its values in place. A text that is nothing but a placeholder becomes the value itself."""
    match value:
        case str():
            whole = _placeholders(values).fullmatch(value)
            return values[whole[1]] if whole is not None else in_text(value, values)
        case dict():
            return {name: in_json(item, values) for name, item in value.items()}
        case list():
            return [in_json(item, values) for item in value]
        case _:
            return value


def has_any(value: Any, names: Collection[str]) -> bool:  # `Any`: JSON
    """Whether a placeholder of one of these names stands anywhere in JSON."""
    match value:
        case str():
            return _placeholders(dict.fromkeys(names)).search(value) is not None
        case dict():
            return any(has_any(item, names) for item in value.values())
        case list():
            return any(has_any(item, names) for item in value)
        case _:
            return False


def unusable(name: str) -> RefusedError:
    """The refusal to send a request whose value was not in the answer."""
    return RefusedError(
        "UNDO_IMPOSSIBLE",
        f"the answer of the request has no usable value for `{name}`",
        path=f"compensation.from_answer.{name}",
        hint="look at the step's output, offset the request by hand, and say so with `assent resolve`",
    )


def _placeholders(values: Values) -> re.Pattern[str]:
    names = "|".join(map(re.escape, values))
    return re.compile(rf"\{{({names})\}}") if names else re.compile(r"(?!)")


def _text(name: str, value: Json) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            raise unusable(name)
