"""Leaves a process behind that is nobody's child, in a session of its own, and that no polite signal ends."""

import os
import signal
import sys

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 64):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                continue
        for descriptor in range(3):
            os.close(descriptor)
        os.execv(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", "import signal\nwhile True: signal.pause()", sys.argv[1]],
        )
    os._exit(0)
os.wait()
print("left behind", flush=True)
if "stay" in sys.argv:
    signal.pause()
