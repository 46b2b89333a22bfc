"""A confined `true` beside a bare spawn of it, with each kind of wall that this machine has: `python -m benchmarks.sandbox`.

Processor time of everything that takes part, and the median of wall time, per program, one after the other, from asking until
nothing of it is left. The bare spawn is what the standard library does with the same program and the same pipes.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from assent.sandbox import Confinement, Sandbox
from benchmarks._measure import cpu_s
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show

ADDED_MS_MAX: Final = 15.0


def measure(folder: Path, *, quick: bool) -> Part:
    """Measure everything, print a table, and give the promise."""
    return asyncio.run(_measure(folder, rounds=15 if quick else 100))


async def _measure(folder: Path, *, rounds: int) -> Part:
    root, layers = folder / "workspace", folder / "layers"
    root.mkdir()
    layers.mkdir()
    for number in range(100):
        (root / f"file-{number}.txt").write_text("text\n" * 100)
    plain = Confinement(root=root, environment={"PATH": "/usr/bin:/bin"})

    async def bare() -> None:
        subprocess.run(["true"], capture_output=True, check=True)  # noqa: ASYNC221 - it is the baseline, alone on the loop

    figures = {"a bare spawn": await _cost(bare, rounds)}
    for backend in ("native", "bubblewrap"):
        with Sandbox.detect(backend=backend) as sandbox:
            if not sandbox.holds.is_confined:
                print(f"this machine has no sandbox of kind {backend}\n")
                continue

            async def confined(sandbox: Sandbox = sandbox) -> None:
                assert (await sandbox.run(["true"], plain)).is_success

            async def layered(sandbox: Sandbox = sandbox) -> None:
                layer = layers / os.urandom(8).hex()
                layer.mkdir()
                confinement = Confinement(root=root, layer=layer, environment={"PATH": "/usr/bin:/bin"})
                assert (await sandbox.run(["touch", "new"], confinement)).is_success
                assert len(sandbox.captured(layer).changes) == 1
                sandbox.discard(layer)

            await confined()
            launcher = sandbox.launcher_id
            figures[f"confined, {backend}"] = await _cost(confined, rounds, launcher)
            figures[f"confined with captured writes, {backend}"] = await _cost(layered, rounds, launcher)
    base, base_wall = figures["a bare spawn"]
    rows = [
        [name, f"{cpu:.2f}", f"{cpu / base:.1f}", f"{wall:.2f}", f"{wall / base_wall:.1f}"]
        for name, (cpu, wall) in figures.items()
    ]
    show("starting a program", ["", "processor ms", "ratio", "wall ms", "ratio"], rows)
    native = figures.get("confined, native")
    targets = (
        []
        if native is None
        else [Target("processor time that walls add, ms", native[0] - base, ADDED_MS_MAX, at_least=False)]
    )
    return Part("sandbox", {"figures_ms": figures}, targets)


async def _cost(
    work: Callable[[], Awaitable[None]], rounds: int, launcher: int | None = None
) -> tuple[float, float]:
    """Milliseconds of processor time and of wall time for one program. On a busy machine only the first means something."""
    taken = []
    before = _used_ms(launcher)
    for _ in range(rounds):
        began = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - began) * 1000)
    return (_used_ms(launcher) - before) / rounds, statistics.median(taken)


def _used_ms(launcher: int | None) -> float:
    """Processor time of this process, of the launcher, and of all their children that have ended."""
    ours = cpu_s() * 1000
    if launcher is None:
        return ours
    fields = Path(f"/proc/{launcher}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return ours + sum(map(int, fields[11:15])) * 1000 / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    run_part(measure, __doc__)
