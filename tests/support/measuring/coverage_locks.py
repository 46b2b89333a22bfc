"""A plugin of coverage: what it measures can be interrupted at any place, and is measured faster.

Coverage holds a lock in the midst of every call, through two functions of Python. An interrupt that comes in one of them leaves
the lock held, and the process waits for it for ever. The lock's own functions are no place where Python minds signals.

The folder is on the path of every process that is measured, and holds nothing else.
"""

from __future__ import annotations

from coverage.collector import Collector

_reset = Collector.reset


def _reset_with_the_locks_own(collector: Collector) -> None:
    _reset(collector)
    if collector.data_lock is not None:
        collector.lock_data = collector.data_lock.acquire  # type: ignore[method-assign]
        collector.unlock_data = collector.data_lock.release  # type: ignore[method-assign]


def coverage_init(*_: object) -> None:
    """What coverage calls in a process that it begins to measure."""
    Collector.reset = _reset_with_the_locks_own  # type: ignore[method-assign, assignment]
