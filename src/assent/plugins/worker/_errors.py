"""Exceptions that cross the pipe: what was raised on one side is raised on the other, as the kind of thing it was."""

from __future__ import annotations

import asyncio
import re
import traceback
from typing import Final

from assent.errors import AssentError, InputError, InternalError, Json, RefusedError, WorldError
from assent.invocation.describe.handler import NoEffectError
from assent.plugins.worker._frames import (
    TEXT_MAX,
    BrokenFrameError,
    ErrorKind,
    WireError,
    pack_json,
    unpack_json,
)

DETAILS_BYTES_MAX: Final = 1 << 20

_FAMILIES: Final[dict[ErrorKind, type[AssentError]]] = {
    "no_effect": NoEffectError,
    "input": InputError,
    "refused": RefusedError,
    "world": WorldError,
    "internal": InternalError,
    "error": AssentError,
}
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{1,63}\Z")
_CLASS: Final = re.compile(r"[^\W\d]\w{0,99}\Z")


def to_wire(error: BaseException) -> WireError:
    """An exception as it is sent. Texts are cut, and details that are no JSON, or too much, are left out."""
    if isinstance(error, AssentError):
        return WireError(
            kind=next(kind for kind, family in _FAMILIES.items() if isinstance(error, family)),
            code=cut(error.code, 512),
            message=cut(error.message),
            path=None if error.path is None else cut(error.path, 4096),
            hint=None if error.hint is None else cut(error.hint),
            details=_details(error.details),
        )
    if isinstance(error, asyncio.CancelledError):
        return WireError(kind="cancelled")
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    # The end of a traceback tells most.
    return WireError(
        kind="foreign",
        name=cut(type(error).__name__, 512),
        message=cut(_text(error)),
        trace=cut("".join(lines)[-TEXT_MAX:]),
    )


def from_wire(wire: WireError) -> Exception:
    """The exception that was sent; `BrokenFrameError` for one that nobody raises. A cancellation comes as a failure."""
    if wire.kind == "cancelled":
        return AssentError("HANDLER_FAILED", "the handler cancelled its own work")
    if wire.kind == "foreign":
        name = wire.name if _CLASS.match(wire.name) else "Exception"
        # Of a class made for it: whoever tells of it names the class, and catches it as what it is, an exception like any.
        kind: type[Exception] = type(name, (Exception,), {})
        error = kind(wire.message)
        if wire.trace:
            error.add_note(wire.trace)
        return error
    if not _CODE.match(wire.code):
        raise BrokenFrameError("an error has no code")
    details = unpack_json(wire.details)
    if details is not None and not isinstance(details, dict):
        raise BrokenFrameError("an error's details are no object")
    return _FAMILIES[wire.kind](wire.code, wire.message, path=wire.path, hint=wire.hint, details=details)


def cut(text: str, limit: int = TEXT_MAX) -> str:
    """A text that can be sent: no longer than so many characters, and every one of them a character."""
    return text[:limit].encode(errors="replace").decode()


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # whatever a foreign `__str__` does, the failure itself is told
        return ""


def _details(details: dict[str, Json]) -> bytes:
    if not details:
        return b""
    try:
        data = pack_json(details)
    except (TypeError, ValueError, RecursionError):
        return b""
    return data if len(data) <= DETAILS_BYTES_MAX else b""
