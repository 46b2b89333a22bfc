"""All cases, and the page that tells of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.conformance.case import Case, Cell
from tests.conformance.cells import BUILTIN, doubt, not_applicable

_FOLDER: Final = Path(__file__).resolve().parent
_MACHINERY: Final = {"__init__", "case", "cells", "conftest", "table", "turns"}

AREAS: Final[Mapping[str, tuple[Case, ...]]] = {
    path.stem: importlib.import_module(f"tests.conformance.{path.stem}").CASES
    for path in sorted(_FOLDER.glob("*.py"))
    if path.stem not in _MACHINERY and not path.stem.startswith("test_")
}
"""Area → its cases. A module that is put into this folder is found."""

TEST_OF: Final[Mapping[Cell, str]] = {
    Cell.PREVIEW: "test_preview_has_no_effect",
    Cell.UNDO: "test_undo_restores",
    Cell.RECONCILE: "test_reconcile_settles_a_killed_call",
    Cell.TIMEOUT: "test_timeout_cancels",
    Cell.BAD_INPUT: "test_bad_input_is_refused",
    Cell.CONFINEMENT: "test_confinement_holds",
}
"""Cell → the test that tries it."""

CASES: Final[Mapping[str, Case]] = {case.capability: case for cases in AREAS.values() for case in cases}
"""Capability → its case."""

KILLED: Final[Mapping[str, Case]] = {
    f"{one.capability}-{one.name}" if one.name else one.capability: one
    for case in CASES.values()
    for one in (case, *case.variants)
    if Cell.RECONCILE not in not_applicable(case)
}
"""The calls that are killed between their effect and its record: those of the cases, and of their variants."""

_HEAD: Final = """\
# Conformance

<!-- Written by `python -m tools.write_conformance` from what the tests in `tests/conformance` found. Change the cases there. -->

Every built-in capability, tried with the whole runtime on a real folder. What each does and takes is in the
[reference](capabilities.md).

| column | what was tried |
|---|---|
| preview | a plan shows the change, and everything that can be observed is as before, times included |
| undo | the effect is there, and after `assent undo` the world is as before: bytes, modes, and what stands outside |
| reconcile | the process is killed with SIGKILL after the effect and before its record; another one resumes |
| timeout | a call that would last for ever ends when its time is up, nothing of it still runs, and the record is true |
| bad input | inputs that do not fit are refused with every fault, before anything happens |
| confinement | what is out of bounds is reached for in every known way, and neither changed nor told |

`✓` holds. `?` ends `in_doubt`, so that a person decides: the outcome is never guessed. `-` does not apply. Each number is a
reason, or what a mark depends on, listed below its table.

"""


def marks(case: Case) -> dict[Cell, tuple[str, str]]:
    """Cell → its mark when its test passes, and the reason for any other than `✓`, or what that depends on."""
    missing, doubted = not_applicable(case), doubt(case)
    found = {
        cell: ("-", missing[cell]) if cell in missing else ("✓", case.provided.get(cell, "")) for cell in Cell
    }
    if doubted and Cell.RECONCILE not in missing:
        found[Cell.RECONCILE] = ("?", doubted)
    return found


def page(areas: Mapping[str, Sequence[Case]]) -> str:
    """The page: for each area a row per capability, and the reasons."""
    return _HEAD + "\n".join(_section(area, cases) for area, cases in sorted(areas.items()))


def _section(area: str, cases: Sequence[Case]) -> str:
    reasons: dict[str, int] = {}
    rows = []
    for case in sorted(cases, key=lambda one: one.capability):
        cells = [f"{mark} {_number(reasons, reason)}".rstrip() for mark, reason in marks(case).values()]
        rows.append(f"| `{case.capability}` | {' | '.join(cells)} |\n")
    head = f"## {area}\n\n| capability | {' | '.join(Cell)} |\n|---|{'---|' * len(Cell)}\n"
    listed = "".join(f"{number}. {_sentence(reason)}\n" for reason, number in reasons.items())
    return head + "".join(rows) + (f"\n{listed}" if listed else "")


def _number(reasons: dict[str, int], reason: str) -> str:
    return f"({reasons.setdefault(reason, len(reasons) + 1)})" if reason else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def untried() -> set[str]:
    """The built-in capabilities that no case tries."""
    return BUILTIN.keys() - CASES.keys()
