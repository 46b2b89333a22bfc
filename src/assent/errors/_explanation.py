"""What is said about an error code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one code means, in a sentence or two, and what its reader can do."""

    meaning: str
    remedy: str
