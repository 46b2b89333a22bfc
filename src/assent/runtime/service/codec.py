"""Requests and answers as JSON, the same for the owner's socket and every other wire. Nobody else takes them apart.

A request travels as `{"request": {"op": "approve", "run": "run_01…"}, "by": {"principal": "user:ann"}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from assent.errors import InputError, Json
from assent.runtime.service.requests import AnyRequest, Asker, Request
from assent.spec.values.typed import convert

A = TypeVar("A")

_NAMES_OF_FILES: Final = frozenset({"base", "source"})
_PATHS: Final = _NAMES_OF_FILES | {"path", "folder"}

if TYPE_CHECKING:
    from assent.secrets.redaction import Redactor


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request with who asks it, as it travels."""

    request: AnyRequest
    by: Asker


def encode(request: Request[A], by: Asker) -> dict[str, Json]:
    """The body of a request. What vouches for the asker stays behind: who takes the request finds that out for itself."""
    body: dict[str, Json] = {
        "request": msgspec.to_builtins(request),
        "by": msgspec.to_builtins(by.as_said()),
    }
    return body


def decode(body: Mapping[str, Json], os_uid: int | None) -> Asked:
    """The request of a body, asked by a process of `os_uid`. `REQUEST_INVALID` names what is wrong and where."""
    try:
        asked = convert(body, Asked)
        require_texts(asked.request)
    except ValueError as error:  # msgspec's errors are.
        raise InputError(
            "REQUEST_INVALID",
            f"this is not a request: {str(error)[:200]}",
            hint="look at the operation in `docs/schemas/service-1.json`; both ends must be the same release of Assent",
        ) from None
    return msgspec.structs.replace(asked, by=asked.by.as_said(os_uid))


def require_texts(request: AnyRequest) -> None:
    """ValueError for a path with a NUL, and for a field that is text and has no UTF-8 form; only what names files may."""
    for name in request.__struct_fields__:
        value = getattr(request, name)
        if not isinstance(value, str):
            continue
        if name in _PATHS and "\0" in value:
            raise ValueError(f"Expected a path without NUL - at `$.request.{name}`")
        try:
            value.encode(errors="surrogateescape" if name in _NAMES_OF_FILES else "strict")
        except UnicodeEncodeError:
            message = f"Expected text with a UTF-8 form - at `$.request.{name}`"
            raise ValueError(message) from None


def answer_type(request: type[Request[A]]) -> type[A]:
    """What a kind of request is answered with: its type argument."""
    *_, base = request.__orig_bases__  # type: ignore[attr-defined]  # a generic class has it, behind what gives it fields
    found: type[A] = base.__args__[0]
    return found


def decode_answer(request: Request[A], data: Mapping[str, Json] | None) -> A:
    """The answer to a request, from what `to_json` made of it."""
    return convert(data, answer_type(type(request)))


def to_json(answer: object) -> Json:
    """An answer as the documentation shows it."""
    data: Json = msgspec.to_builtins(answer)
    return data


def hidden(answer: A, redactor: Redactor) -> A:
    """The answer with `***` in place of every secret value in its texts and free JSON; the same object when there is none.

    Numbers that have a field of their own count and date; they are nobody's secret.
    """
    if not redactor.is_active:
        return answer
    shown: A = _hidden(answer, redactor)
    return shown


def _hidden(
    value: Any, redactor: Redactor
) -> Any:  # `Any`: a field's value goes in, and one of the same type comes out
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        shown = {name: _hidden(field, redactor) for name, field in fields.items()}
        changed = {name: field for name, field in shown.items() if field is not fields[name]}
        return msgspec.structs.replace(value, **changed) if changed else value
    if isinstance(value, list) and value and isinstance(value[0], msgspec.Struct):
        return [_hidden(item, redactor) for item in value]
    if isinstance(value, dict) and any(isinstance(item, msgspec.Struct) for item in value.values()):
        return {redactor.text(name): _hidden(item, redactor) for name, item in value.items()}
    if isinstance(value, str):
        return redactor.text(value)
    return redactor.json(value) if isinstance(value, list | dict) else value
