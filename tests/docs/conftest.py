"""Who reads the documentation: somebody who has just installed Assent."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Nursery

BIN = Path(sys.executable).parent


_MEASURED = (
    "operators.md",
    "schedules.md",
    "serve.md",
    "findings.md",
    "scanning.md",
    "resources.md",
    "scans",
)
"""Pages whose commands run what no other test's do."""


@pytest.fixture
def home(tmp_path: Path, nursery: Nursery, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment of somebody who has just installed Assent; what they type is forked."""
    is_measured = any(page in request.node.name for page in _MEASURED)
    dropped = ("ASSENT_", "CLICOLOR", "XDG_", *(() if is_measured else ("COVERAGE_",)))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    # A socket's path has 108 bytes at most, which pytest's own folders nearly use up.
    with tempfile.TemporaryDirectory(prefix="assent-") as sockets:
        places = {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": sockets}
        yield nursery.on_path({**kept, **places, "NO_COLOR": "1", "PATH": f"{BIN}{os.pathsep}{kept['PATH']}"})
