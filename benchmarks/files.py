"""`io.fs.write_file` through the runtime beside a plain atomic write: `python -m benchmarks.files [--quick]`.

The plain write is what careful programs do: a temporary file beside the target, `fsync`, `rename`, `fsync` of the folder. The
call is also checked and decided, and durable before it answers are its inputs, what stood there before, and its outcome. Each
write replaces a file of its size with other content. The median of the time that one write takes, in turn with the other.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

from assent import Runtime
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show

SIZES: Final = {"1 KB": 1_000, "10 MB": 10_000_000}
RATIOS_MAX: Final = {"1 KB": 15.0, "10 MB": 30.0}

_POLICY: Final[dict[str, Any]] = {
    "version": 1,
    "rules": [{"id": "all", "when": {"principal": "user:*"}, "decision": "ALLOW", "reason": "a benchmark"}],
}


def measure(folder: Path, *, quick: bool) -> Part:
    """Measure both ways at each size, print a table, and give the promises."""
    figures = asyncio.run(_figures(folder, {"1 KB": 30, "10 MB": 3} if quick else {"1 KB": 300, "10 MB": 30}))
    rows = [
        [size, f"{plain:.2f}", f"{call:.2f}", f"{call / plain:.1f}"]
        for size, (plain, call) in figures.items()
    ]
    show("replacing one file", ["", "atomic write, ms", "io.fs.write_file, ms", "ratio"], rows)
    targets = [
        Target(
            f"io.fs.write_file of {size}, times an atomic write",
            call / plain,
            RATIOS_MAX[size],
            at_least=False,
        )
        for size, (plain, call) in figures.items()
    ]
    return Part("files", {"figures_ms": figures}, targets)


async def _figures(folder: Path, rounds: dict[str, int]) -> dict[str, tuple[float, float]]:
    workspace = folder / "workspace"
    workspace.mkdir()
    figures = {}
    async with Runtime.open(workspace, state=folder / "state", policy=_POLICY) as rt:

        async def plain(text: str) -> None:
            _write(workspace / "plain.txt", text.encode())

        async def call(text: str) -> None:
            result = await rt.call("io.fs.write_file", {"path": "called.txt", "content": text})
            assert result.status == "succeeded", result

        for size, count in rounds.items():
            texts = _texts(SIZES[size])
            # Once untimed: what follows replaces a file of this size, and nothing is done for the first time.
            await plain(next(texts))
            await call(next(texts))
            taken: dict[Callable[[str], Awaitable[None]], list[int]] = {plain: [], call: []}
            for _ in range(count):  # in turn, so that a busy moment is everybody's
                for way, times in taken.items():
                    text = next(texts)
                    begun = time.perf_counter_ns()
                    await way(text)
                    times.append(time.perf_counter_ns() - begun)
            assert (workspace / "called.txt").stat().st_size == SIZES[size]
            figures[size] = (statistics.median(taken[plain]) / 1e6, statistics.median(taken[call]) / 1e6)
    return figures


def _texts(size: int) -> Iterator[str]:
    """Contents of so many bytes, none of them the same."""
    line = "The quick brown fox jumps over the lazy dog.\n"
    whole = line * (size // len(line) + 1)
    for number in itertools.count():
        yield f"{number:<16}{whole}"[:size]


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing, and durable when this returns."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb", buffering=0) as file:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


if __name__ == "__main__":
    run_part(measure, __doc__)
