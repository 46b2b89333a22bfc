"""Named points at which a test may stop the process, to prove that a crash there loses and doubles nothing.

Off, a point costs one global look-up and a comparison. A point is armed by name and count: `armed("effect.before", 3)` ends the
process at the third time it is reached, as SIGKILL would.

| point             | where                                                             |
|-------------------|-------------------------------------------------------------------|
| `commit.before`   | events are decided, nothing is durable                            |
| `commit.after`    | events are durable, nothing else has happened                     |
| `effect.before`   | the intent is durable, `execute` has not been called              |
| `effect.after`    | `execute` has returned, its outcome is not recorded               |
| `compensate.before` | the compensation is journaled, `compensate` has not been called |
| `compensate.after`  | `compensate` has returned, that is not recorded                 |
"""

from __future__ import annotations

import os
import signal
from typing import Final

POINTS: Final = (
    "commit.before",
    "commit.after",
    "effect.before",
    "effect.after",
    "compensate.before",
    "compensate.after",
)

VARIABLE: Final = "ASSENT_FAILPOINT"
"""`NAME:COUNT` in the environment arms a point for a whole process; the composition root reads it."""


class Failpoints:
    """The armed point of this process, if any."""

    __slots__ = ("_left", "_name", "reached")

    def __init__(self) -> None:
        self._name: str | None = None
        self._left = 0
        self.reached = 0

    def arm(self, text: str) -> None:
        """Arm `NAME:COUNT`; an unknown name is refused with ValueError, since a test that can't fire proves nothing."""
        name, _, count = text.partition(":")
        if name not in (*POINTS, "any"):
            message = f"no failpoint is called {name}"
            raise ValueError(message)
        self._name, self._left = name, int(count or 1)

    def hit(self, name: str) -> None:
        """End the process here when this point is armed and its count is used up."""
        if self._name is None:
            return
        if self._name in (name, "any"):
            self.reached += 1
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


FAILPOINTS: Final = Failpoints()
"""Process-wide on purpose: what it stands for, the death of the process, is process-wide as well."""
