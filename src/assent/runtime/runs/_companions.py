"""The clients that wait for a call and can be asked meanwhile, wherever their door is: by reports of its request, and replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from assent.invocation.context.companion import Answers, Questions, accompanied

if TYPE_CHECKING:
    from collections.abc import Callable

    from assent.errors import Json


class _Waiting:
    """One client, for as long as the request takes that it waits for."""

    leaving: None = None

    def __init__(
        self,
        tell: Callable[[dict[str, Json]], None],
        can: Mapping[str, Json],
        log_level: str | None,
        *,
        wants_progress: bool,
    ) -> None:
        self.can: Final = can
        self.wants_progress: Final = wants_progress
        self.log_level: Final = log_level
        self._tell = tell
        self._asked: dict[int, asyncio.Future[Answers | None]] = {}
        self._count = 0
        self._is_over = False
        self.left: Final = asyncio.Event()

    def tell(self, method: str, params: Mapping[str, Json]) -> None:
        if not self._is_over:
            self._tell({"passed": {"method": method, "params": dict(params)}})

    async def ask(self, questions: Questions) -> Answers | None:
        if self._is_over or self.left.is_set():
            return None
        self._count = number = self._count + 1
        answer: asyncio.Future[Answers | None] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        asked: dict[str, Json] = {
            name: {"method": method, "params": dict(params)} for name, (method, params) in questions.items()
        }
        self._tell({"passed": {"ask": number, "questions": asked}})
        try:
            return await answer
        finally:
            del self._asked[number]

    def hear(self, ask: int | None, answer: Answers | None) -> bool:
        """Take in what it says; whether anybody waited for that."""
        if ask is None:
            self.left.set()
            self._refuse_all()
            return True
        asked = self._asked.get(ask)
        if asked is None or asked.done():
            return False
        asked.set_result(answer)
        return True

    def close(self) -> None:
        """The request is answered: nobody is there any more."""
        self._is_over = True
        self._refuse_all()

    def _refuse_all(self) -> None:
        for asked in self._asked.values():
            if not asked.done():
                asked.set_result(None)


class Change(NamedTuple):
    """What a server told has changed: the notification, and the resource where it is of one."""

    server: str
    method: str
    uri: str | None


class _Hearing:
    """One client, for as long as it hears what servers tell of changes. What it has not taken yet is kept once."""

    can: Mapping[str, Json] = {}
    wants_progress = False
    log_level: str | None = None

    def __init__(self) -> None:
        self._news: dict[Change, None] = {}
        self._is_there = asyncio.Event()
        self.leaving: Final[list[Callable[[], object]]] = []
        self.left: Final = asyncio.Event()

    def tell(self, method: str, params: Mapping[str, Json]) -> None:
        uri = params.get("uri")
        told = Change(str(params["server"]), method, None if uri is None else str(uri))
        self._news[told] = None
        self._is_there.set()

    async def ask(self, questions: Questions) -> Answers | None:
        del questions  # it only hears
        return None

    async def news(self) -> AsyncIterator[Change]:
        """What is told, from now on."""
        while True:
            await self._is_there.wait()
            self._is_there.clear()
            while self._news:
                told = next(iter(self._news))
                del self._news[told]
                yield told


class Companions:
    """Those of one runtime, by whom they came as and the id that their door gave them, which nobody else knows."""

    def __init__(self) -> None:
        self._here: dict[tuple[str, str], _Waiting | _Hearing] = {}

    @contextmanager
    def beside(
        self,
        principal: str,
        ident: str,
        tell: Callable[[dict[str, Json]], None],
        *,
        can: Mapping[str, Json],
        log_level: str | None,
        wants_progress: bool,
    ) -> Iterator[None]:
        """Inside, the client of what is asked for can be told and asked things; `tell` takes what."""
        key = (principal, ident)
        if isinstance(hearing := self._here.get(key), _Hearing):
            with accompanied(hearing):
                yield
            return
        waiting = _Waiting(tell, can, log_level, wants_progress=wants_progress)
        self._here.setdefault(key, waiting)
        try:
            with accompanied(waiting):
                yield
        finally:
            if self._here.get(key) is waiting:
                del self._here[key]
            waiting.close()

    def gone(self, principal: str, client: str) -> None:
        """A client has gone: what it was asked it does not answer, and nobody is asked any more. Its call goes on."""
        if isinstance(found := self._here.get((principal, client)), _Waiting):
            found.close()

    def hear(self, principal: str, client: str, ask: int | None, answer: Answers | None) -> bool:
        """Hand on what a client says; whether anybody waited for that."""
        found = self._here.get((principal, client))
        return isinstance(found, _Waiting) and found.hear(ask, answer)

    @contextmanager
    def hearing(self, principal: str, ident: str) -> Iterator[_Hearing]:
        """A client that hears of changes; what is asked with its id inside is its own, and hears on."""
        key, hearing = (principal, ident), _Hearing()
        self._here.setdefault(key, hearing)
        try:
            yield hearing
        finally:
            if self._here.get(key) is hearing:
                del self._here[key]
            hearing.left.set()
            for leave in hearing.leaving:
                leave()
