"""Makes the events of calls, when somebody listens, and counts what must be counted even when nobody does."""

from __future__ import annotations

from typing import Final

from assent.invocation._invocation import Invocation
from assent.invocation.application import GlobalContext
from assent.invocation.context import LocalContext, Surroundings
from assent.invocation.lifecycle import CallNames, Lifecycle, LifecycleEvent, Stage, Subject
from assent.invocation.secrets import Secret, Secrets
from assent.spec.ports import FineClock

_START: Final = Stage.START


class Teller:
    """Tells of one runtime's calls. Whoever calls it has looked at `lifecycle.is_heard` first."""

    __slots__ = ("lifecycle", "now_us")

    def __init__(self, lifecycle: Lifecycle, clock: FineClock) -> None:
        self.lifecycle: Final = lifecycle
        self.now_us: Final = clock.monotonic_us

    def begin(self, call: Invocation, subject: Subject, name: str = "") -> int:
        """Something starts; when, for the event of its end."""
        now = self.now_us()
        event = LifecycleEvent(subject, _START, self.names(call), now, name)
        for put in self.lifecycle.listeners:
            put(event)
        return now

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
        event = LifecycleEvent(subject, stage, self.names(call), now, name, None, duration, code)
        for put in self.lifecycle.listeners:
            put(event)

    def names(self, call: Invocation) -> CallNames:
        """What names a call in its events, made for the first of them."""
        names = call.names
        if names is None:
            names = call.names = names_of(call.context)
        return names


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
                LifecycleEvent(
                    Subject.CALL,
                    Stage.PROGRESS,
                    names_of(context),
                    now,
                    message,
                    done=done,
                    total=total,
                )
            )


def names_of(context: LocalContext) -> CallNames:
    """What names a call in its events."""
    return CallNames(context.request_id, context.run, context.step, context.attempt, context.capability)
