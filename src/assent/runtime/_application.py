"""The application of a runtime, on the machine's own clock, with the configuration that the workspace gives it."""

from __future__ import annotations

from assent import system
from assent.invocation import GlobalContext
from assent.runtime.settings import Settings


def application(settings: Settings) -> GlobalContext:
    """The application that a runtime with these settings starts and shuts down."""
    return GlobalContext(clock=system.SystemClock(), spawn=system.spawn, config=settings.app)
