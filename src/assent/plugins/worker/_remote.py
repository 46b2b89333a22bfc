"""Handlers whose parts are performed by a worker. To the pipeline they are handlers like any other."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from assent.errors import AssentError, InputError, Json
from assent.invocation import (
    Handler,
    Health,
    HealthStatus,
    Hook,
    HookedCall,
    HookKind,
    LeadsTo,
    LocalContext,
    Prepared,
    Preview,
    Reconciliation,
)
from assent.invocation.describe.handler import UnfitOutput
from assent.invocation.hooks.hook import context_of
from assent.plugins.worker._errors import from_wire, to_wire
from assent.plugins.worker._frames import (
    BrokenFrameError,
    DescribedCapability,
    DescribedHook,
    Done,
    WireError,
    pack_json,
    unpack_json,
)
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import Fingerprint
from assent.spec.states import Verdict
from assent.spec.values.frozen import thaw

HEALTH_TEXT_MAX: Final = 500


NOT_REPORTED: Final = Fingerprint("")


class Performer(Protocol):
    """Has something performed by the worker of one plugin."""

    async def ready(self) -> None:
        """Return when there is a worker. Raises what keeps it from being there; nothing has happened then."""
        ...

    def turn(self, context: LocalContext, *, threaded: bool) -> AbstractAsyncContextManager[None]:
        """Entered when there is a worker, with a thread to spare where the part needs one. Raises what `ready` does."""
        ...

    async def part(self, spec: CapabilitySpec, name: str, context: LocalContext, inputs: bytes) -> Done:
        """Perform a part; `inputs` are the call's parameters as JSON."""
        ...

    async def hook(  # noqa: PLR0917  # what a hook is shown, each by itself
        self,
        spec: CapabilitySpec,
        name: str,
        context: LocalContext,
        inputs: bytes,
        seen: bytes,
        error: WireError | None,
    ) -> None:
        """Run a hook of the capability."""
        ...

    async def health(self) -> Done:
        """Ask the plugin how it is."""
        ...

    def owns(self, context: LocalContext, spec: CapabilitySpec, blobs: tuple[str, ...]) -> bool:
        """Whether blobs are the call's own: put by it."""
        ...


@dataclass(frozen=True, slots=True)
class RemoteHandler(Handler):
    """A handler whose code is in a worker, which said what its fingerprint is."""

    reported: Fingerprint = NOT_REPORTED

    def fingerprint(self) -> Fingerprint:
        return self.reported


class RemotePart:
    """One part, to be called as `part(context, parameters)` in its `turn`, for which it waits outside of its own time."""

    def __init__(self, performer: Performer, spec: CapabilitySpec, name: str, *, threaded: bool) -> None:
        self._performer = performer
        self._spec = spec
        self._name = name
        self.turn: Final = partial(performer.turn, threaded=threaded)

    async def __call__(self, context: LocalContext, parameters: Any) -> Any:  # `Any`: as of every part
        done = await self._performer.part(self._spec, self._name, context, pack_json(parameters))
        given = _read(self._name, done)
        if isinstance(given, Prepared) and not self._performer.owns(context, self._spec, given.blobs):
            raise AssentError(
                "PLUGIN_MISBEHAVED", f"`prepare` of `{self._spec.id}` keeps a blob that it did not put"
            )
        return given


class RemoteHook:
    """One hook, to be called with a `HookedCall`."""

    def __init__(self, performer: Performer, spec: CapabilitySpec, name: str) -> None:
        self._performer = performer
        self._spec = spec
        self._name = name

    async def __call__(self, seen: HookedCall) -> None:
        await self._performer.hook(
            self._spec,
            self._name,
            context_of(seen),
            pack_json(thaw(seen.inputs)),
            b"" if seen.output is None else pack_json(thaw(seen.output)),
            None if seen.error is None else to_wire(seen.error),
        )


class RemoteHealth:
    """The plugin's health check."""

    def __init__(self, performer: Performer) -> None:
        self._performer = performer

    async def __call__(self) -> object:
        said = unpack_json((await self._performer.health()).value)
        match said:
            case {"status": str() as status, "detail": str() as detail}:
                return Health(HealthStatus(status), detail[:HEALTH_TEXT_MAX])
            case str():
                return said[:HEALTH_TEXT_MAX]
            case _:
                return said


def registration(performer: Performer, described: DescribedCapability) -> tuple[CapabilitySpec, Handler]:
    """A capability as a worker described it, with the handler that has it performed there. Raises what a wrong spec raises."""
    spec = CapabilitySpec.from_json(unpack_json(described.spec))
    parts: dict[
        str, Any
    ] = {  # `Any`: keyword arguments of one type would be taken for all of the handler's fields
        name: RemotePart(performer, spec, name, threaded=name in described.threaded)
        for name in described.parts
    }
    if "execute" not in parts:
        raise InputError("HANDLER_INVALID", f"the handler of `{spec.id}` has no `execute` part")
    handler = RemoteHandler(
        **parts,
        revision=described.revision,
        rehearsable=described.rehearsable,
        hooks=tuple(_hook(performer, spec, one) for one in described.hooks),
        completes=True,
        reported=Fingerprint(described.fingerprint),
    )
    return spec, handler


def _hook(performer: Performer, spec: CapabilitySpec, one: DescribedHook) -> Hook:
    try:
        kind = HookKind(one.kind)
    except ValueError:
        raise InputError("HOOK_INVALID", f"`{one.kind[:80]}` is not a kind of hook") from None
    return Hook(
        kind,
        RemoteHook(performer, spec, one.id),
        id=one.id,
        timeout_s=one.timeout_s,
        retries=one.retries,
        backoff_s=one.backoff_s,
    )


def _read(part: str, done: Done) -> object:
    """What a part gave, as the pipeline takes it; PLUGIN_MISBEHAVED for what no part gives."""
    try:
        unfit = None if done.unfit is None else _unfit(done.unfit)
        value = unpack_json(done.value)
        match part:
            case "execute":
                return value if unfit is None else unfit
            case "prepare":
                return _prepared(value)
            case "preview":
                return _preview(value)
            case "reconcile":
                return _reconciliation(value, unfit)
            case "leads_to":
                return _leads(value)
            case _:
                return None
    except BrokenFrameError as error:
        raise AssentError("PLUGIN_MISBEHAVED", f"`{part}` gave what no such part gives: {error}") from None


def _unfit(wire: WireError) -> UnfitOutput:
    error = from_wire(wire)
    if not isinstance(error, InputError):
        raise BrokenFrameError("an output is unfit for no reason")
    return UnfitOutput(error)


def _prepared(value: Json) -> Prepared:
    match value:
        case {"state": dict() as state, "blobs": list() as blobs} if all(
            isinstance(one, str) for one in blobs
        ):
            return Prepared(state, tuple(map(str, blobs)))
        case _:
            raise BrokenFrameError("it is not a state")


def _preview(value: Json) -> Preview:
    match value:
        case [str() as kind, str() as diff, (str() | None) as base, bool() as changes, bool() as known]:
            return Preview(kind, diff, base, changes, known)
        case _:
            raise BrokenFrameError("it is not a preview")


def _leads(value: Json) -> list[LeadsTo]:
    if not isinstance(value, list):
        raise BrokenFrameError("it is not a list of calls")
    return [_lead(one) for one in value]


def _lead(value: Json) -> LeadsTo:
    match value:
        case [str() as role, str() as capability, dict() as inputs, list() as unknown]:
            return LeadsTo(role, capability, inputs, frozenset(map(str, unknown)))
        case _:
            raise BrokenFrameError("it is not a call")


def _reconciliation(value: Json, unfit: UnfitOutput | None) -> Reconciliation | None:
    match value:
        case [str() as verdict, output, bool() as foreign] if verdict in {one.value for one in Verdict}:
            # What does not fit is told when the output is looked at, as it is of a handler of ours.
            given: Any = output if unfit is None else unfit  # `Any`: in place of JSON, for the pipeline alone
            return Reconciliation(Verdict(verdict), given, foreign)
        case None:
            return None
        case _:
            raise BrokenFrameError("it is not an answer")
