"""The states that a run, a step and an effect can be in: closed sets, spelled as people script against them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

PRIORITY: Final = 5
PRIORITY_MAX: Final = 10
"""How urgent a run is where nobody says it, and at most; 0 is the least."""


REFUSALS: Final = frozenset(
    {
        "POLICY_DENIED",
        "POLICY_ERROR",
        "AGENT_REFUSED",
        "INPUTS_NOT_ALLOWED",
        "LIMIT_REACHED",
        "APPROVAL_REJECTED",
        "APPROVAL_EXPIRED",
    }
)
"""Codes of what the policy or a person refused: every door tells a run that ended with one as refused, and not as failed."""

UNBEGUN: Final = frozenset({"RATE_LIMITED", "CALL_NOT_BEGUN"})
"""Codes of a call that never began, and so had no effect and counts against no limit; unless its handler says so itself."""


class RunState(StrEnum):
    """Where a run stands. `interrupted` is never recorded: it is how a run is told of that should move and that nobody drives."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"
    UNDOING = "undoing"
    UNDONE = "undone"
    NEEDS_ATTENTION = "needs_attention"
    INTERRUPTED = "interrupted"

    @property
    def is_finished(self) -> bool:
        """Nothing more happens to the run by itself; what it left may still be undone."""
        return self in _FINISHED

    @property
    def is_settled(self) -> bool:
        """The same, or a person has to say what became of a step."""
        return self.is_finished or self is RunState.NEEDS_ATTENTION

    @property
    def is_moving(self) -> bool:
        """Somebody should drive the run; where nobody does, it is told of as `interrupted`."""
        return self in _MOVING


_FINISHED = frozenset(
    {RunState.SUCCEEDED, RunState.FAILED, RunState.ROLLED_BACK, RunState.CANCELLED, RunState.UNDONE}
)

_MOVING = frozenset({RunState.PENDING, RunState.RUNNING, RunState.ROLLING_BACK, RunState.UNDOING})


class StepState(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    DENIED = "denied"
    AWAITING_APPROVAL = "awaiting_approval"
    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    SKIPPED = "skipped"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"

    @property
    def is_unsettled(self) -> bool:
        """Whether there is no outcome yet: nobody has decided about it, or it has not been carried out."""
        return self in _UNSETTLED


_UNSETTLED: Final = frozenset(
    {StepState.PENDING, StepState.AWAITING_APPROVAL, StepState.WAITING, StepState.RUNNING}
)


class Effect(StrEnum):
    """What is known of an attempt's effect on the world. Unknown is not none."""

    NONE = "none"
    DONE = "done"
    UNKNOWN = "unknown"


class Mode(StrEnum):
    """How a run takes its steps: all known beforehand, or one at a time."""

    WORKFLOW = "workflow"
    SESSION = "session"


class Verdict(StrEnum):
    """What a capability answers when asked whether its effect happened."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Resolution(StrEnum):
    """What a person says of a step that the runtime could not settle."""

    HAPPENED = "happened"
    NOT_HAPPENED = "not_happened"
    COMPENSATED = "compensated"
    ABANDON = "abandon"


SETTLED_BY: Final[Mapping[str, tuple[Resolution, ...]]] = {
    StepState.IN_DOUBT.value: tuple(Resolution),
    StepState.COMPENSATION_FAILED.value: (Resolution.COMPENSATED, Resolution.ABANDON),
}
"""The steps that need a person's word, by their state, and what it may say."""


class OnBusy(StrEnum):
    """What a run does at its start whose concurrency key is taken; see `ConcurrencySpec`."""

    QUEUE = "queue"
    REFUSE = "refuse"
    CANCEL_WAITING = "cancel_waiting"
    CANCEL_RUNNING = "cancel_running"


class Undo(StrEnum):
    """Whether and how a step can be taken back, as a plan shows it."""

    NOT_NEEDED = "not_needed"
    AUTOMATIC = "automatic"
    COMPENSATION = "compensation"
    NONE = "none"
