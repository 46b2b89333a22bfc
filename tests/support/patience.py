"""How long a test waits for what must come, before it calls it hung."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

PATIENCE_S: Final = 300
"""No measure of how fast anything is: machines are slow at times, and a test that fails there says nothing of the code."""


@contextmanager
def patience_with_servers() -> Iterator[None]:
    """Inside, MCP servers behind us have as long to come and to answer as a test waits."""
    waits = (
        "assent.plugins.upstream._client.CONNECT_S",
        "assent.plugins.upstream._live.CONNECT_S",
        "assent.plugins.upstream._news.CONNECT_S",
        "assent.mcp._upstreams.QUIET_S",
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in waits:
            patch.setattr(name, PATIENCE_S)
        yield
