"""What a key or a token lets its bearer ask for: a scope for each operation, held to by the service behind every door.

Scopes only narrow. Who has one still passes the gate, and who came without a key or a token (the account itself, a peer on the
owner's socket) is bound by none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from assent.errors import FAMILIES, AssentError, InputError, RefusedError
from assent.runtime.service import answers, requests
from assent.runtime.service.requests import Asker, Request, operation_of
from assent.spec.scopes import ADMIN, APPROVE, CALL, PLAN, READ, UNDO

A = TypeVar("A")

_OPERATIONS: Final[Mapping[str, Iterable[type[Request[Any]]]]] = {  # `Any`: each has its own answer
    CALL: (
        requests.Run, requests.Call, requests.OpenSession, requests.AddStep, requests.CloseSession, requests.Resume,
        requests.AddSchedule, requests.RemoveSchedule, requests.PauseSchedule, requests.ResumeSchedule,
        requests.Signal, requests.Reply, requests.HandOver,
    ),
    READ: (
        requests.Health, requests.UnderWay, requests.Replay, requests.Capabilities, requests.Capability, requests.Parameters,
        requests.CapabilityHistory, requests.CapabilityDiff, requests.PolicyInForce, requests.Plugins, requests.PluginFaults,
        requests.Secrets, requests.SecretUsers, requests.Doctor, requests.Runs, requests.Prunable, requests.Unfinished,
        requests.Show, requests.ExplainDecisions, requests.SimulatePolicy, requests.SuggestPolicy, requests.Approvals,
        requests.Deliveries, requests.VerifyLedger, requests.Prove, requests.PublicKey, requests.VerifyProof,
        requests.Keys, requests.AuditLog, requests.AuditApprovals, requests.Attachment, requests.Events, requests.Snapshot,
        requests.Schedules, requests.Schedule, requests.Checkpoint, requests.Tile, requests.Tools, requests.Servers,
        requests.Listen, requests.Findings, requests.Finding, requests.ProveFinding, requests.FindingsDiff,
        requests.FindingsStats, requests.FindingsExport, requests.Projects, requests.Datasets, requests.Discovered,
        requests.ProveKnowledge, requests.Recipe, requests.Resources, requests.Resource, requests.ResourceContent,
    ),
    PLAN: (
        requests.Plan, requests.PlanUndo, requests.ExplainPolicy, requests.CheckPolicy, requests.TestPolicy,
        requests.Scanners,  # which are run for it, if only for their versions
    ),
    APPROVE: (requests.Approve, requests.Reject),
    UNDO: (requests.Cancel, requests.Undo),
    ADMIN: (
        requests.Resolve, requests.CreateKey, requests.RevokeKey, requests.Erase,
        requests.Label, requests.Unlabel, requests.Retire, requests.RetryDelivery,
        requests.CancelDelivery, requests.ForgetSecret, requests.PluginsHealth, requests.InspectPlugin,
        requests.LookAtPlugin, requests.TrustPlugin, requests.UntrustPlugin, requests.RequireSecret, requests.SetSecret,
        requests.RotateSecret, requests.ConfirmSecret, requests.UndoSecret, requests.AcceptTail, requests.Export,
        requests.VerifyExport, requests.LookAtServer, requests.TrustServer, requests.AddServer, requests.RemoveServer,
        requests.ServerLog, requests.AddRepository, requests.VerifyKnowledge,
    ),
}  # fmt: skip

SCOPE_OF: Final[Mapping[type[Request[Any]], str]] = {
    operation: scope for scope, operations in _OPERATIONS.items() for operation in operations
}
"""The scope that each operation needs; a test holds it to every one. What were missing would be the operator's."""

_UNTOLD: Final = "the run was begun by somebody else, and what went wrong in it is for who may read runs"

_NO_PREVIEW: Final = answers.Preview(kind="none", diff="")


def may_read(by: Asker) -> bool:
    """Whether whoever asks may look at others' runs."""
    return by.scopes is None or READ in by.scopes


def narrowed(answer: A, *, others: Collection[str]) -> A:
    """An answer for who may not read: without what other runs there are, and of those (`others`) only how they stand.

    By its name they have somebody else's run go on, stop or be decided. What it found was found with the rights of whose it is.
    """
    match answer:
        case answers.Resumed():
            told = [narrowed(one, others=others) for one in answer.results]
            return msgspec.structs.replace(answer, results=told)
        case answers.Run(run_id=run) if run in others:
            error = None if answer.error is None else answers.Fault(code=answer.error.code, message=_UNTOLD)
            # Field by field: one that is added is told to nobody by itself.
            return answers.Run(  # type: ignore[return-value]  # it is one
                run_id=run, workflow=None, status=answer.status, steps=[], outputs=None, error=error, ledger=answer.ledger
            )  # fmt: skip
        case answers.UndoPlan(run_id=run) if run in others:
            return answers.UndoPlan(  # type: ignore[return-value]  # likewise
                run_id=run, partial=answer.partial, possible=answer.possible, risk_level=answer.risk_level,
                decision=answer.decision, rule=answer.rule, reason=answer.reason, steps=[], preview=_NO_PREVIEW,
            )  # fmt: skip
        case answers.Run(concurrency=answers.Concurrency() as key):
            unseen = msgspec.structs.replace(key, held_by=[], waiting=[], replaced_by=None)
            return msgspec.structs.replace(answer, concurrency=unseen)
        case answers.Plan(concurrency=answers.PlannedKey() as key):
            return msgspec.structs.replace(answer, concurrency=msgspec.structs.replace(key, held_by=[]))
        case _:
            return answer


def narrowed_error(error: AssentError, request: Request[Any], *, is_others: bool) -> AssentError:
    """Likewise: that a key is taken, or that several runs begin so, and not which they are; of others' runs the code alone."""
    match error:
        case RefusedError(code="CONCURRENCY_TAKEN"):
            return RefusedError(error.code, error.message)
        case InputError(code="RUN_AMBIGUOUS"):
            return InputError(error.code, "more than one run begins so", hint="write more of it")
        # What is about the request itself names a field of it, and what is about how the run stands names nothing.
        case _ if is_others and (
            any(error.details.values()) or error.path not in (None, *request.__struct_fields__)
        ):
            return FAMILIES[error.family](error.code, _UNTOLD)
        case _:
            return error


def require_scope(request: Request[Any], by: Asker) -> None:
    """Raise `RefusedError` SCOPE_MISSING where a key or token does not let its bearer ask this."""
    needed = SCOPE_OF.get(type(request), ADMIN)
    if (
        by.scopes is not None
        and needed in by.scopes
        and isinstance(request, requests.Resume)
        and request.run is None
    ):
        needed = READ  # it is answered with runs that nobody named
    if by.scopes is not None and needed not in by.scopes:
        raise RefusedError(
            "SCOPE_MISSING",
            f"`{operation_of(type(request))}` needs the scope `{needed}`, which this key or token does not have",
            hint="ask whoever made it for one with that scope",
            details={"scope": needed, "scopes": [*sorted(by.scopes)]},
        )
