"""A request for a server's tools that is made again, beside the SDK: whether they are the same is seen from the answer's bytes.

It comes before each call, and what reads and checks all of a list each time takes longer than the call.
"""

from __future__ import annotations

from itertools import count
from typing import Any, Final

import msgspec

from assent.errors import Json
from assent.spec.values.typed import decode, decoder

_METHOD: Final = b'"tools/list"'


class _Answer(msgspec.Struct):
    """What of a message is looked at; `result` stays as it came."""

    id: Any = None  # `Any`: JSON
    result: msgspec.Raw = msgspec.Raw()


_ANSWERS: Final = decoder(_Answer)


class Listing:
    """A request as the SDK made it, with the protocol's revision and all that goes with that."""

    def __init__(self, message: dict[str, Json]) -> None:
        self._message = message
        self._numbers = count(1)

    @classmethod
    def of(cls, data: bytes) -> Listing | None:
        """The request that these bytes are; None where they ask for something else, or for a further page."""
        if _METHOD not in data:
            return None
        message: dict[str, Any] = decode(data)  # `Any`: as above
        is_first = message.get("method") == "tools/list" and "cursor" not in message.get("params", {})
        return cls(message) if is_first else None

    def anew(self) -> tuple[str, bytes]:
        """The same under an id of its own, unlike any of the SDK's."""
        ident = f"assent-{next(self._numbers)}"
        return ident, msgspec.json.encode({**self._message, "id": ident})

    @staticmethod
    def answer_in(data: bytes) -> tuple[str, bytes | None]:
        """The id of ours that a message answers, empty for none, and the result in it; None for an error."""
        try:
            found = _ANSWERS.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return "", None
        return found.id if isinstance(found.id, str) else "", bytes(found.result) or None
