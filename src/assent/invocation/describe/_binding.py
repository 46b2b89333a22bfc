"""The parts of a declaration as the engine calls them: `part(context, parameters)`, whatever their functions ask for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from pydantic import TypeAdapter

from assent.invocation.context.local import LocalContext
from assent.invocation.describe._claims import DeclaredPart
from assent.invocation.describe._signatures import PREPARED, Signature
from assent.invocation.describe.handler import Part, Prepared


def bound_part(part: DeclaredPart, signature: Signature, fields: Mapping[str, str]) -> Part:
    """The part as the engine calls it. A function that is written so already is taken as it is."""
    function = part.function
    is_plain = part.kind != "prepare" or signature.hints.get("return") is Prepared
    if (
        is_plain
        and signature.has_context
        and signature.whole is not None
        and len(signature.inputs) == 1
        and signature.prepared is None
    ):
        return function
    arguments = _arguments(signature, fields)
    finish: Callable[[Any], Any] = _to_prepared if part.kind == "prepare" else _as_it_is
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def awaited(context: LocalContext, parameters: object) -> object:
            positional, named = arguments(context, parameters)
            return finish(await function(*positional, **named))

        return awaited

    @wraps(function)
    def called(context: LocalContext, parameters: object) -> object:
        positional, named = arguments(context, parameters)
        return finish(function(*positional, **named))

    return called


def _arguments(
    signature: Signature, fields: Mapping[str, str]
) -> Callable[[LocalContext, Any], tuple[tuple[LocalContext, ...], dict[str, Any]]]:
    # `Any` above: parameters are whatever type the function says, which validation has proved.
    whole = signature.whole
    own = () if whole is not None else tuple((name, fields[name]) for name in signature.inputs)
    prepared = signature.prepared

    def arguments(
        context: LocalContext, parameters: Any
    ) -> tuple[tuple[LocalContext, ...], dict[str, Any]]:  # `Any`: as above
        named = {name: getattr(parameters, python) for name, python in own}
        if whole is not None:
            named[whole] = parameters
        if prepared is not None:
            named[PREPARED] = prepared.validate_python(dict(context.prepared or {}))
        return ((context,) if signature.has_context else ()), named

    return arguments


def _to_prepared(given: object) -> Prepared:
    match given:
        case Prepared():
            return given
        case None:
            return Prepared()
        case Mapping():
            return Prepared(dict(given))
        case _:
            state = TypeAdapter(type(given)).dump_python(given, mode="json")
            return Prepared(state)


def _as_it_is(given: object) -> object:
    return given
