"""How findings are ordered, wherever they are: by how bad they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from assent._lazy import compiled_when_asked

SEVERITIES: Final = ("critical", "high", "medium", "unknown", "low", "info")
"""The worst first. What nobody rated stands between what is medium and what is low, so that it is looked at."""

_COUNT: Final = compiled_when_asked(rf"\b([0-9]+) ({'|'.join(SEVERITIES)})\b")


def counts_text(counts: Mapping[str, object], paint: Callable[[str, str], str] = lambda text, _: text) -> str:
    """How many there are of each severity, the worst first; empty where there are none. `paint`: of a count and its severity."""
    return ", ".join(paint(f"{counts[one]} {one}", one) for one in SEVERITIES if counts.get(one))


def counts_in(text: str) -> dict[str, int]:
    """The counts that `counts_text` has written into a text."""
    return {one: int(count) for count, one in _COUNT.findall(text)}
