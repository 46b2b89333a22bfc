"""An import that a person approves on the spot is held to `--fail-on` as any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent.cli import main
from assent.cli._door import Door
from assent.cli.runs._prompt import Answer
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
