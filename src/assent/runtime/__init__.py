"""The roof: where everything is wired together.

Its names are resolved when they are first asked for: every command reads settings, which live here as well, and most need none
of the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.engine import RunResult, StepResult
    from assent.runtime._program import Runtime
    from assent.runtime.runs._session import CallResult, Session

_HOMES = {
    "._program": "Runtime",
    ".runs._session": "CallResult Session",
    "assent.engine": "RunResult StepResult",
}

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
