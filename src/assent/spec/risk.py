"""How much harm an act can do: apart from the specs, whose models cost more to import than a workflow that is only shown."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


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
