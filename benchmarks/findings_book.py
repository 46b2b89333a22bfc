"""The product's store of findings: datasets of a million folded into it, looked through, compared, and taken back.

    python -m benchmarks.findings_book [--quick] [--json FILE]

Two runs of a million findings each, of which 900 000 are the same, are folded from their datasets' lines, as an import leaves
them in the ledger; SQLite alone keeps the same bodies of the same lines under their ids. Then every question is asked thirty
times at random places, among 1 100 000 findings of which 2 000 were decided about. What a question takes is processor time: on a
machine that others use the rest is theirs. `--quick` takes 20 000 for a million.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Final

import apsw
import msgspec

from assent.findings import Finding, Severity
from assent.findings.book import BookFile, Dataset, Difference, Looking, Wanted, Writing
from assent.findings.triage import AddTags, SetOwner, SetStatus, Status, Suppress
from benchmarks._measure import cpu_s, peak_memory_kib
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show
from benchmarks.findings_store import PROJECT, finding, finding_uuid

PAGE: Final = 100
ASKED: Final = 30
AT: Final = "2026-11-23T09:30:00Z"
NOW_MS: Final = 1_795_000_000_000
PLAIN: Final = "a page of SQLite's own"
ALONE: Final = "decoded, and kept by SQLite alone"
FOLDED: Final = "folded, all new"
_FINDING: Final = msgspec.json.Decoder(Finding).decode


def measure(folder: Path, *, quick: bool) -> Part:
    """Fold, ask, and take back."""
    count = 20_000 if quick else 1_000_000
    new = count // 10
    first = _written(folder / "first.jsonl", "first", range(count))
    second = _written(folder / "second.jsonl", "second", range(new, count + new))
    stored = {"decoding its lines alone": _timed(lambda: sum(1 for _ in _findings(first)))}
    # It comes first and is closed again, so that its cache is no part of the store's memory.
    plain = _plain(folder / "plain.db")
    stored[ALONE] = _timed(lambda: _keep(plain, first))
    plain_page = _times(lambda: _page_of_plain(plain, count))
    plain.close()
    book = BookFile(folder / "findings.db")
    writing = Writing(book)
    stored[FOLDED] = _timed(lambda: _fold(book, writing, 1, "first", first))
    stored["folded, 900 of 1000 known"] = _timed(lambda: _fold(book, writing, 2, "second", second))
    _decide(book, writing, count)
    book.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    bytes_each = (folder / "findings.db").stat().st_size / (count + count)
    times = {PLAIN: plain_page, **_asked(book, count)}
    memory = peak_memory_kib() / 1024
    taken = {"the second run, taken back": _timed(lambda: _take_back(book, writing, 2))}
    taken["the first run, taken back"] = _timed(lambda: _take_back(book, writing, 1))
    book.close()
    print(f"\nfindings_book: two runs of {count} findings, {bytes_each:.0f} bytes on disk for each of either")
    rows = [[name, number(count / took), number(cpu / count * 1e6)] for name, (took, cpu) in stored.items()]
    show("stored", ["what", "findings/s", "us of processor each"], rows)
    base = times[PLAIN][0]
    rows = [[name, number(took), number(most), number(took / base)] for name, (took, most) in times.items()]
    show(
        f"asked among {count + new}, {PAGE} at a time",
        ["what", "ms of processor", "slowest", "x a page of SQLite's"],
        rows,
    )
    show(
        "taken back",
        ["what", "s", "s of processor"],
        [[name, *map(number, said)] for name, said in taken.items()],
    )
    searches = {name: took for name, took in times.items() if name.startswith("text")}
    slowest = max(most for name, (_, most) in times.items() if name not in (PLAIN, *searches))
    targets = [
        Target(
            "folded: findings a second",
            count / stored[FOLDED][0],
            10_000,
            at_least=True,
        ),
        Target(f"list, filter and compare among {count + new}: ms", slowest, 100, at_least=False),
        Target(
            f"a text among {count + new}: ms", max(most for _, most in searches.values()), 100, at_least=False
        ),
        Target("the store of findings: memory MiB", memory, 150, at_least=False),
    ]
    return Part("findings_book", {"stored": stored, "asked": times, "taken_back": taken}, targets)


def _timed(do: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and processor seconds."""
    began, used = perf_counter(), cpu_s()
    do()
    return perf_counter() - began, cpu_s() - used


def _written(path: Path, run: str, span: range) -> Path:
    """A dataset's lines in a file. What has a number is the same finding in both runs. Half are of the severity info, and have a
    word that no other has."""
    with path.open("wb") as file:
        for each in span:
            one = finding(random.Random(each), each, run=run)
            if one.severity is Severity.INFO:
                one = msgspec.structs.replace(one, title=f"{one.title}, it says")
            file.write(one.to_json() + b"\n")
    return path


def _findings(path: Path) -> Iterator[Finding]:
    with path.open("rb") as file:
        for line in file:
            yield _FINDING(line)


def _fold(book: BookFile, writing: Writing, seq: int, run: str, path: Path) -> None:
    dataset = Dataset(
        seq=seq,
        run=run,
        step="import",
        at_ms=NOW_MS + seq,
        project=PROJECT,
        name="shop",
        said={"tool": "nuclei"},
    )
    with book.folding(), book.whole():
        writing.add(dataset, _findings(path))


def _keep(plain: apsw.Connection, path: Path) -> None:
    with plain:
        plain.executemany(
            "INSERT INTO finding VALUES (?, ?)",
            ((bytes.fromhex(one.id.replace("-", "")), one.to_json()) for one in _findings(path)),
        )


def _take_back(book: BookFile, writing: Writing, seq: int) -> None:
    with book.folding(), book.whole():
        writing.take_back(seq)


def _plain(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "NORMAL")
    connection.pragma("cache_size", -(64 << 10))
    connection.execute("CREATE TABLE finding (id BLOB NOT NULL UNIQUE, body BLOB NOT NULL) STRICT")
    return connection


def _decide(book: BookFile, writing: Writing, count: int) -> None:
    dice = random.Random(3)
    some = [finding_uuid(dice.randrange(count)) for _ in range(2_000)]
    parts = (
        (some[:1_000], [SetOwner(owner="ada"), AddTags(tags=("shop",))]),
        (some[1_000:1_500], [SetStatus(status=Status.FALSE_POSITIVE)]),
        (some[1_500:], [Suppress(reason="known")]),
    )
    with book.whole():
        for seq, (ids, changes) in enumerate(parts, 10):
            writing.decide(seq, PROJECT, ids, changes, at=AT, by="ada")


def _asked(book: BookFile, count: int) -> dict[str, tuple[float, float]]:
    """For each question: the median, and the slowest, in milliseconds."""
    dice = random.Random(2)
    looking = Looking(book, NOW_MS)
    project = looking.project("shop")[0]

    def page(*, at: int | None = None, least: int = 1, **said: object) -> Callable[[], None]:
        wanted = msgspec.structs.replace(Wanted(), **said)

        def ask() -> None:
            # Behind a place of the severity, or from the first.
            after = None if at is None else f"{at}.{dice.randrange(count)}"
            assert len(looking.page(project, wanted, after=after, limit=PAGE).findings) >= least

        return ask

    def compared(kind: Difference, *, at: int = 0) -> Callable[[], None]:
        def ask() -> None:
            found = looking.compare(project, "first", "second", kinds=[kind], behind=str(at), limit=PAGE)
            assert found.counts == {
                "new": count // 10,
                "fixed": count // 10,
                "still": count - count // 10,
                "reappeared": 0,
            }
            assert len(found.findings) == PAGE

        return ask

    def one() -> None:
        assert looking.one(finding_uuid(dice.randrange(count))[:18])

    active = frozenset({Status.OPEN, Status.TRIAGED})
    ways: dict[str, Callable[[], None]] = {
        "all, from the first": page(),
        "all": page(at=0, least=0),
        "what is told of (active, not suppressed)": page(statuses=active, suppressed=False),
        "critical": page(severities=frozenset({Severity.CRITICAL})),
        "low, from somewhere": page(at=1, severities=frozenset({Severity.LOW}), least=0),
        "of a detector": page(detectors=frozenset({"nuclei.exposure-7"})),
        "of two detectors": page(detectors=frozenset({"nuclei.exposure-7", "nuclei.exposure-8"})),
        "of a run": page(run="second"),
        "critical of a run": page(run="first", severities=frozenset({Severity.CRITICAL})),
        "closed": page(statuses=frozenset({Status.FALSE_POSITIVE})),
        "suppressed": page(suppressed=True),
        "of an owner": page(owner="ada"),
        "of an owner without any": page(owner="bob", least=0),
        "with a tag": page(tag="shop"),
        "of another tool": page(tools=frozenset({"zap"}), least=0),
        "compared: new": compared(Difference.NEW),
        "compared: still": compared(Difference.STILL),
        "compared: still, the last page": compared(Difference.STILL, at=count - count // 10 - PAGE),
        "compared: fixed": compared(Difference.FIXED),
        "one by its id": one,
        "text that many have": page(text="exposure-7"),
        "text that few have": page(text=f"example.org/{count // 2}", least=1),
        "text that none has": page(text="nowhere at all", least=0),
        "text that only the least bad have": page(text="says"),
        "text of a sign that only the least bad have": page(text="y"),
        "text of a sign that all have": page(text="e"),
        "text of two signs that none has": page(text="zq", least=0),
        "text with the triples of many, that none has": page(text="7777777", least=0),
    }
    return {name: _times(ask) for name, ask in ways.items()}


def _times(ask: Callable[[], None]) -> tuple[float, float]:
    """The median and the most, in milliseconds of processor time. What takes seconds is asked less often."""
    times: list[float] = []
    while len(times) < ASKED and sum(times) < 5_000:
        began = process_time()
        ask()
        times.append((process_time() - began) * 1e3)
    return median(times), max(times)


def _page_of_plain(plain: apsw.Connection, count: int) -> None:
    query = "SELECT body FROM finding WHERE id > ? ORDER BY id LIMIT ?"
    place = bytes.fromhex(finding_uuid(random.randrange(count)).replace("-", ""))
    assert list(plain.execute(query, (place, PAGE))) is not None


if __name__ == "__main__":
    run_part(measure, __doc__)
