"""What the record is told of the requests that a call sends."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from assent.errors import Json


class RequestNote(msgspec.Struct, frozen=True):
    """For the record: a request, the `number`-th of its call, that is about to be sent."""

    ids: Mapping[str, Json]
    number: int
    method: str
    request: Mapping[str, Json]


class AnswerNote(msgspec.Struct, frozen=True):
    """For the record: how it ended."""

    ids: Mapping[str, Json]
    number: int
    status: int | None = None
    size: int = 0
    code: str | None = None
