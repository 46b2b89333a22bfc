"""Makes the events of calls, when somebody listens, and counts what must be counted even when nobody does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from assent.invocation._hook_records import HookLevel
from assent.invocation._invocation import Invocation
from assent.invocation.application import GlobalContext
from assent.invocation.context import LocalContext, Surroundings
from assent.invocation.hooks import Hook
from assent.invocation.lifecycle import Lifecycle, LifecycleEvent, Stage, Subject
from assent.invocation.secrets import Secret, Secrets
from assent.spec.ports import FineClock


class Teller:
    """Tells of one runtime's calls. Whoever calls it has looked at `lifecycle.is_heard` first."""

    __slots__ = ("_emit", "lifecycle", "now_us")

    def __init__(self, lifecycle: Lifecycle, clock: FineClock) -> None:
        self.lifecycle: Final = lifecycle
        self.now_us: Final = clock.monotonic_us
        self._emit: Final = lifecycle.emit

    def tell(
        self,
        call: Invocation,
        subject: Subject,
        stage: Stage,
        *,
        name: str = "",
        started_us: int | None = None,
        code: str | None = None,
    ) -> None:
        """One event of a call; `started_us` gives it a duration."""
        now = self.now_us()
        duration = now - started_us if started_us is not None else None
        self._emit(_event(call.context, subject, stage, now, name, None, duration, code))

    def of_hooks(self, context: LocalContext) -> Callable[..., None] | None:
        """What tells of a call's hooks; None when nobody listens."""
        if not self.lifecycle.is_heard:
            return None
        emit, now_us = self._emit, self.now_us

        def tell(
            stage: Stage, hook: Hook, level: HookLevel, duration_us: int | None, code: str | None
        ) -> None:
            emit(_event(context, Subject.HOOK, stage, now_us(), hook.id, level, duration_us, code))

        return tell


class Around(Surroundings):
    """What the calls of a pipeline have around them."""

    def __init__(self, teller: Teller, app: GlobalContext | None, secrets: Secrets | None) -> None:
        self.app = app
        self._teller = teller
        self._secrets = secrets

    async def secret(
        self, context: LocalContext, name: str, granted: tuple[str, ...], *, fresh: bool
    ) -> Secret:
        if self._secrets is None:
            return await super().secret(context, name, granted, fresh=fresh)
        return await self._secrets.read(
            name, capability=context.capability, granted=granted, ids=context.ids, fresh=fresh
        )

    def secret_in_thread(
        self, context: LocalContext, name: str, granted: tuple[str, ...], *, fresh: bool
    ) -> Secret:
        if self._secrets is None:
            return super().secret_in_thread(context, name, granted, fresh=fresh)
        return self._secrets.read_in_thread(
            name, capability=context.capability, granted=granted, ids=context.ids, fresh=fresh
        )

    def progress(self, context: LocalContext, done: float, total: float | None, message: str) -> None:
        lifecycle = self._teller.lifecycle
        if lifecycle.is_heard:
            now = self._teller.now_us()
            lifecycle.emit(
                _event(context, Subject.CALL, Stage.PROGRESS, now, message, None, None, None, done, total)
            )


# The positional order is the event's own. A dozen of these are made for a call that is listened to, so names are not passed.
def _event(context: LocalContext, subject: Subject, stage: Stage, at_us: int, *rest: Any) -> LifecycleEvent:
    """An event with the ids of its call; `rest` are its fields from `name` on."""
    return LifecycleEvent(
        subject,
        stage,
        context.request_id,
        context.run,
        context.step,
        context.attempt,
        context.capability,
        at_us,
        *rest,
    )
