"""So many requests of one plugin are under way at once. Who comes later waits in line, as long as somebody wants the answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

REQUESTS_AT_ONCE_MAX: Final = 16
"""Requests of one plugin that are under way. So many answers are held at most, until its worker has read them."""


class Places:
    """Places of one worker. To be used from one loop."""

    def __init__(self, count: int = REQUESTS_AT_ONCE_MAX) -> None:
        self._free = count
        self._line: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def one(self, wait: Callable[[asyncio.Future[None]], Awaitable[None]]) -> AsyncIterator[None]:
        """Inside, a place is taken. `wait` waits for it, and may raise instead, with the future cancelled."""
        if self._free:
            self._free -= 1
        else:
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._line.append(place)
            await wait(place)
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        while self._line:
            place = self._line.popleft()
            if not place.done():  # who left the line is still in it
                place.set_result(None)
                return
        self._free += 1
