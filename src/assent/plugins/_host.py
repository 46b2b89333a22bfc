"""The host that runs plugins in this process."""

from __future__ import annotations

import contextlib
import sys
import traceback
from importlib import import_module
from types import ModuleType

from assent.errors import AssentError, InputError, RefusedError
from assent.plugins._guard import InterpreterGuard
from assent.plugins._importer import CheckedImporter
from assent.plugins._registrations import registrations_of
from assent.plugins._trust import CheckedPlugin
from assent.plugins.ports import HealthCheck, LoadedPlugin


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
    importer = CheckedImporter(plugin.name, plugin.code, native=plugin.native)
    _require_free(plugin, importer)
    importer.install()
    guard = InterpreterGuard(plugin.code.tops)
    try:
        module = _import(plugin)
        _require_untouched(plugin, guard)
        modules = [sys.modules[name] for name in sorted(importer.imported())]
        importer.loaded = LoadedPlugin(plugin, registrations_of(plugin, modules), _health(plugin, module))
    except BaseException:
        guard.restore()
        importer.uninstall()
        raise
    return importer.loaded


def _require_free(plugin: CheckedPlugin, importer: CheckedImporter) -> None:
    # Whatever stands there would be taken in place of the checked files.
    taken = importer.imported()
    if taken:
        raise RefusedError(
            "PLUGIN_SHADOWS",
            f"plugin `{plugin.name}` can't be loaded: the module `{taken[0]}` is imported already, from elsewhere",
            hint="end the process that imported it, or rename the plugin's module",
            details={"modules": [*sorted(taken)]},
        )


def _import(plugin: CheckedPlugin) -> ModuleType:
    try:
        # Whatever a plugin prints while it is imported must not mix with an answer on stdout.
        with contextlib.redirect_stdout(sys.stderr):
            return import_module(plugin.module)
    except AssentError:
        raise
    except (Exception, SystemExit) as error:
        lines = [one for one in traceback.extract_tb(error.__traceback__) if plugin.has_place(one.filename)]
        place = f"{lines[-1].filename}:{lines[-1].lineno}" if lines else None
        reason = " ".join(str(error).split())[:500] or "no reason given"
        raise InputError(
            "PLUGIN_FAILED",
            f"plugin `{plugin.name}` failed while it was imported: {reason}",
            path=place,
            hint=f"mend it, then: assent plugin trust {plugin.name}",
        ) from error


def _require_untouched(plugin: CheckedPlugin, guard: InterpreterGuard) -> None:
    changes = guard.changes()
    if changes:
        more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
        raise RefusedError(
            "PLUGIN_INTERFERES",
            f"importing plugin `{plugin.name}` changed what all code shares: {changes[0]}{more}",
            hint="it was put back; ask the plugin's maker to leave it alone",
            details={"changes": [*changes]},
        )


def _health(plugin: CheckedPlugin, module: ModuleType) -> HealthCheck | None:
    found = getattr(module, "health", None)
    if found is None:
        return None
    if callable(found):
        check: HealthCheck = found
        return check
    raise InputError(
        "PLUGIN_INVALID",
        f"`health` of plugin `{plugin.name}` is no function",
        hint="make it a function without parameters, or call it something else",
    )
