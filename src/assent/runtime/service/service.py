"""The application service: everything that can be asked of Assent goes through `perform`, whichever door it came in by.

    service = Service(settings)
    answer = await service.perform(requests.Show(run="run_01"), asker)

What a request needs is its base class: `Driving` and `Asking` an open runtime, `Informed` what is installed here, `Reading` the
record alone. Each kind's functions are imported when the first of them is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from assent.errors import AssentError, InputError, InternalError, RefusedError
from assent.runtime._ledger import has_ledger
from assent.runtime.service.codec import hidden
from assent.runtime.service.requests import (
    Asker,
    Asking,
    Driving,
    Events,
    Informed,
    Listen,
    OnProgress,
    Reading,
    Request,
    Stream,
    asker_of,
    operation_of,
)
from assent.runtime.settings._places import fault_of_state
from assent.spec.ids import OF_SCHEDULES, OF_STEPS, OWN_REQUESTS

if TYPE_CHECKING:
    from assent.engine import Admission
    from assent.journal import News
    from assent.runtime._core import Core
    from assent.runtime.service import answers
    from assent.runtime.service._keyed import Keyed
    from assent.runtime.service._listening import Listened
    from assent.runtime.service._reading import OwnerSays
    from assent.runtime.settings.effective import Settings

A = TypeVar("A")


# `Any`: it takes its own kind of request and gives that one's answer; a test holds each to it.
def _function(module: ModuleType, request: Request[Any]) -> Any:
    """What carries a request out: the function of this module that is named for the operation."""
    return getattr(module, f"_{operation_of(type(request))}")


class Service:
    """What can be asked of one workspace. With an open runtime it is the owner's, which alone can change the record."""

    def __init__(self, settings: Settings, runtime: Core | None = None) -> None:
        self._settings = settings
        self._runtime = runtime
        self._listened: WeakKeyDictionary[News, Listened] = WeakKeyDictionary()

    @cached_property
    def _keyed(self) -> Keyed:
        from assent.runtime.service._keyed import Keyed
        from assent.system import SystemClock

        return Keyed(SystemClock())

    def admission(self) -> Admission:
        """How many runs are at work here, and how many wait to begin; `RUNTIME_CLOSED` where nothing is driven."""
        assert self._runtime is not None  # INVARIANT: only an owner's doors ask
        return self._runtime.running.admission()

    def is_offered(self, capability: str) -> bool:
        """Whether a capability of this id is registered here."""
        return self._runtime is not None and self._runtime.registry.get(capability) is not None

    def fault(self) -> str | None:
        """Why nothing could be recorded now, as far as that shows without an attempt; None where it could."""
        state = self._settings.state
        if not has_ledger(state):
            return "the ledger is not where it was"
        found = fault_of_state(state)
        return None if found is None else f"the state {found}"

    async def perform(
        self,
        request: Request[A],
        by: Asker | None = None,
        *,
        tell: OnProgress | None = None,
        ident: str | None = None,
    ) -> A:
        """Do what a request asks. Secret values that this process knows are in no answer, and in no error. `SCOPE_MISSING`.

        `ident`: the id under which it is asked: a run that began under it goes on, and no other one begins. Where whoever asks
        chose it, it means one thing only (`REQUEST_REUSED`).
        `tell` hears of each event of the runs that the request drives once it is durable, and of what their steps say.
        """
        if ident is not None and ident.startswith((OF_SCHEDULES, OF_STEPS)):
            raise InputError(
                "REQUEST_INVALID",
                f"requests that begin with `{OF_SCHEDULES}` or `{OF_STEPS}` are those of schedules and of steps",
                hint="ask under another id",
            )
        by = by or asker_of(self._settings)
        if by.scopes is None:
            return await self._carry_out(request, by, tell, ident)
        from assent.runtime.service.scopes import may_read, narrowed_error, require_scope

        require_scope(request, by)
        try:
            return await self.narrowed(await self._carry_out(request, by, tell, ident), by)
        except AssentError as error:
            if may_read(by):
                raise
            is_others = await self._is_others(getattr(request, "run", None), by)
            raise narrowed_error(error, request, is_others=is_others) from None

    async def narrowed(self, answer: A, by: Asker) -> A:
        """What is told of an answer to whoever asks: of others' runs no more than they may read."""
        from assent.runtime.service import answers
        from assent.runtime.service.scopes import may_read, narrowed

        if self._runtime is None or may_read(by):
            return answer
        told = answer.results if isinstance(answer, answers.Resumed) else [answer]
        runs = [one.run_id for one in told if isinstance(one, answers.Run | answers.UndoPlan)]
        return narrowed(answer, others={run for run in runs if await self._is_others(run, by)})

    async def _is_others(self, beginning: object, by: Asker) -> bool:
        """Whether there is a run that begins so, and somebody else has begun it."""
        if self._runtime is None or not isinstance(beginning, str):
            return False
        try:
            created = await self._runtime.running.created(await self._runtime.find(beginning))
        except AssentError:
            return False
        return created.principal != by.principal

    async def _carry_out(
        self, request: Request[A], by: Asker, tell: OnProgress | None, ident: str | None
    ) -> A:
        """The same for whoever may ask it."""
        if self._runtime is None:
            return await self._perform(request, by, tell, ident)
        from assent.invocation import hide_in_error
        from assent.runtime.service._owning import accompanying, reporting

        redactor = self._runtime.secrets.redactor
        try:
            with reporting(tell), accompanying(self._runtime, request, by.principal, tell):
                async with self._runtime.turn(ident):
                    return await self._perform_once(request, by, tell, ident)
        except Exception as error:
            # Also what nobody expected: its text goes into a log, and its causes with it.
            hide_in_error(error, redactor)
            raise

    async def _perform_once(
        self, request: Request[A], by: Asker, tell: OnProgress | None, ident: str | None
    ) -> A:
        """With an id that whoever asks chose: what was answered under it, where no run's record would tell."""
        assert self._runtime is not None  # INVARIANT: without one nothing is changed
        keyed = None if ident is None or ident.startswith(OWN_REQUESTS) else self._keyed
        again: A | None = None
        if keyed is not None and ident is not None:
            again = keyed.find(ident, request, by.principal)
        if again is None:
            again = hidden(await self._perform(request, by, tell, ident), self._runtime.secrets.redactor)
            if keyed is not None and ident is not None:
                keyed.keep(ident, request, again)
        return again

    async def _perform(self, request: Request[A], by: Asker, tell: OnProgress | None, ident: str | None) -> A:
        answer: A
        if isinstance(request, Reading):
            from assent.runtime.service import _recorded
            from assent.runtime.service._reading import Record

            answer = await _function(_recorded, request)(
                Record(self._settings, by, self._owner_says_to(by)), request
            )
        elif isinstance(request, Informed):
            from assent.runtime.service import _informed

            scene = _informed.Scene(self._settings, by, self._runtime, tell)
            answer = await _function(_informed, request)(scene, request)
        elif isinstance(request, Driving | Asking):
            from assent.runtime.service import _owning

            if self._runtime is None:
                raise InputError(
                    "RUNTIME_CLOSED",
                    "no runtime is open",
                    hint="use it inside `async with Runtime.open(…)`",
                )
            try:
                actor = _owning.actor_of(self._settings, by, ident)
            except RefusedError as error:
                await _owning.note_refusal(self._runtime, request, by, error.code)
                raise
            actor = _owning.in_request(self._runtime, request, actor)
            begun = await _owning.begun(self._runtime, request, actor)
            answer = begun or await _function(_owning, request)(self._runtime, request, actor)
        else:
            raise InternalError("REQUEST_INVALID", f"`{type(request).__name__}` is not a kind of request")
        return answer

    def _owner_says_to(self, by: Asker) -> OwnerSays | None:
        """What the owner says of runs to somebody, where this is the owner's."""
        if self._runtime is None:
            return None
        from assent.runtime.service._owning import under_way

        runtime = self._runtime
        return lambda runs, *, texts=False: under_way(runtime, runs, by.principal if texts else None)

    def check(self, request: Request[Any], by: Asker) -> None:
        """Refuse what can't be carried out before anything is on record: what `by` may not ask, what does not load or fit.

        Every door for others' programs asks this first, so that each answers alike; a program of ours gets a run that failed.
        """
        from assent.runtime.service import _owning
        from assent.runtime.service.scopes import require_scope

        require_scope(request, by)
        if self._runtime is not None:
            _owning.check_fits(self._runtime, request, by.principal)

    async def stream(self, request: Stream[A], by: Asker | None = None) -> AsyncIterator[A]:
        """The same for a request that is answered in parts."""
        if by is not None and by.scopes is not None:
            from assent.runtime.service.scopes import require_scope

            require_scope(request, by)
        redactor = self._runtime.secrets.redactor if self._runtime is not None else None
        async for part in self._parts(request, by or asker_of(self._settings)):
            yield part if redactor is None else hidden(part, redactor)

    def _parts(self, request: Stream[A], by: Asker) -> AsyncIterator[A]:
        from assent.runtime.service import _recorded
        from assent.runtime.service._reading import Record

        parts: AsyncIterator[A]
        if self._runtime is not None and isinstance(request, Events):
            from assent.runtime.service._listening import events

            parts = events(self._runtime, self._listened, request)  # type: ignore[assignment]  # what `Events` is answered with
        elif self._runtime is not None and isinstance(request, Listen):
            from assent.runtime.service._listening import server_news

            parts = server_news(self._runtime, by.principal, request)  # type: ignore[assignment]  # as above
        else:
            parts = _function(_recorded, request)(
                Record(self._settings, by, self._owner_says_to(by)), request
            )
        return parts

    async def note_stranger(self, door: str, peer: str, code: str) -> None:
        """A door let somebody not in: counted, and on record within the minute."""
        if self._runtime is not None:
            await self._runtime.note_stranger(door, peer, code)

    def events(
        self, run: str, since: int = 0, *, within_ms: int | None = None
    ) -> AsyncIterator[answers.RunEvent]:
        """What happens to a run from its event number `since` on, as `requests.Events` says."""
        return self.stream(Events(run=run, since=since, within_ms=within_ms))
