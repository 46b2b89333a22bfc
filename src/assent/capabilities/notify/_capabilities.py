"""The notification capabilities, described."""

from __future__ import annotations

from typing import Final

from assent.capabilities.describing import describe
from assent.capabilities.notify import _webhook

CAPABILITIES: Final = (
    describe(
        "notify.webhook",
        "Tell a configured endpoint that something happened, by a signed webhook",
        _webhook,
        operation="NETWORK",
        risk="HIGH",
        justification="what a receiver was told it can be told to disregard, which need not bring every trace back",
        scope="network",
        effect="queues a webhook, which is sent to a configured endpoint",
        compensation="withdrawn_or_offset",
        idempotent=True,
        labels=("sends_external",),
    ),
)
