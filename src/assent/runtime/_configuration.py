"""`assent.toml` and the user's `config.toml`: the tables they may hold, read strictly and with the place of every fault.

The places of keys are looked up in the text, and only once something is wrong (see `assent.spec.toml`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from assent.errors import InputError, Json
from assent.runtime import _exec_settings as programs
from assent.runtime import _net_settings as net
from assent.runtime import _notify_settings as notify
from assent.runtime import _sandbox_settings as sandbox
from assent.runtime._git_settings import GIT
from assent.runtime._info_settings import read_env
from assent.runtime._secret_settings import read_address, read_hosts, read_patterns, read_source
from assent.spec.documents import did_you_mean
from assent.spec.ids import LABEL, PRINCIPAL_ID
from assent.spec.secret_text import is_secret_name
from assent.spec.sections import parse_duration_ms
from assent.spec.toml import Key, locate, parse_toml

PROJECT_FILE: Final = "assent.toml"
"""The file whose folder is a workspace."""

FILE_BYTES_MAX: Final = 1 << 20
UID_MAX: Final = (1 << 32) - 2
CALLS_MAX: Final = 100_000
"""What a rate limit may let pass at most; the limiter remembers each."""

Read: TypeAlias = Callable[[object], Json]
"""Gives the checked value, or raises ValueError with the rest of the sentence `KEY …`."""

_DURATION: Final = "must be a duration: seconds (`30`) or `500ms`, `30s`, `5m`, `2h`"


def _text(value: object) -> Json:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be text")
    return value


def _label(value: object) -> Json:
    if not isinstance(value, str) or not LABEL.match(value):
        raise ValueError("must be a name: letters, digits, spaces and `._/:@+-`, at most 128 characters")
    return value


def _flag(value: object) -> Json:
    if value is not True and value is not False:
        raise ValueError("must be true or false")
    return value


def _whole(least: int, most: int) -> Read:
    def read(value: object) -> Json:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be a whole number between {least} and {most}")
        return value

    return read


def _duration_ms(value: object) -> Json:
    try:
        return parse_duration_ms(value if isinstance(value, str | int | float) else None)
    except ValueError:
        raise ValueError(_DURATION) from None


def _roles(value: object) -> Json:
    if not isinstance(value, list) or not all(isinstance(role, str) and LABEL.match(role) for role in value):
        raise ValueError('must be a list of role names: `["operator"]`')
    return sorted(set(value))


def _free(value: object) -> Json:
    """A table of the user's own making: whatever JSON can hold."""
    if not isinstance(value, dict):
        raise ValueError("must be a table: `[app]`")  # noqa: TRY004 - the caller makes a fault of it
    return {str(key): _json(item, str(key)) for key, item in value.items()}


def _json(value: object, path: str) -> Json:
    match value:
        case bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case dict():
            return {str(key): _json(item, f"{path}.{key}") for key, item in value.items()}
        case list():
            return [_json(item, f"{path}.{index}") for index, item in enumerate(value)]
        case float():
            raise ValueError(f"can't hold `{path}`: it must be a finite number")
        case _:
            raise ValueError(f"can't hold `{path}`: write dates and times as text, in quotes")


def _per(value: object) -> Json:
    known = ("principal", "capability")
    if not isinstance(value, list) or any(one not in known for one in value) or len(set(value)) < len(value):
        raise ValueError('must be a list of `"principal"`, `"capability"`, both, or nothing')
    return value


def _paths(value: object) -> Json:
    if not isinstance(value, list) or not all(isinstance(p, str) and p and "\0" not in p for p in value):
        raise ValueError('must be a list of paths: `["plugins/notes.py"]`')
    return list(dict.fromkeys(value))


def _plugin_names(value: object) -> Json:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValueError('must be a list of plugin names: `["notes"]`')
    return sorted(set(value))


def _is_principal_id(name: str) -> bool:
    return PRINCIPAL_ID.match(name) is not None


@dataclass(frozen=True, slots=True)
class Named:
    """A table of tables whose names the user chooses: one per principal, one per limit. `defaults` stand where nothing is."""

    table: Mapping[str, Read]
    what: str
    defaults: Mapping[str, Json]
    required: tuple[str, ...] = ()
    reserved: Mapping[str, Schema] = field(default_factory=dict)
    """Names that the user can't choose: their tables are ours."""
    is_name: Callable[[str], bool] = _is_principal_id
    signs: str = ". _ @ + - /"


Schema: TypeAlias = "Mapping[str, Read | Named | Schema]"

_WHO: Final = Named({"uid": _whole(0, UID_MAX), "roles": _roles}, "principal id", {"roles": []})
_RATES: Final = Named(
    {
        "calls": _whole(1, CALLS_MAX),
        "window": _duration_ms,
        "capability": _text,
        "principal": _text,
        "per": _per,
    },
    "name of a limit",
    {"capability": "*", "principal": "*", "per": ["principal"]},
    required=("calls", "window"),
)
VAULT: Final[Schema] = {"address": read_address, "namespace": _text, "token_file": _text, "ca_file": _text}
"""What `[secrets.vault]` may hold."""
_SECRETS: Final = Named(
    {"from": read_source, "capabilities": read_patterns, "hosts": read_hosts},
    "name of a secret",
    {"capabilities": []},
    is_name=is_secret_name,
    signs=". _ - /",
    reserved={"vault": VAULT},
)
_RULES: Final = Named(
    {
        "hosts": net.read_hosts,
        "methods": net.read_methods,
        "schemes": net.read_schemes,
        "ports": net.read_ports,
        "private": net.read_private,
        "principals": net.read_principals,
    },
    "name of a rule",
    {"methods": ["GET", "HEAD"], "schemes": ["https"], "principals": ["*"]},
    required=("hosts",),
)
_PROGRAMS: Final = Named(
    {
        "programs": programs.read_programs,
        "principals": programs.read_principals,
        "network": _flag,
        "read_only": programs.read_places,
        "environment": programs.read_patterns,
        "inherit": programs.read_names,
        "set": programs.read_set,
    },
    "name of a rule",
    {"principals": ["*"], "network": False},
    required=("programs",),
)
_NET: Final[Schema] = {
    "timeout": _duration_ms,
    "connect_timeout": _duration_ms,
    "idle_timeout": _duration_ms,
    "redirects": _whole(0, 20),
    "header_bytes": _whole(1024, 96 << 10),
    "request_bytes": _whole(0, 1 << 30),
    "answer_bytes": _whole(0, 1 << 30),
    "inline_bytes": _whole(0, 64 << 20),
    "download_bytes": _whole(0, 1 << 40),
    "ratio": _whole(2, 100_000),
    "connections": _whole(1, 1024),
    "ca_bundle": _text,
    "rules": _RULES,
}
_ENDPOINTS: Final = Named(
    {
        "url": notify.read_url,
        "secret": notify.read_secret,
        "timeout": notify.read_timeout,
        "paused": _flag,
    },
    "name of an endpoint",
    {},
    required=("url", "secret"),
)
_SHARED: Final[Schema] = {
    "secrets": _SECRETS,
    "policy": _text,
    "info": {"env": read_env},
    "limits": {
        "rate": _RATES,
        "concurrency": _whole(1, 1024),
        "step_timeout": _duration_ms,
        "grace": _duration_ms,
        "foreach_items": _whole(1, 1_000_000),
        "payload_bytes": _whole(1024, 1 << 40),
        "max_pre_image_bytes": _whole(0, 1 << 50),
        "version_idle": _duration_ms,
        "version_window": _duration_ms,
        "version_calls_min": _whole(1, 1_000_000),
        "version_degraded_percent": _whole(0, 100),
        "version_failed_percent": _whole(0, 100),
        "plan_expiry": _duration_ms,
    },
    "ledger": {"key": _text},
}

PROJECT_SCHEMA: Final[Schema] = {
    **_SHARED,
    "workspace": {"environment": _label, "state": _text},
    "exec": {"rules": _PROGRAMS},
    "net": _NET,
    "notify": {"grace": notify.read_grace, "endpoints": _ENDPOINTS},
    "git": GIT,
    "plugins": {"paths": _paths, "required": _plugin_names},
    "sandbox": {
        "unconfined": _flag,
        "backend": sandbox.read_backend,
        **dict.fromkeys(sandbox.DURATIONS, _duration_ms),
        **{name: _whole(1, most) for name, most in sandbox.NUMBERS.items()},
    },
    "identity": {"strict": _flag, "users": _WHO, "agents": _WHO, "services": _WHO},
    "app": _free,
}
"""What `assent.toml` may hold."""

USER_SCHEMA: Final[Schema] = _SHARED
"""What the user's `config.toml` may hold. Who is who, and where a workspace keeps its state, is the workspace's affair."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One file's settings, flat: `("limits", "grace")` to a checked value. Durations are whole milliseconds."""

    path: Path
    values: Mapping[Key, Json]
    _text: str

    def place(self, key: Key) -> str:
        """`FILE:LINE` of a setting, for showing where a value comes from."""
        return f"{self.path}:{locate(self._text, key)[0]}"

    def names(self, *table: str) -> list[str]:
        """The names that the user chose in a table of tables, in file order."""
        depth = len(table)
        return list(
            dict.fromkeys(key[depth] for key in self.values if key[:depth] == table and len(key) > depth)
        )


def unit_of(key: Key) -> str | None:
    """What the number of a setting counts: `ms` for durations, `bytes`; None for every other setting."""
    found: Read | Named | Schema | None = PROJECT_SCHEMA
    for name in key:
        found = found.get(name) if isinstance(found, Mapping) else None
    if found in (_duration_ms, notify.read_grace):
        return "ms"
    return "bytes" if found is not None and key[-1].endswith("_bytes") else None


FILES: Final[Mapping[Key, Callable[[Path], None]]] = {
    ("net", "ca_bundle"): net.check_authorities,
    ("secrets", "vault", "ca_file"): net.check_authorities,
}
"""Settings that name a file which must be there and sound."""


def place_of(written: str, folder: Path, home: Path) -> Path:
    """The absolute path that a file in `folder` means: relative to that folder, and no shell has expanded `~`."""
    path = home / written[2:] if written.startswith("~/") else folder / written
    # Not `resolve()`: a link in the path is the user's choice, and errors shall show the path that was written.
    return Path(os.path.abspath(path))  # noqa: PTH100 - as above


def load_configuration(path: Path, schema: Schema, home: Path | None = None) -> Configuration | None:
    """The configuration in a file, or None where there is no such file. With `home`, files that it names are looked at too.

    Raises `InputError` CONFIG_INVALID with file, line and column: the first fault, all others in `details.faults`, in file order.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise InputError(
            "CONFIG_INVALID", f"the configuration can't be read: {reason}", path=str(path)
        ) from None
    if len(data) > FILE_BYTES_MAX:
        raise InputError("CONFIG_INVALID", f"the file is larger than {FILE_BYTES_MAX} bytes", path=str(path))
    tables, text = parse_toml(data, str(path), code="CONFIG_INVALID")
    values: dict[Key, Json] = {}
    found: list[tuple[tuple[int, int], InputError]] = []

    def report(key: Key, message: str, hint: str | None) -> None:
        place = locate(text, key)
        found.append((place, _fault(path, place, key, message, hint)))

    _read_table(tables, schema, (), values, report)
    if home is not None:
        _look_at_files(values, path.parent, home, report)
    if found:
        found.sort(key=lambda one: one[0])
        first, *others = (error for _, error in found)
        if others:
            first.details["faults"] = [dict(other.to_dict()) for other in others]
        raise first
    return Configuration(path, values, text)


def _look_at_files(values: Mapping[Key, Json], folder: Path, home: Path, report: Report) -> None:
    for key, check in FILES.items():
        if key in values:
            place = place_of(str(values[key]), folder, home)
            try:
                check(place)
            except ValueError as error:
                report(key, f"`{key[-1]}` {error}", None)


def _fault(path: Path, place: tuple[int, int], key: Key, message: str, hint: str | None) -> InputError:
    where = f"{path}:{place[0]}:{place[1]}"
    return InputError(
        "CONFIG_INVALID", message, path=where, hint=hint, details={"length": len(key[-1]) if key else 1}
    )


# -- the tables --------------------------------------------------------------------------------------------------------

Report: TypeAlias = Callable[[Key, str, "str | None"], None]


def _read_table(
    table: Mapping[str, object], schema: Schema, above: Key, values: dict[Key, Json], report: Report
) -> None:
    where = f"`[{'.'.join(above)}]`" if above else "the file"
    for name, value in table.items():
        key = (*above, name)
        known = schema.get(name)
        if known is None:
            hint = f"{where} has: {', '.join(schema)}"
            elsewhere = [outer for outer in _tables_with(name, PROJECT_SCHEMA) if outer != above]
            if elsewhere and elsewhere[0]:
                hint = f"it is written as `{'.'.join((*elsewhere[0], name))}`"
            elif elsewhere:
                alone = (
                    "stands above every table" if callable(PROJECT_SCHEMA[name]) else "is a table of its own"
                )
                hint = f"`{name}` {alone}; {hint}"
            report(key, f"{where} has no key `{name}`", did_you_mean(name, schema, otherwise=hint))
        elif callable(known):
            try:
                values[key] = known(value)
            except ValueError as error:
                report(key, f"`{name}` {error}", None)
        elif not isinstance(value, dict):
            report(key, f"`{name}` must be a table: `[{'.'.join(key)}]`", None)
        elif isinstance(known, Named):
            _read_named(value, known, key, values, report)
        else:
            _read_table(value, known, key, values, report)


def _read_named(
    table: Mapping[str, object], known: Named, above: Key, values: dict[Key, Json], report: Report
) -> None:
    for name, value in table.items():
        key = (*above, name)
        if name in known.reserved and isinstance(value, dict):
            _read_table(value, known.reserved[name], key, values, report)
        elif not known.is_name(name):
            hint = f"letters, digits and `{known.signs}`, at most 128, starting with a letter or digit"
            report(key, f"`{name}` is no {known.what}", hint)
        elif not isinstance(value, dict):
            report(key, f"`{name}` must be a table: `[{'.'.join(key)}]`", None)
        else:
            for field, default in known.defaults.items():
                values.setdefault((*key, field), default)
            _read_table(value, known.table, key, values, report)
            for field in known.required:
                if field not in value:
                    report(key, f"`[{'.'.join(key)}]` needs `{field}`", None)


def _tables_with(name: str, schema: Schema, above: Key = ()) -> list[Key]:
    found = [above] if name in schema else []
    for key, below in schema.items():
        if isinstance(below, Mapping):
            found += _tables_with(name, below, (*above, key))
    return found
