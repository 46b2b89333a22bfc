"""`assent.toml` and the user's `config.toml`: the tables they may hold, read strictly and with the place of every fault.

The places of keys are looked up in the text, and only once something is wrong (see `assent.spec.documents.toml`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from assent.errors import InputError, Json
from assent.runtime._areas import AREAS, OF_THE_USER
from assent.runtime.settings._sandbox import SANDBOX
from assent.runtime.settings._secrets import SECRETS
from assent.runtime.settings._serve import SERVE
from assent.runtime.settings._servers import MCP
from assent.runtime.settings._telemetry import TELEMETRY
from assent.spec.documents.settings import (
    DURATION,
    Named,
    Setting,
    Table,
    TableReader,
    Texts,
    Whole,
    capabilities,
    flag,
    label,
    path,
    principals,
    setting_at,
    some_of,
    text,
)
from assent.spec.documents.toml import Key, locate, parse_toml
from assent.spec.ids import LABEL
from assent.spec.scopes import SCOPES, UNSAID

PROJECT_FILE: Final = "assent.toml"
"""The file whose folder is a workspace."""

FILE_BYTES_MAX: Final = 1 << 20
UID_MAX: Final = (1 << 32) - 2
CALLS_MAX: Final = 100_000
"""What a rate limit may let pass at most; the limiter remembers each."""


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


def _shown_rate(said: Mapping[str, Json]) -> dict[str, Json]:
    return {
        **{key: said[key] for key in ("calls", "capability", "principal")},
        "window_ms": said["window"],
        "per": said["per"],
    }


_ROLES: Final = Texts(
    'must be a list of role names: `["operator"]`', LABEL.match, may_be_empty=True, is_sorted=True
)
_WHO: Final = Named(
    "principal id",
    {
        "uid": Setting(Whole(0, UID_MAX), "the user id that acts under this name"),
        "roles": Setting(_ROLES, "roles that policies and approvals ask for", [], "none"),
        "certificate": Setting(
            text,
            "the subject of the [certificate](identity.md#certificates) that acts under this name: `CN=ci`",
        ),
        "scopes": Setting(
            some_of(SCOPES, "scopes"),
            "what whoever shows that certificate may ask",
            [*UNSAID],
            "`call`, `plan` and `read`",
        ),
    },
)
_RATES: Final = Named(
    "name of a limit",
    {
        "calls": Setting(Whole(1, CALLS_MAX), "how many may pass", is_required=True),
        "window": Setting(DURATION, "within which time", is_required=True),
        "capability": Setting(capabilities, "pattern of ids that count", "*", "`*`"),
        "principal": Setting(principals, "pattern of principals that count", "*", "`*`"),
        "per": Setting(
            _per,
            'who has a count of their own: `"principal"`, `"capability"`, both or none',
            ["principal"],
            '`["principal"]`',
        ),
    },
    shown=_shown_rate,
)
LIMITS: Final[Table] = {
    "concurrency": Setting(Whole(1, 1024), "steps of one run at a time", 8, is_always_shown=True),
    "concurrency_of_all": Setting(
        Whole(1, 65_536),
        "steps of all runs at a time; more wait, in turn among principals, then among runs",
        256,
        is_always_shown=True,
    ),
    "runs": Setting(
        Whole(1, 65_536),
        "runs that are driven at a time; further ones wait to begin, in turn among principals",
        1024,
        is_always_shown=True,
    ),
    "queue": Setting(
        Whole(0, 1_000_000),
        "runs that may wait to begin; past that a start is refused (`QUEUE_FULL`)",
        10_000,
        is_always_shown=True,
    ),
    "step_timeout": Setting(
        DURATION,
        "one attempt of a step, where neither the step nor its capability names a timeout, and what takes a step back",
        2 * 3600 * 1000,
        is_always_shown=True,
    ),
    "grace": Setting(DURATION, "time for a stopped call to end by itself", 10_000, is_always_shown=True),
    "foreach_items": Setting(
        Whole(1, 1_000_000), "iterations of one `foreach`", 10_000, is_always_shown=True
    ),
    "payload_bytes": Setting(
        Whole(1024, 1 << 40), "one input, output or error", 64 << 20, is_always_shown=True
    ),
    "max_pre_image_bytes": Setting(
        Whole(0, 1 << 50), "what one effect may have to keep for its undo", 64 << 20, is_always_shown=True
    ),
    "plan_expiry": Setting(
        DURATION,
        "how long a saved plan can be run, and what its programs wrote is kept",
        7 * 24 * 3600 * 1000,
        is_always_shown=True,
    ),
    "rate": _RATES,
}
_SHARED: Final[Table] = {
    "secrets": SECRETS,
    "policy": Setting(path, "the file of the [policy](policy.md)", unless="the built-in policy"),
    "limits": LIMITS,
    "ledger": {
        "key": Setting(path, "the file of the signing key", unless="one in `$XDG_CONFIG_HOME/assent/keys/`")
    },
}
PLUGINS: Final[Table] = {
    "paths": Setting(
        Texts(
            'must be a list of paths: `["plugins/notes.py"]`', lambda one: "\0" not in one, may_be_empty=True
        ),
        "files, folders and wheels with [plugins](plugins.md#finding)",
        [],
        "none",
        is_always_shown=True,
    ),
    "required": Setting(
        Texts('must be a list of plugin names: `["notes"]`', may_be_empty=True, is_sorted=True),
        "plugins without which nothing starts",
        [],
        "none",
        is_always_shown=True,
    ),
}

PROJECT_SCHEMA: Final[Table] = {
    **_SHARED,
    "workspace": {
        "environment": Setting(label, "the name that policies and runs see: `prod`"),
        "state": Setting(path, "the state directory", unless="`.assent` in the workspace"),
    },
    **{name: area.SECTION for name, area in AREAS.items()},
    "plugins": PLUGINS,
    "mcp": MCP,
    "sandbox": SANDBOX,
    "serve": SERVE,
    "telemetry": TELEMETRY,
    "identity": {
        "strict": Setting(
            flag, "refuse a name that is not mapped to the user id of the process", default=False
        ),
        "users": _WHO,
        "agents": _WHO,
        "services": _WHO,
    },
    "app": Setting(_free, "keys and values of the application's own making"),
}
"""What `assent.toml` may hold."""

REMOVED: Final[frozenset[Key]] = frozenset(
    ("limits", f"version_{name}")
    for name in ("idle", "window", "calls_min", "degraded_percent", "failed_percent")
)
"""Settings of the version before this one: whoever still has them is told, and refused by the version after this one."""

USER_SCHEMA: Final[Table] = {**_SHARED, **{name: AREAS[name].SECTION for name in OF_THE_USER}}
"""What the user's `config.toml` may hold. Who is who, and where a workspace keeps its state, is the workspace's affair."""


class Configuration(msgspec.Struct, frozen=True):
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


def place_of(written: str, folder: Path, home: Path) -> Path:
    """The absolute path that a file in `folder` means: relative to that folder, and no shell has expanded `~`."""
    path = home / written[2:] if written.startswith("~/") else folder / written
    # Not `resolve()`: a link in the path is the user's choice, and errors shall show the path that was written.
    return Path(os.path.abspath(path))  # noqa: PTH100 - as above


def load_configuration(path: Path, schema: Table, home: Path | None = None) -> Configuration | None:
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
    found: list[tuple[tuple[int, int], InputError]] = []

    def report(key: Key, message: str, hint: str | None) -> None:
        place = locate(text, key)
        found.append((place, _fault(path, place, key, message, hint)))

    reader = TableReader(schema, PROJECT_SCHEMA, REMOVED, report)
    reader.read(tables)
    if home is not None:
        for key, value in reader.values.items():
            setting = setting_at(key, schema)
            if setting is not None and setting.check_file is not None:
                try:
                    setting.check_file(place_of(str(value), path.parent, home))
                except ValueError as error:
                    report(key, f"`{key[-1]}` {error}", None)
    if found:
        found.sort(key=lambda one: one[0])
        first, *others = (error for _, error in found)
        if others:
            first.details["faults"] = [dict(other.to_dict()) for other in others]
        raise first
    return Configuration(path, reader.values, text)


def _fault(path: Path, place: tuple[int, int], key: Key, message: str, hint: str | None) -> InputError:
    where = f"{path}:{place[0]}:{place[1]}"
    return InputError(
        "CONFIG_INVALID", message, path=where, hint=hint, details={"length": len(key[-1]) if key else 1}
    )
