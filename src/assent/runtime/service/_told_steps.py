"""What a run's events say of each of its steps beside how it stands: its inputs, what was asked and answered, each attempt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from assent import engine
from assent.errors import Json
from assent.journal import JournalReader, at_once
from assent.spec.events import kinds as ev
from assent.spec.ids import CALL_STEP, Commitment, StepKey
from assent.spec.states import Mode
from assent.spec.words.durations import instant

_OUTCOMES: Final = {
    ev.StepSucceeded: "succeeded",
    ev.AttemptFailed: "failed",
    ev.StepFailed: "failed",
    ev.StepUnsettled: "unsettled",
    ev.StepInDoubt: "in_doubt",
    ev.StepResolved: "resolved",
}
"""How an attempt came out, by the event that says so; the last one counts."""


class _Question(msgspec.Struct):
    """One question to people about a step, and all that was said to it."""

    asked: ev.ApprovalRequested
    at_ms: int
    status: str = "pending"
    answers: list[tuple[int, ev.ApprovalGranted | ev.ApprovalRejected | ev.ApprovalVoided]] = []


class _Attempt(msgspec.Struct):
    """One attempt at a step; what has not ended yet has no outcome."""

    number: int
    at_ms: int
    ended_ms: int | None = None
    outcome: str | None = None
    event: ev.AnyEvent | None = None


class StepStory(msgspec.Struct):
    """What the events say of one step. `context`: what the gate was asked with, where nothing else binds the inputs."""

    inputs: Commitment | None = None
    context: Commitment | None = None
    policy: str | None = None
    questions: list[_Question] = []
    attempts: list[_Attempt] = []

    def to_json(self, reader: JournalReader) -> dict[str, Json]:
        """The fields that `answers.ShownStep` has beyond those of a step; null for what was erased."""
        return {
            "inputs": self._inputs(reader),
            "policy": self.policy,
            "approvals": [_told_question(question, reader) for question in self.questions],
            "tries": [_told_attempt(attempt, reader) for attempt in self.attempts],
        }

    def _inputs(self, reader: JournalReader) -> Json:
        if self.inputs is not None:
            return _load(reader, self.inputs)
        context = _load(reader, self.context)
        return context.get("inputs") if isinstance(context, dict) else None


def step_stories(leaves: Iterable[ev.Leaf]) -> dict[StepKey, StepStory]:
    """What all the events of a run, oldest first, say of each step; of an undo under `@undo`."""
    stories: dict[StepKey, StepStory] = {}
    for leaf in leaves:
        event, at_ms = leaf.event, leaf.at_ms
        if isinstance(event, ev.RunCreated):
            if event.workflow is None and event.mode is Mode.WORKFLOW:
                stories[CALL_STEP] = StepStory(inputs=event.inputs)
            continue
        key = step_of(event)
        if key is not None:
            _tell(stories.setdefault(key, StepStory()), event, at_ms)
    return stories


def step_of(event: ev.AnyEvent) -> StepKey | None:
    """The step that an event is about, `@undo` for an undo; None where it is about none."""
    if isinstance(event, ev.UndoRequested | ev.UndoStarted | ev.UndoRefused | ev.RunUndone):
        return engine.UNDO_STEP
    key: StepKey | None = getattr(event, "step", None)
    return key


def _tell(story: StepStory, event: ev.AnyEvent, at_ms: int) -> None:
    if not isinstance(event, ev.ConsequenceDecided | ev.ConsequenceChecked):  # those have what takes it back
        story.inputs = _commitment(event, "inputs") or story.inputs
        story.context = _commitment(event, "context") or story.context
    story.policy = getattr(event, "policy", None) or story.policy
    match event:
        case ev.ApprovalRequested():
            story.questions.append(_Question(event, at_ms))
        case ev.ApprovalGranted() | ev.ApprovalRejected() | ev.ApprovalVoided():
            question = next((one for one in story.questions[::-1] if one.asked.digest == event.digest), None)
            if question is not None:
                question.answers.append((at_ms, event))
                question.status = _status(question)
        case ev.StepStarted():
            story.attempts.append(_Attempt(event.attempt, at_ms))
        case _ if type(event) in _OUTCOMES and story.attempts:
            attempt = story.attempts[-1]
            attempt.ended_ms, attempt.outcome, attempt.event = at_ms, _OUTCOMES[type(event)], event


def _status(question: _Question) -> str:
    last = question.answers[-1][1]
    if not isinstance(last, ev.ApprovalGranted):
        return answered(last)
    given = sum(isinstance(answer, ev.ApprovalGranted) for _, answer in question.answers)
    return "granted" if given >= question.asked.count else "pending"


def answered(event: ev.ApprovalGranted | ev.ApprovalRejected | ev.ApprovalVoided | ev.ApprovalRefused) -> str:
    """What became of a question by this event, in a word: `granted`, `rejected`, `expired`, `voided`; `refused`: of nobody's."""
    match event:
        case ev.ApprovalRejected() if event.by is None:
            return "expired"
        case _:
            return event.kind.partition(".")[2]


def _told_question(question: _Question, reader: JournalReader) -> dict[str, Json]:
    asked = question.asked
    return {
        "digest": asked.digest,
        "status": question.status,
        "risk_level": asked.risk,
        "rule": asked.rule,
        "policy": asked.policy,
        "requester": asked.requester,
        "count": asked.count,
        "preview": _load(reader, asked.preview),
        "requested_at": instant(question.at_ms),
        "requested_at_ms": question.at_ms,
        "expires_at": None if asked.expires_at_ms is None else instant(asked.expires_at_ms),
        "expires_at_ms": asked.expires_at_ms,
        "decisions": [_told_answer(at_ms, answer, reader) for at_ms, answer in question.answers],
    }


def _told_answer(
    at_ms: int, event: ev.ApprovalGranted | ev.ApprovalRejected | ev.ApprovalVoided, reader: JournalReader
) -> dict[str, Json]:
    return {
        "decision": answered(event),
        "at": instant(at_ms),
        "at_ms": at_ms,
        "code": getattr(event, "code", None),
        **who_decided(event),
        "reason": reason_of(reader, event),
    }


def who_decided(event: ev.AnyEvent) -> dict[str, Json]:
    """Who decided, how that is known, and whether they had named the digest that was shown; null where nobody did."""
    is_act = getattr(event, "by", None) is not None
    return {
        "by": getattr(event, "by", None),
        "confirmed": event.confirmed if isinstance(event, ev.ApprovalGranted) else None,
        "asserted": getattr(event, "asserted", None) if is_act else None,
        "os_uid": getattr(event, "os_uid", None),
        "identified_by": getattr(event, "identified_by", None),
        "same_uid": getattr(event, "same_uid", None) if is_act else None,
    }


def reason_of(reader: JournalReader, event: ev.AnyEvent) -> str | None:
    """What the one who rejected said; None where nothing was said, or it was erased."""
    if not isinstance(event, ev.ApprovalRejected):
        return None
    found = _load(reader, event.reason)
    reason = found.get("reason") if isinstance(found, dict) else found
    return reason if isinstance(reason, str) else None


def _told_attempt(attempt: _Attempt, reader: JournalReader) -> dict[str, Json]:
    event = attempt.event
    error = _load(reader, _commitment(event, "error"))
    effect = getattr(event, "effect", None)
    return {
        "attempt": attempt.number,
        "started_at": instant(attempt.at_ms),
        "started_at_ms": attempt.at_ms,
        "ended_at": None if attempt.ended_ms is None else instant(attempt.ended_ms),
        "ended_at_ms": attempt.ended_ms,
        "outcome": attempt.outcome,
        "effect": None if effect is None else effect.value,
        "code": getattr(event, "code", None),
        "message": error.get("message") if isinstance(error, dict) else None,
    }


def _commitment(event: object, name: str) -> Commitment | None:
    found: Commitment | None = getattr(event, name, None)
    return found


def _load(reader: JournalReader, commitment: Commitment | None) -> Json:
    found: Json = at_once(engine.load_json(reader, commitment))
    return found
