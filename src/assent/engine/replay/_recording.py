"""A run as it was recorded: its events with the values that they bind, from the journal or from a snapshot of the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from assent.engine.machine._commands import Noted
from assent.engine.record._blueprint import Blueprint
from assent.errors import AssentError, InputError, Json, WorldError
from assent.invocation import BoundCapability
from assent.journal.ports import JournalReader
from assent.spec.capability import CapabilitySpec
from assent.spec.events import kinds as ev
from assent.spec.ids import APPROVAL_CAPABILITY, UNDO_CAPABILITY, Commitment, RunId
from assent.spec.masking import MASK
from assent.spec.unkept_fields import is_marked
from assent.spec.values.json_patch import is_equal
from assent.spec.values.typed import decode

CALLS: Final = (ev.StepStarted, ev.StepDenied, ev.ApprovalRequested)
"""The events that name the capability and the version that a step called."""


@dataclass(frozen=True, slots=True)
class RecordedCapability:
    """What is known of a capability that a run called: its spec, which parts its handler had, and whether it had types.

    Defaults are filled in by a handler's types, wherever these are, and never by a bare schema.
    """

    spec: CapabilitySpec
    handler: str
    parts: frozenset[str]
    is_typed: bool

    @classmethod
    def of(cls, bound: BoundCapability) -> RecordedCapability:
        """What a registered one is."""
        handler = bound.handler
        is_typed = handler.parameters is not None or handler.completes
        return cls(bound.spec, bound.handler_fingerprint, bound.parts, is_typed)

    def to_json(self) -> dict[str, Json]:
        """As a snapshot keeps it."""
        return {
            "spec": self.spec.to_json(),
            "handler": self.handler,
            "parts": [*sorted(self.parts)],
            "typed": self.is_typed,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RecordedCapability:
        """What `to_json` kept."""
        return cls(
            CapabilitySpec.from_json(data["spec"]),
            str(data["handler"]),
            frozenset(data["parts"]),
            bool(data["typed"]),
        )


@dataclass(frozen=True, slots=True)
class Recording:
    """The events of one run, oldest first, the time of each in ms, and every payload that they bind.

    `capabilities` (by `id@version`) are known of a snapshot only: a run in the journal is replayed with what is registered.
    `masked` names the places whose values the snapshot does not hold.
    """

    run: RunId
    events: tuple[ev.AnyEvent, ...]
    at_ms: tuple[int, ...]
    payloads: Mapping[Commitment, Json]
    capabilities: Mapping[str, RecordedCapability] = field(default_factory=dict)
    masked: tuple[str, ...] = ()

    @classmethod
    async def of_journal(cls, reader: JournalReader, run: RunId) -> Recording:
        """A run of this ledger. `RUN_UNKNOWN`; `PAYLOAD_ERASED` when some of its data is gone."""
        # A replay asks for no secret and sends nothing, so that a call did is no part of what it plays.
        leaves = [leaf for leaf in await reader.events(run) if not isinstance(leaf.event, Noted)]
        if not leaves:
            raise InputError(
                "RUN_UNKNOWN", f"there is no run `{run}`", hint="list what there is with `assent runs`"
            )
        payloads: dict[Commitment, Json] = {}
        for commitment in bound_by(leaf.event for leaf in leaves):
            body = await reader.payload(commitment)
            if body is None:
                raise WorldError(
                    "PAYLOAD_ERASED",
                    f"the data of run `{run}` was erased, so it can't be replayed",
                    hint=f"`assent show {run}` still tells what happened",
                )
            payloads[commitment] = decode(body)
        return cls(run, tuple(leaf.event for leaf in leaves), tuple(leaf.at_ms for leaf in leaves), payloads)

    @property
    def created(self) -> ev.RunCreated:
        """The run's first event."""
        first = self.events[0]
        assert isinstance(
            first, ev.RunCreated
        )  # INVARIANT: the journal takes no other, and a snapshot is checked
        return first

    def blueprint(self) -> Blueprint:
        """What the run was going to do."""
        return Blueprint.of_document(self.object(self.created.document), self.object(self.created.inputs))

    def value(self, commitment: Commitment | None) -> Json:
        """A payload's value; None when there is none."""
        return self.payloads[commitment] if commitment is not None else None

    def object(self, commitment: Commitment | None) -> dict[str, Json]:
        """The same for a payload that is an object; empty for another."""
        found = self.value(commitment)
        return found if isinstance(found, dict) else {}

    def error(self, commitment: Commitment | None, code: str) -> AssentError:
        """The error that an event binds, with its own code; one of that code when it binds none."""
        found = self.object(commitment)
        if "message" not in found:
            return AssentError(code, code.lower().replace("_", " "))
        return AssentError.from_dict({**found, "code": found.get("code", code)})

    def inputs_of(self, capability: str) -> list[dict[str, Json]]:
        """What the capability was called with, each time, with every default filled in."""
        return [
            self.object(event.inputs)
            for event in self.events
            if isinstance(event, ev.StepStarted | ev.ApprovalRequested) and event.capability == capability
        ]

    def versions(self) -> dict[str, list[str]]:
        """The capabilities that were called, each with its versions in the order of their first use."""
        found: dict[str, dict[str, None]] = {}
        for event in self.events:
            if isinstance(event, CALLS) and event.capability not in (APPROVAL_CAPABILITY, UNDO_CAPABILITY):
                found.setdefault(event.capability, {})[event.version] = None
        return {ident: [*versions] for ident, versions in found.items()}


def bound_by(events: Iterable[ev.AnyEvent]) -> list[Commitment]:
    """The payloads that events bind, each once, in order."""
    return [*dict.fromkeys(commitment for event in events for commitment in event.commitments())]


def is_alike(was: Json, now: Json, *, masked: bool = True) -> bool:
    """Equal where both can be seen: what a snapshot hides (`masked`), or what was not kept, can't be compared."""
    if isinstance(was, dict) and isinstance(now, dict):
        return was.keys() == now.keys() and all(
            is_alike(item, now[name], masked=masked) for name, item in was.items()
        )
    if isinstance(was, list) and isinstance(now, list):
        return len(was) == len(now) and all(
            is_alike(one, other, masked=masked) for one, other in zip(was, now, strict=True)
        )
    if masked and isinstance(was, str) and MASK in was:
        return True
    return is_equal(was, now) or is_marked([was, now])
