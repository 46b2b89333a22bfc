"""`sys.noop`, `sys.sleep` and `sys.fail`, which touch nothing."""

from __future__ import annotations

from typing import Final

from tests.conformance.case import Case, Cell

_NO_REACH: Final = "touches nothing and takes no path, address or command"
_AT_ONCE: Final = "ends at once: it waits for nothing"
_FAILS: Final = "fails before it could have an effect"

CASES: Final = (
    Case("sys.noop", without={Cell.TIMEOUT: _AT_ONCE, Cell.CONFINEMENT: _NO_REACH}),
    Case(
        "sys.sleep",
        {"seconds": 0.01},
        bad=[{"seconds": -1}, {"seconds": 1e9}],
        lasting={"seconds": 3600},
        without={Cell.CONFINEMENT: _NO_REACH},
    ),
    Case(
        "sys.fail",
        {"message": "on purpose"},
        bad=[{"message": "x" * 1001}],
        fails="STEP_FAILED_ON_PURPOSE",
        without={
            Cell.UNDO: _FAILS,
            Cell.RECONCILE: _FAILS,
            Cell.TIMEOUT: _AT_ONCE,
            Cell.CONFINEMENT: _NO_REACH,
        },
    ),
)
