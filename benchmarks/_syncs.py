"""How often a process waits for the disk, counted by a small library that is preloaded into it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("syncs.c")


def build_counter(folder: Path) -> Path | None:
    """The library to preload, compiled into `folder`; None where that can't be done (no C compiler, not Linux)."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        return None
    library = folder / "syncs.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, check=False, capture_output=True)
    return library if done.returncode == 0 else None


def syncs_so_far() -> int | None:
    """Calls of fsync, fdatasync and syncfs by this process so far; None when nobody counts."""
    try:
        counter = ctypes.CDLL(None).bench_syncs
    except (AttributeError, OSError):
        return None
    counter.restype = ctypes.c_long
    return int(counter())
