"""The body: what becomes of a run, decided by a pure machine and performed by a shell around it."""

from assent.engine._blueprint import CALL_STEP, Blueprint
from assent.engine._capability_rows import CAPABILITY_TABLES, CapabilityRows
from assent.engine._commands import Actor, Approve, Cancel, Close, Command, Reject, Resolve
from assent.engine._engine import Engine
from assent.engine._planning import Plan, PlannedStep, Planner
from assent.engine._record import RunRecord, StepRecord
from assent.engine._result import RunResult, StepResult, describe_run
from assent.engine._transitions import RUN_TRANSITIONS, STEP_TRANSITIONS
from assent.engine._values import load_json
from assent.engine.ports import (
    Catalogue,
    Catalogues,
    Driver,
    Limits,
    Preparing,
    Progress,
    Said,
    Services,
    Spawn,
)
from assent.engine.projection import RunProjector, fold

__all__ = [
    "CALL_STEP",
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
    "Driver",
    "Engine",
    "Limits",
    "Plan",
    "PlannedStep",
    "Planner",
    "Preparing",
    "Progress",
    "Reject",
    "Resolve",
    "RunProjector",
    "RunRecord",
    "RunResult",
    "Said",
    "Services",
    "Spawn",
    "StepRecord",
    "StepResult",
    "describe_run",
    "fold",
    "load_json",
]
