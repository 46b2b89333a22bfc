"""A workspace that is a repository with a change of each kind, and hands to act in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hands import Hands
from tests.support.repository_hands import furnish


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    made = furnish(tmp_path / "w")
    yield made
    made.workspace.close()
