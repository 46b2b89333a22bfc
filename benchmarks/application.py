"""What the calls of one runtime share, beside a plain function call: `python -m benchmarks.application`.

The median of several rounds, in processor time, per operation: asking for a module, counting an ended call, and asking a rate
limit.
"""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Final

from assent import system
from assent.invocation import GlobalContext, Metrics, RateLimit, RateLimiter
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show

GET_US_MAX: Final = 0.1
COUNT_US_MAX: Final = 1.0
MODULES: Final = 50


class Database:
    """What is asked for."""


def measure(folder: Path, *, quick: bool) -> Part:
    """Measure everything, print a table, and give the promises."""
    del folder  # nothing is stored
    number, rounds = (20_000, 5) if quick else (200_000, 15)
    app = GlobalContext(clock=system.SystemClock(), spawn=system.spawn)
    for index in range(MODULES):
        kind = type(f"Module{index}", (), {})
        app.register(kind, kind())
    app.register(Database, Database())
    metrics = Metrics()
    limiter = RateLimiter([RateLimit("all", 10**9, 60_000)], system.SystemClock())

    def plain(kind: type) -> type:
        return kind

    figures = {
        "a plain function call": _median_us(lambda: plain(Database), number, rounds),
        f"a module among {MODULES + 1}": _median_us(lambda: app.get(Database), number, rounds),
        "an ended call counted": _median_us(
            lambda: metrics.call("io.fs.read_file", "succeeded", 120), number, rounds
        ),
        "a rate limit asked": _median_us(
            lambda: limiter.admit("io.fs.read_file", "user:ann"), number // 20, rounds
        ),
    }
    # Each is called through the same lambda, whose own cost is no part of it.
    empty = _median_us(lambda: None, number, rounds)
    figures = {name: max(0.0, figure - empty) for name, figure in figures.items()}
    show(
        "what the calls of one runtime share",
        ["", "µs"],
        [[name, f"{figure:.3f}"] for name, figure in figures.items()],
    )
    targets = [
        Target("module access, µs", figures[f"a module among {MODULES + 1}"], GET_US_MAX, at_least=False),
        Target("counting a call, µs", figures["an ended call counted"], COUNT_US_MAX, at_least=False),
    ]
    return Part("application", {"figures_us": figures}, targets)


def _median_us(action: Callable[[], object], number: int, rounds: int) -> float:
    return (
        statistics.median(timeit.repeat(action, timer=time.thread_time, number=number, repeat=rounds))
        * 1e6
        / number
    )


if __name__ == "__main__":
    run_part(measure, __doc__)
