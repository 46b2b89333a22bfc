"""What becomes of each request, told once at its end to whoever counts and to the log; not there where neither is wanted."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import msgspec

from assent.spec.words.durations import instant
from assent.spec.words.legible import safe_line
from assent.system import SystemClock

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from assent.errors import Json

H = TypeVar("H", bound=logging.Handler)

MESSAGE_CHARACTERS_MAX: Final = 2000


class Exchange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request and how it was answered: nothing of what was in it, and of its path only which operation it led to."""

    door: str
    method: str
    status: int
    ms: float
    operation: str = ""
    """Empty where it led nowhere, or nobody known had asked."""
    principal: str | None = None
    identified_by: str | None = None
    peer: str | None = None
    """Where an unknown one came from."""
    run_id: str | None = None
    is_cut: bool = False
    """It was a stream that ended before all was told: the daemon or what the caller presented did, or the caller left."""


Listener: TypeAlias = "Callable[[Exchange], None]"
"""Must not block."""


class Heard:
    """An application whose requests are told of. `state` of a request may say `operation`, `caller` and `run`."""

    def __init__(self, app: ASGIApp, listeners: Sequence[Listener]) -> None:
        self._app = app
        self._listeners = listeners
        self._clock = SystemClock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the application."""
        began_us, status = (
            self._clock.monotonic_us(),
            499,
        )  # as others note one whose caller left before the answer began

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            state, caller = scope["state"], scope["state"].get("caller")
            exchange = Exchange(
                door=state["door"],
                method=scope["method"],
                status=status,
                ms=(self._clock.monotonic_us() - began_us) / 1000,
                operation=state.get("operation", ""),
                principal=None if caller is None else caller.asker.principal,
                identified_by=None if caller is None else caller.identified_by,
                peer=state["peer"] if caller is None else None,
                run_id=state.get("run"),
                is_cut=state.get("is_cut", False),
            )
            for listener in self._listeners:
                listener(exchange)


class JsonLog(logging.Handler):
    """One JSON object a line for what loggers say, what the daemon does, and each request: `time`, `level`, `event`, and more.

    Secret values that this process knows are in none.
    """

    def __init__(self, write: Callable[[str], None], hide: Callable[[str], str]) -> None:
        """`write` takes a line without its end; `hide` leaves secret values out of a text."""
        super().__init__(logging.INFO)
        self._write = write
        self._hide = hide
        self._clock = SystemClock()

    def emit(self, record: logging.LogRecord) -> None:
        """What a logger said; of an error its kind, since its text may hold anything."""
        fields: dict[str, Json] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info is not None and record.exc_info[0] is not None:
            fields["error"] = record.exc_info[0].__name__
        self._line(record.levelname.lower(), "log", fields)

    def note(self, text: str) -> None:
        """What the daemon does."""
        self._line("info", "daemon", {"message": text})

    def request(self, exchange: Exchange) -> None:
        """How a request was answered."""
        level = "error" if exchange.status >= 500 else "info"
        self._line(level, "request", msgspec.to_builtins(exchange))

    def _line(self, level: str, event: str, fields: Mapping[str, Json]) -> None:
        told = {
            name: self._hide(value[:MESSAGE_CHARACTERS_MAX]) if isinstance(value, str) else value
            for name, value in fields.items()
        }
        line = {"time": instant(self._clock.now_ms()), "level": level, "event": event, **told}
        self._write(json.dumps(line, separators=(",", ":"), ensure_ascii=True))


class TextLog(logging.Handler):
    """A line for people for each warning: what the daemon could not do, and nobody asked for at the moment."""

    def __init__(self, write: Callable[[str], None], hide: Callable[[str], str]) -> None:
        """As of `JsonLog`."""
        super().__init__(logging.WARNING)
        self._write = write
        self._hide = hide

    def emit(self, record: logging.LogRecord) -> None:
        """What a logger said."""
        said = safe_line(self._hide(record.getMessage()[:MESSAGE_CHARACTERS_MAX]))
        self._write(f"{record.levelname.lower()}: {said}")


@contextmanager
def heard(log: H) -> Iterator[H]:
    """A log, which every logger of this process writes to meanwhile."""
    root = logging.getLogger()
    root.addHandler(log)
    try:
        yield log
    finally:
        root.removeHandler(log)
