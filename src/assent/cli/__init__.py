"""The command line: it parses, asks and answers; every rule lives further down.

    main(argv) -> exit code
    entry()           the same as a whole process

Commands are loaded when they are called, so that `assent version` costs no more than starting Python and click.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.cli._main import main

SWEPT_AFTER = 250_000
"""New objects after which the young ones are swept for cycles: more than any command has when it begins its work."""

__all__ = ["entry", "main"]

__getattr__, __dir__ = resolved_when_asked(__name__, {"._main": "main"})


def entry() -> NoReturn:
    """The whole process, from its imports on: Ctrl-C may come while these still load."""
    # No sweep for cycles while modules load: they make none, and it takes a tenth of a short command.
    gc.set_threshold(SWEPT_AFTER)
    try:
        if (
            sys.argv[1:2] == ["hook"]
            and sys.argv[2:3] in (["claude-code"], ["ask"])
            and "--help" not in sys.argv
        ):
            # An agent waits for it before each call of a tool: no click.
            from assent.cli.hook._entry import run

            run(sys.argv[2:])
        from assent.cli._main import run_process

        run_process()
    except KeyboardInterrupt:
        # As `_exit.INTERRUPTED`, which may not be loaded yet. Nothing has begun, or it is left as by a crash.
        os._exit(130)
