"""Which steps may begin next: kept up to date as steps settle, so that a workflow of ten thousand steps is never scanned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from assent.engine.record._record import RunRecord
from assent.spec.ids import StepKey, iteration_key
from assent.spec.states import StepState

PASSABLE = frozenset({StepState.SUCCEEDED, StepState.SKIPPED})
"""Outcomes after which dependents run; a skipped step's output is null."""

_PENDING: Final = StepState.PENDING  # see `_record.py` for what a look-up in the class costs


class Readiness:
    """The steps whose dependencies are all met and that had no event yet, in file order of becoming ready."""

    def __init__(self, dependencies: Mapping[StepKey, Sequence[StepKey]], record: RunRecord) -> None:
        self.ready: dict[StepKey, None] = {}
        self._unmet: dict[StepKey, int] = {}
        self._dependents: dict[StepKey, list[StepKey]] = {}
        self._passed: set[StepKey] = set()
        self._open = 0
        for key, needed in dependencies.items():
            self.add(key, needed)
        for step in list(record.steps.values()):
            self.observe(record, step.key)

    @property
    def is_exhausted(self) -> bool:
        """Every known step has passed."""
        return self._open == 0

    def add(self, key: StepKey, needed: Iterable[StepKey] = ()) -> None:
        """Make a step known; it is ready at once when it needs nothing."""
        if key in self._unmet:
            return
        unmet = [dependency for dependency in needed if dependency not in self._passed]
        self._unmet[key] = len(unmet)
        self._open += 1
        for dependency in unmet:
            self._dependents.setdefault(dependency, []).append(key)
        if not unmet:
            self.ready[key] = None

    def observe(self, record: RunRecord, key: StepKey) -> None:
        """Take note of a step that had an event."""
        step = record.steps.get(key)
        if step is None:
            return
        self.add(key)  # iterations and steps of a session become known by their first event
        if step.state is not _PENDING or step.attempt > 0:
            self.ready.pop(key, None)
        if step.state in PASSABLE and key not in self._passed:
            self._passed.add(key)
            self._open -= 1
            for dependent in self._dependents.pop(key, ()):
                self._unmet[dependent] -= 1
                if self._unmet[dependent] == 0 and not _has_begun(record, dependent):
                    self.ready[dependent] = None


def _has_begun(record: RunRecord, key: StepKey) -> bool:
    step = record.steps.get(key)
    return step is not None and (step.state is not StepState.PENDING or step.attempt > 0)


def iterations(step: StepKey, count: int) -> list[StepKey]:
    """The keys of a `foreach` step's iterations."""
    return [iteration_key(step, index) for index in range(count)]
