"""Workers that clean and cut, started once for a file of tests: that takes longer than most of what is tried with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from assent.capabilities.knowledge import Library
from assent.capabilities.knowledge._workers import Crew, Workers
from assent.sandbox import Sandbox
from tests.support.shared import ENDS

_STARTED: list[tuple[Crew, Workers]] = []


@contextmanager
def shared_workers() -> Iterator[None]:
    """Inside, index runs of this process have the same ones, real as they are in the product."""
    if not _STARTED:
        workers = Workers(ENDS.enter_context(Sandbox.detect()))
        ENDS.callback(_STARTED.clear)
        _STARTED.append((Crew(workers), workers))
        ENDS.callback(_STARTED[0][0].close)

    @contextmanager
    def crew_of(library: Library) -> Iterator[tuple[Crew, str]]:
        ((crew, workers),) = _STARTED
        workers._key = library._key()
        yield crew, workers.level

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Library, "_crew", crew_of)
        yield
