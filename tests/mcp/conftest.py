"""The workspace of the other doors, and servers behind them that may come slowly."""

from __future__ import annotations

from tests.plugins.upstream.conftest import _patient
from tests.server.conftest import env, root

__all__ = ["_patient", "env", "root"]
