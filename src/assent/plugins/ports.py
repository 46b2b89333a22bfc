"""The port that a plugin's code runs behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from assent.spec.capability import CapabilitySpec

if TYPE_CHECKING:
    from assent.invocation import Handler
    from assent.plugins.source._trust import CheckedPlugin

HealthCheck: TypeAlias = Callable[[], object | Awaitable[object]]
"""A plugin's own `health` function, sync or async: None or true is well, false or a text is not, and so is an exception."""


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """What a plugin brought: each capability's spec with what performs it, and its `health` function if it has one.

    `ready` brings up whatever has to run before `health` is asked; it is no time of the health check's.
    """

    plugin: CheckedPlugin
    capabilities: tuple[tuple[CapabilitySpec, Handler], ...]
    health: HealthCheck | None = None
    ready: Callable[[], Awaitable[None]] | None = None


class PluginHost(Protocol):
    """Where the code of plugins runs: in this process, or each in a worker of its own.

    A host is handed checked bytes, never a path, and gives back specs and handlers; it needs nothing else of the runtime.
    """

    def load(self, plugin: CheckedPlugin) -> LoadedPlugin:
        """What the plugin brings, from the checked bytes.

        Raises `AssentError` and leaves nothing behind when that fails. May be called again after `unload`.
        """
        ...

    def unload(self, loaded: LoadedPlugin) -> None:
        """Forget the plugin; harmless when done twice. Runs under way keep the handlers that they hold, until `close`."""
        ...

    def close(self) -> None:
        """End everything that still runs for plugins; harmless when done twice. `load` may be called again."""
        ...
