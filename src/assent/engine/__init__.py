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
        Services,
        Spawn,
    )
    from assent.engine.projection import RunProjector, fold
    from assent.spec.ids import CALL_STEP

_HOMES = {
    "._blueprint": "Blueprint literal_step",
    "._capability_rows": "CAPABILITY_TABLES CapabilityRows",
    "._commands": "Actor Approve AskUndo Cancel Close Command Recover Reject Resolve Wish",
    "._engine": "Engine",
    "._planning": "Plan PlannedStep Planner",
    "._record": "RunRecord StepRecord",
    "._result": "RunResult StepResult describe_run",
    "._terms": "RunFacts",
    "._together": "together",
    "._transitions": "RUN_TRANSITIONS STEP_TRANSITIONS",
    "._values": "load_json",
    ".ports": "Catalogue Catalogues Driven Driver Limits Services Spawn",
    ".projection": "RunProjector fold",
    "assent.spec.ids": "CALL_STEP",
}

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
