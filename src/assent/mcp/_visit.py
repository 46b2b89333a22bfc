"""One agent's visit: the session that its calls are steps of, and what is carried out for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

from assent import system
from assent.errors import AssentError, InputError, Json
from assent.runtime.service import answers, requests
from assent.runtime.service.requests import Asker, OnProgress, Request, Stream

A = TypeVar("A")

_ENDED: Final = frozenset({"SESSION_CLOSED", "RUN_UNKNOWN"})


class Answers(Protocol):
    """Whoever carries out requests of the service, and makes sure that what acts is not ended by who leaves."""

    async def perform(
        self, request: Request[A], by: Asker, *, tell: OnProgress | None = None, ident: str | None = None
    ) -> A:
        """The answer to a request."""
        ...

    def stream(self, request: Stream[A], by: Asker) -> AsyncIterator[A]:
        """The parts of an answer that has many."""
        ...


class Visit:
    """What one agent does between its coming and its going: one run, so that all of it can be looked at and undone as one.

    It begins with the first call that is to be a step. Should somebody end it (`assent cancel`, `assent close`), the next call
    begins another. It is begun under `ident`, by which an owner knows when nobody can call it any more. `is_named`: whoever comes
    under the same later goes on with it.
    """

    def __init__(self, answering: Answers, by: Asker, ident: str, *, is_named: bool = False) -> None:
        self._answering = answering
        self._beginning: asyncio.Task[str] | None = None
        self._ident = ident
        self._is_named = is_named
        self._ended = 0
        self.by: Final = by
        self.run: str | None = None
        self.leaving: Final[list[Callable[[], object]]] = []
        """What is done when the agent goes."""
        self.streams = 0
        """Streams of news that it has open."""
        self.listed: list[dict[str, Any]] | None = None  # `Any`: JSON
        """The tools of a list whose further pages were not asked for yet."""
        self.log_level: str | None = None
        """The least level of messages that a client of the older revisions wants."""

    async def ask(self, request: Request[A]) -> A:
        """The answer to a request of the agent."""
        return await self._answering.perform(request, self.by)

    def parts(self, request: Stream[A]) -> AsyncIterator[A]:
        """The parts of an answer that has many."""
        return self._answering.stream(request, self.by)

    async def act(self, request: Request[A], *, tell: OnProgress | None = None) -> A:
        """The same for what acts: once it has begun it is carried out, also where nobody waits for it any more."""
        return await asyncio.shield(
            system.spawn(self._answering.perform(request, self.by, tell=tell), name="what an agent asked")
        )

    async def add(
        self,
        capability: str,
        parameters: Mapping[str, Json],
        *,
        tell: OnProgress | None = None,
        client: requests.Client | None = None,
    ) -> answers.Run:
        """A call as the session's next step, with its outcome, or as it waits for a person."""
        while True:
            run = await self._session()
            try:
                return await self.act(
                    requests.AddStep(
                        run=run, capability=capability, parameters=dict(parameters), client=client
                    ),
                    tell=tell,
                )
            except InputError as error:
                if error.code not in _ENDED:
                    raise
                if self.run == run:
                    self.run, self._ended = None, self._ended + 1

    async def begun(self) -> str | None:
        """The session that there is. One that is named may have begun at an owner that has gone since; if not, it begins."""
        return await self._session() if self._is_named else self.run

    async def _session(self) -> str:
        if self.run is not None:
            return self.run
        if self._beginning is None or self._beginning.done():
            self._beginning = system.spawn(self._begin(), name="an agent's session")
        # Who waits may leave: the session that has begun is then the next call's, and none is left open that nobody knows of.
        return await asyncio.shield(self._beginning)

    async def _begin(self) -> str:
        ident = f"{self._ident}:{self._ended}"
        begun = await self._answering.perform(requests.OpenSession(), self.by, ident=ident)
        self.run = begun.run_id
        return self.run

    async def close(self) -> None:
        """The agent has gone: the session takes no more steps, and ends once all are settled."""
        for leave in self.leaving:
            leave()
        if self.run is not None:
            with suppress(AssentError):
                await self.act(requests.CloseSession(run=self.run))
