"""What the git capabilities need of the runtime: where the workspace is on the machine, and who commits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from assent.spec.principal import Principal


@dataclass(frozen=True, slots=True)
class GitHome:
    """A module of the application. `name` and `email` are `[git]` of assent.toml; None: they follow from the principal."""

    root: Path
    name: str | None = None
    email: str | None = None

    def who(self, principal: Principal, name: str | None, email: str | None) -> tuple[str, str]:
        """Name and address of a commit: those of the call, else the configured ones, else those of the principal."""
        plain = "".join(char if char.isalnum() or char in "._-+" else "-" for char in principal.id)
        found = name or self.name or principal.id
        return found, email or self.email or f"{plain}@{principal.type.value}.invalid"
