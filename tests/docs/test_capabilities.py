"""The reference of the built-in capabilities is what their descriptions say, and each of its examples does what it shows."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from assent.cli import main
from tests.conformance.case import Case
from tests.conformance.cells import BUILTIN
from tests.conformance.table import CASES
from tests.docs.pages import examples
from tools import write_capabilities


def test_page_of_capabilities_is_what_their_descriptions_say() -> None:
    wanted = write_capabilities.page(BUILTIN, CASES)
    assert write_capabilities.PAGE.read_text(encoding="utf-8") == wanted, "python -m tools.write_capabilities"


def test_every_parameter_that_a_person_writes_is_described_or_plain() -> None:
    """A type of JSON Schema without words of its own would be shown as something it is not."""
    rows = [
        line.split(" | ")
        for line in write_capabilities.PAGE.read_text().splitlines()
        if line.startswith("| `")
    ]
    assert [cells for cells in rows if "{" in cells[1]] == []


SHOWN = {name: case for name, case in CASES.items() if not case.in_session}


@pytest.mark.parametrize("case", SHOWN.values(), ids=SHOWN)
def test_example_does_what_it_shows(
    case: Case,
    tmp_path: Path,
    clean_env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The line as it stands on the page, in the world of the capability's case."""
    (text,) = [
        example.text
        for example in examples(write_capabilities.PAGE)
        if re.match(rf"\$ assent call {re.escape(case.capability)}\s", example.text)
    ]
    command, _, code = text.removeprefix("$ ").replace("\\\n", "").partition("[exit code ")
    with case.stage(tmp_path / "stage", clean_env) as stage:
        for real, shown in stage.shown.items():
            command = command.replace(shown, real)
        for name, value in stage.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(stage.workspace)
        assert main([*shlex.split(command)[1:], "--json"]) == int(code.strip("]\n") or 0)
    result = json.loads(capfd.readouterr().out)
    (step,) = result["steps"]
    if case.fails:
        assert step["error"]["code"] == case.fails
    else:
        assert result["status"] == "succeeded"
