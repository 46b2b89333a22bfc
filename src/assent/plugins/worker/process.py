"""The first thing that a worker's process runs. Nothing here may be imported by Assent's own process: it takes the pipe away."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

from assent.invocation import BoundCapability, Spawn
from assent.plugins.worker._channel import Channel
from assent.plugins.worker._serving import Serving
from assent.sandbox import forbid_programs

# What every plugin needs is imported before there is one: idle workers wait with it.
_ = BoundCapability


def main(spawn: Spawn, *, programs: bool) -> None:
    """Serve on stdin and stdout until Assent has gone, and end without looking back: a plugin's threads and hooks don't matter.

    `spawn` starts a task. Whoever writes this process's first line hands it in, as a runtime does elsewhere. Without `programs`
    nothing in here can start a program, or another process, from now on.
    """
    if not programs:
        # A machine without such filters still counts processes, and ends what starts too many.
        with suppress(OSError, KeyError):
            forbid_programs()
    reading, writing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    # What a plugin prints is no answer: it goes where its errors go.
    os.dup2(2, 1)
    os.close(nothing)
    sys.stdout = sys.stderr

    async def work() -> None:
        await Serving(Channel(reading, writing), spawn).run()

    try:
        asyncio.run(work())
    finally:
        os._exit(0)
