"""Freezing a call where it stands, beside a plain function call: `python -m benchmarks.snapshots`.

The median of several rounds, in processor time, per operation. The call remembers twenty values: text, numbers, lists, and
objects three levels deep. The document and its hash are made later, of what was frozen, and are shown for themselves; so is a
deep copy.
"""

from __future__ import annotations

import copy
import statistics
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from assent.invocation import LocalContext, StateKey, World
from assent.invocation.context.local import BlobStore
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal
from assent.spec.values.json_patch import diff
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show

SNAPSHOT_US_MAX: Final = 10.0
KEYS: Final = 20


def measure(folder: Path, *, quick: bool) -> Part:
    """Measure everything, print a table, and give the promise."""
    del folder  # nothing is stored
    number, rounds = (500, 7) if quick else (5_000, 25)
    call = _call()
    values = [*call.state.values()]
    one = call.snapshot()
    call.state.set(StateKey("key4", str), "another")
    two = call.snapshot()
    before, after = one.document, two.document

    def plain(context: LocalContext) -> LocalContext:
        return context

    figures = {
        "a plain function call": _median_us(lambda: plain(call), number, rounds),
        f"a snapshot of {KEYS} keys": _median_us(call.snapshot, number, rounds),
        "a deep copy of the values": _median_us(lambda: copy.deepcopy(values), number // 10, rounds),
        "snapshot and document": _median_us(lambda: call.snapshot().document, number // 10, rounds),
        "its content hash": _median_us(lambda: one.content_hash, number // 10, rounds),
        "the difference of two": _median_us(lambda: diff(before, after), number // 10, rounds),
    }
    show("freezing a call where it stands", ["", "µs"], [[name, f"{us:.2f}"] for name, us in figures.items()])
    figure = figures[f"a snapshot of {KEYS} keys"]
    return Part(
        "snapshots",
        {"figures_us": figures},
        [Target(f"snapshot of {KEYS} keys, µs", figure, SNAPSHOT_US_MAX, at_least=False)],
    )


def _call() -> LocalContext:
    call = LocalContext(
        run=RunId("run_01jd0000000000000000000000"),
        step=StepKey("publish"),
        attempt=1,
        principal=Principal.parse("user:ann"),
        key="k",
        world=cast("World", None),  # A snapshot looks at neither.
        blobs=cast("BlobStore", None),
        capability="shop.order",
        version="1.0.0",
    )
    for index in range(KEYS):
        value = _value(index)
        call.state.set(StateKey(f"key{index}", type(value)), value)
    return call


def _value(index: int) -> Any:  # `Any`: what calls remember
    match index % 4:
        case 0:
            return {"number": index, "lines": [{"item": "tea", "count": 2}, {"item": "cups", "count": 6}]}
        case 1:
            return [index, "text", None, True]
        case 2:
            return "a sentence of some length, as calls remember them"
        case _:
            return index * 1.5


def _median_us(action: Callable[[], object], number: int, rounds: int) -> float:
    measured = timeit.repeat(action, timer=time.thread_time, number=number, repeat=rounds)
    return statistics.median(measured) * 1e6 / number


if __name__ == "__main__":
    run_part(measure, __doc__)
