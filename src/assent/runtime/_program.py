"""The runtime that a program opens: the owner of its state, or a client of the process that is."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import AbstractContextManager, AsyncExitStack
from functools import cache, cached_property, partial, wraps
from inspect import signature
from operator import itemgetter
from pathlib import Path
from types import ModuleType, NoneType, TracebackType
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Final,
    Literal,
    ParamSpec,
    Self,
    TypeVar,
    Unpack,
    get_args,
    get_origin,
    overload,
)

import msgspec
from msgspec.structs import fields, replace

from assent import system
from assent.engine import OwnerNeededError, Plan, RunResult, not_a_session, session_closed
from assent.errors import AssentError, InputError, Json, RefusedError, WorldError
from assent.invocation import Capability, Snapshot
from assent.invocation.context.telling import Listener, News, Preparing, Said, listener_here, telling
from assent.journal import SILENCE_S_MAX, Link, OwnerGoneError, own_or_link
from assent.journal import Request as OwnerRequest
from assent.policy import PolicyEngine
from assent.registry import CapabilityRegistry
from assent.runtime._core import Core, absent
from assent.runtime._find_run import get_run
from assent.runtime._ledger import LedgerReader, open_reader
from assent.runtime._parts import Who, literal
from assent.runtime.capabilities._registered import Registration
from assent.runtime.capabilities._versions import Labelled
from assent.runtime.runs._loading import load_workflow
from assent.runtime.runs._session import Held, Session
from assent.runtime.service import answers, process, requests
from assent.runtime.service._asking import request_id, to_owner
from assent.runtime.service._owner import serve
from assent.runtime.service._reading import Reader
from assent.runtime.service.answers import RunEvent
from assent.runtime.service.requests import NOT_HERE, Events, Request
from assent.runtime.service.service import Service
from assent.runtime.settings.effective import Settings
from assent.spec.capability import CapabilitySpec
from assent.spec.events.kinds import AnyEvent
from assent.spec.ids import RunId
from assent.spec.states import Mode, Resolution, RunState
from assent.spec.values.canonical import require_json
from assent.spec.values.typed import convert
from assent.spec.words.reference import How
from assent.spec.workflow.inputs import json_object

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound=Request[Any])


class Client:
    """The way to the owner of a state, for a runtime that is not. `ask` raises `OwnerGoneError` when there is none any more."""

    def __init__(self, core: Core, link: Link, reader: LedgerReader) -> None:
        self._core = core
        self._link = link
        self._streams: set[Link] = set()
        self._is_closed = False
        self.reader = reader

    async def close(self) -> None:
        """Let go of the owner; what it has begun goes on."""
        self._is_closed = True
        async with AsyncExitStack() as parting:  # of each of them, also where this is cancelled
            parting.callback(self.reader.close)
            for link in (self._link, *self._streams):
                parting.push_async_callback(link.close)

    async def ask(
        self, kind: type[Request[Any]], said: dict[str, Any], ident: str | None = None
    ) -> dict[str, Any]:
        """What the owner answers, as it travels (hence `Any`), to a method's arguments; they are the request's fields."""
        core, capability = self._core, said.get("capability")
        request, by = _as_request(core, kind, said)
        listener = listener_here()
        tell = None if listener is None else _heard_by(listener)
        try:
            return await self._link.ask(to_owner(request, by, tell, core.digests, ident=ident))
        except AssentError as error:
            if error.code in NOT_HERE and capability is not None and self._is_registered(capability):
                fault = f"`{capability}` is registered in this process only, and another one owns the state"
                raise absent(fault) from error
            raise

    async def forward(self, asked: OwnerRequest) -> dict[str, Any]:
        """What the owner answers to a request that is whole."""
        return await self._link.ask(asked)

    def _is_registered(self, reference: str) -> bool:
        try:
            self._core.registry.resolve(reference)
        except InputError:
            return False
        return True

    async def stream(self, request: requests.Stream[T], kind: type[T]) -> AsyncIterator[T]:
        """On a connection of its own: whoever reads slowly holds up nothing else."""
        settings = self._core.settings
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
                yield convert(part, kind)
        finally:
            self._streams.discard(place)
            await place.close()


def _as_request(
    core: Core, kind: type[Request[Any]], said: dict[str, Any]
) -> tuple[Request[Any], requests.Asker]:
    """A method's arguments as a request, and who asks."""
    actor = core.actor(said.pop("principal", None) or said.pop("by", None))
    if actor.principal.roles != core.settings.roles.get(str(actor.principal), frozenset()):
        raise RefusedError(
            "IDENTITY_REFUSED",
            f"the owner of the state gives `{actor.principal}` the roles that are configured, and no others",
            hint="write them in assent.toml",
        )
    if "environment" in kind.__struct_fields__:
        said["environment"] = said.get("environment") or core.settings.environment
    by = requests.Asker(principal=str(actor.principal), asserted=actor.asserted)
    return as_request(kind, said), by


def as_request(kind: type[R], said: dict[str, Any]) -> R:
    """A method's arguments as a request. A workflow and its files are read here; functions stay here."""
    if [*said.pop("hooks", ())]:
        raise InputError(
            "HOOKS_LOCAL",
            "hooks of one call can't be handed to the process that owns the state",
            hint="register them in that process, with `rt.hooks`",
        )
    if "workflow" in said:
        said["text"] = json.dumps(load_workflow(said.pop("workflow")).to_json())
    if kind is requests.Plan:
        said["keep"] = False
    if "resolution" in said:
        said["resolution"] = Resolution(said["resolution"]).value
    if "parameters" in said:
        said["parameters"] = literal(said["capability"], said["parameters"])
    if "inputs" in said:
        inputs = {} if said["inputs"] is None else said["inputs"]
        said["inputs"] = json_object(inputs, code="INVALID_INPUT", of="the inputs of the workflow")
    return kind(**said)


def _heard_by(listener: Listener) -> Callable[[dict[str, Any]], None]:
    def hear(report: dict[str, Any]) -> None:
        if "run" in report:
            event: News = convert(report["event"], AnyEvent | Preparing | Said)
            listener(RunId(report["run"]), report["n"], report["at_ms"], event)

    return hear


_WORDS: Final = {str: "text", bool: "true or false", int: "a whole number"}
_READ_ELSEWHERE: Final = frozenset({"parameters", "inputs", "output"})
"""Arguments that hold JSON: what is wrong in it is told with its place in it."""


@cache
def _types_of(kind: type[Request[Any]]) -> dict[str, Any]:
    return {field.name: field.type for field in fields(kind) if field.name not in _READ_ELSEWHERE}


def require(kind: type[Request[Any]], said: Mapping[str, object]) -> None:
    """Refuse arguments that no request of this kind can hold, whoever would carry it out: `INVALID_INPUT`, with the argument."""
    types = _types_of(kind)
    for name in types.keys() & said.keys():
        try:
            value = convert(said[name], types[name])
            if isinstance(value, str):
                value.encode()
        except ValueError:  # msgspec's errors and those of encodings are.
            raise InputError(
                "INVALID_INPUT",
                f"`{name}` must be {_wanted(types[name])}",
                path=name,
                hint="ids and names are text, as Assent told them; `None` stands for what may be left out",
            ) from None
    if "output" in said:
        require_json(said["output"])


def _wanted(declared: Any) -> str:
    """What a field's type (hence `Any`) takes, in words."""
    origin, parts = get_origin(declared), [one for one in get_args(declared) if one is not NoneType]
    if origin is Literal:
        return f"one of {', '.join(parts)}"
    if origin is tuple:
        return "a list of texts"
    return _WORDS[declared] if origin is None else _wanted(parts[0])


# What an answer is in Python, from how it travels (hence `Any`).
_RUN: Final[Callable[[Any], RunResult]] = RunResult.from_json


def _held(told: Mapping[str, Any]) -> Held:
    """The session that another process holds."""
    return Held(RunId(told["run_id"]))


def _forwarded(
    method: Callable[Concatenate[Core, P], Coroutine[Any, Any, T]],
    kind: type[Request[Any]],
    told: Callable[[Any], T],
) -> Callable[Concatenate[Program, P], Coroutine[Any, Any, T]]:
    """A method that another process may have to carry out: its arguments are the fields of a request."""
    shape = signature(method)

    @wraps(method)
    async def either(self: Program, /, *args: P.args, **kwargs: P.kwargs) -> T:
        said = shape.bind(None, *args, **kwargs).arguments
        del said["self"]
        ident = said.pop("id", None)
        return await self._carry_out(method, kind, told, said, ident)  # a part of the class

    return either


def _own(
    method: Callable[Concatenate[Core, P], T], kind: type[Request[Any]] | None = None
) -> Callable[Concatenate[Runtime, P], T]:
    """A runtime's method that is carried out here, whoever owns the state, with arguments as a request of a kind has them."""
    shape = signature(method)

    @wraps(method)
    def own(self: Runtime, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if kind is not None:
            said = shape.bind(self._core, *args, **kwargs).arguments
            require(kind, {name: value for name, value in said.items() if not isinstance(value, Snapshot)})
        return method(self._core, *args, **kwargs)  # the decorator is a part of the class

    return own


def _looking_ahead(
    method: Callable[Concatenate[Core, P], Coroutine[Any, Any, T]],
    kind: type[Request[Any]],
    told: Callable[[Any], T],
) -> Callable[Concatenate[Runtime, P], Coroutine[Any, Any, T]]:
    """A runtime's method that is carried out here, and by the owner only where something is to be put on record for it."""
    own, forwarded = _own(method, kind), _forwarded(method, kind, told)

    @wraps(method)
    async def look(self: Runtime, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await own(self, *args, **kwargs)
        except OwnerNeededError:
            pass
        try:
            return await forwarded(self, *args, **kwargs)
        except WorldError as error:
            if error.code != "OWNER_DIFFERS":
                raise
            return await own(self, *args, **{**kwargs, "reads": False})  # type: ignore[arg-type]  # a method's that reads

    return look


def _whole(method: Callable[P, T], kind: type[Request[Any]]) -> Callable[P, T]:
    """A method whose arguments are all that a request of a kind has, with arguments that one could hold."""
    shape = signature(method)

    @wraps(method)
    def whole(*args: P.args, **kwargs: P.kwargs) -> T:
        said = shape.bind(*args, **kwargs).arguments
        require(kind, said)
        kind(**said)
        return method(*args, **kwargs)

    return whole


def _shown(settings: Settings, run: str) -> RunResult:
    with Reader.open(settings) as reader:
        return RunResult.from_json(reader.show(run))


class Program(ABC):
    """What a program asks of a runtime, whoever carries it out."""

    @abstractmethod
    async def _carry_out(
        self,
        method: Callable[..., Coroutine[Any, Any, T]],
        kind: type[Request[Any]],
        told: Callable[[Any], T],
        said: Mapping[str, Any],
        ident: str | None,
    ) -> T:
        """Have a method of the core done with the arguments `said`, which are the fields of a request; `told` reads its answer.

        `ident`: the id that the caller has chosen for the request.
        """

    @abstractmethod
    async def show(self, run: str) -> RunResult:
        """How a run stands, from the record."""

    @abstractmethod
    async def runs(
        self, *, status: Collection[str] = (), limit: int | None = None, before: str | None = None
    ) -> answers.Runs:
        """The newest runs, oldest first."""

    @abstractmethod
    async def schedules(self) -> answers.Schedules:
        """The schedules that stand, by name."""

    @abstractmethod
    def events(self, run: str, since: int = 0) -> AsyncIterator[RunEvent]:
        """What happens to a run, each event once it is durable."""

    run = _forwarded(Core.run, requests.Run, _RUN)
    call = _forwarded(Core.call, requests.Call, _RUN)
    _add_step = _forwarded(Core.add_step, requests.AddStep, _RUN)
    _told = _forwarded(Core.told, requests.Show, _RUN)
    _close_session = _forwarded(Core.close_session, requests.CloseSession, _RUN)
    approve = _forwarded(Core.approve, requests.Approve, _RUN)
    reject = _forwarded(Core.reject, requests.Reject, _RUN)
    cancel = _forwarded(Core.cancel, requests.Cancel, _RUN)
    signal = _forwarded(Core.signal, requests.Signal, _RUN)
    undo = _forwarded(Core.undo, requests.Undo, _RUN)
    resolve = _forwarded(Core.resolve, requests.Resolve, _RUN)
    resume = _forwarded(Core.resume, requests.Resume, lambda told: [*map(_RUN, told["results"])])
    erase = _forwarded(Core.erase, requests.Erase, _RUN)
    add_schedule = _forwarded(Core.add_schedule, requests.AddSchedule, _RUN)
    remove_schedule = _forwarded(Core.remove_schedule, requests.RemoveSchedule, _RUN)
    pause_schedule = _forwarded(Core.pause_schedule, requests.PauseSchedule, _RUN)
    resume_schedule = _forwarded(Core.resume_schedule, requests.ResumeSchedule, _RUN)
    plan = _forwarded(Core.plan, requests.Plan, Plan.from_json)

    async def session(
        self, run: str | None = None, *, principal: Who = None, environment: str | None = None
    ) -> Session:
        """A run whose steps arrive one at a time; where another process owns the state, it holds the session.

        `run` takes up again a session that is open, of this or of another process, also one that crashed: what it was at is
        settled first, as `resume` does. It goes on as who began it, so the other arguments are a new one's alone.
        `RUN_UNKNOWN`, `NOT_A_SESSION`, `SESSION_CLOSED`, `CAPABILITY_ABSENT`.
        """
        said = {"principal": principal, "environment": environment}
        if run is None:
            held = await self._carry_out(Core.session, requests.OpenSession, _held, said, None)
        elif principal is None and environment is None:
            held = await self._take_up(run)
        else:
            raise InputError(
                "INVALID_INPUT",
                "a session that is taken up again acts as who began it, where it began",
                hint="leave `principal` and `environment` out",
            )
        ident = held.run_id
        return Session(
            ident,
            # Asked of this: the session goes on with the next owner, which may be this process.
            partial(self._add_step, ident),
            partial(self.show, ident),
            partial(self._settled, ident, principal=principal),
            partial(self._close_session, ident),
            partial(self.cancel, ident, principal=principal),
            held,
        )

    async def _take_up(self, run: str) -> Held:
        shown = await self.show(run)
        if shown.status is RunState.INTERRUPTED:
            [shown] = await self.resume(shown.run_id)
        if shown.status.is_finished:
            raise session_closed(shown.run_id)
        return Held(shown.run_id)

    async def _settled(self, run: RunId, step: str, *, principal: Who) -> RunResult:
        """The session once one of its steps waits for nobody any more, or nothing comes of it by itself."""
        shown = await self.show(run)
        if shown.step(step).status.is_unsettled:
            async for told in self.events(run):
                if told.event.get("step") == step:
                    shown = await self.show(run)
                    if not shown.step(step).status.is_unsettled:
                        break
        return await self._told(run, principal=principal)

    async def wait(self, run: str) -> RunResult:
        """Wait until a run has ended, needs attention or is interrupted, whoever drives it, and tell how it stands.

        Drives nothing itself: one whose owner was killed is `interrupted` until somebody resumes it. A run that waits for a
        person is waited for; `asyncio.timeout` bounds that.
        """
        require(Events, {"run": run})
        ident = (await self.show(run)).run_id
        async for _ in self.events(ident):
            pass
        return await self.show(ident)


class Runtime(Program):
    """Everything that governs and performs runs in one workspace.

        async with Runtime.open(workspace="project") as rt:
            result = await rt.run("release.yaml", {"version": "1.2.0"})

    `run`, `call`, `approve` … raise only what is the caller's to mend (an unknown run, a workflow that can't be loaded); how
    a run ended, denied and failed ones included, is in the `RunResult`.
    """

    _CORE: ClassVar[type[Core]] = Core

    def __init__(self, settings: Settings, *, policy: PolicyEngine | None = None) -> None:
        self.settings = settings
        self._client: Client | None = None
        self._following = asyncio.Lock()
        self._places = 0
        """How often this has become an owner or a client."""
        self._begin(self._CORE(settings, policy=policy))

    def _begin(self, core: Core) -> None:
        """Stand on this core from now on."""
        self.__dict__.pop("_service", None)
        self._core, self.metrics, self.app = core, core.metrics, core.app
        self.hooks, self.lifecycle, self.secrets = core.hooks, core.lifecycle, core.secrets
        self.plugins, self.versions, self.deliveries = core.plugins, core.versions, core.deliveries
        versions, deliveries = self.versions, self.deliveries

        def labelled(told: Mapping[str, Any]) -> Labelled:
            return Labelled(told["capability"], told["version"], told["before"], How(told["how"]))

        changes: list[tuple[object, str, type[Request[Any]], Callable[[Any], Any]]] = [
            (versions, "label", requests.Label, self._learned(labelled)),
            (versions, "unlabel", requests.Unlabel, self._learned(itemgetter("removed"))),
            (versions, "retire", requests.Retire, self._learned(itemgetter("capability", "version"))),
            (deliveries, "retry", requests.RetryDelivery, dict),
            (deliveries, "cancel", requests.CancelDelivery, dict),
        ]
        for part, name, kind, told in changes:
            setattr(part, name, self._asked(getattr(part, name), kind, told))
        setattr(deliveries, "list", _whole(deliveries.list, requests.Deliveries))  # noqa: B010  # as the others

    @classmethod
    def open(
        cls,
        workspace: Path | str | None = None,
        *,
        state: Path | str | None = None,
        policy: Path | str | Mapping[str, Json] | PolicyEngine | None = None,
    ) -> Self:
        """A runtime for a workspace, to be entered with `async with`.

        Without arguments the nearest folder upwards with an `assent.toml` is the workspace, else the current one. `policy` is a
        file, a policy document, or an engine; without one the configured policy holds, else the built-in one.
        """
        path = Path(policy) if isinstance(policy, Path | str) else None
        settings = Settings.resolve(
            workspace=Path(workspace) if workspace is not None else None,
            state=Path(state) if state is not None else None,
            policy=path,
            environ=system.environment(),
            cwd=Path.cwd(),
        )
        if isinstance(policy, PolicyEngine):
            return cls(settings, policy=policy)
        if isinstance(policy, Mapping):
            return cls(settings, policy=PolicyEngine.from_dict(dict(policy)))
        return cls(settings)

    async def __aenter__(self) -> Self:
        """Take the state directory and serve it, or become a client of the process that has it.

        While it owns it, what waits for an approval is rejected when the time for that has passed, whoever left it waiting.
        `STATE_OWNED` when the owner can't be reached, `PROTOCOL_MISMATCH`.
        """
        try:
            await self._take_place()
        except BaseException:
            await self._core.exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop every run where it is, seal the ledger, release the state directory."""
        await self.close()

    async def _take_place(self) -> None:
        settings = self.settings
        self._places += 1
        settings.create_state()
        place = await own_or_link(
            settings.state, runtime_dir=settings.runtime_dir(), spawn=system.spawn, silence_s=SILENCE_S_MAX
        )
        if isinstance(place, Link):
            self._core.exit.push_async_callback(place.close)
            self._core.prepare_to_plan()
            reader = self._core.beside = open_reader(settings.state)
            self._client = Client(self._core, place, reader)
            self._core.exit.push_async_callback(self._client.close)
            return
        self._core.exit.callback(place.release)
        await self._core.start(place, partial(serve, self._core))
        await self._core.running.watch()
        self._client = self._core.beside = None

    async def close(self) -> None:
        """Stop every run where it is, seal the ledger, release the state directory; of a client's runs nothing is stopped."""
        self._client = self._core.beside = (
            None  # whoever is told that its connection has ended looks for no other owner
        )
        await self._core.close()

    async def _follow(self, client: Client) -> None:
        """The owner that this was a client of has ended: take its place, or find who did, unless this was closed."""
        async with self._following:
            if self._client is client:
                await self._take_place()

    async def _carry_out(
        self,
        method: Callable[..., Coroutine[Any, Any, T]],
        kind: type[Request[Any]],
        told: Callable[[Any], T],
        said: Mapping[str, Any],
        ident: str | None,
    ) -> T:
        return await self._either(partial(method, self._core), kind, told, said, ident)

    async def _either(
        self,
        own: Callable[..., Coroutine[Any, Any, T]],
        kind: type[Request[Any]],
        told: Callable[[Any], T],
        said: Mapping[str, Any],
        ident: str | None = None,
    ) -> T:
        """Carry `own` out, or have the owner do it: the arguments `said` are the fields of a request, `told` reads its answer.

        What is asked under an id of the caller's goes the way of a request here as well, which looks for an earlier one.

        An owner that has ended before it took the request is followed by this process, or by another one that was quicker.
        """
        require(kind, said)
        while (client := self._client) is not None:
            try:
                return told(await client.ask(kind, {**said}, ident))
            except OwnerGoneError:
                await self._follow(client)
        if said.get("run") is not None and kind is not requests.AddStep:  # a session knows its run's whole id
            said = {**said, "run": await self._core.find(said["run"])}
        if ident is not None:
            request, by = _as_request(self._core, kind, {**said})
            answer = await self._service.perform(request, by, ident=request_id(ident))
            return told(msgspec.to_builtins(answer))
        return await own(**said)

    def _asked(
        self,
        own: Callable[P, Coroutine[Any, Any, T]],
        kind: type[Request[Any]],
        told: Callable[[Any], T],
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """A method of a part of the runtime, carried out as the runtime's own are."""

        @wraps(own)
        async def either(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self._either(own, kind, told, signature(own).bind(*args, **kwargs).arguments)

        return either

    def _learned(self, told: Callable[[Any], T]) -> Callable[[Any], T]:
        """`told` once this process has read what changed of versions."""

        def learned(answer: Mapping[str, Any]) -> T:
            self.versions.consult(self.settings)
            return told(answer)

        return learned

    unfinished = _own(Core.unfinished)
    plan = _looking_ahead(Core.plan, requests.Plan, Plan.from_json)
    plan_undo = _own(Core.plan_undo, requests.PlanUndo)
    explain = _own(Core.explain, requests.ExplainPolicy)
    snapshot = _own(Core.snapshot, requests.Snapshot)
    replay = _own(Core.replay, requests.Replay)
    tools = _own(Core.tools)
    reload_policy = _own(Core.reload_policy)
    reload_configuration = _own(Core.reload_configuration)

    def telling(self, listener: Listener) -> AbstractContextManager[None]:
        """Inside, `listener` is told of each durable event of the runs that are driven from here, and of no others'.

        It is also told, without a number, of a step that is being prepared and takes its time for it (`Preparing`), and of what
        the calls say of their work and their programs print, also those of a plan (`Said`). A line that it fails at fails alone.
        """
        return telling(listener)

    @cached_property
    def _service(self) -> Service:
        """One, because it remembers what was asked under which id."""
        return Service(self.settings, self._core)

    @property
    def registry(self) -> CapabilityRegistry:
        """The specs of every registered capability."""
        return self._core.registry

    @overload
    def register(self, source: Capability[..., Any] | ModuleType, **how: Unpack[Registration]) -> None: ...
    @overload
    def register(
        self, source: CapabilitySpec, handler: object | None, **how: Unpack[Registration]
    ) -> None: ...
    def register(self, source: object, handler: object = None, **how: Unpack[Registration]) -> None:
        """Add capabilities for runs that begin from now on: a described one, all of a module, or a spec with its handler.

        What may be said besides is in `Registration`. A version that breaks callers is refused: `VERSION_BREAKING`.
        """
        self._core.capabilities.register(source, handler, **how)

    async def _take_up(self, run: str) -> Held:
        require(requests.Show, {"run": run})
        ident = await self._core.find(run)
        row = await get_run(self._core.reader, ident)
        if row is not None and row["mode"] != Mode.SESSION:
            raise not_a_session(ident)
        held = await super()._take_up(ident)
        return self._core.hold(ident) if self._client is None else held

    async def show(self, run: str) -> RunResult:
        """How a run stands, from the record."""
        require(requests.Show, {"run": run})
        if self._client is None:
            return await self._core.show(await self._core.find(run))
        return await asyncio.to_thread(_shown, self.settings, run)

    async def runs(
        self, *, status: Collection[str] = (), limit: int | None = None, before: str | None = None
    ) -> answers.Runs:
        """The newest `limit` runs, or all, oldest first; of these statuses only, and only older ones than the run `before`.

        Where the limit left older ones out, the answer's `before` is what to ask for them with. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`.
        """
        require(requests.Runs, {"status": status, "limit": limit, "before": before})
        asked = requests.Runs(status=tuple(status), limit=limit, before=before)
        return await asyncio.to_thread(process.perform, asked, self.settings)

    async def schedules(self) -> answers.Schedules:
        """The schedules that stand, by name."""
        return await asyncio.to_thread(process.perform, requests.Schedules(), self.settings)

    def events(self, run: str, since: int = 0) -> AsyncIterator[RunEvent]:
        """What happens to a run from its event number `since` on, each event once it is durable, whoever drives the run.

        Ends when nothing more comes of the run by itself: it has ended, needs attention, or is interrupted. `RUN_UNKNOWN`.
        """
        require(Events, {"run": run, "since": since})
        return self._events(Events(run=run, since=since))

    async def _events(self, request: Events) -> AsyncIterator[RunEvent]:
        since = request.since
        while True:
            client, places = self._client, self._places
            asked = replace(request, since=since)
            parts = self._own_parts(asked) if client is None else client.stream(asked, RunEvent)
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
                if self._places == places:
                    return

    def _own_parts(self, request: requests.Stream[T]) -> AsyncIterator[T]:
        """The parts of an answer that this process gives as the owner."""
        return self._service.stream(request)
