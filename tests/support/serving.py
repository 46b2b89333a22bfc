"""A daemon with its doors in the loop of a test, and a client of plain HTTP for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from assent.errors import AssentError, InternalError
from assent.runtime.settings.effective import Settings
from assent.server._serve import Outside, Served, Told, serve
from assent.system import spawn


class Serving(msgspec.Struct):
    """A daemon at work."""

    told: Told
    doors: dict[str, str]
    notes: list[str]
    faults: list[Exception]
    http: httpx2.AsyncClient


@asynccontextmanager
async def daemon(root: Path, env: Mapping[str, str]) -> AsyncIterator[Serving]:
    """The workspace's daemon, served until the block ends."""

    def resolve() -> Settings:
        return Settings.resolve(workspace=root, environ=env, cwd=root)

    told, opened = Told(), asyncio.get_running_loop().create_future()
    notes: list[str] = []
    faults: list[Exception] = []

    def ready(doors: list[Served]) -> None:
        opened.set_result({one.door: one.address for one in doors})

    def fault(error: Exception) -> AssentError:
        faults.append(error)
        return InternalError("INTERNAL_ERROR", "something went wrong inside Assent")

    outside = Outside(environ=env, resolve=resolve, ready=ready, note=notes.append, fault=fault)
    work = spawn(serve(resolve(), told, outside), name="daemon")
    await asyncio.wait({work, opened}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    doors = opened.result()
    transport = httpx2.AsyncHTTPTransport(uds=doors["socket"])
    async with httpx2.AsyncClient(transport=transport, base_url="http://assent", timeout=30) as http:
        yield Serving(told, doors, notes, faults, http)
    told.stop.set()
    await work
    assert not faults, faults


def told_of(response: httpx2.Response) -> Any:  # `Any`: JSON
    """The body of a problem; what kind it is, is looked at too."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    body = response.json()
    assert body["status"] == response.status_code
    assert body["type"] == f"urn:assent:error:{body['error']['code']}"
    return body
