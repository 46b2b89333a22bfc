"""What all answers are, and the one error object in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from assent.errors import Json
else:
    Json = Any  # msgspec has no recursive types: what stands here is whatever JSON came out


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one request; which one, its request says."""


class Fault(Answer, frozen=True, kw_only=True):
    """What went wrong, as the one error object that is used everywhere."""

    code: str
    message: str
    path: str | None = None
    hint: str | None = None
    details: dict[str, Json] = {}
