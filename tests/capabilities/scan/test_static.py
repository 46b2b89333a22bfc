"""Scans of files: confined, without a network, and nothing stays of them but what they found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from assent.capabilities.scan._scanners import BUILT_IN
from assent.errors import InputError
from assent.findings.parsing import Tools
from assent.invocation.context.telling import News, Said, telling
from assent.journal import Frontier
from assent.runtime.service import requests
from assent.runtime.service.service import Service
from tests.capabilities.scan.conftest import Yard
from tests.support.bodies import code
from tests.support.hands import tree_of

WEAK = "import subprocess\n\nsubprocess.call(input(), shell=True)\npassword = 'hunter2-hunter2-hunter2'\n"
RULES = """\
rules:
  - id: no-shell
    languages: [python]
    severity: ERROR
    message: a shell is started
    pattern: subprocess.call(..., shell=True)
"""


@pytest.mark.parametrize(
    ("tool", "options", "least"),
    [("bandit", {}, 1), ("detect-secrets", {}, 1), ("semgrep", {"rules": "rules.yml"}, 1)],
)
async def test_a_real_scanner_finds_what_is_weak(  # as parametrised
    yard: Yard, needs: Callable[[str], None], tool: str, options: dict[str, str], least: int
) -> None:
    """And leaves the workspace as it was."""
    needs(tool)
    (yard.work / "src").mkdir()
    (yard.work / "src/app.py").write_text(WEAK)
    (yard.work / "rules.yml").write_text(RULES)
    before = tree_of(yard.work)
    found = await yard.scanned("static", tool, "src", **options)
    assert tree_of(yard.work) == before
    assert (found["tool"], found["findings"] >= least, found["findings"]) == (tool, True, found["records"])
    assert found["scan"]["reach"] is None


@pytest.mark.parametrize(
    "name", [file.stem for file in sorted(BUILT_IN.glob("*.toml")) if "[self_test]" in file.read_text()]
)
async def test_a_scanner_of_ours_that_is_here_passes_its_own_test(
    yard: Yard, needs: Callable[[str], None], name: str
) -> None:
    needs(name)
    settings = yard.place.settings()
    asked = requests.Scanners(tested=name)
    found = (await Service(settings).perform(asked, requests.asker_of(settings))).scanners
    assert [one.self_test for one in found if one.tool == name] == ["passed"]


async def test_bandit_passes_although_it_found_something(yard: Yard, needs: Callable[[str], None]) -> None:
    """It ends with 1 then, and with 2 where it could not do its work."""
    needs("bandit")
    (yard.work / "app.py").write_text(WEAK)
    found = await yard.scanned("static", "bandit", "app.py", severity="high")
    assert (found["scan"]["ended"]["exit_code"], found["by_severity"]["high"]) == (1, found["findings"])
    (yard.work / "bad.yaml").write_text("skips: [\n")
    assert code(await yard.run("static", "bandit", "app.py", config="bad.yaml")) == "PROGRAM_FAILED"


async def test_what_is_not_there_or_leads_out_is_not_scanned(yard: Yard) -> None:
    yard.program("bandit", "#!/bin/sh\nexit 99\n")
    for target, expected in (("gone", "FILE_NOT_FOUND"), ("../..", "PATH_ESCAPES"), ("/etc", "PATH_ESCAPES")):
        assert code(await yard.run("static", "bandit", target)) == expected, target


async def test_a_scanner_that_writes_no_output_has_failed(yard: Yard) -> None:
    yard.program("bandit", "#!/bin/sh\necho 'bandit 1.9.4'\n")
    (yard.work / "app.py").write_text(WEAK)
    result = await yard.run("static", "bandit", "app.py")
    assert code(result) == "SCAN_OUTPUT_MISSING"
    details: Any = (result.error or {})["details"]
    assert details["exit_code"] == 0


@pytest.mark.parametrize(
    "error", [InputError("TOOL_UNKNOWN", "nobody knows it"), RecursionError("it is too deep")], ids=type
)
async def test_a_scan_that_is_over_does_not_fail_for_its_parser(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """What the scanner wrote is kept, and can be imported when the parser was mended. The last word of the step is ours."""
    yard.program(
        "bandit",
        "#!/bin/sh\n"
        'case "$*" in *--version*) echo "bandit 1.9.4"; exit;; esac\n'
        'while [ $# -gt 1 ]; do [ "$1" = -o ] && echo \'{"results": []}\' > "$2"; shift; done\n'
        'echo "9 records: 9 high"\n',
    )
    (yard.work / "app.py").write_text(WEAK)

    def breaking(*_: object) -> None:
        raise error

    monkeypatch.setattr(Tools, "recognise", breaking)
    told: list[News] = []
    with telling(lambda _run, _n, _at_ms, event: told.append(event)):
        found = await yard.scanned("static", "bandit", "app.py")
    assert [one.line for one in told if isinstance(one, Said)] == [
        "9 records: 9 high",
        "nothing of it was read",
    ]
    assert (found["fault"]["message"], found["records"]) == (f"nothing of it was read: {error}", 0)
    assert (found["raw"]["bytes"], found["fault"]["end"], found["normalised"]["bytes"]) == (16, 16, 0)
    assert found["dataset"] == Frontier().root().hex()
    assert found["scan"]["ended"]["exit_code"] == 0


async def test_a_program_that_was_changed_since_it_was_looked_at_is_not_started(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assent.capabilities.scan import _run

    yard.program("bandit", "#!/bin/sh\necho 'bandit 1.9.4'\n")
    (yard.work / "app.py").write_text(WEAK)
    monkeypatch.setattr(_run, "digest_of", lambda _: "0" * 64)
    assert code(await yard.run("static", "bandit", "app.py")) == "SCANNER_CHANGED"


async def test_an_undo_takes_a_scan_back(yard: Yard, needs: Callable[[str], None]) -> None:
    needs("bandit")
    (yard.work / "app.py").write_text(WEAK)
    async with yard.place.open(box=False) as rt:
        result = await rt.call("scan.static", {"tool": "bandit", "target": "app.py", "project": "demo"})
        undone = await rt.undo(result.run_id)
    assert (result.status, undone.status) == ("succeeded", "undone")
