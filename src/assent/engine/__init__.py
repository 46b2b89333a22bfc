"""The body: what becomes of a run, decided by a pure machine and performed by a shell around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.engine.drive._engine import Engine, asker_of, require_ended
    from assent.engine.machine._commands import (
        Actor,
        Approve,
        AskUndo,
        Cancel,
        Close,
        Command,
        Recover,
        Reject,
        Resolve,
        SendSignal,
        Wish,
    )
    from assent.engine.machine._interventions import (
        check_approver,
        is_undoable,
        not_a_session,
        require_open,
        session_closed,
        signal_refusal,
    )
    from assent.engine.ports import (
        Catalogue,
        Catalogues,
        Driven,
        Driver,
        Limits,
        NoNotices,
        NoPolicyRecord,
        Notices,
        PolicyRecord,
        Services,
    )
    from assent.engine.record._blueprint import Blueprint, literal_step
    from assent.engine.record._capability_rows import CAPABILITY_TABLES, CapabilityRows
    from assent.engine.record._concurrency import foresee_key, key_text
    from assent.engine.record._outline import outline
    from assent.engine.record._record import (
        UNDO_STEP,
        ApprovalRecord,
        RunRecord,
        StepRecord,
        kept_for,
        to_take_back,
        to_take_back_alone,
    )
    from assent.engine.record._result import RunResult, StepResult, describe_run
    from assent.engine.record._transitions import RUN_TRANSITIONS, STEP_TRANSITIONS
    from assent.engine.record._values import load_json
    from assent.engine.record.projection import KEY_KIND, RunProjector, fold
    from assent.engine.steps._plan_reads import NoReads, OwnerNeededError, OwnerReads
    from assent.engine.steps._planning import Plan, PlannedStep, Planner
    from assent.engine.steps._rehearsal import UndoPlan
    from assent.engine.steps._terms import RunFacts, ask_gate_about_key
    from assent.engine.waiting._keys import Claim
    from assent.engine.waiting._starts import Admission
    from assent.engine.waiting._together import together

_HOMES = {
    ".record._blueprint": "Blueprint literal_step",
    ".record._concurrency": "foresee_key key_text",
    ".record._capability_rows": "CAPABILITY_TABLES CapabilityRows",
    ".machine._commands": "Actor Approve AskUndo Cancel Close Command Recover Reject Resolve SendSignal Wish",
    ".machine._interventions": "check_approver is_undoable not_a_session require_open session_closed signal_refusal",
    ".drive._engine": "Engine asker_of require_ended",
    ".steps._plan_reads": "NoReads OwnerNeededError OwnerReads",
    ".steps._planning": "Plan PlannedStep Planner",
    ".record._outline": "outline",
    ".record._record": "ApprovalRecord RunRecord StepRecord UNDO_STEP kept_for to_take_back to_take_back_alone",
    ".record._result": "RunResult StepResult describe_run",
    ".steps._rehearsal": "UndoPlan",
    ".steps._terms": "RunFacts ask_gate_about_key",
    ".waiting._keys": "Claim",
    ".waiting._starts": "Admission",
    ".waiting._together": "together",
    ".record._transitions": "RUN_TRANSITIONS STEP_TRANSITIONS",
    ".record._values": "load_json",
    ".ports": "Catalogue Catalogues Driven Driver Limits NoNotices NoPolicyRecord Notices PolicyRecord Services",
    ".record.projection": "KEY_KIND RunProjector fold",
}

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
