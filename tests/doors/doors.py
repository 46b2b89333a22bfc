"""The doors: each opens a workspace and asks, there, whatever a story says. One class each, and no expectations here."""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import httpx2
import msgspec

from assent import Runtime, sync
from assent.client import Client, connect
from assent.runtime.service.codec import answer_type
from assent.runtime.service.requests import OPERATIONS, Asker, Request, Stream, operation_of
from assent.runtime.service.routes import ANSWERED, ROUTES, Route, told
from assent.runtime.settings.effective import Settings
from assent.server._inputs import ident_of, read_named
from assent.server.pipe._frames import Frame, encode
from assent.server.who import Gatehouse, Presented
from assent.system import spawn
from tests.support.patience import PATIENCE_S
from tests.support.pipes import Peer, asking, piped
from tests.support.serving import daemon, free_port

KINDS = {operation_of(kind): kind for kind in OPERATIONS}

BYTES = frozenset({"attachment", "findings_export", "resource_content"})
"""Streams of bytes, told together."""

METHODS = frozenset(
    "run call approve reject cancel signal undo resolve resume erase"
    " add_schedule remove_schedule pause_schedule resume_schedule".split()
)
"""What programs ask with a method of `Runtime` and of `Client`; everything else is asked with its request."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An operation as a door is to ask it."""

    op: str
    said: dict[str, Any]
    token: str | None = None
    key: str | None = None
    version: str | None = None
    most: int | None = None

    @property
    def has_method(self) -> bool:
        """Whether a program asks it with a method: of those only `run` and `call` take an id, and none takes a saved plan."""
        return (
            self.op in METHODS
            and "plan" not in self.said
            and (self.key is None or self.op in ("run", "call"))
        )

    @property
    def is_stream(self) -> bool:
        return issubclass(KINDS[self.op], Stream)

    def request(self) -> Request[Any]:
        """As a request of the service, with what is said by name."""
        return read_named(KINDS[self.op], {**self._said, **self._since})

    def arguments(self) -> dict[str, Any]:
        """As the arguments of a method."""
        said = {name: value for name, value in self._said.items() if name != "unseen"}
        return said if self.key is None or self.op not in ("run", "call") else {**said, "id": self.key}

    @property
    def _said(self) -> dict[str, Any]:
        said = {name: value for name, value in self.said.items() if name != "last" or not self.is_stream}
        return (
            said if self.version is None else {**said, "capability": f"{said['capability']}@{self.version}"}
        )

    @property
    def _since(self) -> dict[str, int]:
        return {"since": self.said["last"] + 1} if self.is_stream and "last" in self.said else {}


class Refused(Exception):
    """What a door told instead of an answer: the family and the error object."""

    def __init__(self, family: str, error: Any) -> None:
        super().__init__(error["code"])
        self.family, self.error = family, error


class Door(Protocol):
    """Somewhere to ask."""

    @property
    def who(self) -> str: ...  # what vouches for whoever asks there without a key of the story's

    async def ask(self, asked: Asked) -> Any: ...  # JSON, and of a stream a list; `Refused`, `AssentError`


def resolved(root: Path, env: Mapping[str, str]) -> Settings:
    """The settings of a workspace."""
    return Settings.resolve(workspace=root, environ=env, cwd=root)


def told_of(request: Request[Any], answer: Any) -> Any:
    """An answer as it is told."""
    return msgspec.to_builtins(told(ANSWERED.get(type(request), "object"), answer))


async def drawn(asked: Asked, parts: AsyncIterator[Any]) -> Any:
    """The parts of a stream, as many as are wanted; bytes together."""
    found: list[Any] = []
    async for part in parts:
        found.append(part)
        if len(found) == asked.most:
            break
    close = getattr(parts, "aclose", None)
    if close is not None:
        await close()
    if asked.op in BYTES:
        return b"".join(one.data for one in found).decode()
    return [msgspec.to_builtins(one) for one in found]


@dataclass
class Embedded:
    """The runtime in the program's own process; who shows a key is known as any door of the daemon would know them."""

    runtime: Runtime
    who = "process_uid"

    @classmethod
    @asynccontextmanager
    async def open(cls, root: Path, env: Mapping[str, str], _files: Path) -> AsyncIterator[Embedded]:
        async with Runtime(resolved(root, env)) as runtime:
            yield cls(runtime)

    async def ask(self, asked: Asked) -> Any:
        by = None if asked.token is None else await self._caller(asked.token)
        if by is None and asked.has_method:
            found = await getattr(self.runtime, asked.op)(**asked.arguments())
            return [one.to_json() for one in found] if isinstance(found, list) else found.to_json()
        service, request = self.runtime._service, asked.request()
        if isinstance(request, Stream):
            return await drawn(asked, service.stream(request, by))
        # Of several callers each has keys of its own; a program's own ids are its own.
        ident = asked.key if by is None or asked.key is None else ident_of(asked.key, by.principal)
        return told_of(request, await service.perform(request, by, ident=ident))

    async def _caller(self, token: str) -> Asker:
        house = Gatehouse(self.runtime.settings, note=self.runtime._core.note_stranger)
        shown = Presented(door="embedded", peer="here", authorization=(f"Bearer {token}",))
        return (await house.authenticate(shown)).asker


@dataclass
class Http:
    """The API over plain HTTP, as somebody writes it who has its description alone."""

    http: httpx2.AsyncClient
    token: str | None
    who: str
    version_in: str = "header"

    @classmethod
    @asynccontextmanager
    async def open(cls, root: Path, env: Mapping[str, str], files: Path) -> AsyncIterator[Http]:
        async with cls._opened(root, env, None, "header", False) as door:
            yield door

    @classmethod
    @asynccontextmanager
    async def over_tls(cls, root: Path, env: Mapping[str, str], files: Path) -> AsyncIterator[Http]:
        authorities = ssl.create_default_context(cafile=files / "ca.pem")
        async with cls._opened(root, env, files / "server.pem", "query", authorities) as door:
            yield door

    @classmethod
    @asynccontextmanager
    async def on_socket(cls, root: Path, env: Mapping[str, str], _files: Path) -> AsyncIterator[Http]:
        async with daemon(root, env) as served:
            yield cls(served.http, None, "peer_uid", "query")

    @classmethod
    @asynccontextmanager
    async def _opened(
        cls,
        root: Path,
        env: Mapping[str, str],
        certificate: Path | None,
        version_in: str,
        trusted: ssl.SSLContext | bool,
    ) -> AsyncIterator[Http]:
        async with (
            served_over_tcp(root, env, certificate) as (url, token),
            httpx2.AsyncClient(base_url=url, verify=trusted, timeout=PATIENCE_S, trust_env=False) as http,
        ):
            yield cls(http, token, f"api_key:{token[:19]}", version_in)

    async def ask(self, asked: Asked) -> Any:
        said = dict(asked.said)
        route = route_of(asked.op, said)
        path = "/".join(segment(part, said) for part in route.path.split("/"))
        token = asked.token or self.token
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        query: list[tuple[str, str]] = []
        if asked.key is not None:
            headers["idempotency-key"] = asked.key
        if asked.version is not None and self.version_in == "header":
            headers["assent-version"] = asked.version
        elif asked.version is not None:
            query.append(("version", asked.version))
        if asked.is_stream and "last" in said:
            headers["last-event-id"] = str(said.pop("last"))
        how: dict[str, Any] = {"params": query}
        if route.method == "GET":
            for name, value in said.items():
                many = value if isinstance(value, list) else [value]
                query += [(name, str(one).lower() if isinstance(one, bool) else str(one)) for one in many]
        else:
            headers["content-type"] = "application/json"
            how["content"] = json.dumps(said, ensure_ascii=False).encode()
        async with self.http.stream(route.method, path, headers=headers, **how) as answer:
            if answer.headers.get("content-type") == "application/problem+json":
                problem = json.loads(await answer.aread())
                raise Refused(problem["family"], problem["error"])
            if route.answered in ("events", "lines"):
                return await self._parts(asked, answer)
            data = await answer.aread()
        if route.answered in ("text", "data"):
            first = answer_type(route.kind).__struct_fields__[0]
            return {first: data.decode() if route.answered == "text" else b64encode(data).decode()}
        return data.decode() if route.answered == "bytes" else json.loads(data)

    async def _parts(self, asked: Asked, answer: httpx2.Response) -> list[Any]:
        found: list[Any] = []
        rest, ident = b"", None
        async for chunk in answer.aiter_bytes():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if asked.op == "events":
                    name, _, value = line.partition(b": ")
                    ident = int(value) if name == b"id" else ident
                    if name != b"data" or value == b"{}":
                        continue
                    line = value  # noqa: PLW2901
                found.append(json.loads(line))
                assert asked.op != "events" or found[-1]["n"] == ident
                if len(found) == asked.most:
                    return found
        return found


def route_of(op: str, said: Mapping[str, Any]) -> Route:
    """Of the paths of an operation the one that names the most of what is said."""
    routes = [
        one for one in ROUTES if operation_of(one.kind) == op and all(name in said for name in one.named)
    ]
    return max(routes, key=lambda one: len(one.named))


def segment(part: str, said: dict[str, Any]) -> str:
    """A part of a path, with what is said in the place of its name."""
    if not part.startswith("{"):
        return part
    name, _, how = part[1:-1].partition(":")
    return quote(str(said.pop(name)), safe="/" if how == "path" else "")


def token_of(root: Path) -> Path:
    """Where the key of a workspace stands that may ask everything there."""
    return root.parent / f"{root.name}.key"


@asynccontextmanager
async def served_over_tcp(
    root: Path, env: Mapping[str, str], certificate: Path | None = None
) -> AsyncIterator[tuple[str, str]]:
    """The workspace's daemon at a port, its address, and a key that may ask everything."""
    file = root / "assent.toml"
    if "http = " not in (said := file.read_text()):  # else it is another daemon of the same workspace
        serve = f'[serve]\nhttp = "127.0.0.1:{free_port()}"\n'
        said = said.replace("[serve]\n", serve) if "[serve]" in said else said + serve
        file.write_text(
            said + ("" if certificate is None else f'[serve.tls]\ncertificate = "{certificate}"\n')
        )
    async with daemon(root, env) as served:
        scheme = "http" if certificate is None else "https"
        yield served.doors[scheme], token_of(root).read_text()


@dataclass
class Pipe:
    """`assent pipe`, which owns the state itself."""

    peer: Peer
    who = "process_uid"
    _numbers: Any = field(default_factory=lambda: count(1))
    _waiting: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _parts: dict[int, tuple[Asked, list[Any]]] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(cls, root: Path, env: Mapping[str, str], _files: Path) -> AsyncIterator[Pipe]:
        async with AsyncExitStack() as after, piped(root, env) as peer:
            door = cls(peer)
            hearing = spawn(door._hear(), name="what a pipe tells")
            after.push_async_callback(asyncio.wait, {hearing})  # until nobody can tell anything more
            yield door

    async def ask(self, asked: Asked) -> Any:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        if asked.is_stream:
            self._parts[number] = (asked, [])
        params = {**asked._said, **asked._since}
        more = {} if asked.key is None else {"idempotency_key": asked.key}
        frame = asking(number, asked.op, params, token=(asked.token or "").encode(), **more)
        await self._say(frame)
        found = await answer
        if "error" in found:
            error = found["error"]["data"]
            raise Refused(error.pop("family"), error)
        if not asked.is_stream:
            return found["result"]
        _, parts = self._parts.pop(number)
        if asked.op in BYTES:
            return b"".join(msgspec.convert(one["data"], bytes) for one in parts).decode()
        return parts

    async def _say(self, frame: bytes) -> None:
        # Larger ones fill the pipe, and the other end reads in this very loop.
        await asyncio.to_thread(self.peer.say, frame)

    async def _hear(self) -> None:
        with suppress(AssertionError):  # the pipe has ended
            while True:
                heard = await self.peer.hear()
                if heard.get("method") == "part":
                    asked, parts = self._parts[number := heard["params"]["id"]]
                    if asked.most is None or len(parts) < asked.most:
                        parts.append(heard["params"]["part"])
                    if len(parts) == asked.most:
                        said = {"jsonrpc": "2.0", "method": "$/cancel", "params": {"id": number}}
                        await self._say(encode(Frame(json.dumps(said).encode())))
                elif "method" not in heard:
                    # What could not be read is answered without its number.
                    number = heard["id"] if heard["id"] is not None else min(self._waiting)
                    self._waiting.pop(number).set_result(heard)
        for answer in self._waiting.values():
            answer.cancel()


@dataclass
class OfClient:
    """`assent.client`, over the Unix socket."""

    place: str
    programs: AsyncExitStack
    clients: dict[str | None, Client] = field(default_factory=dict)
    who = "peer_uid"

    @classmethod
    @asynccontextmanager
    async def open(cls, root: Path, env: Mapping[str, str], _files: Path) -> AsyncIterator[OfClient]:
        async with daemon(root, env) as served, AsyncExitStack() as programs:
            yield cls(served.doors["socket"], programs)

    async def ask(self, asked: Asked) -> Any:
        client = self.clients.get(asked.token)
        if client is None:
            client = connect(self.place, key=asked.token, patience_s=0)
            self.clients[asked.token] = await self.programs.enter_async_context(client)
        if asked.has_method:
            found = await getattr(client, asked.op)(**asked.arguments())
            return [one.to_json() for one in found] if isinstance(found, list) else found.to_json()
        request = asked.request()
        if isinstance(request, Stream):
            return await drawn(asked, client.stream(request))
        return told_of(request, await client.perform(request, id=asked.key))


@dataclass
class OfSyncClient:
    """`assent.sync.connect`, over HTTP with a key."""

    url: str
    token: str
    programs: AsyncExitStack
    clients: dict[str, sync.Client] = field(default_factory=dict)

    @property
    def who(self) -> str:
        return f"api_key:{self.token[:19]}"

    @classmethod
    @asynccontextmanager
    async def open(cls, root: Path, env: Mapping[str, str], _files: Path) -> AsyncIterator[OfSyncClient]:
        async with served_over_tcp(root, env) as (url, token), AsyncExitStack() as programs:
            yield cls(url, token, programs)

    async def ask(self, asked: Asked) -> Any:
        token = asked.token or self.token
        client = self.clients.get(token)
        if client is None:
            client = sync.connect(self.url, key=token, patience_s=0)
            await asyncio.to_thread(client.__enter__)
            self.clients[token] = client
            self.programs.push_async_callback(asyncio.to_thread, client.__exit__, None, None, None)
        return await asyncio.to_thread(self._ask, client, asked)

    def _ask(self, client: sync.Client, asked: Asked) -> Any:
        if asked.has_method:
            found = getattr(client, asked.op)(**asked.arguments())
            return [one.to_json() for one in found] if isinstance(found, list) else found.to_json()
        request = asked.request()
        if not isinstance(request, Stream):
            return told_of(request, client.perform(request, id=asked.key))
        parts: list[Any] = []
        stream = client.stream(request)
        for part in stream:
            parts.append(part)
            if len(parts) == asked.most:
                break
        stream.close()  # type: ignore[attr-defined]  # a generator
        if asked.op in BYTES:
            return b"".join(one.data for one in parts).decode()
        return [msgspec.to_builtins(one) for one in parts]
