"""A line from the person who sits there, and Ctrl-C at the question, whenever it comes."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def read_line(question: str) -> str | None:
    """The answer to a question, which goes to stderr, without its line end; None at the end of the input.

    Python notices a signal between two of its instructions and when it interrupts a read. One that comes between the two, right
    after the question was written, would be noticed with the next line only: so the wait for the line ends with a signal too.
    """
    sys.stderr.write(question)
    sys.stderr.flush()
    if sys.stdin.isatty():
        with _woken_by_signals() as woken:
            while sys.stdin not in select.select([sys.stdin, woken], [], [])[0]:
                os.read(woken, 1)
    # A terminal hands over whole lines: there is one now.
    line = sys.stdin.readline()
    if line.endswith("\n"):
        return line[:-1]
    sys.stderr.write("\n")  # What comes next does not stand behind the question.
    return line or None


@contextmanager
def _woken_by_signals() -> Iterator[int]:
    """A descriptor that can be read from as soon as a signal came."""
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    before = signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    try:
        yield woken
    finally:
        signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(wakes)
