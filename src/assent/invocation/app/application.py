"""What the calls of one runtime have in common: its modules, its configuration, its shared state, and how all of that is.

One `GlobalContext` lives as long as its runtime. It starts modules in order when the runtime opens and closes them in reverse
when it closes. Handlers reach it as `context.app`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, overload

from assent.errors import AssentError, InputError, Json, WorldError
from assent.invocation.app._bounded import Bounded, Spawn
from assent.invocation.app._config import Config
from assent.invocation.app._health import ApplicationHealth, Health, worst
from assent.invocation.app._modules import Module, ModuleLimits, Modules, Offer
from assent.invocation.app._shared_state import SharedState
from assent.spec.ports import Clock

T = TypeVar("T")

ConfigCheck = Callable[[Config], object]
ReloadListener = Callable[[Config, Config], object]


class GlobalContext:
    """The application of one runtime.

        rt = Runtime.open("project")
        rt.app.register(Database, factory=connect, close=Database.close, health=Database.health, priority=10)
        async with rt:
            rt.app.get(Database)

    `state` holds the values that parts share; who claims one is the only one to write it.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        spawn: Spawn,
        config: Mapping[str, object] | None = None,
        limits: ModuleLimits | None = None,
    ) -> None:
        self.clock = clock
        self._bounded = Bounded(spawn)
        self._limits = limits or ModuleLimits()
        self._modules = Modules(self._bounded, clock, self._limits, self)
        self._config = Config(config)
        self._config_checks: list[ConfigCheck] = []
        self._listeners: list[ReloadListener] = []
        self._health_checks: dict[str, Callable[[], Any]] = {}
        self._reloading = asyncio.Lock()
        self.state = SharedState()
        # The look-up itself, not a method around it: handlers ask for modules in their inner loops.
        self.get = self._modules.get

    @overload
    def register(
        self,
        kind: type[T],
        instance: T,
        /,
        *,
        priority: int = 0,
        close: Callable[[T], object] | None = None,
        health: Callable[[T], Health | Awaitable[Health]] | None = None,
    ) -> None: ...

    @overload
    def register(
        self,
        kind: type[T],
        /,
        *,
        factory: Callable[[GlobalContext], T | Awaitable[T]],
        priority: int = 0,
        close: Callable[[T], object] | None = None,
        health: Callable[[T], Health | Awaitable[Health]] | None = None,
    ) -> None: ...

    def register(
        self,
        kind: type[Any],
        instance: Any = None,
        /,
        *,
        factory: Callable[[GlobalContext], Any] | None = None,
        priority: int = 0,
        close: Callable[[Any], object] | None = None,
        health: Callable[[Any], Health | Awaitable[Health]] | None = None,
    ) -> None:
        """Add a module under its type (`Any`: the overloads tie it to its functions).

        An instance can be asked for at once. A factory is called with the application at `start`, and may ask it for modules of
        higher priority; it, `close` and `health` may be sync, each in a thread of its own, or async. `InputError`
        MODULE_REGISTERED for a type that was registered before, MODULE_INVALID, RUNTIME_CLOSED.
        """
        name = self._modules.name_of(kind)
        self._modules.register(Module(kind, name, priority, factory, close, health), instance)

    def offer(
        self, path: str, make: Callable[[], object], *, close: Callable[[Any], object] | None = None
    ) -> None:
        """Add a module that is made, by the thread that asks, when somebody first asks for it, and else never.

        `path` names its type, `package.module.Name`, so that not even the type has to be imported before. `make` does nothing
        that takes time. It has no health of its own.
        """
        self._modules.offer(path, Offer(make, close))

    async def start(self) -> None:
        """Start every module that has not been started, highest priority first. The runtime does so when it opens.

        When one fails (or takes longer than 30 s), those that this call had started are closed again in reverse and
        `WorldError` MODULE_START_FAILED tells why. Modules registered later are started by calling it again.
        """
        await self._modules.start()

    def before_shutdown(self, function: Callable[[], object]) -> None:
        """Have a function, sync or async, called when the shutdown begins and every module still lives."""
        self._modules.before_close(function)

    async def shutdown(self, *, deadline_s: float | None = None) -> None:
        """Close every module, in reverse of the order they were started in. Harmless when it was done.

        All of it takes at most `deadline_s` seconds (30 unless said): each module has its share of what is left, and one that
        hangs is left behind. One failure does not stop the rest; `WorldError` SHUTDOWN_INCOMPLETE tells all of them at the end.
        """
        await self._modules.close(self._limits.shutdown_s if deadline_s is None else deadline_s)

    def add_health_check(self, name: str, check: Callable[[], Health | Awaitable[Health]]) -> None:
        """Ask something that is no module too. `InputError` MODULE_REGISTERED for a name that is taken."""
        if name in self._health_checks:
            raise InputError("MODULE_REGISTERED", f"there is a health check `{name}` already")
        self._health_checks[name] = check

    async def health(self) -> ApplicationHealth:
        """How everything is; the worst part decides.

        All checks are asked at once. One that fails, answers nothing usable, or takes longer than 5 s counts as failed.
        """
        parts = await self._modules.health(self._health_checks)
        return ApplicationHealth(worst(parts.values()), parts)

    @property
    def config(self) -> Config:
        """The configuration in force. Whoever keeps it keeps one that no longer changes."""
        return self._config

    def add_config_check(self, check: ConfigCheck) -> None:
        """Refuse configurations that `check` raises on (`AssentError`, `ValueError`), the present one included."""
        _require_valid(self._config, [check])
        self._config_checks.append(check)

    def on_reload(self, listener: ReloadListener) -> None:
        """Have `listener(old, new)`, sync or async, told of each configuration that came into force."""
        self._listeners.append(listener)

    async def reload(self, values: Mapping[str, object]) -> Config:
        """Put another configuration into force, whole, and tell the listeners; it.

        `InputError` CONFIG_INVALID when a check refuses it: then the old one stays and nobody is told. A listener that fails does
        not keep the others from being told, nor the configuration from holding: `WorldError` LISTENERS_FAILED names them all.
        """
        async with self._reloading:
            fresh = Config(values)
            _require_valid(fresh, self._config_checks)
            old, self._config = self._config, fresh
            failures: list[Json] = []
            for listener in self._listeners:
                name = getattr(listener, "__qualname__", type(listener).__qualname__)
                try:
                    await self._bounded.call(
                        listener, old, fresh, limit_s=self._limits.start_s, name=f"reload {name}"
                    )
                except Exception as error:  # noqa: BLE001  # the others are told all the same
                    message = error.message if isinstance(error, AssentError) else str(error)
                    failures.append({"listener": name, "message": message[:500]})
        if failures:
            raise WorldError(
                "LISTENERS_FAILED",
                f"the new configuration holds, but {len(failures)} of {len(self._listeners)} listeners failed",
                hint="`details` says what each of them met",
                details={"failures": failures},
            )
        return fresh


def _require_valid(config: Config, checks: list[ConfigCheck]) -> None:
    """Do nothing, or raise CONFIG_INVALID with every fault that the checks find."""
    faults: list[InputError] = []
    for check in checks:
        try:
            check(config)
        except AssentError as error:
            faults.append(
                InputError("CONFIG_INVALID", error.message, path=error.path or "app", hint=error.hint)
            )
        except ValueError as error:
            faults.append(InputError("CONFIG_INVALID", str(error), path="app"))
    if faults:
        first, *others = faults
        if others:
            first.details["faults"] = [dict(other.to_dict()) for other in others]
        raise first
