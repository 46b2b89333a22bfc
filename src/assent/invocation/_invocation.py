"""One call on its way, as the pipeline keeps it, and what it fails with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from assent.errors import AssentError, Json
from assent.invocation._hook_records import HookRecord
from assent.invocation.context import CallLife, LocalContext
from assent.invocation.hooks import Hook
from assent.invocation.lifecycle import Subject

if TYPE_CHECKING:
    from assent.invocation._bound import BoundCapability
    from assent.invocation._hook_runs import Chain


class Invocation:
    """One call on its way: the pipeline's side of a `LocalContext`."""

    __slots__ = (
        "bound",
        "chain",
        "context",
        "has_returned",
        "inputs",
        "is_silent",
        "is_validated",
        "life",
        "local",
        "parameters",
        "started_us",
        "subject",
    )

    def __init__(
        self,
        bound: BoundCapability,
        context: LocalContext,
        life: CallLife,
        *,
        local: tuple[Hook, ...],
        subject: Subject,
        started_us: int,
        is_silent: bool,
    ) -> None:
        self.bound = bound
        self.context = context
        self.life = life
        self.local = local
        self.subject = subject
        self.started_us = started_us
        self.is_silent = is_silent
        # `Any`: the handler's own type, once validated.
        self.parameters: Any = None
        self.inputs: dict[str, Json] = {}
        self.chain: Chain | None = None
        self.is_validated = False
        self.has_returned = False


def as_error(error: BaseException, capability: str) -> AssentError:
    """A handler's exception as one of ours; a foreign one keeps its text, never its traceback."""
    if isinstance(error, AssentError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return AssentError("STEP_INTERRUPTED", f"the call of `{capability}` was interrupted")
    text = str(error) or "no message"
    failure = AssentError(
        "HANDLER_FAILED",
        f"the handler of `{capability}` failed: {text[:500]}",
        details={"exception": type(error).__name__},
    )
    failure.__cause__ = error  # for callbacks of the call; what is recorded has no cause
    return failure


def with_hooks(failure: AssentError, records: list[HookRecord]) -> AssentError:
    """The error with the hooks that failed while it was dealt with: they never hide it, and are not hidden by it."""
    failed: list[Json] = [
        {"hook": record.id, "kind": record.kind.value, "level": record.level.value, "code": record.code}
        for record in records
        if record.has_failed
    ]
    if not failed:
        return failure
    return type(failure).from_dict(
        {**failure.to_dict(), "details": {**failure.details, "failed_hooks": failed}}
    )
