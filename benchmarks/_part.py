"""What every part of the benchmarks has in common: its arguments, its folder, and what it hands back."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks._measure import ROOT
from benchmarks._table import Target, show_targets

FOLDER = ROOT / ".benchmarks"
"""On the disk of the project, not in the system's temporary folder: that is often no disk, and waiting for it costs nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one part measured."""

    name: str
    data: dict[str, Any]
    targets: Sequence[Target]


class Measure(Protocol):
    """Measures, prints its tables, and gives what they were made of."""

    def __call__(self, folder: Path, *, quick: bool) -> Part: ...


def run_part(measure: Measure, about: str | None) -> None:
    """The command line of a part: `--quick`, `--folder DIR`, `--json FILE`."""
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter measurements: to see that it works"
    )
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="where databases are made and removed again"
    )
    parser.add_argument("--json", type=Path, help="write the data to this file as well")
    given = parser.parse_args()
    folder: Path = given.folder.resolve() / "part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        part = measure(folder, quick=given.quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show_targets(part.targets)
    if given.json is not None:
        data = {"part": part.name, **part.data, "targets": [target.to_json() for target in part.targets]}
        given.json.write_text(json.dumps(data), encoding="utf-8")
