"""Workers are started once for a file of tests: to start some takes longer than most of what is tried with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from assent.capabilities.knowledge import Library
from assent.capabilities.knowledge._workers import Crew, Workers
from assent.sandbox import Sandbox


@pytest.fixture(scope="module")
def workers() -> Iterator[tuple[Crew, Workers]]:
    with Sandbox.detect() as sandbox:
        crew = Crew(workers := Workers(sandbox))
        yield crew, workers
        crew.close()


@pytest.fixture
def own_workers() -> None:
    """Each index run of the test starts its own, as it does in the product."""


@pytest.fixture(autouse=True)
def shared_workers(request: pytest.FixtureRequest, workers: tuple[Crew, Workers]) -> Iterator[None]:
    @contextmanager
    def crew_of(library: Library) -> Iterator[tuple[Crew, str]]:
        workers[1]._key = library._key()
        yield workers[0], workers[1].level

    with pytest.MonkeyPatch.context() as patch:
        if "own_workers" not in request.fixturenames:
            patch.setattr(Library, "_crew", crew_of)
        yield
