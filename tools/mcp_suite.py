"""The official conformance suite of MCP against `assent serve`, which has a fixture's tools behind its gateway and its gate.

    python -m tools.mcp_suite [--record]

It is fetched from npm, whatever is on this machine; every version and set of requirements that counts is run. Each scenario is
told with its checks that did not pass, and why. At last the reference server is compared with what it is behind Assent. Exit
code 1 when a check that a scenario was to make failed, or something of that server is lost. `--record` keeps what was asked and
answered, for `tests/mcp/test_transcripts.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from assent.mcp._http import Agents
from tests.support.suite import served, with_key
from tests.support.transcripts import TRANSCRIPTS, Recorder, kept, packed
from tools.mcp_reference import compare

PACKAGE: Final = "@modelcontextprotocol/conformance"
SETS: Final = (
    ("0.1.16", "--suite", "all"),
    ("0.2.0-alpha.12", "--requirements", "2025-11-25"),
    ("0.2.0-alpha.12", "--requirements", "2026-07-28"),
)
SET_S: Final = 600.0
"""One set, the time to fetch it included."""

_DATED: Final = len("-2026-07-28T00-00-00-000Z")


class Scenario(NamedTuple):
    """One scenario of a set, with its checks as the suite tells them."""

    name: str
    began_s: float
    checks: list[dict[str, Any]]

    def of(self, status: str) -> list[dict[str, Any]]:
        """Those of its checks that ended so."""
        return [one for one in self.checks if one["status"] == status]


async def run(version: str, *chosen: str, url: str) -> list[Scenario]:
    """One set of the suite, by the files that it leaves."""
    with tempfile.TemporaryDirectory(prefix="assent-suite-") as folder:
        command = ["npx", "-y", "-p", "node@22", "-p", f"{PACKAGE}@{version}", "conformance", "server"]
        process = await asyncio.create_subprocess_exec(
            *command,
            "--url",
            url,
            *chosen,
            "-o",
            folder,
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), SET_S)
        found = [
            Scenario(*_named(path.parent.name), json.loads(path.read_text()))
            for path in sorted(Path(folder).glob("*/checks.json"))  # noqa: ASYNC240  # nothing else runs meanwhile
        ]
        if not found:
            sys.exit(f"the suite left nothing behind; it said:\n{said.decode()[-4000:]}")
        return found


def _named(folder: str) -> tuple[str, float]:
    """The scenario of a folder, and when it began."""
    name, told = folder[:-_DATED], folder[-_DATED + 1 :]
    day, _, hour = told.partition("T")
    at = datetime.fromisoformat(f"{day}T{hour[:-5].replace('-', ':')}.{hour[-4:-1]}+00:00")
    return name.removeprefix("server-"), at.timestamp()


def tell(title: str, scenarios: list[Scenario]) -> int:
    """Print what came of a set; how many scenarios failed."""
    failed = [one for one in scenarios if one.of("FAILURE")]
    passed = sum(len(one.of("SUCCESS")) for one in scenarios)
    print(f"== {title}: {len(scenarios) - len(failed)} of {len(scenarios)} scenarios, {passed} checks passed")
    for one in scenarios:
        if not one.of("SUCCESS"):
            print(f"  {one.name}: no check passed")
        for check in one.checks:
            if check["status"] not in ("SUCCESS", "INFO"):
                print(
                    f"  {one.name}: {check['id']}: {check['status'].lower()}: {check.get('errorMessage', 'no reason given')}"
                )
    return len(failed)


async def main() -> int:
    """Every set, one after the other, and the reference server."""
    if shutil.which("npx") is None:
        sys.exit("the suite comes from npm: `npx` is not on PATH")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ASSENT_")}
    failed, recorder, began = 0, Recorder(), dict[str, float]()
    Agents.answer = recorder.answer()  # type: ignore[method-assign]  # it stands in for that
    async with served(environ) as (url, key), with_key(url, key) as front:
        for version, *chosen in SETS:
            scenarios = await run(version, *chosen, url=f"{front}/mcp/suite")
            began |= {f"{chosen[-1]} {one.name}": one.began_s for one in scenarios}
            failed += tell(" ".join((version, *chosen)), scenarios)
    if "--record" in sys.argv:
        TRANSCRIPTS.write_text(packed(kept(recorder.exchanges, began)))
    failed += await compare()
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
