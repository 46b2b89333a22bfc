"""The law: what a capability, a workflow, a principal, a decision and an event are; plain data, no I/O.

Names are resolved on first use. The state machine and the journal import `assent.spec.states` thousands of
times in tests and at every start, and must not pay for pydantic, which only what users write needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.spec.capability import (
        CapabilitySpec,
        Compensation,
        OperationType,
        Risk,
        RiskLevel,
        SideEffects,
        create_delete_capability,
        create_read_capability,
        create_write_capability,
    )
    from assent.spec.decision import Approvers, Decision, PolicyDecision
    from assent.spec.documents.document import Document, load_yaml
    from assent.spec.principal import Principal, PrincipalKind
    from assent.spec.states import Effect, Mode, Resolution, RunState, StepState, Undo, Verdict
    from assent.spec.workflow.definition import StepSpec, WorkflowSpec

_HOMES = {
    ".capability": "CapabilitySpec Compensation OperationType Risk RiskLevel SideEffects create_delete_capability "
    "create_read_capability create_write_capability",
    ".decision": "Approvers Decision PolicyDecision",
    ".documents.document": "Document load_yaml",
    ".principal": "Principal PrincipalKind",
    ".states": "Effect Mode Resolution RunState StepState Undo Verdict",
    ".workflow.definition": "StepSpec WorkflowSpec",
}

__all__ = [
    "Approvers", "CapabilitySpec", "Compensation", "Decision", "Document", "Effect", "Mode", "OperationType",
    "PolicyDecision", "Principal", "PrincipalKind", "Resolution", "Risk", "RiskLevel", "RunState",
    "SideEffects", "StepSpec", "StepState", "Undo", "Verdict", "WorkflowSpec", "create_delete_capability",
    "create_read_capability", "create_write_capability", "load_yaml",
]  # fmt: skip

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
