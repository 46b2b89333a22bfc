"""How the parts of an application are: each says so itself, and the worst of them is how the whole is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from assent.errors import Json


class HealthStatus(StrEnum):
    """`ok`; `degraded`: it works, and somebody should look; `failed`: it does not work."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


_RANKS: Final = {status: rank for rank, status in enumerate(HealthStatus)}


class Health(msgspec.Struct, frozen=True):
    """How one part is, and what it has to say about that."""

    status: HealthStatus = HealthStatus.OK
    detail: str = ""

    def to_json(self) -> dict[str, Json]:
        """The same as JSON data."""
        return {"status": self.status.value, "detail": self.detail}


class ApplicationHealth(msgspec.Struct, frozen=True):
    """How the whole is, and each part by its name."""

    status: HealthStatus
    parts: Mapping[str, Health]

    def to_json(self) -> dict[str, Json]:
        """The same as JSON data."""
        return {
            "status": self.status.value,
            "parts": {name: health.to_json() for name, health in self.parts.items()},
        }


def worst(found: Iterable[Health]) -> HealthStatus:
    """The worst status of all; `ok` when there are none."""
    return max((health.status for health in found), key=_RANKS.__getitem__, default=HealthStatus.OK)
