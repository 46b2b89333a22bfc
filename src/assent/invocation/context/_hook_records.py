"""The words for hooks: when one runs, where it stands, and what came of it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class HookKind(StrEnum):
    """When a hook runs."""

    BEFORE = "before"
    AFTER = "after"
    CATCH = "catch"
    FINALLY = "finally"


class HookLevel(StrEnum):
    """For whose calls a hook runs: everybody's, one capability's, or one call only."""

    GLOBAL = "global"
    CAPABILITY = "capability"
    LOCAL = "local"


class HookRecord(msgspec.Struct, frozen=True, gc=False):
    """What came of one hook in one call: how often it ran, how long in all, and the code of its failure."""

    id: str
    kind: HookKind
    level: HookLevel
    runs: int
    duration_us: int
    code: str | None = None

    @property
    def has_failed(self) -> bool:
        """It raised, or its time was up, in its last run."""
        return self.code is not None
