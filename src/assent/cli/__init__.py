"""The command line: it parses, asks and answers; every rule lives further down.

    main(argv) -> exit code
    entry()           the same as a whole process

Commands are loaded when they are called, so that `assent version` costs no more than starting Python and click.
"""

from __future__ import annotations

from assent.cli._main import entry, main

__all__ = ["entry", "main"]
