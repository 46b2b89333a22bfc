"""What is started once for a file of tests, and ends with it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

ENDS: Final = ExitStack()
"""Closed behind the last test of each file (`tests/conftest.py`)."""
