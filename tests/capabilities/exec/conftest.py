"""A workspace in which a few programs may be run, confined for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent.sandbox import Sandbox
from tests.support.bodies import Place, policy

RULES = """\
[exec.rules.tests]
programs = ["sh", "python3", "./tool"]
environment = ["GREETING"]
"""


@pytest.fixture(scope="session")
def confined() -> None:
    """Skips where nothing confines programs."""
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing on this machine confines programs")


@pytest.fixture
def yard(tmp_path: Path, confined: None) -> Place:
    """A place with a file, and rules for programs."""
    place = Place(tmp_path)
    place.policy = policy(
        {
            "id": "open",
            "when": {"principal": "user:*"},
            "decision": "ALLOW",
            "without_approval": True,
            "reason": "nobody is there to be asked",
        }
    )
    work = place.settings().workspace
    (work / "assent.toml").write_text(RULES)
    (work / "src").mkdir()
    (work / "src/a.txt").write_text("one\n")
    return place
