"""The runtime that a program opens: the owner of its state, or a client of the process that is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial, wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import msgspec
from msgspec.structs import replace

from assent import system
from assent.engine import Preparing, Progress, RunResult, Said
from assent.errors import AssentError, InputError, Json, RefusedError, WorldError
from assent.invocation import Hook
from assent.journal import SILENCE_S_MAX, JournalReader, Link, OwnerGoneError, own_or_link
from assent.policy import PolicyEngine
from assent.runtime._ledger import LedgerReader, open_reader
from assent.runtime._runtime import Runtime as Owning
from assent.runtime._runtime import Who, absent, literal
from assent.runtime.runs._loading import WorkflowSource, load_workflow
from assent.runtime.runs._session import Session
from assent.runtime.service import answers, requests
from assent.runtime.service._asking import to_owner
from assent.runtime.service._owner import serve
from assent.runtime.service._owning import NOT_HERE
from assent.runtime.service._reading import Reader
from assent.runtime.service.answers import RunEvent
from assent.runtime.service.requests import Events
from assent.runtime.service.service import Service
from assent.runtime.settings.effective import Settings
from assent.spec.events.kinds import AnyEvent
from assent.spec.ids import RunId
from assent.spec.states import Resolution
from assent.spec.workflow.inputs import json_object

P = ParamSpec("P")
T = TypeVar("T")


class Client:
    """The methods of a runtime, asked of the owner. Each raises `OwnerGoneError` when there is none any more."""

    def __init__(self, runtime: Owning, link: Link, reader: LedgerReader) -> None:
        self._runtime = runtime
        self._link = link
        self._streams: set[Link] = set()
        self._is_closed = False
        self.reader = reader

    async def close(self) -> None:
        """Let go of the owner; what it has begun goes on."""
        self._is_closed = True
        for link in (self._link, *self._streams):
            await link.close()
        self.reader.close()

    async def run(
        self,
        workflow: WorkflowSource,
        inputs: Mapping[str, Json] | None = None,
        *,
        principal: Who = None,
        environment: str | None = None,
    ) -> RunResult:
        """The workflow is read here, and its files with it."""
        spec, given = load_workflow(workflow), {} if inputs is None else inputs
        given = json_object(given, code="INPUT_INVALID", of="the inputs of the workflow")
        environment = environment or self._runtime.settings.environment
        asked = requests.Run(text=json.dumps(spec.to_json()), inputs=given, environment=environment)
        return await self._run(asked, principal)

    async def call(
        self,
        capability: str,
        parameters: Mapping[str, Json] | None = None,
        *,
        principal: Who = None,
        environment: str | None = None,
        hooks: Iterable[Hook] = (),
    ) -> RunResult:
        """`CAPABILITY_ABSENT` for what is registered here alone."""
        _require_no(hooks)
        asked = requests.Call(
            capability=capability,
            parameters=literal(capability, parameters),
            environment=environment or self._runtime.settings.environment,
        )
        try:
            return await self._run(asked, principal)
        except AssentError as error:
            if error.code in NOT_HERE and self._is_registered(capability):
                fault = f"`{capability}` is registered in this process only, and another one owns the state"
                raise absent(fault) from error
            raise

    async def session(self, *, principal: Who = None, environment: str | None = None) -> Session:
        """The owner holds the session; its steps are asked of it."""
        environment = environment or self._runtime.settings.environment
        answer = await self._ask(requests.OpenSession(environment=environment), principal)
        run = RunId(str(answer["run_id"]))

        # Asked of the runtime: the session goes on with the next owner, which may be this process.
        runtime = self._runtime
        return Session(
            run,
            partial(runtime.add_step, run),
            partial(runtime.close_session, run),
            partial(runtime.cancel, run, principal=principal),
        )

    async def add_step(
        self, run: str, capability: str, parameters: Mapping[str, Json], hooks: Iterable[Hook] = ()
    ) -> RunResult:
        _require_no(hooks)
        asked = requests.AddStep(run=run, capability=capability, parameters=literal(capability, parameters))
        return await self._run(asked, None)

    async def close_session(self, run: str) -> RunResult:
        return await self._run(requests.CloseSession(run=run), None)

    async def approve(
        self, run: str, step: str | None = None, *, principal: Who = None, digest: str | None = None
    ) -> RunResult:
        return await self._run(requests.Approve(run=run, step=step, digest=digest), principal)

    async def reject(
        self,
        run: str,
        step: str | None = None,
        *,
        reason: str = "",
        principal: Who = None,
        digest: str | None = None,
    ) -> RunResult:
        return await self._run(requests.Reject(run=run, step=step, digest=digest, reason=reason), principal)

    async def cancel(self, run: str, *, principal: Who = None) -> RunResult:
        return await self._run(requests.Cancel(run=run), principal)

    async def undo(self, run: str, *, partial: bool = False, principal: Who = None) -> RunResult:
        return await self._run(requests.Undo(run=run, partial=partial), principal)

    async def resolve(
        self,
        run: str,
        step: str,
        resolution: Resolution | str,
        *,
        output: Json = None,
        principal: Who = None,
    ) -> RunResult:
        word: Any = Resolution(
            resolution
        ).value  # `Any`: the request lists the words, which are those of the enum
        return await self._run(
            requests.Resolve(run=run, step=step, resolution=word, output=output), principal
        )

    async def resume(self, run: str | None = None) -> list[RunResult]:
        answer = await self._ask(requests.Resume(run=run), None)
        return [RunResult.from_json(result) for result in answer["results"]]

    async def erase(self, run: str, *, principal: Who = None) -> int:
        answer = await self._ask(requests.Erase(run=run), principal)
        return int(answer["erased"])

    async def show(self, run: str) -> RunResult:
        """From the record, which needs no owner's time."""
        return await asyncio.to_thread(_shown, self._runtime.settings, run)

    # -- inside --------------------------------------------------------------------------------------------------------------

    async def stream(self, request: requests.Events) -> AsyncIterator[RunEvent]:
        """On a connection of its own: whoever reads slowly holds up nothing else."""
        runtime = self._runtime
        settings = runtime.settings
        place = await Link.open(
            settings.state,
            runtime_dir=settings.runtime_dir(),
            spawn=system.spawn,
            silence_s=SILENCE_S_MAX,
        )
        if place is None:
            raise OwnerGoneError
        self._streams.add(place)
        try:
            if self._is_closed:
                raise OwnerGoneError
            async for part in place.parts(to_owner(request, requests.asker_of(settings))):
                yield msgspec.convert(part, RunEvent)
        finally:
            self._streams.discard(place)
            await place.close()

    async def _run(self, request: requests.Request[answers.Run], principal: Who) -> RunResult:
        return RunResult.from_json(await self._ask(request, principal))

    async def _ask(self, request: requests.Request[Any], principal: Who) -> dict[str, Any]:
        """What the owner answers, as it travels (hence `Any`)."""
        runtime = self._runtime
        actor = runtime.actor(principal)
        if actor.principal.roles != runtime.settings.roles.get(str(actor.principal), frozenset()):
            raise RefusedError(
                "IDENTITY_REFUSED",
                f"the owner of the state gives `{actor.principal}` the roles that are configured, and no others",
                hint="write them in assent.toml",
            )
        by = requests.Asker(principal=str(actor.principal), asserted=actor.asserted)
        listener = runtime.listener
        tell = None if listener is None else _heard_by(listener)
        return await self._link.ask(to_owner(request, by, tell, runtime.digests))

    def _is_registered(self, reference: str) -> bool:
        try:
            self._runtime.registry.resolve(reference)
        except InputError:
            return False
        return True


def _shown(settings: Settings, run: str) -> RunResult:
    with Reader.open(settings) as reader:
        return RunResult.from_json(reader.show(run))


def _require_no(hooks: Iterable[Hook]) -> None:
    if [*hooks]:
        raise InputError(
            "HOOKS_LOCAL",
            "hooks of one call can't be handed to the process that owns the state",
            hint="register them in that process, with `rt.hooks`",
        )


def _heard_by(listener: Progress) -> Callable[[dict[str, Any]], None]:
    def hear(report: dict[str, Any]) -> None:
        if "run" in report:
            event: AnyEvent | Preparing | Said = msgspec.convert(report["event"], AnyEvent | Preparing | Said)
            listener(RunId(report["run"]), report["n"], report["at_ms"], event)

    return hear


def _or_forwarded(
    method: Callable[Concatenate[Owning, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Runtime, P], Coroutine[Any, Any, T]]:
    """A runtime's method that its owner carries out where the runtime is a client; `Client` has it under the same name.

    An owner that has ended before it took the request is followed by this process, or by another one that was quicker.
    """

    @wraps(method)
    async def either(self: Runtime, /, *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            client = self._client  # the decorator is a part of the class
            if client is None:
                return await method(self, *args, **kwargs)
            forwarded: Callable[P, Awaitable[T]] = getattr(client, method.__name__)
            try:
                return await forwarded(*args, **kwargs)
            except OwnerGoneError:
                await self._follow(client)

    return either


class Runtime(Owning):
    """Everything that governs and performs runs in one workspace.

        async with Runtime.open(workspace="project") as rt:
            result = await rt.run("release.yaml", {"version": "1.2.0"})

    `run`, `call`, `approve` … raise only what is the caller's to mend (an unknown run, a workflow that can't be loaded); how
    a run ended, denied and failed ones included, is in the `RunResult`.
    """

    def __init__(self, settings: Settings, *, policy: PolicyEngine | None = None) -> None:
        super().__init__(settings, policy=policy)
        self._client: Client | None = None
        self._following = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Take the state directory and serve it, or become a client of the process that has it.

        While it owns it, what waits for an approval is rejected when the time for that has passed, whoever left it waiting.
        `STATE_OWNED` when the owner can't be reached, `PROTOCOL_MISMATCH`.
        """
        try:
            await self._take_place()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop every run where it is, seal the ledger, release the state directory."""
        await self.close()

    async def _take_place(self) -> None:
        settings = self.settings
        settings.create_state()
        place = await own_or_link(
            settings.state, runtime_dir=settings.runtime_dir(), spawn=system.spawn, silence_s=SILENCE_S_MAX
        )
        if isinstance(place, Link):
            self._exit.push_async_callback(place.close)
            self.prepare_to_plan()
            self._client = Client(self, place, open_reader(settings.state))
            self._exit.push_async_callback(self._client.close)
            return
        self._exit.callback(place.release)
        await self.start(place, partial(serve, self))
        await self._running.watch()
        self._client = None

    async def close(self) -> None:
        """Stop every run where it is, seal the ledger, release the state directory; of a client's runs nothing is stopped."""
        self._client = None  # whoever is told that its connection has ended looks for no other owner
        await super().close()

    async def _follow(self, client: Client) -> None:
        """The owner that this was a client of has ended: take its place, or find who did, unless this was closed."""
        async with self._following:
            if self._client is client:
                await self._take_place()

    @property
    def _reader(self) -> JournalReader:
        return self._client.reader if self._client is not None else super()._reader

    run = _or_forwarded(Owning.run)
    call = _or_forwarded(Owning.call)
    session = _or_forwarded(Owning.session)
    add_step = _or_forwarded(Owning.add_step)
    close_session = _or_forwarded(Owning.close_session)
    approve = _or_forwarded(Owning.approve)
    reject = _or_forwarded(Owning.reject)
    cancel = _or_forwarded(Owning.cancel)
    undo = _or_forwarded(Owning.undo)
    resolve = _or_forwarded(Owning.resolve)
    resume = _or_forwarded(Owning.resume)
    erase = _or_forwarded(Owning.erase)
    show = _or_forwarded(Owning.show)

    def events(self, run: str, since: int = 0) -> AsyncIterator[RunEvent]:
        """What happens to a run from its event number `since` on, each event once it is durable, whoever drives the run.

        Ends when nothing more comes of the run by itself: it has ended, or needs attention. `RUN_UNKNOWN`.
        """
        return self._events(Events(run=run, since=since))

    async def _events(self, request: Events) -> AsyncIterator[RunEvent]:
        since = request.since
        while True:
            client = self._client
            asked = replace(request, since=since)
            parts = Service(self.settings, self).stream(asked) if client is None else client.stream(asked)
            try:
                async for event in parts:
                    yield event
                    since = event.n + 1
            except OwnerGoneError:
                assert client is not None  # INVARIANT: only a client's owner goes
                await self._follow(client)
            except WorldError as error:
                # The events that are missing are on record, and the next owner tells of those to come.
                if error.code != "OWNER_LOST" or client is None:
                    raise
                await self._follow(client)
            else:
                return

    async def wait(self, run: str) -> RunResult:
        """Wait until a run has ended or needs attention, whoever drives it, and tell how it stands. Drives nothing itself.

        A run that waits for a person is waited for; `asyncio.timeout` bounds that.
        """
        ident = await self.find(run)
        async for _ in self.events(ident):
            pass
        return await self.show(ident)
