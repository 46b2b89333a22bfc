"""What a measurement is made of: processor time, memory, percentiles, and the environment of a measured process."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_DISTURBING = (
    "COV_CORE_",
    "COVERAGE_",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONTRACEMALLOC",
    "PYTHONPROFILEIMPORTTIME",
    "ASSENT_",
)
"""Prefixes of variables that would make a measured process do something else than its user's would."""


def cpu_s() -> float:
    """Processor seconds of all threads of this process and of its children that have ended."""
    usage = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in usage)


def peak_memory_kib() -> int:
    """The most memory that this process has had resident."""
    # Not ru_maxrss where it can be avoided: it remembers what the parent had when it started us.
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the ordered values lie (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def clean_environment(home: Path) -> dict[str, str]:
    """The environment of a measured process: bytecode on, no coverage, and everything personal kept in `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DISTURBING)}
    folders = {"HOME": home, "XDG_CONFIG_HOME": home / "config", "XDG_RUNTIME_DIR": home / "run"}
    for folder in folders.values():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {**kept, **{name: str(folder) for name, folder in folders.items()}, "PYTHONPATH": str(ROOT)}
