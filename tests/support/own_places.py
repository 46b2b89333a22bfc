"""An environment in which a child process finds a configuration, a key and a folder for sockets that are this test's alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_places(root: Path, env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """`env` with places of its own. The key has a fixed path, so that a workspace may be copied."""
    # A socket's path has 108 bytes at most, which pytest's own folders nearly use up.
    with tempfile.TemporaryDirectory(prefix="assent-") as sockets:
        yield {
            **env,
            "HOME": str(root),
            "XDG_CONFIG_HOME": str(root / "config"),
            "XDG_STATE_HOME": str(root / "logs"),
            "XDG_RUNTIME_DIR": sockets,
            "ASSENT_LEDGER_KEY": str(root / "ledger.key"),
        }
