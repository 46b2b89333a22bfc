"""The question that people are asked, of whatever it is about, and what binds their answer to it."""

from __future__ import annotations

from collections.abc import Sequence

from assent.engine.record._record import RunRecord
from assent.engine.steps._consequences import Consequence
from assent.engine.steps._pending_events import PendingEvents
from assent.errors import Json
from assent.invocation import Preview
from assent.spec.decision import Approvers, Decision
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment, StepKey
from assent.spec.states import Undo
from assent.spec.values.canonical import fingerprint


def approval_request(
    record: RunRecord,
    key: StepKey,
    requester: str,
    decision: Decision,
    outbox: PendingEvents,
    *,
    capability: str,
    version: str,
    fingerprint: str,
    risk: str,
    inputs: Commitment,
    preview: Preview,
    undo: Undo,
    now_ms: int,
    asked_version: str | None = None,
    context: Commitment | None = None,
    consequences: Sequence[Consequence] = (),
    asked_about: Sequence[ev.ConsequenceDecided] = (),
) -> ev.ApprovalRequested:
    """What is asked about a call that is fully known, with all that its approvers are shown.

    `consequences` is what it may lead to, and `asked_about` the same as it is put on record.
    """
    approvers = decision.approvers or Approvers()
    shown: dict[str, Json] = {
        "kind": preview.kind,
        "diff": preview.diff,
        "undo": undo.value,
        "reason": decision.reason,
    }
    if consequences:
        shown["consequences"] = [one.to_json() for one in consequences]
    return ev.ApprovalRequested(
        step=key,
        digest=approval_digest(
            record,
            key,
            requester,
            decision,
            capability=fingerprint,
            inputs=inputs,
            base=preview.base,
            asked_about=asked_about,
        ),
        capability=capability,
        version=version,
        risk=risk,
        decision=decision.effect.value,
        rule=decision.rule,
        policy=decision.policy_digest,
        inputs=inputs,
        preview=outbox.bind(shown),
        roles=approvers.roles,
        further_roles=approvers.further_roles,
        kinds=approvers.kinds,
        count=approvers.count,
        not_requester=approvers.not_requester,
        requester=requester,
        expires_at_ms=now_ms + approvers.expires_ms if approvers.expires_ms is not None else None,
        asked_version=asked_version,
        context=context,
    )


def approval_digest(
    record: RunRecord,
    key: StepKey,
    principal: str,
    decision: Decision,
    *,
    capability: str,
    inputs: Commitment,
    base: str | None,
    asked_about: Sequence[ev.ConsequenceDecided] = (),
) -> str:
    """What an approval binds: run, step, requester, the call and what it may lead to, policy, rule and the world it was shown."""
    bound: dict[str, Json] = {
        "run": record.run,
        "step": key,
        "principal": principal,
        "capability": capability,
        "inputs": inputs,
        "policy": decision.policy_digest,
        "rule": decision.rule,
        "base": base,
    }
    if asked_about:
        # A call that leads to nothing has the digest that it always had.
        bound["consequences"] = [
            [one.role, one.fingerprint, one.risk, one.decision, one.rule, one.inputs, [*one.unknown]]
            for one in asked_about
        ]
    return fingerprint(bound)
