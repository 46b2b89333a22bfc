"""Looking back at a workspace: what every command asks of it costs little, however much was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from assent.journal import SqliteReader
from assent.journal.ports import Cell
from assent.runtime._reading import Reader
from assent.runtime.settings import Settings
from assent.spec.states import RunState
from tests.support.journals import created, open_sqlite, run_id, run_row


async def test_unfinished_runs_are_counted_without_reading_those_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command tells of them when it is done: 100 000 rows of runs that ended would take longer than the command."""
    settings = Settings.resolve(workspace=tmp_path, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    journal = open_sqlite(settings.state)
    for number, state in enumerate(RunState):
        run = run_id(number)
        await journal.append(replace(created(run), rows=(run_row(run, state.value, 1),)))
    await journal.close()
    read: list[Cell] = []
    rows = SqliteReader.rows

    def counted(
        reader: SqliteReader, table: str, where: Mapping[str, Cell] | None = None
    ) -> list[dict[str, Cell]]:
        found = rows(reader, table, where)
        read.extend(row["status"] for row in found)
        return found

    monkeypatch.setattr(SqliteReader, "rows", counted)
    with Reader.open(settings) as reader:
        assert reader.unfinished() == 5
    assert set(read) == {"pending", "running", "rolling_back", "undoing", "needs_attention"}
