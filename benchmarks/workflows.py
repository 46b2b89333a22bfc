"""Five-step workflows that do nothing, durably: Assent beside its peers and beside SQLite itself.

    python -m benchmarks.workflows [--quick] [--json FILE]

Each figure comes from a process and a folder of its own. All contenders take part in each round, in an order that turns with the
round, so that a machine that gets slower or faster meets all of them. A ratio is taken within a round; what is printed is the
median over the rounds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._load import CONTENDERS, PEERS, Window
from benchmarks._measure import ROOT, clean_environment
from benchmarks._part import Part, run_part
from benchmarks._syncs import build_counter
from benchmarks._table import Target, number, show

CONCURRENCIES = (1, 64)
TIMEOUT_S = 300
STEADY = 1.5
"""How much the rate of SQLite alone may vary over the rounds before the machine is called busy."""


def measure(folder: Path, *, quick: bool) -> Part:
    """Measure all contenders at all concurrencies, in rounds."""
    rounds, seconds = (1, 1.0) if quick else (5, 2.0)
    counter = build_counter(folder)
    windows: list[list[Window]] = []
    for turn in range(rounds):
        names = [*CONTENDERS]
        turned = names[turn % len(names) :] + names[: turn % len(names)]
        windows.append(
            [_window(name, at, seconds, folder, counter) for at in CONCURRENCIES for name in turned]
        )
        print(f"  round {turn + 1} of {rounds} done", file=sys.stderr)
    targets = [
        *_ratio_targets(windows),
        *(
            Target(
                f"assent at {at}: CPU ms per workflow",
                _of(windows, "assent", at, "cpu_ms"),
                0.6,
                at_least=False,
            )
            for at in CONCURRENCIES
        ),
        Target("assent at 1: syncs per workflow", _of(windows, "assent", 1, "syncs"), 7, at_least=False),
        Target("assent at 64: syncs per workflow", _of(windows, "assent", 64, "syncs"), 0.5, at_least=False),
    ]
    print(f"\nfive-step workflows: medians of {rounds} round(s) of {seconds:g} s each")
    for at in CONCURRENCIES:
        _show(windows, at)
    print()
    for at in CONCURRENCIES:
        rates = [window.per_s for window in _each(windows, "raw sqlite", at)]
        steadiness = f"raw sqlite between {number(min(rates))} and {number(max(rates))} per s over the rounds"
        warning = (
            "" if max(rates) < STEADY * min(rates) else ": this machine was busy, do not quote these figures"
        )
        print(f"  steadiness at {at}: {steadiness}{warning}")
    if counter is None:
        print("\n  syncs: not counted (no C compiler was found)")
    settings = {window.contender: window.settings for window in windows[0] if window.concurrency == 1}
    print("\nsettings\n")
    for name, text in settings.items():
        print(f"  {name}: {text}")
    data = [[_plain(window) for window in one] for one in windows]
    return Part("workflows", {"rounds": data, "seconds": seconds}, targets)


def faster_peer(windows: Sequence[Sequence[Window]], at: int) -> str:
    """The peer variant with the highest median rate: the one to be compared with."""
    return max(PEERS, key=lambda name: _of(windows, name, at, "per_s") or 0.0)


def _ratio_targets(windows: Sequence[Sequence[Window]]) -> list[Target]:
    targets = []
    for at, limit in ((64, 10.0), (1, 3.0)):
        peer = faster_peer(windows, at)
        ratio = _ratio(windows, "assent", peer, at)
        targets.append(Target(f"assent at {at}: times the faster peer ({peer})", ratio, limit, at_least=True))
    return targets


def _window(name: str, at: int, seconds: float, folder: Path, counter: Path | None) -> Window:
    place = folder / "window"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    out = folder / "window.json"
    environment = clean_environment(folder / "home")
    if counter is not None:
        environment["LD_PRELOAD"] = str(counter)
    command = [
        sys.executable,
        "-m",
        "benchmarks._load",
        name,
        "--concurrency",
        str(at),
        "--seconds",
        str(seconds),
    ]
    command += ["--folder", str(place), "--out", str(out), "--started-ns", str(time.monotonic_ns())]
    subprocess.run(command, check=True, cwd=ROOT, env=environment, timeout=TIMEOUT_S, stdout=sys.stderr)
    window = Window(**json.loads(out.read_text(encoding="utf-8")))
    shutil.rmtree(place, ignore_errors=True)
    return window


def _show(windows: Sequence[Sequence[Window]], at: int) -> None:
    header = [
        "contender",
        "per s",
        "of raw",
        "assent x",
        "p50 ms",
        "p99 ms",
        "CPU ms",
        "CPU x",
        "syncs",
        "cold ms",
        "peak MiB",
    ]
    rows = []
    for name in CONTENDERS:
        cells = [
            _of(windows, name, at, "per_s"),
            _ratio(windows, name, "raw sqlite", at),
            _ratio(windows, "assent", name, at),
        ]
        cells += [_of(windows, name, at, figure) for figure in ("p50_ms", "p99_ms", "cpu_ms")]
        cells.append(_ratio(windows, name, "assent", at, "cpu_ms"))
        cells += [_of(windows, name, at, figure) for figure in ("syncs", "cold_ms", "peak_mib")]
        rows.append([name, *map(number, cells)])
    show(
        f"concurrency {at} (baseline: raw sqlite; `assent x`: Assent's rate over this one's; `CPU x`: over Assent's)",
        header,
        rows,
    )


def _each(windows: Sequence[Sequence[Window]], name: str, at: int) -> list[Window]:
    """The windows of one contender, one per round."""
    return [
        window for one in windows for window in one if window.contender == name and window.concurrency == at
    ]


def _of(windows: Sequence[Sequence[Window]], name: str, at: int, figure: str) -> float | None:
    values = [getattr(window, figure) for window in _each(windows, name, at)]
    return None if None in values else median(values)


def _ratio(
    windows: Sequence[Sequence[Window]], name: str, baseline: str, at: int, figure: str = "per_s"
) -> float:
    """The median, over the rounds, of one contender's figure over another's of the same round."""
    pairs = zip(_each(windows, name, at), _each(windows, baseline, at), strict=True)
    ratios: list[float] = [getattr(one, figure) / getattr(other, figure) for one, other in pairs]
    return median(ratios)


def _plain(window: Window) -> dict[str, Any]:
    return {name: getattr(window, name) for name in Window.__dataclass_fields__}


if __name__ == "__main__":
    run_part(measure, __doc__)
