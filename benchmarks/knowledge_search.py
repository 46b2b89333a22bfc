"""Answering questions about 100 000 and a million chunks, beside comparing all vectors, SQLite's own search for words, and peers.

    python -m benchmarks.knowledge_search [--quick] [--json FILE]

Chunks are made of the lines of real ones: of Assent's sources, tests and pages, each with half of another one's lines, so that
they differ and their words are as frequent as words are. The larger index is of ten segments, each in memory of its own. Vectors
are made up (clusters in 96 of 384 dimensions); their bytes are on the disk, read where they are asked for. Questions are first
sentences of docstrings. Figures are CPU time of this process, with one thread. Texts of answers are at hand; what reading and
decrypting them takes is the store's. `--quick` has 10 000 and 50 000 chunks.
"""

from __future__ import annotations

import ast
import os
import random
import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is loaded

import apsw
import numpy as np
from numpy.typing import NDArray

from assent.knowledge import lexical, vectors
from assent.knowledge.asking import Meaning, Part, Told, View
from assent.knowledge.chunks import Planned, plan_file
from benchmarks import _part, _search_peers
from benchmarks._measure import ROOT, cpu_s, peak_memory_kib
from benchmarks._table import Target, number, show

DIMENSIONS = 384
CHUNKS = 100_000
SEGMENTS = 10
ASKED = 60
LIMIT = 10


def measure(folder: Path, *, quick: bool) -> _part.Part:
    """Both sizes, with words alone and with meaning, with and without a mask; then the baselines on the smaller one."""
    count, segments = (10_000, 5) if quick else (CHUNKS, SEGMENTS)
    dice = random.Random(1)
    texts, questions = _texts(count, dice), _questions(dice)
    words = lexical.segment_of(
        [
            lexical.Entry(text, symbol, f"{path}/{each // 20}.py")
            for each, (path, symbol, text) in enumerate(texts)
        ],
        lexical.Terms(),
    )
    near = _Vectors()
    every = near.drawn(count)
    asked = [Meaning("made up", one) for one in near.drawn(len(questions))]
    before = peak_memory_kib()
    parts = [_part_of(words, every, folder / "0")]
    parts += [
        _part_of(
            lexical.Segment(*(one.copy() if isinstance(one, np.ndarray) else one for one in words)),
            near.drawn(count),
            folder / str(each),
        )
        for each in range(1, segments)
    ]
    hidden = [one._replace(visible=_mask(count)) for one in parts]
    texts_db = _full_text(folder / "fts.db", texts)
    rows, found = [], {}

    def row(name: str, ask: Callable[[int], object]) -> float:
        found[name] = _ms(ask, range(len(questions)))
        rows.append([name, *map(number, found[name])])
        return found[name][0]

    def of(view: View, *, has_meaning: bool) -> Callable[[int], object]:
        view.ask(questions[0], limit=LIMIT, meaning=asked[0])  # numbers are given
        return lambda at: view.ask(questions[at], limit=LIMIT, meaning=asked[at] if has_meaning else None)

    small, large = View(parts[:1], _told), View(parts, _told)
    by_words = row(f"{count}: words", of(small, has_meaning=False))
    fused = row(f"{count}: words and meaning", of(small, has_meaning=True))
    row(f"{count * segments}: words", of(large, has_meaning=False))
    of_million = row(f"{count * segments}: words and meaning", of(large, has_meaning=True))
    row(
        f"{count * segments}: meaning alone",
        lambda at: vectors.search(
            [one.vectors[0] for one in parts], asked[at].vector, model="made up", limit=LIMIT
        ),
    )
    open_view = of(large, has_meaning=True)
    hidden_view = of(View(hidden, _told), has_meaning=True)
    row(f"{count * segments}: words and meaning, one in ten hidden", hidden_view)
    # By turns, so that a machine that gets slower meets both.
    masked = median(_ms(hidden_view, [at])[0] / _ms(open_view, [at])[0] for at in range(len(questions)))
    brute = row(f"baseline, {count}: all float32 compared", partial(_brute, every, asked))
    plain = row(f"baseline, {count}: FTS5, any of the words", partial(_matched, texts_db, questions))
    peers = {
        **dict(_search_peers.by_words(folder, texts, questions, LIMIT)),
        **dict(_search_peers.by_meaning(folder, every, [one.vector for one in asked], LIMIT)),
    }
    for name, ask in peers.items():
        row(f"peer, {count}: {name}", ask)
    show("questions answered, CPU time", ["what", "p50 ms", "p95 ms"], rows)
    codes = sum(one.vectors[0].codes.nbytes + one.vectors[0].chunks.nbytes for one in parts)
    postings = sum(array.nbytes for one in parts for array in one.words if isinstance(array, np.ndarray))
    show(
        f"memory of {count * segments} chunks",
        ["what", "MB"],
        [
            ["bits of vectors, and whose they are", number(codes / 1e6)],
            ["words", number(postings / 1e6)],
            ["bytes of vectors, on the disk", number(count * segments * DIMENSIONS / 1e6)],
            [
                "most that this process had, with what the figures are made of",
                number(peak_memory_kib() / 1024),
            ],
        ],
    )
    targets = [
        Target(f"{count} chunks by words: p50 ms", by_words, 8, at_least=False),
        Target(f"{count} chunks by words and meaning: p50 ms", fused, 12, at_least=False),
        Target(f"{count * segments} chunks by words and meaning: p50 ms", of_million, 20, at_least=False),
        Target("a mask of what is hidden: times as long", masked, 1.1, at_least=False),
    ]
    data = {
        "ms": found,
        "x": {"brute": brute, "fts5": plain},
        "bytes": {"codes": codes, "words": postings, "before": before},
    }
    return _part.Part("knowledge_search", data, targets)


def _ms(ask: Callable[[int], object], numbers: Sequence[int]) -> tuple[float, float]:
    times = []
    for at in numbers:
        began = cpu_s()
        ask(at)
        times.append((cpu_s() - began) * 1e3)
    return median(times), sorted(times)[int(len(times) * 0.95)]


def _told(_part: int, _chunk: int) -> Told:
    return Told(1, 1, "", "python", "", "")


def _mask(count: int) -> NDArray[np.bool_]:
    mask = np.ones(count, np.bool_)
    mask[::10] = False
    return mask


class _Vectors:
    """Vectors as encoders give them: of some subjects, in fewer dimensions than they have."""

    def __init__(self) -> None:
        self._dice = np.random.default_rng(1)
        self._basis = self._normal(96, DIMENSIONS)
        self._subjects = self._normal(2_000, 96)

    def drawn(self, count: int) -> NDArray[np.float32]:
        subjects = self._subjects[self._dice.integers(0, len(self._subjects), count)]
        found = (subjects + self._normal(count, 96)) @ self._basis + self._normal(count, DIMENSIONS)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found

    def _normal(self, *shape: int) -> NDArray[np.float32]:
        return self._dice.standard_normal(shape, np.float32)


def _part_of(words: lexical.Segment, every: NDArray[np.float32], path: Path) -> Part:
    made = vectors.segment_of("made up", every, np.arange(len(every), dtype=np.uint32))
    path.write_bytes(made.rows(np.arange(len(every))).tobytes())
    file = os.open(path, os.O_RDONLY)

    def rows(numbers: NDArray[np.int64]) -> NDArray[np.int8]:
        data = b"".join(os.pread(file, DIMENSIONS, one * DIMENSIONS) for one in numbers.tolist())
        return np.frombuffer(data, np.int8).reshape(-1, DIMENSIONS)

    files = len(words.paths)
    return Part(words, "", ("python",) * files, np.zeros(files, np.int64), (made._replace(rows=rows),))


def _brute(every: NDArray[np.float32], asked: Sequence[Meaning], at: int) -> object:
    scores = every @ asked[at].vector
    best = np.argpartition(scores, -LIMIT)[-LIMIT:]
    return best[np.argsort(-scores[best])]


def _full_text(path: Path, texts: Sequence[tuple[str, str, bytes]]) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE VIRTUAL TABLE chunk USING fts5(path, symbol, body)")
    with connection:
        connection.executemany(
            "INSERT INTO chunk VALUES (?, ?, ?)",
            ((path, symbol, text.decode()) for path, symbol, text in texts),
        )
    return connection


def _matched(connection: apsw.Connection, questions: Sequence[str], at: int) -> object:
    terms = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", questions[at]))
    return list(
        connection.execute(
            "SELECT rowid FROM chunk WHERE chunk MATCH ? ORDER BY rank LIMIT ?", (terms, LIMIT)
        )
    )


def _sources() -> list[tuple[str, bytes]]:
    files = [
        path
        for folder in ("src", "tests", "docs", "tools", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".md", ".toml", ".yaml")
    ]
    return [(path.relative_to(ROOT).as_posix(), path.read_bytes()) for path in files]


def _texts(count: int, dice: random.Random) -> list[tuple[str, str, bytes]]:
    """Path, symbol and text of each."""
    real = [
        (path, one.symbol, data[one.begin : one.end].splitlines(keepends=True))
        for path, data in _sources()
        if isinstance(planned := plan_file(path, data), Planned)
        for one in planned.chunks
    ]
    made = []
    for each in range(count):
        path, symbol, lines = real[each % len(real)]
        others = dice.choice(real)[2]
        some = dice.sample(others, len(others) // 2)
        made.append((path.removesuffix(".py"), symbol, b"".join([*lines[: len(lines) // 2 + 1], *some])))
    return made


def _questions(dice: random.Random) -> list[str]:
    told = [
        docs.partition("\n")[0]
        for path, data in _sources()
        if path.startswith("src/") and path.endswith(".py")
        for node in ast.walk(ast.parse(data))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (docs := ast.get_docstring(node))
    ]
    dice.shuffle(told)
    return [*islice((one for one in told if len(one.split()) >= 4), ASKED)]


if __name__ == "__main__":
    _part.run_part(measure, __doc__)
