"""What a replay plays: the recorded events in their order, and what every part of every handler answered.

A replay goes the recorded way for as long as its own events are the recorded ones. `expected` is the next recorded event that
has not come: a step begins, an effect is answered, a person speaks when it is their turn. When something else happens, the
script is off: from there on everything goes by itself, with the recorded answers, as far as there are any.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import Final

from assent.engine.record._record import RUN_STEP
from assent.engine.replay._recording import CALLS, Recording
from assent.engine.steps._rehearsal import RehearsedStep
from assent.errors import AssentError, InputError, Json, RefusedError, WorldError
from assent.invocation import (
    CallNotBegunError,
    CallTimeoutError,
    NoEffectError,
    Prepared,
    Preview,
    Reconciliation,
)
from assent.policy import Count
from assent.spec.events import kinds as ev
from assent.spec.ids import RUN_CAPABILITY, Commitment, RunId, StepKey
from assent.spec.states import Effect, Undo, Verdict
from assent.spec.values.typed import convert

RUN: Final = RUN_STEP
"""Stands for the run itself where events are told apart by their step."""

_BEFORE_ANY_PART: Final = frozenset({
    "CAPABILITY_UNKNOWN", "EXPRESSION_FAILED", "EXPRESSION_TOO_COSTLY", "FOREACH_INVALID", "HANDLER_MISSING", "INVALID_INPUT",
    "INVALID_VERSION", "REFERENCE_MISSING", "VERSION_NOT_FOUND",
})  # fmt: skip
"""Failures of a step that could not begin which the engine finds again by itself; any other came out of a part."""


@dataclass(slots=True)
class Reply:
    """What one part returned or raised. `refused`: it returned, but what it returned was no valid output."""

    value: object = None
    error: Exception | None = None
    refused: AssentError | None = None


@dataclass(slots=True)
class _Answers:
    """The replies of one step's parts, in the order they were given."""

    execute: deque[Reply] = field(default_factory=deque)
    reconcile: deque[Reply] = field(default_factory=deque)
    compensate: deque[Reply] = field(default_factory=deque)
    preview: deque[Preview] = field(default_factory=deque)
    shown: Preview | None = None
    prepared: dict[int, Prepared] = field(default_factory=dict)
    refusal: AssentError | None = None


class Script:
    """One recorded run, being played."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._at = 0
        self._seen = [False] * len(recording.events)
        self._queues: dict[StepKey, deque[int]] = {}
        for index, event in enumerate(recording.events):
            self._queues.setdefault(subject_of(event), deque()).append(index)
        self._answers = dict(_answers_of(recording))
        self._undo_asked: ev.ApprovalRequested | None = None
        self.live: frozenset[str] = frozenset()
        self.is_off = False
        self.is_rehearsing = False
        self.assumed: dict[StepKey, None] = {}

    @property
    def expected(self) -> ev.AnyEvent | None:
        """The next recorded event that has not come; None when all have, or when the run went another way."""
        return None if self.is_off or self._at == len(self._seen) else self.recording.events[self._at]

    @property
    def now_ms(self) -> int:
        """The time of what is expected; of the last recorded event when nothing is."""
        return self.recording.at_ms[min(self._at, len(self._seen) - 1)]

    def observe(self, event: ev.AnyEvent) -> None:
        """Something happened in the replay: it is the next that was recorded of its step, or the script is off."""
        if self.is_off:
            return
        queue = self._queues.get(subject_of(event))
        if not queue or self.recording.events[queue[0]].kind != event.kind:
            if self._at < len(self._seen):  # What comes after the record's end contradicts nothing.
                self.stray()
            return
        self._seen[queue.popleft()] = True
        while self._at < len(self._seen) and self._seen[self._at]:
            self._at += 1

    def stray(self) -> None:
        """The replay goes another way than the record from here on."""
        self.is_off = True

    def may_begin(self, key: StepKey) -> bool:
        """Whether it is the step's turn to be admitted."""
        expected = self.expected
        return self.is_off or (expected is not None and subject_of(expected) == key)

    def counts_of(self, key: StepKey, lead: int | None) -> dict[str, Count]:
        """What was used of limits when the gate answered about the step next; nothing where that is not on record.

        `lead`: about a call that it may lead to, which of them: these stand in a row before it.
        """
        asked: list[ev.StepStarted | ev.StepDenied | ev.ApprovalRequested | ev.ConsequenceDecided] = []
        for index in () if self.is_off else self._queues.get(key, ()):
            event = self.recording.events[index]
            if isinstance(event, CALLS):
                asked = [event] if lead is None else asked[lead:]
                break
            if isinstance(event, ev.ConsequenceDecided):
                asked.append(event)
        if not asked:
            return {}
        context = asked[0].context
        return convert(self.recording.object(context).get("limits", {}), dict[str, Count])

    def may_answer(self, key: StepKey, part: str, *, is_live: bool) -> bool:
        """Whether it is the turn of a step's part to answer, and there is an answer."""
        if not self.is_off:
            expected = self.expected
            return expected is not None and subject_of(expected) == key
        return is_live or part == "compensate" or bool(getattr(self._of(key), part))

    def is_expiry(self, key: StepKey) -> bool:
        """Whether what is expected is that the time for an answer about a step has passed."""
        expected = self.expected
        return isinstance(expected, ev.ApprovalRejected) and expected.by is None and expected.step == key

    def is_end_of_wait(self, key: StepKey) -> bool:
        """Whether what is expected is that the time has come for which a step waits."""
        expected = self.expected
        return isinstance(expected, ev.StepSucceeded | ev.StepFailed) and expected.step == key

    def is_time_out(self) -> bool:
        """Whether what is expected is that the time is over that the run may take."""
        return isinstance(self.expected, ev.RunTimedOut)

    def is_doubted(self, *codes: str) -> bool:
        """Whether what is expected is that an effect can't be told, for one of these reasons."""
        expected = self.expected
        return isinstance(expected, ev.StepInDoubt | ev.UndoRefused) and expected.code in codes

    def unsaid(self, steps: Collection[StepKey]) -> Iterator[ev.ApprovalGranted | ev.ApprovalRejected]:
        """What people were recorded to answer about these steps and have not answered yet; each is told once."""
        for index, event in enumerate(self.recording.events):
            if self._seen[index] or not isinstance(event, ev.ApprovalGranted | ev.ApprovalRejected):
                continue
            if event.step in steps:
                self._seen[index] = True
                yield event

    def execute(self, key: StepKey) -> object:
        """What the effect gave, or raises what it raised."""
        return _given(self._of(key).execute, key)

    def reconcile(self, key: StepKey) -> object:
        """What the capability said of an effect that was in question."""
        return _given(self._of(key).reconcile, key)

    def compensate(self, key: StepKey) -> object:
        """What became of taking the effect back; one that the record does not tell of is assumed to succeed."""
        if self.is_rehearsing:
            return self._rehearse(key)
        replies = self._of(key).compensate
        if not replies:
            self.assumed[key] = None
            return {}
        return _given(replies, key)

    def _rehearse(self, key: StepKey) -> object:
        if (refusal := self.refusal_to_take_back(key)) is not None:
            raise raised(refusal)
        return {}

    def refusal_to_take_back(self, key: StepKey) -> AssentError | None:
        """What is expected to keep a step from being taken back: an undo from beginning, or another try."""
        event = self._coming() if isinstance(self.expected, ev.UndoRequested) else self.expected
        if (
            not isinstance(event, ev.UndoRefused | ev.CompensationFailed)
            or event.step != key
            or event.error is None
        ):
            return None
        return self.recording.error(event.error, event.code)

    def undo_difference(self) -> str:
        """What the question about an undo said that it would change of files: what stands below its steps."""
        asked = self._coming()
        if not isinstance(asked, ev.ApprovalRequested):
            asked = self._undo_asked
        if asked is None:
            return ""
        self._undo_asked = asked
        lines = str(self.recording.object(asked.preview)["diff"]).splitlines(keepends=True)[1:]
        return "".join(dropwhile(lambda line: line.startswith("  "), lines))

    def _coming(self) -> ev.AnyEvent | None:
        """What is recorded right after what is expected."""
        after = self._at + 1
        return self.recording.events[after] if not self.is_off and after < len(self._seen) else None

    def prepare(self, key: StepKey, attempt: int) -> Prepared:
        """What undo was to need."""
        return self._of(key).prepared.get(attempt, Prepared())

    def prepare_undo(self, key: StepKey) -> Prepared | None:
        """What the call that takes a step back was to go on from; raises what kept that from being put on record."""
        expected = self.expected
        if isinstance(expected, ev.ConsequenceChecked):
            return prepared_in(self.recording.object(expected.prepared))
        if not self.is_off:
            self.compensate(key)
        return None

    def reconcile_undo(self, key: StepKey) -> Reconciliation:
        """What was said of an earlier attempt at that call, as far as what came of it tells."""
        expected = self.expected
        if isinstance(expected, ev.StepCompensated):
            self.compensate(key)
            return Reconciliation(Verdict.YES)
        is_foreign = isinstance(expected, ev.CompensationFailed) and expected.code == "COMPENSATION_CONFLICT"
        return Reconciliation(Verdict.NO, foreign=is_foreign)

    def preview(self, key: StepKey) -> Preview:
        """What people were shown: the same again when the recorded approval was used, the next when it was void by then."""
        self.require_begun(key)
        answers = self._of(key)
        is_new = answers.shown is None or isinstance(self.expected, ev.ApprovalVoided | ev.ApprovalRequested)
        if is_new and answers.preview:
            answers.shown = answers.preview.popleft()
        return answers.shown or Preview()

    def inner(self, key: StepKey) -> ev.Inner | None:
        """The run that the step began, if it did; of several attempts each joins the same."""
        outcomes = (
            event
            for event in self.recording.events
            if isinstance(event, ev.StepSucceeded | ev.StepFailed) and event.step == key
        )
        return next((event.inner for event in outcomes), None)

    def obstacles(self, inner: RunId) -> Iterator[RehearsedStep]:
        """What kept the undo that is tried now from taking a run back that a step began."""
        refused = self.expected
        if isinstance(refused, ev.UndoRefused) and refused.step is not None:
            begun = self.inner(refused.step)
            if begun is not None and begun.run == inner:
                why = self.recording.error(refused.error, refused.code)
                yield RehearsedStep(refused.step, RUN_CAPABILITY, "", Undo.AUTOMATIC, failure=why)

    def require_begun(self, key: StepKey) -> None:
        """Raise what kept the step from beginning: a hook, a preview or a preparation, none of which needs to be here now."""
        refusal = self._of(key).refusal
        expected = self.expected
        if refusal is not None and isinstance(expected, ev.StepFailed) and expected.step == key:
            raise refusal

    def require_valid(self) -> None:
        """Raise what is expected next when that is the refusal of a step's inputs."""
        expected = self.expected
        if isinstance(expected, ev.StepFailed) and expected.code == "INVALID_INPUT" and expected.attempt == 0:
            raise InputError.from_dict(self.recording.error(expected.error, expected.code).to_dict())

    def _of(self, key: StepKey) -> _Answers:
        return self._answers.setdefault(key, _Answers())


def subject_of(event: ev.AnyEvent) -> StepKey:
    """The step that an event is about; `RUN` when it is about the run."""
    # What keeps a run from going on names a step only to say why.
    if isinstance(event, ev.RunFailed | ev.RunRolledBack | ev.RunNeedsAttention | ev.UndoRefused):
        return RUN
    return getattr(event, "step", RUN)


def raised(error: AssentError) -> Exception:
    """The recorded error as the part raised it: an error of ours keeps its code, a foreign one its type's name and its text."""
    if error.code == "STEP_TIMEOUT":
        return CallTimeoutError.from_dict(error.to_dict())
    if error.code != "HANDLER_FAILED" or "exception" not in error.details:
        return error
    text = error.message.partition(" failed: ")[2]
    kind = type(str(error.details["exception"]), (Exception,), {})
    found: Exception = kind(text)
    return found


def prepared_in(kept: Mapping[str, Json]) -> Prepared | None:
    """What a payload keeps of a `prepare`; None where it had nothing to keep."""
    state, blobs = kept.get("state"), kept.get("blobs")
    if isinstance(state, dict) and isinstance(blobs, list):
        return Prepared(state, tuple(map(str, blobs)))
    return None


def _given(replies: deque[Reply], key: StepKey) -> object:
    if not replies:
        raise AssentError("REPLAY_UNKNOWN", f"the record does not tell what step `{key}` did", path=key)
    reply = replies.popleft()
    if reply.error is not None:
        raise reply.error
    return reply if reply.refused is not None else reply.value


def _answers_of(recording: Recording) -> Iterator[tuple[StepKey, _Answers]]:
    readers: dict[StepKey, _StepReader] = {}
    for event in recording.events:
        if isinstance(event, ev.RunRecovered):
            for reader in readers.values():
                reader.recover()
            continue
        key = subject_of(event)
        if key != RUN:
            readers.setdefault(key, _StepReader(recording)).read(event)
    for key, reader in readers.items():
        yield key, reader.answers


class _StepReader:
    """Reads one step's events. `_part` is the part whose answer would come next."""

    def __init__(self, recording: Recording) -> None:
        self.answers = _Answers()
        self._recording = recording
        self._part: str | None = None

    def recover(self) -> None:
        """A new process asks about what was under way, or a person wants it asked again."""
        if self._part == "execute":
            self._part = "reconcile"

    def read(self, event: ev.AnyEvent) -> None:
        """Take one event of the step."""
        answers, recording = self.answers, self._recording
        match event:
            case ev.StepStarted():
                prepared = prepared_in(recording.object(event.prepared))
                if prepared is not None:
                    answers.prepared[event.attempt] = prepared
                self._part = "execute"
            case ev.StepResumed():
                self._part = "execute"
            case ev.StepSucceeded():
                self._succeed(recording.value(event.served if event.served is not None else event.output))
            case ev.StepFailed() | ev.AttemptFailed():
                self._fail(event)
            case ev.StepUnsettled():
                if self._part == "execute":
                    error = raised(recording.error(event.error, event.code))
                    answers.execute.append(Reply(error=error))
                self._part = "reconcile"
            case ev.StepReconciled():
                answer = Reconciliation(event.verdict, foreign=event.foreign, is_repeatable=event.repeatable)
                answers.reconcile.append(Reply(answer))
            case ev.StepInDoubt():
                self._doubt(event)
            case ev.StepResolved():
                self._part = None
            case ev.ApprovalRequested():
                shown = recording.object(event.preview)
                # The base tells two questions apart, and the recorded one is bound in the digest only.
                preview = Preview(str(shown.get("kind", "none")), str(shown.get("diff", "")), event.digest)
                answers.preview.append(preview)
            case ev.CompensationStarted():
                # Until an outcome says otherwise: it failed and was tried again, or its process ended.
                again = WorldError("COMPENSATION_FAILED", "it was not taken back at this attempt")
                answers.compensate.append(Reply(error=again))
            case ev.StepCompensated() if answers.compensate:
                answers.compensate[-1] = Reply({})
            case ev.CompensationFailed() if answers.compensate and event.error is not None:
                answers.compensate[-1] = Reply(error=self._final(event.error, event.code))
            case _:
                pass

    def _succeed(self, output: Json) -> None:
        if self._part == "execute":
            self.answers.execute.append(Reply(output))
        elif self._part == "reconcile" and self.answers.reconcile:
            self.answers.reconcile[-1] = Reply(Reconciliation(Verdict.YES, output))
        self._part = None

    def _fail(self, event: ev.StepFailed | ev.AttemptFailed) -> None:
        error = self._recording.error(event.error, event.code)
        if event.attempt == 0 and event.code not in _BEFORE_ANY_PART:
            self.answers.refusal = error
        elif self._part == "execute" and event.effect is Effect.DONE:
            self.answers.execute.append(Reply(refused=error))
        elif self._part == "execute":
            kind = CallNotBegunError if event.code == "CALL_NOT_BEGUN" else NoEffectError
            self.answers.execute.append(Reply(error=kind.from_dict(error.to_dict())))
        self._part = None

    def _doubt(self, event: ev.StepInDoubt) -> None:
        if self._part == "execute" and event.code == "STEP_TIMEOUT":
            self.answers.execute.append(Reply(error=CallTimeoutError.after(0, is_alive=True)))
        elif event.code == "OUTPUT_UNKNOWN":
            refused = Reply(refused=AssentError("INVALID_OUTPUT", "the output could not be told any more"))
            self.answers.reconcile.append(Reply(Reconciliation(Verdict.YES, refused)))  # type: ignore[arg-type]  # `RecordedCapability.result` takes it
        self._part = "reconcile"

    def _final(self, commitment: Commitment, code: str) -> Exception:
        """The error of the last attempt, which nobody tried again."""
        error = self._recording.error(commitment, code)
        if code == "COMPENSATION_FAILED":
            return raised(error)
        return RefusedError.from_dict(error.to_dict())
