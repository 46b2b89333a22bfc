"""An area of capabilities lives in one folder: outside it, the roof names it in one line, and every other place has a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from assent.runtime._areas import AREAS
from assent.runtime.settings._configuration import PROJECT_SCHEMA

ROOF: Final = "runtime/_areas.py"
LEAKS: Final = {
    (
        "exec",
        "runtime/runs/_captured_changes.py",
    ): "what programs wrote is kept as long as the run it was for",
    (
        "net",
        "runtime/runs/_deliveries.py",
    ): "webhooks are sent by the client of all requests, which is closed after their queue",
    ("net", "runtime/wiring/_plugin_reach.py"): "what plugins declare is held against the rules for requests",
    (
        "net",
        "testing/_requests.py",
    ): "a plugin's contract suite sends requests through the client that runs have",
    (
        "notify",
        "runtime/runs/_deliveries.py",
    ): "`rt.deliveries` reads the queue of webhooks, and writes into the ledger for it",
}
"""Where an area is named outside its folder, and why it may be."""


def named(path: Path) -> Iterator[str]:
    """The areas that a source names: by importing from one, or by asking for what its table says."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom(module="assent.capabilities", names=names):
                yield from (one.name for one in names)
            case ast.ImportFrom(module=str(module)) if module.startswith("assent.capabilities."):
                yield module.split(".")[2]
            case ast.Subscript(value=ast.Attribute(attr="areas"), slice=ast.Constant(value=str(area))):
                yield area
            case ast.Constant(value=str(text)) if text.startswith("assent.capabilities."):
                yield text.split(".")[2]


def test_an_area_is_named_by_the_roof_alone_or_for_a_reason(repository: Path) -> None:
    """One area may build on another; the contract between siblings keeps them from building on each other in a circle."""
    source = repository / "src" / "assent"
    found = {
        (area, place.relative_to(source).as_posix())
        for place in source.rglob("*.py")
        if not place.is_relative_to(source / "capabilities")
        for area in named(place)
        if area in AREAS
    }
    assert {area for area, place in found if place == ROOF} == set(AREAS)
    assert {one for one in found if one[1] != ROOF} == set(LEAKS)


def test_every_folder_that_has_an_area_is_named_by_the_roof(repository: Path) -> None:
    folders = {path.parent.name for path in (repository / "src/assent/capabilities").glob("*/area.py")}
    assert folders == set(AREAS)


@pytest.mark.parametrize("name", AREAS)
def test_an_area_has_a_table_of_its_own_name(name: str) -> None:
    assert PROJECT_SCHEMA[name] is AREAS[name].SECTION
