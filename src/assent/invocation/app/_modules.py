"""The modules of an application: found by their type, started in order, closed in reverse under one deadline."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from assent.errors import AssentError, InputError, Json, WorldError
from assent.invocation.app._bounded import Bounded
from assent.invocation.app._health import Health, HealthStatus
from assent.spec.ports import Clock
from assent.spec.words.suggestions import did_you_mean

T = TypeVar("T")


class ModuleLimits(msgspec.Struct, frozen=True):
    """How long others may keep us waiting, in seconds: one factory or listener, one health check, and the whole shutdown."""

    start_s: float = 30.0
    health_s: float = 5.0
    shutdown_s: float = 30.0


_CANCEL_PART: Final = 0.1
"""The part of its share of the deadline in which a module's `close` may still clean up after it was cancelled."""

# `Any`: each module has its own type, which `register` ties to its functions and `get` gives back.
Factory = Callable[[Any], Any | Awaitable[Any]]
Close = Callable[[Any], Any]
Check = Callable[[Any], Health | Awaitable[Health]]


class Module(msgspec.Struct, frozen=True):
    """One registered module. Without a factory it was handed in ready."""

    kind: type
    name: str
    priority: int
    factory: Factory | None
    close: Close | None
    health: Check | None


class Offer(msgspec.Struct, frozen=True):
    """A module that is made when it is first asked for."""

    make: Callable[[], Any]
    close: Close | None


class Modules:
    """The registry and the lives of its modules; `application` is what a factory is given."""

    def __init__(self, bounded: Bounded, clock: Clock, limits: ModuleLimits, application: object) -> None:
        self._bounded = bounded
        self._clock = clock
        self._limits = limits
        self._application = application
        self._registered: dict[type, Module] = {}
        self._live: dict[type, Any] = {}
        self._offered: dict[str, Offer] = {}
        self._making = threading.RLock()
        self._sequence: list[Module] = []
        self._changing = asyncio.Lock()
        self._before_close: list[Callable[[], Any]] = []
        self._is_closed = False

    def register(self, module: Module, instance: object | None) -> None:
        """Add a module; `MODULE_REGISTERED`, `MODULE_INVALID`, `RUNTIME_CLOSED`."""
        if self._is_closed:
            raise closed()
        if module.kind in self._registered or _path_of(module.kind) in self._offered:
            raise InputError(
                "MODULE_REGISTERED",
                f"module `{module.name}` is registered already",
                hint="register it once; parts that need it ask with `app.get`",
            )
        if (instance is None) == (module.factory is None):
            raise InputError(
                "MODULE_INVALID",
                f"module `{module.name}` needs an instance or a factory, and not both",
                hint="write `register(Kind, instance)` or `register(Kind, factory=make)`",
            )
        if instance is not None:
            _require_kind(module, instance)
            self._live[module.kind] = instance
        self._registered[module.kind] = module

    def offer(self, path: str, offer: Offer) -> None:
        """Have the module of the type at `path` made when it is first asked for."""
        self._offered[path] = offer

    def name_of(self, kind: type) -> str:
        """A module's name: the short one, unless another module has it."""
        short = kind.__qualname__.rpartition(".")[2]
        taken = {module.name for module in self._registered.values() if module.kind is not kind}
        taken |= {path.rpartition(".")[2] for path in self._offered if path != _path_of(kind)}
        return f"{kind.__module__}.{kind.__qualname__}" if short in taken else short

    def get(self, kind: type[T]) -> T:
        """The living module of this type."""
        try:
            return self._live[kind]  # type: ignore[no-any-return]  # INVARIANT: what lives under a type is of that type
        except KeyError:
            return self._made(kind)

    def _made(self, kind: type[T]) -> T:
        """The module of this type, made now where it was offered."""
        with (
            self._making
        ):  # Sync handlers ask in threads of their own, and one module is made for all of them.
            offer = None if self._is_closed else self._offered.pop(_path_of(kind), None)
            if offer is not None:
                self.register(Module(kind, self.name_of(kind), 0, None, offer.close, None), offer.make())
            if kind not in self._live:
                self._absent(kind)
            return self._live[kind]  # type: ignore[no-any-return]  # INVARIANT: as in `get`

    def _absent(self, kind: type) -> NoReturn:
        if self._is_closed:
            raise closed() from None
        found = self._registered.get(kind)
        if found is not None:
            raise InputError(
                "MODULE_NOT_STARTED",
                f"module `{found.name}` has not been started",
                hint=f"give it a higher priority than {found.priority}, so that it starts before what asks for it",
            ) from None
        name = getattr(kind, "__qualname__", str(kind)).rpartition(".")[2]
        known = [module.name for module in self._registered.values()]
        known += [path.rpartition(".")[2] for path in self._offered]
        listed = f"there are: {', '.join(sorted(known))}" if known else "register it with `app.register`"
        raise InputError(
            "MODULE_UNKNOWN", f"there is no module `{name}`", hint=did_you_mean(name, known, otherwise=listed)
        ) from None

    async def start(self) -> None:
        """Start what has not been started, highest priority first, in the order of registration where it is equal.

        Raises `WorldError` MODULE_START_FAILED; what this call had started is closed again then, in reverse.
        """
        async with self._changing:
            if self._is_closed:
                raise closed()
            waiting = [module for module in self._registered.values() if module not in self._sequence]
            waiting.sort(
                key=lambda module: -module.priority
            )  # a stable sort: registration decides between equals
            before = len(self._sequence)
            for module in waiting:
                try:
                    await self._start(module)
                except BaseException as error:
                    started = self._sequence[before:]
                    failures = await self._close_all(started, self._limits.shutdown_s, only_made=True)
                    del self._sequence[before:]
                    if not isinstance(error, Exception):
                        raise
                    raise _start_failed(module, error, started, failures) from error

    async def _start(self, module: Module) -> None:
        if module.factory is not None:
            made = await self._bounded.call(
                module.factory, self._application, limit_s=self._limits.start_s, name=f"start {module.name}"
            )
            _require_kind(module, made)
            self._live[module.kind] = made
        self._sequence.append(module)

    def before_close(self, function: Callable[[], Any]) -> None:
        """Have a function called when closing begins, while every module still lives; in the order they were given."""
        self._before_close.append(function)

    async def close(self, deadline_s: float) -> None:
        """Close everything, in reverse of the order it was started in. Harmless when it was done.

        Each has its share of the time that is left. Whatever fails or hangs, the rest is closed; `WorldError`
        SHUTDOWN_INCOMPLETE then tells all of it together.
        """
        async with self._changing:
            if self._is_closed:
                return
            # A module that was handed in ready after the last start was never put in order: it goes first.
            late = [m for m in self._registered.values() if m.kind in self._live and m not in self._sequence]
            try:
                failures = await self._close_all([*self._sequence, *late], deadline_s, announce=True)
            finally:
                self._is_closed = True
                self._live.clear()
                self._sequence.clear()
        if failures:
            names = ", ".join(f"`{failure['module']}`" for failure in failures)
            raise WorldError(
                "SHUTDOWN_INCOMPLETE",
                f"not everything was closed in order: {names}",
                hint="`details` says what each of them met; everything else was closed",
                details={"failures": [dict(failure) for failure in failures]},
            )

    async def _close_all(
        self,
        modules: Sequence[Module],
        deadline_s: float,
        *,
        announce: bool = False,
        only_made: bool = False,
    ) -> list[dict[str, Json]]:
        """Close modules in reverse; what failed. `only_made`: those that were handed in ready go on living."""
        ends_ms = self._clock.monotonic_ms() + int(deadline_s * 1000)
        work: list[tuple[str, Callable[..., Any], tuple[object, ...]]] = []
        if announce:
            work += [("before closing", function, ()) for function in self._before_close]
        closing = [m for m in reversed(modules) if m.factory is not None or not only_made]
        failures: list[dict[str, Json]] = []
        for module in closing:
            if module.close is not None:
                work.append((module.name, module.close, (self._live[module.kind],)))
        try:
            for position, (name, function, arguments) in enumerate(work):
                left_s = max(0, ends_ms - self._clock.monotonic_ms()) / 1000
                share_s = left_s / (len(work) - position)
                try:
                    await self._bounded.call(
                        function,
                        *arguments,
                        limit_s=share_s * (1 - _CANCEL_PART),
                        cancel_s=share_s * _CANCEL_PART,
                        name=f"close {name}",
                    )
                except Exception as error:  # noqa: BLE001  # one failure does not stop the rest; all are told together
                    failures.append({"module": name, **_told(error)})
        finally:
            for module in closing:
                self._live.pop(module.kind, None)
        return failures

    async def health(self, others: dict[str, Callable[[], Any]]) -> dict[str, Health]:
        """How each module is, and what `others` say, by name; all are asked at once."""
        found: dict[str, Health] = {}
        asked: list[tuple[str, Callable[..., Any], tuple[object, ...]]] = []
        for module in self._registered.values():
            if module.kind not in self._live:
                found[module.name] = Health(HealthStatus.FAILED, "it has not been started")
            elif module.health is None:
                found[module.name] = Health(HealthStatus.OK, "it has no check")
            else:
                asked.append((module.name, module.health, (self._live[module.kind],)))
        asked += [(name, check, ()) for name, check in others.items()]
        answers = await asyncio.gather(*(self._ask(*one) for one in asked))
        found |= {name: answer for (name, _, _), answer in zip(asked, answers, strict=True)}
        return dict(sorted(found.items()))

    async def _ask(self, name: str, check: Callable[..., Any], arguments: tuple[object, ...]) -> Health:
        try:
            found = await self._bounded.call(
                check, *arguments, limit_s=self._limits.health_s, name=f"health of {name}"
            )
        except Exception as error:  # noqa: BLE001  # a check that fails has answered
            return Health(HealthStatus.FAILED, str(_told(error)["message"]))
        if not isinstance(found, Health):
            return Health(HealthStatus.FAILED, "its check gave no `Health`")
        return found


def closed() -> InputError:
    """The refusal of everything that comes after the end."""
    return InputError("RUNTIME_CLOSED", "the application was shut down", hint="open a new runtime")


def _path_of(kind: type) -> str:
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', kind)}"


def _require_kind(module: Module, made: object) -> None:
    # A protocol can't be asked unless it says so; whoever registers one vouches for what is under it.
    if getattr(module.kind, "_is_protocol", False) or isinstance(made, module.kind):
        return
    raise InputError(
        "MODULE_INVALID",
        f"what was registered as module `{module.name}` is something else",
        hint="register it under its own type, or one that it derives from",
    )


def _start_failed(
    module: Module, error: Exception, started: Sequence[Module], failures: list[dict[str, Json]]
) -> WorldError:
    told = _told(error)
    hint = error.hint if isinstance(error, AssentError) else None
    return WorldError(
        "MODULE_START_FAILED",
        f"module `{module.name}` could not be started: {told['message']}",
        hint=hint or "mend what it needs; what had been started before it was closed again",
        details={
            "module": module.name,
            "cause": told,
            "closed": [one.name for one in reversed(started) if one.factory is not None],
            "failures": [dict(failure) for failure in failures],
        },
    )


def _told(error: Exception) -> dict[str, Json]:
    if isinstance(error, AssentError):
        return {"code": error.code, "message": error.message}
    return {"code": "MODULE_FAILED", "message": (str(error) or "no message")[:500]}
