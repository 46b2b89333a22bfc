"""What a call was asked to run at its turning points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assent.invocation.phases import CallPhase


class Callbacks:
    """The callbacks of one call, in order of registration. Made by the first of them."""

    __slots__ = ("cleanup", "error", "phase", "timeout")

    def __init__(self) -> None:
        # `Any`: what a callback returns is thrown away, awaited first if need be.
        self.cleanup: list[Callable[[], Any]] = []
        self.timeout: list[Callable[[], Any]] = []
        self.error: list[Callable[[Exception], Any]] = []
        self.phase: list[Callable[[CallPhase, CallPhase], object]] = []
