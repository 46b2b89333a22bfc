"""A snapshot of a run, and the recording that it is: everything that a replay needs, without its secrets.

What a capability's schema calls `writeOnly` is `***` in it, and so is every other place of the run where the same text stands
(an input that was handed on, an error that quotes it). `masked` names the places, by capability.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from assent.engine.record._record import RunRecord, evolve
from assent.engine.record.projection import fold
from assent.engine.replay._recording import RecordedCapability, Recording, bound_by
from assent.errors import AssentError, InternalError, Json
from assent.invocation import BoundCapability
from assent.invocation.context.snapshot import FORMAT, Snapshot, invalid_snapshot
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment, RunId, StepKey
from assent.spec.masking import MASK, masked, masked_by_name
from assent.spec.values.frozen import thaw
from assent.spec.values.json_patch import pointer
from assent.spec.values.typed import convert

SECRET_TEXT_MIN: Final = 4
"""Characters that a secret must have to be looked for inside of other texts; a shorter one is found where it stands alone."""

_INPUT: Final = re.compile(r"\binputs\.([a-z][a-z0-9_]*)")

Exact = Callable[[str, str], BoundCapability]


def snapshot_run(recording: Recording, exact: Exact, *, version: str) -> Snapshot:
    """A run as its events tell it. `exact` gives an installed capability by id and version; `version` is Assent's own."""
    capabilities = {**recording.capabilities, **dict(_installed(recording, exact))}
    payloads, places = _Hiding(recording, capabilities).apply()
    record = fold_recording(recording)
    created = record.created
    document: dict[str, Json] = {
        "snapshot": FORMAT,
        "kind": "run",
        "run": recording.run,
        "taken_at_ms": recording.at_ms[-1],
        "status": record.state.value,
        "phase": record.phase.value,
        "hook": None,
        "tasks": [
            {"step": step.key, "attempt": step.attempt, "task": step.task.value}
            for step in record.steps.values()
            if step.task is not None
        ],
        "state": {
            "inputs": payloads[created.inputs],
            "steps": {
                step.key: {"status": step.state.value, "attempts": step.attempt, "effect": step.effect.value}
                for step in record.steps.values()
            },
        },
        "meta": {
            "workflow": created.workflow,
            "mode": created.mode.value,
            "principal": created.principal,
            "environment": created.environment,
        },
        "versions": {
            "assent": version,
            "policy": created.policy,
            "capabilities": {name: known.to_json() for name, known in capabilities.items()},
        },
        "events": [
            {"at_ms": at_ms, "event": msgspec.to_builtins(event)}
            for at_ms, event in zip(recording.at_ms, recording.events, strict=True)
        ],
        "payloads": {str(name): value for name, value in payloads.items()},
        "masked": [*places],
    }
    return Snapshot.of_document(document)


def recording_of(snapshot: Snapshot) -> Recording:
    """The recording that a run's snapshot is. `SNAPSHOT_INVALID` when its events are no run, or a payload is missing."""
    document: Any = snapshot.document
    if document.get("kind") != "run":
        raise invalid_snapshot("it is of a call, and only a run can be replayed")
    try:
        events = tuple(convert(item["event"], ev.AnyEvent) for item in document["events"])
        recording = Recording(
            run=RunId(str(document["run"])),
            events=events,
            at_ms=tuple(int(item["at_ms"]) for item in document["events"]),
            payloads={Commitment(name): value for name, value in document["payloads"].items()},
            capabilities={
                name: RecordedCapability.from_json(known)
                for name, known in document["versions"]["capabilities"].items()
            },
            masked=tuple(map(str, document["masked"])),
        )
        fold_recording(recording)
        _require_schemas(recording)
        missing = [bound for bound in bound_by(events) if bound not in recording.payloads]
    except (KeyError, TypeError, ValueError, AttributeError, msgspec.ValidationError, AssentError) as error:
        raise invalid_snapshot(f"its events are no run ({_reason(error)})") from None
    if missing:
        raise invalid_snapshot(f"{len(missing)} of its payloads are missing")
    return recording


def _require_schemas(recording: Recording) -> None:
    """Raise ValueError when a schema of the document can't be held against anything."""
    import jsonschema_rs  # only snapshots from outside need it here

    for known in recording.capabilities.values():
        for schema in (known.spec.parameters, known.spec.returns):
            jsonschema_rs.validator_for(thaw(schema))


def fold_recording(recording: Recording) -> RunRecord:
    """The record that the events make. `InternalError` ILLEGAL_TRANSITION when they can't follow each other."""
    record: RunRecord | None = None
    for n, (at_ms, event) in enumerate(zip(recording.at_ms, recording.events, strict=True)):
        if record is None:
            record = fold(
                None, ev.Leaf(v=ev.LEAF_VERSION, seq=n, at_ms=at_ms, run=recording.run, n=n, event=event)
            )
        else:
            evolve(record, event, at_ms)
    if record is None:
        raise InternalError("ILLEGAL_TRANSITION", "a run has at least one event")
    return record


def _installed(recording: Recording, exact: Exact) -> Iterator[tuple[str, RecordedCapability]]:
    for ident, versions in recording.versions().items():
        for version in versions:
            try:
                yield f"{ident}@{version}", RecordedCapability.of(exact(ident, version))
            except AssentError:
                continue  # A snapshot can be taken without it, and is replayed where it is installed.


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, AssentError) else str(error)[:200]


class _Hiding:
    """Finds the secrets of one run by the schemas of what it called, and hides them wherever they stand."""

    def __init__(self, recording: Recording, capabilities: Mapping[str, RecordedCapability]) -> None:
        self._recording = recording
        self._capabilities = capabilities
        self._of_id = {known.spec.id: known for known in capabilities.values()}
        self._payloads = dict(recording.payloads)
        self._texts: set[str] = set()
        self._places: dict[str, None] = dict.fromkeys(recording.masked)

    def apply(self) -> tuple[dict[Commitment, Json], tuple[str, ...]]:
        """The payloads without secrets, and the places that were hidden."""
        called: dict[StepKey, str] = {}
        for event in self._recording.events:
            match event:
                case ev.StepStarted() | ev.ApprovalRequested():
                    called[event.step] = f"{event.capability}@{event.version}"
                    self._hide_inputs(event.inputs, called[event.step])
                case ev.StepDenied() if event.inputs is not None:
                    self._hide_inputs(event.inputs, f"{event.capability}@{event.version}")
                case ev.StepSucceeded() if event.step in called:
                    self._hide_output(event.output, called[event.step])
                case ev.StepAdded():
                    call = self._recording.object(event.call)
                    self._payloads[event.call] = self._call(call)
                    self._hide_asked(event.inputs, call)
                case ev.RunCreated():
                    document = self._recording.object(event.document)
                    self._document(document)
                    self._hide_asked(event.inputs, document.get("call"))
                case _:
                    pass
        kept_whole = self._recording.created.document
        # A step may be named like a secret: of the document, only what is handed to capabilities is looked through.
        kept = {kept_whole: self._document(self._recording.object(kept_whole), in_texts=True)}
        texts = {name: self._without_texts(value) for name, value in self._payloads.items()}
        return texts | kept, tuple(self._places)

    def _hide_asked(self, commitment: Commitment | None, call: Json) -> None:
        """Hide what a call or a session's step was handed, which its document does not hold."""
        if commitment is not None and isinstance(call, dict) and "parameters" not in call:
            ident = str(call.get("capability")).partition("@")[0]
            known = self._of_id.get(ident)
            self._payloads[commitment] = self._hide(self._payloads[commitment], known, ident)

    def _hide_inputs(self, commitment: Commitment, reference: str) -> None:
        known = self._capabilities.get(reference)
        ident = reference.partition("@")[0]
        self._payloads[commitment] = self._hide(self._payloads[commitment], known, ident)

    def _hide_output(self, commitment: Commitment, reference: str) -> None:
        known = self._capabilities.get(reference)
        schema = thaw(known.spec.returns) if known is not None else {}
        before = self._payloads[commitment]
        self._payloads[commitment] = masked(before, schema)
        self._note(before, self._payloads[commitment])

    def _hide(self, value: Json, known: RecordedCapability | None, ident: str) -> Json:
        after = masked(value, thaw(known.spec.parameters)) if known is not None else masked_by_name(value)
        for place in self._note(value, after):
            self._places[f"{ident} {place}"] = None
        return after

    def _call(self, call: dict[str, Json], member: str = "parameters") -> dict[str, Json]:
        """A call, or a step of a workflow, with what it hands to its capability hidden."""
        if "capability" not in call or member not in call:
            return call
        ident = str(call["capability"]).partition("@")[0]
        return {**call, member: self._hide(call[member], self._of_id.get(ident), ident)}

    def _document(self, document: dict[str, Json], *, in_texts: bool = False) -> dict[str, Json]:
        match document:
            case {"call": dict() as call}:
                found = self._call(call)
                if in_texts and "parameters" in found:
                    found["parameters"] = self._without_texts(found["parameters"])
                return {**document, "call": found}
            case {"workflow": dict() as workflow} if isinstance(steps := workflow.get("steps"), list):
                hidden = [self._call(step, "inputs") for step in steps if isinstance(step, dict)]
                if in_texts:
                    hidden = [
                        {**step, "inputs": self._without_texts(step.get("inputs", {}))} for step in hidden
                    ]
                return {**document, "workflow": {**workflow, "steps": [*hidden]}}
            case _:
                return document

    def _note(self, before: Json, after: Json) -> list[str]:
        return [*self._noted(before, after, ())]

    def _noted(self, before: Json, after: Json, path: tuple[str | int, ...]) -> Iterator[str]:
        """The places where `after` hides what stood in `before`; the texts that stood there are remembered."""
        if before is after:
            return
        if isinstance(before, dict) and isinstance(after, dict):
            for name, item in before.items():
                yield from self._noted(item, after.get(name), (*path, name))
        elif isinstance(before, list) and isinstance(after, list):
            for index, item in enumerate(before):
                yield from self._noted(item, after[index], (*path, index))
        elif after == MASK and before != MASK:
            self._texts.update(self._revealing(before))
            yield pointer(path)

    def _revealing(self, hidden: Json) -> Iterator[str]:
        """The texts that would tell what was hidden: they themselves; of an expression, the run's inputs that it names."""
        for text in _texts_in(hidden):
            if "${{" not in text:
                yield text
                continue
            inputs = self._recording.object(self._recording.created.inputs)
            for name in _INPUT.findall(text):
                yield from _texts_in(inputs.get(name))

    def _without_texts(self, value: Json) -> Json:
        if isinstance(value, str):
            if value in self._texts:
                return MASK
            for text in sorted(self._texts, key=len, reverse=True):
                if len(text) >= SECRET_TEXT_MIN and text in value:
                    value = value.replace(text, MASK)
            return value
        if isinstance(value, dict):
            return {name: self._without_texts(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._without_texts(item) for item in value]
        return value


def _texts_in(value: Json) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts_in(item)
