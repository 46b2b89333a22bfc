"""The host that runs plugins in this process."""

from __future__ import annotations

import sys

from assent.errors import RefusedError
from assent.plugins.loading._agreement import require_agreement
from assent.plugins.loading._importer import CheckedImporter
from assent.plugins.loading._importing import capabilities_of, health_of, import_plugin
from assent.plugins.ports import LoadedPlugin
from assent.plugins.source._trust import CheckedPlugin


class InProcessHost:
    """A `PluginHost` whose plugins share our process, and with it everything that the process can do.

    What holds a plugin back here is that it was read, pinned and trusted; there is no wall. The importing is checked for what
    it did to the interpreter, and undone where it did anything.
    """

    def load(self, plugin: CheckedPlugin) -> LoadedPlugin:
        """See `PluginHost.load`.

        PLUGIN_SHADOWS, PLUGIN_IN_USE, PLUGIN_INTERFERES, PLUGIN_NATIVE, PLUGIN_FAILED, PLUGIN_DIFFERS, DECLARATION_INVALID.
        """
        # A process has one set of modules. Two runtimes in it share a plugin that both trust, and can't have two of a name.
        known = _importer_of(plugin)
        if known is not None:
            if known.plugin != plugin.name or known.digests != plugin.code.digests or known.loaded is None:
                raise RefusedError(
                    "PLUGIN_IN_USE",
                    f"another plugin, or another state of `{plugin.name}`, has the same modules loaded in this process",
                    hint="close the runtime that loaded it",
                )
            known.users += 1
            return known.loaded
        return _load(plugin)

    def unload(self, loaded: LoadedPlugin) -> None:
        """See `PluginHost.unload`. The modules are forgotten when the last runtime that shares them lets go."""
        importer = _importer_of(loaded.plugin)
        if importer is None or importer.loaded is not loaded:
            return
        importer.users -= 1
        if importer.users <= 0:
            importer.uninstall()

    def close(self) -> None:
        """Nothing: what is loaded is let go of plugin by plugin."""


def _importer_of(plugin: CheckedPlugin) -> CheckedImporter | None:
    return next(
        (
            finder
            for finder in sys.meta_path
            if isinstance(finder, CheckedImporter) and finder.tops & plugin.code.tops
        ),
        None,
    )


def _load(plugin: CheckedPlugin) -> LoadedPlugin:
    imported = import_plugin(plugin)
    try:
        brought = require_agreement(
            plugin.name, plugin.manifest, capabilities_of(plugin.name, imported.modules)
        )
        health = health_of(plugin.name, imported.module)
    except BaseException:
        imported.forget()
        raise
    loaded = imported.importer.loaded = LoadedPlugin(plugin, brought, health)
    return loaded
