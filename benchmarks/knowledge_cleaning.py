"""Cleaning source code, beside hashing the same bytes: `python -m benchmarks.knowledge_cleaning`.

The text files of Python's standard library and of the installed packages, each as a whole, in processor time. The automata of the
rules are warm: a worker builds them once. The first pass, which builds them, is told too.
"""

from __future__ import annotations

import statistics
import sysconfig
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from assent.knowledge.cleaning import clean
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show

RATE_MIN: Final = 60.0
RATIO_MAX: Final = 22.0
BYTES_MAX: Final = 48 << 20
QUICK_BYTES_MAX: Final = 8 << 20
ENDINGS: Final = {".py", ".pyi", ".c", ".h", ".js", ".ts", ".json", ".toml", ".md", ".txt", ".yaml"}


def measure(folder: Path, *, quick: bool) -> Part:
    """Measure everything, print a table, and give the promises."""
    del folder  # nothing is stored
    files = real_files(QUICK_BYTES_MAX if quick else BYTES_MAX)
    size_mb = sum(len(data) for _, data in files) / 1e6
    first = size_mb / _taken_s(lambda: [clean(path, data) for path, data in files])
    rounds = 3 if quick else 5
    cleaning = statistics.median(
        _taken_s(lambda: [clean(path, data) for path, data in files]) for _ in range(rounds)
    )
    hashing = statistics.median(
        _taken_s(lambda: [sha256(data).digest() for _, data in files]) for _ in range(rounds)
    )
    rate = size_mb / cleaning
    rows = [
        ["cleaning, first pass", f"{first:.0f}"],
        ["cleaning", f"{rate:.0f}"],
        ["SHA-256", f"{size_mb / hashing:.0f}"],
    ]
    show(f"cleaning {len(files)} files, {size_mb:.0f} MB", ["", "MB per processor second"], rows)
    targets = [
        Target("cleaning, MB per processor second", rate, RATE_MIN, at_least=True),
        Target("cleaning, times SHA-256", cleaning / hashing, RATIO_MAX, at_least=False),
    ]
    figures = {"mb": size_mb, "first_mb_per_s": first, "mb_per_s": rate, "sha256_mb_per_s": size_mb / hashing}
    return Part("knowledge_cleaning", figures, targets)


def real_files(bytes_max: int) -> list[tuple[str, bytes]]:
    roots = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]
    found, size = [], 0
    for root in roots:
        for path in sorted(root.rglob("*")):
            if path.suffix not in ENDINGS or not path.is_file():
                continue
            data = path.read_bytes()
            size += len(data)
            found.append((str(path), data))
            if size > bytes_max:
                return found
    return found


def _taken_s(action: Callable[[], object]) -> float:
    begun = time.process_time()
    action()
    return time.process_time() - begun


if __name__ == "__main__":
    run_part(measure, __doc__)
