"""Which steps may begin next: kept up to date as steps settle, so that a workflow of ten thousand steps is never scanned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from assent.engine.record._record import SETTLED, RunRecord
from assent.spec.ids import StepKey, iteration_key, name_of
from assent.spec.states import StepState

PASSABLE = frozenset({StepState.SUCCEEDED, StepState.SKIPPED})
"""Outcomes after which dependents run; a skipped step's output is null."""

_PENDING: Final = StepState.PENDING  # see `_record.py` for what a look-up in the class costs


class FinallyStep(NamedTuple):
    """What a step of `finally` waits for: what has to have passed, and what only has to have ended, or can't begin any more."""

    needed: Sequence[StepKey] = ()
    after: Sequence[StepKey] = ()


class Readiness:
    """The steps whose dependencies are all met and that had no event yet, in file order of becoming ready.

    `finally_steps` are those of `finally`, of which nothing is known until the others have ended, and which are all that is known
    from then on. Of these one that has failed has ended, and so has one that needs it.
    """

    def __init__(
        self,
        dependencies: Mapping[StepKey, Sequence[StepKey]],
        record: RunRecord,
        finally_steps: Mapping[StepKey, FinallyStep] | None = None,
    ) -> None:
        self._last = finally_steps or {}
        self._first = {key: FinallyStep(needed) for key, needed in dependencies.items()}
        self._in_finally = False
        self.begin(record)
        if record.final is not None:
            self.turn_to_finally(record)

    def begin(self, record: RunRecord) -> None:
        """Take note of all steps, some of which may have passed and wait to begin once more."""
        self._begin(record, self._first)

    def turn_to_finally(self, record: RunRecord) -> None:
        """The steps of `finally` may begin."""
        self._in_finally = True
        self._begin(record, self._last)

    def _begin(self, record: RunRecord, steps: Mapping[StepKey, FinallyStep]) -> None:
        self.ready: dict[StepKey, None] = {}
        self._unmet: dict[StepKey, int] = {}
        self._dependents: dict[StepKey, list[StepKey]] = {}
        self._loose: set[tuple[StepKey, StepKey]] = set()
        self._passed: set[StepKey] = set()
        self._ended: set[StepKey] = set()
        self._open = 0
        for key, (needed, after) in steps.items():
            self.add(key, needed)
            for dependency in after:
                self._await(key, dependency)
                self._loose.add((dependency, key))
        for step in list(record.steps.values()):
            self.observe(record, step.key)

    @property
    def is_exhausted(self) -> bool:
        """Every known step has passed; of those of `finally`: has ended, or can't begin any more."""
        return self._open == 0

    def add(self, key: StepKey, needed: Iterable[StepKey] = ()) -> None:
        """Make a step known; it is ready at once when it needs nothing."""
        if key in self._unmet:
            return
        self._unmet[key] = 0
        self._open += 1
        self.ready[key] = None
        for dependency in needed:
            if dependency not in self._passed:
                self._await(key, dependency)

    def _await(self, key: StepKey, dependency: StepKey) -> None:
        self._unmet[key] += 1
        self._dependents.setdefault(dependency, []).append(key)
        self.ready.pop(key, None)

    def observe(self, record: RunRecord, key: StepKey) -> None:
        """Take note of a step that had an event."""
        step = record.steps.get(key)
        if step is None or (self._in_finally and name_of(key) not in self._last):
            return
        self.add(key)  # iterations and steps of a session become known by their first event
        if step.state is not _PENDING or step.attempt > 0:
            self.ready.pop(key, None)
        if step.state in PASSABLE:
            self._end(record, key, passes=True)
        elif self._in_finally and step.state in SETTLED:
            self._end(record, key, passes=False)

    def _end(self, record: RunRecord, key: StepKey, *, passes: bool) -> None:
        """A step has ended. Without recursion: each step that needs one that failed has ended with it, and chains may be long."""
        ended = [key]
        while ended:
            key = ended.pop()
            if key in self._ended:
                continue
            self._ended.add(key)
            self._open -= 1
            if passes:
                self._passed.add(key)
            for dependent in self._dependents.pop(key, ()):
                self._unmet[dependent] -= 1
                if not passes and (key, dependent) not in self._loose:
                    self.ready.pop(dependent, None)
                    ended.append(dependent)
                elif (
                    self._unmet[dependent] == 0
                    and dependent not in self._ended
                    and not _has_begun(record, dependent)
                ):
                    self.ready[dependent] = None


def _has_begun(record: RunRecord, key: StepKey) -> bool:
    step = record.steps.get(key)
    return step is not None and (step.state is not StepState.PENDING or step.attempt > 0)


def iterations(step: StepKey, count: int) -> list[StepKey]:
    """The keys of a `foreach` step's iterations."""
    return [iteration_key(step, index) for index in range(count)]
