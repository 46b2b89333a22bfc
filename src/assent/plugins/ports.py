"""The port that a plugin's code runs behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from assent.spec.capability import CapabilitySpec

if TYPE_CHECKING:
    from assent.invocation import Handler
    from assent.plugins._trust import CheckedPlugin

HealthCheck: TypeAlias = Callable[[], object | Awaitable[object]]
"""A plugin's own `health` function, sync or async: None or true is well, false or a text is not, and so is an exception."""


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """What a plugin brought: each capability's spec with what performs it, and its `health` function if it has one."""

    plugin: CheckedPlugin
    capabilities: tuple[tuple[CapabilitySpec, Handler], ...]
    health: HealthCheck | None = None


class PluginHost(Protocol):
    """Where the code of plugins runs.

    The one host today runs it in this process. A host that keeps it in a process of its own gives handlers that forward each
    part over a channel, and needs nothing else of the runtime: it is handed checked bytes, never a path, and gives back specs
    and handlers.
    """

    def load(self, plugin: CheckedPlugin) -> LoadedPlugin:
        """Run the plugin's entry module from the checked bytes, and give what it brings.

        Raises `AssentError` and leaves nothing behind when that fails. May be called again after `unload`.
        """
        ...

    def unload(self, loaded: LoadedPlugin) -> None:
        """Forget the plugin's modules; harmless when done twice. Runs under way keep the functions that they hold."""
        ...
