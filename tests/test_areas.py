"""An area of capabilities lives in one folder: outside it, the roof names it in one line, and every other place has a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from assent.capabilities.area import Check, Ground
from assent.journal import Projection
from assent.runtime._areas import AREAS
from assent.runtime._ledger import POLICIES, projections
from assent.runtime.settings._configuration import PROJECT_SCHEMA
from assent.testing import area_faults

ROOF: Final = "runtime/_areas.py"
LEAKS: Final = {
    (
        "agent",
        "cli/hook/_runtime.py",
    ): "who asks for an agent's tool waits for a person, and may then leave it to the host's user",
    (
        "exec",
        "runtime/runs/_captured_changes.py",
    ): "what programs wrote is kept as long as the run it was for",
    (
        "findings",
        "runtime/_parts.py",
    ): "the store of findings follows the ledger, which is the roof's",
    ("findings", "runtime/runs/_findings.py"): "as above: it opens both",
    (
        "findings",
        "runtime/settings/effective.py",
    ): "the folder of manifests that `[findings]` names is nobody's to change",
    ("findings", "cli/findings/_import.py"): "which tool wrote a file is told beside every runtime",
    (
        "findings",
        "runtime/service/findings/_scanners.py",
    ): "what a scanner writes is read by a parser of findings",
    (
        "findings",
        "runtime/wiring/_call_pipeline.py",
    ): "projects reach the gate in the one form that their acts take",
    ("findings", "runtime/doctor/_files.py"): "whether the store says what the ledger comes to",
    ("findings", "runtime/service/findings/_proofs.py"): "a finding is proved from the lines of its dataset",
    (
        "findings",
        "runtime/capabilities/_registered.py",
    ): "nobody else makes a version of what findings are made of",
    ("knowledge", "cli/knowledge/_acts.py"): "all repositories are those that its table names",
    ("knowledge", "cli/knowledge/_repositories.py"): "the first that is named takes the place of the whole",
    ("knowledge", "cli/knowledge/_setup.py"): "a model is told of in the words of an outcome",
    ("knowledge", "runtime/doctor/_files.py"): "where its keys are, and whether they are there",
    (
        "knowledge",
        "runtime/settings/effective.py",
    ): "the file of a passphrase is out of everybody's sight",
    ("knowledge", "runtime/service/_knowledge.py"): "a chunk is proved by an act that makes roots",
    ("knowledge", "runtime/capabilities/_registered.py"): "nobody else makes a version of such acts",
    ("knowledge", "runtime/_parts.py"): "the keys of the store of knowledge are the roof's",
    ("knowledge", "runtime/service/knowledge_admin.py"): "writes its table, and follows its repositories",
    ("knowledge", "runtime/wiring/knowledge.py"): "as above: it opens both",
    (
        "net",
        "runtime/runs/_deliveries.py",
    ): "webhooks are sent by the client of all requests, which is closed after their queue",
    (
        "net",
        "runtime/settings/effective.py",
    ): "a bundle of certificates that `[net]` names is nobody's to change",
    (
        "net",
        "runtime/settings/_servers.py",
    ): "an address of an MCP server is read once, in the way in which requests are made",
    (
        "net",
        "runtime/wiring/_call_pipeline.py",
    ): "URLs reach the gate in the form in which requests are made",
    (
        "net",
        "runtime/wiring/_server_web.py",
    ): "MCP servers of others are reached by the client of all requests, each at its address alone",
    ("net", "runtime/wiring/_plugin_reach.py"): "what plugins declare is held against the rules for requests",
    (
        "net",
        "testing/_requests.py",
    ): "a plugin's contract suite sends requests through the client that runs have",
    (
        "notify",
        "runtime/runs/_deliveries.py",
    ): "`rt.deliveries` reads the queue of webhooks, and writes into the ledger for it",
    ("notify", "runtime/runs/_notices.py"): "whoever is asked and not here is told by a webhook",
    (
        "scan",
        "runtime/settings/effective.py",
    ): "manifests of scanners, and the folders that these are in, are nobody's to change",
    ("scan", "runtime/service/findings/_looking.py"): "tells the workflows of scans that come with Assent",
    (
        "scan",
        "runtime/service/findings/_scanners.py",
    ): "tells which scanners are here, without a call",
    (
        "schedule",
        "runtime/_parts.py",
    ): "schedules are changed in the ledger, which is the roof's",
    (
        "resource",
        "runtime/service/findings/_resources.py",
    ): "tells what the registry holds, beside whoever changes it",
    ("schedule", "runtime/runs/_schedules.py"): "reads and writes the streams of schedules",
    ("schedule", "runtime/runs/_schedule_list.py"): "tells of schedules out of the ledger",
    ("schedule", "runtime/schedules/_scheduler.py"): "begins the runs of schedules",
    ("schedule", "runtime/service/_reading.py"): "refuses a name that no schedule has",
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


def test_the_words_of_an_areas_outputs_are_its_own() -> None:
    """Two areas that told of the same kind would do so in the order in which the roof names them."""
    kinds = [needed for area in AREAS.values() for needed in area.WORDS]
    assert len(kinds) == len({*kinds})


def test_an_areas_projection_is_brought_to_the_ledger_by_the_roof(monkeypatch: pytest.MonkeyPatch) -> None:
    """An area that keeps something at hand says so in its own folder, and nowhere else."""
    brought = Projection("git", {"git_tags": ("id",)}, {"git_tags": 1}, (), frozenset(), lambda _, __: ())
    monkeypatch.setattr(AREAS["git"], "PROJECTION", brought)
    assert [one for one in projections() if one.area in {"policies", "git"}] == [POLICIES, brought]


@pytest.mark.parametrize("name", AREAS)
def test_an_area_keeps_the_contract_of_areas(name: str, tmp_path: Path) -> None:
    assert [*area_faults(name, tmp_path)] == []


def test_the_contract_of_areas_tells_what_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offer(app: object, ground: Ground) -> None:
        (ground.workspace / "made").touch()

    def checks(ground: Ground) -> Iterator[Check]:
        yield Check("odd", "fine", ground.workspace.name)

    monkeypatch.setattr(AREAS["git"], "WORDS", {frozenset({"id"}): lambda found: found["id"].upper()})
    monkeypatch.setattr(AREAS["git"], "offer", offer)
    monkeypatch.setattr(AREAS["git"], "checks", checks)
    told = "\n".join(area_faults("git", tmp_path))
    for wrong in ("fail on None", "has the status `fine`", "makes something"):
        assert wrong in told
