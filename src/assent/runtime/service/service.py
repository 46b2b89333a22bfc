"""The application service: everything that can be asked of Assent goes through `perform`, whichever door it came in by.

    service = Service(settings)
    answer = await service.perform(requests.Show(run="run_01"), asker)

What a request needs is its base class: `Driving` and `Asking` an open runtime, `Informed` what is installed here, `Reading` the
record alone. Each kind's functions are imported when the first of them is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from assent.errors import InputError, InternalError
from assent.runtime.service.codec import hidden
from assent.runtime.service.requests import (
    Asker,
    Asking,
    Driving,
    Events,
    Informed,
    OnProgress,
    Reading,
    Request,
    Stream,
    asker_of,
)

if TYPE_CHECKING:
    from assent.runtime._runtime import Runtime
    from assent.runtime.service import answers
    from assent.runtime.settings.effective import Settings

A = TypeVar("A")


Streams: TypeAlias = "Mapping[type[Stream[Any]], Callable[[Settings, Any], AsyncIterator[Any]]]"


class Service:
    """What can be asked of one workspace. With an open runtime it is the owner's, which alone can change the record."""

    def __init__(self, settings: Settings, runtime: Runtime | None = None) -> None:
        self._settings = settings
        self._runtime = runtime

    async def perform(
        self, request: Request[A], by: Asker | None = None, *, tell: OnProgress | None = None
    ) -> A:
        """Do what a request asks. Secret values that this process knows are in no answer, and in no error.

        `tell` hears of each event of the runs that the request drives once it is durable, and of what their steps say.
        """
        by = by or asker_of(self._settings)
        if self._runtime is None:
            return await self._perform(request, by, tell)
        from assent.invocation import hide_in_error

        redactor = self._runtime.secrets.redactor
        try:
            return hidden(await self._perform(request, by, tell), redactor)
        except Exception as error:
            # Also what nobody expected: its text goes into a log, and its causes with it.
            hide_in_error(error, redactor)
            raise

    async def _perform(self, request: Request[A], by: Asker, tell: OnProgress | None) -> A:
        answer: A
        if isinstance(request, Reading):
            from assent.runtime.service import _recorded

            answer = await _recorded.HANDLERS[type(request)](self._settings, request)
        elif isinstance(request, Informed):
            from assent.runtime.service import _informed

            scene = _informed.Scene(self._settings, by, self._runtime, tell)
            answer = await _informed.HANDLERS[type(request)](scene, request)
        elif isinstance(request, Driving | Asking):
            from assent.runtime.service import _owning

            if self._runtime is None:
                raise InputError(
                    "RUNTIME_CLOSED",
                    "no runtime is open",
                    hint="use it inside `async with Runtime.open(…)`",
                )
            actor = _owning.actor_of(self._settings, by)
            with _owning.telling(self._runtime, tell):
                answer = await _owning.HANDLERS[type(request)](self._runtime, request, actor)
        else:
            raise InternalError("REQUEST_INVALID", f"`{type(request).__name__}` is no kind of request")
        return answer

    async def stream(self, request: Stream[A]) -> AsyncIterator[A]:
        """The same for a request that is answered in parts."""
        from assent.runtime.service import _recorded

        redactor = self._runtime.secrets.redactor if self._runtime is not None else None
        part: Any  # `Any`: an `A`, as its request says
        async for part in self._parts(request, _recorded.STREAMS):
            yield part if redactor is None else hidden(part, redactor)

    # `Any`: an `A` each, as their request says
    def _parts(self, request: Stream[Any], recorded: Streams) -> AsyncIterator[Any]:
        if self._runtime is not None and isinstance(request, Events):
            from assent.runtime.service import _owning

            return _owning.events(self._runtime, request)
        return recorded[type(request)](self._settings, request)

    def events(
        self, run: str, since: int = 0, *, within_ms: int | None = None
    ) -> AsyncIterator[answers.RunEvent]:
        """What happens to a run from its event number `since` on, as `requests.Events` says."""
        return self.stream(Events(run=run, since=since, within_ms=within_ms))
