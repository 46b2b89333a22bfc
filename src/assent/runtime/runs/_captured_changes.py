"""What programs wrote to be shown, and is not applied: kept no longer than somebody may still apply it; and what was left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from assent import system
from assent.capabilities.exec.area import home_in
from assent.engine import RunRecord
from assent.journal import Journal
from assent.runtime._find_run import get_run, state_of
from assent.runtime.settings.effective import Settings

if TYPE_CHECKING:
    from assent.capabilities.exec._folders import Folders


class Captures:
    """The captures of one state directory, seen from its runs. Nothing is imported where no program was ever run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._home = home_in(settings.state)

    async def sweep(self, journal: Journal) -> None:
        """Remove what expired, what is for runs that have ended, and what a killed process left."""
        if self._home.is_dir():
            folders = self._folders()
            shown_for = await asyncio.get_running_loop().run_in_executor(None, folders.runs)
            found = [await get_run(journal, run) for run in shown_for]
            ended = {str(row["run_id"]) for row in found if row is not None and state_of(row).is_finished}
            await self._sweep(ended.__contains__)
            from assent.sandbox import Scratch

            await asyncio.get_running_loop().run_in_executor(None, Scratch.sweep)

    async def after_run(self, record: RunRecord) -> None:
        """Remove what was shown for a run, once that has ended: applied, rejected or cancelled."""
        if record.state.is_finished and self._home.is_dir():
            await self._sweep(str(record.run).__eq__)

    async def _sweep(self, has_ended: Callable[[str], Any]) -> None:
        # Removing a copied workspace takes its time.
        await asyncio.get_running_loop().run_in_executor(None, self._folders().sweep, has_ended)

    def _folders(self) -> Folders:
        from assent.capabilities.exec._folders import Folders, remove

        expiry_ms = self._settings.limits.plan_expiry_ms
        return Folders(self._home, remove, now_ms=system.SystemClock().now_ms, expiry_ms=expiry_ms)
