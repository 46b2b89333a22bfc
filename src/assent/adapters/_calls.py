"""What all adapters share: calls of a session, whichever kind it is, and what a model is told of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from assent.runtime import CallResult, Session
from assent.spec.states import StepState

if TYPE_CHECKING:
    from assent import sync

AnySession: TypeAlias = "Session | sync.Session"


def awaited(session: AnySession) -> Session:
    """The session, to be awaited in whichever loop asks."""
    return session if isinstance(session, Session) else session.awaited()


def waits(result: CallResult) -> bool:
    """Whether something has yet to come of the call: a person decides, most often."""
    return result.status.is_unsettled


def succeeded(result: CallResult) -> bool:
    """Whether the call did what was asked."""
    return result.status is StepState.SUCCEEDED


def told(result: CallResult) -> str:
    """What a model reads: what the call gave, or else why it did not happen, and what would be allowed instead."""
    return json.dumps(result.output if succeeded(result) else result.to_json(), ensure_ascii=False)
