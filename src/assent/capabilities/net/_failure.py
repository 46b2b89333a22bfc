"""What went wrong with a request, before it is known what that means for the call."""

from __future__ import annotations

from collections.abc import Mapping

from assent.errors import AssentError, Json, WorldError
from assent.invocation import NoEffectError


class HttpFailure(Exception):
    """A request that came to no good answer. `was_sent`: bytes of it may have reached the other side."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        details: Mapping[str, Json] | None = None,
        was_sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint
        self.details: dict[str, Json] = dict(details or {})
        self.was_sent = was_sent

    def to_error(self, *, is_safe: bool) -> AssentError:
        """The call's error. A safe method (RFC 9110 §9.2.1) has no effect that anybody would take back, sent or not."""
        kind = NoEffectError if is_safe or not self.was_sent else WorldError
        return kind(self.code, self.message, hint=self.hint, details=self.details)
