"""What the tests of the capabilities on knowledge share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from tests.support.knowledge_workers import shared_workers


@pytest.fixture
def own_workers() -> None:
    """Each index run of the test starts its own, as it does in the product."""


@pytest.fixture(autouse=True)
def workers(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if "own_workers" in request.fixturenames else shared_workers():
        yield
