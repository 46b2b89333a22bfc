"""`[git]` of assent.toml: who commits where a call does not say it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent.errors import Json

if TYPE_CHECKING:
    from assent.capabilities.git import GitHome

_NAME: Final = re.compile(r"[^<>\n\0]*[^<>\s\0][^<>\n\0]*")
_ADDRESS: Final = re.compile(r"[^<>\s\0]+")
_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class GitSettings:
    """Everything under `[git]`; None: it follows from the principal."""

    name: str | None = None
    email: str | None = None

    def home(self, workspace: Path) -> GitHome:
        """What the git capabilities are given."""
        from assent.capabilities.git import GitHome

        return GitHome(workspace, self.name, self.email)


def _reads(pattern: re.Pattern[str], what: str) -> Callable[[object], Json]:
    def read(value: object) -> Json:
        if not isinstance(value, str) or len(value) > _CHARACTERS_MAX or not pattern.fullmatch(value):
            raise ValueError(f"must be {what}, without `<` and `>`, of at most {_CHARACTERS_MAX} characters")
        return value

    return read


GIT: Final[Mapping[str, Callable[[object], Json]]] = {
    "name": _reads(_NAME, "a name on one line"),
    "email": _reads(_ADDRESS, "an address without blanks"),
}
"""What `[git]` may hold."""
