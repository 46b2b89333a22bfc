"""What `assent doctor` says of one thing."""

from __future__ import annotations

from dataclasses import dataclass

from assent.errors import Json


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: `ok`, `warning` or `fault`, what was seen, and what to do."""

    name: str
    status: str
    seen: str
    hint: str | None = None

    def to_json(self) -> dict[str, Json]:
        """The check as JSON data."""
        return {"name": self.name, "status": self.status, "seen": self.seen, "hint": self.hint}
