"""`sys.exec.*`: programs in the sandbox, one for what it prints and one for what it writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assent.errors import Json
from tests.conformance.case import Case, Cell, Escape

FILES: Final[Mapping[str, str | bytes | None]] = {"src/a.txt": "one\n", "src/old.txt": "old\n"}
RULES: Final = '[exec.rules.tests]\nprograms = ["sh", "sleep"]\n'
BUILD: Final = "mkdir -p out/deep; cp src/a.txt out/deep/b.txt; echo two >> src/a.txt; rm src/old.txt; chmod 750 src/a.txt"


def _sh(line: str) -> Mapping[str, Json]:
    return {"argv": ["sh", "-c", line]}


_READS: Final = tuple(
    Escape(_sh(f"cat {path}"), "PROGRAM_FAILED")
    for path in ("../outside/canary.txt", ".assent/ledger.db", "/etc/shadow", "/root/.ssh/id_ed25519")
)
_WRITES: Final = tuple(
    Escape(_sh(line), ("PROGRAM_FAILED", "CAPTURE_REFUSED", "PATH_PROTECTED"))
    for line in (
        "echo x > ../outside/evil",
        "ln -s ../../outside way_out",
        "ln -s /etc/passwd way_out",
        "echo x >> assent.toml",
        "rm policy.yaml",
        "mkfifo pipe",
    )
)
_NOT_ALLOWED: Final = Escape({"argv": ["bash", "-c", "true"]}, "PROGRAM_NOT_ALLOWED")
_BAD: Final[tuple[Mapping[str, Json], ...]] = ({"argv": []}, {"argv": "sh"}, {"argv": ["sh", "a\0b"]})

CASES: Final = (
    Case(
        "sys.exec.run",
        _sh("cat src/a.txt; echo lost > src/a.txt"),
        FILES,
        settings=RULES,
        bad=_BAD,
        escapes=(*_READS, _NOT_ALLOWED),
        lasting={"argv": ["sleep", "infinity"]},
        without={Cell.RECONCILE: "without a network it has no effect that anybody could see"},
    ),
    Case(
        "sys.exec.run_captured",
        _sh(BUILD),
        FILES,
        settings=RULES,
        bad=_BAD,
        escapes=(*_READS, *_WRITES, _NOT_ALLOWED),
    ),
)
