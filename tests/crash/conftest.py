"""What the crash tests share: a workspace to kill processes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.crashing import Scene
from tests.support.nursery import Nursery
from tests.support.own_places import own_places


@pytest.fixture
def is_new(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bool]:
    """Whether nobody followed what a kill left yet, in all processes of these tests: then whoever asks is the one who does."""
    base = tmp_path_factory.getbasetemp()
    claims = (base.parent if base.name.startswith("popen-") else base) / "claims"
    claims.mkdir(exist_ok=True)

    def claim(left: str) -> bool:
        try:
            (claims / left).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    return claim


@pytest.fixture
def scene(nursery: Nursery, tmp_path: Path, clean_env: dict[str, str]) -> Iterator[Scene]:
    """A furnished workspace in which nothing was run."""
    with own_places(tmp_path, clean_env) as env:
        yield Scene.furnish(tmp_path, env, nursery)
