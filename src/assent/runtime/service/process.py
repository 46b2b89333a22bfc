"""The service for a process that carries out one request and ends, such as a command line's. Nothing here prompts or prints.

Only what a request needs is imported for it: one that reads pays for no engine and for no event loop.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from msgspec.structs import replace

from assent.errors import InputError, InternalError, WorldError
from assent.runtime.service.requests import (
    NOT_HERE,
    Asking,
    Driving,
    OnProgress,
    Plan,
    Reading,
    Request,
    Stream,
)
from assent.runtime.service.service import Service

if TYPE_CHECKING:
    from assent.runtime.service import answers
    from assent.runtime.settings.effective import Settings

A = TypeVar("A")


def perform(
    request: Request[A],
    settings: Settings,
    *,
    on_progress: OnProgress | None = None,
    ident: str | None = None,
) -> A:
    """The answer to a request of the principal of these settings; what it raises is an `AssentError`, or `Interrupted`.

    A `Driving` one makes the process the owner of the state directory for as long as it takes, or is handed to the living owner.
    For what `on_progress` is told see `_owner.execute`; `ident` is the id that a `Driving` one is asked under.
    """
    answer: A
    if isinstance(request, Reading):
        answer = at_once(Service(settings).perform(request))
    elif isinstance(request, Driving):
        from assent.runtime.service import _owner

        answer = _owner.execute(request, settings, on_progress=on_progress, ident=ident)
    elif isinstance(request, Asking):
        from assent.runtime.service import _asking

        told: A | None = _asking.ask(request, settings)
        answer = cast("A", told)  # None is one of its answers
    elif isinstance(request, Plan):
        answer = cast("A", _planned(request, settings, on_progress))
    else:
        answer = _informed(request, settings, on_progress)
    return answer


def _planned(request: Plan, settings: Settings, on_progress: OnProgress | None) -> answers.Plan:
    """A plan for which nothing is read is made here; else by the owner, unless that works under something else than this one."""
    from assent.engine import OwnerNeededError

    try:
        return _informed(request, settings, on_progress)
    except OwnerNeededError:
        from assent.runtime.service import _owner
    try:
        return _owner.execute(request, settings, on_progress=on_progress)
    except WorldError as error:
        if error.code != "OWNER_DIFFERS":
            raise
        return _informed(replace(request, reads=False), settings, on_progress)


def _informed(request: Request[A], settings: Settings, on_progress: OnProgress | None) -> A:
    """Answered from what is here; of a capability that is not, from what the program has that owns the state."""
    import asyncio

    try:
        return asyncio.run(Service(settings).perform(request, tell=on_progress))
    except InputError as error:
        if error.code not in NOT_HERE:
            raise
        from assent.runtime.service._asking import ask

        answer = ask(request, settings)
        if answer is None:
            raise
        return answer


def stream(request: Stream[A], settings: Settings) -> Iterator[A]:
    """The parts of the answer to a request that has many."""
    # What `Service.stream` is declared as leaves out that it can be closed early.
    parts = cast("AsyncGenerator[A, None]", Service(settings).stream(request))
    if not request.waits:
        try:
            yield from _drawn(parts, at_once)
        finally:
            at_once(parts.aclose())
        return
    import asyncio

    async def waited(work: Awaitable[Any]) -> Any:  # `Any`: as in `_drawn`
        return await work

    # A Ctrl-C can come when a part is asked for and not drawn yet; the runner's end ends that first, and then closes `parts`.
    with asyncio.Runner() as runner:
        yield from _drawn(parts, lambda work: runner.run(waited(work)))


def _drawn(parts: AsyncGenerator[A, None], carry_out: Callable[[Awaitable[Any]], Any]) -> Iterator[A]:
    # `Any`: what is carried out is a part, or the end.
    while True:
        try:
            part: A = carry_out(anext(parts))
        except StopAsyncIteration:
            return
        yield part


def at_once(work: Awaitable[A]) -> A:
    """What comes of something that only reads. INVARIANT: that waits for nobody, so it needs no event loop, which takes 10 ms."""
    waiting = work.__await__()
    try:
        next(waiting)
    except StopIteration as done:
        answer: A = done.value
        return answer
    raise InternalError("INTERNAL_ERROR", "a request that only reads waits for something")
