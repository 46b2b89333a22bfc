"""Where a call stands, and which moves are legal.

Theory of operation. A call is received, its inputs are validated, the gate allows it, `prepare` has looked at the world,
`execute` changes it; then it has succeeded or failed. A call enters at the top, except for two that continue what the journal
tells of: an intent that another process journaled enters at `executing`, taking an effect back enters at `compensating`. Each
call has a context of its own, so that a second attempt, or a compensation, never meets what an earlier one left behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from assent.errors import InternalError


class CallPhase(StrEnum):
    """Where a call stands."""

    RECEIVED = "received"
    VALIDATED = "validated"
    AUTHORIZED = "authorized"
    PREPARED = "prepared"
    EXECUTING = "executing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    COMPENSATING = "compensating"

    # Set below, from the table: asking an enum's member for itself is cheaper than looking it up, and each call asks five times.
    following: tuple[CallPhase, ...]


CALL_TRANSITIONS: Final[Mapping[CallPhase, frozenset[CallPhase]]] = MappingProxyType(
    {
        CallPhase.RECEIVED: frozenset({CallPhase.VALIDATED, CallPhase.FAILED}),
        CallPhase.VALIDATED: frozenset({CallPhase.AUTHORIZED, CallPhase.FAILED}),
        CallPhase.AUTHORIZED: frozenset({CallPhase.PREPARED, CallPhase.FAILED}),
        CallPhase.PREPARED: frozenset({CallPhase.EXECUTING, CallPhase.FAILED}),
        CallPhase.EXECUTING: frozenset({CallPhase.SUCCEEDED, CallPhase.FAILED, CallPhase.COMPENSATING}),
        CallPhase.SUCCEEDED: frozenset(),
        CallPhase.FAILED: frozenset(),
        CallPhase.COMPENSATING: frozenset({CallPhase.SUCCEEDED, CallPhase.FAILED}),
    }
)
"""Phase to the phases that may follow it."""

for _phase, _following in CALL_TRANSITIONS.items():
    _phase.following = tuple(_following)

CALL_ENTRIES: Final = frozenset({CallPhase.RECEIVED, CallPhase.EXECUTING, CallPhase.COMPENSATING})
"""Where a call may begin: asked for, continued from a journaled intent, or to take an effect back."""


def require_entry(phase: CallPhase) -> None:
    """Refuse (`ILLEGAL_TRANSITION`) a call that would begin in the middle."""
    if phase not in CALL_ENTRIES:
        raise InternalError("ILLEGAL_TRANSITION", f"a call can't begin as `{phase.value}`")


def illegal_transition(before: CallPhase, after: CallPhase) -> InternalError:
    """The error (`ILLEGAL_TRANSITION`) for a move that the table does not have."""
    return InternalError(
        "ILLEGAL_TRANSITION",
        f"a call that is `{before.value}` can't become `{after.value}`",
        details={"from": before.value, "to": after.value},
    )
