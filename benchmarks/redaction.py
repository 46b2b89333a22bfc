"""Redacting what a call answers, beside writing it as JSON: `python -m benchmarks.redaction`.

An object of many keys that nothing else has, and a list of rows with the same few: with no secret known, and with one. The median
of several rounds, in processor time, per value; the promise is the ratio to the encoder in the same run.
"""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from assent.errors import Json
from assent.secrets.redaction import Redactor
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show

RATIO_MAX: Final = 60.0
VALUES: Final = 100_000
COLUMNS: Final = 10

KEYS: Final[Json] = {f"name {number}": number for number in range(VALUES)}
ROWS: Final[Json] = [
    {f"column {column}": f"text {number}" for column in range(COLUMNS)} for number in range(VALUES // COLUMNS)
]


def measure(folder: Path, *, quick: bool) -> Part:
    """Measure everything, print a table, and give the promises."""
    del folder  # nothing is stored
    rounds = 3 if quick else 15
    nothing, one = Redactor(), Redactor()
    one.add("a", "correct horse battery staple")
    encode = msgspec.json.Encoder().encode
    figures: dict[str, float] = {}
    ratios: dict[str, float] = {}
    for name, value in (("an object of many keys", KEYS), ("a list of rows", ROWS)):
        figures[f"{name}, encoded"] = base = _median_ns(partial(encode, value), rounds)
        for known, redactor in (("no secret known", nothing), ("one known", one)):
            taken = _median_ns(partial(redactor.output, value), rounds)
            figures[f"{name}, {known}"] = taken
            ratios[f"{name}, {known}, times the encoder"] = taken / base
    show("redaction", ["", "ns per value"], [[name, f"{figure:.0f}"] for name, figure in figures.items()])
    targets = [Target(name, ratio, RATIO_MAX, at_least=False) for name, ratio in ratios.items()]
    return Part("redaction", {"figures_ns": figures}, targets)


def _median_ns(action: Callable[[], object], rounds: int) -> float:
    taken = timeit.repeat(action, timer=time.thread_time, number=1, repeat=rounds)
    return statistics.median(taken) * 1e9 / VALUES


if __name__ == "__main__":
    run_part(measure, __doc__)
