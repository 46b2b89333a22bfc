"""The body: what becomes of a run, decided by a pure machine and performed by a shell around it."""

from assent.engine._blueprint import Blueprint
from assent.engine._capability_rows import CAPABILITY_TABLES, CapabilityRows
from assent.engine._commands import Actor, Approve, Cancel, Close, Command, Reject, Resolve
from assent.engine._engine import Engine
from assent.engine._planning import Plan, PlannedStep, Planner
from assent.engine._record import RunRecord, StepRecord
from assent.engine._recording import RecordedCapability, Recording
from assent.engine._replay import replay
from assent.engine._replay_report import Difference, ReplayReport, compare
from assent.engine._replayed import ReplayCatalogue, fingerprints, require_simulable
from assent.engine._result import RunResult, StepResult, describe_run
from assent.engine._run_snapshot import recording_of, snapshot_run
from assent.engine._script import Script
from assent.engine._transitions import RUN_TRANSITIONS, STEP_TRANSITIONS
from assent.engine._values import load_json
from assent.engine.ports import Catalogue, Catalogues, Driver, Limits, Progress, Services, Spawn
from assent.engine.projection import RunProjector, fold

__all__ = [
    "CAPABILITY_TABLES",
    "RUN_TRANSITIONS",
    "STEP_TRANSITIONS",
    "Actor",
    "Approve",
    "Blueprint",
    "Cancel",
    "CapabilityRows",
    "Catalogue",
    "Catalogues",
    "Close",
    "Command",
    "Difference",
    "Driver",
    "Engine",
    "Limits",
    "Plan",
    "PlannedStep",
    "Planner",
    "Progress",
    "RecordedCapability",
    "Recording",
    "Reject",
    "ReplayCatalogue",
    "ReplayReport",
    "Resolve",
    "RunProjector",
    "RunRecord",
    "RunResult",
    "Script",
    "Services",
    "Spawn",
    "StepRecord",
    "StepResult",
    "compare",
    "describe_run",
    "fingerprints",
    "fold",
    "load_json",
    "recording_of",
    "replay",
    "require_simulable",
    "snapshot_run",
]
