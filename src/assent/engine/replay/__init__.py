"""A recorded run, run again: its record, what it is replayed against, and what differs.

A folder of its own, because the body does not need it: only who replays or freezes a run loads it.
"""

from assent.engine.replay._recording import RecordedCapability, Recording
from assent.engine.replay._replay import replay
from assent.engine.replay._replayed_capabilities import ReplayCatalogue, fingerprints, require_simulable
from assent.engine.replay._report import Difference, ReplayReport, compare
from assent.engine.replay._run_snapshot import recording_of, snapshot_run
from assent.engine.replay._script import Script
