"""Snapshots of runs, and replaying a recorded run: what a runtime offers of them. The work is done in `_replaying`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from assent import __version__
from assent.engine import Services
from assent.journal import JournalReader
from assent.runtime.capabilities._registered import Capabilities
from assent.spec.ids import RunId

if TYPE_CHECKING:
    from assent.engine.replay import Recording, ReplayReport
    from assent.invocation import Snapshot


class Replays(ABC):
    """What a runtime offers of this."""

    _capabilities: Capabilities

    @property
    @abstractmethod
    def _ready(self) -> Services:
        """What the engine works with, while the runtime is open."""

    @property
    @abstractmethod
    def _reader(self) -> JournalReader:
        """The record, also where another process owns it."""

    async def snapshot(self, run: str) -> Snapshot:
        """A run as it stands: its events, its data without secrets, what it called. `RUN_UNKNOWN`, `PAYLOAD_ERASED`."""
        from assent.engine.replay import Recording  # a run does not pay for what only a replay needs

        return self.snapshot_of(await Recording.of_journal(self._reader, RunId(run)))

    def snapshot_of(self, recording: Recording) -> Snapshot:
        """The same of a recording, wherever it was read."""
        from assent.engine.replay import snapshot_run
        from assent.runtime.runs._replaying import catalogue_of

        exact = catalogue_of(recording, self._capabilities).exact
        return snapshot_run(recording, exact, version=__version__)

    async def replay(self, run: str | Snapshot, *, capability_version: str | None = None) -> ReplayReport:
        """Run a recorded run again against what was recorded, without touching anything, and tell what differs.

        A snapshot need not be of a run of this ledger. `capability_version` (`2.0.0`, or `ID@2.0.0`) really runs, on a
        simulated world. `RUN_UNKNOWN`, `PAYLOAD_ERASED`, `SNAPSHOT_INVALID`, `REPLAY_NOT_SIMULABLE`.
        """
        from assent.engine.replay import Recording, recording_of

        if isinstance(run, str):
            recording = await Recording.of_journal(self._reader, RunId(run))
        else:
            recording = recording_of(run)
        return await self.replay_recording(recording, capability_version)

    async def replay_recording(
        self, recording: Recording, capability_version: str | None = None
    ) -> ReplayReport:
        """The same of a recording, wherever it was read."""
        from assent.runtime.runs._replaying import replay_recording

        return await replay_recording(recording, self._ready, self._capabilities, capability_version)
