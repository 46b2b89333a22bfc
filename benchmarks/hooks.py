"""What an agent waits for before each call of a tool: a hook that asks a daemon, and one that owns the state for a moment.

    python -m benchmarks.hooks [--quick] [--json FILE]

By turns with Python and click doing nothing, so that all of them meet the same machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._measure import clean_environment
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show
from benchmarks.startup import program

BASELINE = "python -c pass"
CLICK = "python -c 'import click'"
ASKS = "assent hook, of a daemon"
OWNS = "assent hook, nobody owns"


def measure(folder: Path, *, quick: bool) -> Part:
    """Time each, in turns."""
    turns = 5 if quick else 31
    environment = clean_environment(folder / "home")
    served, alone = folder / "served", folder / "alone"
    for place in (served, alone):
        place.mkdir()
    hook = [*program(), "hook", "claude-code"]
    commands = {
        BASELINE: [sys.executable, "-c", "pass"],
        CLICK: [sys.executable, "-c", "import click"],
        ASKS: [*hook, f"--workspace={served}", f"--state={served / '.assent'}"],
        OWNS: [*hook, f"--workspace={alone}", f"--state={alone / '.assent'}"],
    }
    serve = [*program(), "serve", "--workspace", str(served)]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with subprocess.Popen(
        serve, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        for turn in range(turns + 2):
            for name, command in commands.items():
                took = _time(command, environment, _call(turn))
                if turn >= 2:
                    times[name].append(took)
        daemon.terminate()
    rows, data = [], {}
    for name, taken in times.items():
        wall_ms, cpu_ms = (median(one[index] for one in taken) * 1e3 for index in (0, 1))
        x_python, x_click = _ratio(times, name, BASELINE), _ratio(times, name, CLICK)
        data[name] = {"wall_ms": wall_ms, "cpu_ms": cpu_ms, "x_python": x_python, "x_click": x_click}
        rows.append([name, *map(number, (wall_ms, cpu_ms, x_python, x_click))])
    print(f"\nhooks: medians of {turns} turns")
    heads = ["process", "wall ms", "CPU ms", "x python", "x click"]
    show("from process start to exit; ratios are of CPU time", heads, rows)
    targets = [Target(f"{ASKS}: x click", data[ASKS]["x_click"], 1.5, at_least=False)]
    return Part("hooks", {"commands": data}, targets)


def _call(turn: int) -> bytes:
    told = {"session_id": "s", "hook_event_name": "PreToolUse", "tool_name": "Read", "tool_use_id": str(turn)}
    return json.dumps({**told, "cwd": "/", "tool_input": {"file_path": "/etc/hosts"}}).encode()


def _time(command: list[str], environment: dict[str, str], data: bytes) -> tuple[float, float]:
    """Wall and processor seconds of one process."""
    ends: tuple[int, int] = os.pipe()
    os.write(ends[1], data)
    os.close(ends[1])
    out = os.open(os.devnull, os.O_WRONLY)
    actions: list[Any] = [(os.POSIX_SPAWN_DUP2, ends[0], 0), (os.POSIX_SPAWN_DUP2, out, 1)]
    begun = time.perf_counter()
    child = os.posix_spawn(command[0], command, environment, file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - begun
    os.close(ends[0])
    os.close(out)
    assert os.waitstatus_to_exitcode(status) == 0, command
    return wall, usage.ru_utime + usage.ru_stime


def _ratio(times: dict[str, list[tuple[float, float]]], name: str, baseline: str) -> float:
    return median(one[1] / other[1] for one, other in zip(times[name], times[baseline], strict=True))


if __name__ == "__main__":
    run_part(measure, __doc__)
