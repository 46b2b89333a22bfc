"""`sys.info.*`: looking at the machine."""

from __future__ import annotations

from typing import Final

from tests.conformance.case import Case, Cell, Escape

_NO_WORLD: Final = "takes no path and no address: there is nothing to escape from"
_AT_ONCE: Final = "answers at once, from what the process has at hand"

CASES: Final = (
    Case(
        "sys.info.os",
        {},
        bad=[{"identity": "yes"}],
        without={Cell.CONFINEMENT: _NO_WORLD, Cell.TIMEOUT: _AT_ONCE},
    ),
    Case(
        "sys.info.env",
        {"names": ["BUILD_NUMBER"]},
        settings='[info]\nenv = ["BUILD_*"]\n',
        env={"BUILD_NUMBER": "7", "BUILD_TOKEN": "s3cret"},
        bad=[{"names": [""]}, {"names": "LANG"}],
        escapes=[
            Escape({"names": ["BUILD_TOKEN"]}, "ENV_NOT_ALLOWED"),
            Escape({"names": ["HOME"]}, "ENV_NOT_ALLOWED"),
        ],
        without={Cell.TIMEOUT: _AT_ONCE},
    ),
    Case(
        "sys.info.time",
        {},
        bad=[{"zone": ""}],
        escapes=[Escape({"zone": "../../etc/passwd"}, "ZONE_UNKNOWN")],
        without={Cell.TIMEOUT: _AT_ONCE},
    ),
)
