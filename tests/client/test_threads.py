"""Clients in several threads of one program."""

from __future__ import annotations

import subprocess
import sys

ANSWERED = """
import sys, threading
from contextlib import suppress

from assent.client._wire import answer_of
from assent.errors import AssentError
from assent.runtime.service.routes import ROUTES

sys.setswitchinterval(1e-6)
both = threading.Barrier(2)

def ask():
    for route in ROUTES:
        both.wait()
        with suppress(AssentError):
            answer_of(route, b"{}", {})

threads = [threading.Thread(target=ask) for _ in range(2)]
for one in threads:
    one.start()
for one in threads:
    one.join()
"""


def test_two_that_are_first_to_be_answered_end_no_process(clean_env: dict[str, str]) -> None:
    """It ended with SIGSEGV, two times of three: both had msgspec look at the same type for the first time."""
    for _ in range(3):
        assert subprocess.run([sys.executable, "-c", ANSWERED], env=clean_env, check=False).returncode == 0
