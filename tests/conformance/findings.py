"""`findings.*`: what is seen is the store, as it is folded from the ledger."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from unittest.mock import patch

from assent.errors import Json
from assent.findings.book import Wanted
from assent.runtime import Runtime
from assent.runtime.runs._findings import FindingsStore
from assent.runtime.settings.effective import Settings
from assent.system import SystemClock
from tests.conformance.case import Case, Cell, Escape, Stage
from tests.conformance.fs import escapes
from tests.support.books import dump, nuclei

_FILE: Final = "scan.jsonl"
_IMPORT: Final[dict[str, Json]] = {"project": "shop", "path": _FILE}
_NOBODYS: Final = f"{'0' * 8}-0000-8000-8000-{'0' * 12}"
_YEAR_MS: Final = 365 * 86_400_000
_WHOLE: Final = "its outcome in the record is its whole effect: killed before that, it has done nothing, and is done again"
_RECORD: Final = {Cell.TIMEOUT: "it leaves one entry in the record", Cell.RECONCILE: _WHOLE}


def _settings(stage: Stage) -> Settings:
    return Settings.resolve(workspace=stage.workspace, environ=stage.env, cwd=stage.workspace)


def standing(stage: Stage) -> object:
    """All that the store holds, without the runs' names and the times."""
    with FindingsStore(_settings(stage)).opened() as (file, _):
        found = dump(file)
    return {
        "projects": [one["name"] for one in found["projects"]],
        "datasets": [one["said"]["dataset"] for one in found["datasets"]],
        "findings": [one["id"] for one in found["findings"]],
        "triage": [(one["id"], one["triage"].get("status")) for one in found["triage"]],
    }


def reported(stage: Stage) -> object:
    """The reports that are there, without the moments in them."""
    folder = stage.workspace / "reports"
    if not folder.is_dir():
        return None
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}
    return {name: re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "then", text) for name, text in texts.items()}


def _called(stage: Stage, capability: str, parameters: Mapping[str, Json]) -> None:
    async def called() -> None:
        async with Runtime(_settings(stage)) as runtime:
            result = await runtime.call(capability, parameters)
            assert result.status == "succeeded", result

    with ThreadPoolExecutor(1) as pool:  # the test has a loop of its own
        pool.submit(lambda: asyncio.run(called())).result()


def imported(stage: Stage) -> None:
    """A project with findings."""
    _called(stage, "findings.import", _IMPORT)


def imported_long_ago(stage: Stage) -> None:
    """The same, a year ago by the clock of whoever imported it."""
    now_ms = SystemClock.now_ms
    with patch.object(SystemClock, "now_ms", lambda clock: now_ms(clock) - _YEAR_MS):
        imported(stage)


def decided_about(stage: Stage) -> Mapping[str, Json]:
    """A triage of the finding that is there."""
    with FindingsStore(_settings(stage)).looking() as book:
        (kept,) = book.page(book.project("shop")[0], Wanted(), limit=10).findings
    return {
        "project": "shop",
        "findings": [kept.reported.finding.id],
        "status": "risk_accepted",
        "note": "known",
    }


_ONE: Final = {_FILE: nuclei([("git-config", "medium", "shop.example")])}

CASES = (
    Case(
        "findings.import",
        inputs=_IMPORT,
        files=_ONE,
        observe=standing,
        bad=[
            {"project": "shop"},
            {**_IMPORT, "handed": {"upload": "anothers", "blob": "0" * 64, "bytes": 1}},
            {"project": "shop", "handed": {"upload": "anothers", "blob": "../../assent.toml", "bytes": 1}},
            {"project": "", "path": _FILE},
        ],
        escapes=[
            Escape({"project": "shop", "path": "../outside/canary.txt"}, "PATH_ESCAPES"),
            Escape({"project": "shop", "path": ".assent/ledger.db"}, "PATH_PROTECTED"),
            Escape({"project": "shop", "handed": {"upload": "anothers", "blob": "0" * 64, "bytes": 1}}, "FILE_NOT_HANDED_OVER"),
        ],
        without={
            Cell.TIMEOUT: "what it reads was kept before it began, and nobody can make that last for ever",
            Cell.RECONCILE: _WHOLE,
        },
    ),
    Case(
        "findings.triage",
        inputs=decided_about,
        files=_ONE,
        arrange=imported,
        observe=standing,
        bad=[
            {"project": "shop", "findings": ["git-config"], "status": "open"},
            {"project": "shop", "findings": [], "status": "finished"},
            {"project": "shop", "suppress": {"until": "2027-01-01T00:00:00Z"}},
            {"project": "shop", "status": "open"},
        ],
        escapes=[
            Escape({"project": "shop", "findings": [_NOBODYS], "status": "open"}, "FINDING_UNKNOWN"),
            Escape({"project": "another", "matching": {}, "status": "open"}, "PROJECT_UNKNOWN"),
            Escape({"project": "shop", "matching": {}}, "INVALID_INPUT"),
        ],
        without=_RECORD,
    ),
    Case(
        "findings.report",
        inputs={"project": "shop", "path": "reports/shop.csv", "format": "csv"},
        files=_ONE,
        arrange=imported,
        observe=reported,
        bad=[
            {"project": "shop", "path": "a.txt", "format": "word"},
            {"project": "shop", "path": "a.csv", "matching": {"severities": ["bad"]}},
        ],
        escapes=[
            *escapes({"project": "shop", "format": "csv"}, "path", writes=["path"]),
            Escape({"project": "another", "path": "a.csv"}, "PROJECT_UNKNOWN"),
        ],
    ),
    Case(
        "findings.gc",
        inputs={"project": "shop"},
        files=_ONE,
        arrange=imported_long_ago,
        observe=standing,
        bad=[{"findings_days": 0}, {"runs_days": 1_000_000}],
        escapes=[Escape({"project": "another"}, "PROJECT_UNKNOWN")],
        without=_RECORD,
    ),
    Case(
        "findings.delete_project",
        inputs={"project": "shop"},
        files=_ONE,
        arrange=imported,
        observe=standing,
        bad=[{"project": ""}],
        escapes=[Escape({"project": "another"}, "PROJECT_UNKNOWN")],
        without=_RECORD,
    ),
)  # fmt: skip
