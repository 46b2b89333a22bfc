"""Runs the hooks of one call: in their order, each under its own limit, and never to the harm of another.

An async hook is started at once in the call's own task; a timer is armed only when it really waits (`_waiting.py`). A sync one
runs in a worker thread with a cancel token of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from assent.errors import AssentError, Json, RefusedError, WorldError
from assent.invocation.app.metrics import Metrics
from assent.invocation.call._invoker import CallTimeoutError, Invoker
from assent.invocation.call._waiting import LimitReachedError, Steps, is_own_cancel, limited, within
from assent.invocation.context._hook_records import HookKind, HookLevel, HookRecord
from assent.invocation.context.local import CancelToken
from assent.invocation.hooks.hook import Hook, HookedCall, context_of
from assent.invocation.hooks.lifecycle import CallNames, Lifecycle, LifecycleEvent, Stage, Subject
from assent.spec.ports import FineClock

# Looked up in its class, a member of an enum costs as much as the event that it goes into.
_HOOK: Final = Subject.HOOK
_START: Final = Stage.START
_END: Final = Stage.END


class Standing:
    """A hook with the level it stands at, and what counts it: looked up once and not in each call."""

    __slots__ = ("count", "hook", "id", "level", "start")

    def __init__(self, hook: Hook, level: HookLevel, metrics: Metrics) -> None:
        self.hook = hook
        self.id = hook.id
        self.level = level
        # Makes the coroutine of an async hook; None for a sync one.
        self.start = hook.run if hook.is_async else None
        self.count = metrics.hook_counter(f"{level.value}.{hook.kind.value}")


class Chain(msgspec.Struct, frozen=True):
    """The hooks of a call by kind, each in the order it runs."""

    before: tuple[Standing, ...]
    after: tuple[Standing, ...]
    catch: tuple[Standing, ...]
    finally_: tuple[Standing, ...]

    @classmethod
    def of(
        cls,
        everybody: tuple[Hook, ...],
        capability: tuple[Hook, ...],
        local: tuple[Hook, ...],
        metrics: Metrics,
    ) -> Chain:
        """The one chain that three levels make."""
        standing = [
            *(Standing(hook, HookLevel.GLOBAL, metrics) for hook in everybody),
            *(Standing(hook, HookLevel.CAPABILITY, metrics) for hook in capability),
            *(Standing(hook, HookLevel.LOCAL, metrics) for hook in local),
        ]
        return cls(
            tuple(one for one in standing if one.hook.kind is HookKind.BEFORE),
            *(
                tuple(one for one in reversed(standing) if one.hook.kind is kind)
                for kind in (HookKind.AFTER, HookKind.CATCH, HookKind.FINALLY)
            ),
        )


class Round:
    """One turning point of a call: what its hooks see there, what came of each, and when the last one ended."""

    __slots__ = ("at_us", "names", "records", "seen")

    def __init__(self, seen: HookedCall, names: CallNames | None) -> None:
        self.seen = seen
        # Of the call, for the events; None when nobody listens.
        self.names = names
        self.records: list[HookRecord] = []
        self.at_us = 0


class HookRunner:
    """Runs hooks."""

    def __init__(self, invoker: Invoker, clock: FineClock, lifecycle: Lifecycle) -> None:
        self._invoker = invoker
        self._now_us: Final = clock.monotonic_us
        self._lifecycle = lifecycle
        self._emit: Final = lifecycle.emit

    def run_until_refused(
        self, hooks: tuple[Standing, ...], now: Round
    ) -> Coroutine[Any, Any, AssentError | None] | None:
        """`before` and `after`: the first that fails ends it. None when all have agreed at once, which is the rule.

        Otherwise what is left of them, to be awaited: it gives the failure, if there is one.
        """
        now.at_us = self._now_us()
        for at, one in enumerate(hooks):
            rest = self._begin(one, now)
            if rest is not None:
                return self._until_refused(rest, hooks[at + 1 :], now)
        return None

    async def _until_refused(
        self, rest: Coroutine[Any, Any, AssentError | None], hooks: tuple[Standing, ...], now: Round
    ) -> AssentError | None:
        failure = await rest
        for one in hooks:
            if failure is not None:
                break
            begun = self._begin(one, now)
            failure = await begun if begun is not None else None
        return failure

    async def run_all(self, hooks: tuple[Standing, ...], now: Round) -> None:
        """`catch` and `finally`: every one of them, whatever the others do, also when the call is being cancelled."""
        cancelled: asyncio.CancelledError | None = None
        now.at_us = self._now_us()
        for one in hooks:
            rest = self._begin(one, now)
            try:
                if rest is not None:
                    await rest
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _begin(self, one: Standing, now: Round) -> Coroutine[Any, Any, AssentError | None] | None:
        """Start a hook; None when it is done, which most are at once, else what is left of it."""
        names, level, start, started = now.names, one.level, one.start, now.at_us
        if names is not None:
            event = LifecycleEvent(_HOOK, _START, names, started, one.id, level)
            for put in self._lifecycle.listeners:
                put(event)
        if start is None:
            return self._rest(one, now, self._in_thread(one, now))
        try:
            steps = start(now.seen)
            first = steps.send(None)
        except StopIteration:
            # What `_rest` and `_close` do for a hook that waits, without the calls: this is the way of nearly every hook.
            ended = now.at_us = self._now_us()
            duration = ended - started
            one.count("succeeded", duration)
            now.records.append(HookRecord(one.id, one.hook.kind, level, 1, duration))
            if names is not None:
                event = LifecycleEvent(_HOOK, _END, names, ended, one.id, level, duration)
                for put in self._lifecycle.listeners:
                    put(event)
            return None
        except BaseException as error:  # noqa: BLE001  # told apart in one place
            return self._rest(one, now, _failing(one, error))
        return self._rest(one, now, self._waited(one, steps, first))

    async def _rest(
        self, one: Standing, now: Round, attempt: Coroutine[Any, Any, AssentError | None]
    ) -> AssentError | None:
        """A hook whose first attempt is under way, with its retries; its failure, if it has one."""
        hook, started, runs = one.hook, now.at_us, 0
        began = started
        try:
            while True:
                runs += 1
                failure = await attempt
                ended = now.at_us = self._now_us()
                outcome = "succeeded" if failure is None else "failed"
                one.count(outcome, ended - began)
                if failure is None or runs > hook.retries or failure.code == "HOOK_REFUSED":
                    break
                if now.names is not None:
                    self._emit(
                        LifecycleEvent(
                            Subject.HOOK,
                            Stage.RETRY,
                            now.names,
                            ended,
                            hook.id,
                            one.level,
                            ended - began,
                            failure.code,
                        )
                    )
                await asyncio.sleep(hook.backoff_s * 2 ** (runs - 1))
                began = self._now_us()
                attempt = self._again(one, now)
        except asyncio.CancelledError:
            # The call itself is being cancelled: this hook is over, and says so.
            now.at_us = self._now_us()
            self._close(one, now, runs, started, "STEP_INTERRUPTED")
            raise
        self._close(one, now, runs, started, failure.code if failure is not None else None)
        return failure

    def _close(self, one: Standing, now: Round, runs: int, started_us: int, code: str | None) -> None:
        """A hook has run for the last time."""
        hook, ended = one.hook, now.at_us
        now.records.append(HookRecord(hook.id, hook.kind, one.level, runs, ended - started_us, code))
        if now.names is not None:
            stage = _END if code is None else Stage.ERROR
            self._emit(
                LifecycleEvent(_HOOK, stage, now.names, ended, hook.id, one.level, ended - started_us, code)
            )

    async def _again(self, one: Standing, now: Round) -> AssentError | None:
        if not one.hook.is_async:
            return await self._in_thread(one, now)
        try:
            await within(one.hook.run(now.seen), one.hook.timeout_s)
        except BaseException as error:  # noqa: BLE001  # told apart in one place
            return _failure_of(one, error)
        return None

    async def _waited(self, one: Standing, steps: Steps, first: object) -> AssentError | None:
        try:
            await limited(steps, first, one.hook.timeout_s)
        except BaseException as error:  # noqa: BLE001  # told apart in one place
            return _failure_of(one, error)
        return None

    async def _in_thread(self, one: Standing, now: Round) -> AssentError | None:
        hook, token = one.hook, CancelToken()
        try:
            # A key of its own: a hook's thread that does not end is no living effect of the step.
            await self._invoker.call(
                hook.run,
                (now.seen.with_token(token),),
                context=context_of(now.seen),
                token=token,
                name=f"#{hook.id}",
                timeout_s=hook.timeout_s,
            )
        except BaseException as error:  # noqa: BLE001  # told apart in one place
            return _failure_of(one, error)
        return None


async def _failing(one: Standing, error: BaseException) -> AssentError:
    return _failure_of(one, error)


def _failure_of(one: Standing, error: BaseException) -> AssentError:
    """What a hook's exception means for the call. One that is not the hook's own (the call is cancelled) is raised again."""
    hook, level = one.hook, one.level
    match error:
        case LimitReachedError() | CallTimeoutError():
            return _timed_out(hook, level)
        case asyncio.CancelledError() if is_own_cancel():
            return _failed(hook, level, "it cancelled its own work", None)
        case AssentError():
            if error.retryable:
                return _failed(hook, level, error.message, error)
            return _refused(hook, level, error)
        case Exception():
            # Whatever it is, it is no consent.
            return _failed(hook, level, str(error) or type(error).__name__, None)
        case _:
            raise error


def _about(hook: Hook, level: HookLevel, cause: AssentError | None) -> dict[str, Json]:
    about: dict[str, Json] = {"hook": hook.id, "kind": hook.kind.value, "level": level.value}
    return about if cause is None else {**about, "error": dict(cause.to_dict())}


def _refused(hook: Hook, level: HookLevel, cause: AssentError) -> AssentError:
    return RefusedError(
        "HOOK_REFUSED",
        f"the {hook.kind.value} hook `{hook.id}` refused the call: {cause.message}",
        hint=cause.hint,
        details=_about(hook, level, cause),
    )


def _failed(hook: Hook, level: HookLevel, text: str, cause: AssentError | None) -> AssentError:
    return AssentError(
        "HOOK_FAILED",
        f"the {hook.kind.value} hook `{hook.id}` failed: {text[:500]}",
        hint="mend the hook, or take it out; a call does not pass one that fails",
        details=_about(hook, level, cause),
    )


def _timed_out(hook: Hook, level: HookLevel) -> AssentError:
    return WorldError(
        "HOOK_TIMEOUT",
        f"the {hook.kind.value} hook `{hook.id}` took longer than {hook.timeout_s:g} s and was stopped",
        hint="give the hook a longer `timeout_s`, or mend what is slow",
        details=_about(hook, level, None),
    )
