"""An owner that stays: it takes a state directory, drives every run that is there, and serves until it is told to end."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

import msgspec

from assent import system
from assent.engine import together
from assent.errors import AssentError, WorldError
from assent.journal import Lock, OneOf, Ownership, each_row, hold_as_daemon, is_owned, owner_pid
from assent.runtime._core import RESUMED_AT_ONCE, Core
from assent.runtime.schedules import Scheduler
from assent.runtime.service._owner import serve
from assent.runtime.service.service import Service
from assent.runtime.settings.effective import Settings
from assent.spec.ids import RunId
from assent.spec.states import RunState

T = TypeVar("T")

LOGGER: Final = logging.getLogger("assent.serve")

_MOVING: Final = OneOf(tuple(state.value for state in RunState if state.is_moving))

OWNER_S_MAX: Final = 5.0
"""So long an owner that is no daemon has to end: most commands own the state for a moment only."""

RETRY_S: Final = 0.02

LOOK_AGAIN_S: Final = 60.0
"""So often it is looked for runs that nobody drives: a full disk that stopped one may have room again."""


class Daemon:
    """The owner of a state directory: what it has taken it drives and serves as a context, until it lets go of it.

    daemon = Daemon(settings)
    try:
        if await daemon.take(stop):
            async with daemon: …
    finally:
        daemon.release()
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._place: Lock | None = None
        self._ownership: Ownership | None = None
        self._core = Core(settings)
        self._driving: asyncio.Task[None] | None = None
        self._scheduler: Scheduler | None = None
        self._settles = asyncio.Event()
        self._warned: dict[RunId, str] = {}
        self.service = Service(settings, self._core)

    async def take(self, stop: asyncio.Event) -> bool:
        """Become the owner; False where it is told to stop before. `STATE_OWNED` says who is.

        A daemon that is there stays. Any other owner, as a command is for a moment, is waited for, `OWNER_S_MAX` at most.
        """
        state = self.settings.state
        self.settings.create_state()
        self._place = hold_as_daemon(state)
        if self._place is None:
            raise self._owned()
        self._ownership = Ownership.acquire(state)
        if self._ownership is None:
            LOGGER.warning("%s: it has %g s to end", self._owned().message, OWNER_S_MAX)
            self._ownership = await self._await_owner(stop, OWNER_S_MAX)
            if self._ownership is None and not is_owned(state, runtime_dir=self.settings.runtime_dir()):
                # It takes no requests any more, so it is ending: its calls have a while for that.
                self._ownership = await self._await_owner(stop, 2 * self.settings.limits.grace_ms / 1000)
        if self._ownership is None and not stop.is_set():
            raise self._owned()
        return not stop.is_set()

    async def _await_owner(self, stop: asyncio.Event, most_s: float) -> Ownership | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                while not stop.is_set():
                    await asyncio.sleep(RETRY_S)
                    if (ownership := Ownership.acquire(self.settings.state)) is not None:
                        return ownership
        return None

    def release(self) -> None:
        """Let go of the state directory, and of what looking at it has loaded. Calling it twice is harmless."""
        self._core.plugins.close()
        for held in (self._ownership, self._place):
            if held is not None:
                held.release()

    async def __aenter__(self) -> Self:
        assert self._ownership is not None  # INVARIANT: `take` came before
        try:
            await self._core.start(self._ownership, partial(serve, self._core))
            self._core.running.take_over()
            await self._core.running.watch()
        except BaseException:
            await self._core.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop every run where it is, seal the ledger."""
        if self._driving is not None:
            self._driving.cancel()
            await asyncio.wait({self._driving})
        if self._scheduler is not None:
            await self._scheduler.close()
        await self._core.close()

    def hide(self, text: str) -> str:
        """The text with `***` in place of secret values that this process knows."""
        return self._core.secrets.redactor.text(text)

    def drive_on(self) -> None:
        """Go on, as long as this lives, with every run that nobody drives and nobody has to be asked about, and begin those of
        schedules.
        """
        self._scheduler = Scheduler(self._core)
        self._driving = system.spawn(self._drive_on(), name="unfinished runs")
        self._core.watch_sessions()

    async def _drive_on(self) -> None:
        assert self._scheduler is not None  # INVARIANT: `drive_on` made it
        await self._scheduler.start()
        while not self._settles.is_set():
            try:
                await self._drive_all()
            except Exception:
                # Whatever it is, what else is unfinished must not wait for the next start.
                LOGGER.exception("the unfinished runs could not be looked at")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._settles.wait()

    async def _drive_all(self) -> None:
        await (
            self._core.line_up()
        )  # those that have not begun keep their order, and nothing waits for their turn
        runs = [
            RunId(str(row["run_id"]))
            async for row in each_row(self._core.reader, "runs", {"status": _MOVING})
            if not self._core.drives(RunId(str(row["run_id"])))
        ]
        await together(runs, self._drive_one, system.spawn, at_once=RESUMED_AT_ONCE)

    async def _drive_one(self, run: RunId) -> None:
        """One that can't go on here stays as it is until it is looked at again; its reason is told once."""
        try:
            await self._core.resume(run)
        except AssentError as error:
            if self._warned.get(run) != error.code:
                self._warned[run] = error.code
                LOGGER.warning("run `%s` could not go on by itself: %s", run, error)
        else:
            self._warned.pop(run, None)

    def _owned(self) -> WorldError:
        state = self.settings.state
        pid = owner_pid(state, runtime_dir=self.settings.runtime_dir())
        by = f"process {pid}{_named(pid)}" if pid is not None else "another process"
        return WorldError(
            "STATE_OWNED",
            f"{by} owns `{state}`",
            hint="other commands speak to it; end it to serve this state from here",
            details={"pid": pid},
        )

    def drain(self) -> None:
        """Begin no run from now on; what waits to begin stays on record."""
        self._core.running.drain()

    async def settle(self) -> None:
        """Begin no more, and wait until what was begun by itself has come to rest."""
        if self._scheduler is not None:
            await self._scheduler.settle()
        self._settles.set()
        if self._driving is not None:
            await asyncio.wait({self._driving})

    async def reload(self, resolve: Callable[[], Settings]) -> Reloaded:
        """Read again what may change while this lives. What is wrong with one keeps nothing else from being taken over.

        A policy that can't be read denies new steps until it is mended; of all else the old one stays.
        """
        found = Reloaded()
        try:
            self._core.reload_policy()
        except AssentError as error:
            found.kept.append(("policy", error))
        else:
            found.done.append("the policy")
        now: Settings | None = None
        try:
            now = resolve()
            self._core.adopt(now)
        except AssentError as error:
            found.kept.append(("`[identity]`, `[serve.issuers]`, `[serve.rate]`", error))
        else:
            found.done.append("`[identity]`, `[serve.issuers]`, `[serve.rate]`")
        for what, reload in (
            ("`[mcp]`", self._core.reload_servers),
            ("`[app]`", self._core.reload_configuration),
        ):
            try:
                await reload()
            except AssentError as error:
                if not any(str(error) == str(one) for _, one in found.kept):
                    found.kept.append((what, error))
            else:
                found.done.append(what)
        if now is not None:
            found.later += _differing(self.settings, now)
        return found


class Reloaded(msgspec.Struct):
    """What became of reading anew: what is in force, what stayed as it was and why, and which settings wait for a start."""

    done: list[str] = []
    kept: list[tuple[str, AssentError]] = []
    later: list[str] = []


def _differing(before: Settings, now: Settings) -> list[str]:
    said, held = (
        {one.name: one.value for one in settings.effective if one.name != "app"} for settings in (now, before)
    )
    return sorted(name for name in said.keys() | held.keys() if said.get(name) != held.get(name))


def _named(pid: int) -> str:
    """What was typed to start a process, in brackets, as far as the system says."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return f" ({' '.join(_plain(words))})" if any(words) else ""
    return ""


def _plain(words: list[bytes]) -> Iterator[str]:
    for word in words[:6]:
        text = os.path.basename(os.fsdecode(word)) if b"/bin/" in word else os.fsdecode(word)  # noqa: PTH119
        if text:
            yield "".join(char if char.isprintable() else "?" for char in text[:40])
