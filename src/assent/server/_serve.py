"""`assent serve`: the owner of a state directory with its doors, from the first socket to the last answer."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from uvicorn import Config

from assent import system
from assent.errors import AssentError, InputError
from assent.runtime.service.daemon import Daemon
from assent.runtime.settings._serve import is_loopback, split_address
from assent.server._app import METRICS_DOOR, Agents, Api
from assent.server._door import Door
from assent.server._exchanges import Heard, JsonLog, Listener, TextLog, heard
from assent.server._protocol import Connection
from assent.server._sockets import connections_that_fit, handed_over, listen_tcp, listen_unix, notify
from assent.server.who import Gatehouse
from assent.server.who.tls import server_context

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from assent.runtime.service.service import Service
    from assent.runtime.settings._serve import ServeSettings
    from assent.runtime.settings.effective import Settings

_OF_TLS: Final = frozenset({"serve.tls.key", "serve.tls.authorities", "serve.tls.socket"})

CLOSING_S: Final = 2.0
"""How long answers under way have to be taken once nothing more is begun."""


class Served(msgspec.Struct, frozen=True):
    """A door that is open: `socket`, `http`, `https` or `metrics`, and where."""

    door: str
    address: str


class Listening(NamedTuple):
    """The same before it is open, with the socket that listens there."""

    door: str
    address: str
    socket: socket.socket


class Doors:
    """The open doors of one application."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._settings = settings
        self._config = Config(
            app, http=Connection, ws="none", lifespan="off", log_config=None, log_level="error", access_log=False,
            server_header=False, proxy_headers=False, timeout_keep_alive=max(1, settings.idle_ms // 1000),
        )  # fmt: skip
        self._config.load()
        self._tls = None if settings.tls is None else server_context(settings.tls)
        self._doors: dict[str, Door] = {}

    def open(self, place: Listening) -> None:
        """Take connections."""
        settings = self._settings
        self._doors[place.door] = door = Door(
            place.socket,
            lambda connections: Connection(self._config, connections, settings, place.door),
            most=settings.connections,
            tls=self._tls if _is_tls(place.door, settings) else None,
            # A handshake is the beginning of a request, and has no more time.
            handshake_s=settings.request_ms / 1000,
        )
        door.open()

    def counts(self) -> dict[str, int]:
        """How many connections each has."""
        return {name: door.count for name, door in self._doors.items()}

    def close(self) -> None:
        """Take no more connections, and end each as soon as it has its answer."""
        for door in self._doors.values():
            door.close()

    async def wait_closed(self, within_s: float) -> None:
        """Until every connection has ended; those that have not within the time are hung up on."""
        if tasks := [task for door in self._doors.values() for task in door.answering]:
            await asyncio.wait(tasks, timeout=within_s)
        for door in self._doors.values():
            await door.hang_up()


class Told:
    """What a daemon is told from outside, as signals do: to end, and to read its policy again."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.reload = asyncio.Event()

    def by_signals(self) -> None:
        """SIGTERM and SIGINT end it, SIGHUP has it read again; for the main thread alone."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload.set)


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon is given by whoever starts it."""

    environ: Mapping[str, str]
    resolve: Callable[[], Settings]
    """Reads the settings anew."""
    ready: Callable[[list[Served]], None]
    """Is told of the doors once they are open."""
    note: Callable[[str], None]
    """Is told what happens."""
    fault: Callable[[Exception], AssentError]
    """Says what is told of an error of our own."""
    agents: Callable[[Service, int], Agents] | None = None
    """Makes what answers `/mcp`, given the most bytes of a request."""


async def serve(settings: Settings, told: Told, outside: Outside) -> None:
    """Own the state and serve until told to stop.

    `STATE_OWNED`, `DOOR_TAKEN`, `CONFIG_INVALID`, and whatever keeps a runtime from starting.
    """
    daemon = Daemon(settings)
    listeners: list[Listener] = []
    note = outside.note
    with ExitStack() as opened:
        opened.callback(daemon.release)
        if settings.serve.log == "json":
            log = opened.enter_context(heard(JsonLog(outside.note, daemon.hide)))
            listeners.append(log.request)
            note = log.note
        else:
            opened.enter_context(heard(TextLog(outside.note, daemon.hide)))
        if not await daemon.take(told.stop):
            return
        places = _listening(settings, outside.environ, opened)
        async with daemon:
            await _serve(daemon, places, told, msgspec.structs.replace(outside, note=note), listeners)


async def _serve(
    daemon: Daemon, places: list[Listening], told: Told, outside: Outside, listeners: list[Listener]
) -> None:
    settings, environ, note = daemon.settings, outside.environ, outside.note
    service = daemon.service
    gatehouse = Gatehouse(settings, note=service.note_stranger, is_offered=service.is_offered)
    api = Api(service, gatehouse, settings.serve, system.spawn, outside.fault)
    if outside.agents is not None:
        api.let_agents_in = partial(outside.agents, service, settings.serve.body_bytes)
    if settings.serve.metrics:
        from assent.server._figures import Measuring

        api.measure = Measuring(
            lambda: doors.counts(),  # noqa: PLW0108 - made below
            lambda: api.streams,
            gatehouse.rates.refused,
        )
        listeners.append(api.measure.add)
    most = connections_that_fit(settings.serve.connections, len(places))
    if most < settings.serve.connections:
        note(
            f"each door takes {most} connections: the limit on open files (`ulimit -n`) leaves no room for more"
        )
    limited = msgspec.structs.replace(settings.serve, connections=most)
    doors = Doors(Heard(api, listeners) if listeners else api, limited)
    for place in places:
        doors.open(place)
    outside.ready([Served(place.door, place.address) for place in places])
    notify(environ, "READY=1")
    note("ready; SIGTERM or Ctrl-C ends it")
    daemon.drive_on()
    await _until_stopped(daemon, gatehouse, told, outside, api)
    notify(environ, "STOPPING=1")
    note("draining: nothing more is begun")
    daemon.drain()
    api.drain()
    with suppress(TimeoutError):
        async with asyncio.timeout(settings.serve.drain_ms / 1000):
            await api.settle()
            await daemon.settle()
    await api.hang_up()
    doors.close()
    await doors.wait_closed(CLOSING_S)


async def _until_stopped(
    daemon: Daemon, gatehouse: Gatehouse, told: Told, outside: Outside, api: Api
) -> None:
    while not told.stop.is_set():
        await _either(told.stop, told.reload)
        if told.reload.is_set() and not told.stop.is_set():
            told.reload.clear()
            notify(outside.environ, f"RELOADING=1\nMONOTONIC_USEC={system.SystemClock().monotonic_us()}")
            outside.note(await _reloaded(daemon, gatehouse, outside.resolve))
            await api.reloaded()
            notify(outside.environ, "READY=1")


async def _either(*events: asyncio.Event) -> None:
    waits = [system.spawn(one.wait(), name="signal") for one in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _reloaded(daemon: Daemon, gatehouse: Gatehouse, resolve: Callable[[], Settings]) -> str:
    found = await daemon.reload(resolve)
    gatehouse.rates.hold(daemon.settings.serve.rates)
    told = [f"reloaded {', '.join(found.done)}"] if found.done else []
    told += [f"{what} not reloaded: {error}" for what, error in found.kept]
    if found.later:
        told.append(f"from the next start on: {', '.join(found.later)}")
    return "; ".join(told)


def _listening(settings: Settings, environ: Mapping[str, str], sockets: ExitStack) -> list[Listening]:
    """Each door that is configured or handed over, with the socket that listens there; `sockets` closes what is left of them."""
    _require_certificate(settings)
    given, serve_ = handed_over(environ), settings.serve
    door = "http" if serve_.tls is None else "https"
    for one in given.values():
        sockets.enter_context(one)
    found: list[Listening] = []
    if "socket" in given:
        found.append(Listening("socket", str(given["socket"].getsockname()), given["socket"]))
    else:
        path = settings.api_socket()
        found.append(Listening("socket", path, sockets.enter_context(listen_unix(path))))
    if "http" in given:
        host, port, *_ = given["http"].getsockname()
        _require_local(host, settings)
        found.append(Listening(door, f"{door}://{host}:{port}", given["http"]))
    elif serve_.http is not None:
        host, port = split_address(serve_.http)
        _require_local(host, settings)
        listening = sockets.enter_context(listen_tcp(host, port))
        found.append(Listening(door, f"{door}://{serve_.http}", listening))
    if isinstance(serve_.metrics, str):
        listening = sockets.enter_context(listen_tcp(*split_address(serve_.metrics)))
        found.append(Listening(METRICS_DOOR, f"http://{serve_.metrics}/metrics", listening))
    return found


def _is_tls(door: str, settings: ServeSettings) -> bool:
    return door == "https" or (door == "socket" and settings.tls is not None and settings.tls.socket)


def _require_certificate(settings: Settings) -> None:
    """Whoever sets up TLS and forgets the certificate must not find a door without it."""
    for one in settings.effective if settings.serve.tls is None else ():
        if one.name in _OF_TLS and one.value:
            raise InputError(
                "CONFIG_INVALID",
                f"`{one.name.rpartition('.')[2]}` under `[serve.tls]` needs a `certificate`",
                path=one.source,
            )


def _require_local(host: str, settings: Settings) -> None:
    if not is_loopback(host) and not (settings.serve.remote and settings.serve.tls is not None):
        raise InputError(
            "CONFIG_INVALID",
            f"`http` would let other machines reach `{host}`",
            path=str(settings.config_path or "assent.toml"),
            hint="use `127.0.0.1`, or set `remote = true` and a `certificate` under `[serve.tls]`",
        )
