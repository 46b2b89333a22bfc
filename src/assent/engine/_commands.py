"""What may be said to a run: reports of what came of an effect, and what people want.

Commands are data. They may arrive twice (a crash, a distributed driver), so the machine ignores a report about an attempt that is
already settled instead of refusing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from assent.spec import events as ev
from assent.spec.ids import Commitment, StepKey
from assent.spec.principal import Principal
from assent.spec.states import Effect, Resolution, Verdict


@dataclass(frozen=True, slots=True)
class Actor:
    """Who gives a command: the principal, whether it was merely asserted (`--as`), and the operating system's user id."""

    principal: Principal
    asserted: bool = False
    os_uid: int | None = None


StepEvent: TypeAlias = (
    ev.StepsExpanded
    | ev.StepSkipped
    | ev.StepDenied
    | ev.StepStarted
    | ev.ApprovalRequested
    | ev.ApprovalRejected
    | ev.ApprovalVoided
)
"""What an admission can lead to."""


@dataclass(frozen=True, slots=True)
class Admit:
    """The shell looked at a step that may begin; `events` say what the gate and the preparation led to. All are the step's."""

    events: tuple[StepEvent, ...]


@dataclass(frozen=True, slots=True)
class AddStep:
    """A session receives another step."""

    event: ev.StepAdded


@dataclass(frozen=True, slots=True)
class Succeeded:
    """An attempt's effect is done and its output is valid."""

    step: StepKey
    attempt: int
    output: Commitment
    effect: Effect


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed; attempt 0: the step could not begin.

    `retry_at_ms`: the retry policy allows another one then. `is_alive`: its thread did not end.
    """

    step: StepKey
    attempt: int
    code: str
    effect: Effect
    error: Commitment | None = None
    retry_at_ms: int | None = None
    is_alive: bool = False


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The capability said whether an unsettled effect happened; `may_repeat`: the spec calls it idempotent."""

    step: StepKey
    attempt: int
    verdict: Verdict
    foreign: bool = False
    may_repeat: bool = False
    output: Commitment | None = None
    retry_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Doubted:
    """Nobody can say what became of an attempt; `code` says why (`CAPABILITY_CHANGED`, `EFFECT_UNKNOWN`)."""

    step: StepKey
    attempt: int
    code: str


@dataclass(frozen=True, slots=True)
class Compensating:
    """The shell is about to take a step's effect back, for the `attempt`-th time."""

    step: StepKey
    attempt: int


@dataclass(frozen=True, slots=True)
class Compensated:
    """A step's effect is taken back."""

    step: StepKey


@dataclass(frozen=True, slots=True)
class NotCompensated:
    """Taking a step's effect back failed; `may_repeat`: trying again may help."""

    step: StepKey
    code: str
    error: Commitment | None
    may_repeat: bool


@dataclass(frozen=True, slots=True)
class Finish:
    """Every step has passed; `outputs` binds the run's outputs."""

    outputs: Commitment


@dataclass(frozen=True, slots=True)
class Abort:
    """The run can't finish although its steps passed (its outputs can't be computed)."""

    code: str


@dataclass(frozen=True, slots=True)
class Approve:
    """A principal agrees. `digest`: what the approver saw; None: not confirmed. `step` None: the only open question."""

    actor: Actor
    step: StepKey | None
    digest: str | None
    now_ms: int


@dataclass(frozen=True, slots=True)
class Reject:
    """A principal refuses."""

    actor: Actor
    step: StepKey | None
    reason: Commitment | None
    now_ms: int


@dataclass(frozen=True, slots=True)
class Expire:
    """The clock passed an approval's limit."""

    step: StepKey


@dataclass(frozen=True, slots=True)
class Cancel:
    """A principal wants the run to stop and be taken back."""

    actor: Actor


@dataclass(frozen=True, slots=True)
class Close:
    """No more steps will be added to a session."""


@dataclass(frozen=True, slots=True)
class Recover:
    """A new owner takes over; `retry`: a person wants another try of what needs attention."""

    retry: bool


@dataclass(frozen=True, slots=True)
class RequestUndo:
    """A principal wants a succeeded run taken back, and the gate answered; `approval` is set when people must be asked."""

    request: ev.UndoRequested
    approval: ev.ApprovalRequested | None = None


@dataclass(frozen=True, slots=True)
class BeginUndo:
    """Every conflict was looked for; None: there is none."""

    refusal: ev.UndoRefused | None = None


@dataclass(frozen=True, slots=True)
class Resolve:
    """A person says what became of a step."""

    actor: Actor
    step: StepKey
    resolution: Resolution
    output: Commitment | None = None


Command: TypeAlias = (
    Admit
    | AddStep
    | Succeeded
    | Failed
    | Reconciled
    | Doubted
    | Compensating
    | Compensated
    | NotCompensated
    | Finish
    | Abort
    | Approve
    | Reject
    | Expire
    | Cancel
    | Close
    | Recover
    | RequestUndo
    | BeginUndo
    | Resolve
)
