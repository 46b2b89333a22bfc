"""Named points at which a test may stop the process, to prove that a crash there loses and doubles nothing.

Off, a point costs one attribute look-up and a comparison. A point is armed by name and count: `effect.before:3` ends the process
as SIGKILL would at the third time that point is reached, `any:17` at the seventeenth point of whatever name, but for those of
deliveries, of a client's spool and of the store of knowledge, which are beside all runs.

| point               | where                                                                               |
|---------------------|-------------------------------------------------------------------------------------|
| `blob.before`       | a pre-image is flushed under a temporary name                                       |
| `blob.after`        | a pre-image is durable, no event refers to it                                       |
| `commit.before`     | events are decided, nothing of them is durable                                      |
| `ledger.before`     | the transaction holds all its events, it is not committed                           |
| `ledger.after`      | the transaction is durable, nobody was told                                         |
| `commit.after`      | events are durable, nothing else has happened                                       |
| `effect.before`     | the intent is durable, `execute` has not been called                                |
| `file.before`       | new content is flushed under a temporary name, or a rename is about to happen       |
| `file.after`        | a name in the workspace has changed, its folder is not flushed                      |
| `effect.after`      | `execute` has returned, its outcome is not recorded                                 |
| `compensate.before` | the compensation is journaled, nothing has been taken back                          |
| `compensate.after`  | the effect has been taken back, that is not recorded                                |
| `delivery.before`   | an attempt at a delivery is on the disk, nothing of it was sent                     |
| `delivery.after`    | an attempt has ended, that is not on the disk                                       |
| `delivery.ended`    | the end of a delivery is on the disk, it is not on the record                       |
| `spool.after`       | a deferred call is on the disk, nobody was told                                     |
| `spool.sent`        | it is marked as sent, nothing of it was sent                                        |
| `spool.answered`    | its answer has come, it stands on the disk yet                                      |
| `knowledge.before`  | a change of the store of knowledge is written, it is not durable                    |
| `knowledge.after`   | it is durable, nobody was told                                                      |

The floors that act name their own boundaries here; that is why this module lies beneath all of them.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

POINTS: Final = (
    "blob.before",
    "blob.after",
    "commit.before",
    "ledger.before",
    "ledger.after",
    "commit.after",
    "effect.before",
    "file.before",
    "file.after",
    "effect.after",
    "compensate.before",
    "compensate.after",
    "delivery.before",
    "delivery.after",
    "delivery.ended",
    "spool.after",
    "spool.sent",
    "spool.answered",
    "knowledge.before",
    "knowledge.after",
)

BESIDE: Final = frozenset(name for name in POINTS if name.startswith(("delivery.", "spool.", "knowledge.")))
"""Points that are reached beside every run, whenever that is; each is armed by its own name only."""

ANY: Final = "any"
"""Arms every point of runs at once: the count is of all that is reached, in order."""

VARIABLE: Final = "ASSENT_FAILPOINT"
"""`NAME:COUNT` in the environment arms a point for a whole process; the composition root reads it."""


class Failpoints:
    """The armed point of this process, if any; `trace` names what was reached since it was armed, oldest first."""

    __slots__ = ("_count", "_lock", "_name", "trace")

    def __init__(self) -> None:
        self._name: str | None = None
        self._count = 0
        self._lock = threading.Lock()
        self.trace: list[str] = []

    def arm(self, text: str) -> None:
        """Arm `NAME:COUNT`; with count 0 nothing ends, the points are only traced.

        An unknown name is refused with ValueError: a test that can't fire proves nothing.
        """
        name, _, count = text.partition(":")
        if name not in (*POINTS, ANY):
            message = f"no failpoint is called {name}"
            raise ValueError(message)
        self._name, self._count = name, int(count or 1)
        self.trace.clear()

    def hit(self, name: str) -> None:
        """End the process here when this point is armed and its count is reached."""
        if self._name is None:
            return
        if self._name == name or (self._name == ANY and name not in BESIDE):
            # The thread that writes the ledger and those of handlers reach points as well.
            with self._lock:
                self.trace.append(name)
                if len(self.trace) == self._count:
                    os.kill(os.getpid(), signal.SIGKILL)


FAILPOINTS: Final = Failpoints()
"""Process-wide on purpose: what it stands for, the death of the process, is process-wide as well."""
