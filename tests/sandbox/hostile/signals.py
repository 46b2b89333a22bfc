"""Signals everybody that it can reach, the process that it is told of first. Prints how each attempt ended."""

import os
import signal
import sys

for process in (int(sys.argv[1]), 1, os.getppid()):
    try:
        os.kill(process, signal.SIGKILL)
        print("sent" if process == int(sys.argv[1]) else "ignored", flush=True)
    except OSError as error:
        print(f"denied: {error.strerror}", flush=True)
os.kill(-1, signal.SIGKILL)
