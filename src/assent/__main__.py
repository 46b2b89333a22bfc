"""`python -m assent`: the same door as the `assent` command."""

from __future__ import annotations

import sys

from assent.cli import main

if __name__ == "__main__":
    sys.exit(main())
