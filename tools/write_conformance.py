"""Writes `docs/conformance.md` from what the conformance tests find, so that each mark on the page stands for a test that passed.

    python -m tools.write_conformance [--check] [AREA …]

Runs `tests/conformance`, or only the cases of some areas (`fs`, `net` …) while one is at work on these. When a cell does not
hold, it says which, writes nothing and ends with 1. `--check` writes nothing either, and ends with 1 when the page is not what it
would write.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "conformance.md"
TESTS: Final = "tests/conformance/test_conformance.py"


def outcomes(areas: Sequence[str]) -> dict[tuple[str, str], str]:
    """(test, capability) → `passed`, `failed` or `skipped`, from a run of the tests on the cases of some areas."""
    from tests.conformance.table import AREAS

    named = [case.capability for area in areas for case in AREAS[area]]
    with tempfile.TemporaryDirectory(prefix="assent-conformance-") as folder:
        report = Path(folder) / "report.xml"
        words = [
            "-m",
            "pytest",
            "-q",
            "-n",
            "auto",
            "--no-cov",
            "--complete-crash",
            f"--junitxml={report}",
            TESTS,
        ]
        # The test that compares the page with the cases is about the page that this run is to write.
        words += ["--deselect", f"{TESTS}::test_page_is_what_the_cases_say", "-k", " or ".join(named)]
        subprocess.run([sys.executable, *words], cwd=ROOT, check=False)
        return dict(_outcomes(ET.parse(report).getroot()))  # noqa: S314  # pytest wrote it just now


def _outcomes(report: ET.Element) -> Iterator[tuple[tuple[str, str], str]]:
    for case in report.iter("testcase"):
        test, _, capability = case.attrib["name"].rstrip("]").partition("[")
        kinds = {child.tag for child in case}
        failed = bool(kinds & {"failure", "error"})
        yield (test, capability), "failed" if failed else "skipped" if "skipped" in kinds else "passed"


def missing(found: Mapping[tuple[str, str], str], areas: Sequence[str]) -> list[str]:
    """What stands in the way of the page: each test that did not pass, and each cell that no test tried."""
    from tests.conformance.table import AREAS, TEST_OF, marks

    faults = [f"{test}[{name}] {outcome}" for (test, name), outcome in found.items() if outcome != "passed"]
    for case in (case for area in areas for case in AREAS[area]):
        for cell, (mark, _) in marks(case).items():
            if mark != "-" and (TEST_OF[cell], case.capability) not in found:
                faults.append(f"{TEST_OF[cell]}[{case.capability}] was not run")
    return faults


def main(arguments: list[str]) -> int:
    """Run the tests, and write the page or compare it."""
    from tests.conformance.table import AREAS, page

    is_check = arguments[:1] == ["--check"]
    areas = arguments[1:] if is_check else arguments
    areas = areas or [*AREAS]
    faults = missing(outcomes(areas), areas)
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        return 1
    wanted = page(AREAS)
    if is_check:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == wanted
        command = "python -m tools.write_conformance"
        print("docs/conformance.md is up to date." if same else f"docs/conformance.md is old: {command}")
        return 0 if same else 1
    PAGE.write_text(wanted, encoding="utf-8")
    print(f"wrote {sum(map(len, AREAS.values()))} capabilities")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
