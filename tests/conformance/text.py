"""`text.*`: text in, text out, and nothing of the world in between."""

from __future__ import annotations

from typing import Final

from tests.conformance.case import Case, Cell

_NO_WORLD: Final = "takes no path and no address: there is nothing to escape from"
_AT_ONCE: Final = "ends by itself within a bounded number of steps"
_WITHOUT: Final = {Cell.CONFINEMENT: _NO_WORLD, Cell.TIMEOUT: _AT_ONCE}

CASES: Final = (
    Case(
        "text.replace",
        {"text": "born 1815", "pattern": r"(?P<year>\d{4})", "replacement": "in ${year}"},
        bad=[
            {"text": "a", "pattern": "", "replacement": ""},
            {"text": "a", "pattern": "a", "replacement": "", "count": -1},
        ],
        without=_WITHOUT,
    ),
    Case(
        "text.extract",
        {"text": "a=1\nb=2", "pattern": r"(?P<key>\w+)=(?P<value>\d+)"},
        bad=[{"text": "a", "pattern": ""}, {"text": "a", "pattern": "a", "limit": 0}],
        without=_WITHOUT,
    ),
    Case(
        "text.template",
        {"template": "Hello {{ name | upper }}!", "values": {"name": "Ada"}},
        bad=[{"template": 1}, {"template": "x" * (129 << 10)}],
        without=_WITHOUT,
    ),
)
