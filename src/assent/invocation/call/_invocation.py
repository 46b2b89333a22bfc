"""One call on its way, as the pipeline keeps it, and what it fails with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from assent.errors import AssentError, Json
from assent.invocation.context._hook_records import HookRecord
from assent.invocation.context.local import CallLife, LocalContext
from assent.invocation.hooks.hook import Hook
from assent.invocation.hooks.lifecycle import CallNames, Subject
from assent.secrets.redaction import Redactor
from assent.spec.ids import LABEL

if TYPE_CHECKING:
    from assent.invocation.call._bound import BoundCapability
    from assent.invocation.call._hook_runs import Chain
    from assent.invocation.call.limits import Hold


_NO_INPUTS: Final[dict[str, Json]] = {}


class Invocation:
    """One call on its way: the pipeline's side of a `LocalContext`.

    What stands here as a class attribute is what most calls never change: making one costs next to nothing.
    """

    # `Any`: the handler's own type, once validated.
    parameters: Any = None
    inputs: dict[str, Json]
    local: tuple[Hook, ...] = ()
    subject: Subject = Subject.CALL
    chain: Chain | None = None
    names: CallNames | None = None
    is_silent: bool = False
    is_validated: bool = False
    goes_ahead: bool = False
    """It may begin before its intent is durable: it leaves no trace, and nobody else had a say in it."""
    hold: Hold | None = None
    has_begun: bool = False
    is_performing: bool = False
    """The handler is at work; of one in a thread, not while its answer waits for the loop."""
    has_returned: bool = False

    def __init__(
        self, bound: BoundCapability, context: LocalContext, life: CallLife, started_us: int
    ) -> None:
        self.bound = bound
        self.context = context
        self.life = life
        self.started_us = started_us
        self.inputs = _NO_INPUTS


def as_error(error: BaseException, capability: str, redactor: Redactor) -> AssentError:
    """A handler's exception as one of ours; a foreign one keeps the beginning of its text, never its traceback.

    A code that could not stand in the ledger, where only names may, is replaced.
    """
    if isinstance(error, AssentError):
        if not LABEL.match(str(error.code)):
            error.code = "HANDLER_FAILED"
        return error
    if isinstance(error, asyncio.CancelledError):
        return AssentError("STEP_INTERRUPTED", f"the call of `{capability}` was interrupted")
    # Hidden before it is cut: what is left of a secret that the cut divides is no text that anybody knows.
    text = redactor.text(str(error)) or "no message"
    failure = AssentError(
        "HANDLER_FAILED",
        f"the handler of `{capability}` failed: {text[:500]}",
        details={"exception": type(error).__name__},
    )
    failure.__cause__ = error  # for callbacks of the call; what is recorded has no cause
    return failure


def redacted(failure: AssentError, redactor: Redactor) -> AssentError:
    """The same error, of which nothing shows a secret that was handed out: its own texts are replaced."""
    if redactor.is_active:
        shown = AssentError.from_dict(cast("dict[str, Json]", redactor.json(failure.to_dict())))
        failure.message, failure.path, failure.hint = shown.message, shown.path, shown.hint
        failure.details = shown.details
        failure.args = (failure.message,)
    return failure


def hide_in_error(error: BaseException, redactor: Redactor) -> None:
    """Replace the secrets that were handed out in an error's texts and in those of all that led to it, in place."""
    waiting: list[BaseException | None] = [error] if redactor.is_active else []
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, AssentError):
            redacted(one, redactor)
        else:
            one.args = tuple(redactor.text(arg) if isinstance(arg, str) else arg for arg in one.args)
        waiting += [one.__cause__, one.__context__]


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
