"""What is said of findings in a line has the worst first, and what nobody rated behind what is medium."""

from __future__ import annotations

from typing import Any, Final

from assent.capabilities.findings import area
from assent.capabilities.findings._report import ReportEffect
from assent.capabilities.fs.change._change import Change

COUNTS: Final[dict[str, Any]] = {
    "info": 6, "low": 5, "medium": 3, "high": 2, "critical": 1, "unknown": 4,
}  # fmt: skip
WORST_FIRST: Final = "1 critical, 2 high, 3 medium, 4 unknown, 5 low, 6 info"


def test_an_import_says_the_worst_first() -> None:
    say = next(said for needed, said in area.WORDS.items() if "normalised" in needed)
    said = say({"tool": "nuclei", "records": 21, "by_severity": COUNTS}).splitlines()
    assert said[0] == f"nuclei: 21 records, {WORST_FIRST}"


def test_a_report_says_the_worst_first() -> None:
    effect = ReportEffect.__new__(ReportEffect)
    change = Change((), (), (), notes={"by_severity": COUNTS})
    assert effect.heading(change) == f"report of findings: {WORST_FIRST}\n"
