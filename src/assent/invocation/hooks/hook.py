"""What others may attach to calls: hooks observe and refuse; they never change what a call is given or gives.

| kind      | runs                                                               | when it raises                          |
|-----------|--------------------------------------------------------------------|-----------------------------------------|
| `before`  | once the gate allowed the call, before `prepare` and the intent    | the call stops; nothing has happened    |
| `after`   | once the output is valid, before the outcome is journaled          | the call failed, its effect is undone   |
| `catch`   | when an allowed call failed, the hooks above included              | it is recorded; the first error stays   |
| `finally` | at the end of an allowed call, however it ended, also on a cancel  | it is recorded; the outcome stays       |

Hooks stand at three levels: global (`rt.hooks`), the capability's own, and local to one call. `before` runs in that order and in
the order of registration; the other three in exact reverse.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar, overload

from assent.errors import InputError
from assent.invocation.context._hook_records import HookKind, HookLevel
from assent.spec.values.frozen import freeze

if TYPE_CHECKING:
    from collections.abc import Mapping
    from logging import LoggerAdapter

    from assent.errors import AssentError, Json
    from assent.invocation.context.local import CancelToken, LocalContext
    from assent.invocation.context.phases import CallPhase
    from assent.invocation.context.state import CallState
    from assent.spec.ids import RunId, StepKey
    from assent.spec.principal import Principal

TIMEOUT_S: Final = 5.0
"""How long one run of a hook may take when it says nothing else."""

TIMEOUT_S_MAX: Final = 3600.0
RETRIES_MAX: Final = 10
BACKOFF_S_MAX: Final = 60.0

HookFunction: TypeAlias = (
    "Callable[[HookedCall], Any]"  # `Any`: what a hook returns is thrown away, awaited first if need be
)
F = TypeVar("F", bound=Callable[..., Any])  # `Any`: a function keeps its own type


class HookDecorator(Protocol):
    """`@x.before`, and `@x.before(id="…", timeout_s=…, retries=…, backoff_s=…)`."""

    @overload
    def __call__(self, run: F, /) -> F: ...
    @overload
    def __call__(self, /, **options: Any) -> Callable[[F], F]: ...  # `Any`: see `Hook`


@dataclass(frozen=True, slots=True, eq=False)
class Hook:
    """One hook. `run` takes a `HookedCall`; async ones are cancelled at `timeout_s`, sync ones run in a worker thread.

    After a failure it is tried again up to `retries` times (so at most `retries` + 1 runs), the first time after `backoff_s`
    seconds, then after twice that each time. A refusal on purpose (any `AssentError` that is not retryable) is final at once.
    """

    kind: HookKind
    run: HookFunction
    id: str = ""
    timeout_s: float = TIMEOUT_S
    retries: int = 0
    backoff_s: float = 0.1
    is_async: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.run):
            raise _invalid("a hook has to be a function")
        name = self.id or f"{getattr(self.run, '__module__', '')}.{_name_of(self.run)}"
        if not 0 < self.timeout_s <= TIMEOUT_S_MAX:
            raise _invalid(f"the timeout of hook `{name}` must be above 0 and at most {TIMEOUT_S_MAX:g} s")
        if not 0 <= self.retries <= RETRIES_MAX:
            raise _invalid(f"hook `{name}` may be tried again between 0 and {RETRIES_MAX} times")
        if not 0 <= self.backoff_s <= BACKOFF_S_MAX:
            raise _invalid(f"the backoff of hook `{name}` must be between 0 and {BACKOFF_S_MAX:g} s")
        object.__setattr__(self, "id", name)
        object.__setattr__(self, "is_async", is_async(self.run))

    def to_dict(self) -> dict[str, Json]:
        """What is told of a hook, as JSON."""
        return {
            "id": self.id,
            "kind": self.kind.value,
            "timeout_ms": round(self.timeout_s * 1000),
            "retries": self.retries,
            "backoff_ms": round(self.backoff_s * 1000),
            "is_async": self.is_async,
        }


class Hooks:
    """The hooks of one level. Registering and removing takes effect for calls that begin afterwards.

    @rt.hooks.before
    async def office_hours(call): ...

    @rt.hooks.after(id="size-check", timeout_s=1, retries=2)
    def check_size(call): ...
    """

    __slots__ = ("_all", "_level")

    def __init__(self, level: HookLevel, hooks: Iterable[Hook] = ()) -> None:
        self._level = level
        # A tuple that is never changed: calls under way keep the one they began with, and may compare by identity.
        self._all: tuple[Hook, ...] = ()
        for hook in hooks:
            self.add(hook)

    @property
    def level(self) -> HookLevel:
        """Where these hooks stand."""
        return self._level

    @property
    def all(self) -> tuple[Hook, ...]:
        """Every hook, in order of registration. The same object until something changes."""
        return self._all

    def add(self, hook: Hook) -> Hook:
        """Register a hook. `HOOK_INVALID` when the level has one with this id."""
        if any(known.id == hook.id for known in self._all):
            raise _invalid(
                f"there is a {self._level.value} hook `{hook.id}` already",
                hint="give one of them an `id` of its own",
            )
        self._all = (*self._all, hook)
        return hook

    def remove(self, ident: str) -> bool:
        """Take a hook out; whether there was one with this id."""
        left = tuple(hook for hook in self._all if hook.id != ident)
        found = len(left) < len(self._all)
        self._all = left
        return found

    @property
    def before(self) -> HookDecorator:
        """Register a `before` hook; a decorator, with or without the options of `Hook`."""
        return self._registering(HookKind.BEFORE)

    @property
    def after(self) -> HookDecorator:
        """Register an `after` hook, likewise."""
        return self._registering(HookKind.AFTER)

    @property
    def catch(self) -> HookDecorator:
        """Register a `catch` hook, likewise."""
        return self._registering(HookKind.CATCH)

    @property
    def finally_(self) -> HookDecorator:
        """Register a `finally` hook, likewise."""
        return self._registering(HookKind.FINALLY)

    def _registering(self, kind: HookKind) -> HookDecorator:
        def register(run: Any = None, /, **options: Any) -> Any:
            if run is None:
                return lambda function: register(function, **options)
            self.add(Hook(kind, run, **options))
            return run

        return register


class HookedCall:
    """What a hook sees of a call: everything, and nothing that it could change for the handler.

    `inputs` and `output` are deeply frozen copies, made when somebody looks. What hooks and parts of one call want to tell each
    other they leave in `state`.
    """

    __slots__ = ("_context", "_error", "_frozen_inputs", "_inputs", "_output", "_token")

    def __init__(
        self,
        context: LocalContext,
        inputs: Mapping[str, Json],
        *,
        output: Json = None,
        error: AssentError | None = None,
        token: CancelToken | None = None,
    ) -> None:
        self._context = context
        self._inputs = inputs
        self._frozen_inputs: Mapping[str, Json] | None = None
        self._output = output
        self._error = error
        self._token = token

    def with_token(self, token: CancelToken) -> HookedCall:
        """The same, for a hook that is told by `token` when its time is up."""
        return HookedCall(self._context, self._inputs, output=self._output, error=self._error, token=token)

    @property
    def inputs(self) -> Mapping[str, Json]:
        """The validated inputs, complete with every default."""
        if self._frozen_inputs is None:
            frozen: Mapping[str, Json] = freeze(self._inputs)
            self._frozen_inputs = frozen
        return self._frozen_inputs

    @property
    def output(self) -> Any:  # `Any`: frozen JSON
        """What the call gave, in `after` and, when it succeeded, in `finally`."""
        return freeze(self._output)

    @property
    def error(self) -> AssentError | None:
        """What the call failed with, in `catch` and `finally`."""
        return self._error

    @property
    def cancel(self) -> CancelToken:
        """For a sync hook: whether its time is up."""
        return self._token if self._token is not None else self._context.cancel

    @property
    def run(self) -> RunId:
        """The run that the call belongs to."""
        return self._context.run

    @property
    def step(self) -> StepKey:
        """The step of that run."""
        return self._context.step

    @property
    def attempt(self) -> int:
        """Which attempt at the step this is, from 1."""
        return self._context.attempt

    @property
    def request_id(self) -> str:
        """This call's own id."""
        return self._context.request_id

    @property
    def trace_id(self) -> str:
        """What it has in common with the calls of its run."""
        return self._context.trace_id

    @property
    def principal(self) -> Principal:
        """On whose behalf."""
        return self._context.principal

    @property
    def capability(self) -> str:
        """The capability's id."""
        return self._context.capability

    @property
    def version(self) -> str:
        """Its version."""
        return self._context.version

    @property
    def phase(self) -> CallPhase:
        """Where the call stands."""
        return self._context.phase

    @property
    def deadline_ms(self) -> int | None:
        """When `execute` is stopped, in ms since 1970; None before it began and when it has no limit."""
        return self._context.deadline_ms

    @property
    def meta(self) -> dict[str, Json]:
        """The call's metadata."""
        return self._context.meta

    @property
    def flags(self) -> set[str]:
        """The call's flags."""
        return self._context.flags

    @property
    def state(self) -> CallState:
        """The call's private state."""
        return self._context.state

    @property
    def logger(self) -> LoggerAdapter[Any]:
        """A logger bound to the call's ids."""
        return self._context.logger

    def on_cleanup(self, callback: Callable[[], Any]) -> None:
        """Have something undone when the call ends."""
        self._context.on_cleanup(callback)


def context_of(seen: HookedCall) -> LocalContext:
    """The call itself, for who has the hook performed elsewhere: a hook of ours is not shown it."""
    return seen._context  # noqa: SLF001  # the one door to it


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine; otherwise it is called in a worker thread."""
    if type(function) is FunctionType:
        # What `inspect` comes to for a plain function, at a tenth of the cost: this is asked of each part of each call.
        return bool(function.__code__.co_flags & inspect.CO_COROUTINE)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _invalid(message: str, hint: str | None = None) -> InputError:
    return InputError("HOOK_INVALID", message, hint=hint)
