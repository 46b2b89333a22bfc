"""`data.*`: text, data and files of the workspace in, data and text out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assent.errors import Json
from tests.conformance.case import Case, Cell
from tests.conformance.fs import escapes

_TEXTS: Final[Mapping[str, str]] = {
    "json": '{"name": "Ada", "tags": ["a", "b"]}',
    "yaml": "name: Ada\ntags: [a, b]\n",
    "toml": 'name = "Ada"\ntags = ["a", "b"]\n',
    "csv": "name,age\nAda,36\nBob,\n",
}
_FILES: Final[Mapping[str, str | bytes | None]] = {f"data.{form}": text for form, text in _TEXTS.items()}
_AT_ONCE: Final = "ends by itself within a bounded number of steps"
_NO_WORLD: Final = "takes no path and no address: there is nothing to escape from"
_SCHEMA: Final[Json] = {"type": "object", "required": ["name", "born"]}


def _read(form: str, verb: str, more: Mapping[str, Json], *bad: Mapping[str, Json]) -> Case:
    return Case(
        f"data.{form}.{verb}",
        {"path": f"data.{form}", **more},
        _FILES,
        bad=[dict(more), {"path": f"data.{form}", "text": "", **more}, *bad],
        escapes=escapes(more, "path"),
    )


def _render(form: str, inputs: Mapping[str, Json], *bad: Mapping[str, Json]) -> Case:
    return Case(
        f"data.{form}.render", inputs, bad=bad, without={Cell.CONFINEMENT: _NO_WORLD, Cell.TIMEOUT: _AT_ONCE}
    )


def _cases(form: str) -> list[Case]:
    value: Json = {"name": "Ada", "tags": ["a"]}
    return [
        _read(form, "parse", {}),
        _render(form, {"value": value}, {}),
        _read(form, "query", {"query": "tags[0]"}, {"path": "a", "query": ""}),
        _read(form, "merge", {"overlays": [{"value": {"tags": None}}]}, {"path": "a", "overlays": []}),
        _read(
            form,
            "patch",
            {"patch": [{"op": "add", "path": "/born", "value": 1815}]},
            {"path": "a", "patch": [1]},
        ),
        _read(form, "validate", {"json_schema": _SCHEMA}, {"path": "a", "json_schema": 1}),
    ]


CASES: Final = (
    *_cases("json"),
    *_cases("yaml"),
    *_cases("toml"),
    _read("csv", "parse", {"types": {"age": "integer"}}, {"path": "a", "delimiter": ""}),
    _render("csv", {"rows": [{"name": "Ada", "note": "=1+1"}]}, {"rows": 1}),
    _read(
        "csv",
        "merge",
        {"on": ["name"], "overlays": [{"text": "name,age\nAda,37\n"}]},
        {"path": "data.csv", "on": [], "overlays": [{"text": ""}]},
    ),
    _read("csv", "patch", {"patch": [{"op": "remove", "path": "/0"}]}, {"path": "a", "patch": [1]}),
    _read("csv", "query", {"query": "[?name == 'Ada'].age"}),
    _read("csv", "validate", {"json_schema": {"items": {"required": ["born"]}}}),
)
