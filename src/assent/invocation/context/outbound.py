"""The port behind `context.http`: who sends requests for the calls of an application."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from assent.errors import Json
from assent.invocation.context.http import HttpAnswer, HttpRequest
from assent.invocation.context.local import LocalContext

Admit: TypeAlias = Callable[[str, str, str, int], None]
"""`(method, scheme, host, port)`: do nothing, or raise why no such request may be sent."""

Reveal: TypeAlias = Callable[[Any, str], Awaitable[Any]]
"""`(value, host)`: the value with every reference in it resolved, to be sent to that host and nowhere else."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Where a request goes, and `request`, what the record and people may see: credentials masked, secrets by their names."""

    method: str
    scheme: str
    host: str
    port: int
    request: Mapping[str, Json]


class Tracing:
    """Who says in which trace a request leaves: nobody, unless the application offers somebody."""

    def headers(self, context: LocalContext) -> Mapping[str, str]:
        """The headers that tell the trace of this call, by lower-case name."""
        del context
        return {}


class Outbound(ABC):
    """Who sends requests: the application's one client. See `assent.capabilities.net`."""

    @abstractmethod
    def shown(self, request: HttpRequest) -> Shown:
        """A request as it may be seen. Raises URL_INVALID, HTTP_REQUEST_INVALID; nobody is asked anything."""

    @abstractmethod
    async def send(
        self, context: LocalContext, request: HttpRequest, *, admit: Admit, reveal: Reveal
    ) -> HttpAnswer:
        """Send a request. `admit` is asked about each address on the way, redirects too, before its host is looked up.

        Raises what `admit` and `reveal` raise, EGRESS_DENIED, HTTP_… and URL_INVALID (a redirect's too).
        """
