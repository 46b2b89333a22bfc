"""Every legal move of a step and of a run, as two literal tables.

`evolve` refuses any other move, and `docs/states.md` is drawn from here.

Theory of operation. A step has its outcome in `succeeded`, `failed`, `denied` or `skipped`; what it may have left in the world
is known separately (`Effect`). Whatever ended with an effect that is not known to be none can be taken back, so `failed` and
`denied` lead on to `compensating` as `succeeded` does. A `wait` step is `waiting` until it has its outcome, and leaves nothing. A
step that leads to itself had an event that is no change of state: a running one was asked whether its effect happened, or
resumed; a compensation was tried again. One that succeeded is `pending` again when it reads once more what is not kept and the
former process had; a `foreach` step of such ones is `running` until it has gathered them.

A run shows `running` and `waiting` by what its steps do; every other state was said by an event of its own. It moves forward a
second time for the steps of its `finally`, also once it was rolled back; what these leave can be undone, however the run ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assent.spec.states import RunState as R
from assent.spec.states import StepState as S

STEP_TRANSITIONS: Final[Mapping[S, frozenset[S]]] = {
    S.PENDING: frozenset({S.RUNNING, S.AWAITING_APPROVAL, S.WAITING, S.DENIED, S.SKIPPED, S.FAILED}),
    S.AWAITING_APPROVAL: frozenset({S.PENDING, S.RUNNING, S.SUCCEEDED, S.DENIED, S.FAILED}),
    S.WAITING: frozenset({S.SUCCEEDED, S.FAILED}),
    S.RUNNING: frozenset({S.RUNNING, S.PENDING, S.SUCCEEDED, S.FAILED, S.IN_DOUBT}),
    S.IN_DOUBT: frozenset({S.RUNNING, S.SUCCEEDED, S.FAILED, S.COMPENSATED}),
    S.SUCCEEDED: frozenset({S.PENDING, S.RUNNING, S.COMPENSATING, S.COMPENSATION_FAILED}),
    S.FAILED: frozenset({S.COMPENSATING, S.COMPENSATION_FAILED}),
    S.DENIED: frozenset({S.COMPENSATING, S.COMPENSATION_FAILED}),
    S.COMPENSATING: frozenset({S.COMPENSATING, S.COMPENSATED, S.COMPENSATION_FAILED}),
    S.COMPENSATION_FAILED: frozenset({S.COMPENSATING, S.COMPENSATED, S.COMPENSATION_FAILED}),
    S.COMPENSATED: frozenset(),
    S.SKIPPED: frozenset(),
}

RUN_TRANSITIONS: Final[Mapping[R, frozenset[R]]] = {
    R.PENDING: frozenset({R.RUNNING, R.WAITING, R.FAILED}),
    R.RUNNING: frozenset(
        {R.WAITING, R.SUCCEEDED, R.FAILED, R.ROLLING_BACK, R.ROLLED_BACK, R.CANCELLED, R.NEEDS_ATTENTION}
    ),
    R.WAITING: frozenset({R.RUNNING, R.SUCCEEDED, R.FAILED, R.ROLLED_BACK, R.CANCELLED, R.NEEDS_ATTENTION}),
    R.ROLLING_BACK: frozenset({R.RUNNING, R.ROLLED_BACK, R.FAILED, R.CANCELLED, R.NEEDS_ATTENTION}),
    R.NEEDS_ATTENTION: frozenset({R.RUNNING, R.WAITING, R.ROLLING_BACK, R.UNDOING}),
    R.SUCCEEDED: frozenset({R.WAITING, R.UNDOING}),
    R.UNDOING: frozenset({R.UNDONE, R.NEEDS_ATTENTION}),
    R.FAILED: frozenset({R.WAITING, R.UNDOING}),
    R.ROLLED_BACK: frozenset({R.WAITING, R.UNDOING}),
    R.CANCELLED: frozenset({R.WAITING, R.UNDOING}),
    R.UNDONE: frozenset(),
}
