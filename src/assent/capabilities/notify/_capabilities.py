"""The notification capabilities, described."""

from __future__ import annotations

from assent.capabilities.notify import _webhook
from assent.capabilities.notify._parameters import Notify
from assent.capabilities.notify._results import Queued
from assent.invocation import LocalContext, Prepared, Preview, Reconciliation, capability


@capability(
    "notify.webhook",
    operation="NETWORK",
    risk="HIGH",
    justification="what a receiver was told it can be told to disregard, which need not bring every trace back",
    scope="network",
    effect="queues a webhook, which is sent to a configured endpoint",
    compensation="withdrawn_or_offset",
    idempotent=True,
    labels=("sends_external",),
    revision="notify.webhook/1",
)
async def webhook(context: LocalContext, parameters: Notify) -> Queued:
    """Tell a configured endpoint that something happened, by a signed webhook"""
    return await _webhook.execute(context, parameters)


@webhook.prepare
def webhook_prepare(context: LocalContext, parameters: Notify) -> Prepared:
    """Refuse what could never be sent."""
    return _webhook.prepare(context, parameters)


@webhook.compensate
async def webhook_undo(context: LocalContext, parameters: Notify) -> None:
    """Withdraw it, or tell the receiver to disregard it."""
    await _webhook.compensate(context, parameters)


@webhook.reconcile
async def webhook_reconcile(context: LocalContext) -> Reconciliation:
    """Look into the outbox."""
    return await _webhook.reconcile(context)


@webhook.preview
def webhook_preview(context: LocalContext, parameters: Notify) -> Preview:
    """Where it would go, and the body."""
    return _webhook.preview(context, parameters)
