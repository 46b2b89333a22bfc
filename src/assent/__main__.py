"""`python -m assent`: the same door as the `assent` command."""

from __future__ import annotations

from assent.cli import entry

if __name__ == "__main__":
    entry()
