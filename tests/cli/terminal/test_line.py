"""A question in a real terminal: its answer, its end, and Ctrl-C whenever it comes."""

from __future__ import annotations

import sys
from typing import Final

import pexpect
import pytest

ASKS: Final = """
from assent.cli.terminal._line import read_line
try:
    print("heard", repr(read_line("well? ")))
except KeyboardInterrupt:
    print("interrupted")
"""

# The signal is taken by another thread: it interrupts no call of the main one, as when it comes right before that call.
UNNOTICED: Final = """
import signal, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
"""

# A handler that only takes note ends no question.
TAKES_NOTE: Final = """
import signal
signal.signal(signal.SIGINT, lambda *_: print("noted", flush=True))
"""


def _asked(program: str) -> pexpect.spawn[str]:
    child = pexpect.spawn(sys.executable, ["-c", program], encoding="utf-8", timeout=60)
    child.expect_exact("well? ")
    return child


@pytest.mark.parametrize(
    ("typed", "heard"), [("yes\r", "'yes'"), ("\r", "''"), ("\x04", "None"), ("ye\x04\x04", "'ye'")]
)
def test_a_line_is_what_was_typed(typed: str, heard: str) -> None:
    child = _asked(ASKS)
    child.send(typed)
    child.expect_exact(f"heard {heard}")
    child.expect(pexpect.EOF)


def test_ctrl_c_right_before_the_wait_is_noticed() -> None:
    child = _asked(UNNOTICED + ASKS)
    child.sendintr()
    child.expect_exact("interrupted")
    child.expect(pexpect.EOF)


def test_a_signal_that_only_leaves_a_note_leaves_the_question() -> None:
    child = _asked(TAKES_NOTE + ASKS)
    child.sendintr()
    child.expect_exact("noted")
    child.send("on\r")
    child.expect_exact("heard 'on'")
    child.expect(pexpect.EOF)
