"""How findings are ordered, wherever they are: by how bad they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

SEVERITIES: Final = ("critical", "high", "medium", "unknown", "low", "info")
"""The worst first. What nobody rated stands between what is medium and what is low, so that it is looked at."""


def counts_text(counts: Mapping[str, object], paint: Callable[[str, str], str] = lambda text, _: text) -> str:
    """How many there are of each severity, the worst first; empty where there are none. `paint`: of a count and its severity."""
    return ", ".join(paint(f"{counts[one]} {one}", one) for one in SEVERITIES if counts.get(one))
