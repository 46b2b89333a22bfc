"""What the crash tests share: processes that start quickly, and a workspace to kill them in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crashing import Scene
from tests.support.nursery import Nursery
from tests.support.own_places import own_places


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """One process per test worker that forks all commands of its tests."""
    env = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    with Nursery.open(env) as nursery:
        yield nursery


@pytest.fixture
def scene(nursery: Nursery, tmp_path: Path, clean_env: dict[str, str]) -> Iterator[Scene]:
    """A furnished workspace in which nothing was run."""
    with own_places(tmp_path, clean_env) as env:
        yield Scene.furnish(tmp_path, env, nursery)
