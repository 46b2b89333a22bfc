"""A daemon with its doors in the loop of a test, and a client of plain HTTP for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from assent.errors import AssentError, InternalError
from assent.runtime.service.service import Service
from assent.runtime.settings.effective import Settings, own_name
from assent.runtime.wiring.key_store import Key, KeyStore, new_key
from assent.server._app import Agents
from assent.server._serve import Outside, Served, Told, serve
from assent.spec.scopes import SCOPES
from assent.system import SystemEntropy, spawn
from tests.support.patience import PATIENCE_S


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

    def agents(service: Service, body_bytes: int) -> Agents:
        from assent.mcp._http import Agents as OverHttp  # the SDK takes a while to load

        return OverHttp(service, fault, body_bytes=body_bytes)

    outside = Outside(
        environ=env, resolve=resolve, ready=ready, note=notes.append, fault=fault, agents=agents
    )
    work = spawn(serve(resolve(), told, outside), name="daemon")
    await asyncio.wait({work, opened}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    doors = opened.result()
    transport = httpx2.AsyncHTTPTransport(
        uds=doors["socket"], verify=False
    )  # no TLS, so no authorities are read
    # A run of a slow machine is waited for, not told of half-way.
    patient = {"prefer": f"wait={PATIENCE_S:.0f}"}
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://assent", timeout=PATIENCE_S, headers=patient
    ) as http:
        yield Serving(told, doors, notes, faults, http)
    told.stop.set()
    await work
    assert not faults, faults


def over_tcp(root: Path, **settings: str) -> None:
    """Have the workspace's daemon open a port of this machine, too, and let `[serve]` say these."""
    said = "".join(f"{name} = {value}\n" for name, value in settings.items())
    with (root / "assent.toml").open("a") as file:
        file.write(f'[serve]\nhttp = "127.0.0.1:{free_port()}"\n{said}')


def free_port() -> int:
    """A port of this machine that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def key_for(
    root: Path, env: Mapping[str, str], principal: str | None = None, scopes: Iterable[str] = SCOPES
) -> str:
    """A key, by default of all scopes and for this account. No run made it, so that none can be taken back."""
    settings = Settings.resolve(workspace=root, environ=env, cwd=root)
    key = new_key(SystemEntropy())
    KeyStore(settings.state).write(
        Key(
            id=key.id,
            digest=key.digest,
            name="test",
            principal=principal or own_name(settings.os_uid),
            scopes=frozenset(scopes),
            created_ms=0,
            created_by="test",
        )
    )
    return key.text


def told_of(response: httpx2.Response) -> Any:  # `Any`: JSON
    """The body of a problem; what kind it is, is looked at too."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    body = response.json()
    assert body["status"] == response.status_code
    assert body["type"] == f"urn:assent:error:{body['error']['code']}"
    return body


class Raw(msgspec.Struct):
    """A connection on which anything may be said."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def to(cls, served: Serving) -> Raw:
        return cls(*await asyncio.open_unix_connection(served.doors["socket"], limit=1 << 24))

    @classmethod
    async def ask(cls, served: Serving, sent: bytes) -> bytes:
        """Everything that is answered until the connection ends."""
        raw = await cls.to(served)
        with suppress(ConnectionError):
            raw.writer.write(sent)
            await raw.writer.drain()
        return await raw.rest()

    def pause(self) -> None:
        """Take nothing any more."""
        transport = self.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()

    async def rest(self) -> bytes:
        """What is said until the connection ends."""
        found = b""
        with suppress(ConnectionError):
            while part := await self.reader.read(1 << 16):
                found += part
        self.writer.close()
        return found
