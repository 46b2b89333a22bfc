"""Answers about questions to people, and about the webhooks that tell of them."""

from __future__ import annotations

from typing import Literal

from assent.runtime.service.answers._base import Answer, Json


class ApprovalDecision(Answer, frozen=True, kw_only=True):
    """What one person said to a question, or that its time was up (`expired`) or it was voided, by nobody.

    `confirmed`: they named the digest that was shown; null where nothing was granted. `asserted`, `os_uid` and `identified_by`
    say how it is known who they are, `same_uid` that requester and approver are one user of the operating system.
    """

    decision: Literal["granted", "rejected", "expired", "voided"]
    at: str
    at_ms: int
    by: str | None
    confirmed: bool | None
    asserted: bool | None
    os_uid: int | None
    identified_by: str | None
    same_uid: bool | None
    code: str | None
    reason: str | None


class AskedApproval(Answer, frozen=True, kw_only=True):
    """A question about a step as it was asked: with the preview that was shown, and everything that was said to it."""

    digest: str
    status: Literal["pending", "granted", "rejected", "expired", "voided"]
    risk_level: str
    rule: str
    policy: str
    requester: str
    count: int
    preview: Json
    requested_at: str
    requested_at_ms: int
    expires_at: str | None
    expires_at_ms: int | None
    decisions: list[ApprovalDecision]


class Delivery(Answer, frozen=True, kw_only=True):
    """One webhook on its way, or ended."""

    id: str
    endpoint: str
    type: str
    status: str
    attempts: int
    http_status: int | None
    code: str | None
    run_id: str
    step: str
    undoes: str | None
    approval_id: str | None
    queued_at: str
    queued_at_ms: int
    tried_at: str | None
    tried_at_ms: int | None
    next_at: str | None
    next_at_ms: int | None
    ended_at: str | None
    ended_at_ms: int | None
    by: str | None


class Deliveries(Answer, frozen=True, kw_only=True):
    """Webhooks on their way and those that have ended, the newest last."""

    deliveries: list[Delivery]


class Approvers(Answer, frozen=True, kw_only=True):
    """Who must agree: of each list under `further_roles`, too, whoever agrees has a role."""

    roles: list[str]
    kinds: list[str]
    count: int
    not_requester: bool
    further_roles: list[list[str]] = []


class Approval(Answer, frozen=True, kw_only=True):
    """What waits for a person, with everything that would be approved; its digest binds it.

    `approval_id` names the question, and `notified` the endpoints that are told of it.
    """

    approval_id: str
    run_id: str
    step: str
    capability: str
    version: str
    risk_level: str
    rule: str
    requester: str
    digest: str
    preview: Json
    inputs: Json
    approvers: Approvers
    requested_at: str
    requested_at_ms: int
    expires_at_ms: int | None
    expires_at: str | None
    granted_by: list[str]
    notified: list[str]
    refused: str | None = None
    """Why whoever asks may not decide it; null where they may."""


class Approvals(Answer, frozen=True, kw_only=True):
    """Everything that waits for a person, oldest first."""

    approvals: list[Approval]


class ApprovalLine(Answer, frozen=True, kw_only=True):
    """What became of one question to people, or that somebody might not answer it (`refused`, `count` times).

    Who and how they are known as in `ApprovalDecision`; `principal` is null where the time was up or the question was voided.
    """

    seq: int
    at: str
    at_ms: int
    run_id: str | None
    step: str | None
    decision: Literal["granted", "rejected", "expired", "voided", "refused"]
    principal: str | None
    confirmed: bool | None
    asserted: bool | None
    os_uid: int | None
    identified_by: str | None
    same_uid: bool | None
    code: str | None
    reason: str | None
    count: int
    digest: str | None
    capability: str | None
    version: str | None
    risk_level: str | None
    rule: str | None
    policy: str | None
    requester: str | None
    inputs_line: str | None
