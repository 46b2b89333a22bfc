"""How long a test waits for what must come, before it calls it hung."""

from typing import Final

PATIENCE_S: Final = 300
"""No measure of how fast anything is: machines are slow at times, and a test that fails there says nothing of the code."""
