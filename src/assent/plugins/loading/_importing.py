"""Importing a plugin from its checked bytes, into this process, and seeing what it brings."""

from __future__ import annotations

import builtins
import contextlib
import sys
import traceback
from collections.abc import Collection, Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol

from assent.errors import AssentError, InputError, RefusedError
from assent.invocation.describe.declaration import capabilities_in
from assent.plugins.loading._importer import CheckedImporter

if TYPE_CHECKING:
    from assent.invocation.describe.handler import Handler
    from assent.plugins.ports import HealthCheck
    from assent.plugins.source._code import PluginCode
    from assent.spec.capability import CapabilitySpec

_OWN: Final = "assent"
_HOME: Final = str(Path(__file__).parents[2])


class InterpreterGuard:
    """The shared parts of the interpreter as they were; says what changed, and puts it back.

    This finds accidents and clumsy attacks: a module put in another's place, a builtin replaced, a finder that answers first. It
    is no sandbox. Code that runs in this process can do what the process can, which is why it is read and trusted before.
    """

    def __init__(self, tops: Collection[str]) -> None:
        self._tops = tops
        self._modules = dict(sys.modules)
        self._builtins = dict(vars(builtins))
        self._path = [*sys.path]
        self._hooks = [*sys.path_hooks]
        self._finders = [*sys.meta_path]

    def changes(self) -> list[str]:
        """One line per change; empty when there is none."""
        found = [f"`sys.modules`: {line}" for line in self._module_changes()]
        now = vars(builtins)
        names = sorted({*now, *self._builtins} - {"_"})
        found += [f"builtin `{name}`" for name in names if now.get(name) is not self._builtins.get(name)]
        if sys.path != self._path:
            found.append("`sys.path`")
        if sys.path_hooks != self._hooks:
            found.append("`sys.path_hooks`")
        # A library may add a finder behind the others; before them, it would answer for modules that are not its own.
        if sys.meta_path[: len(self._finders)] != self._finders:
            found.append("`sys.meta_path`")
        return found

    def _module_changes(self) -> list[str]:
        lines = []
        for name, module in self._modules.items():
            if name not in sys.modules:
                lines.append(f"`{name}` was removed")
            elif sys.modules[name] is not module:
                lines.append(f"`{name}` was replaced")
        for name in sorted(set(sys.modules) - set(self._modules)):
            top = name.partition(".")[0]
            # A library may make modules below its own name; nobody else's name is free for that.
            if _is_planted(name) and top not in self._tops and top in {name, _OWN}:
                lines.append(f"`{name}` was planted")
        return lines

    def restore(self) -> None:
        """Put everything back as it was. Modules that were imported as usual stay: others may hold them by now."""
        planted = [name for name in [*sys.modules] if name not in self._modules and _is_planted(name)]
        for name in planted:
            del sys.modules[name]
        sys.modules.update(self._modules)
        for name in set(vars(builtins)) - set(self._builtins):
            delattr(builtins, name)
        vars(builtins).update(self._builtins)
        sys.path[:] = self._path
        sys.path_hooks[:] = self._hooks
        sys.meta_path[:] = self._finders


def _is_planted(name: str) -> bool:
    """Whether a module came otherwise than by an import: that gives it a spec, and one of Assent's own comes from its folder."""
    spec = getattr(sys.modules[name], "__spec__", None)
    if name.partition(".")[0] != _OWN:
        return spec is None
    # Much of Assent is imported when it is first needed, the code behind the built-in capabilities above all.
    return not str(getattr(spec, "origin", None)).startswith(_HOME)


class Importable(Protocol):
    """What importing needs to know of a plugin: its checked files, and which of them is the entry."""

    @property
    def name(self) -> str: ...

    @property
    def module(self) -> str: ...

    @property
    def code(self) -> PluginCode: ...

    @property
    def native(self) -> bool: ...


class Imported:
    """A plugin whose entry module has run in this process. `module` is the entry; `forget` takes all of it out again."""

    def __init__(self, importer: CheckedImporter, module: ModuleType) -> None:
        self.importer = importer
        self.module = module

    @property
    def modules(self) -> list[ModuleType]:
        """Every module of the plugin that was imported, by name."""
        return [sys.modules[name] for name in sorted(self.importer.imported())]

    def forget(self) -> None:
        """Answer for its modules no more."""
        self.importer.uninstall()


def import_plugin(plugin: Importable) -> Imported:
    """Run a plugin's entry module. PLUGIN_SHADOWS, PLUGIN_INTERFERES, PLUGIN_NATIVE, PLUGIN_FAILED; then nothing of it stays."""
    importer = CheckedImporter(plugin.name, plugin.code, native=plugin.native)
    _require_free(plugin, importer)
    importer.install()
    guard = InterpreterGuard(plugin.code.tops)
    try:
        module = _import(plugin)
        _require_untouched(plugin, guard)
    except BaseException:
        guard.restore()
        importer.uninstall()
        raise
    return Imported(importer, module)


def _require_free(plugin: Importable, importer: CheckedImporter) -> None:
    # Whatever stands there would be taken in place of the checked files.
    taken = importer.imported()
    if taken:
        raise RefusedError(
            "PLUGIN_SHADOWS",
            f"plugin `{plugin.name}` can't be loaded: the module `{taken[0]}` is imported already, from elsewhere",
            hint="end the process that imported it, or rename the plugin's module",
            details={"modules": [*sorted(taken)]},
        )


def _import(plugin: Importable) -> ModuleType:
    try:
        # Whatever a plugin prints while it is imported must not mix with an answer on stdout.
        with contextlib.redirect_stdout(sys.stderr):
            return import_module(plugin.module)
    except AssentError:
        raise
    except (Exception, SystemExit) as error:
        places = plugin.code.places
        lines = [one for one in traceback.extract_tb(error.__traceback__) if one.filename in places]
        place = f"{lines[-1].filename}:{lines[-1].lineno}" if lines else None
        reason = " ".join(str(error).split())[:500] or "no reason given"
        raise InputError(
            "PLUGIN_FAILED",
            f"plugin `{plugin.name}` failed while it was imported: {reason}",
            path=place,
            hint=f"mend it, then: assent plugin trust {plugin.name}",
        ) from error


def _require_untouched(plugin: Importable, guard: InterpreterGuard) -> None:
    changes = guard.changes()
    if changes:
        more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
        raise RefusedError(
            "PLUGIN_INTERFERES",
            f"importing plugin `{plugin.name}` changed what all code shares: {changes[0]}{more}",
            hint="it was put back; ask the plugin's maker to leave it alone",
            details={"changes": [*changes]},
        )


def capabilities_of(name: str, modules: Iterable[ModuleType]) -> list[tuple[CapabilitySpec, Handler]]:
    """The capabilities that the imported modules of plugin `name` describe. DECLARATION_INVALID, PLUGIN_FAILED."""
    found: list[tuple[CapabilitySpec, Handler]] = []
    for module in modules:
        for one in capabilities_in(module):
            try:
                found.append((one.spec, one.handler))
            except AssentError:
                raise
            except Exception as error:
                reason = " ".join(str(error).split())[:500] or "no reason given"
                raise InputError(
                    "PLUGIN_FAILED",
                    f"capability `{one.id}` of plugin `{name}` can't be built: {reason}",
                    path=one.place,
                ) from error
    return sorted(found, key=lambda pair: pair[0].reference)


def health_of(name: str, module: ModuleType) -> HealthCheck | None:
    """The `health` function of an entry module, if it has one. PLUGIN_INVALID."""
    found = getattr(module, "health", None)
    if found is None:
        return None
    if callable(found):
        check: HealthCheck = found
        return check
    raise InputError(
        "PLUGIN_INVALID",
        f"`health` of plugin `{name}` is not a function",
        hint="make it a function without parameters, or call it something else",
    )
