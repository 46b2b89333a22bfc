"""What a call runs at its turning points and at its end: all of it, once, whatever fails and whoever cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Final, TypeAlias

from assent.errors import AssentError, Json
from assent.invocation.call._hook_runs import HookRunner, Round
from assent.invocation.call._invocation import Invocation, as_error, with_hooks
from assent.invocation.call._invoker import CallTimeoutError, Invoker
from assent.invocation.call._lifecycle_events import Teller
from assent.invocation.call._waiting import is_own_cancel
from assent.invocation.context.local import CancelToken
from assent.invocation.context.phases import CallPhase, illegal_transition
from assent.invocation.hooks.hook import HookedCall

Step: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

CALLBACK_S: Final = 10.0
"""How long one callback of a call may take."""


def enter(call: Invocation, phase: CallPhase) -> None:
    """Move a call on; `ILLEGAL_TRANSITION` when the table does not have the move."""
    life = call.life
    before = life.phase
    if phase not in before.following:
        raise illegal_transition(before, phase)
    life.phase = phase
    if life.callbacks is not None:
        for told in life.callbacks.phase:
            try:
                told(before, phase)
            except Exception as error:  # noqa: BLE001  # a listener can't keep a call from going on
                call.context.logger.warning("a phase callback failed: %s", error)


class Ending:
    """Runs hooks and callbacks of calls that end. A sync callback runs in a worker thread, as sync parts and hooks do."""

    def __init__(self, invoker: Invoker, runner: HookRunner, teller: Teller) -> None:
        self._invoker = invoker
        self._runner = runner
        self._teller = teller

    async def finish(
        self, call: Invocation, *, output: Json, error: BaseException | None
    ) -> AssentError | None:
        """What runs at the end of a call, all of it, whatever fails and whoever cancels; the error as it is to be recorded."""
        failure = (
            as_error(error, call.context.capability, call.context.redactor) if error is not None else None
        )
        context, chain = call.context, call.chain
        seen = HookedCall(context, call.inputs, output=output, error=failure)
        now = Round(seen, self._teller.names(call) if self._teller.lifecycle.is_heard else None)
        steps: list[Step] = []
        if failure is not None and isinstance(error, Exception):
            if chain is not None and chain.catch:
                steps.append(partial(self._runner.run_all, chain.catch, now))
            steps += self._told(call, failure)
        if chain is not None and chain.finally_:
            steps.append(partial(self._runner.run_all, chain.finally_, now))
        try:
            await _all_of([*steps, partial(self.clean_up, call)])
        finally:
            call.life.hooks_run += tuple(now.records)
        return with_hooks(failure, now.records) if failure is not None else None

    def _told(self, call: Invocation, failure: AssentError) -> list[Step]:
        callbacks = call.life.callbacks
        if callbacks is None:
            return []
        timed_out = callbacks.timeout if isinstance(failure, CallTimeoutError) else ()
        return [
            *(partial(self._call_back, call, callback) for callback in timed_out),
            *(partial(self._call_back, call, callback, failure) for callback in callbacks.error),
        ]

    async def clean_up(self, call: Invocation) -> None:
        """Run every cleanup, the last one first, each once; afterwards the call takes no more."""
        callbacks = call.life.callbacks
        call.life.is_over = True
        if callbacks is not None:
            cleanups = [partial(self._call_back, call, callback) for callback in reversed(callbacks.cleanup)]
            callbacks.cleanup.clear()
            await _all_of(cleanups)

    async def _call_back(self, call: Invocation, callback: Callable[..., Any], *arguments: object) -> None:
        context = call.context
        try:
            await self._invoker.call(
                callback,
                arguments,
                context=context,
                token=CancelToken(),
                name="#callback",
                timeout_s=CALLBACK_S,
            )
        except asyncio.CancelledError:
            if not is_own_cancel():
                raise
            context.logger.warning("a callback cancelled itself")
        except Exception as error:  # noqa: BLE001  # whatever it is, the others have a right to run
            context.logger.warning("a callback failed: %s", error)


async def _all_of(steps: Iterable[Step]) -> None:
    """Take every step, also when the call is being cancelled meanwhile; the cancellation goes on afterwards."""
    cancelled: asyncio.CancelledError | None = None
    for step in steps:
        try:
            await step()
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
