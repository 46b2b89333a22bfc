"""A process that gives up starting programs: for one that runs somebody else's code, and has nothing to start."""

from __future__ import annotations

from assent.sandbox._kernel import MACHINE, forgo_privileges, load_filter
from assent.sandbox._seccomp import programs_filter


def forbid_programs() -> None:
    """From now on this process, and no thread that it starts later, can start a program or another process. It can't be undone.

    To be called before there are other threads: those that are there stay as they were. OSError where the kernel has no such
    filters, KeyError on a machine whose system calls are not known here.
    """
    program = programs_filter(MACHINE)
    forgo_privileges()
    load_filter(program)
