"""Indexing real sources, stage by stage and as a whole, and a million chunks in an encrypted store: opened, and asked.

    python -m benchmarks.knowledge_index [--quick] [--json FILE]

The sources are Python's standard library and the installed packages. Stages are CPU time of one process; the whole is by the
clock, and in CPU time of the process that reads, indexes words and writes: the workers' is that of cleaning and cutting. The
million are made up as in `knowledge_search`, in 50 pieces of words and 500 of vectors that are put together as in the product;
they are opened and asked by a process of its own, with postings and vectors read from the store. `--quick` has 4 MB and 50 000
chunks.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is loaded

import numpy as np

from assent.capabilities.knowledge import Library, control_of
from assent.capabilities.knowledge._merging import merge
from assent.capabilities.knowledge._models import in_order
from assent.capabilities.knowledge._preparing import Prepared
from assent.invocation import CancelToken
from assent.knowledge import lexical, vectors
from assent.knowledge.asking import Meaning, Part, Told, View
from assent.knowledge.chunks import Planned, left_out, plan_file
from assent.knowledge.chunks._code import _grammar
from assent.knowledge.cleaning import clean
from assent.knowledge.manifest import Cut, Listed
from assent.knowledge.sources import Skipped, contents_of
from assent.knowledge.store import SqlCipherStore
from assent.runtime.wiring.knowledge_keys import FileKeys
from assent.sandbox import Sandbox
from assent.system import SystemClock, SystemEntropy
from benchmarks import _part
from benchmarks._measure import ROOT, peak_memory_kib
from benchmarks._table import Target, number, show
from benchmarks.knowledge_cleaning import real_files
from benchmarks.knowledge_search import ASKED, LIMIT, _questions, _texts, _Vectors

BYTES_MAX: Final = 32 << 20
PIECES: Final = 50
VECTORS_AT_ONCE: Final = 2_048
REPOSITORY: Final = "workspace"
MODEL: Final = "made up"


def measure(folder: Path, *, quick: bool) -> _part.Part:
    """The stages, the whole, and the million."""
    some = real_files((4 << 20) if quick else BYTES_MAX)
    files = [one for one in some if left_out(*one) is None]
    mb = sum(len(data) for _, data in files) / 1e6
    stages = _stages(files, folder / "stages")
    show(
        f"stages of indexing {len(files)} files, {mb:.1f} MB",
        ["stage", "MB per processor second"],
        [[name, number(mb / taken)] for name, taken in stages.items()],
    )
    wall, cpu, again = _whole(files, folder / "whole")
    show(
        "the whole, with as many workers as processors",
        ["what", "s", "MB per s"],
        [
            ["by the clock", number(wall), number(mb / wall)],
            ["processor time of this process alone", number(cpu), number(mb / cpu)],
            ["again, nothing changed, by the clock", number(again), number(mb / again)],
        ],
    )
    count = 1_000 if quick else 20_000
    texts = _texts(count, random.Random(1))
    _million(texts, folder / "million")
    # What is asked stands in a process of its own, which has nothing of what the store was made of.
    code = "import sys; from benchmarks.knowledge_index import asked; asked(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / "million")],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    show(
        f"{count * PIECES} chunks in an encrypted store",
        ["what", ""],
        [[one, number(said[one])] for one in said],
    )
    targets = [
        Target("indexing, MB a second by the clock", mb / wall, 20, at_least=True),
        Target("opening, s", said["opened, s"], 3, at_least=False),
        Target("opened, MB", said["opened, MB"], 400, at_least=False),
        Target("words and meaning, p50 ms", said["words and meaning, p50 ms"], 20, at_least=False),
    ]
    figures = {"mb": mb, "stages": stages, "wall_s": wall, "cpu_s": cpu, "again_s": again, "asked": said}
    return _part.Part("knowledge_index", figures, targets)


def _store(folder: Path) -> SqlCipherStore:
    folder.mkdir(parents=True, exist_ok=True)
    keys = FileKeys(folder / "keys")
    return SqlCipherStore(folder / "store", "tenant", keys=keys, salt=SystemEntropy().salt)


def _stages(files: list[tuple[str, bytes]], folder: Path) -> dict[str, float]:
    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:  # `Any`: what the stage gives
        began = process_time()
        done = work()
        found[name] = process_time() - began
        return done

    _written(files, folder / "sources")
    library = _library(folder, folder / "sources")
    with library.folder() as read:
        timed(
            "read",
            lambda: [
                content
                for one in library.sources({"."}, read)
                if not isinstance(one, Skipped)
                for content in contents_of(read, one)
            ],
        )
    cleaned = timed("clean", lambda: [clean(path, data) for path, data in files])
    timed(
        "cut: the parser alone",
        lambda: [_parsed(path, one.text) for (path, _), one in zip(files, cleaned, strict=True)],
    )
    planned = timed(
        "cut", lambda: [plan_file(path, one.text) for (path, _), one in zip(files, cleaned, strict=True)]
    )
    prepared = [Prepared(*one) for one in zip(planned, cleaned, strict=True) if isinstance(one[0], Planned)]
    entries = [
        lexical.Entry(one.cleaned.text[cut.begin : cut.end], cut.symbol, one.planned.path)
        for one in prepared
        if one.planned
        if one.cleaned
        for cut in one.planned.chunks
    ]
    segment = timed("terms", lambda: lexical.parts_of(lexical.segment_of(entries, lexical.Terms())))

    def kept() -> None:
        with _store(folder).index(REPOSITORY) as run:
            rows = []
            for one in prepared:
                assert one.planned is not None
                assert one.cleaned is not None
                text, cuts = one.cleaned.text, one.planned.chunks
                listed = Listed(
                    one.planned.path,
                    sha256(text).hexdigest(),
                    one.planned.language,
                    "",
                    tuple(Cut(each.digest, each.line, each.end_line, each.symbol) for each in cuts),
                )
                rows.append(run.put(listed, [text[each.begin : each.end] for each in cuts]))
            run.put_piece("lexical", "1", segment, rows)
            run.commit()

    timed("store", kept)
    return found


def _parsed(path: str, text: bytes) -> object:
    return _grammar("python")[0].parse(text) if path.endswith(".py") else None


def _library(folder: Path, sources: Path) -> Library:
    return Library(
        {"tenant": "tenant", "encryption": "on"},
        partial(control_of, sources, [], []),
        partial(_store, folder),
        lambda _who: None,
        lambda: b"key",
        recovered=lambda _file, _who: "",
        models=folder / "models",
        key_place="",
        sandbox=Sandbox.detect,
        now_ms=SystemClock().monotonic_ms,
    )


def _written(files: list[tuple[str, bytes]], folder: Path) -> None:
    for at, (path, data) in enumerate(files):
        place = folder / str(at // 100) / f"{at}{Path(path).suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def _whole(files: list[tuple[str, bytes]], folder: Path) -> tuple[float, float, float]:
    _written(files, folder / "sources")
    library = _library(folder, folder / "sources")
    took = []
    before, used = process_time(), 0.0
    for _ in range(2):
        began = perf_counter()
        library.index(REPOSITORY)
        took.append(perf_counter() - began)
        used = used or process_time() - before
    library.close()
    return took[0], used, took[1]


def _million(texts: list[tuple[str, str, bytes]], folder: Path) -> None:
    """The same chunks in each piece, under other paths, and other vectors."""
    near, store = _Vectors(), _store(folder)
    with store.index(REPOSITORY) as run:
        for piece in range(PIECES):
            rows, entries = [], []
            for begin in range(0, len(texts), 20):
                some = texts[begin : begin + 20]
                path = f"{piece}/{some[0][0]}/{begin}.py"
                cuts = tuple(
                    Cut(sha256(text).hexdigest(), 40 * at + 1, 40 * at + 40, symbol)
                    for at, (_, symbol, text) in enumerate(some)
                )
                rows.append(
                    run.put(Listed(path, "0" * 64, "python", "", cuts), [text for _, _, text in some])
                )
                entries += [lexical.Entry(text, symbol, path) for _, symbol, text in some]
            run.put_piece(
                "lexical", str(piece), lexical.parts_of(lexical.segment_of(entries, lexical.Terms())), rows
            )
            counts = np.bincount(np.arange(len(texts)) // 20)
            for begin in range(0, len(texts), VECTORS_AT_ONCE):
                chunks = np.arange(begin, min(begin + VECTORS_AT_ONCE, len(texts)), dtype=np.uint32)
                made = vectors.segment_of(MODEL, near.drawn(len(chunks)), chunks)
                run.put_piece("vectors", f"{piece}/{begin}", vectors.parts_of(made, counts), rows)
            run.save()
        run.commit()
    merge(store, REPOSITORY, MODEL, CancelToken())
    store.close()


def asked(place: str) -> None:
    """Open what `_million` has made and ask it; figures as JSON. In a process of its own."""
    questions = _questions(random.Random(1))
    before = peak_memory_kib()
    clock, began = perf_counter(), process_time()
    store = _store(Path(place))
    held = {each.row: each for each in store.files(REPOSITORY)}
    near: dict[str, list[vectors.Segment]] = {}
    for one in store.pieces(REPOSITORY, "vectors"):
        found_there = vectors.stored(one, MODEL)
        assert found_there is not None
        near.setdefault(one.name.partition("/")[0], []).append(found_there)
    parts, rows = [], []
    for words in in_order(store.pieces(REPOSITORY, "lexical")):
        segment = lexical.StoredSegment(words)
        files = [held[int(row)] for row in words.rows]
        parts.append(
            Part(
                segment,
                REPOSITORY,
                tuple(one.language for one in files),
                np.zeros(len(files), np.int64),
                (vectors.joined(near.pop(words.name)),),
            )
        )
        rows.append(words.rows)

    def read(part: int, chunk: int) -> Told:
        row, at = int(rows[part][chunk // 20]), chunk % 20
        cut = store.cuts(row)[at]
        return Told(cut.line, cut.end_line, cut.symbol, "python", store.text(row, at).decode(), "")

    view = View(parts, read)
    view.ask(questions[0], limit=LIMIT)  # numbers are given
    found = {
        "opened, s": perf_counter() - clock,
        "opened, processor s": process_time() - began,
        "opened, MB": (peak_memory_kib() - before) / 1024,
    }
    meanings = [Meaning(MODEL, one) for one in _Vectors().drawn(len(questions))]

    def ask(at: int, *, has_meaning: bool) -> None:
        view.ask(questions[at], limit=LIMIT, meaning=meanings[at] if has_meaning else None)

    for name, has_meaning in (("words", False), ("words and meaning", True)):
        took: list[float] = []
        for times in ("first ", ""):
            took = [_ms(partial(ask, at, has_meaning=has_meaning)) for at in range(len(questions))]
            found[f"{name}, {times}p50 ms"] = median(took)
        found[f"{name}, p95 ms"] = sorted(took)[int(ASKED * 0.95)]
    print(json.dumps(found))


def _ms(ask: Callable[[], object]) -> float:
    began = process_time()
    ask()
    return (process_time() - began) * 1e3


if __name__ == "__main__":
    _part.run_part(measure, __doc__)
