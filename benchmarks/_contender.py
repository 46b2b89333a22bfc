"""What every contender of the workflow benchmark gives: one workflow of five steps that do nothing, durably recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

STEPS = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where the record of the work stands, so that it can be counted when everything is over."""

    database: Path
    count: str
    """A query for a number."""
    per_workflow: int


@dataclass(frozen=True, slots=True)
class Load:
    """A contender that is open. Exactly one of `in_thread` and `in_task` is given, whichever it was found to be faster with."""

    evidence: Evidence
    settings: str
    in_thread: Callable[[], None] | None = None
    in_task: Callable[[], Awaitable[None]] | None = None
    per_call: int = 1
    """Workflows that one call completes; with more than one, the contender does all of them in one worker."""


class Contender(Protocol):
    """Opens a contender on a new folder, ready for `concurrency` workflows at a time."""

    def __call__(self, folder: Path, concurrency: int) -> AbstractAsyncContextManager[Load]: ...
