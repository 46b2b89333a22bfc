"""What may be said to a run: reports of what came of an effect, and what people want.

Commands are data. They may arrive twice (a crash, a distributed driver), so the machine ignores a report about an attempt that is
already settled instead of refusing it.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from assent.errors import Json
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment, RunId, StepKey
from assent.spec.principal import Principal, is_account
from assent.spec.states import Effect, Resolution, Verdict


class Actor(msgspec.Struct, frozen=True):
    """Who gives a command: the principal, whether it was merely asserted (`--as`), and the operating system's user id.

    `identified_by`: what says that it is this principal (`assent.spec.principal`). `request`: the id of the request in which it
    acts, where that has one: what it is recorded to have done keeps it, with `request_digest` (`assent.spec.events.kinds.Act`).
    `may_stop_runs`: the key, token or certificate by which it came is for that, too; an account may.
    """

    principal: Principal
    asserted: bool = False
    os_uid: int | None = None
    identified_by: str | None = None
    request: str | None = None
    request_digest: str | None = None
    may_stop_runs: bool = False

    @property
    def may_stop_others(self) -> bool:
        """What vouches for it lets it stop runs: then the gate may be asked about those of others."""
        return self.may_stop_runs or is_account(self.identified_by)

    def who(self) -> ev.Who:
        """The same as an event's fields."""
        return {
            "by": str(self.principal),
            "asserted": self.asserted,
            "os_uid": self.os_uid,
            "identified_by": self.identified_by,
            "request": self.request,
            "request_digest": self.request_digest,
        }


StepEvent: TypeAlias = (
    ev.StepsExpanded | ev.StepSkipped | ev.WaitStarted | ev.StepDenied | ev.StepStarted | ev.ApprovalRequested
    | ev.ApprovalRejected | ev.ApprovalVoided | ev.ConsequenceDecided
)  # fmt: skip
"""What an admission can lead to."""


class Admit(msgspec.Struct, frozen=True, gc=False):
    """The shell looked at a step that may begin; `events` say what the gate and the preparation led to. All are the step's."""

    events: tuple[StepEvent, ...]


class AddStep(msgspec.Struct, frozen=True, gc=False):
    """A session receives another step."""

    event: ev.StepAdded


class Succeeded(msgspec.Struct, frozen=True, gc=False):
    """An attempt's effect is done and its output is valid. `keeps`: what is kept of limits from now on for taking it back."""

    step: StepKey
    attempt: int
    output: Commitment
    effect: Effect
    served: Commitment | None = None
    sent: int = 0
    keeps: tuple[ev.Counted, ...] = ()
    inner: ev.Inner | None = None


class Failed(msgspec.Struct, frozen=True, gc=False):
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
    sent: int = 0
    begun: bool = False
    inner: ev.Inner | None = None


class Reconciled(msgspec.Struct, frozen=True, gc=False):
    """The capability said whether an unsettled effect happened; `may_repeat`: its spec calls it idempotent, or it this call."""

    step: StepKey
    attempt: int
    verdict: Verdict
    foreign: bool = False
    may_repeat: bool = False
    output: Commitment | None = None
    retry_at_ms: int | None = None
    served: Commitment | None = None
    repeatable: bool = False
    begins_anew: bool = False


Noted: TypeAlias = ev.SecretAccessed | ev.HttpRequested | ev.HttpAnswered | ev.ConsequenceChecked
"""What a call under way asks for beside its effect, and what takes it back is held against first."""


class Accessed(msgspec.Struct, frozen=True, gc=False):
    """A call under way asked for secrets, or sends a request, and waits until that is on the record.

    All events are of one step and attempt.
    """

    events: tuple[Noted, ...]


class Doubted(msgspec.Struct, frozen=True, gc=False):
    """Nobody can say what became of an attempt; `code` says why (`CAPABILITY_CHANGED`, `EFFECT_UNKNOWN`)."""

    step: StepKey
    attempt: int
    code: str


class Compensating(msgspec.Struct, frozen=True, gc=False):
    """The shell is about to take a step's effect back, for the `attempt`-th time."""

    step: StepKey
    attempt: int


class Compensated(msgspec.Struct, frozen=True, gc=False):
    """A step's effect is taken back. `counted`: what that sent beside inputs, of limits that count it."""

    step: StepKey
    counted: tuple[ev.Counted, ...] = ()


class NotCompensated(msgspec.Struct, frozen=True, gc=False):
    """Taking a step's effect back failed; `may_repeat`: trying again may help."""

    step: StepKey
    code: str
    error: Commitment | None
    may_repeat: bool
    counted: tuple[ev.Counted, ...] = ()


class Finish(msgspec.Struct, frozen=True, gc=False):
    """Every step has passed; `outputs` binds the run's outputs."""

    outputs: Commitment


class EndFinally(msgspec.Struct, frozen=True, gc=False):
    """No step of `finally` can begin any more, and none is under way."""


class Abort(msgspec.Struct, frozen=True, gc=False):
    """The run can't finish although its steps passed (its outputs can't be computed). `error` binds the error object."""

    code: str
    error: Commitment | None = None


class Approve(msgspec.Struct, frozen=True, gc=False):
    """A principal agrees. `digest`: what the approver saw; None: not confirmed. `step` None: the only open question."""

    actor: Actor
    step: StepKey | None
    digest: str | None


class Reject(msgspec.Struct, frozen=True, gc=False):
    """A principal refuses. `digest` and `step` as in `Approve`; the run binds the `text` that says why as its `reason`."""

    actor: Actor
    step: StepKey | None
    reason: Commitment | None = None
    digest: str | None = None
    text: str = ""


class Expire(msgspec.Struct, frozen=True, gc=False):
    """The time for an answer has passed; whoever gives one afterwards leads to this."""

    step: StepKey


class TimeOut(msgspec.Struct, frozen=True, gc=False):
    """The time is over that the run may take. `error` binds the error object."""

    error: Commitment | None = None


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """A principal wants the run to stop and be taken back; while the steps of its `finally` go on, these to stop.

    `replaced_by`: so that this run may have its concurrency key. `spares_finally`: another run waits for its end, in whatever
    order these wishes come. `step`: only this one of a session, the last that can be taken back; the session goes on.
    """

    actor: Actor
    replaced_by: RunId | None = None
    spares_finally: bool = False
    step: StepKey | None = None


class Close(msgspec.Struct, frozen=True, gc=False):
    """No more steps will be added to a session."""


class Recover(msgspec.Struct, frozen=True, gc=False):
    """A new owner takes over; `retry`: a person wants another try of what needs attention; `again`: what is to be read again."""

    retry: bool
    again: tuple[StepKey, ...] = ()


class AskUndo(msgspec.Struct, frozen=True, gc=False):
    """A principal wants a run that has ended taken back: the gate is asked, and what it answers is a `RequestUndo`.

    `is_inner`: the run is a step of another that is taken back, and the gate was asked about that one.
    """

    actor: Actor
    partial: bool
    is_inner: bool = False


class SendSignal(msgspec.Struct, frozen=True, gc=False):
    """A principal sends a run a signal, and with it a `value`: the gate is asked, and what it answers is a `Receive`."""

    actor: Actor
    signal: str
    value: Json = None


class Receive(msgspec.Struct, frozen=True, gc=False):
    """A signal came, and the gate answered."""

    event: ev.SignalReceived


class RequestUndo(msgspec.Struct, frozen=True, gc=False):
    """A principal wants a run that has ended taken back, and the gate answered.

    `approval` is set when people must be asked, `refusal` when that would be in vain.
    """

    request: ev.UndoRequested
    approval: ev.ApprovalRequested | None = None
    refusal: ev.UndoRefused | None = None


class BeginUndo(msgspec.Struct, frozen=True, gc=False):
    """Every conflict was looked for; None: there is none. `asked_again`: what was approved is not what would be done now.

    `keeps`: what is kept of limits from now on for taking steps back, where something else is on record.
    """

    refusal: ev.UndoRefused | None = None
    asked_again: tuple[ev.ApprovalVoided, ev.ApprovalRequested] | None = None
    keeps: tuple[ev.Kept, ...] = ()


class Resolve(msgspec.Struct, frozen=True, gc=False):
    """A person says what became of a step. What it gave, a `value`, is bound by the run as its `output`."""

    actor: Actor
    step: StepKey
    resolution: Resolution
    output: Commitment | None = None
    value: Json = None


Command: TypeAlias = (
    Admit | AddStep | Succeeded | Failed | Reconciled | Accessed | Doubted | Compensating | Compensated
    | NotCompensated | Finish | EndFinally | Abort | Approve | Reject | Expire | TimeOut | Cancel | Close | Recover | Receive
    | RequestUndo | BeginUndo | Resolve
)  # fmt: skip

Wish: TypeAlias = Command | AskUndo | SendSignal
"""What may be delivered to a run: plain values, which the run itself binds, and asks the gate about."""
