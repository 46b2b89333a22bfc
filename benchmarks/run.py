"""All figures of Assent, beside their baselines, in one run.

    python benchmarks/run.py [--quick] [--check] [--json FILE] [PART]...

Each part is a module of its own and runs in a process of its own. `--check` exits with 1 when a promise was not kept.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# This file is run by its path, so the folder that holds it would be searched for modules; they are imported as `benchmarks.…`.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks._machine import describe_machine  # noqa: E402  # see above
from benchmarks._measure import ROOT, clean_environment  # noqa: E402  # see above
from benchmarks._part import FOLDER  # noqa: E402  # see above
from benchmarks._table import Target, show_targets  # noqa: E402  # see above

PARTS = (
    "startup",
    "hooks",
    "policy",
    "simulate",
    "manifests",
    "validation",
    "knowledge_cleaning",
    "knowledge_index",
    "redaction",
    "application",
    "calls",
    "snapshots",
    "findings",
    "findings_book",
    "findings_store",
    "findings_export",
    "knowledge_search",
    "plugins",
    "ledger",
    "growth",
    "waiting",
    "workflows",
    "versions",
    "gateway",
    "http",
    "serve",
    "listeners",
    "files",
    "sandbox",
)


def main() -> int:
    """Run the parts and say what came of the promises."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"some of: {', '.join(PARTS)} (all when none is named)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter measurements: to see that it works"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 when a promise was not kept")
    parser.add_argument("--json", type=Path, help="write everything to this file as well")
    given = parser.parse_args()
    unknown = sorted(set(given.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part `{unknown[0]}`")
    FOLDER.mkdir(exist_ok=True)
    machine = describe_machine(FOLDER)
    print("machine\n")
    for name, value in machine.items():
        print(f"  {name}: {value}")
    if given.quick:
        print("\n  --quick: too short to be quoted")
    results = [_run(part, quick=given.quick) for part in PARTS if part in (given.parts or PARTS)]
    targets = [
        Target(target["name"], target["value"], target["limit"], target["at_least"])
        for result in results
        for target in result["targets"]
    ]
    print("\n== all promises")
    show_targets(targets)
    if given.json is not None:
        given.json.write_text(
            json.dumps({"machine": machine, "quick": given.quick, "parts": results}), encoding="utf-8"
        )
    return int(given.check and any(target.verdict == "MISSED" for target in targets))


def _run(part: str, *, quick: bool) -> dict[str, Any]:
    print(f"\n== {part}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = clean_environment(Path(folder) / "home")
        command = [sys.executable, "-m", f"benchmarks.{part}"]
        if part in ("policy", "simulate"):  # They are over in seconds, need no folder and speak in lines.
            said = subprocess.run(
                command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
            ).stdout
            print(said, end="")
            return _of_lines(part, said)
        out = Path(folder) / "out.json"
        command += ["--json", str(out), *(["--quick"] if quick else [])]
        subprocess.run(command, check=True, cwd=ROOT, env=environment)
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return found


_AIMED = re.compile(r"^ +(?P<name>\S.*?) {2,}(?P<value>[\d,]+)/s .* target +(?P<limit>[\d,]+)/s")


def _of_lines(part: str, said: str) -> dict[str, Any]:
    """The data of a part that prints one figure per line, the promised ones with `target N/s`."""
    lines = said.splitlines()
    targets = [
        Target(
            f"{part}: {found['name']}, per s",
            _integer(found["value"]),
            _integer(found["limit"]),
            at_least=True,
        )
        for found in map(_AIMED.match, lines)
        if found is not None
    ]
    assert targets, "the lines of this part are no longer what they were"
    return {"part": part, "lines": lines, "targets": [target.to_json() for target in targets]}


def _integer(text: str) -> int:
    return int(text.replace(",", ""))


if __name__ == "__main__":
    sys.exit(main())
