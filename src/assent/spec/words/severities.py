"""How findings are ordered, wherever they are: by how bad they are."""

from __future__ import annotations

from typing import Final

SEVERITIES: Final = ("critical", "high", "medium", "unknown", "low", "info")
"""The worst first. What nobody rated stands between what is medium and what is low, so that it is looked at."""
