"""A workspace with a file, and hands to unpack archives in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hands import Hands


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    (tmp_path / "a").write_text("stood before\n")
    made = Hands.on(tmp_path)
    yield made
    made.workspace.close()
