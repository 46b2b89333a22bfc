"""Makes the events of calls, when somebody listens, and counts what must be counted even when nobody does."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final

from assent.errors import RefusedError
from assent.invocation.app.application import GlobalContext
from assent.invocation.call._invocation import Invocation
from assent.invocation.call.exposure import HINT, UnexposedBlobs, unexposed
from assent.invocation.context.local import BlobStore, CallLife, LocalContext, Surroundings, life_of
from assent.invocation.context.phases import CallPhase
from assent.invocation.hooks.lifecycle import CallNames, Lifecycle, LifecycleEvent, Stage, Subject
from assent.secrets.access import Secret, SecretAccess, Secrets
from assent.secrets.redaction import Redactor
from assent.spec.ports import FineClock

if TYPE_CHECKING:
    from asyncio import Task
    from concurrent.futures import Future

    from assent.invocation.app._bounded import Spawn
    from assent.invocation.context.http import HttpAnswer, HttpRequest

_START: Final = Stage.START
_TIMES: Final = (CallPhase.EXECUTING, CallPhase.COMPENSATING)


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

    def __init__(
        self, teller: Teller, app: GlobalContext | None, secrets: Secrets | None, spawn: Spawn | None = None
    ) -> None:
        self.app = app
        self._spawn = spawn
        self._teller = teller
        self._secrets = secrets

    def spawn(self, context: LocalContext, work: Coroutine[Any, Any, Any], name: str) -> Task[Any]:
        return super().spawn(context, work, name) if self._spawn is None else self._spawn(work, name=name)

    async def secret(self, context: LocalContext, life: CallLife, name: str, *, fresh: bool) -> Secret:
        if self._secrets is None:
            return await super().secret(context, life, name, fresh=fresh)
        return (await self._read(context, life, (name,), host=None, fresh=fresh))[name]

    def secret_in_thread(self, context: LocalContext, life: CallLife, name: str, *, fresh: bool) -> Secret:
        if self._secrets is None:
            return super().secret_in_thread(context, life, name, fresh=fresh)
        return self._secrets.in_thread(self.secret(context, life, name, fresh=fresh))

    async def reveal(self, context: LocalContext, life: CallLife, value: Any, host: str | None) -> Any:
        if self._secrets is None:
            return await super().reveal(context, life, value, host)
        from assent.secrets.revealing import filled, names_in

        names = names_in(value)
        if life.reach is not None:
            host = None  # where a plugin says that it sends a value is no proof; `http` puts it in on the way there
        found = await self._read(context, life, names, host=host, fresh=False) if names else {}
        return filled(value, {name: secret.reveal() for name, secret in found.items()})

    def reveal_in_thread(self, context: LocalContext, life: CallLife, value: Any, host: str | None) -> Any:
        if self._secrets is None:
            return super().reveal_in_thread(context, life, value, host)
        return self._secrets.in_thread(self.reveal(context, life, value, host))

    def foresee(
        self, context: LocalContext, life: CallLife, names: Iterable[str], host: str | None, *, at_once: bool
    ) -> None:
        if self._secrets is not None:
            look = self._secrets.foresee if at_once else self._secrets.require_granted
            host = None if life.reach is not None else host  # as in `reveal`
            for name in names:
                look(name, capability=context.capability, granted=life.granted, host=host)

    async def request(self, context: LocalContext, life: CallLife, request: HttpRequest) -> HttpAnswer:
        if self._secrets is None or self.app is None:
            return await super().request(context, life, request)
        from assent.invocation.call._sending import Sending
        from assent.invocation.context.outbound import Outbound

        async def read(names: tuple[str, ...], host: str) -> dict[str, Secret]:
            return await self._read(context, life, names, host=host, fresh=False)

        outbound = self.app.get(Outbound)  # type: ignore[type-abstract]  # whoever is offered under this name is none
        return await Sending(outbound, read, context, life).send(request)

    def begin_request(
        self, context: LocalContext, life: CallLife, request: HttpRequest
    ) -> Future[HttpAnswer]:
        if self._secrets is None:
            return super().begin_request(context, life, request)
        return self._secrets.begun(self.request(context, life, request))

    async def _read(
        self, context: LocalContext, life: CallLife, names: tuple[str, ...], *, host: str | None, fresh: bool
    ) -> dict[str, Secret]:
        """Secrets for a call. INVARIANT: each access, a refused one too, is in the journal before anybody has a value."""
        assert self._secrets is not None  # the callers looked
        _require_time(context, names[0])
        found: dict[str, Secret] = {}
        told: list[SecretAccess] = []
        try:
            for name in names:
                found[name] = await self._secrets.read(
                    name,
                    capability=context.capability,
                    granted=life.granted,
                    ids=context.ids,
                    fresh=fresh,
                    host=host,
                    told=told.append,
                )
        finally:
            # What this call was given before is on the record already.
            news = tuple(
                one for one in told if one.name not in found or life.given.get(one.name) != found[one.name]
            )
            if news and life.journal is not None:
                await life.journal(news)
            life.given = {**life.given, **found}
        return found

    @property
    def redactor(self) -> Redactor:
        return self._secrets.redactor if self._secrets is not None else super().redactor

    def unexposed(self, chunks: Iterable[bytes], what: str, path: str | None) -> Iterable[bytes]:
        return unexposed(self.redactor, chunks, what, path=path, hint=HINT)

    def unexposed_blobs(self, blobs: BlobStore) -> BlobStore:
        return UnexposedBlobs(blobs, self.redactor) if self.redactor.is_active else blobs

    def progress(self, context: LocalContext, done: float, total: float | None, message: str) -> None:
        lifecycle = self._teller.lifecycle
        watched = life_of(context).watched if message else None
        if watched is not None and not watched.has_room(context.run, context.step):
            watched = None
        if watched is None and not lifecycle.is_heard:
            return
        shown = self.redactor.text(message)
        if lifecycle.is_heard:
            now = self._teller.now_us()
            names = names_of(context)
            lifecycle.emit(
                LifecycleEvent(Subject.CALL, Stage.PROGRESS, names, now, shown, done=done, total=total)
            )
        if watched is not None:
            watched.tell(context.run, context.step, shown)


def _require_time(context: LocalContext, name: str) -> None:
    """Raise SECRET_TOO_EARLY unless the call has an effect under way that was decided about, journaled, and is real."""
    if context.phase in _TIMES and not context.world.is_simulated:
        return
    raise RefusedError(
        "SECRET_TOO_EARLY",
        f"`{context.capability}` asks for the secret `{name}` where its effect is only planned or prepared",
        hint="secrets are given to `execute`, `reconcile` and `compensate`; a preview shows the reference",
    )


def names_of(context: LocalContext) -> CallNames:
    """What names a call in its events."""
    return CallNames(context.request_id, context.run, context.step, context.attempt, context.capability)
