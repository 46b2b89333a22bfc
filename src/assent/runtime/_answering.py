"""A runtime as a door asks it that is no daemon's: by requests of the service, whoever owns the state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar, cast

from msgspec.structs import replace

from assent.errors import RefusedError, WorldError
from assent.journal import OwnerGoneError
from assent.runtime._program import Runtime
from assent.runtime.service import process
from assent.runtime.service._asking import to_owner
from assent.runtime.service.answers import ServerNews
from assent.runtime.service.codec import decode_answer
from assent.runtime.service.requests import (
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

A = TypeVar("A")


class Answering(Runtime):
    """The owner of a state, or a client of the process that is; the next owner is followed as a runtime does."""

    async def perform(
        self, request: Request[A], by: Asker, *, tell: OnProgress | None = None, ident: str | None = None
    ) -> A:
        """The answer to a request, as `Service.perform` gives it. What reads holds up nobody."""
        while (client := self._client) is not None:
            self._require_own(by)
            if not isinstance(request, Driving):
                found: A = await asyncio.to_thread(process.perform, request, self.settings)
                return found
            asked = to_owner(request, by, tell, self._core.digests)
            try:
                said = await client.forward(asked if ident is None else replace(asked, id=ident))
            except OwnerGoneError:
                await self._follow(client)
            else:
                answer: A = decode_answer(request, said)
                return answer
        service = self._service
        service.check(request, by)
        if isinstance(request, Reading):
            read: A = await asyncio.to_thread(lambda: process.at_once(service.perform(request, by)))
            return read
        return await service.perform(request, by, tell=tell, ident=ident)

    def stream(self, request: Stream[A], by: Asker) -> AsyncIterator[A]:
        """The parts of an answer that has many, as `Service.stream` gives them."""
        if self._client is None:
            return self._service.stream(request, by)
        self._require_own(by)
        if isinstance(request, Events):
            return cast("AsyncIterator[A]", self._events(request))  # what `Events` is answered with
        if isinstance(request, Listen):
            return cast("AsyncIterator[A]", self._server_news(request, by))  # as above
        return Service(self.settings).stream(request, by)

    async def _server_news(self, request: Listen, by: Asker) -> AsyncIterator[ServerNews]:
        """Whoever is the owner: each new one begins with a first of its own."""
        while True:
            client = self._client
            parts = (
                self._service.stream(request, by) if client is None else client.stream(request, ServerNews)
            )
            try:
                async for news in parts:
                    yield news
            except OwnerGoneError:
                pass
            except WorldError as error:
                if error.code != "OWNER_LOST":
                    raise
            if client is None:
                return
            await self._follow(client)

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
