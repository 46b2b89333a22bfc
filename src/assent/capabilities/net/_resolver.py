"""Names to addresses, by the system's own resolver, in threads that nobody has to wait for."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from assent.capabilities.net._addresses import Address

LOOKUPS_MAX: Final = 32
"""Lookups at once; a resolver that hangs must not collect threads."""


class Resolver(Protocol):
    """Who says which addresses a name has."""

    async def addresses(self, host: str, port: int) -> list[Address]:
        """All addresses of a name, the one to try first in front. Raises OSError when there are none."""
        ...


class SystemResolver:
    """`getaddrinfo`, with what the machine is configured to ask."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(LOOKUPS_MAX)

    async def addresses(self, host: str, port: int) -> list[Address]:
        await self._free.acquire()
        try:
            found = _in_thread(host, port, self._free.release)
        except RuntimeError as error:  # there can be no other thread now
            self._free.release()
            raise OSError(errno.EAGAIN, "no thread is left to ask the resolver") from error
        return await found


def _in_thread(host: str, port: int, over: Callable[[], None]) -> asyncio.Future[list[Address]]:
    """The addresses to come. `over` is called when the thread ends, which may be long after nobody waits for it."""
    # The loop's own pool would be waited for when the process ends, and a lookup may take as long as the resolver likes.
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Address]] = loop.create_future()

    def settle(found: list[Address], error: OSError | None) -> None:
        over()
        if future.done():
            return
        if error is None:
            future.set_result(found)
        else:
            future.set_exception(error)

    def look_up() -> None:
        found: list[Address] = []
        failure: OSError | None = None
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = [ipaddress.ip_address(place[0]) for *_, place in answers]
        except OSError as error:
            failure = error
        except ValueError:  # a name that the resolver's own encoding refuses, or an answer that is no address
            failure = socket.gaierror(socket.EAI_NONAME, "no such name")
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, list(dict.fromkeys(found)), failure)

    threading.Thread(target=look_up, name="assent-resolver", daemon=True).start()
    return future
