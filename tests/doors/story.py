"""What a story is: operations of the service, one after the other, and what is told of each. Data, and nothing that acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Said = Mapping[str, Any]

RESTART = "restart"
"""No operation: whoever owns the state ends, and another one takes it."""
JOIN = "join"
"""No operation: what was begun `late` under `name` is waited for."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation. A text `@NAME` in `said` is what an earlier step kept under that name; `@run` is the run told of last."""

    op: str
    said: Said = field(default_factory=dict)
    by: str | None = None
    """The key that is shown, by the name under which the story made it; without one it is asked as the account."""
    key: str | None = None
    """Under which it happens once."""
    version: str | None = None
    """Of the capability: each door has its own place for that."""
    code: str | None = None
    """The error that it is refused with."""
    status: str | None = None
    """How the run stands that it is answered with."""
    gives: Said = field(default_factory=dict)
    """What stands at a path of the answer; `#` is how many, `*` each."""
    keep: Mapping[str, str] = field(default_factory=dict)
    """What of the answer later steps name: the path of each name."""
    most: int | None = None
    """After so many parts of a stream nobody listens any more."""
    late: str | None = None
    """It is not waited for until the step `join` of this name."""
    until: bool = False
    """Ask again until it is answered as `status` and `gives` say."""
    is_failed_run: bool = False
    """A program with a runtime of its own gets a run that failed instead of the refusal: see `test_doors.py`."""
    is_code: bool = False
    """Only family and code of the error are alike: the place is one in what was sent, and the advice fits the door."""
    only: frozenset[str] = frozenset()
    """The doors that have it, whose answers are their own; all of them where none is named."""
    is_local: bool = False
    """What is told is of the process that tells it: only what there is, is alike, and not how it is."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """Steps in an empty workspace; in a fresh state where it is told alone, else in one that has heard other stories."""

    name: str
    steps: tuple[Step, ...]
    settings: str = ""
    """For `assent.toml`."""
    rules: str = ""
    """Of the policy, before all others."""
    runs: int | None = None
    """So many it leaves on record."""
    counts: bool = False
    """It tells of everything that there is."""

    @property
    def is_alone(self) -> bool:
        return bool(self.settings or self.rules or self.counts) or any(
            step.op == RESTART for step in self.steps
        )


def at(answer: Any, path: str) -> Any:  # `Any`: JSON
    """What stands at a path: `0.digest`, `outputs.created`, `#`, `*.status`."""
    name, _, rest = path.partition(".")
    if name == "*":
        return [at(one, rest) for one in answer]
    if name == "#":
        return len(answer)
    found = answer[int(name)] if isinstance(answer, list) else answer[name]
    return at(found, rest) if rest else found


def filled(value: Any, kept: Said) -> Any:
    """The value with what was kept in place of each `@NAME`."""
    if isinstance(value, str) and value.startswith("@") and value != "@":
        return kept[value[1:]]
    if isinstance(value, dict):
        return {name: filled(one, kept) for name, one in value.items()}
    return [filled(one, kept) for one in value] if isinstance(value, list) else value
