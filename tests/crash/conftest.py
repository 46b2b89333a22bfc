"""What the crash tests share: a workspace to kill processes in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crashing import Scene
from tests.support.nursery import Nursery
from tests.support.own_places import own_places


@pytest.fixture
def scene(nursery: Nursery, tmp_path: Path, clean_env: dict[str, str]) -> Iterator[Scene]:
    """A furnished workspace in which nothing was run."""
    with own_places(tmp_path, clean_env) as env:
        yield Scene.furnish(tmp_path, env, nursery)
