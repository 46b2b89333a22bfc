"""Writes the table of tools in `docs/findings-parsers.md`, from their manifests.

    python -m tools.write_findings [--check | --goldens]

`--check` writes nothing and ends with 1 when the page is not what it would write. `--goldens` writes what the outputs under
`tests/golden/findings` become today instead: the difference is to be read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from assent.findings.parsing import Parser, built_in_tools
from tests.support.scanned import expected_of, goldens, told

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "findings-parsers.md"
BEGIN: Final = "<!-- Written by `python -m tools.write_findings` from the manifests. -->\n"
END: Final = "<!-- End of what is written. -->\n"


def table(tools: Mapping[str, Parser]) -> str:
    """A row for each manifest."""
    rows = ["| tool | looks at | reads | a record is | becomes | tried with |", "|---|---|---|---|---|---|"]
    for parser in tools.values():
        said = parser.manifest
        becomes = " and ".join(sorted({f"{one.becomes}s" for one in said.records}))
        tried = ", ".join(said.tried) or "**untried**: from documentation alone"
        rows.append(
            f"| {said.title} (`{said.tool}`) | {said.about} | {said.format} | {said.record} | {becomes} | {tried} |"
        )
    return "\n".join(rows) + "\n"


def page(text: str, tools: Mapping[str, Parser]) -> str:
    """The page with today's table in it."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table(tools)}\n{END}{tail}"


def main(arguments: list[str]) -> int:
    """Run the command."""
    if arguments == ["--goldens"]:
        for golden in goldens():
            found = json.dumps(told(golden.read_bytes()), indent=1, ensure_ascii=False) + "\n"
            expected_of(golden).write_text(found, encoding="utf-8")
        return 0
    text = PAGE.read_text(encoding="utf-8")
    wanted = page(text, built_in_tools())
    if arguments == ["--check"]:
        return int(text != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
