"""Events that a machine under test is told: the next attempt, a refusal, a question to people."""

from __future__ import annotations

from assent.engine.machine._commands import (
    Actor,
)
from assent.engine.record._record import StepRecord
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment, Fingerprint, RunId, StepKey
from assent.spec.principal import Principal
from assent.spec.states import Undo

RUN = RunId("run_property")
BOUND = Commitment("0" * 64)
REQUESTER = Principal.parse("user:asks")
PEOPLE = [Actor(Principal.parse(f"user:{name}")) for name in ("ann", "ben", "asks")]


def started(key: StepKey, step: StepRecord | None, kind: str) -> ev.StepStarted:
    """The intent of the step's next attempt."""
    undo = {"effect": Undo.AUTOMATIC, "read": Undo.NOT_NEEDED, "irreversible": Undo.NONE}[kind]
    return ev.StepStarted(
        step=key,
        attempt=(step.attempt if step is not None else 0) + 1,
        capability="t.t",
        version="1.0.0",
        fingerprint=Fingerprint("f" * 64),
        handler="h",
        risk="LOW",
        decision="ALLOW",
        rule="r",
        policy="p",
        inputs=BOUND,
        undo=undo,
    )


def denied(key: StepKey) -> ev.StepDenied:
    """The gate's no."""
    return ev.StepDenied(
        step=key,
        capability="t.t",
        version="1.0.0",
        risk="HIGH",
        decision="DENY",
        rule="r",
        policy="p",
        code="POLICY_DENIED",
        reason=BOUND,
    )


def signal(name: str, *, payload: Commitment | None = BOUND) -> ev.SignalReceived:
    """A signal that the gate let in, or did not: then nothing came with it."""
    decision = "ALLOW" if payload is not None else "DENY"
    return ev.SignalReceived(
        signal=name, by="user:ann", decision=decision, rule="r", policy="p", payload=payload
    )


def question(key: StepKey, digest: str, *, people: int = 1) -> ev.ApprovalRequested:
    """A question to people other than the requester."""
    return ev.ApprovalRequested(
        step=key,
        digest=digest,
        capability="t.t",
        version="1.0.0",
        risk="HIGH",
        decision="REQUIRE_APPROVAL",
        rule="r",
        policy="p",
        inputs=BOUND,
        preview=BOUND,
        count=people,
        not_requester=True,
        requester=str(REQUESTER),
    )
