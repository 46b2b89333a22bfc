"""Whoever waits for one call and can be asked meanwhile: an agent's client, as the call's handler knows it.

It belongs to that call alone. A call that is begun again, that waited for a person, or that a workflow makes has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    import asyncio

    from assent.errors import Json


Questions: TypeAlias = Mapping[str, tuple[str, Mapping[str, "Json"]]]
"""What is asked at once: by names that mean nothing, each a method with its parameters."""

Answers: TypeAlias = Mapping[str, Mapping[str, "Json"]]
"""By the same names: `{"result": …}` or `{"error": {"code": …, "message": …}}`."""


class Companion(Protocol):
    """What it is told and asked is of the Model Context Protocol: its methods, with their parameters."""

    @property
    def can(self) -> Mapping[str, Json]:
        """What it can be asked, as the capabilities that a client declares."""
        ...

    @property
    def wants_progress(self) -> bool:
        """Whether it wants to hear how far the call is."""
        ...

    @property
    def log_level(self) -> str | None:
        """The least level of messages that it wants; None where it did not say."""
        ...

    @property
    def leaving(self) -> list[Callable[[], object]] | None:
        """What is done when it has left, of one that hears on after the call; None for any other."""
        ...

    @property
    def left(self) -> asyncio.Event:
        """Set once it does not want the outcome any more."""
        ...

    def tell(self, method: str, params: Mapping[str, Json]) -> None:
        """Pass on a notification. Nobody waits for it to be heard."""
        ...

    async def ask(self, questions: Questions) -> Answers | None:
        """Its answers, one for each question; None where it has gone."""
        ...


_COMPANION: Final[ContextVar[Companion | None]] = ContextVar("companion", default=None)
companion_here: Final = _COMPANION.get
"""Who waits for the call that is asked for, or begun, here; None is nobody."""


@contextmanager
def accompanied(companion: Companion | None) -> Iterator[None]:
    """Have `companion`, and nobody else, wait for what is asked for, or begun, inside."""
    token = _COMPANION.set(companion)
    try:
        yield
    finally:
        _COMPANION.reset(token)
