"""A place of its own for every test of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bodies import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A workspace, a state directory and a box of values."""
    return Place(tmp_path)
