"""The store follows the ledger of its state: also another one's, and whoever else folds it meanwhile."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import apsw
import msgspec
import pytest

from assent.capabilities.findings import BOOK, follow
from assent.capabilities.findings.ingest import said_in
from assent.errors import AssentError, Json, RefusedError, WorldError
from assent.findings import read_finding
from assent.findings.book import BookFile, Mark, Wanted, waiting_until
from assent.findings.migrations import Moved, Step
from assent.runtime._ledger import reading
from assent.runtime.doctor._files import findings_checks
from assent.runtime.runs._findings import FindingsStore
from tests.support.bodies import Bench, Place, policy, rule
from tests.support.books import dump, katana, nuclei, spoil
from tests.support.nursery import Nursery
from tests.support.reported import reported

_LOOKS = """
import json, sys
from pathlib import Path
from assent.runtime.runs._findings import FindingsStore
from tests.support.bodies import Place
from tests.support.books import dump

with FindingsStore(Place(Path(sys.argv[1])).settings()).opened() as (file, _):
    print(json.dumps(dump(file)))
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=policy(rule("all", without_approval=True)))


async def imported(runtime: Bench, place: Place, host: str, records: int = 1, project: str = "shop") -> str:
    (place.workspace / f"{host}.jsonl").write_bytes(
        nuclei((f"rule-{number}", "high", host) for number in range(records))
    )
    result = await runtime.call("findings.import", {"project": project, "path": f"{host}.jsonl"})
    assert result.status == "succeeded", result
    return result.run_id


def kept(place: Place) -> dict[str, Any]:
    with FindingsStore(place.settings()).opened() as (file, _):
        return dump(file)


def anew(place: Place) -> dict[str, Any]:
    with reading(place.settings().state) as journal:
        assert journal is not None
        file = BookFile(None)
        follow(journal, journal.blob, file)
    return dump(file)


def plain(found: dict[str, Any]) -> Any:
    return json.loads(json.dumps(found))


async def test_processes_that_fold_at_once_fold_each_act_once(
    place: Place, nursery: Nursery, clean_env: dict[str, str]
) -> None:
    async with place.open(box=False) as runtime:
        runs = [await imported(runtime, place, f"{one}.example", records=150) for one in "abcdef"]
        await runtime.undo(runs[2])
        gone = await runtime.call("findings.delete_project", {"project": "shop"})
        await imported(runtime, place, "g.example", records=150)
        await runtime.undo(gone.run_id)
    wanted = plain(anew(place))
    assert (len(wanted["findings"]), len(wanted["datasets"])) == (6 * 150, 6)
    last = ("-c", _LOOKS, str(place.root))
    for _ in range(3):
        for path in place.settings().state.glob(f"{BOOK}*"):
            path.unlink()
        with ThreadPoolExecutor(3) as pool:
            ended = pool.map(
                lambda _: nursery.run(*last, cwd=place.root, env=clean_env, kind="python"), range(3)
            )
            for one in ended:
                assert (one.code, one.err) == (0, "")
                assert json.loads(one.out) == wanted
    assert plain(kept(place)) == wanted


async def test_a_triage_is_about_so_many_findings_and_no_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assent.capabilities.findings._acts.DECIDED_MAX", 2)
    async with place.open(box=False) as runtime:
        for host, code in (("a.example", None), ("b.example", "TRIAGE_TOO_MANY")):
            await imported(runtime, place, host, records=2)
            said: dict[str, Json] = {"project": "shop", "matching": {}, "note": "looked at"}
            result = await runtime.call("findings.triage", said)
            assert (result.error or {}).get("code") == code


async def test_a_store_of_another_ledger_is_folded_anew(place: Place, tmp_path: Path) -> None:
    """Also one of a ledger that was put back to an older copy and went on otherwise."""
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
        await imported(runtime, place, "b.example")
    state = place.settings().state
    assert len(kept(place)["findings"]) == 2
    shutil.copy(state / BOOK, tmp_path / BOOK)
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other", policy=place.policy)
    async with other.open(box=False) as runtime:
        for host in ("c.example", "d.example", "e.example"):
            await imported(runtime, other, host)
    shutil.copy(tmp_path / BOOK, other.settings().state / BOOK)
    assert kept(other) == anew(other)
    assert len(kept(other)["findings"]) == 3


async def test_a_ledger_that_was_put_back_takes_its_store_back_with_it(place: Place, tmp_path: Path) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
    state = place.settings().state
    kept(place)
    shutil.copytree(state, tmp_path / "copy")
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "b.example")
    assert len(kept(place)["findings"]) == 2
    shutil.copy(state / BOOK, tmp_path / "copy" / BOOK)
    shutil.rmtree(state)
    shutil.move(tmp_path / "copy", state)
    assert kept(place) == anew(place)
    assert len(kept(place)["findings"]) == 1


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"finding": {"finding_schema_version": "1.1.0", "new": 1}}\n', "FINDING_TOO_NEW"),
        (b'{"resource": {"resource_schema_version": "1.1.0", "new": 1}}\n', "PROJECT_TOO_NEW"),
        (b'{"finding": {"finding_schema_version": "1.0.0", "new": 1}}\n', "RECORD_CORRUPT"),
        (b'{"resource": 3}\n', "RECORD_CORRUPT"),
        (b"[]\n", "RECORD_CORRUPT"),
        (b"none\n", "RECORD_CORRUPT"),
    ],
)
async def test_a_line_of_a_later_release_is_told_as_that(place: Place, line: bytes, code: str) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
    with reading(place.settings().state) as journal:
        assert journal is not None
        with pytest.raises(AssentError, match=code):
            follow(journal, lambda _: iter([line]), BookFile(None))


def test_lines_of_an_earlier_schema_go_through_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if 1.0.0 were the second version, and the first had named its title otherwise."""

    def up(document: dict[str, Any]) -> Moved:
        rest = {name: value for name, value in document.items() if name != "name"}
        return Moved({**rest, "title": document["name"], "finding_schema_version": "1.0.0"}, ())

    step = Step("0.9.0", "1.0.0", up, lambda _: Moved({}, ()))
    document = msgspec.to_builtins(reported().finding)
    title = document.pop("title")
    line = msgspec.json.encode({"finding": {**document, "finding_schema_version": "0.9.0", "name": title}})
    with pytest.raises(ValueError, match="not valid"):
        said_in(line)
    monkeypatch.setattr(read_finding, "__defaults__", ((step,),))
    assert said_in(line) == reported().finding


async def test_a_dataset_with_a_line_that_is_none_is_told_and_no_damage_of_the_store(place: Place) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
    path = place.root / BOOK
    with reading(place.settings().state) as journal:
        assert journal is not None
        file = BookFile(path)
        with pytest.raises(WorldError, match="RECORD_CORRUPT"):
            follow(journal, lambda _: iter([b"none\n"]), file)
        file.close()
    assert path.is_file()


async def test_a_damaged_store_is_made_anew(place: Place) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example", records=300)
        wanted = kept(place)
        spoil(BookFile(place.settings().state / BOOK))
        with pytest.raises(WorldError, match="was damaged"):
            kept(place)
        assert kept(place) == wanted


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE mark SET value = 'x' WHERE name = 'folded'",
        """UPDATE mark SET value = '{"seq": -1, "entry": ""}' WHERE name = 'folded'""",
        "UPDATE dataset SET said = x'00'",
        "UPDATE dataset SET said = CAST('[]' AS BLOB)",
        "UPDATE seen SET body = x'00'",
        "DROP TABLE seen",
    ],
)
async def test_a_store_in_which_something_else_stands_is_made_anew(place: Place, change: str) -> None:
    """It is told at most once, and what follows needs nobody to remove a file."""
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
        wanted = kept(place)
        file = apsw.Connection(str(place.settings().state / BOOK))
        file.execute(change)
        file.close()
        await imported(runtime, place, "a.example", project="other")
        told = []
        for _ in range(3):
            try:
                with FindingsStore(place.settings()).looking() as book:
                    book.datasets()
                    assert len(book.page(book.project("shop")[0], Wanted(), limit=9).findings) == 1
            except WorldError as error:
                told.append(error.code)
        assert told in ([], ["STORAGE_FAILED"])
        assert kept(place) == anew(place)
        assert len(wanted["findings"]) == 1


TAMPERED = (
    "UPDATE seen SET body = CAST(replace(CAST(body AS TEXT), 'The matter', 'No matter') AS BLOB)",
    "UPDATE seen SET n = n + 100",
    "UPDATE finding SET rank = 0",
    "UPDATE finding SET closed = 1 - closed",
    "UPDATE finding SET last_ms = 1",
    "DELETE FROM finding WHERE n = (SELECT min(n) FROM finding)",
    "DELETE FROM triage",
    "UPDATE triage SET body = CAST('{}' AS BLOB)",
    "UPDATE change SET before = NULL, after = CAST('{}' AS BLOB)",
    "UPDATE project SET name = 'other'",
    "UPDATE detector SET tool = 'other'",
    "UPDATE dataset SET run = 'other'",
    "UPDATE dataset SET bits = x'01'",
    "UPDATE resource SET kind = 'host'",
    "DELETE FROM place",
    "DELETE FROM mute",
    "DELETE FROM dataset",
    "INSERT INTO words (words) VALUES ('delete-all')",
    "INSERT INTO words (rowid, text) SELECT max(doc), 'anew' FROM words_triples",
    "INSERT INTO words (rowid, text) SELECT max(doc) + 1, term FROM words_triples",
    "INSERT INTO words (words, rowid, text) SELECT 'delete', doc, term FROM words_triples LIMIT 1",
)


async def test_what_is_changed_by_hand_in_a_store_is_seen(place: Place, tmp_path: Path) -> None:
    """Whatever it is: the digest of what a store says is another one, and `assent doctor` tells."""
    async with place.open(box=False) as runtime:
        (place.workspace / "katana.jsonl").write_bytes(katana(["https://a.example/", "https://b.example/"]))
        first = await imported(runtime, place, "a.example", records=3)
        await runtime.call("findings.import", {"project": "shop", "path": "katana.jsonl"})
        await runtime.call("findings.triage", {"project": "shop", "matching": {}, "status": "triaged"})
        suppress: Any = {"suppress": {"reason": "known", "scope": "detector"}}
        await runtime.call("findings.triage", {"project": "shop", "matching": {"text": "rule-1"}, **suppress})
        await imported(runtime, place, "b.example", records=3)
        await runtime.undo(first)
        await imported(runtime, place, "c.example", records=2)
    settings = place.settings()
    assert findings_checks(settings)[0].status == "ok"
    with FindingsStore(settings).opened() as (file, _):
        tables: list[Any] = file.db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        names = [name for (name,) in tables if not name.startswith(("sqlite", "words"))]
        filled = [name for name in names if file.db.execute(f"SELECT count(*) FROM {name}").get]
    assert [name for name in filled if not any(name in one for one in TAMPERED)] == ["mark"]
    path = settings.state / BOOK
    shutil.copy(path, tmp_path / "kept.db")
    for change in TAMPERED:
        shutil.copy(tmp_path / "kept.db", path)
        changed = apsw.Connection(str(path))
        changed.execute(change)
        assert changed.changes(), change
        changed.close()
        (told,) = findings_checks(settings)
        assert (told.status, told.name) == ("fault", "store of findings"), change
    path.unlink()
    assert findings_checks(settings) == []
    kept(place)
    assert findings_checks(settings)[0].status == "ok"


async def test_a_store_that_goes_on_while_it_is_compared_is_looked_at_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
        kept(place)
        marks = iter([Mark(1, "a"), Mark(2, "b")])
        with monkeypatch.context() as patched:
            patched.setattr("assent.runtime.runs._findings.Writing.mark", lambda _: next(marks, Mark(3, "c")))
            patched.setattr("assent.capabilities.findings.follow", lambda *_: -1)
            (told,) = findings_checks(place.settings())
        assert told.status == "warning"
        assert findings_checks(place.settings())[0].status == "ok"
    (place.root / "none").mkdir()
    assert FindingsStore(Place(place.root / "none").settings()).is_as_recorded()


async def test_comparing_a_store_ends_with_who_asked_and_folding_it_does_not(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is folded to be kept serves whoever comes next."""
    monkeypatch.setattr("assent.findings.book._file._STEPS", 1)
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
        kept(place)
        await imported(runtime, place, "b.example")
        end = Event()
        end.set()
        with waiting_until(end):
            (told,) = findings_checks(place.settings())
        assert told.status == "fault"
        assert "nobody waits for the answer" in told.seen
        with closing(apsw.Connection(str(place.settings().state / BOOK))) as db:
            assert db.execute("SELECT count(*) FROM finding").get == 2
        assert findings_checks(place.settings())[0].status == "ok"


async def test_what_was_erased_is_gone_from_the_store_and_what_was_decided_of_it_is_not(place: Place) -> None:
    async with place.open(box=False) as runtime:
        first = await imported(runtime, place, "a.example")
        await runtime.call("findings.triage", {"project": "shop", "matching": {}, "status": "risk_accepted"})
        await runtime.erase([first])
        assert kept(place)["findings"] == []
        await imported(runtime, place, "a.example")
        with FindingsStore(place.settings()).looking() as book:
            (one,) = book.page(book.project("shop")[0], Wanted(), limit=9).findings
        assert one.reported.triage.status == "risk_accepted"


async def test_what_was_erased_stands_in_no_file_of_the_store(place: Place) -> None:
    """Not even where nobody has looked since, and not of what is folded anew."""
    async with place.open(box=False) as runtime:
        run = await imported(runtime, place, "erased.example")
        await imported(runtime, place, "kept.example")
        assert len(kept(place)["findings"]) == 2
        await runtime.erase([run])

        def read() -> bytes:
            return b"".join(path.read_bytes() for path in place.settings().state.glob(f"{BOOK}*"))

        assert b"erased.example" not in read()
        kept(place)
        assert (b"erased.example" in read(), b"kept.example" in read()) == (False, True)


async def test_a_call_that_failed_is_no_act(place: Place) -> None:
    async with place.open(box=False) as runtime:
        result = await runtime.call("findings.import", {"project": "shop", "path": "none.jsonl"})
        assert result.status == "failed"
        step: dict[str, Any] = {
            "name": "bring",
            "capability": "findings.import",
            "inputs": {"project": "shop", "path": "a.example.jsonl"},
        }
        (place.workspace / "a.example.jsonl").write_bytes(nuclei([("rule", "low", "a.example")]))
        fail: dict[str, Any] = {
            "name": "end",
            "capability": "sys.fail",
            "inputs": {},
            "depends_on": ["bring"],
        }
        rolled_back = await runtime.run({"name": "w", "steps": [step, fail]})
        assert rolled_back.status == "rolled_back"
        found = kept(place)
        assert (found["projects"], found["datasets"], found["findings"]) == ([], [], [])
        assert found == anew(place)


async def decided(runtime: Bench, **said: Json) -> str:
    result = await runtime.call("findings.triage", {"project": "shop", "matching": {"statuses": []}, **said})
    assert result.status == "succeeded", result
    return result.run_id


async def test_an_undo_that_somebody_decided_behind_is_refused_and_its_run_stays(place: Place) -> None:
    """Its trial says so, nothing is touched, and a resume has nothing to go on with."""
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
        before = kept(place)
        run = await decided(runtime, status="resolved")
        other = await decided(runtime, status="open")
        assert (await runtime.plan_undo(run)).rehearsal.obstacle is not None
        with pytest.raises(RefusedError, match="somebody decided otherwise") as refused:
            await runtime.undo(run)
        assert refused.value.code == "COMPENSATION_CONFLICT"
        assert (await runtime.show(run)).status == "succeeded"
        # Once what was decided since is taken back, this can be, too.
        assert (await runtime.undo(other)).status == "undone"
        assert (await runtime.plan_undo(run)).rehearsal.obstacle is None
        assert (await runtime.undo(run)).status == "undone"
    assert kept(place) == before


async def test_what_one_session_decided_one_after_another_is_taken_back_whole(place: Place) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
        await imported(runtime, place, "b.example")
        before = kept(place)
        session = await runtime.session()
        for status, text in (("triaged", "example"), ("resolved", "b.example"), ("open", "a.example")):
            matching: dict[str, Json] = {"statuses": [], "text": text}
            said: dict[str, Json] = {"project": "shop", "matching": matching, "status": status}
            assert (await session.call("findings.triage", said)).status == "succeeded"
        await session.close()
        assert (await runtime.plan_undo(session.run_id)).rehearsal.obstacle is None
        assert (await runtime.undo(session.run_id)).status == "undone"
    assert kept(place) == before


async def test_a_decision_between_trying_an_undo_and_beginning_it_waits_for_somebody(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands = FindingsStore.stands

    def late(store: FindingsStore, run: str, step: str, tried: Any = None) -> bool:
        return tried is not None or stands(store, run, step)

    monkeypatch.setattr(FindingsStore, "stands", late)
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
        run = await decided(runtime, status="resolved")
        await decided(runtime, status="open")
        undone = await runtime.undo(run)
        assert undone.status == "needs_attention"
        assert f"assent resolve {run} call --abandon" in str(undone.error)


async def test_who_is_up_to_date_waits_for_nobody_and_others_wait_for_who_folds(place: Place) -> None:
    """However long that takes: one who gave up would look at less than there is."""
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
        before = kept(place)
        with ThreadPoolExecutor(1) as pool:
            with BookFile(place.settings().state / BOOK).folding():
                assert kept(place) == before
                await imported(runtime, place, "b.example")
                looking = pool.submit(kept, place)
                with pytest.raises(TimeoutError):
                    looking.result(0.3)
            assert len(looking.result(20)["findings"]) == 2


async def test_what_others_folded_while_one_waited_is_not_folded_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
    folding, folds = BookFile.folding, list[str]()

    def late(file: BookFile) -> Any:
        monkeypatch.setattr(BookFile, "folding", folding)
        kept(place)
        folds.append("others")
        return folding(file)

    monkeypatch.setattr(BookFile, "folding", late)
    assert (len(kept(place)["datasets"]), folds) == (1, ["others"])


async def test_a_store_that_is_emptied_while_it_is_opened_is_folded_before_it_is_looked_at(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
    wanted = kept(place)
    left = [True]

    def emptied_behind(journal: Any, blob: Any, file: BookFile) -> int:
        found = follow(journal, blob, file)
        if left:
            left.clear()
            with file.whole():
                file.clear()
        return found

    monkeypatch.setattr("assent.capabilities.findings.follow", emptied_behind)
    assert kept(place) == wanted
    assert left == []


@pytest.mark.parametrize(("code", "times"), [("STORAGE_FAILED", 2), ("DISK_FULL", 1)])
async def test_a_store_that_fails_while_it_is_opened_is_opened_once_more(
    place: Place, monkeypatch: pytest.MonkeyPatch, code: str, times: int
) -> None:
    """Others may have removed it, or emptied it, in between; a full disk is told at once."""
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
    asked: list[str] = []

    def failing(*_: Any) -> int:
        asked.append(code)
        raise WorldError(code, "it can't be")

    monkeypatch.setattr("assent.capabilities.findings.follow", failing)
    with pytest.raises(WorldError, match="it can't be"):
        kept(place)
    assert len(asked) == times


async def test_of_many_who_meet_a_wrong_store_each_finds_the_same(
    place: Place, nursery: Nursery, clean_env: dict[str, str]
) -> None:
    async with place.open(box=False) as runtime:
        for host in ("a.example", "b.example"):
            await imported(runtime, place, host, records=100)
    wanted, path = plain(kept(place)), place.settings().state / BOOK
    last = ("-c", _LOOKS, str(place.root))
    for content in (b"junk" * 10_000, b"", None):
        if content is None:
            other = apsw.Connection(str(path))
            other.pragma("user_version", 2)
            other.close()
        else:
            path.write_bytes(content)
        with ThreadPoolExecutor(4) as pool:
            ended = pool.map(
                lambda _: nursery.run(*last, cwd=place.root, env=clean_env, kind="python"), range(4)
            )
            assert [json.loads(one.out or one.err) for one in ended] == [wanted] * 4


def names(folder: Path) -> dict[str, int]:
    return {str(one): one.stat().st_mtime_ns for one in folder.glob(f"{BOOK}*")}


@pytest.mark.parametrize("store", ["none", "current", "older", "log", "damaged"])
async def test_where_nothing_can_be_written_findings_are_looked_at_nevertheless(
    place: Place, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """As they are kept, where that is what the ledger says, and else folded in memory."""
    path = place.settings().state / BOOK
    async with place.open(box=False) as runtime:
        await imported(runtime, place, "a.example")
        wanted = kept(place)
        if store == "older":
            await imported(runtime, place, "b.example")
            wanted = anew(place)
    if store == "none":
        path.unlink()
    elif store == "log":
        path.with_name(f"{BOOK}-wal").write_bytes(b"x" * 100)
    elif store == "damaged":
        path.write_bytes(b"junk" * 1000)
    folder = place.settings().state
    before = names(folder)
    monkeypatch.setattr("assent.runtime.runs._findings.os.access", lambda *_: False)
    assert kept(place) == wanted
    with FindingsStore(place.settings()).opened() as (file, _):
        assert (file.db.filename == str(path)) == (store == "current")
    assert names(folder) == before
