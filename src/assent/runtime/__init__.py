"""The roof: where everything is wired together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assent.engine import RunResult, StepResult
    from assent.runtime._runtime import Runtime
    from assent.runtime._session import Session

__all__ = ["RunResult", "Runtime", "Session", "StepResult"]


def __getattr__(name: str) -> Any:  # `Any`: whatever the module holds under that name
    # Settings are read by every command, also by those that need none of the rest: only who asks pays for it.
    if name in ("Runtime", "Session"):
        from assent.runtime import _runtime  # see above

        return getattr(_runtime, name)
    if name in ("RunResult", "StepResult"):
        from assent import engine  # see above

        return getattr(engine, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
