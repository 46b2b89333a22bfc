"""What tests of servers behind us have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.patience import patience_with_servers


@pytest.fixture(scope="package", autouse=True)
def _patient() -> Iterator[None]:
    """A server that comes slowly, on a busy machine, is no fault of ours."""
    with patience_with_servers():
        yield
