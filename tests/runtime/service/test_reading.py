"""Looking back at a workspace: what every command asks of it costs little, however much was recorded."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from assent import sync
from assent.errors import InputError
from assent.journal import Row, SqliteReader
from assent.journal.ports import Batch, Cell
from assent.runtime.service import answers, process, requests
from assent.runtime.service._reading import Reader
from assent.runtime.settings.effective import Settings
from assent.spec.events.kinds import RunRecovered
from assent.spec.states import Mode, RunState
from tests.support.journals import ADA, created, open_sqlite, payload, run_id, run_row


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

    # `Any`: the limits and cursors of the port, handed on.
    async def counted(reader: SqliteReader, *asked: Any, **how: Any) -> list[dict[str, Cell]]:
        found = await rows(reader, *asked, **how)
        read.extend(row["status"] for row in found)
        return found

    monkeypatch.setattr(SqliteReader, "rows", counted)
    with Reader.open(settings) as reader:
        assert reader.unfinished() == 5
        monkeypatch.setattr(Reader, "owner_alive", lambda _: True)
        assert reader.unfinished() == 1  # beside a living owner, what a person has to look at
    assert set(read) == {"pending", "running", "rolling_back", "undoing", "needs_attention"}


async def test_a_list_of_runs_reads_no_more_than_it_shows(tmp_path: Path) -> None:
    """The newest come, oldest of them first, and what was told says where the older ones begin; statuses are those shown."""
    settings = Settings.resolve(workspace=tmp_path, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    journal = open_sqlite(settings.state)
    for number in range(30):
        run, status = run_id(number), ("succeeded", "running", "failed")[number % 3]
        call = Row("steps", (run, "call"), (run, "call", 0, f"io.fs.call_{number}", *[None] * 8))
        row = run_row(run, status, 1)
        listed = replace(row, values=(row.values[0], None, *row.values[2:]))
        await journal.append(replace(created(run), rows=(listed, call)))
    await journal.close()
    with Reader.open(settings) as reader:
        newest = reader.runs(limit=3)
        assert [run["run_id"] for run in newest] == [run_id(27), run_id(28), run_id(29)]
        assert [run["capability"] for run in newest] == ["io.fs.call_27", "io.fs.call_28", "io.fs.call_29"]
        older = reader.runs(limit=2, before=str(newest[0]["run_id"]))
        assert [run["run_id"] for run in older] == [run_id(25), run_id(26)]
        stopped = reader.runs(status=("interrupted", "failed"), limit=4)
        assert [run["status"] for run in stopped] == ["failed", "interrupted", "failed"][-2:] * 2
        assert reader.runs(status=("running",)) == [], "nobody drives one"
        assert len(reader.runs()) == 30
        assert reader.runs(status=("denied",), limit=1) == []
        before = str(newest[0]["run_id"])
        assert (reader.count_before(before), reader.count_before(before, ("failed",))) == (27, 9)
        assert reader.count_before(before, ("failed", "interrupted")) is None


async def test_a_call_that_ended_before_it_began_is_listed_by_its_capability(tmp_path: Path) -> None:
    """No row of a step knows it: what it was asked for says it. A session is none, and what was erased names nothing."""
    settings = Settings.resolve(workspace=tmp_path, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    journal = open_sqlite(settings.state)
    kinds = [(Mode.WORKFLOW, {"call": {"capability": "net.http.get"}}), (Mode.SESSION, {"session": {}})]
    for number, (mode, document) in enumerate(
        [*kinds, (Mode.WORKFLOW, {"call": {"capability": "io.fs.copy"}})]
    ):
        run = run_id(number)
        kept = payload(msgspec.json.encode(document))
        batch = created(run)
        event = replace(batch.events[0], workflow=None, mode=mode, document=kept.commitment)
        row = replace(
            run_row(run, "failed", 1), values=(run, None, mode.value, *run_row(run, "failed", 1).values[3:])
        )
        payloads = (kept, *batch.payloads[1:])
        await journal.append(replace(batch, events=(event,), payloads=payloads, rows=(row,)))
    await journal.erase(run_id(2), who=ADA, at_ms=0)
    await journal.close()
    with Reader.open(settings) as reader:
        assert [run["capability"] for run in reader.runs()] == ["net.http.get", None, None]


async def test_the_newest_run_is_the_last_in_the_ledger(tmp_path: Path) -> None:
    """Whatever ids and clocks say, and however much was recorded of others since it began."""
    settings = Settings.resolve(workspace=tmp_path, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    journal = open_sqlite(settings.state)
    for number in (5, 9, 3):
        await journal.append(created(run_id(number)))
    for n in range(1, 1_300):
        await journal.append(Batch(run_id(9), n, 0, (RunRecovered(),)))
    with Reader.open(settings) as reader:
        assert reader.find("@") == run_id(3)
    await journal.append(created(run_id(1)))
    await journal.close()
    with Reader.open(settings) as reader:
        assert reader.find("@") == run_id(1)


def test_where_nothing_ran_there_is_no_newest_run(tmp_path: Path) -> None:
    settings = Settings.resolve(workspace=tmp_path, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    for ask in (
        lambda: process.perform(requests.Show(run="@"), settings),
        lambda: process.perform(requests.Approvals(run="@"), settings),
        lambda: [*process.stream(requests.AuditLog(run="@"), settings)],
    ):
        with pytest.raises(InputError) as caught:
            ask()
        assert caught.value.code == "RUN_UNKNOWN"


def test_a_run_that_ends_before_its_owner_is_asked_is_not_interrupted(tmp_path: Path) -> None:
    """What was read is read again where nobody drives it: whoever drove it may be done."""
    with sync.Runtime.open(tmp_path) as rt:
        settings = rt.runtime.settings
        sessions = [rt.session() for _ in range(2)]

        def says(runs: Collection[str], *, texts: bool = False) -> answers.UnderWay:
            for session in sessions:
                if session.run_id in runs:
                    session.close()
            return answers.UnderWay(runs=[])

        with Reader.open(settings, says) as reader:
            shown: dict[str, Any] = reader.show(sessions[0].run_id)
            assert (shown["status"], shown["events"][-1]["event"]["kind"]) == ("succeeded", "run.succeeded")
            assert [run["status"] for run in reader.runs()] == ["succeeded", "succeeded"]
