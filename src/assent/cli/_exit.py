"""Exit codes: one place that turns what happened into what a script sees.

People branch on these numbers, so that they are as binding as the words in the JSON; `assent help exit-codes` prints this table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from assent.errors import AssentError
from assent.spec.states import REFUSALS, SETTLED_BY

if TYPE_CHECKING:
    from assent.runtime.service import answers

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
WAITING: Final = 4
ATTENTION: Final = 5
UNVERIFIED: Final = 6
PLAN_CHANGES: Final = 10
PLAN_UNDECIDED: Final = 11
INTERNAL: Final = 70
OWNED: Final = 75
INTERRUPTED: Final = 130

MEANINGS: Final = {
    OK: "done: the run succeeded, or the command did what was asked; reading commands, whatever they show",
    FAILED: "the run failed, was rolled back or cancelled, or would fail (`plan --exit-code`); "
    "a replay or a policy case differs; the world failed; `doctor` found a fault",
    USAGE: "wrong usage, or an invalid file",
    REFUSED: "policy denied or would deny (`plan --exit-code`), a person rejected or did not trust, "
    "what was agreed to (`--digest`) is not what is there, or an identity or approver was refused",
    WAITING: "waiting for an approval, a signal, a time or a concurrency key",
    ATTENTION: "a person must look: a step is in doubt, a change could not be taken back, an undo could not begin",
    UNVERIFIED: "verification failed",
    PLAN_CHANGES: "`plan --exit-code` only: there are changes",
    PLAN_UNDECIDED: "`plan --exit-code` only: an approval is needed, or it can't be known yet",
    INTERNAL: "a fault of Assent itself; the traceback is in the log file that the message names",
    OWNED: "another process owns the state and can't be reached",
    INTERRUPTED: "interrupted; a run that was under way can be resumed",
}

_UNVERIFIED_CODES: Final = frozenset(
    """RECORD_CORRUPT LEDGER_TAIL_CHANGED
    SIGNATURE_INVALID SIGNATURE_MISSING NOTE_MALFORMED CHECKPOINT_MALFORMED PROOF_MALFORMED PROOF_INVALID
    QUORUM_MISSING KNOWLEDGE_MANIFEST_INVALID""".split()
)
_NOT_UNDOABLE: Final = frozenset(
    {"UNDO_IMPOSSIBLE", "UNDO_ERASED", "COMPENSATION_CONFLICT", "CONCURRENCY_TAKEN"}
)
_UNDO_REFUSALS: Final = REFUSALS | _NOT_UNDOABLE
SETTLING: Final = frozenset({"reject", "cancel", "undo", "resolve"})
"""Operations that ask for one thing, which was done or was not."""


def exit_code(run: answers.Run, operation: str) -> int:
    """The code for a run as an operation left it: `run call resume approve` tell how the run stands, others if they did it."""
    status = run.status
    if operation == "signal":
        return OK  # It is on record, whatever else the run waits for or comes to.
    if operation in SETTLING:
        return _settled(operation, status)
    if (run.error.code if run.error is not None else None) == "CAPABILITY_ABSENT":
        return USAGE  # It was not driven, and is as it was.
    if status == "waiting" or run.awaited_key is not None:
        return WAITING
    if status in ("succeeded", "undone"):
        return OK
    if operation == "resume" and status == "running" and run.workflow is None and run.error is None:
        # A session is open: what was asked of it is done, or in doubt, and its program may ask for more.
        return ATTENTION if any(step.status in SETTLED_BY for step in run.steps) else OK
    if status in ("failed", "rolled_back", "cancelled"):
        return REFUSED if (run.error.code if run.error is not None else None) in REFUSALS else FAILED
    # `needs_attention`, and whatever is neither finished nor waiting although its driver has left it.
    return ATTENTION


def _settled(operation: str, status: str) -> int:
    if status == "waiting":
        return WAITING
    done = {
        "reject": status not in ("needs_attention", "interrupted"),
        "resolve": status not in ("needs_attention", "interrupted"),
        # One that is being taken back anyway ends as what it was. Else the owner drives it: the request is recorded and
        # honoured between effects.
        "cancel": status in ("cancelled", "running", "rolling_back", "rolled_back", "failed", "undone"),
        "undo": status == "undone",
    }
    return OK if done[operation] else ATTENTION


def worst(codes: Iterable[int]) -> int:
    """The code of several runs together: the highest that applies."""
    return max(codes, default=OK)


def plan_exit_code(plan: answers.Plan) -> int:
    """`plan --exit-code`: denied > would fail > needs approval or can't be known > changes > nothing to do."""
    steps = plan.steps
    if (plan.concurrency and plan.concurrency.is_denied) or any(step.decision == "DENY" for step in steps):
        return REFUSED
    if any(step.error is not None for step in steps):
        return FAILED
    if any(step.decision in ("REQUIRE_APPROVAL", "UNKNOWN") or is_unknown(step) for step in steps):
        return PLAN_UNDECIDED
    return PLAN_CHANGES if any(is_change(step) for step in steps) else OK


def is_change(step: answers.PlannedStep) -> bool:
    """The step would change something, as far as its plan tells."""
    return step.operation_type != "READ" and step.changes


def is_unknown(step: answers.PlannedStep) -> bool:
    """What the step would change depends on what an earlier one gives."""
    return not step.known and is_change(step)


def error_exit_code(error: AssentError, operation: str | None = None) -> int:
    """The code for an error that kept a command from giving its answer."""
    if error.code in ("STATE_OWNED", "PROTOCOL_MISMATCH"):
        return OWNED
    if error.code in _UNVERIFIED_CODES:
        return UNVERIFIED
    if operation == "undo" and error.code in _UNDO_REFUSALS:
        return ATTENTION
    if operation == "approve" and error.code in _NOT_UNDOABLE:
        return ATTENTION  # The undo that was agreed to could not begin.
    return {"input": USAGE, "refused": REFUSED, "world": FAILED}.get(error.family, INTERNAL)
