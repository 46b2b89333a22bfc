"""What kind of act it is and how much harm it can do: apart from the specs, whose models are dear to import."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class OperationType(StrEnum):
    """What kind of act a capability performs."""

    READ = "READ"
    WRITE = "WRITE"
    DELETE = "DELETE"
    EXECUTE = "EXECUTE"
    NETWORK = "NETWORK"


class RiskLevel(StrEnum):
    """How much harm an act can do, from LOW to CRITICAL. Compare by `rank`, never as text."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"

    @property
    def rank(self) -> int:
        """0 for LOW … 3 for CRITICAL."""
        return _RANKS[self]


_RANKS: Final = {level: rank for rank, level in enumerate(RiskLevel)}
