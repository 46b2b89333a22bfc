"""Somebody who watches runs, and waits for what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from assent.spec.ids import RunId
from tests.support.patience import PATIENCE_S


class Watcher:
    """A listener of `Runtime.telling` that keeps the lines it is told, each with its step, in order."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str | None]] = []
        self.runs: set[str] = set()
        self._news = asyncio.Event()

    def __call__(self, run: RunId, n: int | None, at_ms: int, event: Any) -> None:
        if event.kind == "step.said":
            assert n is None, "no line is on record"
            self.runs.add(run)
            self.lines.append((event.step, event.line))
            self._news.set()

    def of(self, step: str) -> list[str | None]:
        """The lines of one step."""
        return [line for name, line in self.lines if name == step]

    async def until(self, condition: Callable[[Watcher], bool]) -> None:
        """Wait until the lines are such."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(self):
                self._news.clear()
                await self._news.wait()
