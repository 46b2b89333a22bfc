"""For every built-in capability: its preview has no effect, its undo restores, a killed call is settled, its time limit ends it,
inputs that do not fit are refused, and it stays where it belongs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from assent.invocation import Capability
from tests.conformance import cells
from tests.conformance.case import Case, Cell, Stage
from tests.conformance.table import AREAS, CASES, KILLED, marks, page, untried
from tests.conformance.turns import TAKES_NONE
from tests.support.nursery import Nursery
from tests.support.seeds import dice
from tools import write_conformance

LANDING: Final[frozenset[str]] = frozenset()
"""Built-in capabilities whose cases are still to come. The list only shrinks: an entry that is no longer needed is refused."""


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path, clean_env: dict[str, str]) -> Iterator[Stage]:
    """The world of the test's case."""
    case: Case = request.getfixturevalue("case")
    with case.stage(tmp_path / "stage", clean_env) as stage:
        yield stage


def on_each(cell: Cell) -> pytest.MarkDecorator:
    """The test, for each capability for which the cell applies."""
    names = sorted(name for name, case in CASES.items() if cell not in cells.not_applicable(case))
    return pytest.mark.parametrize("case", [CASES[name] for name in names], ids=names)


@on_each(Cell.PREVIEW)
async def test_preview_has_no_effect(case: Case, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await cells.preview_has_no_effect(case, stage, monkeypatch)


@on_each(Cell.UNDO)
async def test_undo_restores(case: Case, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await cells.undo_restores(case, stage, monkeypatch)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Of the calls that are killed, one of each class of effect on every change, and all with `--complete-crash`."""
    if metafunc.function is test_reconcile_settles_a_killed_call:
        names = [*KILLED] if metafunc.config.getoption("crash_complete") else one_of_each_class()
        metafunc.parametrize("case", [KILLED[name] for name in names], ids=names)


def one_of_each_class() -> list[str]:
    """A killed call for each area, kind of operation, and whether it ends in doubt; which one the dice choose."""
    classes: dict[tuple[str, str, bool], list[str]] = {}
    for name, case in KILLED.items():
        operation = cells.BUILTIN[case.capability].spec.operation_type.value
        area = case.capability.rpartition(".")[0]
        classes.setdefault((area, operation, bool(cells.doubt(case))), []).append(name)
    return [dice(f"killed call of {of}").choice(names) for of, names in classes.items()]


def test_reconcile_settles_a_killed_call(case: Case, stage: Stage, nursery: Nursery) -> None:
    cells.reconciles(case, stage, nursery)


@on_each(Cell.TIMEOUT)
async def test_timeout_cancels(case: Case, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await cells.timeout_cancels(case, stage, monkeypatch)


@on_each(Cell.BAD_INPUT)
async def test_bad_input_is_refused(case: Case, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await cells.bad_input_is_refused(case, stage, monkeypatch)


@on_each(Cell.CONFINEMENT)
async def test_confinement_holds(case: Case, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await cells.confinement_holds(case, stage, monkeypatch)


def test_every_built_in_capability_has_one_case() -> None:
    assert untried() == LANDING, "give it a case in `tests/conformance/`, or take what has one from `LANDING`"
    counted = Counter(case.capability for cases in AREAS.values() for case in cases)
    assert [name for name, count in counted.items() if count > 1] == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_not_tried_has_its_reason(case: Case) -> None:
    """A sentence of the case's own, and only where nothing follows from the capability itself."""
    derived = cells.not_applicable(replace(case, without={}))
    assert derived.keys() & case.without.keys() == set(), (
        "this follows from the capability, and is not said again"
    )
    for mark, reason in marks(case).values():
        assert mark == "✓" or reason
    assert case.provided.keys() & case.without.keys() == set()
    assert all(one.name and one.in_doubt and one.capability == case.capability for one in case.variants)


@pytest.mark.parametrize("one", cells.BUILTIN.values(), ids=cells.BUILTIN)
def test_a_missing_part_has_its_reason(one: Capability[..., Any]) -> None:
    """What a built-in capability can't do, its declaration explains."""
    spec, handler = one.spec, one.handler
    wanted = {"preview": handler.preview is None}
    if spec.has_effect:
        wanted["reconcile"] = handler.reconcile is None
        wanted["compensate"] = not spec.compensation.supported
    assert [part for part, is_missing in wanted.items() if is_missing and part not in one.without] == []


def test_every_effect_on_files_takes_its_turn_there() -> None:
    """Whoever acts is watched while it does and while it is undone, or a literal table says why it takes no turn."""
    acting = {name for name, one in cells.BUILTIN.items() if one.spec.has_effect}
    watched = {name for name, case in CASES.items() if Cell.UNDO not in cells.not_applicable(case)}
    assert acting - watched - TAKES_NONE.keys() == set(), "nobody sees whether it takes its turn"
    assert TAKES_NONE.keys() - acting == set()


def test_page_is_what_the_cases_say() -> None:
    """Each mark stands for a test of this session; `python -m tools.write_conformance` writes the page when all of them pass."""
    assert write_conformance.PAGE.read_text(encoding="utf-8") == page(AREAS)
