"""Runs the hooks of one call: in their order, each under its own limit, and never to the harm of another.

An async hook is started at once in the call's own task; a timer is armed only when it really waits (`_waiting.py`). A sync one
runs in a worker thread with a cancel token of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from assent.errors import AssentError, Json, RefusedError, WorldError
from assent.invocation._hook_records import HookKind, HookLevel, HookRecord
from assent.invocation._invoker import CallTimeoutError, Invoker
from assent.invocation._waiting import LimitReachedError, is_own_cancel, limited
from assent.invocation.context import CancelToken
from assent.invocation.hooks import Hook, HookedCall
from assent.invocation.lifecycle import Stage
from assent.invocation.metrics import Metrics
from assent.spec.ports import FineClock

Standing: TypeAlias = "tuple[Hook, HookLevel]"
"""A hook with the level it stands at."""

Tell: TypeAlias = "Callable[[Stage, Hook, HookLevel, int | None, str | None], None]"
"""Told of a hook's stage, with its duration in microseconds and its error's code."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The hooks of a call by kind, each in the order it runs."""

    before: tuple[Standing, ...]
    after: tuple[Standing, ...]
    catch: tuple[Standing, ...]
    finally_: tuple[Standing, ...]

    @classmethod
    def of(cls, everybody: tuple[Hook, ...], capability: tuple[Hook, ...], local: tuple[Hook, ...]) -> Chain:
        """The one chain that three levels make."""
        standing = [
            *((hook, HookLevel.GLOBAL) for hook in everybody),
            *((hook, HookLevel.CAPABILITY) for hook in capability),
            *((hook, HookLevel.LOCAL) for hook in local),
        ]
        return cls(
            tuple(one for one in standing if one[0].kind is HookKind.BEFORE),
            *(
                tuple(one for one in reversed(standing) if one[0].kind is kind)
                for kind in (HookKind.AFTER, HookKind.CATCH, HookKind.FINALLY)
            ),
        )


class Round:
    """One turning point of a call: what its hooks see there, whom to tell of them, and what came of each."""

    __slots__ = ("key", "records", "seen", "tell")

    def __init__(self, seen: HookedCall, key: str, tell: Tell | None) -> None:
        self.seen = seen
        self.key = key
        self.tell = tell
        self.records: list[HookRecord] = []

    def close(self, hook: Hook, level: HookLevel, runs: int, duration_us: int, code: str | None) -> None:
        """A hook has run for the last time."""
        self.records.append(HookRecord(hook.id, hook.kind, level, runs, duration_us, code))
        if self.tell is not None:
            self.tell(Stage.END if code is None else Stage.ERROR, hook, level, duration_us, code)


class HookRunner:
    """Runs hooks."""

    def __init__(self, invoker: Invoker, clock: FineClock, metrics: Metrics) -> None:
        self._invoker = invoker
        self._now_us: Final = clock.monotonic_us
        self._metrics = metrics

    async def run_until_refused(self, hooks: tuple[Standing, ...], now: Round) -> None:
        """`before` and `after`: the first that raises ends it, and its error is raised."""
        for hook, level in hooks:
            failure = await self._run(hook, level, now)
            if failure is not None:
                raise failure

    async def run_all(self, hooks: tuple[Standing, ...], now: Round) -> None:
        """`catch` and `finally`: every one of them, whatever the others do, also when the call is being cancelled."""
        cancelled: asyncio.CancelledError | None = None
        for hook, level in hooks:
            try:
                await self._run(hook, level, now)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _run(self, hook: Hook, level: HookLevel, now: Round) -> AssentError | None:
        """One hook with its retries; its failure, if it has one."""
        started = began = self._now_us()
        if now.tell is not None:
            now.tell(Stage.START, hook, level, None, None)
        runs = 0
        try:
            while True:
                runs += 1
                failure = await self._attempt(hook, level, now)
                ended = self._now_us()
                outcome = "succeeded" if failure is None else "failed"
                self._metrics.hook(hook.kind.value, level.value, outcome, ended - began)
                if failure is None or runs > hook.retries or failure.code == "HOOK_REFUSED":
                    break
                if now.tell is not None:
                    now.tell(Stage.RETRY, hook, level, ended - began, failure.code)
                await asyncio.sleep(hook.backoff_s * 2 ** (runs - 1))
                began = self._now_us()
        except asyncio.CancelledError:
            # The call itself is being cancelled: this hook is over, and says so.
            now.close(hook, level, runs, self._now_us() - started, "STEP_INTERRUPTED")
            raise
        now.close(hook, level, runs, ended - started, failure.code if failure is not None else None)
        return failure

    async def _attempt(self, hook: Hook, level: HookLevel, now: Round) -> AssentError | None:
        try:
            if hook.is_async:
                steps = hook.run(now.seen)
                try:
                    first = steps.send(None)
                except StopIteration:
                    return None
                await limited(steps, first, hook.timeout_s)
            else:
                token = CancelToken()
                # A key of its own: a hook's thread that does not end is no living effect of the step.
                await self._invoker.call(
                    hook.run,
                    (now.seen.with_token(token),),
                    token=token,
                    key=f"{now.key}#{hook.id}",
                    timeout_s=hook.timeout_s,
                )
        except (LimitReachedError, CallTimeoutError):
            return _timed_out(hook, level)
        except asyncio.CancelledError:
            if not is_own_cancel():
                raise
            return _failed(hook, level, "it cancelled its own work", None)
        except AssentError as error:
            if error.retryable:
                return _failed(hook, level, error.message, error)
            return _refused(hook, level, error)
        except Exception as error:  # noqa: BLE001  # a hook may raise anything; whatever it is, it is no consent
            return _failed(hook, level, str(error) or type(error).__name__, None)
        return None


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
