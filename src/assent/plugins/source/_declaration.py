"""What a plugin says of itself, read from where its kind of source keeps it.

| source            | declaration                                                                                    |
|-------------------|------------------------------------------------------------------------------------------------|
| a project folder  | `[tool.assent.plugin]` of its `pyproject.toml`, or an `assent-plugin.toml` beside it or inside  |
|                   | its package                                                                                     |
| a package         | an `assent-plugin.toml` inside it                                                               |
| a wheel           | the same inside its package; name, version, dependencies and entry point from its metadata      |
| a single file     | `[tool.assent.plugin]` in its inline metadata (PEP 723)                                         |

The package's own metadata fills what the declaration leaves out: name, version, description, dependencies, entry point. A source
that declares nothing has the permissions of nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.parser import HeaderParser
from typing import Final, TypeAlias

import msgspec

from assent.errors import InputError
from assent.plugins.manifest import Declaration, Permissions
from assent.spec.documents.sections import Faults
from assent.spec.documents.toml import Key, locate, parse_toml
from assent.spec.reach import Service
from assent.spec.words.suggestions import did_you_mean

DECLARATION_FILE: Final = "assent-plugin.toml"
PROJECT_FILE: Final = "pyproject.toml"
GROUP: Final = "assent.plugins"
"""The entry-point group that names a plugin's module."""

TEXT_LENGTH_MAX: Final = 2000
ITEMS_MAX: Final = 200
"""Entries of one list of a declaration."""

CODE: Final = "PLUGIN_DECLARATION_INVALID"
PLUGIN_NAME: Final = re.compile(r"[a-z][a-z0-9]*([._-][a-z0-9]+)*\Z")

_NAME_HINT: Final = "lower-case letters and digits, with `-`, `_` or `.` between, at most 64 characters"
_VERSION: Final = re.compile(r"[0-9][0-9A-Za-z.+!-]{0,63}\Z")
_ENTRY: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*)?\Z")
_BOUND: Final = re.compile(r"(>=|<=|==|!=|>|<) *(\d+(?:\.\d+){0,3})\Z")
_SCRIPT: Final = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")

Table: TypeAlias = Mapping[str, object]


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value or len(value) > TEXT_LENGTH_MAX:
        raise ValueError(f"must be text of at most {TEXT_LENGTH_MAX} characters")
    return value


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = _text(value)
        if not pattern.match(text):
            raise ValueError(f"must be {what}")
        return text

    return read


def _name(value: object) -> str:
    text = _text(value)
    if not PLUGIN_NAME.match(text) or len(text) > 64:
        raise ValueError(f"must be a plugin's name: {_NAME_HINT}")
    return text


def _range(value: object) -> str:
    bounds = [bound.strip() for bound in _text(value).split(",")]
    if not all(map(_BOUND.match, bounds)):
        raise ValueError("must be a range of versions, like `>=0.1,<1`")
    return ",".join(bound.replace(" ", "") for bound in bounds)


def _list(read: Callable[[object], str]) -> Callable[[object], tuple[str, ...]]:
    def read_all(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > ITEMS_MAX:
            raise ValueError(f"must be a list of at most {ITEMS_MAX} texts")
        for index, item in enumerate(value):
            try:
                read(item)
            except ValueError as error:
                raise ValueError(f"has an entry {index} that {error}") from None
        return tuple(sorted(set(value)))

    return read_all


def _service(value: object) -> str:
    Service.parse(_text(value))
    return str(value)


def _services(value: object) -> tuple[str, ...]:
    if type(value) in {bool, str}:
        # A network without its hosts would be all of it.
        raise ValueError(
            'must be a list of the hosts that are reached: `["api.example.com", "POST api.example.com"]`'
        )
    return _list(_service)(value)


_PERMISSIONS: Final[Mapping[str, Callable[[object], tuple[str, ...]]]] = {
    "network": _services,
    "process": _list(_text),
    "files": _list(_text),
    "secrets": _list(_text),
    "environment": _list(_text),
}
_KEYS: Final[Mapping[str, Callable[[object], str | tuple[str, ...]]]] = {
    "name": _name,
    "version": _matching(_VERSION, "a version, like `1.0.0`"),
    "description": _text,
    "assent": _range,
    "entry": _matching(_ENTRY, "a module, like `acme_tickets` or `acme_tickets:capabilities`"),
    "policy": _list(_text),
}


def declared(
    files: Mapping[str, bytes], *, name: str, metadata: Mapping[str, bytes] | None = None
) -> Declaration:
    """The declaration of a source.

    `files` are those that may hold one, by their path in the source: `pyproject.toml`, `assent-plugin.toml`,
    `pkg/assent-plugin.toml` or the one Python file. `metadata` are a wheel's `METADATA` and `entry_points.txt`. `name` is what
    the source is called when nothing in it names it. Raises `InputError` PLUGIN_DECLARATION_INVALID: the first fault, all
    others in `details.faults`.
    """
    faults = Faults()
    found = [
        part for path, data in sorted(files.items()) if (part := _declaring(path, data, faults)) is not None
    ]
    if len(found) > 1:
        both = f"`{found[0].path}` and `{found[1].path}`"
        faults.add(InputError(CODE, f"the plugin is declared twice: in {both}", hint="keep one of the two"))
    faults.raise_if_any()
    about = _of_metadata(metadata or {})
    for path, data in files.items():
        about |= _of_project(path, data)
    base = Declaration(name=plugin_name(str(about.pop("name", name))), **about)  # type: ignore[arg-type]  # read by the table above
    if not found:
        return base
    declaration = found[0].read(base, faults)
    faults.raise_if_any()
    return declaration


def plugin_name(text: str) -> str:
    """A name that a plugin may have, as close to `text` as can be."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("._-")
    plain = re.sub(r"[._-]{2,}", "-", plain)[:64].rstrip("._-")
    return plain if PLUGIN_NAME.match(plain) else f"plugin-{plain}"[:64].rstrip("-")


def accepts(versions: str | None, version: str) -> bool:
    """Whether a declared range holds a version of Assent; no range holds them all. What follows a `-` or `+` does not count."""
    numbers = _numbers(re.split(r"[-+a-z]", version)[0])
    for bound in (versions or "").split(","):
        found = _BOUND.match(bound)
        if found is None:
            continue
        limit = _numbers(found[2])
        fits = {
            ">=": numbers >= limit,
            "<=": numbers <= limit,
            "==": numbers == limit,
            "!=": numbers != limit,
            ">": numbers > limit,
            "<": numbers < limit,
        }
        if not fits[found[1]]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".") if part.isdigit()]
    return (*numbers, *(0,) * (4 - len(numbers)))


class _Table:
    """A table that declares a plugin, with its text for the places of faults."""

    def __init__(self, path: str, table: Table, text: str, above: Key, first_line: int) -> None:
        self.path = path
        self._table = table
        self._text = text
        self._above = above
        self._first_line = first_line

    def read(self, base: Declaration, faults: Faults) -> Declaration:
        """The declaration; what the table does not say is as in `base`."""
        values = self._values(self._table, {**_KEYS, "permissions": None}, (), faults)
        permissions = self._table.get("permissions", {})
        if isinstance(permissions, dict):
            granted = self._values(permissions, {**_PERMISSIONS}, ("permissions",), faults)
            values["permissions"] = Permissions(**granted)  # type: ignore[arg-type]  # read by the table above
        else:
            self._fault(("permissions",), "`permissions` must be a table", None, faults)
        return msgspec.structs.replace(base, file=self.path, **values)

    def _values(
        self,
        table: Table,
        keys: Mapping[str, Callable[[object], object] | None],
        above: Key,
        faults: Faults,
    ) -> dict[str, object]:
        values: dict[str, object] = {}
        for name, value in table.items():
            if name not in keys:
                hint = did_you_mean(name, keys, otherwise=f"it has: {', '.join(keys)}")
                self._fault((*above, name), f"the declaration has no key `{name[:80]}`", hint, faults)
                continue
            read = keys[name]
            if read is None:
                continue
            try:
                values[name] = read(value)
            except ValueError as error:
                self._fault((*above, name), f"`{name}` {error}", None, faults)
        return values

    def _fault(self, key: Key, message: str, hint: str | None, faults: Faults) -> None:
        line, column = locate(self._text, (*self._above, *key))
        place = f"{self.path}:{line + self._first_line - 1}:{column}"
        faults.add(InputError(CODE, message, path=place, hint=hint))


def _declaring(path: str, data: bytes, faults: Faults) -> _Table | None:
    """The table in one file that declares a plugin; None when the file holds none."""
    name = path.rpartition("/")[2]
    above: Key = ("tool", "assent", "plugin")
    if name == DECLARATION_FILE:
        above, (table, text), first_line = (), parse_toml(data, path, code=CODE), 1
    elif name == PROJECT_FILE:
        (table, text), first_line = parse_toml(data, path, code=CODE), 1
    else:
        script = script_metadata(data)
        if script is None:
            return None
        (table, text), first_line = parse_toml(script[0].encode(), path, code=CODE), script[1]
    found: object = table
    for key in above:
        found = found.get(key) if isinstance(found, dict) else None
    if found is None:
        return None
    if not isinstance(found, dict):
        line, column = locate(text, above)
        place = f"{path}:{line + first_line - 1}:{column}"
        faults.add(InputError(CODE, "`[tool.assent.plugin]` must be a table", path=place))
        return None
    return _Table(path, found, text, above, first_line)


def script_metadata(data: bytes) -> tuple[str, int] | None:
    """The inline metadata of a Python file (PEP 723) and the line at which it starts; None without one."""
    if b"# /// script" not in data:
        return None
    source = data.decode(errors="replace").replace("\r\n", "\n")
    found = _SCRIPT.search(source)
    if found is None:
        return None
    lines = found["content"].splitlines()
    content = "\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
    return content, source.count("\n", 0, found.start("content")) + 1


def _of_project(path: str, data: bytes) -> dict[str, object]:
    """What `[project]`, or a script's metadata, says that a declaration would otherwise have to repeat."""
    if path == PROJECT_FILE:
        project = parse_toml(data, path, code=CODE)[0].get("project")
    elif path.endswith(".py") and (script := script_metadata(data)) is not None:
        project = parse_toml(script[0].encode(), path, code=CODE)[0]
    else:
        return {}
    if not isinstance(project, dict):
        return {}
    found: dict[str, object] = {}
    for key in ("name", "version", "description"):
        if isinstance(value := project.get(key), str):
            found[key] = value[:TEXT_LENGTH_MAX]
    if isinstance(needs := project.get("dependencies"), list):
        found["dependencies"] = tuple(sorted({need for need in needs if isinstance(need, str)}))
    points = project.get("entry-points")
    entries = points.get(GROUP) if isinstance(points, dict) else None
    if isinstance(entries, dict):
        found |= _entry({str(name): str(value) for name, value in entries.items()})
    return found


def _of_metadata(metadata: Mapping[str, bytes]) -> dict[str, object]:
    """The same from a wheel's `METADATA` and `entry_points.txt`."""
    headers = HeaderParser().parsestr(metadata.get("METADATA", b"").decode(errors="replace"))
    found: dict[str, object] = {}
    for key, header in (("name", "Name"), ("version", "Version"), ("description", "Summary")):
        if isinstance(value := headers.get(header), str):
            found[key] = value[:TEXT_LENGTH_MAX]
    if needs := headers.get_all("Requires-Dist"):
        found["dependencies"] = tuple(sorted({str(need) for need in needs}))
    section, entries = "", dict[str, str]()
    for line in metadata.get("entry_points.txt", b"").decode(errors="replace").splitlines():
        if line.startswith("["):
            section = line.strip(" []")
        elif section == GROUP and "=" in line:
            name, _, value = line.partition("=")
            entries[name.strip()] = value.strip()
    return found | _entry(entries)


def _entry(entries: Mapping[str, str]) -> dict[str, object]:
    # A package with several entry points is several plugins; the declaration then has to say which one this is.
    return {"entry": next(iter(entries.values()))} if len(entries) == 1 else {}
