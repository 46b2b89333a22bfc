"""The launcher: a small process with one thread, which forks a supervisor for each program.

A process with threads may run nothing of Python between fork and exec, so the walls can't be put up by the runtime itself; and a
fresh interpreter for each program would cost ten times what a fork of this one costs. Only the standard library is imported.

Each request is one message on the socket that it was started with, which carries four descriptors: the request's own socket, and
the program's stdin, stdout and stderr. When the socket closes, the launcher ends, and by that everything it has started.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
from typing import Final

from assent.sandbox import _kernel, _tree
from assent.sandbox._supervisor import has_seen, note_signals, supervise

_DESCRIPTORS: Final = 4


def main(descriptor: int) -> None:
    """Serve until the socket `descriptor` closes."""
    requests = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    _kernel.become_subreaper()
    woken, waker = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waker, False)
    note_signals()
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    gc.freeze()  # what is there now is shared with every fork, and stays so
    supervisors: set[int] = set()
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        ready = {one for one, _ in poll.poll()}
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                while os.read(woken, 64):
                    pass
            if has_seen(signal.SIGTERM):
                return
            _reap(supervisors)
        if descriptor in ready:
            message, received, _, _ = socket.recv_fds(requests, 16, _DESCRIPTORS)
            if not message:
                return
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                for own in (descriptor, woken, waker):
                    os.close(own)
                control, *streams = received
                supervise(control, (streams[0], streams[1], streams[2]))
            supervisors.add(child)
            for one in received:
                os.close(one)


def _reap(supervisors: set[int]) -> None:
    """Take leave of supervisors that have ended. One that was killed leaves its program's processes to us: they are killed
    too.
    """
    was_killed = False
    while True:
        try:
            found, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if not found:
            break
        was_killed |= found not in supervisors or os.WIFSIGNALED(status)
        supervisors.discard(found)
    if was_killed:
        _tree.end(os.getpid(), spare=supervisors)
