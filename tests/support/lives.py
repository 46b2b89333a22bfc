"""Modules that note what happens to them, and an application for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from assent import system
from assent.errors import Json
from assent.invocation import GlobalContext, Health, ModuleLimits

SHORT = ModuleLimits(start_s=0.2, health_s=0.2, shutdown_s=1.0)
"""Limits for tests in which something hangs: long enough for what works, short to wait for."""


def application(
    config: Mapping[str, Json] | None = None, *, limits: ModuleLimits | None = None
) -> GlobalContext:
    """An application on the machine's own clock."""
    return GlobalContext(clock=system.SystemClock(), spawn=system.spawn, config=config, limits=limits)


@dataclass
class Life:
    """What one module is to do, and a log that it shares with the others."""

    name: str
    log: list[str]
    priority: int = 0
    is_async: bool = True
    fails_to_start: bool = False
    fails_to_close: bool = False
    hangs: bool = False
    health: Health = field(default_factory=Health)
    kind: type = object

    def register(self, app: GlobalContext, *, ready: bool = False) -> type:
        """Register it under a type of its own; that type."""
        self.kind = type(self.name, (), {})
        if ready:
            app.register(
                self.kind, self.kind(), priority=self.priority, close=self._close, health=self._health
            )
        else:
            factory = self._make_later if self.is_async else self._make
            app.register(
                self.kind, factory=factory, priority=self.priority, close=self._close, health=self._health
            )
        return self.kind

    def _make(self, app: GlobalContext) -> object:
        if self.fails_to_start:
            raise OSError(f"no {self.name}")
        self.log.append(f"start {self.name}")
        return self.kind()

    async def _make_later(self, app: GlobalContext) -> object:
        await asyncio.sleep(0)
        return self._make(app)

    async def _close(self, module: object) -> None:
        assert type(module) is self.kind
        self.log.append(f"close {self.name}")
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails_to_close:
            raise OSError(f"{self.name} is stuck")

    async def _health(self, module: object) -> Health:
        return self.health
