"""How long a command takes from process start to exit, beside Python itself doing nothing.

    python -m benchmarks.startup [--quick] [--json FILE]

The commands take turns, so that all of them meet the same machine. Bytecode is compiled before; a run begins in a new workspace.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._measure import clean_environment
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show

BASELINE = "python -c pass"
CLICK = "python -c 'import click'"
VERSION = "assent version"
RUN_NEW = "assent run, new workspace"
RUN_AGAIN = "assent run, used workspace"
CALL = "assent call, one write"
READING = ("runs", "approvals", "audit log", "show")
"""Commands that only look back, at a workspace with a handful of runs."""

_WORKFLOW_YAML = "name: one_step\nversion: 1.0.0\nsteps:\n  - name: only\n    capability: sys.noop\n"


def measure(folder: Path, *, quick: bool) -> Part:
    """Time each command, in turns."""
    turns = 5 if quick else 21
    environment = clean_environment(folder / "home")
    used = folder / "used"
    used.mkdir()
    (folder / "one.yaml").write_text(_WORKFLOW_YAML, encoding="utf-8")
    assent = program()
    run = [*assent, "run", str(folder / "one.yaml"), "--workspace"]
    commands: dict[str, list[str]] = {
        BASELINE: [sys.executable, "-c", "pass"],
        CLICK: [sys.executable, "-c", "import click"],
        VERSION: [*assent, "version"],
        RUN_NEW: [*run, str(folder / "new")],
        RUN_AGAIN: [*run, str(used)],
        CALL: [*assent, "call", "io.fs.write_file", "path=a", "content=b", "--workspace", str(used)],
    }
    looked = folder / "looked"
    looked.mkdir()
    for _ in range(3):
        time_command([*run, str(looked)], environment, folder)
    time_command([*assent, "runs", "--json", "--workspace", str(looked)], environment, folder)
    newest = json.loads((folder / "out").read_text(encoding="utf-8"))[-1]["run_id"]
    for words in READING:
        named = [newest] if words == "show" else []
        commands[f"assent {words}"] = [*assent, *words.split(), *named, "--workspace", str(looked)]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(turns + 2):
        for name, command in commands.items():
            shutil.rmtree(folder / "new", ignore_errors=True)
            (folder / "new").mkdir()
            took = time_command(command, environment, folder)
            if turn >= 2:  # Two turns to warm up: bytecode, the disk's cache.
                times[name].append(took)
    rows, data = [], {}
    for name, taken in times.items():
        wall_ms, cpu_ms = (median(one[index] for one in taken) * 1e3 for index in (0, 1))
        worst_ms = max(one[0] for one in taken) * 1e3
        ratio = _ratio(times, name, BASELINE)
        data[name] = {"wall_ms": wall_ms, "cpu_ms": cpu_ms, "worst_wall_ms": worst_ms, "ratio": ratio}
        rows.append([name, *map(number, (wall_ms, worst_ms, cpu_ms, ratio, _ratio(times, name, CLICK)))])
    print(f"\nstart-up: medians of {turns} turns")
    show(
        f"from process start to exit (ratios are of CPU time, against `{BASELINE}` and `{CLICK}`)",
        ["command", "wall ms", "worst wall", "CPU ms", "x python", "x click"],
        rows,
    )
    targets = [
        Target("assent version: CPU ms", data[VERSION]["cpu_ms"], 80, at_least=False),
        Target("assent run of one step: wall ms", data[RUN_NEW]["wall_ms"], 450, at_least=False),
        Target(f"{CALL}: x click", _ratio(times, CALL, CLICK), 5, at_least=False),
    ]
    for words in READING:
        name = f"assent {words}"
        targets.append(Target(f"{name}: x click", _ratio(times, name, CLICK), 2.5, at_least=False))
    return Part("startup", {"commands": data}, targets)


def program() -> list[str]:
    """The installed `assent`, as a shell would find it beside this interpreter."""
    script = Path(sys.executable).with_name("assent")
    return [str(script)] if script.exists() else [sys.executable, "-m", "assent"]


def time_command(command: list[str], environment: dict[str, str], folder: Path) -> tuple[float, float]:
    """Wall and processor seconds of one process."""
    out = os.open(folder / "out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    actions: list[Any] = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
    begun = time.perf_counter()
    child = os.posix_spawn(command[0], command, environment, file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - begun
    os.close(out)
    if os.waitstatus_to_exitcode(status) != 0:
        said = (folder / "out").read_text(encoding="utf-8", errors="replace")
        raise SystemExit(f"`{' '.join(command)}` failed:\n{said}")
    return wall, usage.ru_utime + usage.ru_stime


def _ratio(times: dict[str, list[tuple[float, float]]], name: str, baseline: str) -> float:
    return median(one[1] / other[1] for one, other in zip(times[name], times[baseline], strict=True))


if __name__ == "__main__":
    run_part(measure, __doc__)
