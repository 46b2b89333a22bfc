"""The workspace of the other doors."""

from __future__ import annotations

from tests.server.conftest import env, root

__all__ = ["env", "root"]
