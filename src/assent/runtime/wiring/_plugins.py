"""The plugins of one runtime: loaded when it is made, registered whole or not at all, and taken out again.

A plugin that can't be loaded is left out, and `list` says why; the runtime opens without it, unless `[plugins] required`
names it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from assent import __version__
from assent.errors import AssentError, InputError, RefusedError
from assent.invocation import Health, HealthStatus
from assent.invocation.hooks.hook import is_async
from assent.runtime.capabilities._capability_record import BUILT_IN
from assent.runtime.capabilities._registered import Capabilities

if TYPE_CHECKING:
    from assent.plugins import LoadedPlugin, PluginLoader, PluginStatus, Sources
    from assent.runtime.settings.effective import Settings
    from assent.runtime.wiring._plugin_hosts import PluginHosts

HEALTH_S: Final = 5.0
"""How long a plugin's `health` may take."""


def plugin_loader(settings: Settings) -> PluginLoader:
    """The loader of a workspace's plugins."""
    from assent.plugins import PluginLoader

    return PluginLoader(
        settings.workspace,
        settings.plugin_lock,
        paths=settings.plugin_paths,
        required=settings.required_plugins,
        assent=__version__,
    )


def origin_of(name: str) -> str:
    """What the registry says of where a plugin's capabilities come from."""
    return f"plugin {name}"


class Plugins:
    """The plugins of a runtime, by name."""

    def __init__(self, settings: Settings, capabilities: Capabilities) -> None:
        self._settings = settings
        self._capabilities = capabilities
        self._host: PluginHosts | None = None
        self._loaded: dict[str, LoadedPlugin] = {}
        self._faults: dict[str, AssentError] = {}

    @classmethod
    def trusted(cls, settings: Settings, capabilities: Capabilities) -> Self:
        """The plugins that are trusted, loaded. Raises only for one that is required: its own error."""
        plugins = cls(settings, capabilities)
        plugins.load_trusted()
        return plugins

    @property
    def loaded(self) -> Mapping[str, LoadedPlugin]:
        """What is loaded now."""
        return dict(self._loaded)

    @property
    def faults(self) -> Mapping[str, AssentError]:
        """Why a trusted plugin was left out."""
        return dict(self._faults)

    def load_trusted(self) -> None:
        """Load every plugin that is trusted, as `trusted` does.

        Where nothing is trusted or required, nothing is looked for either: finding plugins takes time.
        """
        settings = self._settings
        if not settings.required_plugins and not settings.plugin_lock.exists():
            return
        loader = plugin_loader(settings)
        try:
            wanted = loader.wanted()
        except AssentError as error:
            if settings.required_plugins:
                raise
            self._faults[settings.plugin_lock.name] = error
            return
        sources = loader.sources() if wanted else None
        for name in wanted:
            try:
                self._load(name, loader, sources)
            except AssentError as error:
                if name in settings.required_plugins:
                    self.close()
                    why = "this workspace does not open without it: `[plugins] required` in assent.toml"
                    error.hint = f"{error.hint}; {why}" if error.hint else why
                    raise
                self._faults[name] = error

    def leave_out_unrecordable(self) -> None:
        """Take out what the record, now that it is known, can't take in: it would stop every run, and not only its own.

        Raises for a plugin that is required.
        """
        for name, loaded in [*self._loaded.items()]:
            try:
                for spec, _ in loaded.capabilities:
                    self._capabilities.require_recordable(spec)
            except AssentError as error:
                if name in self._settings.required_plugins:
                    raise
                self.unload(name)
                self._faults[name] = error
        if self._host is not None:
            self._host.remember()

    def load(self, name: str) -> LoadedPlugin:
        """Load one plugin, for runs that begin from now on; nothing of it stays when it is refused.

        Raises what `PluginLoader.load` and the host raise, PLUGIN_IN_USE when it is loaded, PLUGIN_SHADOWS.
        """
        if name in self._loaded:
            raise RefusedError(
                "PLUGIN_IN_USE", f"plugin `{name}` is loaded already", hint="reload it, or unload it first"
            )
        loaded = self._load(name, plugin_loader(self._settings), None)
        self._faults.pop(name, None)
        return loaded

    def _load(self, name: str, loader: PluginLoader, sources: Sources | None) -> LoadedPlugin:
        host = self._running_host()
        loaded = loader.load(name, host, sources)
        try:
            self._require_own_ids(loaded)
            self._capabilities.register_all(loaded.capabilities, origin=origin_of(name))
        except AssentError:
            host.unload(loaded)
            raise
        self._loaded[name] = loaded
        return loaded

    def _require_own_ids(self, loaded: LoadedPlugin) -> None:
        """No id belongs to two, whatever the version: who calls it must not be answered by somebody else one day."""
        registry, own = self._capabilities.registry, origin_of(loaded.plugin.name)
        owners = {spec.id: registry.origin(spec.reference) or "" for spec in registry.installed()}
        for spec, _ in loaded.capabilities:
            owner = owners.get(spec.id)
            if owner is None or owner == own:
                continue
            whose = "is built in" if owner == BUILT_IN else f"belongs to {owner}"
            raise RefusedError(
                "PLUGIN_SHADOWS",
                f"plugin `{loaded.plugin.name}` registers `{spec.id}`, which {whose}",
                hint="nothing of it stays registered; its maker has to choose ids of its own, like `NAME.…`",
                details={"capability": spec.id, "owner": owner},
            )

    def unload(self, name: str) -> None:
        """Take a plugin out: runs that begin from now on don't know it, those under way go on with it. PLUGIN_UNKNOWN."""
        loaded = self._require_loaded(name)
        del self._loaded[name]
        self._capabilities.unregister(spec.reference for spec, _ in loaded.capabilities)
        self._running_host().unload(loaded)

    def reload(self, name: str) -> LoadedPlugin:
        """Take in a plugin that changed and was trusted anew. When that is refused the earlier one stays as it was.

        The new state is checked before the old one is taken out; what its import is refused for brings the old one back.
        """
        before = self._require_loaded(name)
        loader = plugin_loader(self._settings)
        loader.check(name)
        self.unload(name)
        try:
            return self.load(name)
        except AssentError:
            again = self._running_host().load(before.plugin)
            self._capabilities.register_all(again.capabilities, origin=origin_of(name))
            self._loaded[name] = again
            raise

    def list(self) -> list[PluginStatus]:
        """Every plugin that was found or is trusted, and how it stands in this runtime."""
        from assent.plugins import PluginState

        shown = []
        for status in plugin_loader(self._settings).list():
            if status.name in self._loaded:
                # What is loaded goes on as it was loaded, whatever its files have become.
                shown.append(replace(status, state=PluginState.LOADED))
            elif status.name in self._faults and status.error is None:
                shown.append(replace(status, state=PluginState.REFUSED, error=self._faults[status.name]))
            else:
                shown.append(status)
        return shown

    async def health(self, name: str) -> Health:
        """How a loaded plugin says that it is, within 5 seconds; `ok` when it says nothing. PLUGIN_UNKNOWN."""
        loaded = self._require_loaded(name)
        check = loaded.health
        if check is None:
            return Health()
        try:
            if loaded.ready is not None:
                await loaded.ready()
            async with asyncio.timeout(HEALTH_S):
                said = await _asked(check)
        except AssentError as error:
            return Health(HealthStatus.FAILED, error.message)
        except TimeoutError:
            return Health(HealthStatus.FAILED, f"it did not answer within {HEALTH_S:.0f} s")
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises is how it is, not how we are
            return Health(
                HealthStatus.FAILED, " ".join(str(error).split())[:500] or "it failed without a word"
            )
        match said:
            case Health():
                return said
            case None | True:
                return Health()
            case str():
                return Health(HealthStatus.DEGRADED, said[:500])
            case _:
                return Health(HealthStatus.FAILED)

    async def healths(self, name: str | None = None) -> dict[str, Health]:
        """How every plugin that should be here is, by name, or the one of this name: what could not be loaded has failed."""
        if name is not None and name in self._loaded:
            return {name: await self.health(name)}
        if name is not None:
            self._require_loaded(name)
        found = {one: await self.health(one) for one in self._loaded}
        found |= {one: Health(HealthStatus.FAILED, error.message) for one, error in self._faults.items()}
        return dict(sorted(found.items()))

    def close(self) -> None:
        """Let go of every plugin; harmless when done twice."""
        for name in [*self._loaded]:
            self.unload(name)
        if self._host is not None:
            self._host.close()

    def _require_loaded(self, name: str) -> LoadedPlugin:
        loaded = self._loaded.get(name)
        if loaded is None:
            if name in self._faults:
                raise self._faults[name]
            raise InputError(
                "PLUGIN_UNKNOWN", f"no plugin `{name[:80]}` is loaded", hint="see: assent plugin list"
            )
        return loaded

    def _running_host(self) -> PluginHosts:
        if self._host is None:
            from assent.runtime.wiring._plugin_hosts import PluginHosts

            self._host = PluginHosts(self._settings)
        return self._host


async def _asked(check: Callable[[], object]) -> object:
    # A sync one may block, and an async one is no more than a call away from its coroutine.
    said = check() if is_async(check) else await asyncio.to_thread(check)
    return await said if inspect.isawaitable(said) else said
