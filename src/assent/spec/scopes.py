"""What a key or a token may open: the words for it. Which operation needs which is the service's to say."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Scope: TypeAlias = Literal["call", "read", "plan", "approve", "undo", "admin"]

CALL: Final = "call"
"""Begin runs, add to them and drive them on."""

READ: Final = "read"
"""Look at what was recorded, what can be called and what is in force."""

PLAN: Final = "plan"
"""See what would happen, with the reads that this needs."""

APPROVE: Final = "approve"
"""Decide what waits for a person."""

UNDO: Final = "undo"
"""Stop runs and take them back."""

ADMIN: Final = "admin"
"""Everything that is the operator's: keys, versions, plugins, secrets, erasing, files of the machine."""

SCOPES: Final[tuple[Scope, ...]] = (CALL, READ, PLAN, APPROVE, UNDO, ADMIN)

UNSAID: Final[tuple[Scope, ...]] = (CALL, PLAN, READ)
"""Those of a key of which nothing else is said: it decides nothing that waits for a person."""
