"""What one task is told by others, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

M = TypeVar("M")


class Inbox(Generic[M]):
    """Messages for a single taker on one event loop. Putting never waits.

    An `asyncio.Queue` serves many takers and counts what is done; each message through it costs a dozen calls, which were 3 % of
    what a run does.
    """

    __slots__ = ("_bell", "_messages")

    def __init__(self) -> None:
        self._messages: deque[M] = deque()
        self._bell: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: M) -> None:
        """Add a message, and wake who waits for one."""
        self._messages.append(message)
        bell = self._bell
        if bell is not None and not bell.done():
            bell.set_result(None)

    def take(self) -> M:
        """The oldest message; IndexError when there is none."""
        return self._messages.popleft()

    async def get(self) -> M:
        """The oldest message, once there is one. Cancelling it loses none."""
        while not self._messages:
            self._bell = asyncio.get_running_loop().create_future()
            try:
                await self._bell
            finally:
                self._bell = None
        return self._messages.popleft()
