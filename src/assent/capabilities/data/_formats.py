"""JSON, YAML and TOML: each a strict reader whose errors name line and column, and a writer whose text that reader reads back.

What JSON cannot hold is refused: NaN and infinity, whole numbers beyond 2^53, keys that stand twice. Dates of TOML become text as
RFC 3339 writes it. Comments and layout are no data: YAML that is changed keeps them (`_yaml`), everything else loses them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final

from assent.capabilities.data._json_places import Path, first_fault, line_and_column, places
from assent.capabilities.data._sizes import measured
from assent.capabilities.data._yaml import Layout, write_yaml
from assent.errors import InputError, Json
from assent.invocation import NoEffectError
from assent.spec.documents.document import load_yaml
from assent.spec.documents.toml import locate, parse_toml
from assent.spec.values.canonical import INTEGER_MAX, parse_json

_TOML_BYTES_MAX: Final = 1 << 20
_TOML_DEPTH_MAX: Final = 64
_YAML_TOO_LARGE: Final = ("DOCUMENT_TOO_LARGE", "DOCUMENT_TOO_COMPLEX")
_LINE: Final = re.compile(r": line (\d+) column (\d+) \(char \d+\)\Z")

Placing = Callable[[Sequence[Path]], dict[Path, str]]
"""The places (`FILE:LINE:COLUMN`) of values, given their paths."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Data, and where its parts stand; nowhere, when it came as data.

    `layout` makes what writes the data after a change as the text was written. It is asked for before anything is changed, and
    knows the lists and objects that are then changed in place for those of the text.
    """

    value: Json
    places: Placing
    layout: Callable[[], Callable[[Json], str]] | None = None


def nowhere(paths: Sequence[Path]) -> dict[Path, str]:
    """No places: the data has no text."""
    del paths
    return {}


@dataclass(frozen=True, slots=True)
class Format:
    """One format. `read` takes a text and the name of its source; `write` takes data."""

    name: str
    read: Callable[[str, str], Loaded]
    write: Callable[[Json], str]


def read_json(text: str, source: str) -> Loaded:
    """Strict JSON (RFC 7493). `NoEffectError` DATA_INVALID."""
    try:
        value = parse_json(text)
    except InputError as error:
        found = _LINE.search(error.message)
        fault = None if found else first_fault(text)
        if found:
            line, column = int(found[1]), int(found[2])
            what = error.message[: found.start()].removeprefix("not strict JSON: ")
        else:
            line, column = line_and_column(text, fault[0]) if fault else (1, 1)
            what = fault[1] if fault else error.message
        raise _invalid(f"this is not strict JSON: {what}", f"{source}:{line}:{column}") from None
    measured(value)

    def placed(paths: Sequence[Path]) -> dict[Path, str]:
        offsets = places(text, paths)
        return {path: "{}:{}:{}".format(source, *line_and_column(text, at)) for path, at in offsets.items()}

    return Loaded(value, placed)


def write_json(value: Json) -> str:
    """One line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def read_yaml(text: str, source: str) -> Loaded:
    """The house's own strict subset: no tags, no aliases beyond a limit, no key twice. DATA_INVALID, DATA_TOO_LARGE."""
    try:
        document = load_yaml(text, source=source)
    except InputError as error:
        # Here a document is data like JSON and TOML, and what is wrong with it has the same codes.
        code = "DATA_TOO_LARGE" if error.code in _YAML_TOO_LARGE else "DATA_INVALID"
        raise NoEffectError(
            code, error.message, path=error.path, hint=error.hint, details=error.details
        ) from None
    return Loaded(
        document.data,
        lambda paths: {path: document.position(path) for path in paths},
        lambda: Layout(text, document).rewritten,
    )


def read_toml(text: str, source: str) -> Loaded:
    """TOML 1.0. `NoEffectError` DATA_INVALID, DATA_TOO_LARGE."""
    data = text.encode()
    if len(data) > _TOML_BYTES_MAX:
        raise NoEffectError(
            "DATA_TOO_LARGE", f"TOML is read up to {_TOML_BYTES_MAX} bytes; this has {len(data)}", path=source
        )
    try:
        tables, _ = parse_toml(data, source, code="DATA_INVALID")
    except InputError as error:
        raise NoEffectError.from_dict(error.to_dict()) from None
    except (ValueError, OverflowError) as error:  # a date that is none, a number of thousands of digits
        raise _invalid(
            f"this is not TOML: {str(error)[:1].lower()}{str(error)[1:200]}", f"{source}:1:1"
        ) from None

    def placed(paths: Sequence[Path]) -> dict[Path, str]:
        return {path: _toml_place(text, source, path) for path in paths}

    value = _plain(tables, (), lambda path: _toml_place(text, source, path))
    measured(value)
    return Loaded(value, placed)


def _toml_place(text: str, source: str, path: Path) -> str:
    line, column = locate(text, tuple(map(str, path)))
    return f"{source}:{line}:{column}"


def _plain(value: object, path: Path, place: Callable[[Path], str]) -> Json:
    if len(path) > _TOML_DEPTH_MAX:
        raise _invalid(f"more than {_TOML_DEPTH_MAX} levels of nesting", place(path))
    if isinstance(value, dict):
        return {key: _plain(one, (*path, key), place) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, (*path, index), place) for index, one in enumerate(value)]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise _invalid("a number is not finite", place(path))
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        raise _invalid("a whole number is beyond 2^53, which not every reader keeps exactly", place(path))
    assert isinstance(value, str | int | float), "TOML has no other values"
    return value


def write_toml(value: Json) -> str:
    """Tables. DATA_INVALID for what TOML has no word for: null, and anything but an object as the whole."""
    import tomli_w

    if not isinstance(value, dict):
        raise _invalid("TOML holds an object, and nothing else as the whole", "value")
    if (path := _null_in(value)) is not None:
        raise _invalid("TOML has no null", path)
    return tomli_w.dumps(value)


def _null_in(value: Json) -> str | None:
    waiting: list[tuple[Json, str]] = [(value, "value")]
    while waiting:
        one, path = waiting.pop()
        if one is None:
            return path
        if isinstance(one, dict):
            waiting += [(inner, f"{path}.{key}") for key, inner in one.items()]
        elif isinstance(one, list):
            waiting += [(inner, f"{path}[{index}]") for index, inner in enumerate(one)]
    return None


def _invalid(message: str, path: str) -> NoEffectError:
    return NoEffectError("DATA_INVALID", message, path=path)


JSON: Final = Format("json", read_json, write_json)
YAML: Final = Format("yaml", read_yaml, write_yaml)
TOML: Final = Format("toml", read_toml, write_toml)
