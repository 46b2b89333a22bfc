"""What an undo would do, step by step, tried before anybody is asked and before anything is touched."""

from __future__ import annotations

import msgspec

from assent.engine.steps._consequences import Lead
from assent.errors import AssentError, Json
from assent.invocation import Preview
from assent.spec.decision import PolicyDecision
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId, StepKey
from assent.spec.states import Undo
from assent.spec.values.canonical import fingerprint
from assent.spec.values.json_fields import written

_WORDS = {
    Undo.NOT_NEEDED: "nothing to undo",
    Undo.AUTOMATIC: "restored",
    Undo.COMPENSATION: "offset",
    Undo.NONE: "can't be undone",
}


class RehearsedStep(msgspec.Struct, frozen=True):
    """One step of an undo. `lead` is the other call that takes it back, `failure` what keeps it from being taken back.

    `leads`: that, or what the capability's own `compensate` comes to; `keeps`: what these take of limits. `steps` are those of
    the run that it has begun, which are taken back with it.
    """

    key: StepKey
    capability: str
    version: str
    undo: Undo
    lead: Lead | None = None
    failure: AssentError | None = None
    leads: tuple[Lead, ...] = ()
    keeps: tuple[ev.Counted, ...] = ()
    steps: tuple[RehearsedStep, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """The step's object."""
        lead = self.lead
        by: Json = None if lead is None else {"capability": lead.bound.spec.id, "inputs": dict(lead.inputs)}
        failure: Json = None if self.failure is None else dict(self.failure.to_dict())
        return {
            "name": str(self.key),
            "capability": self.capability,
            "version": self.version,
            "undo": self.undo.value,
            "by": by,
            "error": failure,
            **({"steps": [step.to_json() for step in self.steps]} if self.steps else {}),
        }

    @property
    def line(self) -> str:
        """The same for people."""
        words = _WORDS[self.undo]
        if self.lead is not None:
            words = f"{words} by {self.lead.bound.spec.id} {written(dict(self.lead.inputs))}"
        if self.failure is not None and self.undo is not Undo.NONE:
            words = f"{words}: {self.failure.message}"
        inner = [f"\n  {self.key}:{step.line}" for step in self.steps]
        return f"  {self.key}  {self.capability}  {words}{''.join(inner)}"


class Rehearsal(msgspec.Struct, frozen=True):
    """An undo that was tried on a simulated world. `diff` is what it would change of the workspace's files."""

    steps: tuple[RehearsedStep, ...]
    diff: str
    partial: bool

    @property
    def obstacle(self) -> RehearsedStep | None:
        """The first step that keeps the undo from beginning; with `partial`, what nothing takes back is left as it is."""
        return next((step for step in self.steps if self._stops(step)), None)

    def _stops(self, step: RehearsedStep) -> bool:
        return step.failure is not None and not (self.partial and step.undo is Undo.NONE)

    @property
    def preview(self) -> Preview:
        """What people are shown of it; an answer holds as long as it would be the same."""
        what = "\n".join(["takes back, in this order:", *(step.line for step in self.steps)])
        text = f"{what}\n{self.diff}"
        return Preview("unified", text, fingerprint(text), changes=bool(self.steps))


class UndoPlan(msgspec.Struct, frozen=True):
    """What an undo would do, and what the gate says of it. Nothing was asked, recorded or touched."""

    run: RunId
    rehearsal: Rehearsal
    request: ev.UndoRequested
    reason: str
    untouched: tuple[RehearsedStep, ...] = ()
    """Steps of the run that there is nothing to take back of."""

    def to_json(self) -> dict[str, Json]:
        """The plan's object."""
        rehearsal, request = self.rehearsal, self.request
        is_denied = request.decision == PolicyDecision.DENY.value
        return {
            "run_id": self.run,
            "partial": rehearsal.partial,
            "possible": rehearsal.obstacle is None,
            "risk_level": request.risk,
            "decision": request.decision,
            "rule": request.rule,
            "reason": self.reason,
            "steps": [step.to_json() for step in (*rehearsal.steps, *self.untouched)],
            # Whoever may not undo it may not see what an undo would bring back either.
            "preview": {"kind": "unified", "diff": "" if is_denied else rehearsal.diff},
        }
