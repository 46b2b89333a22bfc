"""The first thing that a worker's process runs. Nothing here may be imported by Assent's own process: it takes the pipe away."""

from __future__ import annotations

import asyncio
import os
import sys

from assent.invocation import BoundCapability
from assent.plugins.ports import Spawn
from assent.plugins.worker._channel import Channel
from assent.plugins.worker._serving import Serving

# What every plugin needs is imported before there is one: idle workers wait with it.
_ = BoundCapability


def main(spawn: Spawn) -> None:
    """Serve on stdin and stdout until Assent has gone, and end without looking back: a plugin's threads and hooks don't matter.

    `spawn` starts a task. Whoever writes this process's first line hands it in, as a runtime does elsewhere.
    """
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
