"""What a replay came to, beside what was recorded: the differences in decisions, outputs and events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any, Final

import msgspec

from assent.engine.record._record import RunRecord
from assent.engine.replay._recording import Recording, is_alike
from assent.engine.replay._replay import Replayed
from assent.engine.replay._run_snapshot import fold_recording
from assent.engine.replay._script import RUN, subject_of
from assent.errors import Json
from assent.spec.events import kinds as ev
from assent.spec.ids import StepKey, key_question_name
from assent.spec.values.json_patch import diff

# What two runs of the same thing never share: salted commitments and what is made of them, moments, and the names of what
# stood behind it. What of these matters is reported apart.
_PASSING: Final = frozenset(
    {
        "digest",
        "grant",
        "policy",
        "retry_at_ms",
        "expires_at_ms",
        "due_ms",
        "fingerprint",
        "handler",
        "counted",
        "keeps",
        "sent",
        "begun",
    }
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as recorded: `where` is `decision`, `output` or `event`. `patch` (RFC 6902) is of outputs only."""

    where: str
    step: StepKey | None
    recorded: Json
    replayed: Json
    patch: list[dict[str, Json]] | None = None

    def to_json(self) -> dict[str, Json]:
        """The difference's object."""
        data: dict[str, Json] = {
            "in": self.where,
            "step": self.step,
            "recorded": self.recorded,
            "replayed": self.replayed,
        }
        if self.patch is not None:
            data["patch"] = [*self.patch]
        return data


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """How a replay compares with the record.

    `stopped` are the steps whose answer the record does not have, `assumed` those that are taken to have been taken back,
    `masked` the places that a snapshot hides. `against` are the versions that really ran, by capability.
    """

    run_id: str
    workflow: str | None
    recorded_status: str
    replayed_status: str
    differences: tuple[Difference, ...]
    policy: tuple[str, str]
    against: Mapping[str, str]
    capabilities: tuple[dict[str, Json], ...]
    stopped: tuple[StepKey, ...]
    assumed: tuple[StepKey, ...]
    masked: tuple[str, ...]
    steps: int

    @property
    def is_equal(self) -> bool:
        """Nothing differs: the same decisions, outputs and events, as far as the record goes."""
        return not self.differences

    def to_json(self) -> dict[str, Json]:
        """The report's object."""
        recorded, now = self.policy
        return {
            "run_id": self.run_id,
            "workflow": self.workflow,
            "equal": self.is_equal,
            "status": {"recorded": self.recorded_status, "replayed": self.replayed_status},
            "steps": self.steps,
            "differences": [difference.to_json() for difference in self.differences],
            "policy": {"recorded": recorded, "now": now, "changed": recorded != now},
            "against": dict(self.against),
            "capabilities": [*self.capabilities],
            "stopped": [*self.stopped],
            "assumed": [*self.assumed],
            "masked": [*self.masked],
        }


def compare(
    recording: Recording,
    replayed: Replayed,
    *,
    policy: str,
    against: Mapping[str, str],
    capabilities: tuple[dict[str, Json], ...],
) -> ReplayReport:
    """The report of a replay; `policy` is the digest of what decides today."""
    before, after = fold_recording(recording), fold_recording(replayed.recording)
    differences = (
        *_decisions(recording, replayed.recording),
        *_outputs(recording, before, replayed.recording, after),
        *_events(recording, replayed.recording, against, is_open=not before.state.is_finished),
    )
    return ReplayReport(
        run_id=recording.run,
        workflow=recording.created.workflow,
        recorded_status=before.state.value,
        replayed_status=after.state.value if differences else before.state.value,
        differences=differences,
        policy=(recording.created.policy, policy),
        against=against,
        capabilities=capabilities,
        stopped=replayed.stopped if replayed.went_astray else (),
        assumed=replayed.assumed,
        masked=recording.masked,
        steps=len(before.steps),
    )


def _by_step(recording: Recording) -> dict[StepKey, list[ev.AnyEvent]]:
    found: dict[StepKey, list[ev.AnyEvent]] = {}
    for event in recording.events:
        found.setdefault(subject_of(event), []).append(event)
    return found


def _decisions(recording: Recording, replayed: Recording) -> Iterator[Difference]:
    before, after = _answers(recording), _answers(replayed)
    for step in dict.fromkeys((*before, *after)):
        was, now = before.get(step), after.get(step)
        if was is not None and now is not None and was != now:
            yield Difference("decision", step, was, now)


def _answers(recording: Recording) -> dict[StepKey, dict[str, Json]]:
    """What the gate answered about each step first."""
    found: dict[StepKey, dict[str, Json]] = {}
    for event in recording.events:
        match event:
            case ev.RunCreated():
                for one in event.key_answers:
                    found[key_question_name(cancels_others=one.cancels_others)] = _answer(
                        one.decision, one.rule
                    )
            case ev.StepStarted() | ev.StepDenied() | ev.ApprovalRequested():
                found.setdefault(event.step, _answer(event.decision, event.rule))
            case ev.UndoRequested():
                found.setdefault(StepKey("@undo"), _answer(event.decision, event.rule))
            case _:
                pass
    return found


def _answer(decision: str, rule: str) -> dict[str, Json]:
    return {"decision": decision, "rule": rule}


def _outputs(
    recording: Recording, before: RunRecord, replayed: Recording, after: RunRecord
) -> Iterator[Difference]:
    alike = partial(is_alike, masked=bool(recording.masked))
    for key, step in before.steps.items():
        other = after.steps.get(key)
        if step.output is not None and other is not None and other.output is not None:
            was, now = recording.value(step.output), replayed.value(other.output)
            if not alike(was, now):
                yield Difference("output", key, was, now, diff(was, now))
    if before.outputs is not None and after.outputs is not None:
        was, now = recording.value(before.outputs), replayed.value(after.outputs)
        if not alike(was, now):
            yield Difference("output", None, was, now, diff(was, now))


def _events(
    recording: Recording, replayed: Recording, against: Mapping[str, str], *, is_open: bool
) -> Iterator[Difference]:
    before, after = _by_step(recording), _by_step(replayed)
    for subject in dict.fromkeys((*before, *after)):
        step = subject if subject != RUN else None
        for was, now in zip_longest(before.get(subject, ()), after.get(subject, ())):
            if was is None and is_open:
                break  # The record ends in the middle of the run; what would have come next contradicts nothing.
            if not _is_same(was, recording, now, replayed, against):
                yield Difference("event", step, _shown(was), _shown(now))


def _is_same(
    was: ev.AnyEvent | None,
    of: Recording,
    now: ev.AnyEvent | None,
    other: Recording,
    against: Mapping[str, str],
) -> bool:
    if was is None or now is None or was.kind != now.kind:
        return False
    before, after = _essence(was, of), _essence(now, other)
    if isinstance(was, ev.StepDenied) and was.inputs is None:
        after["inputs"] = None  # Before 0.2 they were not kept.
    if isinstance(was, ev.RunCreated) and not was.key_answers:
        after.pop("key_answers", None)  # Before 0.2 nothing was asked.
    if before.get("capability") in against:
        # It really ran, as the version that was asked for, on the world of today.
        for name in ("version", "prepared", "preview"):
            before[name] = after[name] = None
    return is_alike(before, after, masked=bool(of.masked))


def _essence(event: ev.AnyEvent, recording: Recording) -> dict[str, Json]:
    """An event with the values that it binds in place of their commitments, without what is never the same twice."""
    data: dict[str, Json] = _shown(event)
    # A step's output is compared apart, where the difference can be told; the preview's base is in the digest. What the gate was
    # asked with is what it is, and matters where it answers otherwise.
    for name in event.commitment_fields:
        is_apart = name in ("output", "outputs", "context")
        data[name] = None if is_apart else recording.value(getattr(event, name))
    return data


# `Any`: what msgspec makes of an event is JSON, which it has no type for.
def _shown(event: ev.AnyEvent | None) -> Any:
    if event is None:
        return None
    data: dict[str, Json] = msgspec.to_builtins(event)
    hidden = {*_PASSING, *event.commitment_fields}
    return {name: value for name, value in data.items() if name not in hidden}
