"""Where plugins come from: entry points of installed distributions, and the paths that `assent.toml` names.

Finding is reading: metadata, `pyproject.toml` and the names of files. Nothing is imported, not even a parent package, which
`importlib.util.find_spec` would do.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata as installed
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path
from typing import Final

from assent.errors import InputError, RefusedError
from assent.plugins.source._declaration import GROUP, PLUGIN_NAME, PROJECT_FILE
from assent.spec.documents.toml import parse_toml
from assent.spec.words.suggestions import did_you_mean

PROJECT_BYTES_MAX: Final = 1 << 20
NAME_LENGTH_MAX: Final = 64
_MODULE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\Z")


@dataclass(frozen=True, slots=True)
class PluginSource:
    """One plugin as it was found.

    `module` is its entry module; `origin` says where it was found, as the lock remembers it: `distribution NAME` or `path
    PATH`. `base` is the folder that it is imported from. A plugin at a path has its `path`; an installed one the `roots` that
    are its own (packages and modules at the top of `base`) and the `metadata` that says what it is.
    """

    name: str
    module: str
    origin: str
    base: Path
    version: str | None = None
    path: Path | None = None
    roots: tuple[Path, ...] = ()
    metadata: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that was found: plugins by name, and what could not be one, each with its error."""

    plugins: Mapping[str, PluginSource]
    faults: Mapping[str, InputError | RefusedError]

    def get(self, name: str) -> PluginSource:
        """The plugin of this name; PLUGIN_UNKNOWN, or the error that keeps it from being one."""
        if name in self.faults:
            raise self.faults[name]
        found = self.plugins.get(name)
        if found is None:
            listed = f"add its path to `[plugins] paths` in assent.toml, or install it with the entry point `{GROUP}`"
            raise InputError(
                "PLUGIN_UNKNOWN",
                f"there is no plugin `{name[:80]}`",
                hint=did_you_mean(name, self.plugins, otherwise=listed),
            )
        return found


def find_sources(workspace: Path, paths: Sequence[str]) -> Sources:
    """Every plugin that can be found: those at `paths` (relative to the workspace), then the installed ones."""
    plugins: dict[str, PluginSource] = {}
    faults: dict[str, InputError | RefusedError] = {}
    for path in paths:
        try:
            found = sources_at(workspace, path)
        except (InputError, RefusedError) as error:
            faults[Path(path).stem or path] = error  # the name that it would most likely have
            continue
        for source in found:
            _add(source, plugins, faults)
    for name, entries in _entry_points().items():
        try:
            for entry in entries:
                _add(_installed(entry), plugins, faults)
        except (InputError, RefusedError) as error:
            faults[name] = error
    return Sources(plugins, faults)


def _add(
    source: PluginSource,
    plugins: dict[str, PluginSource],
    faults: dict[str, InputError | RefusedError],
) -> None:
    other = plugins.setdefault(source.name, source)
    if other is source:
        return
    # Neither is taken: whoever adds a second one of a name must not decide which of the two runs.
    faults[source.name] = InputError(
        "PLUGIN_AMBIGUOUS",
        f"two plugins are called `{source.name}`: {other.origin} and {source.origin}",
        hint="take one of them out of `[plugins] paths`, or uninstall it",
    )


def sources_at(workspace: Path, path: str) -> list[PluginSource]:
    """The plugins at a path: a file `NAME.py`, a package, or a project whose `pyproject.toml` names its entry points.

    `InputError` PLUGIN_INVALID.
    """
    # Not `resolve()`: a link in the path is the user's choice; one at its end is refused where the files are read.
    place = Path(os.path.abspath(workspace / path))  # noqa: PTH100 - as above
    origin = f"path {path}"
    if place.is_dir() and (place / PROJECT_FILE).is_file():
        return _project(place, origin)
    if place.is_dir() and (place / "__init__.py").is_file():
        if (place.parent / "__init__.py").is_file():
            raise InputError(
                "PLUGIN_INVALID",
                f"`{path}` is part of the package `{place.parent.name}`, and can't be imported without it",
                path=str(place),
                hint="name the whole package",
            )
        name = _named(place.name, origin)
        return [PluginSource(name, place.name, origin, place.parent, path=place)]
    if place.is_file() and place.suffix == ".py":
        name = _named(place.stem, origin)
        return [PluginSource(name, place.stem, origin, place.parent, path=place)]
    what = "is not there" if not place.exists() else "is not a plugin"
    raise InputError(
        "PLUGIN_INVALID",
        f"`{path}` {what}",
        path=str(place),
        hint="a plugin is a file `NAME.py`, a package with `__init__.py`, or a project whose `pyproject.toml` has "
        f'`[project.entry-points."{GROUP}"]`',
    )


def _project(folder: Path, origin: str) -> list[PluginSource]:
    place = folder / PROJECT_FILE
    content = _document(place)
    data, _ = parse_toml(content, str(place), code="PLUGIN_INVALID")
    project = _table(data, "project")
    entries = _table(_table(project, "entry-points"), GROUP)
    if not entries:
        raise InputError(
            "PLUGIN_INVALID",
            "the project names no plugin",
            path=str(place),
            hint=f'add `[project.entry-points."{GROUP}"]` with `NAME = "MODULE"`',
        )
    version = project.get("version")
    found = []
    for name, value in entries.items():
        module = _entry_module(str(value), name, str(place))
        top = module.partition(".")[0]
        base = folder / "src" if (folder / "src").is_dir() else folder
        if _top_at(base, top) is None:
            raise _no_package(name, top, str(place))
        known = version if isinstance(version, str) else None
        found.append(PluginSource(_named(name, origin), module, origin, base, known, folder))
    return found


def _document(place: Path) -> bytes:
    try:
        with place.open("rb") as file:
            return file.read(PROJECT_BYTES_MAX)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise InputError("PLUGIN_INVALID", f"the file can't be read: {reason}", path=str(place)) from None


def _table(data: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _top_at(folder: Path, top: str) -> Path | None:
    """The regular package or the single module of a name in a folder."""
    if (folder / top / "__init__.py").is_file():
        return folder / top
    names = (f"{top}{end}" for end in (".py", *EXTENSION_SUFFIXES))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _entry_points() -> dict[str, list[installed.EntryPoint]]:
    found: dict[str, list[installed.EntryPoint]] = {}
    for entry in installed.entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return dict(sorted(found.items()))


def _installed(entry: installed.EntryPoint) -> PluginSource:
    distribution = entry.dist
    assert distribution is not None, (
        "an entry point that was found in the metadata of a distribution names it"
    )
    origin = f"distribution {distribution.name}"
    module = _entry_module(entry.value, entry.name, origin)
    top = module.partition(".")[0]
    # A finder of files alone: it reads folders and imports nothing for a name without a dot.
    spec = PathFinder.find_spec(top)
    place = None if spec is None or spec.origin is None else Path(spec.origin)
    if place is None:
        raise _no_package(entry.name, top, origin)
    root = place.parent if place.name == "__init__.py" else place
    owned = _owned(distribution)
    if not any(root == own or root.is_relative_to(own) for own in owned):
        raise RefusedError(
            "PLUGIN_SHADOWS",
            f"the entry point `{entry.name}` of `{distribution.name}` names `{module}`, which is not one of its own modules",
            path=str(root),
            hint="whoever made the distribution has to name a module that it installs",
        )
    others = sorted(own for own in owned if own != root and _is_code(own) and not root.is_relative_to(own))
    metadata = {
        name: text.encode()
        for name in ("METADATA", "entry_points.txt")
        if (text := distribution.read_text(name)) is not None
    }
    return PluginSource(
        _named(entry.name, origin),
        module,
        origin,
        root.parent,
        distribution.version,
        roots=(root, *others),
        metadata=metadata,
    )


def _owned(distribution: installed.Distribution) -> set[Path]:
    """The packages and modules at the top of what a distribution installs, or the folder of an editable one."""
    owned: set[Path] = set()
    for file in distribution.files or ():
        top = file.parts[0]
        place = Path(str(distribution.locate_file(top)))
        if top.endswith(".pth"):
            owned |= _linked(place, distribution.name)
        elif not top.endswith((".dist-info", ".egg-info", ".data")) and top not in ("..", "__pycache__"):
            owned.add(place)
    return owned


def _linked(file: Path, distribution: str) -> set[Path]:
    """The folders that an editable installation adds to the path."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return set()
    if any(line.startswith(("import ", "import\t")) for line in lines):
        raise RefusedError(
            "PLUGIN_INTERFERES",
            f"`{distribution}` installs `{file.name}`, which runs code whenever Python starts",
            path=str(file),
            hint="uninstall it: what runs before Assent does can't be held back by it",
        )
    return {Path(line) for line in lines if line.startswith("/")}


def _is_code(place: Path) -> bool:
    names = (".py", *EXTENSION_SUFFIXES)
    return place.name.endswith(names) or (place / "__init__.py").is_file()


def _named(name: str, origin: str) -> str:
    if PLUGIN_NAME.match(name) and len(name) <= NAME_LENGTH_MAX:
        return name
    raise InputError(
        "PLUGIN_INVALID",
        f"`{name[:80]}` is not a name of a plugin ({origin})",
        hint=f"lower-case letters and digits, with `-`, `_` or `.` between, at most {NAME_LENGTH_MAX} characters",
    )


def _entry_module(value: str, name: str, place: str) -> str:
    if _MODULE.match(value):
        return value
    raise InputError(
        "PLUGIN_INVALID",
        f"the entry point `{name[:80]}` names `{value[:80]}`, which is not a module",
        path=place,
        hint=f'name the module alone: `{name[:80]} = "my_plugin"`',
    )


def _no_package(name: str, top: str, place: str) -> InputError:
    return InputError(
        "PLUGIN_INVALID",
        f"the entry point `{name}` names `{top}`, and there is no package or module of that name",
        path=place,
        hint=f"a package needs an `__init__.py`: without one any folder called `{top}` could add modules to it",
    )


def require_own_modules(source: PluginSource, tops: Iterable[str]) -> None:
    """Refuse a plugin one of whose modules takes the name of one that is not its own; `RefusedError` PLUGIN_SHADOWS."""
    for top in sorted(tops):
        taken = next(_taken(top, source), None)
        if taken is not None:
            raise RefusedError(
                "PLUGIN_SHADOWS",
                f"plugin `{source.name}` would take the place of {taken}",
                path=str(source.path or source.base),
                hint="its maker has to rename the module",
            )


def _taken(top: str, source: PluginSource) -> Iterator[str]:
    if not top.isidentifier():
        return
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        yield f"`{top}` of Python itself"
    elif top == "assent":
        yield "Assent itself"
    else:
        spec = PathFinder.find_spec(top)
        if spec is None:
            return
        place = Path(spec.origin) if spec.origin is not None else None
        home = place.parent if place is not None and place.name == "__init__.py" else place
        own = source.roots or (_top_at(source.base, top),)
        if home is None or not any(one is not None and _is_same(home, one) for one in own):
            yield f"the installed module `{top}`"


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
