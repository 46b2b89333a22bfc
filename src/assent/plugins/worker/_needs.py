"""What a plugin's worker gets of the machine: what its trusted manifest declares, and what any Python needs to run at all."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from assent.plugins.worker._process import Child

if TYPE_CHECKING:
    from assent.plugins.source._trust import CheckedPlugin

BOOT: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; from assent import system; "
    "from assent.plugins.worker.process import main; main(system.spawn, programs=sys.argv[1] == 'programs')"
)
"""The first line of a worker. It is the one place where its parts come together, as a runtime is elsewhere."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one worker gets. Two plugins with equal needs can have each other's idle workers.

    `packages` are the folders that modules come from, in the order of `sys.path`; `readable` are more places that may be read;
    `programs`: whether programs may be started. None has a network: what a plugin may reach, Assent asks for it (`context.http`).
    """

    packages: tuple[str, ...]
    readable: tuple[str, ...] = ()
    programs: bool = False
    environment: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, plugin: CheckedPlugin, environ: Mapping[str, str]) -> Needs:
        """The needs of a plugin, by the permissions that its manifest declares; `environ` is what Assent was started with.

        Files that are declared can be read. What is no absolute path of something that exists is not there for the worker either.
        """
        declared = plugin.manifest.declaration.permissions
        readable = [path for path in declared.files if path.startswith("/") and Path(path).exists()]
        readable += [found for name in declared.process if (found := shutil.which(name)) is not None]
        tops = {
            entry.name.partition(".")[0]
            for module in plugin.manifest.modules
            for entry in module.imports
            if entry.origin == "third_party"
        }
        return cls(
            packages=_packages(frozenset(tops)),
            readable=tuple(sorted({*readable})),
            programs=bool(declared.process),
            environment=tuple((name, environ[name]) for name in declared.environment if name in environ),
        )

    @property
    def argv(self) -> list[str]:
        """The command: isolated, without the site's own start-up files, and without a bytecode cache to write."""
        return [sys.executable, "-IBS", "-c", BOOT, "programs" if self.programs else "alone", *self.packages]


Launch: TypeAlias = Callable[[Needs], Awaitable[Child]]
"""Starts a confined process for needs."""


def _packages(tops: frozenset[str]) -> tuple[str, ...]:
    """Where modules come from: Python's own, what is installed beside Assent, Assent itself, and what the plugin imports."""
    paths = sysconfig.get_paths()
    found = [path for path in sys.path if path.endswith((".zip", "lib-dynload")) and Path(path).exists()]
    found = [paths["stdlib"], paths["platstdlib"], *found, paths["purelib"], paths["platlib"]]
    found.append(str(Path(__file__).parents[3]))
    for top in sorted({*tops, "pydantic", "msgspec"}):
        spec = find_spec(top) if top not in sys.builtin_module_names else None
        place = spec.origin if spec is not None and spec.origin not in {None, "built-in", "frozen"} else None
        if place is not None:
            folder = Path(place).parent
            found.append(str(folder.parent if Path(place).stem == "__init__" else folder))
    return tuple(dict.fromkeys(str(Path(path)) for path in found))
