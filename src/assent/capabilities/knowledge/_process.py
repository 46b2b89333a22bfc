"""What a worker's process runs. Nothing here may be imported by Assent's own process: it takes the standard streams away."""

from __future__ import annotations

import os
from contextlib import suppress

from assent.capabilities.knowledge._preparing import serve
from assent.sandbox import forbid_programs


def main() -> None:
    """Serve on stdin and stdout, and end without looking back. Nothing in here can start a program from now on."""
    with suppress(OSError, KeyError):  # a machine without such filters has the other walls
        forbid_programs()
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=1 << 20)
    os.dup2(2, 1)
    status = 1
    try:
        serve(source, target)
        status = 0
    finally:
        os._exit(status)  # at once: there is nobody left to write a last word to
