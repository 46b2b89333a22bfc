"""The body: what becomes of a run, decided by a pure machine and performed by a shell around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.engine._blueprint import Blueprint, literal_step
    from assent.engine._capability_rows import CAPABILITY_TABLES, CapabilityRows
    from assent.engine._commands import (
        Actor,
        Approve,
        AskUndo,
        Cancel,
        Close,
        Command,
        Recover,
        Reject,
        Resolve,
        Wish,
    )
    from assent.engine._engine import Engine
    from assent.engine._planning import Plan, PlannedStep, Planner
    from assent.engine._record import RunRecord, StepRecord
    from assent.engine._result import RunResult, StepResult, describe_run
    from assent.engine._terms import RunFacts
    from assent.engine._together import together
    from assent.engine._transitions import RUN_TRANSITIONS, STEP_TRANSITIONS
    from assent.engine._values import load_json
    from assent.engine.ports import (
        Catalogue,
        Catalogues,
        Driven,
        Driver,
        Limits,
        Preparing,
        Progress,
        Said,
        Services,
        Spawn,
    )
    from assent.engine.projection import RunProjector, fold
    from assent.spec.ids import CALL_STEP

_HOMES = {
    "Actor": "._commands",
    "Approve": "._commands",
    "AskUndo": "._commands",
    "Blueprint": "._blueprint",
    "CALL_STEP": "assent.spec.ids",
    "CAPABILITY_TABLES": "._capability_rows",
    "Cancel": "._commands",
    "CapabilityRows": "._capability_rows",
    "Catalogue": ".ports",
    "Catalogues": ".ports",
    "Close": "._commands",
    "Command": "._commands",
    "Driven": ".ports",
    "Driver": ".ports",
    "Engine": "._engine",
    "Limits": ".ports",
    "Plan": "._planning",
    "PlannedStep": "._planning",
    "Planner": "._planning",
    "Preparing": ".ports",
    "Progress": ".ports",
    "RUN_TRANSITIONS": "._transitions",
    "Recover": "._commands",
    "Reject": "._commands",
    "Resolve": "._commands",
    "RunFacts": "._terms",
    "RunProjector": ".projection",
    "RunRecord": "._record",
    "RunResult": "._result",
    "STEP_TRANSITIONS": "._transitions",
    "Said": ".ports",
    "Services": ".ports",
    "Spawn": ".ports",
    "StepRecord": "._record",
    "StepResult": "._result",
    "Wish": "._commands",
    "describe_run": "._result",
    "fold": ".projection",
    "literal_step": "._blueprint",
    "load_json": "._values",
    "together": "._together",
}

__all__ = [
    "CALL_STEP",
    "CAPABILITY_TABLES",
    "RUN_TRANSITIONS",
    "STEP_TRANSITIONS",
    "Actor",
    "Approve",
    "AskUndo",
    "Blueprint",
    "Cancel",
    "CapabilityRows",
    "Catalogue",
    "Catalogues",
    "Close",
    "Command",
    "Driven",
    "Driver",
    "Engine",
    "Limits",
    "Plan",
    "PlannedStep",
    "Planner",
    "Preparing",
    "Progress",
    "Recover",
    "Reject",
    "Resolve",
    "RunFacts",
    "RunProjector",
    "RunRecord",
    "RunResult",
    "Said",
    "Services",
    "Spawn",
    "StepRecord",
    "StepResult",
    "Wish",
    "describe_run",
    "fold",
    "literal_step",
    "load_json",
    "together",
]

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
