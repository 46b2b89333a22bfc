"""What `notify.*` answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from assent.spec.capability import SpecModel


class Queued(SpecModel):
    """A delivery that stands in the outbox: `id` is what the receiver knows it by (`assent deliveries`)."""

    id: Annotated[str, Field(pattern="^msg_[0-9a-f]{32}$")]
    endpoint: str
    type: str
    queued_at: str
