"""The parameters of `notify.*`, as users write them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from assent.spec.capability import SpecModel

EndpointName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+/-]{0,127}$",
        description="where it goes: a name under `[notify.endpoints]` of `assent.toml`",
    ),
]
EventType = Annotated[
    str,
    Field(
        max_length=120,
        pattern=r"^[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*$",
        description="what happened, in words with full stops between them: `invoice.paid`",
    ),
]
Data = Annotated[
    dict[str, JsonValue],
    Field(description="what the receiver is told of it; secrets of this runtime are masked in it"),
]


class Notify(SpecModel):
    """Whom to tell, and what."""

    endpoint: EndpointName
    type: EventType
    data: Data = Field(default_factory=dict)
