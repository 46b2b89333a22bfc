"""Importing a plugin's modules from bytes that were checked, and from nowhere else.

The importer answers for the plugin's own top names only, and for those it answers alone: what the checked files do not hold does
not exist, so no folder of `sys.path`, no bytecode and no file that appeared meanwhile can take a module's place.
"""

from __future__ import annotations

import fcntl
import io
import linecache
import os
import sys
import zipfile
from collections.abc import Sequence
from functools import cached_property
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.resources.abc import Traversable, TraversableResources
from importlib.util import decode_source
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Final

from assent.errors import RefusedError
from assent.plugins.source._code import ModuleFile, PluginCode, modules_of

if TYPE_CHECKING:
    from assent.plugins.ports import LoadedPlugin

_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class CheckedImporter(MetaPathFinder):
    """Finds the modules of one plugin among its checked bytes.

    `native`: compiled modules may be loaded, each from a sealed copy in memory of the checked bytes.
    """

    def __init__(self, plugin: str, code: PluginCode, *, native: bool) -> None:
        self.plugin = plugin
        self._code = code
        self._modules = modules_of(code)
        self._native = native
        # Kept open: the linker knows a library by its path, a descriptor's path is its number, and numbers are given again.
        self._descriptors: list[int] = []
        self.loaded: LoadedPlugin | None = None
        """What the import gave, for the runtimes of this process that share it."""
        self.users = 1

    @property
    def tops(self) -> frozenset[str]:
        """The names that it answers for, with all that is below them."""
        return self._code.tops

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each file that it imports from."""
        return self._code.digests

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module of the plugin; None for every module that is not its own."""
        del path, target
        if fullname.partition(".")[0] not in self._code.tops:
            return None
        module = self._modules.get(fullname)
        if module is None:
            # Not None: the next finder would look for it on the disk.
            message = f"the trusted files of plugin `{self.plugin}` hold no module `{fullname}`"
            raise ModuleNotFoundError(message, name=fullname)
        if module.is_native:
            return self._native_spec(fullname, module)
        place = self._code.place(module.file)
        loader = _SourceLoader(fullname, module, self._code)
        spec = ModuleSpec(fullname, loader, origin=place, is_package=module.is_package)
        # Not for finding anything: with it tracebacks and `inspect` name the file.
        spec.has_location = True
        return spec

    def _native_spec(self, fullname: str, module: ModuleFile) -> ModuleSpec:
        if not self._native:
            raise RefusedError(
                "PLUGIN_NATIVE",
                f"plugin `{self.plugin}` has the compiled module `{module.file}`, which it was not trusted with",
                hint=f"assent plugin trust {self.plugin} --native",
            )
        path = self._sealed(self._code.files[module.file])
        loader = ExtensionFileLoader(fullname, path)
        return ModuleSpec(fullname, loader, origin=path)

    def _sealed(self, data: bytes) -> str:
        """A path to a copy that nobody can change any more, not even this user: a file in memory, sealed."""
        descriptor = os.memfd_create(f"assent-{self.plugin}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._descriptors.append(descriptor)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return f"/proc/self/fd/{descriptor}"

    def install(self) -> None:
        """Answer before every other finder."""
        sys.meta_path.insert(0, self)

    def uninstall(self) -> None:
        """Answer no more, and forget the plugin's modules. Harmless when done twice.

        A compiled module stays mapped until the process ends, as the interpreter has it, and so does its copy.
        """
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
        for name in self.imported():
            del sys.modules[name]

    def imported(self) -> list[str]:
        """The names of this plugin that stand among the imported modules."""
        return [name for name in sys.modules if name.partition(".")[0] in self._code.tops]


class _SourceLoader(InspectLoader):
    """Compiles one module from its checked source. Bytecode is neither read nor written."""

    def __init__(self, name: str, module: ModuleFile, code: PluginCode) -> None:
        self._name = name
        self._module = module
        self._plugin = code

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """None: a module as usual."""
        del spec
        return None

    def get_code(self, fullname: str) -> CodeType:
        """The compiled source; SyntaxError as the compiler raises it."""
        file = self._module.file
        place = self._plugin.place(file)
        compiled = compile(self._plugin.files[file], place, "exec", dont_inherit=True)
        assert isinstance(compiled, CodeType), "no flag asks for a tree"
        # So that tracebacks show what ran, and not what stands in the file by now. An entry without a time is never checked.
        source = self.get_source(fullname)
        linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
        return compiled

    def get_source(self, fullname: str) -> str:
        """The checked source as text."""
        del fullname
        return decode_source(self._plugin.files[self._module.file])

    def is_package(self, fullname: str) -> bool:
        """Whether the module is a package."""
        del fullname
        return self._module.is_package

    def get_resource_reader(self, fullname: str) -> TraversableResources:
        """The checked files of the package as resources."""
        return _Resources(self._plugin, fullname.replace(".", "/"))


class _Resources(TraversableResources):
    """The files of one package of a plugin, from the checked bytes."""

    def __init__(self, code: PluginCode, folder: str) -> None:
        self._code = code
        self._folder = folder

    def files(self) -> Traversable:
        """The package's folder."""
        return zipfile.Path(self._archive, f"{self._folder}/")

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        # An archive in memory already is a tree of files that can be walked and read, and cannot be written.
        store = io.BytesIO()
        with zipfile.ZipFile(store, "w") as writing:
            for name, data in self._code.files.items():
                writing.writestr(name, data)
        return zipfile.ZipFile(store)
