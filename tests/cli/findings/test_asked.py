"""An import that a person approves on the spot is held to `--fail-on` as any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from assent.cli import main
from assent.cli._door import Door
from assent.cli.runs._prompt import Answer
from assent.runtime.service import answers, requests
from tests.support.scanned import GOLDEN


@pytest.mark.parametrize(
    ("least", "said", "code"), [("high", "approve", 0), ("medium", "approve", 1), ("medium", "later", 4)]
)
def test_what_was_approved_on_the_spot_is_held_to_the_gate(  # noqa: PLR0917 - fixtures, and what is tried
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    least: str,
    said: str,
    code: int,
) -> None:
    rule = "{id: imports, when: {capability: findings.import}, decision: REQUIRE_APPROVAL, reason: test}"
    (folder / "policy.yaml").write_text(f"version: 1\nrules: [{rule}]\n")
    (folder / "policy.yaml").chmod(0o600)
    (folder / "assent.toml").write_text('policy = "policy.yaml"\n')
    monkeypatch.setattr(Door, "can_ask", True)
    monkeypatch.setattr("assent.cli.runs._prompt.ask", lambda *_: Answer(said))
    scan = str(GOLDEN / "nuclei-3.10.jsonl")
    assert main(["findings", "import", scan, "-p", "shop", "--fail-on", least]) == code
    told = capsys.readouterr()
    assert ("nuclei: 4 records" in told.out) == (said == "approve")
    assert ("exit code 1: `--fail-on medium` found 1 medium" in told.err) == (code == 1)


@pytest.mark.parametrize("is_erased", [False, True])
@pytest.mark.parametrize("is_asked", [False, True])
def test_what_was_taken_back_before_it_was_told_is_told_by_its_run(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_asked: bool,
    is_erased: bool,
) -> None:
    """Another terminal removed it meanwhile, or erased the run."""
    decision = "REQUIRE_APPROVAL" if is_asked else "ALLOW, without_approval: true"
    rule = f'{{id: imports, when: {{principal: "user:*"}}, decision: {decision}, reason: test}}'
    (folder / "policy.yaml").write_text(f"version: 1\nrules: [{rule}]\n")
    (folder / "policy.yaml").chmod(0o600)
    (folder / "assent.toml").write_text('policy = "policy.yaml"\n')
    monkeypatch.setattr(Door, "can_ask", True)
    monkeypatch.setattr("assent.cli.runs._prompt.ask", lambda *_: Answer("approve"))
    perform = Door.perform

    def late(door: Door, request: Any, *more: Any, **said: Any) -> Any:
        if isinstance(request, requests.Datasets):
            return answers.Datasets(datasets=[])
        found = perform(door, request, *more, **said)
        if isinstance(request, requests.Show) and is_erased:
            step = msgspec.structs.replace(found.steps[0], output=msgspec.UNSET)
            return msgspec.structs.replace(found, steps=[step])
        return found

    monkeypatch.setattr(Door, "perform", late)
    scan = str(GOLDEN / "nuclei-3.10.jsonl")
    code = main(["findings", "import", scan, "-p", "shop", "--fail-on", "medium"])
    told = capsys.readouterr()
    assert code == (0 if is_erased else 1), told
    assert "what it brought was taken back or removed meanwhile" in told.err
    assert told.out.count("succeeded  findings.import") == 1
