"""Where and as whom a hook asks, and how long it waits: as the words behind it say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from assent.errors import InputError
from assent.system import environment

PATIENCE: Final = "5m"
"""So long a person may take; programs give a hook ten minutes where nobody says otherwise."""

_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000}


class Place(NamedTuple):
    """Where and as whom, as it was said."""

    said: Mapping[str, str]
    own_name: str

    @property
    def principal(self) -> str:
        """As whom the agent acts."""
        return self.said.get("as") or environment().get("ASSENT_PRINCIPAL") or self.own_name

    def path(self, name: str) -> Path | None:
        """A folder or file that was named."""
        return Path(self.said[name]) if name in self.said else None

    @property
    def patience_ms(self) -> int:
        """How long a person is waited for. `USAGE_INVALID`."""
        text = self.said.get("patience", PATIENCE)
        number = text.rstrip("ms")
        unit = _UNITS.get(text[len(number) :])
        if not number.isascii() or not number.isdigit() or len(number) > 9 or unit is None:
            raise InputError("USAGE_INVALID", "`--patience` must be a time: `90s`, `5m`")
        return int(number) * unit
