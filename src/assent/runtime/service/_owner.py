"""Owning the state directory for one request, and being asked by others meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from assent.errors import InputError, Json, WorldError
from assent.journal import Asked, Ownership, acquire_or_forward, forward
from assent.journal import Request as OwnerRequest
from assent.runtime._core import Core
from assent.runtime.service._asking import to_owner
from assent.runtime.service._interrupts import Interrupted, termination_interrupts, wake_for_signals
from assent.runtime.service._owning import actor_of, check
from assent.runtime.service.codec import decode, decode_answer, to_json
from assent.runtime.service.requests import NOT_HERE, AddStep, OnProgress, Request, Stream, asker_of
from assent.runtime.service.service import Service
from assent.runtime.settings.effective import Settings
from assent.system import spawn

A = TypeVar("A")

_SILENCE_S: Final = 0.5
"""After this long a process that is stopping says so."""


def execute(
    request: Request[A],
    settings: Settings,
    *,
    on_progress: OnProgress | None = None,
    ident: str | None = None,
) -> A:
    """Perform a request as the owner of the state directory, or have the owner perform it; its answer.

    Progress is told as journal entries; as ones without a number, `step.preparing`, when a program runs before its step begins,
    and `step.said` of each line that a step says or its program prints (`line` is null where some were left out); as
    `{"serving": N}` when only the requests of N others keep this process; as `{"stopping_ms": N}` when it waits, at most so long,
    for a call that was asked to stop. Raises `Interrupted` for Ctrl-C and SIGTERM: the run stays where it is, resumable, or goes
    on where another process drives it.
    """
    runtime = Core(settings)
    watched = _Watched(on_progress)
    asked = to_owner(request, asker_of(settings), watched, runtime.digests_elsewhere, ident=ident)
    answer: Ownership | dict[str, Json] | None = None
    with termination_interrupts():
        try:
            # What can be refused is refused before there is a state directory, a lock or a ledger.
            answer = _checked(runtime, request, asked)
            if answer is None:
                settings.create_state()
                answer = acquire_or_forward(settings.state, asked, runtime_dir=settings.runtime_dir())
        except KeyboardInterrupt:
            raise Interrupted(watched.run, goes_on=True) from None
        finally:
            if not isinstance(answer, Ownership):
                runtime.plugins.close()  # the look at what is registered here may have started a worker
        if not isinstance(answer, Ownership):
            return decode_answer(request, answer)
        try:
            with asyncio.Runner() as runner:  # a loop that can't be made is told before there is work for it
                return runner.run(_own(answer, request, runtime, watched, asked.id))
        except KeyboardInterrupt:
            raise Interrupted(watched.run) from None
        except WorldError as error:
            # The ledger could not be written: the run is where it was, and beginning it anew would be the wrong advice.
            if watched.run is not None:
                mend = "free some space" if error.code == "DISK_FULL" else "check the disk"
                error.hint = f"{mend}, then go on with `assent resume {watched.run}`"
            raise
        finally:
            answer.release()


def _checked(runtime: Core, request: Request[A], asked: OwnerRequest) -> dict[str, Json] | None:
    """Refuse what can't be, unless a living owner has the capability that is unknown here: then its answer."""
    settings = runtime.settings
    actor = actor_of(settings, asker_of(settings))
    try:
        check(runtime, request, str(actor.principal))
    except InputError as error:
        is_elsewhere = error.code in NOT_HERE
        answer = forward(settings.state, asked, runtime_dir=settings.runtime_dir()) if is_elsewhere else None
        if answer is None:
            raise
        return answer
    return None


class _Watched:
    """Hands progress on, and remembers the first run that it was about."""

    def __init__(self, tell: OnProgress | None) -> None:
        self._tell = tell
        self.run: str | None = None

    def __call__(self, report: dict[str, Json]) -> None:
        run, event = report.get("run"), report.get("event")
        # What is said may be of a plan that is made once more, and that is no run.
        is_said = isinstance(event, dict) and event.get("kind") == "step.said"
        if self.run is None and isinstance(run, str) and not is_said:
            self.run = run
        if self._tell is not None:
            self._tell(report)


async def _own(ownership: Ownership, request: Request[A], runtime: Core, tell: OnProgress, ident: str) -> A:
    wake_for_signals()
    try:
        await runtime.start(ownership, partial(serve, runtime))
        service = Service(runtime.settings, runtime)
        return await _drained(service.perform(request, tell=tell, ident=ident), ownership, tell)
    finally:
        ownership.hang_up()
        # Closing waits for calls under way to end. When that is not at once, whoever sits there shall know what it waits for.
        grace_ms = runtime.settings.limits.grace_ms
        news: dict[str, Json] = {"stopping_ms": grace_ms}
        waits = asyncio.get_running_loop().call_later(_SILENCE_S, tell, news)
        try:
            await runtime.close()
        finally:
            waits.cancel()


async def _drained(work: Awaitable[A], ownership: Ownership, tell: OnProgress) -> A:
    """Finish the requests of others that were taken meanwhile, also when our own failed; an interrupt does not wait for them."""
    try:
        answer = await work
    except Exception:
        await _drain(ownership, tell)
        raise
    await _drain(ownership, tell)
    return answer


async def _drain(ownership: Ownership, tell: OnProgress) -> None:
    if ownership.serving:
        tell({"serving": ownership.serving})
    # Our own request is done. An interrupt ends what we still do for others, not the telling of our answer.
    with suppress(asyncio.CancelledError):
        await ownership.drain()


async def serve(runtime: Core, asked: Asked) -> dict[str, Json]:
    """Perform a request of another process, and tell it of what happens meanwhile."""
    said = decode(asked.body, asked.peer.uid)
    request: Request[Any] = said.request  # `Any`: whatever kind it is, its answer goes out as JSON
    if isinstance(request, Stream):
        asked.watch()
        async for part in Service(runtime.settings, runtime).stream(request, said.by):
            item = to_json(part)
            assert isinstance(item, dict)  # INVARIANT: every part is a struct
            await asked.tell(item)
        return {}
    client = request.client if isinstance(request, AddStep) else None
    leaving = (
        None
        if client is None
        else spawn(_tell_left(runtime, asked, said.by.principal, client.id), name="a client that may go")
    )
    try:
        answer = await Service(runtime.settings, runtime).perform(
            request, said.by, tell=asked.mention, ident=asked.id
        )
    finally:
        if leaving is not None:
            leaving.cancel()
    data = to_json(answer)
    assert isinstance(data, dict)  # INVARIANT: every answer is a struct
    return data


async def _tell_left(runtime: Core, asked: Asked, principal: str, client: str) -> None:
    """Have nobody wait for the answers of a client whose process has gone."""
    await asked.left.wait()
    runtime.companions.gone(principal, client)
