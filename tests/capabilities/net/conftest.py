"""A client that may reach one server on loopback, and a resolver that tells it what the test wants."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest

from assent.capabilities.net import Egress, EgressRule, Http, NetLimits
from assent.capabilities.net._client import Header, Wire
from assent.capabilities.net._url import parse_url

LOOPBACK = tuple(map(ip_network, ("127.0.0.0/8", "::1/128")))
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


def opened(*, hosts: tuple[str, ...] = ("*",), **fields: Any) -> EgressRule:
    """A rule that lets everything at loopback be reached, but for what `fields` say."""
    defaults: dict[str, Any] = {
        "methods": METHODS,
        "schemes": frozenset({"http", "https"}),
        "ports": frozenset(range(1, 65536)),
        "private": LOOPBACK,
    }
    return EgressRule("loopback", hosts, **defaults | fields)


@asynccontextmanager
async def client(*rules: EgressRule, **limits: Any) -> AsyncIterator[Http]:
    """A client, closed at the end."""
    http = Http(Egress(rules or (opened(),)), NetLimits(**limits))
    try:
        yield http
    finally:
        await http.close()


def wire(url: str, method: str = "GET", *headers: Header, body: bytes = b"") -> Wire:
    """A request."""
    return Wire(method, parse_url(url), headers, body, url)


Names = Callable[..., list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """`names({"a.test": [["127.0.0.1"], …]})`: what the system's resolver answers, one list per question; the log of questions.

    The last answer is given again and again. Unknown names have none.
    """
    original = socket.getaddrinfo
    asked: list[str] = []
    answers: dict[str, list[list[str]]] = {}

    def getaddrinfo(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        if host not in answers:
            if isinstance(host, str) and host.endswith(".test"):
                asked.append(host)
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return original(host, port, *rest, **options)
        asked.append(host)
        left = answers[host]
        now = left.pop(0) if len(left) > 1 else left[0]
        return [
            (
                socket.AF_INET6 if ":" in one else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (one, port),
            )
            for one in now
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def say(told: dict[str, list[list[str]]]) -> list[str]:
        answers.update(told)
        return asked

    return say
