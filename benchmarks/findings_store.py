"""Keeping findings in a file, and finding some among a million, beside SQLite with the same bytes and nothing else.

    python -m benchmarks.findings_store [--quick] [--json FILE]

Findings go in by batches of 1000, each judged and durable before the next; the baseline writes the same bodies by the same
batches, under their ids alone. Then pages of 100 are asked for at random places, by each filter. `--quick` keeps 20 000.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from statistics import median
from time import perf_counter

import apsw
import msgspec

from assent.findings import Finding, Severity
from assent.findings.store import SqliteStore, Where
from benchmarks._measure import peak_memory_kib
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show

PROJECT = "0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a11"
BATCH = 1_000
PAGE = 100
RUNS = 10
DETECTORS = 400
ASKED = 30
PLAIN = "a page of SQLite's own"


def measure(folder: Path, *, quick: bool) -> Part:
    """Both write the same batches by turns; the pages are asked for when all is there."""
    count = 20_000 if quick else 1_000_000
    store = SqliteStore(folder / "findings.db")
    plain = _plain(folder / "plain.db")
    taken = {"store": 0.0, "plain": 0.0}
    for batch in _batches(count):
        began = perf_counter()
        store.save_findings(batch)
        taken["store"] += perf_counter() - began
        rows = [(bytes.fromhex(one.id.replace("-", "")), one.to_json()) for one in batch]
        began = perf_counter()
        with plain:
            plain.executemany("INSERT INTO finding VALUES (?, ?)", rows)
        taken["plain"] += perf_counter() - began
    sizes = {name: (folder / f"{name}.db").stat().st_size for name in ("findings", "plain")}
    pages = _pages(store, plain, count)
    store.close()
    plain.close()
    rate, plain_rate = count / taken["store"], count / taken["plain"]
    print(
        f"\nfindings_store: {count} findings, {sizes['findings'] / count:.0f} bytes each with their indexes"
    )
    show(
        "stored",
        ["what", "findings/s", "x plain", "MB"],
        [
            ["judged and stored", number(rate), number(plain_rate / rate), number(sizes["findings"] / 1e6)],
            ["SQLite alone", number(plain_rate), "1", number(sizes["plain"] / 1e6)],
        ],
    )
    rows_of_pages = [
        [name, number(took), number(most), number(took / pages[PLAIN][0])]
        for name, (took, most) in pages.items()
    ]
    show(f"pages of {PAGE}", ["asked for", "ms", "slowest", "x plain"], rows_of_pages)
    slowest = max(most for name, (_, most) in pages.items() if name != PLAIN)
    targets = [
        Target("stored: findings a second", rate, 10_000, at_least=True),
        Target(f"any page among {count}: ms", slowest, 100, at_least=False),
        Target("keeping them: memory MiB", peak_memory_kib() / 1024, 150, at_least=False),
    ]
    return Part("findings_store", {"stored": taken, "pages": pages, "bytes": sizes}, targets)


def _plain(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "FULL")
    connection.execute("CREATE TABLE finding (id BLOB NOT NULL UNIQUE, body BLOB NOT NULL) STRICT")
    return connection


def _pages(store: SqliteStore, plain: apsw.Connection, count: int) -> dict[str, tuple[float, float]]:
    """For each way to ask: the median, and the slowest, in milliseconds."""
    dice = random.Random(2)

    def of_plain() -> None:
        query = "SELECT body FROM finding WHERE id > ? ORDER BY id LIMIT ?"
        assert (
            list(
                plain.execute(
                    query, (bytes.fromhex(finding_uuid(dice.randrange(count)).replace("-", "")), PAGE)
                )
            )
            is not None
        )

    def of(where: Callable[[], Where], *, is_first: bool = False) -> Callable[[], None]:
        def ask() -> None:
            after = None if is_first else finding_uuid(dice.randrange(count))
            assert store.page(PROJECT, where(), after=after, limit=PAGE) is not None

        return ask

    ways = {
        PLAIN: of_plain,
        "all, from the first": of(Where, is_first=True),
        "all": of(Where),
        "critical": of(lambda: Where(severities=frozenset({Severity.CRITICAL}))),
        "high and critical": of(lambda: Where(severities=frozenset({Severity.HIGH, Severity.CRITICAL}))),
        "of a detector": of(lambda: Where(detectors=frozenset({_detector(dice)}))),
        "of a run": of(lambda: Where(run_id=_run(dice))),
        "critical of a run": of(lambda: Where(run_id=_run(dice), severities=frozenset({Severity.CRITICAL}))),
        "of a fingerprint": of(
            lambda: Where(fingerprint=_digest("print", dice.randrange(count))), is_first=True
        ),
    }
    found = {}
    for name, ask in ways.items():
        times = []
        for _ in range(ASKED):
            began = perf_counter()
            ask()
            times.append((perf_counter() - began) * 1e3)
        found[name] = (median(times), max(times))
    return found


def _batches(count: int) -> Iterator[list[Finding]]:
    dice = random.Random(1)
    for begin in range(0, count, BATCH):
        yield [finding(dice, each, run=_run(dice)) for each in range(begin, begin + BATCH)]


def finding(dice: random.Random, each: int, *, run: str) -> Finding:
    detector, url = _detector(dice), f"https://shop{dice.randrange(2000)}.example.org/{each}"
    return msgspec.convert(
        {
            "finding_schema_version": "1.0.0",
            "id": finding_uuid(each),
            "project_id": PROJECT,
            "detector_id": detector,
            "title": f"What {detector} found",
            "severity": dice.choices(["info", "low", "medium", "high", "critical"], [50, 20, 15, 10, 5])[0],
            "resource": url,
            "created_at": "2026-11-23T09:30:00Z",
            "run_id": run,
            "locations": [{"url": f"{url}?id=1", "method": "GET", "parameter": "id"}],
            "evidence": {"request": f"GET {url} HTTP/1.1\r\nHost: shop.example.org\r\nAccept: */*\r\n\r\n"},
            "fingerprint": {"recipe": 1, "value": _digest("print", each)},
            "provenance": {"tool": "nuclei", "raw_sha256": _digest("raw", 0), "begin": each, "end": each + 1},
        },
        Finding,
    )


def _detector(dice: random.Random) -> str:
    return f"nuclei.exposure-{dice.randrange(DETECTORS)}"


def _run(dice: random.Random) -> str:
    return f"run_{dice.randrange(RUNS)}"


def _digest(what: str, each: int) -> str:
    return sha256(f"{what} {each}".encode()).hexdigest()


def finding_uuid(each: int) -> str:
    """The id of a finding by its number."""
    digest = _digest("finding", each)
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


if __name__ == "__main__":
    run_part(measure, __doc__)
