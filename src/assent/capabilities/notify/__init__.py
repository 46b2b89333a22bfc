"""Hands that tell others: signed webhooks, delivered from a durable outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.notify._delivery import Delivery as Delivery
    from assent.capabilities.notify._delivery import DeliveryFiles as DeliveryFiles
    from assent.capabilities.notify._delivery import body_of as body_of
    from assent.capabilities.notify._endpoint import Endpoint as Endpoint
    from assent.capabilities.notify._outbox import Asker as Asker
    from assent.capabilities.notify._outbox import Outbox as Outbox
    from assent.capabilities.notify._outbox import Post as Post

_HOMES = {
    "._delivery": "Delivery DeliveryFiles body_of",
    "._endpoint": "Endpoint",
    "._outbox": "Asker Outbox Post",
}

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
