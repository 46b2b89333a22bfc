"""The programs of one runtime: the operator's rules, the sandbox behind them, and what was written and is not applied yet."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from assent.capabilities.exec._folders import ENDED, LAYER, Folders, remove
from assent.capabilities.exec._output import STREAMS, Output
from assent.capabilities.exec._rules import Permit, ProgramRule, permit
from assent.capabilities.exec._stamp import Stamp, other_names, stamp_of
from assent.capabilities.fs.world._faults import not_a_directory
from assent.capabilities.fs.world._paths import TEMPORARY
from assent.errors import AssentError, Json, WorldError, is_full
from assent.invocation import LocalContext, NoEffectError
from assent.journal import read_plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from assent.sandbox import Capture, Child, Ended, NetworkScope, Sandbox, SandboxLimits

T = TypeVar("T")

_NEVER_RAN: Final = frozenset({"SANDBOX_UNAVAILABLE", "SANDBOX_FAILED", "SANDBOX_INVALID", "SANDBOX_PROGRAM"})


@dataclass(frozen=True, slots=True)
class Command:
    """One program to run, as a caller asks for it. `environment` holds no references any more."""

    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    stdin: str | None
    timeout_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A program with all that it is given. What it writes to `root` goes to the layer of its folder."""

    program: str
    arguments: tuple[str, ...]
    root: Path
    environment: Mapping[str, str]
    limits: SandboxLimits
    cwd: str = "."
    stdin: str | None = None
    read_only: tuple[Path, ...] = ()
    network: bool = False
    scope: NetworkScope | None = None
    """Where the network ends; None: nowhere."""
    told: tuple[str, ...] = STREAMS
    """The streams whose lines whoever watches is told: one that is the program's work is none of them."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that ended, and the folder with what came out of it."""

    exit_code: int | None
    signal: int | None
    limit: str | None
    cpu_ms: int
    memory_bytes: int
    wall_ms: int
    folder: Path
    may_act: bool
    left_scope: int = 0
    left_for: tuple[str, ...] = ()

    def told(self) -> dict[str, Json]:
        """How it ended, as the output tells it."""
        used: dict[str, Json] = {
            "cpu_ms": self.cpu_ms,
            "memory_bytes": self.memory_bytes,
            "wall_ms": self.wall_ms,
        }
        return {"exit_code": self.exit_code, "signal": self.signal, "used": used}


@dataclass(slots=True)
class _Turn:
    """Who has a capture, and how many have it or wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Programs:
    """Runs programs for calls. Making one costs nothing: the sandbox comes with the first program.

    `home` is a private folder of the state directory, made when it is needed: what was shown and is not applied is kept there for
    `expiry_ms`. `hidden` is what no program sees.
    """

    def __init__(
        self,
        rules: Sequence[ProgramRule],
        *,
        workspace: Path,
        home: Path,
        hidden: Sequence[Path],
        environ: Mapping[str, str],
        sandbox: Callable[[], Sandbox],
        limits: Callable[[], SandboxLimits],
        now_ms: Callable[[], int],
        expiry_ms: int,
    ) -> None:
        self.rules: Final = tuple(rules)
        self.workspace: Final = workspace
        self._folders = Folders(home, remove, now_ms=now_ms, expiry_ms=expiry_ms)
        self._hidden = tuple(hidden)
        self._environ = environ
        self._detect = sandbox
        self.limits: Final = limits
        self._sandbox: Sandbox | None = None
        self._turns: dict[str, _Turn] = {}

    def close(self) -> None:
        """End what still runs; harmless when nothing does."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.close()

    def permit(self, command: Command, principal: str) -> Permit:
        """The permit to run this; `NoEffectError` PROGRAM_NOT_ALLOWED, PROGRAM_MISSING, ENVIRONMENT_NOT_ALLOWED."""
        return permit(
            self.rules,
            command.argv,
            command.environment,
            principal=principal,
            workspace=self.workspace,
            own=self._environ,
        )

    @asynccontextmanager
    async def run(self, context: LocalContext, command: Command, *, may_act: bool) -> AsyncIterator[Ran]:
        """Run a program whose writes nobody wants; what came out of it is there until the block is left.

        `may_act` is what was journaled: a rule that opens the network later opens it for later calls.
        """
        allowed = self.permit(command, str(context.principal))
        if not (may_act or await self.is_confined()):
            raise without_walls(
                "the walls around programs, which stood when the call was prepared, do not stand now"
            )
        async with self.folder() as folder:
            with disk_told(may_act=may_act):
                ran = await self._run(context, command, allowed, folder, may_act=may_act)
            yield ran

    @asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """A folder of the state for one program, which goes with all that is in it when the block is left."""
        with disk_told(may_act=False):
            folder = await in_thread(self._folders.make)
        try:
            yield folder
        finally:
            await in_thread(partial(self._folders.discard, folder))

    async def _run(
        self, context: LocalContext, command: Command, allowed: Permit, folder: Path, *, may_act: bool
    ) -> Ran:
        if ".." not in command.cwd.split("/") and not (self.workspace / command.cwd).is_dir():
            raise not_a_directory(command.cwd)
        limits = self.limits()
        if command.timeout_s is not None:
            limits = replace(limits, wall_s=min(limits.wall_s, command.timeout_s))
        job = Job(
            program=allowed.program,
            arguments=command.argv[1:],
            root=self.workspace,
            environment=allowed.environment,
            limits=limits,
            cwd=command.cwd,
            stdin=command.stdin,
            read_only=allowed.rule.read_only,
            network=may_act and allowed.rule.network,
        )
        return await self.run_job(context, job, folder, may_act=may_act)

    async def run_job(self, context: LocalContext, job: Job, folder: Path, *, may_act: bool) -> Ran:
        """Run a program to its end in such a folder; what it printed and wrote is there afterwards.

        Raises what the sandbox raises, as `NoEffectError` where the program could not act or never ran.
        """
        from assent.sandbox import Confinement

        layer = folder / LAYER
        layer.mkdir()
        confinement = Confinement(
            root=job.root,
            layer=layer,
            hidden=(*self._hidden, *await in_thread(partial(other_names, job.root, self._hidden))),
            unfinished=TEMPORARY,
            read_only=job.read_only,
            network=job.network,
            scope=job.scope,
            environment=job.environment,
            cwd=job.cwd,
            limits=job.limits,
        )
        output = Output(context, folder, told=job.told)
        loop = asyncio.get_running_loop()

        def stoppable(child: Child) -> None:
            context.cancel.watch(lambda: loop.call_soon_threadsafe(child.kill))

        try:
            sandbox = await self.sandbox()
            ended: Ended = await sandbox.run(
                [job.program, *job.arguments],
                confinement,
                stdin=None if job.stdin is None else job.stdin.encode(),
                on_output=output.take,
                on_start=stoppable,
            )
        except AssentError as error:
            if may_act and error.code not in _NEVER_RAN:
                raise
            raise without_effect(error) from error
        finally:
            context.cancel.watch(_do_nothing)
            output.close()
        return Ran(
            exit_code=ended.exit_code,
            signal=ended.signal,
            limit=ended.limit,
            cpu_ms=ended.usage.cpu_ms,
            memory_bytes=ended.usage.memory_bytes,
            wall_ms=ended.usage.wall_ms,
            folder=folder,
            may_act=may_act,
            left_scope=ended.left_scope,
            left_for=ended.left_for,
        )

    async def is_confined(self) -> bool:
        """Whether walls stand around programs here, and not only the operator's word that none are needed.

        Raises `NoEffectError` SANDBOX_UNAVAILABLE.
        """
        return (await self.sandbox()).holds.is_confined

    async def sandbox(self) -> Sandbox:
        """The sandbox; `NoEffectError` SANDBOX_UNAVAILABLE where nothing holds and nobody has switched it off by name."""
        try:
            if self._sandbox is None:
                self._sandbox = await in_thread(self._detect)
            self._sandbox.require()
        except AssentError as error:
            raise without_effect(error) from error
        return self._sandbox

    @asynccontextmanager
    async def captured(
        self, context: LocalContext, command: Command, *, keep: bool
    ) -> AsyncIterator[tuple[Ran, Capture, Stamp | None]]:
        """Run a program and look at what it wrote; it has no network, so nothing else can have come of it.

        What was shown is what is applied: a capture that is kept (`keep`) is used again for the same program, permit and
        workspace, until one that is not kept takes it, the runs that it was shown for have ended, or it expires. A program that
        was ended, that failed, or whose writes can't be taken over is not kept. The stamp is of the workspace from before the
        program began.
        """
        allowed = self.permit(command, str(context.principal))
        sandbox = await self.sandbox()
        if not sandbox.holds.is_confined:
            raise without_walls("what a program writes can't be captured where nothing confines it")
        async with self._turn(command, allowed, context.key) as (name, stamp):
            with disk_told(may_act=False):
                async with self._capture(context, command, allowed, name, keep=keep) as (found, capture):
                    yield found, capture, stamp

    @asynccontextmanager
    async def _capture(
        self, context: LocalContext, command: Command, allowed: Permit, name: str, *, keep: bool
    ) -> AsyncIterator[tuple[Ran, Capture]]:
        """The capture of this name, of a program that ran before or runs now."""
        sandbox = await self.sandbox()
        kept, is_kept = await in_thread(partial(self._kept, name)), False
        folder = kept.folder if kept else await in_thread(partial(self._folders.make, name))
        try:
            found = kept or await self._run(context, command, allowed, folder, may_act=False)
            yield found, await in_thread(partial(sandbox.captured, folder / LAYER))
            if keep and found.exit_code == 0 and found.limit is None:
                how = None if kept else _told(found)
                await in_thread(partial(self._folders.keep, folder, how, run=str(context.run)))
                is_kept = True
        finally:
            if not is_kept:
                await in_thread(partial(self._folders.discard, folder))

    def _kept(self, name: str) -> Ran | None:
        """The capture of this name, held; None when there is none, or not all of it."""
        folder = self._folders.hold(name)
        if folder is None:
            return None
        with suppress(OSError, ValueError, TypeError, RecursionError):
            return Ran(**json.loads(read_plain(folder / ENDED)), folder=folder)
        self._folders.discard(folder)
        return None

    @asynccontextmanager
    async def _turn(
        self, command: Command, allowed: Permit, key: str
    ) -> AsyncIterator[tuple[str, Stamp | None]]:
        """Inside, nobody else has the capture of this program on this state of the workspace; its name, and that state."""
        while True:
            stamp = await in_thread(self._stamp)
            name = self._name(command, allowed, key if stamp is None else stamp.digest)
            turn = self._turns.setdefault(name, _Turn())
            has_waited = turn.users > 0
            turn.users += 1
            try:
                async with turn.lock:
                    if has_waited and stamp is not None and await in_thread(self._stamp) != stamp:
                        continue  # whoever was before us has changed the workspace: ours is another capture
                    yield name, stamp
                    return
            finally:
                turn.users -= 1
                if not turn.users:
                    del self._turns[name]

    def _stamp(self) -> Stamp | None:
        return stamp_of(self.workspace, frozenset(map(str, self._hidden)))

    def _name(self, command: Command, allowed: Permit, state: str) -> str:
        """What the capture of a program on this state of the workspace is called."""
        told = [
            allowed.program,
            *command.argv,
            command.cwd,
            command.stdin,
            sorted(allowed.environment.items()),
            command.timeout_s,
            [str(path) for path in allowed.rule.read_only],
            state,
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@contextmanager
def disk_told(*, may_act: bool) -> Iterator[None]:
    """Inside, what the state's disk refuses is told as such: DISK_FULL, STORAGE_FAILED. Without a way to act nothing was done."""
    try:
        yield
    except OSError as error:
        kind: type[AssentError] = WorldError if may_act else NoEffectError
        if is_full(error):
            message = (
                "the disk that holds the state is full: what the program writes and prints is kept there"
            )
            raise kind("DISK_FULL", message, hint="free some space and try again") from error
        reason = (error.strerror or str(error)).lower()
        message = f"what the program writes and prints can't be kept in the state: {reason}"
        raise kind("STORAGE_FAILED", message, hint="check the disk that holds the state") from error


def _do_nothing() -> None:
    pass


async def in_thread(function: Callable[[], T]) -> T:
    """What a function that blocks gives; a thread of the loop's own runs it."""
    answer: Awaitable[T] = asyncio.get_running_loop().run_in_executor(None, function)
    return await answer


def without_walls(message: str) -> NoEffectError:
    return NoEffectError(
        "SANDBOX_UNAVAILABLE",
        message,
        hint="`assent doctor` shows which walls stand, and what is missing for the others",
    )


def without_effect(error: AssentError) -> NoEffectError:
    return NoEffectError(error.code, error.message, path=error.path, hint=error.hint, details=error.details)


def _told(ran: Ran) -> str:
    return json.dumps({name: getattr(ran, name) for name in ran.__dataclass_fields__ if name != "folder"})
