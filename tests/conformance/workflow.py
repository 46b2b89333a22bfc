"""`workflow.run`, in the session that alone may call it; a call by itself is refused before anything begins."""

from __future__ import annotations

from typing import Final

from assent.errors import Json
from tests.conformance.case import Case, Cell

_WRITES: Final[dict[str, Json]] = {
    "name": "writes",
    "steps": [
        {"name": "one", "capability": "io.fs.write_file", "inputs": {"path": "one.txt", "content": "1\n"}},
        {"name": "two", "capability": "io.fs.write_file", "inputs": {"path": "one.txt", "content": "2\n"}},
    ],
}
_STEPS: Final = "each step of the workflow is tried for itself"

CASES: Final = (
    Case(
        "workflow.run",
        {"workflow": _WRITES},
        files={"one.txt": "0\n"},
        in_session=True,
        bad=[{}, {"workflow": _WRITES, "plan": "plan_none"}, {"plan": "plan_none", "inputs": {"a": 1}}],
        without={
            Cell.PREVIEW: "a plan of the workflow shows it",
            Cell.RECONCILE: "it joins the run that it began, whose steps are tried for themselves",
            Cell.TIMEOUT: "a session's steps have no limit; `max_duration` is the workflow's",
            Cell.CONFINEMENT: _STEPS,
        },
    ),
)
