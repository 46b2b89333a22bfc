"""A runtime as a door asks it that is no daemon's: by requests of the service, whoever owns the state."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, TypeVar, cast

from msgspec.structs import replace

from assent import system
from assent.errors import AssentError, RefusedError, WorldError
from assent.journal import OwnerGoneError, has_daemon, is_owned, owner_lost
from assent.runtime._program import Runtime
from assent.runtime.service import process
from assent.runtime.service._asking import to_owner
from assent.runtime.service._keyed import ON_RECORD
from assent.runtime.service.answers import ServerNews
from assent.runtime.service.codec import decode_answer
from assent.runtime.service.requests import (
    OF_FINDINGS,
    Asker,
    Driving,
    Events,
    Listen,
    OnProgress,
    Reading,
    Request,
    Stream,
    asker_of,
)
from assent.runtime.service.service import Service
from assent.runtime.settings.effective import Settings

A = TypeVar("A")


LOGGER: Final = logging.getLogger("assent")

LOOK_S: Final = 0.5
"""So often an owner looks whether a daemon wants its place."""

ENDING_S: Final = 3.0
"""So long calls under way have to end by themselves before the place is handed over."""

WAIT_S: Final = 0.05

DAEMON_S: Final = 5.0
"""So long the next daemon is waited for where one has ended: what starts daemons needs a moment to start it anew."""


class Answering(Runtime):
    """The owner of a state, or a client of the process that is; the next owner is followed as a runtime does.

    Theory of operation. It stays for as long as its own client does, which may be days, and the state is a daemon's wherever
    there is one. So where one has ended the next one is waited for a moment, and one that comes while this is the owner has the
    state: requests that come wait, and those under way end or are stopped where they are. The daemon is asked for what came of
    these under the ids that they were begun under, so that nothing is done twice; as is the next owner after one that was killed.

    `gives_way`: to a daemon that comes. A program that identifies callers of its own keeps the state, as an owner believes nobody
    about that.
    """

    def __init__(self, settings: Settings, *, gives_way: bool = False) -> None:
        super().__init__(settings)
        self._gives_way = gives_way
        self._under_way: set[asyncio.Future[None]] = set()
        self._left: asyncio.Future[None]
        self._had_daemon = False
        self._ids = system.SystemIds()
        self._looking: asyncio.Task[None] | None = None

    async def _take_place(self) -> None:
        if self._had_daemon:
            await self._await_daemon()
        await super()._take_place()
        self._left = asyncio.get_running_loop().create_future()
        self._had_daemon = self._client is not None and has_daemon(self.settings.state)
        if self._client is None:
            self._core.watch_sessions()
        if self._gives_way and self._looking is None:
            self._looking = system.spawn(self._look(), name="a daemon that may come")

    async def _await_daemon(self) -> None:
        state, runtime_dir = self.settings.state, self.settings.runtime_dir()
        for _ in range(round(DAEMON_S / WAIT_S)):
            if has_daemon(state) or is_owned(state, runtime_dir=runtime_dir):
                return
            await asyncio.sleep(WAIT_S)

    async def close(self) -> None:
        """See `Runtime.close`."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        await super().close()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._client is None and has_daemon(self.settings.state):
                await self._give_way()

    async def _give_way(self) -> None:
        async with self._following:
            self._left.set_result(None)
            if self._under_way:
                await asyncio.wait({*self._under_way}, timeout=ENDING_S)
            await self._core.close()
            while True:
                self._begin(self._CORE(self.settings))
                try:
                    await self._take_place()
                except AssentError as fault:
                    await self._core.exit.aclose()
                    LOGGER.warning("what comes is not taken: %s", fault)
                    await asyncio.sleep(LOOK_S)
                else:
                    return

    async def perform(
        self, request: Request[A], by: Asker, *, tell: OnProgress | None = None, ident: str | None = None
    ) -> A:
        """The answer to a request, as `Service.perform` gives it. What reads holds up nobody."""
        is_told_again = isinstance(request, ON_RECORD)
        if ident is None and is_told_again:
            ident = self._ids.request_id()
        while True:
            async with self._following:
                client, left = self._client, self._left
            if client is None:
                try:
                    answer = await self._own(request, by, tell, ident)
                except AssentError:
                    if not left.done():
                        raise
                    if not is_told_again:
                        raise owner_lost(self.settings.state) from None
                else:
                    if not (left.done() and is_told_again):
                        return answer
                continue
            self._require_own(by)
            if not isinstance(request, Driving):
                found: A = await asyncio.to_thread(process.perform, request, self.settings)
                return found
            asked = to_owner(request, by, tell, self._core.digests)
            try:
                said = await client.forward(asked if ident is None else replace(asked, id=ident))
            except OwnerGoneError:
                await self._follow(client)
            except WorldError as error:
                if error.code != "OWNER_LOST" or not is_told_again:
                    raise
                await self._follow(client)
            else:
                told: A = decode_answer(request, said)
                return told

    async def _own(self, request: Request[A], by: Asker, tell: OnProgress | None, ident: str | None) -> A:
        service = self._service
        service.check(request, by)
        if isinstance(request, (Reading, *OF_FINDINGS)):
            read: A = await asyncio.to_thread(lambda: process.at_once(service.perform(request, by)))
            return read
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.add(done)
        try:
            return await service.perform(request, by, tell=tell, ident=ident)
        finally:
            self._under_way.discard(done)
            done.set_result(None)

    async def _own_parts(self, request: Stream[A]) -> AsyncIterator[A]:
        """As long as this process is the owner."""
        left, parts = self._left, self._service.stream(request)
        while True:
            part: asyncio.Task[A | None] = system.spawn(_next_of(parts), name="a part of an answer")
            try:
                await asyncio.wait((part, left), return_when=asyncio.FIRST_COMPLETED)
                if left.done():
                    break
                found = part.result()
            finally:
                part.cancel()
            if found is None:
                return
            yield found
        with suppress(asyncio.CancelledError, AssentError):
            await part
        async with self._following:  # who asks on finds where
            pass

    def stream(self, request: Stream[A], by: Asker) -> AsyncIterator[A]:
        """The parts of an answer that has many, as `Service.stream` gives them."""
        if self._client is None and not (self._gives_way and isinstance(request, Events | Listen)):
            return self._service.stream(request, by)
        if self._client is not None:
            self._require_own(by)
        if isinstance(request, Events):
            return cast("AsyncIterator[A]", self._events(request))  # what `Events` is answered with
        if isinstance(request, Listen):
            return cast("AsyncIterator[A]", self._server_news(request))  # as above
        return Service(self.settings).stream(request, by)

    async def _server_news(self, request: Listen) -> AsyncIterator[ServerNews]:
        """Whoever is the owner: each new one begins with a first of its own."""
        while True:
            client, places = self._client, self._places
            parts = self._own_parts(request) if client is None else client.stream(request, ServerNews)
            try:
                async for news in parts:
                    yield news
            except OwnerGoneError:
                pass
            except WorldError as error:
                if error.code != "OWNER_LOST":
                    raise
            if client is not None:
                await self._follow(client)
            elif self._places == places:
                return

    async def note_stranger(self, door: str, peer: str, code: str) -> None:
        """Put on record, counted, who was not let in; beside another owner there is no record to put it on."""
        if self._client is None:
            await self._service.note_stranger(door, peer, code)

    def is_offered(self, capability: str) -> bool:
        """Whether a capability of this id is registered here."""
        return self._service.is_offered(capability)

    def _require_own(self, by: Asker) -> None:
        """An owner believes nobody who says that somebody else was identified."""
        if by != asker_of(self.settings):
            raise RefusedError(
                "NOT_IDENTIFIED",
                "another process owns the state, and identifies its callers itself",
                hint="send the token to a door of `assent serve`, or leave it out to act as the account",
            )


async def _next_of(parts: AsyncIterator[A]) -> A | None:
    return await anext(parts, None)
