"""What the record is told of the requests that a call sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assent.errors import Json


@dataclass(frozen=True, slots=True)
class RequestNote:
    """For the record: a request, the `number`-th of its call, that is about to be sent."""

    ids: Mapping[str, Json]
    number: int
    method: str
    request: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class AnswerNote:
    """For the record: how it ended."""

    ids: Mapping[str, Json]
    number: int
    status: int | None = None
    size: int = 0
    code: str | None = None
