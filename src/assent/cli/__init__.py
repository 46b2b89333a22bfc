"""The command line: it parses, asks and answers; every rule lives further down.

    main(argv) -> exit code
    entry()           the same as a whole process

Commands are loaded when they are called, so that `assent version` costs no more than starting Python and click.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.cli._main import main

__all__ = ["entry", "main"]

__getattr__, __dir__ = resolved_when_asked(__name__, {"._main": "main"})


def entry() -> NoReturn:
    """The whole process, from its imports on: Ctrl-C may come while these still load."""
    try:
        from assent.cli._main import run_process

        run_process()
    except KeyboardInterrupt:
        # As `_exit.INTERRUPTED`, which may not be loaded yet. Nothing has begun, or it is left as by a crash.
        os._exit(130)
