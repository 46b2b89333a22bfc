"""The machine that figures belong to: a figure without it says nothing."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks._measure import percentile

PACKAGES = (
    "assent",
    "apsw",
    "dbos",
    "sqlalchemy",
    "langgraph",
    "langgraph-checkpoint-sqlite",
    "aiosqlite",
    "faraday-plugins",
    "fastmcp",
)

_SYNCS = 300
_BLOCK_BYTES = 4096


def describe_machine(folder: Path) -> dict[str, str]:
    """What a reader must know to compare: processor, system, Python, the file system of `folder`, versions."""
    import apsw

    fast, usual, slow = fsync_latency_us(folder)
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg())
        + " (1, 5 and 15 minutes, before the run)",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "file system": _file_system(folder),
        "fdatasync of 4 KiB": f"{usual:.0f} µs median ({fast:.0f} fastest, {slow:.0f} at p99)",
        "sqlite": f"{apsw.sqlite_lib_version()} in apsw (assent, raw), {sqlite3.sqlite_version} in sqlite3 (peers)",
        "versions": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
    }


def fsync_latency_us(folder: Path) -> tuple[float, float, float]:
    """How long one appended block takes to be durable here: fastest, median, p99, in microseconds."""
    times: list[float] = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        descriptor = file.fileno()
        for index in range(_SYNCS):
            os.pwrite(descriptor, os.urandom(_BLOCK_BYTES), index * _BLOCK_BYTES)
            begun = time.perf_counter()
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - begun) * 1e6)
    times.sort()
    return times[0], percentile(times, 0.5), percentile(times, 0.99)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _file_system(folder: Path) -> str:
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown"
    real = folder.resolve()
    holding = [mount for mount in mounts if real.is_relative_to(mount[1])]
    return max(holding, key=lambda mount: len(mount[1]))[2] if holding else "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
